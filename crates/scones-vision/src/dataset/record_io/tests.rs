use std::io::Cursor;

use image::RgbImage;
use proptest::prelude::*;

use super::*;
use crate::dataset::{ClassSet, synthetic};

/// A record, divided where its bytes hold the magic number at a multiple of four.
fn record(bytes: &[u8]) -> Vec<u8> {
    let magic = MAGIC.to_le_bytes();
    let mut cuts: Vec<usize> = (0..bytes.len() / 4 * 4)
        .step_by(4)
        .filter(|&at| bytes[at..at + 4] == magic)
        .collect();
    cuts.push(bytes.len());
    let (mut out, mut from) = (Vec::new(), 0);
    let last = cuts.len() - 1;
    for (number, cut) in cuts.into_iter().enumerate() {
        let flag = match (number == 0, number == last) {
            (true, true) => 0,
            (true, false) => 1,
            (false, false) => 2,
            (false, true) => 3,
        };
        let part = &bytes[from..cut];
        out.extend(magic);
        out.extend((flag << 29 | part.len() as u32).to_le_bytes());
        out.extend(part);
        out.resize(out.len().next_multiple_of(4), 0);
        from = cut + 4;
    }
    out
}

/// What lies in a record: one label in the header, or several after it.
fn content(labels: &[f32], image: &[u8]) -> Vec<u8> {
    let (count, first) = match labels {
        [only] => (0, *only),
        several => (several.len() as u32, 0.0),
    };
    let mut out: Vec<u8> = [count.to_le_bytes(), first.to_le_bytes()].concat();
    out.extend([7_u64.to_le_bytes(), 0_u64.to_le_bytes()].concat());
    if count > 0 {
        out.extend(labels.iter().flat_map(|label| label.to_le_bytes()));
    }
    out.extend(image);
    out
}

fn png(image: &RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn read(bytes: &[u8]) -> Result<Dataset, String> {
    read_labelled(bytes)
}

fn read_labelled<L: Label>(bytes: &[u8]) -> Result<Dataset<L>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train.rec");
    std::fs::write(&path, bytes).unwrap();
    let classes = ["0".to_owned(), "1".to_owned()];
    read_fitted(&path, &classes, None).map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
}

#[test]
fn packed_images_come_back() {
    let drawn = synthetic::draw(9, 1);
    let mut file = Vec::new();
    for sample in &drawn.samples {
        file.extend(record(&content(&[sample.label as f32], &png(&sample.image))));
    }
    let unpacked = read(&file).unwrap();
    for (number, (packed, read)) in drawn.samples.iter().zip(&unpacked.samples).enumerate() {
        assert_eq!((&read.image, read.label), (&packed.image, packed.label));
        assert_eq!(read.name, format!("record {}", number + 1));
    }
    assert_eq!(unpacked.samples.len(), drawn.samples.len());
}

#[test]
fn a_divided_record_is_put_together() {
    let mut image = png(&RgbImage::new(3, 3));
    // Whatever follows a PNG's end is no part of the picture.
    image.resize((image.len() + 24).next_multiple_of(4) - 24, 0);
    for _ in 0..2 {
        image.extend(MAGIC.to_le_bytes());
        image.extend([1, 2, 3, 4]);
    }
    let packed = record(&content(&[1.0], &image));
    assert_eq!(packed.windows(4).filter(|word| *word == MAGIC.to_le_bytes()).count(), 3);
    let read = read(&packed).unwrap();
    assert_eq!((read.samples[0].label, read.samples[0].image.dimensions()), (1, (3, 3)));
}

#[test]
fn bad_records_are_named() {
    let good = record(&content(&[0.0], &png(&RgbImage::new(2, 2))));
    let second = good.len();
    let check = |bad: &[u8], expect: &str| {
        let error = read(&[&good, bad].concat()).unwrap_err();
        let expect = format!("FILE record 2 (at byte {second}): {expect}");
        assert!(error.starts_with(&expect), "{error} is not {expect}");
    };
    let labelled = |labels: &[f32]| record(&content(labels, b"image"));
    check(&[0; 8], "no record begins here");
    check(&[1, 2, 3], "the file ends within it");
    check(&good[..second - 4], "the file ends within it");
    check(&record(&[0; 23]), "its 23 bytes are too few");
    check(&labelled(&[f32::NAN]), "the label NaN is not a whole number");
    check(&labelled(&[-1.0]), "the label -1 is not a whole number");
    check(&labelled(&[0.5]), "the label 0.5 is not a whole number");
    check(&labelled(&[2.0]), "the label 2 is not one of the 2 classes");
    check(&labelled(&[0.0, 1.0]), "it has 2 labels, and one is expected");
    let mut few = content(&[0.0; 3], b"");
    few.truncate(HEADER_BYTES + 11);
    check(&record(&few), "its 35 bytes are too few for a header and its labels");
    check(&labelled(&[1.0]), "its image cannot be used: not a PNG");
    let middle = [MAGIC.to_le_bytes(), (2_u32 << 29).to_le_bytes()].concat();
    check(&middle, "its parts do not follow each other");
    let begun = [MAGIC.to_le_bytes(), (1_u32 << 29).to_le_bytes()].concat();
    check(&[&begun[..], &good].concat(), "its parts do not follow each other");
    let long = [MAGIC.to_le_bytes(), ((1_u32 << 29) - 1).to_le_bytes()].concat();
    check(&long, "the file ends within it");
    assert_eq!(read(&[]).unwrap_err(), "FILE: the RecordIO file has no records");
}

#[test]
fn sets_of_classes_have_a_label_each() {
    let packed = |labels: &[f32]| record(&content(labels, &png(&RgbImage::new(2, 2))));
    let file = [packed(&[0.0, 1.0]), packed(&[1.0, 1.0]), packed(&[0.0, 0.0])].concat();
    let read: Dataset<ClassSet> = read_labelled(&file).unwrap();
    let labels: Vec<&[usize]> = read.samples.iter().map(|sample| sample.label.classes()).collect();
    assert_eq!(labels, [&[1][..], &[0, 1], &[]]);
    let refused = |labels: &[f32], expect: &str| {
        let error = read_labelled::<ClassSet>(&packed(labels)).unwrap_err();
        assert!(
            error.starts_with(&format!("FILE record 1 (at byte 0): {expect}")),
            "{error}"
        );
    };
    refused(&[1.0], "it has 1 label, but there are 2 classes");
    refused(&[1.0, 0.0, 1.0], "it has 3 labels, but there are 2 classes");
    refused(&[1.0, 3.0], "the label 3 of class 1 must be 0 or 1");
}

#[test]
fn a_label_after_the_header_counts() {
    let mut one = content(&[0.0], &png(&RgbImage::new(2, 2)));
    one[..4].copy_from_slice(&1_u32.to_le_bytes());
    one.splice(24..24, 1.0_f32.to_le_bytes());
    assert_eq!(read(&record(&one)).unwrap().samples[0].label, 1);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64), magic: bool) {
        let begin: &[u8] = if magic { &MAGIC.to_le_bytes() } else { &[] };
        prop_assert!(read(&[begin, &bytes].concat()).is_err());
    }
}
