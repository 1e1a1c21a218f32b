//! `scones predict`: what a trained classifier makes of images.

use std::{fs, path::Path, process::ExitCode};

use anyhow::Context as _;
use scones_vision::{
    dataset::{ClassSet, Label, LabelKind},
    evaluation::best,
    predict::Classifier,
};
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
        if arguments.json {
            let named = classifier.classes().iter().zip(&probabilities);
            let named: serde_json::Map<String, Value> =
                named.map(|(class, share)| (class.clone(), json!(share))).collect();
            let mut answer = json!({"image": path, "probabilities": named});
            match classifier.labels() {
                LabelKind::Single => answer["class"] = json!(classifier.classes()[best(&probabilities)]),
                LabelKind::Multi => {
                    let present = ClassSet::answer(&probabilities);
                    let present = present
                        .classes()
                        .iter()
                        .map(|class| json!(classifier.classes()[*class]));
                    answer["classes"] = present.collect();
                }
            }
            answers.push(answer);
        } else {
            terminal::print(format_args!(
                "{}: {}",
                path.display(),
                said(&classifier, &probabilities)
            ));
        }
    }
    if arguments.json {
        terminal::print(serde_json::to_string_pretty(&answers)?);
    }
    Ok(ExitCode::SUCCESS)
}

/// The likeliest class, or all that are as likely as not, with their probabilities.
fn said(classifier: &scones_onnx::Classifier, probabilities: &[f32]) -> String {
    let with_share = |class: &usize| format!("{} ({:.3})", classifier.classes()[*class], probabilities[*class]);
    let likeliest = best(probabilities);
    if classifier.labels() == LabelKind::Single {
        return with_share(&likeliest);
    }
    let present: Vec<String> = ClassSet::answer(probabilities)
        .classes()
        .iter()
        .map(with_share)
        .collect();
    match present.is_empty() {
        true => format!("no class; the likeliest is {}", with_share(&likeliest)),
        false => present.join(", "),
    }
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
