//! `scones train`: a classifier from labelled images, without a server.

use std::{
    collections::BTreeMap,
    fs,
    ops::ControlFlow,
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use scones_vision::{
    backbone,
    dataset::{Label, LabelKind},
    hyperparameters::Hyperparameters,
    model::Model,
    predict::Classifier,
    training::{Error, Progress, Settings, Start, TrainedModel, train},
};
use serde_json::{Value, json};
use signal_hook::consts::SIGINT;

use super::evaluate;
use crate::{
    cli::TrainArgs,
    picture,
    source::{self, Labelled, Source},
    terminal,
};

pub(crate) fn run(arguments: &TrainArgs) -> anyhow::Result<ExitCode> {
    if arguments.output.exists() {
        bail!("{} exists; name another file with --output", arguments.output.display());
    }
    match arguments.images.load()? {
        Labelled::Single(source) => train_on(arguments, &source),
        Labelled::Multi(source) => train_on(arguments, &source),
    }
}

fn train_on<L: Label>(arguments: &TrainArgs, source: &Source<L>) -> anyhow::Result<ExitCode> {
    for warning in &source.warnings {
        terminal::say(format_args!("warning: {warning}"));
    }
    let hyperparameters = hyperparameters(source, &arguments.hyperparameters)?;
    for note in &hyperparameters.notes {
        terminal::say(note);
    }
    let threads = arguments.threads.or(std::thread::available_parallelism().ok());
    let settings = Settings::from_hyperparameters(&hyperparameters, arguments.seed, threads.map_or(1, Into::into));
    if let Some(note) = source.fitted((settings.width, settings.height)) {
        terminal::say(note);
    }
    let backbone = match hyperparameters.use_pretrained_model {
        true => Some(backbone::model()?),
        false => None,
    };
    let begun = Instant::now();
    let trained = watch(
        source,
        &settings,
        backbone.as_ref().map_or(Start::Scratch, Start::Model),
    )?;
    let seconds = begun.elapsed().as_secs_f64();
    if trained.stopped {
        let epochs = terminal::counted(trained.epochs as usize, "whole epoch");
        terminal::say(format_args!(
            "stopped early: the model is the one after {epochs} of {}",
            settings.epochs
        ));
    }
    write(&arguments.output, &trained.model)?;
    report(arguments, source, &trained, seconds)
}

/// The algorithm's hyperparameters: what the user gave, and what the images tell.
fn hyperparameters<L: Label>(source: &Source<L>, given: &[(String, String)]) -> anyhow::Result<Hyperparameters> {
    let mut all: BTreeMap<String, String> = given.iter().cloned().collect();
    if let (Some(depth), None) = (all.get("num_layers"), all.get("use_pretrained_model")) {
        terminal::say(format_args!(
            "num_layers={depth}: training begins from scratch; the network that ships with Scones has a depth of its own"
        ));
        all.insert("use_pretrained_model".to_owned(), "0".to_owned());
    }
    let mut tell = |name: &str, value: String| {
        all.entry(name.to_owned()).or_insert(value);
    };
    tell("num_classes", source.train.classes.len().to_string());
    tell("num_training_samples", source.train.samples.len().to_string());
    tell("use_pretrained_model", "1".to_owned());
    if L::KIND == LabelKind::Multi {
        tell("multi_label", "1".to_owned());
    }
    let side = source::RESIZED_SIDE;
    match source.common_size() {
        Some((height, width)) => tell("image_shape", format!("3,{height},{width}")),
        None => {
            tell("image_shape", format!("3,{side},{side}"));
            tell("resize", side.to_string());
        }
    }
    let parsed = Hyperparameters::parse(&all)?;
    let classes = &source.train.classes;
    if parsed.num_classes != classes.len() {
        bail!(
            "num_classes is {}, but {} has {} classes ({}): leave num_classes out, or make them equal",
            parsed.num_classes,
            source.description,
            classes.len(),
            classes.join(", ")
        );
    }
    if parsed.labels != L::KIND {
        bail!(
            "{}",
            match L::KIND {
                LabelKind::Single => "multi_label=1 needs an image list (.lst) with a column for each class, 0 or 1",
                LabelKind::Multi => "the image list has a column for each class: leave multi_label out, or give it 1",
            }
        );
    }
    Ok(parsed)
}

/// Trains, shows how far it is, and ends with the model so far when Ctrl-C is pressed.
fn watch<L: Label>(source: &Source<L>, settings: &Settings, start: Start<'_>) -> anyhow::Result<TrainedModel> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let handler = signal_hook::flag::register(SIGINT, Arc::clone(&interrupted)).context("cannot listen for Ctrl-C")?;
    let mut curve = Curve::default();
    let trained = train(&source.train, Some(&source.test), settings, start, &mut |progress| {
        curve.show(&progress);
        if interrupted.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    signal_hook::low_level::unregister(handler);
    curve.bar.finish_and_clear();
    match trained {
        Err(Error::Stopped) => bail!("stopped before the first epoch ended: there is no model"),
        trained => Ok(trained?),
    }
}

/// The course of the training on stderr: a bar for the steps, a line for each epoch.
struct Curve {
    bar: ProgressBar,
    epochs: u32,
    accuracies: Vec<f64>,
}

impl Default for Curve {
    fn default() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            epochs: 0,
            accuracies: Vec::new(),
        }
    }
}

impl Curve {
    fn show(&mut self, progress: &Progress) {
        match *progress {
            Progress::Started { epochs, batches, .. } => {
                self.epochs = epochs;
                let steps = u64::from(epochs) * batches as u64;
                self.bar = terminal::bar(steps, "steps", "Training");
            }
            Progress::Batch { .. } => self.bar.inc(1),
            Progress::Epoch {
                epoch,
                loss,
                validation,
                ..
            } => {
                self.accuracies.extend(validation.map(|validation| validation.accuracy));
                let curve = picture::sparkline(&self.accuracies, 0.5, 1.0);
                let accuracy = self.accuracies.last().copied().unwrap_or_default();
                let line = format!(
                    "epoch {}/{}  loss {loss:.3}  accuracy {accuracy:.3}  {curve}",
                    epoch + 1,
                    self.epochs
                );
                self.bar.suspend(|| terminal::say(line));
            }
        }
    }
}

/// Writes the model beside its place and moves it there, so that it is whole or not there.
fn write(path: &Path, model: &Model) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}.part", std::process::id()));
    let written = fs::File::create(&unfinished)
        .map_err(anyhow::Error::from)
        .and_then(|file| Ok(model.write(file)?))
        .and_then(|()| Ok(fs::rename(&unfinished, path)?));
    if written.is_err() {
        // It may not even have been made.
        let _ = fs::remove_file(&unfinished);
    }
    written.with_context(cannot)
}

fn report<L: Label>(
    arguments: &TrainArgs,
    source: &Source<L>,
    trained: &TrainedModel,
    seconds: f64,
) -> anyhow::Result<ExitCode> {
    let classifier = Classifier::new(&trained.model);
    let measured = evaluate::measure(&classifier.classify_all(&source.test)?, &source.test);
    let path = terminal::quoted(&arguments.output.to_string_lossy());
    if arguments.json {
        let mut document = measured.json();
        if let Value::Object(members) = &mut document {
            members.insert("model".to_owned(), json!(arguments.output));
            members.insert("epochs".to_owned(), json!(trained.epochs));
            members.insert("stopped".to_owned(), json!(trained.stopped));
            members.insert("seconds".to_owned(), json!(seconds));
            members.insert("trainingImages".to_owned(), json!(source.train.samples.len()));
            members.insert("testImages".to_owned(), json!(source.test.samples.len()));
        }
        terminal::print(serde_json::to_string_pretty(&document)?);
        return Ok(ExitCode::SUCCESS);
    }
    let program = terminal::program();
    terminal::print(format_args!(
        "{path}: {} of {} in {seconds:.1} s; on {} that were held back, to which the temperature was fitted too, so that \
         the loss and the calibration error are optimistic:",
        terminal::counted(trained.epochs as usize, "epoch"),
        terminal::counted(source.train.samples.len(), "image"),
        terminal::counted(source.test.samples.len(), "image"),
    ));
    terminal::print(measured.text());
    terminal::print(format_args!("Ask it: {program} predict --model {path} IMAGE..."));
    Ok(ExitCode::SUCCESS)
}
