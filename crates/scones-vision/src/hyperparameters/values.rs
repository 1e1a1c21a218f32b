//! From checked strings to typed values, with the rules that join several names.

use std::{collections::BTreeMap, str::FromStr};

use scones_nn::CLASSES_MAX;

use super::{Augmentation, EarlyStopping, Error, Hyperparameters, Optimizer, Schedule, TABLE};
use crate::dataset::LabelKind;

/// Longest side of the network's input: a guard against a shape that no memory holds.
const SIDE_MAX: u32 = 512;
/// Shortest side that four halvings leave something of.
const SIDE_MIN: u32 = 16;

/// Strings that each passed its own range check.
pub(super) struct Values<'a>(pub(super) &'a BTreeMap<String, String>);

impl Values<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim())
    }

    /// `None` when absent; never fails on a checked value of the right type.
    fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    fn invalid(&self, name: &'static str, expected: &str) -> Error {
        Error::Invalid {
            name,
            value: self.text(name).unwrap_or_default().to_owned(),
            expected: expected.to_owned(),
        }
    }

    fn unsupported(&self, name: &'static str, instead: &'static str) -> Error {
        Error::Unsupported {
            name,
            value: self.text(name).unwrap_or_default().to_owned(),
            instead,
        }
    }

    pub(super) fn assemble(&self) -> Result<Hyperparameters, Error> {
        self.refuse_degenerate()?;
        let num_classes: usize = self.number("num_classes").unwrap_or_default();
        if num_classes < 2 {
            return Err(self.invalid("num_classes", "a classifier needs at least 2 classes"));
        }
        if num_classes > CLASSES_MAX {
            return Err(self.unsupported("num_classes", "a classifier has at most 65536 classes"));
        }
        let top_k = self.number("top_k");
        if top_k.is_some_and(|k: usize| k > num_classes) {
            return Err(self.invalid("top_k", "it must not be larger than num_classes"));
        }
        let labels = self.labels();
        if top_k.is_some() && labels == LabelKind::Multi {
            return Err(self.invalid(
                "top_k",
                "it is for images of one class; leave it out with multi_label=1",
            ));
        }
        let epochs = self.number("epochs");
        self.check_checkpoints(epochs)?;
        let image_shape = self.image_shape()?;
        Ok(Hyperparameters {
            num_classes,
            labels,
            use_weighted_loss: labels == LabelKind::Multi && self.is_set("use_weighted_loss"),
            num_training_samples: self.number("num_training_samples").unwrap_or_default(),
            num_layers: self.number("num_layers"),
            use_pretrained_model: self.is_set("use_pretrained_model"),
            image_shape,
            resize: self.resize(image_shape)?,
            mini_batch_size: self.number("mini_batch_size"),
            epochs,
            checkpoint_frequency: self.number("checkpoint_frequency").unwrap_or(1),
            learning_rate: self.number("learning_rate"),
            schedule: self.schedule()?,
            optimizer: self.optimizer(),
            weight_decay: self.number("weight_decay"),
            augmentation: self.augmentation(),
            early_stopping: self.early_stopping(),
            top_k,
            notes: self.notes(),
        })
    }

    /// Whether a flag is 1.
    fn is_set(&self, name: &str) -> bool {
        self.text(name) == Some("1")
    }

    fn labels(&self) -> LabelKind {
        match self.is_set("multi_label") {
            true => LabelKind::Multi,
            false => LabelKind::Single,
        }
    }

    /// Ends of AWS's ranges with which the update rules stand still or divide by zero.
    fn refuse_degenerate(&self) -> Result<(), Error> {
        for name in ["momentum", "beta_1", "beta_2", "gamma"] {
            if self.number(name) == Some(1.0_f32) {
                return Err(self.unsupported(name, "use a value below 1"));
            }
        }
        match self.number("eps") {
            Some(0.0_f32) => Err(self.unsupported("eps", "use a value above 0, such as 1e-8")),
            _ => Ok(()),
        }
    }

    fn check_checkpoints(&self, epochs: Option<u32>) -> Result<(), Error> {
        match (self.number::<u32>("checkpoint_frequency"), epochs) {
            (Some(frequency), Some(epochs)) if frequency > epochs => {
                Err(self.invalid("checkpoint_frequency", "it must not be larger than epochs"))
            }
            _ => Ok(()),
        }
    }

    /// Without a value, the shape of CIFAR's images instead of AWS's ImageNet shape.
    fn image_shape(&self) -> Result<[u32; 3], Error> {
        let Some(text) = self.text("image_shape") else {
            return Ok([3, 32, 32]);
        };
        let parts: Vec<u32> = text.split(',').filter_map(|part| part.trim().parse().ok()).collect();
        let shape = <[u32; 3]>::try_from(parts);
        let [channels, height, width] =
            shape.map_err(|_| self.invalid("image_shape", "expected channels,height,width such as 3,32,32"))?;
        if channels != 3 {
            return Err(self.unsupported("image_shape", "images have 3 channels here"));
        }
        let sides = SIDE_MIN..=SIDE_MAX;
        if !sides.contains(&height) || !sides.contains(&width) {
            return Err(self.unsupported("image_shape", "height and width go from 16 to 512 here"));
        }
        Ok([channels, height, width])
    }

    fn resize(&self, [_, height, width]: [u32; 3]) -> Result<Option<u32>, Error> {
        match self.number("resize") {
            Some(side) if side < height.max(width) => {
                Err(self.invalid("resize", "it must not be smaller than the sides in image_shape"))
            }
            Some(side) if side > 4 * SIDE_MAX => Err(self.unsupported("resize", "sides go to 2048 here")),
            resize => Ok(resize),
        }
    }

    fn schedule(&self) -> Result<Schedule, Error> {
        let Some(steps) = self.text("lr_scheduler_step") else {
            return Ok(Schedule::WarmUpCosine);
        };
        let epochs: Vec<u32> = steps.split(',').filter_map(|part| part.trim().parse().ok()).collect();
        if !epochs.is_sorted_by(|earlier, later| earlier < later) || epochs.first() == Some(&0) {
            return Err(self.invalid("lr_scheduler_step", "expected ascending epochs from 1, such as 10,20"));
        }
        Ok(Schedule::Steps {
            epochs,
            factor: self.number("lr_scheduler_factor").unwrap_or(0.1),
        })
    }

    /// `None` when nothing of the update rule was chosen.
    fn optimizer(&self) -> Option<Optimizer> {
        let momentum = self.number("momentum");
        let epsilon = self.number("eps").unwrap_or(1e-8);
        Some(match (self.text("optimizer"), momentum) {
            (None, None) => return None,
            (Some("adam"), _) => Optimizer::Adam {
                beta_1: self.number("beta_1").unwrap_or(0.9),
                beta_2: self.number("beta_2").unwrap_or(0.999),
                epsilon,
            },
            (Some("rmsprop"), _) => Optimizer::RmsProp {
                gamma: self.number("gamma").unwrap_or(0.9),
                epsilon,
            },
            (rule, _) => {
                let momentum = momentum.unwrap_or(0.9);
                Optimizer::Sgd {
                    momentum,
                    nesterov: rule == Some("nag"),
                }
            }
        })
    }

    fn augmentation(&self) -> Option<Augmentation> {
        Some(match self.text("augmentation_type")? {
            "crop" => Augmentation::Crop,
            "crop_color" => Augmentation::CropColor,
            _ => Augmentation::CropColorTransform,
        })
    }

    fn early_stopping(&self) -> Option<EarlyStopping> {
        matches!(self.text("early_stopping"), Some("True" | "true")).then(|| EarlyStopping {
            epochs_min: self.number("early_stopping_min_epochs").unwrap_or(10),
            patience: self.number("early_stopping_patience").unwrap_or(5),
            tolerance: self.number("early_stopping_tolerance").unwrap_or(0.0),
        })
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note =
            |name: &str, effect: &str| notes.push(format!("{name}={}: {effect}", self.text(name).unwrap_or_default()));
        let optimizer = self.text("optimizer").unwrap_or("sgd");
        for parameter in TABLE.iter().filter(|parameter| self.text(parameter.name).is_some()) {
            match parameter.name {
                "kv_store" => note("kv_store", "one machine trains, so nothing is synchronised"),
                "precision_dtype" if self.text("precision_dtype") == Some("float16") => {
                    note("precision_dtype", "computed in float32");
                }
                "checkpoint_frequency" => note(
                    "checkpoint_frequency",
                    "a checkpoint is kept after each such epoch, for the case that training is interrupted; only the \
                     final model is stored",
                ),
                "num_layers" if self.is_set("use_pretrained_model") => note(
                    "num_layers",
                    "use_pretrained_model=1 begins with the network that ships with this program, of its own depth",
                ),
                "learning_rate" if self.number("learning_rate") == Some(0.0_f32) => {
                    note("learning_rate", "nothing is learnt, the weights stay as they begin");
                }
                name @ ("beta_1" | "beta_2") if optimizer != "adam" => note(name, "only adam uses it"),
                "eps" if !["adam", "rmsprop"].contains(&optimizer) => {
                    note("eps", "only adam and rmsprop use it");
                }
                "gamma" if optimizer != "rmsprop" => note("gamma", "only rmsprop uses it"),
                "momentum" if !["sgd", "nag"].contains(&optimizer) => {
                    note("momentum", "only sgd and nag use it");
                }
                "use_weighted_loss" if self.is_set("use_weighted_loss") && self.labels() == LabelKind::Single => {
                    note("use_weighted_loss", "only multi_label=1 uses it");
                }
                "lr_scheduler_factor" if self.text("lr_scheduler_step").is_none() => {
                    note("lr_scheduler_factor", "it needs lr_scheduler_step");
                }
                name if name.starts_with("early_stopping_") && self.early_stopping().is_none() => {
                    note(name, "it needs early_stopping=True");
                }
                _ => {}
            }
        }
        notes
    }
}
