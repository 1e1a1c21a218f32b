//! `scones predict`: what a trained classifier makes of images.

use std::{fs, path::Path, process::ExitCode};

use anyhow::Context as _;
use scones_vision::{evaluation::best, predict::Classifier};
use serde_json::{Value, json};

use crate::{cli::PredictArgs, failure::WithHint as _, terminal};

pub(crate) fn run(arguments: &PredictArgs) -> anyhow::Result<ExitCode> {
    let runtime = arguments.onnx.runtime();
    let classifier = scones_onnx::Classifier::read(open(&arguments.model)?, &runtime)
        .with_context(|| format!("cannot read the model {}", arguments.model.display()))?;
    let mut answers = Vec::new();
    for path in &arguments.images {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let probabilities = classifier
            .classify(&bytes)
            .with_context(|| format!("cannot classify {}", path.display()))?;
        let class = &classifier.classes()[best(&probabilities)];
        if arguments.json {
            let named = classifier.classes().iter().zip(&probabilities);
            let named: serde_json::Map<String, Value> =
                named.map(|(class, share)| (class.clone(), json!(share))).collect();
            answers.push(json!({"image": path, "class": class, "probabilities": named}));
        } else {
            let share = probabilities[best(&probabilities)];
            terminal::print(format_args!("{}: {class} ({share:.3})", path.display()));
        }
    }
    if arguments.json {
        terminal::print(serde_json::to_string_pretty(&answers)?);
    }
    Ok(ExitCode::SUCCESS)
}

/// The classifier of a `model.tar.gz` that Scones made.
pub(super) fn classifier(path: &Path) -> anyhow::Result<Classifier> {
    Classifier::from_artefact(open(path)?).with_context(|| format!("cannot read the model {}", path.display()))
}

fn open(path: &Path) -> anyhow::Result<fs::File> {
    fs::File::open(path)
        .with_context(|| format!("cannot read the model {}", path.display()))
        .hint("`scones train` makes one; --model names another")
}
