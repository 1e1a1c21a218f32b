//! The training loop: a function from data, settings and a seed to a model, which tells the caller
//! how far it is and stops between two steps when the caller says so.

mod augmentation;
mod batches;
mod checkpoint;
mod early_stopping;
mod log;
mod schedule;
mod settings;
mod whitening;

use std::{collections::HashMap, ops::ControlFlow};

use rayon::{ThreadPool, ThreadPoolBuilder};
use scones_nn::{Architecture, ClassWeights, Loss, Network, Shape, StepSettings, Trainer};
use serde::{Deserialize, Serialize};

pub use augmentation::Augmentation;
pub use checkpoint::{Checkpoint, CheckpointError};
pub use log::LogLines;
pub use settings::{NetworkChoice, Settings};

use crate::{
    dataset::{Dataset, Label, LabelKind, check::lack_of_classes},
    evaluation::{Evaluation, fit_temperature, fit_weighted, probabilities_of, top_k_correct},
    model::{Model, Provenance},
    predict::Classifier,
    preprocessing::Preprocessing,
};
use batches::Batches;
use early_stopping::Patience;

/// Most that one side of a class counts more than the other with [`Settings::weighted_loss`].
const WEIGHT_RATIO_MAX: f64 = 20.0;

/// Why training ended without a model.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not enough to learn from.
    #[error("{0}")]
    Data(String),
    /// Settings that exclude each other.
    #[error("{0}")]
    Settings(&'static str),
    /// The network could not be built or diverged.
    #[error("the network cannot be trained")]
    Network(#[from] scones_nn::Error),
    /// Threads could not be started.
    #[error("cannot start the threads that prepare images")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// The model to begin with does not fit.
    #[error("training cannot begin with the model given: {0}")]
    Start(String),
    /// A checkpoint that is damaged or of another network.
    #[error("training cannot go on from its checkpoint")]
    Checkpoint(#[from] CheckpointError),
    /// A checkpoint of other settings or other data.
    #[error("the checkpoint is of another training run: its settings or its images differ")]
    OtherRun,
    /// The caller asked to stop before there was anything to deliver.
    #[error("training was stopped before its first epoch ended")]
    Stopped,
}

/// How far training is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress {
    /// Before the first step.
    Started {
        /// Epochs that a checkpoint brought.
        epoch: u32,
        /// Epochs planned, those among them.
        epochs: u32,
        /// Steps an epoch.
        batches: usize,
        /// Trainable parameters of the network.
        parameters: usize,
    },
    /// After each step.
    Batch {
        /// From 0.
        epoch: u32,
        /// From 0.
        batch: usize,
        /// Images since the epoch began.
        images: usize,
        /// Mean loss of an answer since the epoch began, in nats.
        loss: f64,
        /// Share of right answers since the epoch began, on the varied images; with several
        /// classes an image, of all answers to all classes.
        accuracy: f64,
    },
    /// After each epoch.
    Epoch {
        /// From 0.
        epoch: u32,
        /// Mean loss of an answer in the epoch's steps, in nats.
        loss: f64,
        /// Share of right answers in the epoch's steps, on the varied images.
        accuracy: f64,
        /// On the validation images, if there are any.
        validation: Option<Validation>,
    },
}

/// What the model that would be delivered now does with the validation images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Validation {
    /// Share of right answers.
    pub accuracy: f64,
    /// Mean loss of an answer, in nats.
    pub loss: f64,
    /// `k` and the share of images whose label is among the `k` most likely classes.
    pub top_k: Option<(usize, f64)>,
}

/// A training run that ended, by itself or because it was told to.
#[derive(Debug, Clone)]
pub struct TrainedModel {
    /// The model.
    pub model: Model,
    /// Share of right answers in the last whole epoch, on the varied images.
    pub training_accuracy: f64,
    /// The model on the validation images, with the calibrated probabilities that it answers with.
    /// The temperature was fitted on the same images, so the calibration error is optimistic; the
    /// accuracy is not.
    pub validation: Option<Evaluation>,
    /// Epochs that ran to their end.
    pub epochs: u32,
    /// Whether the caller asked to stop before the end: the model is the one so far.
    pub stopped: bool,
}

/// What the weights begin as.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    /// Random weights, drawn from the seed.
    Scratch,
    /// The weights of a model, and its normalisation of images. Its dense layer is replaced where
    /// the classes or the kinds of labels differ. [`Settings::network`] has no effect.
    Model(&'a Model),
}

/// Trains a classifier from `start` to the end; see [`Training`].
///
/// # Errors
/// Those of [`Training::new`] and of each epoch, and [`Error::Stopped`] when `progress` breaks off
/// before the first epoch has ended.
pub fn train<L: Label>(
    training: &Dataset<L>,
    validation: Option<&Dataset<L>>,
    settings: &Settings,
    start: Start<'_>,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<TrainedModel, Error> {
    let mut run = Training::new(training, validation, settings, start)?;
    while run.epoch(progress)?.is_continue() {}
    run.finish()
}

/// A training run, an epoch at a time, so that a caller can keep a [`Checkpoint`] between two.
///
/// The delivered weights are those of the end (their moving average, if set), never the ones that
/// happened to do best on the validation images. When `progress` breaks off, the end is there.
pub struct Training<'a, L = usize> {
    settings: &'a Settings,
    training: &'a Dataset<L>,
    validation: Option<&'a Dataset<L>>,
    pool: ThreadPool,
    batches: Batches<'a, L>,
    loss: Loss,
    trainer: Trainer,
    /// The moving average of the weights.
    average: Network,
    preprocessing: Preprocessing,
    patience: Option<Patience>,
    ended: Ended,
    /// Whether nobody has been told that it starts.
    is_new: bool,
}

/// Where the epochs ended.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Ended {
    epochs: u32,
    training_accuracy: f64,
    /// Because the caller wanted it.
    stopped: bool,
}

/// Sums over the steps of an epoch.
#[derive(Default)]
struct Sums {
    images: usize,
    loss: f64,
    /// One an image, or one for each of its classes.
    answers: usize,
    correct: usize,
}

impl Sums {
    fn mean_loss(&self) -> f64 {
        self.loss / self.answers.max(1) as f64
    }

    fn accuracy(&self) -> f64 {
        self.correct as f64 / self.answers.max(1) as f64
    }
}

impl<'a, L: Label> Training<'a, L> {
    /// A run before its first epoch.
    ///
    /// # Errors
    /// Data or settings that cannot work, and a model that does not fit them.
    pub fn new(
        training: &'a Dataset<L>,
        validation: Option<&'a Dataset<L>>,
        settings: &'a Settings,
        start: Start<'_>,
    ) -> Result<Self, Error> {
        check(training, validation, settings)?;
        let Settings {
            width,
            height,
            resize,
            seed,
            threads,
            ..
        } = *settings;
        let pool = ThreadPoolBuilder::new().num_threads(threads).build()?;
        let mut preprocessing = Preprocessing::measure(width, height, resize, training);
        let input = Shape {
            width: width as usize,
            height: height as usize,
            channels: 3,
        };
        let network = match start {
            Start::Scratch => Network::new(settings.network.architecture(input, training.classes.len())?, seed)?,
            Start::Model(model) => {
                preprocessing.mean = model.preprocessing.mean;
                preprocessing.deviation = model.preprocessing.deviation;
                adapted(model, input, (L::KIND, &training.classes), seed)?
            }
        };
        let batches = pool.install(|| Batches::new(training, &preprocessing, settings));
        let network = match start {
            Start::Scratch if settings.whitened_stem => pool.install(|| whitening::whitened(&network, &batches))?,
            Start::Scratch | Start::Model(_) => network,
        };
        let loss = loss(training, settings);
        let trainer = Trainer::new(network.clone(), batches.largest(), settings.optimizer, threads)?;
        let trainer = trainer.with_loss(loss.clone())?;
        Ok(Self {
            settings,
            training,
            validation,
            pool,
            batches,
            loss,
            trainer,
            average: network,
            preprocessing,
            patience: settings.early_stopping.map(Patience::new),
            ended: Ended::default(),
            is_new: true,
        })
    }

    /// Where the run stands. Between two epochs a copy of it takes four times the weights' memory.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        let networks = [self.trainer.network(), &self.average];
        Checkpoint::new(
            self.name(),
            networks,
            self.trainer.memory(),
            self.ended,
            self.patience.as_ref(),
        )
    }

    /// Goes on from a checkpoint of a run that was made with equal arguments.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] and [`Error::OtherRun`]; the run is then as it was.
    pub fn resume(&mut self, checkpoint: &[u8]) -> Result<(), Error> {
        let checkpoint = Checkpoint::from_bytes(checkpoint, &self.average)?;
        if checkpoint.state.run != self.name() {
            return Err(Error::OtherRun);
        }
        let Settings { optimizer, threads, .. } = *self.settings;
        let trainer = Trainer::new(checkpoint.weights, self.batches.largest(), optimizer, threads)?;
        let mut trainer = trainer.with_loss(self.loss.clone())?;
        trainer.restore(checkpoint.memory)?;
        self.trainer = trainer;
        self.average = checkpoint.average;
        self.patience = checkpoint.state.patience;
        self.ended = checkpoint.state.ended;
        Ok(())
    }

    fn name(&self) -> String {
        let Dataset { classes, samples, .. } = self.training;
        checkpoint::run_name(self.settings, L::KIND, classes, samples.len())
    }

    /// Epochs that have run to their end.
    pub fn epochs(&self) -> u32 {
        self.ended.epochs
    }

    /// Runs the next epoch. Breaks when there is no further one: all have run, the accuracy no
    /// longer rises, or `progress` broke off, which leaves the epoch's weights as they are.
    ///
    /// # Errors
    /// A network that diverges.
    pub fn epoch(&mut self, progress: &mut dyn FnMut(Progress) -> ControlFlow<()>) -> Result<ControlFlow<()>, Error> {
        let epoch = self.ended.epochs;
        if epoch >= self.settings.epochs || self.ended.stopped {
            return Ok(ControlFlow::Break(()));
        }
        let batches = self.batches.per_epoch();
        let started = Progress::Started {
            epoch,
            epochs: self.settings.epochs,
            batches,
            parameters: self.average.architecture().parameter_count(),
        };
        if std::mem::take(&mut self.is_new) && progress(started).is_break() {
            return Ok(self.stop());
        }
        let mut sums = Sums::default();
        for batch in 0..batches {
            self.step(epoch, batch, &mut sums)?;
            let (images, loss, accuracy) = (sums.images, sums.mean_loss(), sums.accuracy());
            let stepped = Progress::Batch {
                epoch,
                batch,
                images,
                loss,
                accuracy,
            };
            if progress(stepped).is_break() {
                return Ok(self.stop());
            }
        }
        let (loss, accuracy) = (sums.mean_loss(), sums.accuracy());
        let validation = self.validate()?;
        self.ended.epochs = epoch + 1;
        self.ended.training_accuracy = accuracy;
        let over = Progress::Epoch {
            epoch,
            loss,
            accuracy,
            validation,
        };
        if progress(over).is_break() {
            return Ok(self.stop());
        }
        let exhausted = match (&mut self.patience, validation) {
            (Some(patience), Some(validation)) => patience.is_exhausted(epoch, validation.accuracy),
            _ => false,
        };
        Ok(if exhausted || self.ended.epochs == self.settings.epochs {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    fn stop(&mut self) -> ControlFlow<()> {
        self.ended.stopped = true;
        ControlFlow::Break(())
    }

    fn step(&mut self, epoch: u32, batch: usize, sums: &mut Sums) -> Result<(), Error> {
        let steps_per_epoch = self.batches.per_epoch();
        let step = epoch as usize * steps_per_epoch + batch;
        let steps = self.settings.epochs as usize * steps_per_epoch;
        let Settings {
            learning_rate,
            ref schedule,
            weight_decay,
            ..
        } = *self.settings;
        let learning_rate = schedule::learning_rate(schedule, learning_rate, step, steps, steps_per_epoch);
        let (images, targets) = self.pool.install(|| self.batches.prepare(epoch, batch));
        let report = self.trainer.step(
            images,
            targets,
            &StepSettings {
                learning_rate,
                weight_decay,
            },
        )?;
        let count = targets.len() / self.training.classes.len();
        sums.images += count;
        sums.answers += match L::KIND {
            LabelKind::Single => count,
            LabelKind::Multi => targets.len(),
        };
        sums.loss += f64::from(report.loss) * count as f64;
        sums.correct += report.correct;
        // The average forgets the first, bad weights sooner than its decay alone would.
        let decay = self.settings.averaging.min((1.0 + step as f32) / (10.0 + step as f32));
        let weight = if self.settings.averaging > 0.0 {
            1.0 - decay
        } else {
            1.0
        };
        self.average.average_with(self.trainer.network(), weight)?;
        Ok(())
    }

    fn model(&self) -> Model {
        Model {
            network: self.average.clone(),
            classes: self.training.classes.clone(),
            labels: L::KIND,
            preprocessing: self.preprocessing.clone(),
            temperature: 1.0,
            mirror_averaging: self.settings.augmentation.mirror,
            provenance: Provenance::default(),
        }
    }

    /// The validation images' logits and labels.
    fn answers(&self, images: &Dataset<L>) -> Result<(Vec<f32>, Vec<L>), Error> {
        let classifier = Classifier::new(&self.model());
        let logits = self.pool.install(|| classifier.all_logits(images))?;
        Ok((
            logits,
            images.samples.iter().map(|sample| sample.label.clone()).collect(),
        ))
    }

    fn validate(&self) -> Result<Option<Validation>, Error> {
        let Some(images) = self.validation else { return Ok(None) };
        let (logits, labels) = self.answers(images)?;
        let classes = self.training.classes.len();
        let evaluation = Evaluation::new(&probabilities_of(L::KIND, &logits, classes, 1.0), &labels, classes);
        let share = |k| top_k_correct(&logits, &labels, classes, k) as f64 / labels.len().max(1) as f64;
        Ok(Some(Validation {
            accuracy: evaluation.accuracy.value,
            loss: evaluation.loss,
            top_k: self.settings.top_k.map(|k| (k, share(k))),
        }))
    }

    /// The model.
    ///
    /// # Errors
    /// [`Error::Stopped`] before the first epoch has ended.
    pub fn finish(self) -> Result<TrainedModel, Error> {
        let ended = self.ended;
        if ended.epochs == 0 {
            return Err(Error::Stopped);
        }
        let mut model = self.model();
        let mut validation = None;
        if let Some(images) = self.validation {
            let (logits, labels) = self.answers(images)?;
            let classes = model.classes.len();
            model.temperature = match &self.loss {
                Loss::Softmax => fit_temperature(&logits, &labels, classes),
                Loss::Sigmoids { weights } => fit_weighted(&logits, &labels, weights),
            };
            let rows = probabilities_of(L::KIND, &logits, classes, model.temperature);
            validation = Some(Evaluation::new(&rows, &labels, classes));
        }
        model.provenance = Provenance {
            program: concat!("scones ", env!("CARGO_PKG_VERSION")).to_owned(),
            training_images: self.training.samples.len(),
            validation_images: self.validation.map_or(0, |images| images.samples.len()),
            epochs: ended.epochs,
            seed: self.settings.seed,
            validation_accuracy: validation.as_ref().map(|evaluation| evaluation.accuracy.value),
        };
        Ok(TrainedModel {
            model,
            training_accuracy: ended.training_accuracy,
            validation,
            epochs: ended.epochs,
            stopped: ended.stopped,
        })
    }
}

/// What the network is trained for.
fn loss<L: Label>(training: &Dataset<L>, settings: &Settings) -> Loss {
    if L::KIND == LabelKind::Single {
        return Loss::Softmax;
    }
    let images = training.samples.len();
    let weigh = |present: usize| match settings.weighted_loss {
        true => balanced(present, images - present),
        false => ClassWeights::default(),
    };
    Loss::Sigmoids {
        weights: training.class_counts().into_iter().map(weigh).collect(),
    }
}

/// Weights with which images that have a class count as much as those that do not, and all images
/// together as much as without weights. AWS says no more than that its "weights are calculated
/// based on the distribution of classes"; this is the usual ratio of positive weights, absent to
/// present, up to [`WEIGHT_RATIO_MAX`] either way, so that a few images do not drown the others.
fn balanced(present: usize, absent: usize) -> ClassWeights {
    let ratio = absent as f64 / present.max(1) as f64;
    let ratio = ratio.clamp(1.0 / WEIGHT_RATIO_MAX, WEIGHT_RATIO_MAX);
    let weight = (present + absent) as f64 / (present as f64 * ratio + absent as f64);
    ClassWeights {
        present: (ratio * weight) as f32,
        absent: weight as f32,
    }
}

/// The model's network for images of `input` and labels of this kind and these classes.
fn adapted(model: &Model, input: Shape, (kind, classes): (LabelKind, &[String]), seed: u64) -> Result<Network, Error> {
    let network = &model.network;
    let architecture = Architecture {
        input,
        ..network.architecture().clone()
    };
    let tensors: HashMap<String, Vec<f32>> = network
        .tensors()
        .map(|(name, _, values)| (name, values.to_vec()))
        .collect();
    // Only the stem depends on the size of the images.
    let mut network = Network::from_tensors(architecture, |name, _| tensors.get(name).cloned()).map_err(|error| {
        Error::Start(format!(
            "it is not for images of {} x {}: {error}",
            input.width, input.height
        ))
    })?;
    if model.classes != classes || model.labels != kind {
        network = network.with_classes(classes.len(), seed)?;
    }
    Ok(network)
}

fn check<L: Label>(training: &Dataset<L>, validation: Option<&Dataset<L>>, settings: &Settings) -> Result<(), Error> {
    if let Some((_, message)) = lack_of_classes(training) {
        return Err(Error::Data(message));
    }
    if let Some(validation) = validation {
        if validation.classes != training.classes {
            return Err(Error::Data(format!(
                "the validation classes {:?} are not the training classes {:?}",
                validation.classes, training.classes
            )));
        }
        if validation.samples.is_empty() {
            return Err(Error::Data(
                "there are no validation images: add some or leave the channel out".to_owned(),
            ));
        }
    } else if settings.early_stopping.is_some() {
        return Err(Error::Settings(
            "early_stopping needs validation images: add a validation channel",
        ));
    }
    let largest_side = settings.width.max(settings.height);
    if settings.resize.is_some_and(|shortest| shortest < largest_side) || largest_side == 0 {
        return Err(Error::Settings(
            "resize must not be smaller than the sides of the input",
        ));
    }
    if settings.epochs == 0 || settings.batch_size == 0 || settings.threads == 0 {
        return Err(Error::Settings("epochs, batch size and threads must be at least 1"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
