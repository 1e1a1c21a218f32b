//! The trained model and its file.
//!
//! `model.tar.gz` holds `model.json` (architecture, classes, preprocessing, calibration, where it
//! came from) and `model.safetensors` (the weights, under PyTorch's names and shapes). Equal models
//! give equal bytes. Reading takes nothing on trust: members, sizes, shapes and every number are
//! checked, nothing is unpacked to disk, and hostile files end in an [`Error`].

mod archive;

use std::io::{Read, Write};

use half::f16;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use scones_nn::{Architecture, Network};
use serde::{Deserialize, Serialize};

use crate::{dataset::LabelKind, preprocessing::Preprocessing};

/// Version of `model.json`, which every release reads. A release that adds a field whose absence
/// changes answers gives it a new version; unknown fields are refused.
const FORMAT: u32 = 1;
/// Longest `model.json` read.
pub const DESCRIPTION_BYTES_MAX: u64 = 4 << 20;
/// Longest `model.safetensors` read.
pub const WEIGHTS_BYTES_MAX: u64 = 1 << 30;

/// Most floats in the largest activation of an image: a guard against an architecture that no
/// memory holds. A 512 x 512 input of 64 channels has 17 million.
pub const ACTIVATION_FLOATS_MAX: usize = 1 << 25;

/// Why a model could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream failed.
    #[error("the model archive cannot be written")]
    Write(#[source] std::io::Error),
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] crate::archive::Error),
    /// A member that a model does not have.
    #[error("the model archive holds {0:?}; a model holds only model.json and model.safetensors")]
    Member(String),
    /// A member that is not there.
    #[error("the model archive holds no {0}: it was not made by this program")]
    Missing(&'static str),
    /// `model.json` is malformed.
    #[error("model.json is malformed")]
    Description(#[source] serde_json::Error),
    /// `model.json` says something impossible.
    #[error("model.json is malformed: {0}")]
    Invalid(String),
    /// `model.safetensors` is malformed.
    #[error("model.safetensors is malformed")]
    Weights(#[source] safetensors::SafeTensorError),
    /// A tensor of another type or shape than the architecture's.
    #[error("tensor {name} is {got}, but the architecture needs F32 or F16 {expected:?}")]
    Tensor {
        /// Which.
        name: String,
        /// Its type and shape.
        got: String,
        /// The shape it must have.
        expected: Vec<usize>,
    },
    /// The architecture is impossible, or the weights do not make its network.
    #[error("the network cannot be built")]
    Network(#[source] scones_nn::Error),
}

/// Where a model came from, for people and audits.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// The program and its version.
    pub program: String,
    /// Training images.
    pub training_images: usize,
    /// Validation images, which fixed the temperature and nothing else.
    pub validation_images: usize,
    /// Epochs that ran.
    pub epochs: u32,
    /// The seed.
    pub seed: u64,
    /// Accuracy on the validation images, from 0 to 1.
    pub validation_accuracy: Option<f64>,
}

/// A trained model.
#[derive(Debug, Clone)]
pub struct Model {
    /// Architecture and weights.
    pub network: Network,
    /// Names of the classes, in the order of the outputs.
    pub classes: Vec<String>,
    /// Whether an image has one class, which the outputs are softmax logits of, or any number, each
    /// output being the logit of a sigmoid.
    pub labels: LabelKind,
    /// From image to input.
    pub preprocessing: Preprocessing,
    /// Divides the logits before the softmax or the sigmoids; above 0.
    pub temperature: f32,
    /// Answer with the mean over the image and its mirror image.
    pub mirror_averaging: bool,
    /// Where it came from.
    pub provenance: Provenance,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format: u32,
    architecture: Architecture,
    classes: Vec<String>,
    #[serde(default)]
    labels: LabelKind,
    preprocessing: Preprocessing,
    temperature: f32,
    mirror_averaging: bool,
    provenance: Provenance,
}

impl Model {
    /// Writes `model.tar.gz`.
    ///
    /// # Errors
    /// What the stream reports.
    pub fn write(&self, out: impl Write) -> Result<(), Error> {
        archive::write(out, &self.files()?).map_err(Error::Write)
    }

    /// Writes `model.tar.gz` with its weights in half precision: half the size, and answers that
    /// differ in the fourth digit.
    ///
    /// # Errors
    /// What the stream reports.
    pub fn write_half(&self, out: impl Write) -> Result<(), Error> {
        archive::write(out, &self.encoded(Precision::Half)?).map_err(Error::Write)
    }

    /// The names and contents of the files that `model.tar.gz` holds.
    ///
    /// # Errors
    /// Those of the two encodings.
    pub fn files(&self) -> Result<[(&'static str, Vec<u8>); 2], Error> {
        self.encoded(Precision::Single)
    }

    fn encoded(&self, precision: Precision) -> Result<[(&'static str, Vec<u8>); 2], Error> {
        let description = serde_json::to_vec_pretty(&self.description()).map_err(Error::Description)?;
        Ok([
            (archive::DESCRIPTION, description),
            (archive::WEIGHTS, self.weights(precision)?),
        ])
    }

    /// Reads `model.tar.gz`. Takes up to about three times the weights in memory.
    ///
    /// # Errors
    /// Each [`Error`]; never panics on any bytes.
    pub fn read(artefact: impl Read) -> Result<Self, Error> {
        let (description, weights) = archive::read(artefact)?;
        let description: Description = serde_json::from_slice(&description).map_err(Error::Description)?;
        description.validate()?;
        let network = network(&description.architecture, &weights)?;
        Ok(Self {
            network,
            classes: description.classes,
            labels: description.labels,
            preprocessing: description.preprocessing,
            temperature: description.temperature,
            mirror_averaging: description.mirror_averaging,
            provenance: description.provenance,
        })
    }

    fn description(&self) -> Description {
        Description {
            format: FORMAT,
            architecture: self.network.architecture().clone(),
            classes: self.classes.clone(),
            labels: self.labels,
            preprocessing: self.preprocessing.clone(),
            temperature: self.temperature,
            mirror_averaging: self.mirror_averaging,
            provenance: self.provenance.clone(),
        }
    }

    fn weights(&self, precision: Precision) -> Result<Vec<u8>, Error> {
        let encoded: Vec<(Dtype, Vec<u8>)> = self
            .network
            .tensors()
            .map(|(_, shape, values)| precision.encode(&shape, values))
            .collect();
        let named = self.network.tensors().zip(&encoded);
        let views = named.map(|((name, shape, _), (dtype, bytes))| Ok((name, TensorView::new(*dtype, shape, bytes)?)));
        let views = views.collect::<Result<Vec<_>, _>>().map_err(Error::Weights)?;
        safetensors::serialize(views, None).map_err(Error::Weights)
    }
}

/// How weights are stored.
#[derive(Debug, Clone, Copy)]
enum Precision {
    Single,
    /// Of the weights proper; biases and normalisations, which are few and sensitive, stay single.
    Half,
}

impl Precision {
    fn encode(self, shape: &[usize], values: &[f32]) -> (Dtype, Vec<u8>) {
        let half = |value: &f32| f16::from_f32(*value).to_le_bytes();
        match self {
            Self::Half if shape.len() > 1 => (Dtype::F16, values.iter().flat_map(half).collect()),
            Self::Single | Self::Half => (
                Dtype::F32,
                values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ),
        }
    }
}

impl Description {
    fn validate(&self) -> Result<(), Error> {
        let Self {
            architecture,
            preprocessing,
            classes,
            temperature,
            ..
        } = self;
        let invalid = |problem: String| Err(Error::Invalid(problem));
        if self.format != FORMAT {
            return invalid(format!(
                "format {} is not known, only {FORMAT}; a newer release may read it",
                self.format
            ));
        }
        architecture.validate().map_err(Error::Network)?;
        let channels = architecture.stages.iter().map(|stage| stage.channels);
        let widest = channels.chain([architecture.stem_channels]).max().unwrap_or(0);
        let pixels = architecture.input.height * architecture.input.width;
        if pixels * widest > ACTIVATION_FLOATS_MAX {
            return invalid(format!("{pixels} pixels of {widest} channels need too much memory"));
        }
        if classes.len() != architecture.classes {
            return invalid(format!(
                "{} class names for {} outputs",
                classes.len(),
                architecture.classes
            ));
        }
        let input = (preprocessing.width as usize, preprocessing.height as usize, 3);
        if input
            != (
                architecture.input.width,
                architecture.input.height,
                architecture.input.channels,
            )
        {
            return invalid(format!("images of {input:?} for an input of {:?}", architecture.input));
        }
        let least = preprocessing.width.max(preprocessing.height);
        if preprocessing
            .resize
            .is_some_and(|side| side < least || side > crate::decode::IMAGE_SIDE_MAX)
        {
            return invalid(format!("resize {:?}", preprocessing.resize));
        }
        let positive = |value: &f32| value.is_finite() && *value > 0.0;
        if !positive(temperature) || !preprocessing.deviation.iter().all(positive) {
            return invalid("temperature and deviation must be above 0".to_owned());
        }
        if !preprocessing.mean.iter().all(|mean| mean.is_finite()) {
            return invalid("mean must be finite".to_owned());
        }
        Ok(())
    }
}

fn network(architecture: &Architecture, weights: &[u8]) -> Result<Network, Error> {
    let stored = SafeTensors::deserialize(weights).map_err(Error::Weights)?;
    let mut mismatch = None;
    let built = Network::from_tensors(architecture.clone(), |name, shape| {
        let tensor = stored.tensor(name).ok()?;
        let values = floats(&tensor).filter(|_| tensor.shape() == shape);
        if values.is_none() {
            let got = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
            mismatch = Some(Error::Tensor {
                name: name.to_owned(),
                got,
                expected: shape.to_vec(),
            });
        }
        values
    });
    match mismatch {
        Some(error) => Err(error),
        None => built.map_err(Error::Network),
    }
}

/// The numbers of a tensor in single or half precision.
fn floats(tensor: &TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = tensor.data();
    match tensor.dtype() {
        Dtype::F32 => Some(
            bytes
                .as_chunks()
                .0
                .iter()
                .map(|four| f32::from_le_bytes(*four))
                .collect(),
        ),
        Dtype::F16 => Some(
            bytes
                .as_chunks()
                .0
                .iter()
                .map(|two| f16::from_le_bytes(*two).to_f32())
                .collect(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
