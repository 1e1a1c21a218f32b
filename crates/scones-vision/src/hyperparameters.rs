//! The contract of SageMaker's built-in image-classification algorithm: names, defaults, ranges.
//!
//! Values come as strings, as CreateTrainingJob sends them. Every name and every value is checked
//! against AWS's table before any work. A valid value that this program does not honour is an
//! error that names it; the few that change nothing here become [`Hyperparameters::notes`] for
//! the job's log. What the user leaves out takes this program's own default, chosen for small
//! images, and [`TABLE`] has AWS's beside it.
//!
//! <https://docs.aws.amazon.com/sagemaker/latest/dg/IC-Hyperparameter.html>

mod table;
mod values;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    dataset::{
        LabelKind,
        check::{Finding, Problem, Severity},
    },
    preprocessing::Fit,
};

pub use table::{Kind, Parameter, TABLE};

/// Why a hyperparameter was refused. [`Error::name`] tells which.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A name that the algorithm does not have.
    #[error("Additional hyperparameters are not allowed: '{name}' was unexpected{}", suggest(.suggestion))]
    Unknown {
        /// The name that was sent.
        name: String,
        /// A known name like it.
        suggestion: Option<&'static str>,
    },
    /// A required name that was not sent.
    #[error("'{name}' is a required hyperparameter")]
    Missing {
        /// Which.
        name: &'static str,
    },
    /// A value outside the range.
    #[error("hyperparameter '{name}' has the value '{value}': {expected}")]
    Invalid {
        /// Which.
        name: &'static str,
        /// What was sent.
        value: String,
        /// What is valid.
        expected: String,
    },
    /// Valid on AWS, and not built here.
    #[error("hyperparameter '{name}' has the value '{value}', which is not supported here: {instead}")]
    Unsupported {
        /// Which.
        name: &'static str,
        /// What was sent.
        value: String,
        /// What to do.
        instead: &'static str,
    },
}

fn suggest(suggestion: &Option<&str>) -> String {
    suggestion
        .map(|name| format!("; did you mean '{name}'?"))
        .unwrap_or_default()
}

impl Error {
    /// The hyperparameter concerned.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Unknown { name, .. } => name,
            Self::Missing { name } | Self::Invalid { name, .. } | Self::Unsupported { name, .. } => name,
        }
    }
}

/// The optimiser's update rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Optimizer {
    /// Stochastic gradient descent; `nesterov` for AWS's `nag`.
    Sgd {
        /// From 0 to 1.
        momentum: f32,
        /// Look ahead along the momentum.
        nesterov: bool,
    },
    /// Adam.
    Adam {
        /// Decay of the first moment, from 0 to 1.
        beta_1: f32,
        /// Decay of the second moment, from 0 to 1.
        beta_2: f32,
        /// Added to the divisor.
        epsilon: f32,
    },
    /// RMSProp.
    RmsProp {
        /// Decay of the mean of squared gradients, from 0 to 1.
        gamma: f32,
        /// Added to the divisor.
        epsilon: f32,
    },
}

/// How the learning rate falls.
#[derive(Debug, Clone, PartialEq)]
pub enum Schedule {
    /// Linear warm-up, then a cosine down to zero.
    WarmUpCosine,
    /// AWS's: multiplied by `factor` after each of these epochs.
    Steps {
        /// Epochs, ascending, counted from 1.
        epochs: Vec<u32>,
        /// From 0 to 1.
        factor: f32,
    },
}

/// How training images are varied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Augmentation {
    /// `crop`: random shifts and mirror images.
    Crop,
    /// `crop_color`: also random hue, saturation and lightness.
    CropColor,
    /// `crop_color_transform`: also random rotation, shear and aspect ratio.
    CropColorTransform,
}

/// When to end before the last epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EarlyStopping {
    /// Epochs that always run.
    pub epochs_min: u32,
    /// Epochs to wait for an improvement.
    pub patience: u32,
    /// Relative improvement below which an epoch counts as none.
    pub tolerance: f32,
}

/// A checked set of hyperparameters. `None` means that the user left the choice to this program.
#[derive(Debug, Clone, PartialEq)]
pub struct Hyperparameters {
    /// Classes of the network's output, at least 2.
    pub num_classes: usize,
    /// Whether an image has one class or any number of them: `multi_label`.
    pub labels: LabelKind,
    /// Whether the sides of a class count alike however many images have it; only with
    /// [`LabelKind::Multi`].
    pub use_weighted_loss: bool,
    /// Promised size of the training set.
    pub num_training_samples: usize,
    /// Layers of the residual network.
    pub num_layers: Option<u32>,
    /// Begin with the network that ships with the program ([`crate::backbone`]).
    pub use_pretrained_model: bool,
    /// Channels, height, width.
    pub image_shape: [u32; 3],
    /// Shortest side to fit images to before cropping.
    pub resize: Option<u32>,
    /// Images a step.
    pub mini_batch_size: Option<usize>,
    /// Passes over the training set.
    pub epochs: Option<u32>,
    /// Epochs from one checkpoint to the next, at least 1.
    pub checkpoint_frequency: u32,
    /// Peak learning rate.
    pub learning_rate: Option<f32>,
    /// How it falls.
    pub schedule: Schedule,
    /// Update rule.
    pub optimizer: Option<Optimizer>,
    /// Strength of the pull of weights to zero.
    pub weight_decay: Option<f32>,
    /// How images are varied.
    pub augmentation: Option<Augmentation>,
    /// When to end early.
    pub early_stopping: Option<EarlyStopping>,
    /// Also report how often the right class is among this many best.
    pub top_k: Option<usize>,
    /// For the job's log: what was accepted and changes nothing here.
    pub notes: Vec<String>,
}

impl Hyperparameters {
    /// Checks a job's hyperparameters. Names are checked first, then presence, then values.
    ///
    /// # Errors
    /// The first offence, in the order of the names.
    pub fn parse(given: &BTreeMap<String, String>) -> Result<Self, Error> {
        for name in given.keys() {
            if !TABLE.iter().any(|parameter| parameter.name == name) {
                let suggestion = table::nearest(name);
                return Err(Error::Unknown {
                    name: name.clone(),
                    suggestion,
                });
            }
        }
        for parameter in TABLE {
            match given.get(parameter.name) {
                Some(value) => parameter.check(value)?,
                None if parameter.required => return Err(Error::Missing { name: parameter.name }),
                None => {}
            }
        }
        values::Values(given).assemble()
    }

    /// Width and height that every image must have; `None` when images are resized anyway. For
    /// [`check`](crate::dataset::check::check).
    #[must_use]
    pub fn image_size(&self) -> Option<(u32, u32)> {
        let [_, height, width] = self.image_shape;
        self.resize.is_none().then_some((width, height))
    }

    /// How images are fitted as they are read, when they are resized anyway. For
    /// [`list::read_fitted`](crate::dataset::list::read_fitted) and
    /// [`folder::read_fitted`](crate::dataset::folder::read_fitted).
    #[must_use]
    pub fn fit(&self) -> Option<Fit> {
        let [_, height, width] = self.image_shape;
        self.resize.map(|_| Fit {
            width,
            height,
            resize: self.resize,
        })
    }

    /// Names for the classes of an image list, which has only numbers. With these,
    /// [`list::read`](crate::dataset::list::read) refuses labels from `num_classes` on.
    #[must_use]
    pub fn class_names(&self) -> Vec<String> {
        (0..self.num_classes).map(|label| label.to_string()).collect()
    }

    /// A warning when `num_training_samples` is not the size of the training set.
    #[must_use]
    pub fn check_count(&self, training_images: usize) -> Option<Finding> {
        (training_images != self.num_training_samples).then(|| Finding {
            severity: Severity::Warning,
            problem: Problem::Count,
            message: format!(
                "num_training_samples is {}, but there are {training_images} training images: \
                 set it to {training_images}",
                self.num_training_samples
            ),
            files: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests;
