//! Many images as one picture.

use image::{
    Rgb, RgbImage,
    imageops::{self, FilterType},
};

/// Side of an image on the sheet, pixels.
const SIDE: u32 = 96;
/// Pixels between two images.
const GAP: u32 = 4;
/// Most images in a row.
const COLUMNS_MAX: u32 = 10;
const PAPER: Rgb<u8> = Rgb([255, 255, 255]);

/// A picture of all images, by rows, each fitted into a square. Of no images, an empty sheet.
#[must_use]
pub fn contact_sheet(images: &[&RgbImage]) -> RgbImage {
    let count = u32::try_from(images.len()).unwrap_or(u32::MAX);
    let columns = count.clamp(1, COLUMNS_MAX);
    let rows = count.div_ceil(columns).max(1);
    let length = |cells: u32| cells * (SIDE + GAP) + GAP;
    let mut sheet = RgbImage::from_pixel(length(columns), length(rows), PAPER);
    for (at, image) in (0..).zip(images) {
        let scale = f64::from(SIDE) / f64::from(image.width().max(image.height()).max(1));
        let side = |pixels: u32| ((f64::from(pixels) * scale).round() as u32).clamp(1, SIDE);
        // Small images stay as they are, in larger pixels.
        let filter = if scale > 1.0 {
            FilterType::Nearest
        } else {
            FilterType::Triangle
        };
        let fitted = imageops::resize(*image, side(image.width()), side(image.height()), filter);
        let (left, top) = (length(at % columns), length(at / columns));
        imageops::replace(&mut sheet, &fitted, left.into(), top.into());
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_lie_in_rows() {
        let red = RgbImage::from_pixel(3, 3, Rgb([255, 0, 0]));
        let wide = RgbImage::from_pixel(200, 50, Rgb([0, 0, 255]));
        let check = |images: &[&RgbImage], expect: (u32, u32)| {
            let sheet = contact_sheet(images);
            assert_eq!(sheet.dimensions(), expect);
            sheet
        };
        check(&[], (104, 104));
        let sheet = check(&[&wide, &red], (204, 104));
        assert_eq!(
            [sheet.get_pixel(4, 4).0, sheet.get_pixel(4, 40).0],
            [[0, 0, 255], PAPER.0]
        );
        assert_eq!(
            [sheet.get_pixel(104, 4).0, sheet.get_pixel(199, 99).0],
            [[255, 0, 0]; 2]
        );
        check(&[&red; 11], (1004, 204));
    }
}
