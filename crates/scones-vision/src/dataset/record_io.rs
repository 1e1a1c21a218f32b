//! MXNet's RecordIO files (`.rec`), as its tool `im2rec` packs labelled images.
//!
//! A record is a magic number, a word with its length and a flag, the bytes, and padding to four
//! bytes. Bytes that hold the magic number themselves, at a multiple of four, are divided there
//! into parts. They begin with a header of 24 bytes: how many labels follow it, the label if none
//! do (with several classes an image one follows for each class, 0 or 1), and two numbers of the
//! image's. All of it is little-endian.
//!
//! <https://mxnet.apache.org/versions/1.9.1/api/faq/recordio>,
//! <https://docs.aws.amazon.com/sagemaker/latest/dg/image-classification.html#IC-recordio-training>

use std::{
    fs::File,
    io::{self, BufReader, Read},
    os::unix::fs::FileExt as _,
    path::Path,
};

use super::{
    Dataset, Error, IMAGES_MEMORY_MAX, Label, Sample,
    label::{self, LABELS_MAX},
    read_images,
};
use crate::{
    decode::{self, IMAGE_BYTES_MAX},
    preprocessing::Fit,
};

/// Stands before every part of a record.
pub const MAGIC: u32 = 0xced7_230a;
/// Bytes before the labels.
const HEADER_BYTES: usize = 24;
/// Longest record read: the largest image with a label for each class there can be.
const RECORD_BYTES_MAX: u64 = (HEADER_BYTES + 4 * LABELS_MAX + IMAGE_BYTES_MAX) as u64;

/// What is wrong with a record and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The magic number is not there.
    #[error("no record begins here; the file is damaged, or is no RecordIO file of images: make it with im2rec")]
    Magic,
    /// The file ends in the middle.
    #[error("the file ends within it: it was cut short, write or upload it again")]
    Truncated,
    /// A part of a divided record does not follow the one before.
    #[error("its parts do not follow each other; the file is damaged: write or upload it again")]
    Parts,
    /// Longer than any image.
    #[error("it has {0} bytes, and at most {RECORD_BYTES_MAX} are read: make the image smaller")]
    TooLong(u64),
    /// Not even a header.
    #[error("its {0} bytes are too few for a header and its labels: make the file with im2rec")]
    Header(usize),
    /// Its numbers are no label.
    #[error(transparent)]
    Label(#[from] label::Problem),
    /// What follows the labels does not decode.
    #[error("its image cannot be used: {0}; replace it")]
    Image(String),
}

/// Where a record lies in its file.
#[derive(Debug)]
struct Extent {
    /// From 1.
    number: usize,
    /// Of the first part's magic number.
    offset: u64,
    /// Offset and length of the bytes of each part.
    parts: Vec<(u64, u64)>,
}

/// Reads every image of a RecordIO file of these classes. Every image is fitted as it comes, so
/// that the original sizes never lie in memory together.
///
/// # Errors
/// A file that cannot be read or has no records; a record that is damaged, has no label of the
/// classes or no usable image, by its number and its place; more images than [`IMAGES_MEMORY_MAX`]
/// holds.
pub fn read_fitted<L: Label>(path: &Path, classes: &[String], fit: Option<Fit>) -> Result<Dataset<L>, Error> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let extents = extents(path, &file)?;
    if extents.is_empty() {
        let problem = "the RecordIO file has no records".to_owned();
        let path = path.to_owned();
        return Err(Error::Layout { path, problem });
    }
    let origin = path.display().to_string();
    let label = |extent: &Extent| -> Result<L, Error> {
        let bytes = bytes(&file, extent, path)?;
        let label = parse(&bytes).and_then(|(numbers, _)| Ok(L::from_columns(&numbers, classes.len())?));
        label.map_err(extent.failed(path))
    };
    // Labels first: a wrong one costs no decoding.
    let labels = extents.iter().map(label).collect::<Result<Vec<_>, _>>()?;
    let image = |extent: &Extent| {
        let bytes = bytes(&file, extent, path)?;
        let (_, image) = parse(&bytes).map_err(extent.failed(path))?;
        decode::decode(image).map_err(|error| extent.failed(path)(Problem::Image(error.to_string())))
    };
    let images = read_images(path, &extents, image, fit, IMAGES_MEMORY_MAX)?;
    let samples = images.into_iter().zip(extents).zip(labels);
    let samples = samples.map(|((image, extent), label)| Sample {
        image,
        label,
        name: format!("record {}", extent.number),
    });
    Ok(Dataset {
        samples: samples.collect(),
        classes: classes.to_vec(),
        origin,
        findings: Vec::new(),
    })
}

impl Extent {
    fn failed(&self, path: &Path) -> impl Fn(Problem) -> Error + use<> {
        let (file, record, offset) = (path.to_owned(), self.number, self.offset);
        move |problem| Error::Record {
            file: file.clone(),
            record,
            offset,
            problem,
        }
    }

    fn length(&self) -> u64 {
        let bytes: u64 = self.parts.iter().map(|(_, length)| length).sum();
        bytes + 4 * (self.parts.len() as u64 - 1)
    }
}

/// Finds the records without reading what is in them.
fn extents(path: &Path, file: &File) -> Result<Vec<Extent>, Error> {
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    let mut reader = BufReader::new(file);
    let mut extents: Vec<Extent> = Vec::new();
    let mut offset = 0;
    while offset < length {
        let mut extent = Extent {
            number: extents.len() + 1,
            offset,
            parts: Vec::new(),
        };
        loop {
            let failed = extent.failed(path);
            let [magic, word] = match words(&mut reader) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(failed(Problem::Truncated)),
                read => read.map_err(Error::io("read", path))?,
            };
            if magic != MAGIC {
                return Err(failed(Problem::Magic));
            }
            let (flag, bytes) = (word >> 29, u64::from(word & ((1 << 29) - 1)));
            let padded = bytes.next_multiple_of(4);
            if offset + 8 + padded > length {
                return Err(failed(Problem::Truncated));
            }
            // 0: all of a record; 1, 2 and 3: its first, a middle and its last part.
            let follows = matches!((extent.parts.is_empty(), flag), (true, 0 | 1) | (false, 2 | 3));
            if !follows {
                return Err(failed(Problem::Parts));
            }
            extent.parts.push((offset + 8, bytes));
            offset += 8 + padded;
            reader.seek_relative(padded as i64).map_err(Error::io("read", path))?;
            if matches!(flag, 0 | 3) {
                break;
            }
        }
        if extent.length() > RECORD_BYTES_MAX {
            return Err(extent.failed(path)(Problem::TooLong(extent.length())));
        }
        extents.push(extent);
    }
    Ok(extents)
}

fn words(reader: &mut impl Read) -> io::Result<[u32; 2]> {
    let mut bytes = [0; 8];
    reader.read_exact(&mut bytes)?;
    let [a, b, c, d, e, f, g, h] = bytes;
    Ok([u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])])
}

/// The bytes of a record: its parts with the magic numbers that divided them.
fn bytes(file: &File, extent: &Extent, path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::with_capacity(extent.length() as usize);
    for (at, (offset, length)) in extent.parts.iter().enumerate() {
        if at > 0 {
            bytes.extend(MAGIC.to_le_bytes());
        }
        let from = bytes.len();
        bytes.resize(from + *length as usize, 0);
        file.read_exact_at(&mut bytes[from..], *offset)
            .map_err(Error::io("read", path))?;
    }
    Ok(bytes)
}

/// The numbers of the label and the encoded image of a record.
fn parse(bytes: &[u8]) -> Result<(Vec<u16>, &[u8]), Problem> {
    let too_short = || Problem::Header(bytes.len());
    let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or_else(too_short)?;
    let [a, b, c, d, label @ ..] = header;
    let (labels, image) = match u32::from_le_bytes([*a, *b, *c, *d]) {
        0 => (&label[..4], rest),
        count => rest.split_at_checked(count as usize * 4).ok_or_else(too_short)?,
    };
    let labels = labels
        .as_chunks()
        .0
        .iter()
        .map(|label| number(f32::from_le_bytes(*label)));
    Ok((labels.collect::<Result<_, _>>()?, image))
}

fn number(label: f32) -> Result<u16, label::Problem> {
    let is_class = label >= 0.0 && label < LABELS_MAX as f32 && label.fract() == 0.0;
    match is_class {
        true => Ok(label as u16),
        false => Err(label::Problem::Number(label.to_string())),
    }
}

#[cfg(test)]
mod tests;
