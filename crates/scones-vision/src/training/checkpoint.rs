//! Where a training run stands between two epochs, as one file.
//!
//! A safetensors file: the weights, their moving average and the optimiser's memory as tensors,
//! and the rest as JSON in its metadata. A run that goes on from it, on the same processor with as
//! many threads, ends with the very weights of one that was never interrupted.

use std::{borrow::Cow, collections::HashMap};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use scones_nn::{Network, OptimizerMemory};
use serde::{Deserialize, Serialize};

use super::{Ended, Settings, early_stopping::Patience};
use crate::dataset::LabelKind;

const STATE: &str = "state";
const WEIGHTS: &str = "weights/";
const AVERAGE: &str = "average/";
const FIRST: &str = "memory/first";
const SECOND: &str = "memory/second";

/// Where a training run stands between two epochs; made by
/// [`Training::checkpoint`](super::Training::checkpoint).
#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub(super) weights: Network,
    pub(super) average: Network,
    pub(super) memory: OptimizerMemory,
    pub(super) state: State,
}

/// What is not a tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// What must be equal for the run to be the same one.
    pub(super) run: String,
    /// Steps of the optimiser.
    steps: u32,
    pub(super) ended: Ended,
    pub(super) patience: Option<Patience>,
}

impl Checkpoint {
    pub(super) fn new(
        run: String,
        [weights, average]: [&Network; 2],
        memory: &OptimizerMemory,
        ended: Ended,
        patience: Option<&Patience>,
    ) -> Self {
        Self {
            weights: weights.clone(),
            average: average.clone(),
            memory: memory.clone(),
            state: State {
                run,
                steps: memory.steps,
                ended,
                patience: patience.cloned(),
            },
        }
    }

    /// Epochs that had run to their end.
    #[must_use]
    pub fn epochs(&self) -> u32 {
        self.state.ended.epochs
    }

    /// The bytes of the file: about four times the weights'.
    ///
    /// # Errors
    /// Those of the encoding.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CheckpointError> {
        let mut tensors: Vec<(String, Vec<usize>, Cow<'_, [f32]>)> = Vec::new();
        for (part, network) in [(WEIGHTS, &self.weights), (AVERAGE, &self.average)] {
            tensors.extend(
                network
                    .tensors()
                    .map(|(name, shape, values)| (format!("{part}{name}"), shape, values.into())),
            );
        }
        for (name, values) in [(FIRST, &self.memory.first), (SECOND, &self.memory.second)] {
            tensors.push((name.to_owned(), vec![values.len()], values.into()));
        }
        let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let stored: Vec<Vec<u8>> = tensors.iter().map(|(_, _, values)| bytes(values)).collect();
        let views = tensors.iter().zip(&stored).map(|((name, shape, _), bytes)| {
            TensorView::new(Dtype::F32, shape.clone(), bytes).map(|view| (name.as_str(), view))
        });
        let state = serde_json::to_string(&self.state)?;
        let metadata = HashMap::from([(STATE.to_owned(), state)]);
        Ok(safetensors::serialize(
            views.collect::<Result<Vec<_>, _>>()?,
            Some(metadata),
        )?)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote. `like` is a network of the run's architecture.
    ///
    /// # Errors
    /// Bytes that are no checkpoint of such a network.
    pub fn from_bytes(bytes: &[u8], like: &Network) -> Result<Self, CheckpointError> {
        let (_, metadata) = SafeTensors::read_metadata(bytes)?;
        let state = metadata.metadata().as_ref().and_then(|texts| texts.get(STATE));
        let state: State = serde_json::from_str(state.ok_or(CheckpointError::State)?)?;
        let stored = SafeTensors::deserialize(bytes)?;
        let network = |part: &str| {
            Network::from_tensors(like.architecture().clone(), |name, shape| {
                let tensor = stored.tensor(&format!("{part}{name}")).ok()?;
                (tensor.shape() == shape).then(|| floats(&tensor))?
            })
        };
        let vector = |name: &str| floats(&stored.tensor(name)?).ok_or(CheckpointError::State);
        Ok(Self {
            weights: network(WEIGHTS)?,
            average: network(AVERAGE)?,
            memory: OptimizerMemory {
                steps: state.steps,
                first: vector(FIRST)?,
                second: vector(SECOND)?,
            },
            state,
        })
    }
}

fn floats(tensor: &TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = tensor.data().as_chunks().0;
    (tensor.dtype() == Dtype::F32).then(|| bytes.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// Names the run: two runs of equal names and equal images go the same way.
pub(super) fn run_name(settings: &Settings, kind: LabelKind, classes: &[String], samples: usize) -> String {
    // Threads change the rounding, and nothing else.
    let settings = Settings {
        threads: 0,
        ..settings.clone()
    };
    format!("{samples} images with {kind:?} labels of {classes:?} with {settings:?}")
}

/// Why a checkpoint could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// No file of tensors, or a damaged one.
    #[error("the checkpoint is damaged")]
    Tensors(#[from] safetensors::SafeTensorError),
    /// Its description is malformed.
    #[error("the checkpoint's description is malformed")]
    Description(#[from] serde_json::Error),
    /// A file of tensors that is no checkpoint.
    #[error("the file is not a checkpoint of this program")]
    State,
    /// It is of another network.
    #[error("the checkpoint is of another network")]
    Network(#[from] scones_nn::Error),
}
