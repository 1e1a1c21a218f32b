//! SageMaker's augmented manifests: one JSON object a line, which names an image in S3 and its
//! label, as Ground Truth writes them. With several classes an image the label is a list.
//!
//! <https://docs.aws.amazon.com/sagemaker/latest/dg/image-classification.html#IC-augmented-manifest-training>

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{
    Dataset, Error, IMAGES_MEMORY_MAX, Label, Sample,
    label::{self, LABELS_MAX, LabelFormat},
    read_image, read_images, read_limited,
};
use crate::preprocessing::Fit;

/// Longest manifest read, in bytes.
pub const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// The attributes of each line that matter, as `AttributeNames` of a channel gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// Of the image's place.
    pub image: String,
    /// Of the label.
    pub label: String,
}

/// One line of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// One-based.
    pub line: usize,
    /// Where the image is: `s3://BUCKET/KEY`.
    pub source: String,
    /// A number or a list of some; each is below [`LABELS_MAX`].
    pub label: label::Written,
}

/// What is wrong with a line and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No JSON, or not an object.
    #[error("a line needs one JSON object: {0}")]
    Json(String),
    /// An attribute that is not there.
    #[error("there is no attribute {0:?}: add it, or name another in the channel's AttributeNames")]
    Missing(String),
    /// An image's place that is no text.
    #[error("the attribute {0:?} must be the image's S3 URI, such as \"s3://bucket/image.jpg\"")]
    Source(String),
    /// What stands in the label's place is none.
    #[error(transparent)]
    Label(#[from] label::Problem),
    /// The image does not decode.
    #[error("the image {place} cannot be used: {reason}; replace it or remove the line")]
    Image {
        /// Its S3 URI.
        place: String,
        /// Why.
        reason: String,
    },
}

/// Reads the lines of a manifest. Blank lines, Windows line ends and further attributes are
/// accepted; a label is a number, a text of one, or a list of those.
///
/// # Errors
/// The one-based line number and what is wrong with it.
pub fn parse(text: &str, attributes: &Attributes) -> Result<Vec<Entry>, (usize, Problem)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| parse_line(at + 1, line, attributes).map_err(|problem| (at + 1, problem)))
        .collect()
}

fn parse_line(line: usize, text: &str, attributes: &Attributes) -> Result<Entry, Problem> {
    let object: Map<String, Value> = serde_json::from_str(text).map_err(|error| Problem::Json(error.to_string()))?;
    let attribute = |name: &String| object.get(name).ok_or_else(|| Problem::Missing(name.clone()));
    let Value::String(source) = attribute(&attributes.image)? else {
        return Err(Problem::Source(attributes.image.clone()));
    };
    Ok(Entry {
        line,
        source: source.clone(),
        label: match attribute(&attributes.label)? {
            Value::Array(numbers) => label::Written::List(numbers.iter().map(number).collect::<Result<_, _>>()?),
            only => label::Written::Number(number(only)?),
        },
    })
}

fn number(value: &Value) -> Result<u16, label::Problem> {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let label = text
        .trim()
        .parse()
        .ok()
        .filter(|&label| usize::from(label) < LABELS_MAX);
    label.ok_or_else(|| label::Problem::Number(value.to_string()))
}

/// Reads the file of a manifest; see [`parse`].
///
/// # Errors
/// A file that cannot be read or is too long or empty, and a line that cannot be used.
pub fn read_entries(manifest: &Path, attributes: &Attributes) -> Result<Vec<Entry>, Error> {
    let layout = |problem: String| Error::Layout {
        path: manifest.to_owned(),
        problem,
    };
    let bytes = read_limited(manifest, MANIFEST_BYTES_MAX).map_err(Error::io("read", manifest))?;
    let bytes = bytes.ok_or_else(|| {
        layout(format!(
            "the manifest has more than {MANIFEST_BYTES_MAX} bytes: divide it"
        ))
    })?;
    let entries = parse(&String::from_utf8_lossy(&bytes), attributes).map_err(at_line(manifest))?;
    if entries.is_empty() {
        return Err(layout("the manifest has no lines".to_owned()));
    }
    Ok(entries)
}

fn at_line(manifest: &Path) -> impl Fn((usize, Problem)) -> Error {
    move |(line, problem)| Error::ManifestLine {
        manifest: manifest.to_owned(),
        line,
        problem,
    }
}

/// The file that holds the image of an entry, in the folder of a manifest's images.
#[must_use]
pub fn image_path(folder: &Path, entry: &Entry) -> PathBuf {
    folder.join(format!("line-{}", entry.line))
}

/// Reads a manifest of these classes and its images, which lie in `folder` under
/// [their names](image_path). Every image is fitted as it comes.
///
/// # Errors
/// As [`read_entries`]; a label that is none of the classes or not of the format; a missing or
/// damaged image, with the line; more
/// images than [`IMAGES_MEMORY_MAX`] holds.
pub fn read_fitted<L: Label>(
    manifest: &Path,
    folder: &Path,
    attributes: &Attributes,
    (classes, format): (&[String], LabelFormat),
    fit: Option<Fit>,
) -> Result<Dataset<L>, Error> {
    let entries = read_entries(manifest, attributes)?;
    let label = |entry: &Entry| {
        let label = L::from_value(&entry.label, format, classes.len());
        label.map_err(|problem| at_line(manifest)((entry.line, problem.into())))
    };
    let labels: Vec<L> = entries.iter().map(label).collect::<Result<_, _>>()?;
    let image = |entry: &Entry| {
        read_image(&image_path(folder, entry)).map_err(|error| match error {
            Error::Image { source, .. } => {
                let (place, reason) = (entry.source.clone(), source.to_string());
                at_line(manifest)((entry.line, Problem::Image { place, reason }))
            }
            other => other,
        })
    };
    let images = read_images(manifest, &entries, image, fit, IMAGES_MEMORY_MAX)?;
    let samples = images.into_iter().zip(labels).zip(entries);
    let samples = samples.map(|((image, label), entry)| Sample {
        image,
        label,
        name: entry.source,
    });
    Ok(Dataset {
        samples: samples.collect(),
        classes: classes.to_vec(),
        origin: manifest.display().to_string(),
        findings: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use image::RgbImage;
    use proptest::prelude::*;

    use super::*;

    fn attributes() -> Attributes {
        Attributes {
            image: "source-ref".to_owned(),
            label: "class".to_owned(),
        }
    }

    fn check(text: &str, expect: &str) {
        let shown = match parse(text, &attributes()) {
            Ok(entries) => entries
                .iter()
                .map(|e| match &e.label {
                    label::Written::Number(number) => format!("{}:{number},{};", e.line, e.source),
                    label::Written::List(numbers) => format!("{}:{numbers:?},{};", e.line, e.source),
                })
                .collect(),
            Err((line, problem)) => format!("line {line}: {problem}"),
        };
        assert_eq!(shown, expect, "{text}");
    }

    #[test]
    fn lines() {
        check(
            "{\"source-ref\": \"s3://b/1.jpg\", \"class\": \"0\"}\r\n\n\
             {\"source-ref\": \"s3://b/2.jpg\", \"class\": 1, \"class-metadata\": {\"class-name\": \"cat\"}}",
            "1:0,s3://b/1.jpg;3:1,s3://b/2.jpg;",
        );
        check("", "");
        check(
            "[]",
            "line 1: a line needs one JSON object: invalid type: sequence, expected a map at line 1 column 0",
        );
        check(
            "{\"class\": 0}",
            "line 1: there is no attribute \"source-ref\": add it, or name another in the channel's AttributeNames",
        );
        check(
            "{\"source-ref\": 1, \"class\": 0}",
            "line 1: the attribute \"source-ref\" must be the image's S3 URI, such as \"s3://bucket/image.jpg\"",
        );
        for label in ["-1", "0.5", "10000", "\"cat\"", "null", "{}"] {
            check(
                &format!("{{\"source-ref\": \"s3://b/1\", \"class\": {label}}}"),
                &format!("line 1: the label {label} is not a whole number from 0 to 9999"),
            );
        }
        check(
            "{\"source-ref\": \"s3://b/1\", \"class\": [1, \"0\"]}\n{\"source-ref\": \"s3://b/2\", \"class\": []}",
            "1:[1, 0],s3://b/1;2:[],s3://b/2;",
        );
        check(
            "{\"source-ref\": \"s3://b/1\", \"class\": [1, [0]]}",
            "line 1: the label [0] is not a whole number from 0 to 9999",
        );
    }

    proptest! {
        #[test]
        fn any_text_parses_or_names_a_line_that_exists(text in "[\\[\\]{}\":,a-c0-9\r\n \\PC]{0,80}") {
            match parse(&text, &attributes()) {
                Ok(entries) => prop_assert!(entries.len() <= text.lines().count()),
                Err((line, _)) => prop_assert!(line >= 1 && line <= text.lines().count()),
            }
        }
    }

    #[test]
    fn images_are_read_and_errors_name_their_lines() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().join("train.manifest");
        let lines = "{\"source-ref\": \"s3://b/a\", \"class\": 1}\n\n{\"source-ref\": \"s3://b/b\", \"class\": 0}\n";
        std::fs::write(&manifest, lines).unwrap();
        let save = |name: &str, image: &RgbImage| {
            image
                .save_with_format(folder.path().join(name), image::ImageFormat::Png)
                .unwrap();
        };
        save("line-1", &RgbImage::new(4, 3));
        save("line-3", &RgbImage::new(5, 2));
        let two = ["a".to_owned(), "b".to_owned()];
        let read = |classes: &[String]| {
            let classes = (classes, LabelFormat::default());
            let read = read_fitted::<usize>(&manifest, folder.path(), &attributes(), classes, None);
            read.map_err(|error| error.to_string().replace(&manifest.display().to_string(), "MANIFEST"))
        };
        let dataset = read(&two).unwrap();
        let samples: Vec<_> = dataset
            .samples
            .iter()
            .map(|sample| (sample.name.as_str(), sample.label, sample.image.dimensions()))
            .collect();
        assert_eq!(samples, [("s3://b/a", 1, (4, 3)), ("s3://b/b", 0, (5, 2))]);
        assert_eq!(dataset.classes, two);
        assert_eq!(
            read(&two[..1]).unwrap_err(),
            "MANIFEST line 1: the label 1 is not one of the 1 classes, which are numbered from 0"
        );
        std::fs::write(folder.path().join("line-3"), "nonsense").unwrap();
        let error = read(&two).unwrap_err();
        assert!(
            error.starts_with("MANIFEST line 3: the image s3://b/b cannot be used: not a PNG"),
            "{error}"
        );
        std::fs::write(&manifest, "\n").unwrap();
        assert_eq!(read(&two).unwrap_err(), "MANIFEST: the manifest has no lines");
    }
}
