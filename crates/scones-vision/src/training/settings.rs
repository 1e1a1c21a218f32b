//! What a training run is told.

use scones_nn::{Architecture, Block, Optimizer, Shape, Stage, Transition};

use super::augmentation::Augmentation;
use crate::backbone;
use crate::hyperparameters::{self, EarlyStopping, Hyperparameters, Schedule};

/// Training images seen in a run of default length: more for small sets, until
/// [`EPOCHS_MAX_DEFAULT`].
const IMAGES_DEFAULT: usize = 60_000;
const EPOCHS_MIN_DEFAULT: u32 = 10;
const EPOCHS_MAX_DEFAULT: u32 = 60;
const BATCH_SIZE_DEFAULT: usize = 64;
const WEIGHT_DECAY_DEFAULT: f32 = 5e-4;
/// Little: more makes the answers less sure than they should be.
const LABEL_SMOOTHING_DEFAULT: f32 = 0.03;
const ADAM_LEARNING_RATE_DEFAULT: f32 = 2e-3;
const RMSPROP_LEARNING_RATE_DEFAULT: f32 = 1e-3;
const SGD_LEARNING_RATE_DEFAULT: f32 = 0.1;

/// The same for a training that begins with the shipped network: three quarters of a minute
/// on two cores for images of 32 x 32 pixels.
const FINE_TUNING_IMAGES_DEFAULT: usize = 15_000;
const FINE_TUNING_EPOCHS_MIN_DEFAULT: u32 = 3;
const FINE_TUNING_EPOCHS_MAX_DEFAULT: u32 = 30;
const FINE_TUNING_LEARNING_RATE_DEFAULT: f32 = 0.06;

/// The shape of the network.
#[derive(Debug, Clone, PartialEq)]
pub enum NetworkChoice {
    /// A residual network of this many layers, as in the ResNet paper.
    Depth(u32),
    /// Stages of one's own.
    Stages {
        /// Channels after the first convolution.
        stem_channels: usize,
        /// How the stages begin.
        transition: Transition,
        /// The residual stages.
        stages: Vec<Stage>,
    },
}

impl Default for NetworkChoice {
    /// Three stages of a pooled convolution and one block: 28 million multiply-adds for 32 x 32
    /// pixels. With a thousand images, more steps of a small network teach more in the same time
    /// than fewer of a large one.
    fn default() -> Self {
        let stages = [32, 64, 128].map(|channels| Stage {
            channels,
            blocks: 1,
            stride: 2,
        });
        Self::Stages {
            stem_channels: 32,
            transition: Transition::Pooled,
            stages: stages.to_vec(),
        }
    }
}

impl NetworkChoice {
    /// The architecture for images of `input` and so many classes.
    ///
    /// # Errors
    /// One that cannot be built.
    pub fn architecture(&self, input: Shape, classes: usize) -> Result<Architecture, scones_nn::Error> {
        match self {
            Self::Depth(depth) => Architecture::resnet(*depth, input, classes),
            Self::Stages {
                stem_channels,
                transition,
                stages,
            } => {
                let architecture = Architecture {
                    input,
                    stem_channels: *stem_channels,
                    block: Block::Basic,
                    transition: *transition,
                    stages: stages.clone(),
                    classes,
                };
                architecture.validate()?;
                Ok(architecture)
            }
        }
    }
}

/// What a training run is told. Equal settings and data on equal processors give equal models.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The network.
    pub network: NetworkChoice,
    /// Whether a small stem begins as filters that whiten the training images.
    pub whitened_stem: bool,
    /// Width of the network's input, in pixels.
    pub width: u32,
    /// Height of the network's input, in pixels.
    pub height: u32,
    /// Shortest side that images are fitted to before a crop; see
    /// [`Preprocessing::resize`](crate::preprocessing::Preprocessing::resize).
    pub resize: Option<u32>,
    /// Images a step.
    pub batch_size: usize,
    /// Passes over the training set.
    pub epochs: u32,
    /// Peak learning rate.
    pub learning_rate: f32,
    /// How it falls.
    pub schedule: Schedule,
    /// Pull of the weights to zero.
    pub weight_decay: f32,
    /// Update rule.
    pub optimizer: Optimizer,
    /// How images are varied.
    pub augmentation: Augmentation,
    /// Share of each target that is spread over all classes (Szegedy et al., 2015); with several
    /// classes an image, in proportion to their frequency.
    pub label_smoothing: f32,
    /// With several classes an image: those that have a class count in the loss as much as those
    /// that do not. No effect otherwise.
    pub weighted_loss: bool,
    /// Decay a step of the exponential moving average that is delivered; 0 for the last weights.
    pub averaging: f32,
    /// When to end early; needs validation images.
    pub early_stopping: Option<EarlyStopping>,
    /// Also report how often the right class is among this many best.
    pub top_k: Option<usize>,
    /// Decides the first weights, the order and the variations of the images.
    pub seed: u64,
    /// Threads, at least 1.
    pub threads: usize,
}

impl Settings {
    /// This program's own choices for a training set of this size. They were chosen by
    /// cross-validation on a thousand 32 x 32 photographs; `docs/classifier.md` has what was tried.
    #[must_use]
    pub fn new(training_samples: usize, seed: u64, threads: usize) -> Self {
        let epochs = (IMAGES_DEFAULT / training_samples.max(1)) as u32;
        Self {
            network: NetworkChoice::default(),
            whitened_stem: true,
            width: 32,
            height: 32,
            resize: None,
            batch_size: BATCH_SIZE_DEFAULT,
            epochs: epochs.clamp(EPOCHS_MIN_DEFAULT, EPOCHS_MAX_DEFAULT),
            learning_rate: SGD_LEARNING_RATE_DEFAULT,
            schedule: Schedule::WarmUpCosine,
            weight_decay: WEIGHT_DECAY_DEFAULT,
            optimizer: Optimizer::Sgd {
                momentum: 0.9,
                nesterov: true,
            },
            augmentation: Augmentation {
                cutout: 0.5,
                cutout_side: 0.5,
                ..Augmentation::CROP
            },
            label_smoothing: LABEL_SMOOTHING_DEFAULT,
            weighted_loss: false,
            averaging: 0.98,
            early_stopping: None,
            top_k: None,
            seed,
            threads,
        }
    }

    /// This program's own choices for a training that begins with the shipped network.
    #[must_use]
    pub fn fine_tuning(training_samples: usize, seed: u64, threads: usize) -> Self {
        let epochs = (FINE_TUNING_IMAGES_DEFAULT / training_samples.max(1)) as u32;
        Self {
            network: backbone::settings(threads).network,
            epochs: epochs.clamp(FINE_TUNING_EPOCHS_MIN_DEFAULT, FINE_TUNING_EPOCHS_MAX_DEFAULT),
            learning_rate: FINE_TUNING_LEARNING_RATE_DEFAULT,
            ..Self::new(training_samples, seed, threads)
        }
    }

    /// The user's choices, and this program's own where the user made none.
    #[must_use]
    pub fn from_hyperparameters(given: &Hyperparameters, seed: u64, threads: usize) -> Self {
        let [_, height, width] = given.image_shape;
        let (own, (width, height, resize)) = if given.use_pretrained_model {
            let own = Self::fine_tuning(given.num_training_samples, seed, threads);
            (own, backbone::fitted(width, height, given.resize))
        } else {
            let own = Self::new(given.num_training_samples, seed, threads);
            (own, (width, height, given.resize))
        };
        let learning_rate = match given.optimizer {
            Some(hyperparameters::Optimizer::Adam { .. }) => ADAM_LEARNING_RATE_DEFAULT,
            Some(hyperparameters::Optimizer::RmsProp { .. }) => RMSPROP_LEARNING_RATE_DEFAULT,
            Some(hyperparameters::Optimizer::Sgd { .. }) | None => own.learning_rate,
        };
        Self {
            network: given.num_layers.map_or(own.network, NetworkChoice::Depth),
            width,
            height,
            resize,
            batch_size: given.mini_batch_size.unwrap_or(own.batch_size),
            epochs: given.epochs.unwrap_or(own.epochs),
            learning_rate: given.learning_rate.unwrap_or(learning_rate),
            schedule: given.schedule.clone(),
            weight_decay: given.weight_decay.unwrap_or(own.weight_decay),
            optimizer: given.optimizer.map_or(own.optimizer, optimizer),
            augmentation: given.augmentation.map_or(own.augmentation, augmentation),
            weighted_loss: given.use_weighted_loss,
            early_stopping: given.early_stopping,
            top_k: given.top_k,
            ..own
        }
    }
}

fn optimizer(given: hyperparameters::Optimizer) -> Optimizer {
    match given {
        hyperparameters::Optimizer::Sgd { momentum, nesterov } => Optimizer::Sgd { momentum, nesterov },
        hyperparameters::Optimizer::Adam {
            beta_1: beta1,
            beta_2: beta2,
            epsilon,
        } => Optimizer::Adam { beta1, beta2, epsilon },
        hyperparameters::Optimizer::RmsProp { gamma, epsilon } => Optimizer::RmsProp { gamma1: gamma, epsilon },
    }
}

fn augmentation(given: hyperparameters::Augmentation) -> Augmentation {
    match given {
        hyperparameters::Augmentation::Crop => Augmentation::CROP,
        hyperparameters::Augmentation::CropColor => Augmentation::CROP_COLOR,
        hyperparameters::Augmentation::CropColorTransform => Augmentation::CROP_COLOR_TRANSFORM,
    }
}
