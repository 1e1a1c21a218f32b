//! `scones predict`: what a trained classifier makes of images.

use std::{fs, io::BufReader, path::Path, process::ExitCode};

use anyhow::Context as _;
use scones_onnx::{Classifier, Runtime};
use scones_vision::{
    dataset::{ClassSet, Label, LabelKind},
    evaluation::best,
};
use serde_json::{Value, json};

use crate::{
    cli::PredictArgs,
    failure::{self, WithHint as _},
    terminal,
};

pub(crate) fn run(arguments: &PredictArgs) -> anyhow::Result<ExitCode> {
    let classifier = classifier(&arguments.model, &arguments.onnx.runtime())?;
    let mut answers = Vec::new();
    let mut code = ExitCode::SUCCESS;
    for path in &arguments.images {
        let answered = classify(&classifier, path).inspect_err(|error| {
            failure::print(error);
            code = ExitCode::FAILURE;
        });
        match answered {
            Ok(probabilities) if arguments.json => answers.push(answer(&classifier, path, &probabilities)),
            Err(error) if arguments.json => answers.push(json!({"image": path, "error": format!("{error:#}")})),
            Ok(probabilities) => {
                let said = said(&classifier, &probabilities);
                terminal::print(format_args!("{}: {said}", path.display()));
            }
            Err(_) => {}
        }
    }
    if arguments.json {
        terminal::print(serde_json::to_string_pretty(&answers)?);
    }
    Ok(code)
}

fn classify(classifier: &Classifier, path: &Path) -> anyhow::Result<Vec<f32>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let probabilities = classifier.classify(&bytes);
    probabilities.with_context(|| format!("cannot classify {}", path.display()))
}

/// The class or classes of an image and all probabilities.
fn answer(classifier: &Classifier, path: &Path, probabilities: &[f32]) -> Value {
    let classes = classifier.classes();
    let named = classes.iter().zip(probabilities);
    let named: serde_json::Map<String, Value> = named.map(|(class, share)| (class.clone(), json!(share))).collect();
    let mut answer = json!({"image": path, "probabilities": named});
    match classifier.labels() {
        LabelKind::Single => answer["class"] = json!(classes[best(probabilities)]),
        LabelKind::Multi => {
            let present = ClassSet::answer(probabilities);
            answer["classes"] = present.classes().iter().map(|class| json!(classes[*class])).collect();
        }
    }
    answer
}

/// The likeliest class, or all that are as likely as not, with their probabilities.
fn said(classifier: &Classifier, probabilities: &[f32]) -> String {
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

/// The classifier in a `model.tar.gz`.
pub(super) fn classifier(path: &Path, runtime: &Runtime) -> anyhow::Result<Classifier> {
    let cannot = || format!("cannot read the model {}", path.display());
    let artefact = fs::File::open(path)
        .with_context(cannot)
        .hint("`scones train` makes one; --model names another")?;
    Classifier::read(BufReader::new(artefact), runtime).with_context(cannot)
}
