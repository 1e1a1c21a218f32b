//! `scones evaluate`: how good a trained classifier is.

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use comfy_table::{CellAlignment, Table, presets};
use scones_vision::{
    RgbImage,
    dataset::{Dataset, Label, LabelKind},
    evaluation::{Evaluation, confusion, contact_sheet},
};
use serde_json::{Value, json};

use super::predict::classifier;
use crate::{cli::EvaluateArgs, source, terminal};

/// Most mistakes that are listed and drawn.
const MISTAKES_MAX: usize = 100;
/// Most of them that the text names.
const MISTAKES_NAMED: usize = 10;

/// An image that was taken for another class, or for other classes.
pub(super) struct Mistake<'a, L> {
    name: &'a str,
    image: &'a RgbImage,
    label: &'a L,
    answer: L,
    /// The probability of the answer, or of the surest of its wrong parts.
    confidence: f32,
}

/// A classifier's answers to labelled images.
pub(super) struct Measured<'a, L> {
    evaluation: Evaluation,
    /// By label and answer, where an image has one class.
    confusion: Option<Vec<Vec<usize>>>,
    /// The most confident first.
    mistakes: Vec<Mistake<'a, L>>,
    classes: &'a [String],
}

pub(crate) fn run(arguments: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    let classifier = classifier(&arguments.model, &arguments.onnx.runtime())?;
    match classifier.labels() {
        LabelKind::Single => {
            let images = source::labelled(&arguments.source, classifier.classes())?;
            report(arguments, &measure(&classifier.classify_all(&images)?, &images))
        }
        LabelKind::Multi => {
            let images = source::labelled_sets(&arguments.source, classifier.classes())?;
            report(arguments, &measure(&classifier.classify_all(&images)?, &images))
        }
    }
}

fn report<L: Label>(arguments: &EvaluateArgs, measured: &Measured<'_, L>) -> anyhow::Result<ExitCode> {
    if let Some(path) = &arguments.mistakes {
        measured.draw(path)?;
    }
    if arguments.json {
        terminal::print(serde_json::to_string_pretty(&measured.json())?);
    } else {
        terminal::print(measured.text());
    }
    Ok(ExitCode::SUCCESS)
}

/// How good the probabilities are that a classifier gives for the images, row by row.
pub(super) fn measure<'a, L: Label>(probabilities: &[f32], images: &'a Dataset<L>) -> Measured<'a, L> {
    let classes = images.classes.len();
    let labels: Vec<L> = images.samples.iter().map(|sample| sample.label.clone()).collect();
    let rows = images.samples.iter().zip(probabilities.chunks_exact(classes));
    let mut mistakes: Vec<Mistake<'_, L>> = rows
        .map(|(sample, row)| (sample, L::answer(row), row))
        .filter(|(sample, answer, _)| *answer != sample.label)
        .map(|(sample, answer, row)| Mistake {
            name: &sample.name,
            image: &sample.image,
            label: &sample.label,
            confidence: confidence(&sample.label, &answer, row),
            answer,
        })
        .collect();
    mistakes.sort_by(|one, other| other.confidence.total_cmp(&one.confidence));
    mistakes.truncate(MISTAKES_MAX);
    Measured {
        evaluation: Evaluation::new(probabilities, &labels, classes),
        confusion: confusion(probabilities, &labels, classes),
        mistakes,
        classes: &images.classes,
    }
}

/// How sure a wrong answer is: the probability of a class that is wrongly there, or against one that
/// is wrongly not.
fn confidence<L: Label>(label: &L, answer: &L, row: &[f32]) -> f32 {
    let only_in = |one: &L, other: &L| -> Vec<usize> {
        let classes = one.classes().iter().copied();
        classes.filter(|class| !other.classes().contains(class)).collect()
    };
    let there = only_in(answer, label).into_iter().map(|class| row[class]);
    let missing = only_in(label, answer).into_iter().map(|class| 1.0 - row[class]);
    match L::KIND {
        LabelKind::Single => there.fold(0.0, f32::max),
        LabelKind::Multi => there.chain(missing).fold(0.0, f32::max),
    }
}

/// The names of the classes of a label.
fn named<L: Label>(label: &L, classes: &[String]) -> String {
    let names: Vec<&str> = label.classes().iter().map(|class| classes[*class].as_str()).collect();
    match names.is_empty() {
        true => "no class".to_owned(),
        false => names.join(" and "),
    }
}

impl<L: Label> Measured<'_, L> {
    /// Draws the mistakes, by rows, in the order in which they are listed.
    fn draw(&self, path: &Path) -> anyhow::Result<()> {
        let images: Vec<&RgbImage> = self.mistakes.iter().map(|mistake| mistake.image).collect();
        let cannot = || format!("cannot write {}", path.display());
        let mut png = std::io::Cursor::new(Vec::new());
        contact_sheet(&images)
            .write_to(&mut png, image::ImageFormat::Png)
            .with_context(cannot)?;
        std::fs::write(path, png.into_inner()).with_context(cannot)
    }

    pub(super) fn text(&self) -> String {
        let Evaluation {
            accuracy,
            exact,
            loss,
            calibration_error,
            ..
        } = &self.evaluation;
        let every_class = match L::KIND {
            LabelKind::Single => String::new(),
            LabelKind::Multi => format!("; every class is right for {:.4} of the images", exact.value),
        };
        let mut lines = vec![
            format!(
                "accuracy {:.4}, 95% interval {:.4} to {:.4}{every_class}",
                accuracy.value, accuracy.low, accuracy.high
            ),
            format!("loss {loss:.4}, calibration error {calibration_error:.4}"),
            self.table().to_string(),
        ];
        for mistake in self.mistakes.iter().take(MISTAKES_NAMED) {
            lines.push(format!(
                "{}: {} taken for {} ({:.3})",
                mistake.name,
                named(mistake.label, self.classes),
                named(&mistake.answer, self.classes),
                mistake.confidence
            ));
        }
        lines.join("\n")
    }

    /// The confusion matrix, if there is one, and each class's images, precision and recall.
    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        let answers = match &self.confusion {
            Some(_) => self.classes.iter().map(|class| format!("said {class}")).collect(),
            None => vec!["images".to_owned()],
        };
        let header = std::iter::once("class".to_owned()).chain(answers);
        table.set_header(header.chain(["precision", "recall"].map(str::to_owned)));
        for (at, (class, score)) in self.classes.iter().zip(&self.evaluation.classes).enumerate() {
            let counts = match &self.confusion {
                Some(confusion) => confusion[at].iter().map(usize::to_string).collect(),
                None => vec![score.images.to_string()],
            };
            let scores = [score.precision, score.recall].map(|share| format!("{share:.3}"));
            table.add_row(std::iter::once(class.clone()).chain(counts).chain(scores));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    pub(super) fn json(&self) -> Value {
        let Evaluation {
            accuracy,
            exact,
            loss,
            calibration_error,
            classes,
        } = &self.evaluation;
        let by_class = self.classes.iter().zip(classes).map(|(class, score)| {
            json!({"class": class, "images": score.images, "precision": score.precision, "recall": score.recall})
        });
        let mistakes = self.mistakes.iter().map(|mistake| {
            let [label, answer] = [mistake.label, &mistake.answer].map(|label| self.label_json(label));
            let member = match L::KIND {
                LabelKind::Single => "class",
                LabelKind::Multi => "classes",
            };
            json!({"image": mistake.name, member: label, "answer": answer, "confidence": mistake.confidence})
        });
        let mut document = json!({
            "accuracy": accuracy.value,
            "accuracyInterval95": [accuracy.low, accuracy.high],
            "loss": loss,
            "calibrationError": calibration_error,
            "classes": by_class.collect::<Vec<_>>(),
            "mistakes": mistakes.collect::<Vec<_>>(),
        });
        match &self.confusion {
            Some(confusion) => document["confusion"] = json!(confusion),
            None => document["exactAccuracy"] = json!(exact.value),
        }
        document
    }

    /// The name of the class, or a list of the classes' names.
    fn label_json(&self, label: &L) -> Value {
        let mut names = label.classes().iter().map(|class| json!(self.classes[*class]));
        match L::KIND {
            LabelKind::Single => names.next().unwrap_or_default(),
            LabelKind::Multi => names.collect(),
        }
    }
}
