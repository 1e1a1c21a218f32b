//! A classifier of either kind: the one place where they are told apart.

use std::{
    fs::File,
    io::{BufReader, Read, Seek},
    path::Path,
};

use scones_vision::{
    archive,
    dataset::{Dataset, Label, LabelKind},
    model, predict,
};

use crate::{ClassifyError, Error, OnnxClassifier, Runtime, archive::find_model};

/// A model ready to answer. Shared by reference among any number of threads.
pub enum Classifier {
    /// A network of Scones's own.
    Own(Box<predict::Classifier>),
    /// A model of another program.
    Onnx(Box<OnnxClassifier>),
}

impl Classifier {
    /// Opens the `model.tar.gz` in a file. Blocks, and for an ONNX model takes up to three times
    /// its size in memory.
    ///
    /// # Errors
    /// Each [`Error`].
    pub fn open(artefact: &Path, runtime: &Runtime) -> Result<Self, Error> {
        let artefact = File::open(artefact).map_err(archive::Error::Unreadable)?;
        Self::read(BufReader::new(artefact), runtime)
    }

    /// Opens a `model.tar.gz`.
    ///
    /// # Errors
    /// Each [`Error`]; never panics on any bytes.
    pub fn read(mut artefact: impl Read + Seek, runtime: &Runtime) -> Result<Self, Error> {
        artefact.rewind().map_err(archive::Error::Unreadable)?;
        let other = match predict::Classifier::from_artefact(&mut artefact) {
            Ok(classifier) => return Ok(Self::Own(Box::new(classifier))),
            Err(model::Error::Member(other)) => other,
            Err(error) => return Err(error.into()),
        };
        let name = find_model(&mut artefact)?.ok_or(Error::Neither(other))?;
        let classifier = OnnxClassifier::read(artefact, &name, runtime)?;
        Ok(Self::Onnx(Box::new(classifier)))
    }

    /// Names of the classes, in the order of the probabilities.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Own(classifier) => classifier.classes(),
            Self::Onnx(classifier) => classifier.classes(),
        }
    }

    /// Whether an image has one class or any number of them. A model in ONNX does not say: its
    /// images are taken to have one.
    #[must_use]
    pub fn labels(&self) -> LabelKind {
        match self {
            Self::Own(classifier) => classifier.labels(),
            Self::Onnx(_) => LabelKind::Single,
        }
    }

    /// The probability of each class for an encoded PNG or JPEG.
    ///
    /// # Errors
    /// Each [`ClassifyError`].
    pub fn classify(&self, image: &[u8]) -> Result<Vec<f32>, ClassifyError> {
        match self {
            Self::Own(classifier) => Ok(classifier.classify(image)?),
            Self::Onnx(classifier) => classifier.classify(image),
        }
    }

    /// The probabilities of each class for each image of a dataset, row by row, computed on all
    /// processors.
    ///
    /// # Errors
    /// Of the first image that has no answer.
    pub fn classify_all(&self, images: &Dataset<impl Label>) -> Result<Vec<f32>, ClassifyError> {
        match self {
            Self::Own(classifier) => Ok(classifier.classify_all(images)?),
            Self::Onnx(classifier) => {
                let images = images.samples.iter().map(|sample| &sample.image);
                let rows: Result<Vec<_>, _> = images.map(|image| classifier.classify_image(image)).collect();
                Ok(rows?.concat())
            }
        }
    }

    /// How many images are computed at the same time; other threads that ask meanwhile block.
    #[must_use]
    pub fn concurrency(&self) -> usize {
        match self {
            Self::Own(_) => usize::MAX,
            Self::Onnx(_) => 1,
        }
    }
}
