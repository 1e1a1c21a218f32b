//! What a training process does: the built-in image classification algorithm over a folder that
//! is laid out as SageMaker lays out `/opt/ml`.
//!
//! It reads `input/config` and `input/data`, prints AWS's log lines, leaves the model in `model`,
//! and ends with `output/exit.json`; when it fails, `output/failure` says why in words that name
//! the file, the line and what to do. It never touches the network, the store, or another folder.

mod checkpoints;
mod data;
mod start;

use std::{
    collections::BTreeMap,
    io,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::Duration,
};

use chrono::SecondsFormat;
use scones_api::Clock;
use scones_vision::{
    dataset::{ClassSet, Dataset, Label, LabelKind},
    hyperparameters::Hyperparameters,
    model::Model,
    training::{self, LogLines, Progress, Settings, Start, TrainedModel, Training},
};

use checkpoints::Checkpoints;

use crate::{
    training::directory::{ExitRecord, JobDirectory},
    vision::error_chain as chain,
};

/// The seed of every training run: the algorithm has no hyperparameter for it.
const SEED: u64 = 1;

/// What a training process needs from its surroundings.
pub struct Surroundings<'a> {
    /// Whether the process was told to stop (SIGTERM). Asked after every step.
    pub is_stopped: &'a dyn Fn() -> bool,
    /// Prints a line of the log, the line's end not included.
    pub print: &'a mut dyn FnMut(&str),
    /// The time, for the log.
    pub clock: &'a dyn Clock,
    /// Threads that train, at least 1.
    pub threads: usize,
}

/// Why there is no model.
enum End {
    /// The user can mend it.
    Client(String),
    /// The user cannot.
    Algorithm(String),
    /// The process was told to stop before there was one.
    Stopped,
}

/// Trains in the folder `directory` and gives the process's exit code: 0 for a model or for
/// having been told to stop, 1 for a failure that the user can mend, 2 for any other. Blocks for
/// as long as training takes.
///
/// # Errors
/// When the folder's `output` cannot be written.
pub fn run_training_worker(directory: &Path, surroundings: Surroundings<'_>) -> io::Result<i32> {
    let directory = JobDirectory::new(directory);
    let mut worker = Worker {
        directory: directory.clone(),
        surroundings,
    };
    worker.say("Docker entrypoint called with argument(s): train");
    let ended = catch_unwind(AssertUnwindSafe(|| worker.train())).unwrap_or_else(|panic| {
        Err(End::Algorithm(format!(
            "the training program panicked: {}",
            words(&*panic)
        )))
    });
    let (code, stopped) = match ended {
        Ok(stopped) => (0, stopped),
        Err(End::Stopped) => {
            worker.say("Training was stopped before its first epoch ended: there is no model");
            (0, true)
        }
        Err(End::Client(reason)) => (worker.fail("ClientError", &reason, 1)?, false),
        Err(End::Algorithm(reason)) => (worker.fail("AlgorithmError", &reason, 2)?, false),
    };
    directory.write_exit(ExitRecord { code, stopped })?;
    Ok(code)
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or(panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given")
}

struct Worker<'a> {
    directory: JobDirectory,
    surroundings: Surroundings<'a>,
}

impl Worker<'_> {
    /// Prints a line as the algorithm does: `[11/23/2026 05:00:00 INFO 7] text`.
    fn say(&mut self, text: &str) {
        self.print("INFO", text);
    }

    fn print(&mut self, level: &str, text: &str) {
        let text = self.without_folder(text);
        let time = self.surroundings.clock.now().to_utc().format("%m/%d/%Y %H:%M:%S");
        (self.surroundings.print)(&format!("[{time} {level} {}] {text}", std::process::id()));
    }

    fn fail(&mut self, class: &str, reason: &str, code: i32) -> io::Result<i32> {
        let reason = self.without_folder(reason);
        self.print("ERROR", &reason);
        std::fs::write(self.directory.failure(), format!("{class}: {reason}"))?;
        Ok(code)
    }

    /// Paths as they would be in SageMaker's container.
    fn without_folder(&self, text: &str) -> String {
        text.replace(&*self.directory.path().to_string_lossy(), "/opt/ml")
    }

    /// Leaves a model. Whether it is the one so far of a process that was told to stop.
    fn train(&mut self) -> Result<bool, End> {
        let hyperparameters = self.hyperparameters()?;
        match hyperparameters.labels {
            LabelKind::Single => self.train_on::<usize>(&hyperparameters),
            LabelKind::Multi => self.train_on::<ClassSet>(&hyperparameters),
        }
    }

    fn train_on<L: Label>(&mut self, hyperparameters: &Hyperparameters) -> Result<bool, End> {
        let channels = data::read_channels(&self.directory)?;
        self.say("Reading the images");
        let training: Dataset<L> = data::read(&self.directory, &channels, "train", hyperparameters)?;
        let validation = data::read(&self.directory, &channels, "validation", hyperparameters)?;
        let counts = (training.samples.len(), validation.samples.len());
        self.say(&format!(
            "{} training images, {} validation images, {} classes",
            counts.0,
            counts.1,
            training.classes.len()
        ));
        for warning in data::check(&training, &validation, hyperparameters)? {
            self.print("WARNING", &warning);
        }
        let settings = Settings::from_hyperparameters(hyperparameters, SEED, self.surroundings.threads);
        let model = start::read(&self.directory, &channels, hyperparameters, &settings)?;
        if let Some((_, line)) = &model {
            self.say(line);
        }
        let begins_with = model.as_ref().map_or(Start::Scratch, |(model, _)| Start::Model(model));
        let trained = self.run(
            &training,
            &validation,
            &settings,
            begins_with,
            hyperparameters.checkpoint_frequency,
        );
        let trained = trained.map_err(|error| match error {
            training::Error::Stopped => End::Stopped,
            training::Error::Data(_) | training::Error::Settings(_) | training::Error::Start(_) => {
                End::Client(chain(&error))
            }
            _ => End::Algorithm(chain(&error)),
        })?;
        if self.is_abandoned() {
            return Err(End::Stopped);
        }
        self.report(&trained);
        self.save(&trained.model)?;
        Ok(trained.stopped)
    }

    /// Trains, from the checkpoint of an interrupted process on if there is one.
    fn run<L: Label>(
        &mut self,
        training: &Dataset<L>,
        validation: &Dataset<L>,
        settings: &Settings,
        begins_with: Start<'_>,
        checkpoint_frequency: u32,
    ) -> Result<TrainedModel, training::Error> {
        let began = self.surroundings.clock.now();
        let mut lines = LogLines::default();
        let mut run = Training::new(training, Some(validation), settings, begins_with)?;
        let checkpoints = Checkpoints::new(&self.directory, checkpoint_frequency);
        if let Err(problem) = checkpoints.resume(&mut run) {
            self.print("WARNING", &format!("{problem}: training begins anew"));
        }
        let mut progress = |progress: Progress| {
            let elapsed: Duration = self.surroundings.clock.now().since(began);
            for line in lines.lines(&progress, elapsed) {
                self.say(&line);
            }
            let abandoned = matches!(progress, Progress::Epoch { .. }) && self.is_abandoned();
            if abandoned || (self.surroundings.is_stopped)() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let mut problem = None;
        while run.epoch(&mut progress)?.is_continue() {
            if let (None, Err(error)) = (&problem, checkpoints.keep(&run)) {
                problem = Some(error);
            }
        }
        if let Some(problem) = problem {
            // Nothing that the model lacks.
            self.print("WARNING", &format!("a checkpoint could not be kept: {problem}"));
        }
        run.finish()
    }

    /// A folder that is gone belongs to nobody.
    fn is_abandoned(&self) -> bool {
        !self.directory.output().exists()
    }

    fn hyperparameters(&mut self) -> Result<Hyperparameters, End> {
        let path = self.directory.config("hyperparameters.json");
        let bytes = std::fs::read(&path).map_err(|error| End::Algorithm(format!("{}: {error}", path.display())))?;
        let given: BTreeMap<String, String> = serde_json::from_slice(&bytes)
            .map_err(|error| End::Client(format!("the hyperparameters are not JSON strings: {error}")))?;
        self.say(&format!("Running with the hyperparameters {given:?}"));
        let parsed = Hyperparameters::parse(&given).map_err(|error| {
            End::Client(format!(
                "Unable to initialize the algorithm. Failed to validate algorithm hyperparameters. (caused by \
                 ValidationError) Caused by: {error}"
            ))
        })?;
        for note in &parsed.notes {
            self.say(note);
        }
        Ok(parsed)
    }

    fn report(&mut self, trained: &TrainedModel) {
        if trained.stopped {
            self.say(&format!(
                "Training was stopped: the model is the one after {} whole epochs",
                trained.epochs
            ));
        }
        let Some(validation) = &trained.validation else { return };
        let accuracy = validation.accuracy;
        self.say(&format!(
            "Final validation accuracy: {:.6} (95% interval {:.4} to {:.4})",
            accuracy.value, accuracy.low, accuracy.high
        ));
        self.say(&format!(
            "Final validation calibration error: {:.6} (loss {:.6}; both are optimistic, for the temperature of {:.3} was \
             fitted on the same images)",
            validation.calibration_error, validation.loss, trained.model.temperature
        ));
        if trained.model.labels == LabelKind::Multi {
            self.say(&format!(
                "That is the average over all classes; every class is right for {:.6} of the validation images",
                validation.exact.value
            ));
        }
    }

    /// Leaves the model's files in `model`; the training service packs them.
    fn save(&mut self, model: &Model) -> Result<(), End> {
        let failed =
            |error: &dyn std::error::Error| End::Algorithm(format!("the model cannot be saved: {}", chain(error)));
        for (name, bytes) in model.files().map_err(|error| failed(&error))? {
            std::fs::write(self.directory.model().join(name), bytes).map_err(|error| failed(&error))?;
        }
        let time = self
            .surroundings
            .clock
            .now()
            .to_utc()
            .to_rfc3339_opts(SecondsFormat::Secs, true);
        self.say(&format!("Saved the model to \"/opt/ml/model\" at {time}"));
        Ok(())
    }
}
