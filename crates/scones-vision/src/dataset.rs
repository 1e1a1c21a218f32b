//! Labelled images in memory, and the formats that they come in.
//!
//! - [`cifar`]: the official CIFAR-10 and CIFAR-100 archives, pickled or binary.
//! - [`pickle`]: the strict reader of pickles below it.
//! - [`folder`]: one folder a class.
//! - [`list`]: SageMaker's `.lst` image lists, read and written.
//! - [`record_io`]: MXNet's RecordIO files.
//! - [`manifest`]: SageMaker's augmented manifests.
//! - [`label`]: one class an image, or a set of them.
//! - [`synthetic`]: drawn bicycles and motorcycles.
//! - [`check`]: what is wrong with a dataset before time is spent on training.

pub mod check;
pub mod cifar;
pub mod folder;
pub mod label;
pub mod list;
pub mod manifest;
pub mod pickle;
pub mod record_io;
pub mod synthetic;

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use image::RgbImage;
pub use label::{ClassSet, Label, LabelKind};
use rayon::{iter::Either, prelude::*};

use crate::{
    decode::{self, DecodeError, IMAGE_BYTES_MAX},
    preprocessing::Fit,
};

/// Most memory that the decoded images of one list or folder may take, in bytes.
pub const IMAGES_MEMORY_MAX: u64 = 8 << 30;

/// Most unusable images that one error describes.
pub const IMAGES_SHOWN_MAX: usize = 10;

/// One labelled image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample<L = usize> {
    /// Pixels, row by row, red, green, blue.
    pub image: RgbImage,
    /// Its class or classes: positions in [`Dataset::classes`].
    pub label: L,
    /// The file's name, or its path relative to the dataset's folder.
    pub name: String,
}

/// Labelled images and the names of their classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset<L = usize> {
    /// Names of the classes, in the order of the labels.
    pub classes: Vec<String>,
    /// The images, in the source's order. Every class of a label is below `classes.len()`.
    pub samples: Vec<Sample<L>>,
    /// The list, folder or archive that the samples came from, for messages; empty if there is
    /// none.
    pub origin: String,
    /// What the reader noticed beside the images. [`check::check`] reports it.
    pub findings: Vec<check::Finding>,
}

impl<L> Default for Dataset<L> {
    fn default() -> Self {
        Self {
            classes: Vec::new(),
            samples: Vec::new(),
            origin: String::new(),
            findings: Vec::new(),
        }
    }
}

impl<L: Label> Dataset<L> {
    /// How many samples each class has, in the order of the labels.
    #[must_use]
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for sample in &self.samples {
            for &class in sample.label.classes() {
                counts[class] += 1;
            }
        }
        counts
    }

    /// A dataset of the samples at these positions, in this order.
    #[must_use]
    pub fn subset(&self, positions: &[usize]) -> Self {
        let samples = positions.iter().map(|&at| self.samples[at].clone()).collect();
        Self {
            classes: self.classes.clone(),
            samples,
            origin: self.origin.clone(),
            findings: self.findings.clone(),
        }
    }
}

/// Why a dataset could not be read or written: what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused a file.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// `read`, `write`, `list`, ...
        action: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// An image file that does not decode.
    #[error("cannot read the image {}; replace or remove the file", path.display())]
    Image {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: DecodeError,
    },
    /// Several images that cannot be used.
    #[error("{count} images cannot be used:\n{}", shown.join("\n"))]
    Images {
        /// How many.
        count: usize,
        /// Of the first [`IMAGES_SHOWN_MAX`], which and why.
        shown: Vec<String>,
    },
    /// A row of an image list that cannot be used.
    #[error("{} line {line}: {problem}", list.display())]
    ListRow {
        /// The image list.
        list: PathBuf,
        /// One-based line number.
        line: usize,
        /// What is wrong and what to do.
        problem: list::RowProblem,
    },
    /// A record of a RecordIO file that cannot be used.
    #[error("{} record {record} (at byte {offset}): {problem}", file.display())]
    Record {
        /// The RecordIO file.
        file: PathBuf,
        /// One-based number of the record.
        record: usize,
        /// Where it begins, in bytes.
        offset: u64,
        /// What is wrong and what to do.
        problem: record_io::Problem,
    },
    /// A line of an augmented manifest that cannot be used.
    #[error("{} line {line}: {problem}", manifest.display())]
    ManifestLine {
        /// The manifest.
        manifest: PathBuf,
        /// One-based line number.
        line: usize,
        /// What is wrong and what to do.
        problem: manifest::Problem,
    },
    /// An archive that is not one of CIFAR's, or is damaged.
    #[error("{origin}: {problem}")]
    Cifar {
        /// The archive, folder or member.
        origin: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A pickle that is not plain data.
    #[error("{origin} is not the expected pickle: {problem}")]
    Pickle {
        /// The archive's member.
        origin: String,
        /// Where and why.
        problem: pickle::Error,
    },
    /// A class that was asked for twice.
    #[error("the class {0:?} is named twice: name each class once")]
    RepeatedClass(String),
    /// A class that the data does not have.
    #[error("{origin}: there is no class {class:?}; the data has: {known}")]
    UnknownClass {
        /// The archive or folder.
        origin: String,
        /// What was asked for.
        class: String,
        /// The names that exist.
        known: String,
    },
    /// Nothing to read, or too much.
    #[error("{}: {problem}", path.display())]
    Layout {
        /// The folder or file.
        path: PathBuf,
        /// What is missing and what to do.
        problem: String,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Reads the images of `origin`, several at a time, and fits each before the next one takes its
/// place in memory. All that cannot be used are told together, so that they can be mended at once.
fn read_images<S: Sync>(
    origin: &Path,
    sources: &[S],
    read: impl Fn(&S) -> Result<RgbImage, Error> + Sync,
    fit: Option<Fit>,
    memory: u64,
) -> Result<Vec<RgbImage>, Error> {
    let taken = AtomicU64::new(0);
    let read = |source: &S| {
        if taken.load(Ordering::Relaxed) > memory {
            return Ok(None);
        }
        let image = read(source)?;
        let image = fit.and_then(|fit| fit.apply(&image)).unwrap_or(image);
        let bytes = image.as_raw().len() as u64;
        Ok((taken.fetch_add(bytes, Ordering::Relaxed) + bytes <= memory).then_some(image))
    };
    let (errors, images): (Vec<_>, Vec<_>) = sources.par_iter().map(read).partition_map(Either::from);
    if !errors.is_empty() {
        return Err(together(errors));
    }
    let images: Option<Vec<RgbImage>> = images.into_iter().collect();
    images.ok_or_else(|| Error::Layout {
        path: origin.to_owned(),
        problem: format!(
            "once decoded, its {} would take more than {memory} bytes of memory: make them smaller, or use fewer",
            check::counted(sources.len(), "image")
        ),
    })
}

/// One error as it is, several as one.
fn together(mut errors: Vec<Error>) -> Error {
    if errors.len() == 1 {
        return errors.remove(0);
    }
    let said = |error: &Error| match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    let mut shown: Vec<String> = errors.iter().take(IMAGES_SHOWN_MAX).map(said).collect();
    let count = errors.len();
    if count > shown.len() {
        shown.push(format!("and {} more", count - shown.len()));
    }
    Error::Images { count, shown }
}

fn read_image(path: &PathBuf) -> Result<RgbImage, Error> {
    let failed = |source| Error::Image {
        path: path.to_owned(),
        source,
    };
    let bytes = read_limited(path, IMAGE_BYTES_MAX as u64).map_err(Error::io("read", path))?;
    let bytes = bytes.ok_or_else(|| failed(DecodeError::TooLarge(format!("over {IMAGE_BYTES_MAX} bytes"))))?;
    decode::decode(&bytes).map_err(failed)
}

/// Reads a file of at most `limit` bytes; nothing if it has more.
fn read_limited(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let file = std::fs::File::open(path)?;
    if file.metadata()?.len() > limit {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, limit + 1), &mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// True for a name that stays inside its folder: one normal path component.
fn is_plain_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!(
        (components.next(), components.next()),
        (Some(std::path::Component::Normal(only)), None) if only == name
    ) && !name.contains(['\\', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_that_do_not_fit_the_memory_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..4).map(|at| folder.path().join(format!("{at}.png"))).collect();
        for path in &paths {
            RgbImage::new(100, 50).save(path).unwrap();
        }
        let fit = Fit {
            width: 10,
            height: 10,
            resize: None,
        };
        let check = |fit: Option<Fit>, memory: u64, expect: Result<usize, &str>| {
            let images = read_images(folder.path(), &paths, read_image, fit, memory).map_err(|error| error.to_string());
            let expect = expect.map_err(|problem| format!("{}: {problem}", folder.path().display()));
            assert_eq!(images.map(|images| images.len()), expect);
        };
        check(None, 60_000, Ok(4));
        check(
            None,
            59_999,
            Err(
                "once decoded, its 4 images would take more than 59999 bytes of memory: make them smaller, or use fewer",
            ),
        );
        check(Some(fit), 2_400, Ok(4));
    }
}
