//! Cross-validates the default settings: accuracy, calibration and time of each fold.
//!
//! `cargo run --release -p scones-vision --example folds -- --data FOLDER --lst FILE [--folds N]
//! [--seeds N] [--split-seed N] [--threads N] [--pretrained shipped|model.tar.gz] [--mistakes PNG]`,
//! and settings by their names, such as `--epochs N`, `--batch-size N`, `--learning-rate X`.

#![expect(clippy::print_stdout, reason = "it is a command-line program")]

use std::{
    collections::HashMap, error::Error, num::ParseIntError, ops::ControlFlow, path::Path, str::FromStr, time::Instant,
};

use scones_nn::{Stage, Transition};
use scones_vision::{
    backbone,
    dataset::{Dataset, list},
    evaluation::{
        Evaluation, best, contact_sheet, expected_calibration_error, fit_temperature, probabilities, stratified_folds,
    },
    model::Model,
    predict::Classifier,
    training::{NetworkChoice, Settings, Start, train},
};

const USAGE: &str = "usage: folds --data FOLDER --lst FILE [--folds 5] [--seeds 1] [--split-seed 0] [--threads 2] \
                     [--pretrained shipped|FILE] [--epochs N] ...";

struct Options(HashMap<String, String>);

impl Options {
    fn read() -> Result<Self, Box<dyn Error>> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let pairs = arguments.chunks(2).map(|pair| match pair {
            [name, value] if name.starts_with("--") => Ok((name[2..].to_owned(), value.clone())),
            _ => Err(USAGE),
        });
        Ok(Self(pairs.collect::<Result<_, _>>()?))
    }

    fn text(&self, name: &str) -> Result<&str, Box<dyn Error>> {
        Ok(self.0.get(name).ok_or(USAGE)?)
    }

    fn number<T: FromStr<Err: Error + 'static>>(&self, name: &str, default: T) -> Result<T, Box<dyn Error>> {
        self.0.get(name).map_or(Ok(default), |text| Ok(text.parse()?))
    }
}

impl Options {
    /// The model to begin with: the shipped one, or that of a file.
    fn pretrained(&self) -> Result<Option<Model>, Box<dyn Error>> {
        Ok(match self.0.get("pretrained").map(String::as_str) {
            None => None,
            Some("shipped") => Some(backbone::model()?),
            Some(path) => Some(Model::read(std::fs::File::open(path)?)?),
        })
    }

    /// Pooled stages of `--channels A,B,C` with `--blocks N` each, behind a stem of `--stem N`.
    fn network(&self, settings: &mut Settings) -> Result<(), Box<dyn Error>> {
        let Some(channels) = self.0.get("channels") else {
            return Ok(());
        };
        let blocks = self.number("blocks", 1)?;
        let stages = channels.split(',').map(|channels| {
            Ok(Stage {
                channels: channels.parse()?,
                blocks,
                stride: 2,
            })
        });
        settings.network = NetworkChoice::Stages {
            stem_channels: self.number("stem", 32)?,
            transition: Transition::Pooled,
            stages: stages.collect::<Result<_, ParseIntError>>()?,
        };
        settings.whitened_stem = true;
        Ok(())
    }
}

struct Outcome {
    /// Of the fold's images, which nothing of the training saw.
    logits: Vec<f32>,
    labels: Vec<usize>,
    seconds: f64,
}

/// Answers to the images of all runs.
#[derive(Default)]
struct Pool {
    /// As the model gives them.
    plain: Vec<f32>,
    /// With a temperature fitted on the other half of the fold's images.
    calibrated: Vec<f32>,
    logits: Vec<f32>,
    labels: Vec<usize>,
    calibrated_labels: Vec<usize>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::read()?;
    let dataset = list::read(Path::new(options.text("lst")?), Path::new(options.text("data")?), None)?;
    let classes = dataset.classes.len();
    let labels: Vec<usize> = dataset.samples.iter().map(|sample| sample.label).collect();
    let folds = stratified_folds(&labels, options.number("folds", 5)?, options.number("split-seed", 0)?);
    let mut accuracies = Vec::new();
    let mut pool = Pool::default();
    let mut mistakes: Vec<Mistake> = Vec::new();
    for seed in 0..options.number("seeds", 1_u64)? {
        for (number, fold) in folds.iter().enumerate() {
            let outcome = run(&dataset, fold, seed, &options)?;
            let plain = probabilities(&outcome.logits, classes, 1.0);
            let Evaluation { accuracy, loss, .. } = Evaluation::new(&plain, &outcome.labels, classes);
            println!(
                "seed {seed} fold {number}: accuracy {:.4} [{:.4}, {:.4}] loss {loss:.4} {:.1} s",
                accuracy.value, accuracy.low, accuracy.high, outcome.seconds
            );
            accuracies.push(accuracy.value);
            mistakes.extend(
                fold.iter()
                    .zip(plain.chunks_exact(classes))
                    .filter_map(|(&sample, row)| {
                        let answer = best(row);
                        (answer != labels[sample]).then(|| Mistake {
                            sample,
                            answer,
                            probability: row[answer],
                        })
                    }),
            );
            pool.add(plain, outcome, classes);
        }
    }
    let (mean, deviation) = moments(&accuracies);
    println!(
        "mean accuracy {mean:.4}, standard deviation {deviation:.4}, {} runs",
        accuracies.len()
    );
    println!(
        "calibration error of all answers together: {:.4}; calibrated on the other half of a fold's images {:.4}; best \
         temperature {:.3}",
        expected_calibration_error(&pool.plain, &pool.labels, classes),
        expected_calibration_error(&pool.calibrated, &pool.calibrated_labels, classes),
        fit_temperature(&pool.logits, &pool.labels, classes),
    );
    if let Some(path) = options.0.get("mistakes") {
        write_mistakes(mistakes, &dataset, Path::new(path))?;
    }
    Ok(())
}

/// A wrong answer of a network that had not seen the image.
struct Mistake {
    sample: usize,
    answer: usize,
    probability: f32,
}

/// Prints the mistakes, the surest first, and writes their images in this order as one picture.
fn write_mistakes(mut mistakes: Vec<Mistake>, dataset: &Dataset, path: &Path) -> Result<(), Box<dyn Error>> {
    mistakes.sort_by(|one, other| other.probability.total_cmp(&one.probability));
    for Mistake {
        sample,
        answer,
        probability,
    } in &mistakes
    {
        let (name, label) = (&dataset.samples[*sample].name, dataset.samples[*sample].label);
        let [is, said] = [label, *answer].map(|class| &dataset.classes[class]);
        println!("{name}: {is}, called {said} with {probability:.3}");
    }
    let images: Vec<_> = mistakes
        .iter()
        .map(|mistake| &dataset.samples[mistake.sample].image)
        .collect();
    contact_sheet(&images).save(path)?;
    Ok(())
}

fn run(dataset: &Dataset, fold: &[usize], seed: u64, options: &Options) -> Result<Outcome, Box<dyn Error>> {
    let rest: Vec<usize> = (0..dataset.samples.len())
        .filter(|at| fold.binary_search(at).is_err())
        .collect();
    let (training, validation) = (dataset.subset(&rest), dataset.subset(fold));
    let (count, threads) = (training.samples.len(), options.number("threads", 2)?);
    let pretrained = options.pretrained()?;
    let mut settings = match &pretrained {
        Some(_) => Settings::fine_tuning(count, seed, threads),
        None => Settings::new(count, seed, threads),
    };
    options.network(&mut settings)?;
    settings.epochs = options.number("epochs", settings.epochs)?;
    settings.batch_size = options.number("batch-size", settings.batch_size)?;
    settings.learning_rate = options.number("learning-rate", settings.learning_rate)?;
    settings.weight_decay = options.number("weight-decay", settings.weight_decay)?;
    settings.averaging = options.number("averaging", settings.averaging)?;
    settings.label_smoothing = options.number("label-smoothing", settings.label_smoothing)?;
    settings.augmentation.mixup = options.number("mixup", settings.augmentation.mixup)?;
    settings.augmentation.cutout_side = options.number("cutout-side", settings.augmentation.cutout_side)?;
    settings.augmentation.cutout = options.number("cutout", settings.augmentation.cutout)?;
    settings.augmentation.rotation = options.number("rotation", settings.augmentation.rotation)?;
    settings.augmentation.scale = options.number("scale", settings.augmentation.scale)?;
    let start = pretrained.as_ref().map_or(Start::Scratch, Start::Model);
    let started = Instant::now();
    // Nothing of the validation images reaches the training.
    let trained = train(&training, None, &settings, start, &mut |_| ControlFlow::Continue(()))?;
    let seconds = started.elapsed().as_secs_f64();
    let classifier = Classifier::new(&trained.model);
    let logits = classifier.all_logits(&validation)?;
    let labels: Vec<usize> = validation.samples.iter().map(|sample| sample.label).collect();
    Ok(Outcome {
        logits,
        labels,
        seconds,
    })
}

impl Pool {
    fn add(&mut self, plain: Vec<f32>, outcome: Outcome, classes: usize) {
        let Outcome { logits, labels, .. } = outcome;
        let half = |parity: usize| -> (Vec<f32>, Vec<usize>) {
            let rows = logits.chunks_exact(classes).skip(parity).step_by(2).flatten().copied();
            (rows.collect(), labels.iter().skip(parity).step_by(2).copied().collect())
        };
        let halves = [half(0), half(1)];
        for ((logits, labels), (other_logits, other_labels)) in halves.iter().zip(halves.iter().rev()) {
            let temperature = fit_temperature(other_logits, other_labels, classes);
            self.calibrated.extend(probabilities(logits, classes, temperature));
            self.calibrated_labels.extend(labels);
        }
        self.plain.extend(plain);
        self.logits.extend(&logits);
        self.labels.extend(&labels);
    }
}

fn moments(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    (mean, (variance / (values.len().max(2) - 1) as f64).sqrt())
}
