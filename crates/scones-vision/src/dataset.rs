//! Labelled images in memory, and the formats that they come in.
//!
//! - [`cifar`]: the official CIFAR-10 and CIFAR-100 archives, pickled or binary.
//! - [`pickle`]: the strict reader of pickles below it.
//! - [`folder`]: one folder a class.
//! - [`list`]: SageMaker's `.lst` image lists, read and written.
//! - [`synthetic`]: drawn bicycles and motorcycles.
//! - [`check`]: what is wrong with a dataset before time is spent on training.

pub mod check;
pub mod cifar;
pub mod folder;
pub mod list;
pub mod pickle;
pub mod synthetic;

use std::{
    io,
    path::{Path, PathBuf},
};

use image::RgbImage;
use rayon::prelude::*;

use crate::decode::{self, DecodeError};

/// One labelled image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Pixels, row by row, red, green, blue.
    pub image: RgbImage,
    /// Index into [`Dataset::classes`].
    pub label: usize,
    /// The file's name, or its path relative to the dataset's folder.
    pub name: String,
}

/// Labelled images and the names of their classes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dataset {
    /// Names of the classes, in the order of the labels.
    pub classes: Vec<String>,
    /// The images, in the source's order. Every label is below `classes.len()`.
    pub samples: Vec<Sample>,
}

impl Dataset {
    /// How many samples each class has, in the order of the labels.
    #[must_use]
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for sample in &self.samples {
            counts[sample.label] += 1;
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
    /// An archive that is not one of CIFAR's, or is damaged.
    #[error("{origin}: {problem}")]
    Cifar {
        /// The archive, folder or member.
        origin: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A pickle that is not plain data.
    #[error("{origin} is not the expected pickle: {source}")]
    Pickle {
        /// The archive's member.
        origin: String,
        /// Where and why.
        source: pickle::Error,
    },
    /// A class that the data does not have.
    #[error("there is no class {class:?}; the data has: {known}")]
    UnknownClass {
        /// What was asked for.
        class: String,
        /// The names that exist.
        known: String,
    },
    /// Nothing to read.
    #[error("{}: {problem}", path.display())]
    Layout {
        /// The folder.
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

/// Reads and decodes image files, several at a time. The first failing file in order is the error.
fn read_images(paths: &[PathBuf]) -> Result<Vec<RgbImage>, (usize, Error)> {
    let images: Vec<Result<RgbImage, Error>> = paths.par_iter().map(|path| read_image(path)).collect();
    images
        .into_iter()
        .enumerate()
        .map(|(at, image)| image.map_err(|error| (at, error)))
        .collect()
}

fn read_image(path: &Path) -> Result<RgbImage, Error> {
    let io = |source| Error::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let bytes = read_limited(path, decode::IMAGE_BYTES_MAX as u64 + 1).map_err(io)?;
    decode::decode(&bytes).map_err(|source| Error::Image {
        path: path.to_owned(),
        source,
    })
}

/// Reads at most `limit` bytes of a file.
fn read_limited(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(std::fs::File::open(path)?, limit), &mut bytes)?;
    Ok(bytes)
}

/// True for a name that stays inside its folder: one normal path component.
fn is_plain_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!(
        (components.next(), components.next()),
        (Some(std::path::Component::Normal(only)), None) if only == name
    ) && !name.contains(['\\', '\0'])
}
