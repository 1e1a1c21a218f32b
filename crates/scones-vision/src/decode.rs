//! Bytes of a PNG or JPEG to RGB pixels, within limits, so that a hostile file costs little.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage,
    error::{DecodingError, LimitErrorKind},
};

/// Longest encoded image taken. InvokeEndpoint's body limit is 25 MB.
/// <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html>
pub const IMAGE_BYTES_MAX: usize = 25_000_000;
/// Longest side of a decoded image, in pixels.
pub const IMAGE_SIDE_MAX: u32 = 8_192;
/// Most memory that decoding one image may take: a 48-megapixel photograph in RGB fits.
pub const IMAGE_MEMORY_MAX: u64 = 192 << 20;

/// Why bytes did not become pixels.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// There were no bytes.
    #[error("the image is empty: send the bytes of a PNG or JPEG file")]
    Empty,
    /// More bytes, pixels or memory than allowed.
    #[error("the image is too large: {0}")]
    TooLarge(String),
    /// Neither PNG nor JPEG.
    #[error("not a PNG or JPEG image (it begins with {0}): convert it to PNG or JPEG")]
    UnknownFormat(String),
    /// A PNG or JPEG that does not decode.
    #[error("the {format} image does not decode; it may be truncated or damaged")]
    Damaged {
        /// `PNG` or `JPEG`.
        format: &'static str,
        /// What the decoder found.
        #[source]
        source: ImageError,
    },
}

/// Decodes a PNG or JPEG to eight-bit RGB: transparency is dropped, grey is spread over the three
/// channels, and a camera's orientation mark is applied.
///
/// # Errors
/// Each [`DecodeError`]; never panics on any bytes.
pub fn decode(bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    if bytes.len() > IMAGE_BYTES_MAX {
        let size = bytes.len();
        return Err(DecodeError::TooLarge(format!(
            "{size} bytes, at most {IMAGE_BYTES_MAX}"
        )));
    }
    let (format, name) = match image::guess_format(bytes) {
        Ok(ImageFormat::Png) => (ImageFormat::Png, "PNG"),
        Ok(ImageFormat::Jpeg) => (ImageFormat::Jpeg, "JPEG"),
        _ => return Err(DecodeError::UnknownFormat(beginning(bytes))),
    };
    decode_as(bytes, format).map_err(|source| refusal(source, name))
}

fn decode_as(bytes: &[u8], format: ImageFormat) -> Result<RgbImage, ImageError> {
    // The decoder paints what a JPEG lacks grey; of PNGs it refuses such.
    if format == ImageFormat::Jpeg && !has_end(bytes) {
        let error = DecodingError::new(format.into(), "it ends before its end-of-image marker");
        return Err(ImageError::Decoding(error));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(IMAGE_SIDE_MAX);
    limits.max_image_height = Some(IMAGE_SIDE_MAX);
    limits.max_alloc = Some(IMAGE_MEMORY_MAX);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

/// Whether a JPEG goes on to the marker of its end, behind all segments and scans. Whatever follows,
/// such as a second image, is not looked at.
fn has_end(jpeg: &[u8]) -> bool {
    const START: u8 = 0xD8;
    const END: u8 = 0xD9;
    // Within a scan these are an escaped byte, a restart, and padding before a marker.
    let is_marker = |byte: u8| !matches!(byte, 0x00 | 0x01 | 0xD0..=0xD7 | 0xFF);
    let mut rest = jpeg;
    while let Some(at) = rest.windows(2).position(|pair| pair[0] == 0xFF && is_marker(pair[1])) {
        let behind = &rest[at + 2..];
        rest = match (rest[at + 1], behind) {
            (END, _) => return true,
            (START, _) => behind,
            // Any other begins a segment, whose length counts itself. Thumbnails in it have ends of their own.
            (_, [high, low, ..]) => {
                let length = u16::from_be_bytes([*high, *low]);
                behind.get(usize::from(length)..).unwrap_or_default()
            }
            _ => return false,
        };
    }
    false
}

fn refusal(source: ImageError, format: &'static str) -> DecodeError {
    let ImageError::Limits(limit) = &source else {
        return DecodeError::Damaged { format, source };
    };
    DecodeError::TooLarge(match limit.kind() {
        LimitErrorKind::DimensionError => format!("a side is over {IMAGE_SIDE_MAX} pixels"),
        _ => format!("decoding it needs over {IMAGE_MEMORY_MAX} bytes of memory"),
    })
}

fn beginning(bytes: &[u8]) -> String {
    let shown: String = bytes
        .iter()
        .take(8)
        .flat_map(|byte| byte.escape_ascii())
        .map(char::from)
        .collect();
    format!("\"{shown}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn check(bytes: &[u8], expect: &str) {
        let got = match decode(bytes) {
            Ok(image) => format!("{}x{} {:?}", image.width(), image.height(), image.get_pixel(0, 0).0),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expect);
    }

    #[test]
    fn decodes_png_and_jpeg_and_names_what_it_refuses() {
        let grey = DynamicImage::ImageLuma8(image::GrayImage::from_pixel(5, 3, image::Luma([200])));
        let png = encode(&grey, ImageFormat::Png);
        check(&png, "5x3 [200, 200, 200]");
        check(&encode(&grey, ImageFormat::Jpeg), "5x3 [200, 200, 200]");
        check(&[], "the image is empty: send the bytes of a PNG or JPEG file");
        check(
            b"GIF89a..",
            "not a PNG or JPEG image (it begins with \"GIF89a..\"): convert it to PNG or JPEG",
        );
        check(
            &png[..40],
            "the PNG image does not decode; it may be truncated or damaged",
        );
        let wide = DynamicImage::new_rgb8(IMAGE_SIDE_MAX + 1, 1);
        check(
            &encode(&wide, ImageFormat::Png),
            "the image is too large: a side is over 8192 pixels",
        );
        check(
            &vec![0; IMAGE_BYTES_MAX + 1],
            "the image is too large: 25000001 bytes, at most 25000000",
        );
    }

    #[test]
    fn a_jpeg_that_was_cut_is_refused() {
        let noise = |x: u32, y: u32| image::Rgb([(x * 37 + y * 91) as u8, (x * y) as u8, (x ^ y) as u8]);
        let noise = DynamicImage::ImageRgb8(RgbImage::from_fn(40, 30, noise));
        let jpeg = encode(&noise, ImageFormat::Jpeg);
        for length in [jpeg.len() / 2, jpeg.len() * 9 / 10, jpeg.len() - 2] {
            let refused = decode(&jpeg[..length]).unwrap_err().to_string();
            assert_eq!(
                refused,
                "the JPEG image does not decode; it may be truncated or damaged"
            );
        }
        let whole = decode(&jpeg).unwrap();
        assert_eq!(decode(&[&jpeg[..], b"and what a camera adds"].concat()).unwrap(), whole);
        // A thumbnail is a whole JPEG in a segment: its end is not that of the image.
        let thumbnail = encode(&DynamicImage::new_rgb8(8, 8), ImageFormat::Jpeg);
        let length = u16::try_from(thumbnail.len() + 2).unwrap().to_be_bytes();
        let with_thumbnail = [&jpeg[..2], &[0xFF, 0xE5], &length, &thumbnail, &jpeg[2..]].concat();
        assert_eq!(decode(&with_thumbnail).unwrap(), whole);
        assert!(decode(&with_thumbnail[..with_thumbnail.len() / 2]).is_err());
    }

    proptest! {
        #[test]
        fn damaged_bytes_never_panic(at in 0_usize..200, byte: u8, jpeg: bool) {
            let format = if jpeg { ImageFormat::Jpeg } else { ImageFormat::Png };
            let mut bytes = encode(&DynamicImage::new_rgb8(9, 7), format);
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = decode(&bytes);
            let _ = decode(&bytes[..at]);
        }
    }
}
