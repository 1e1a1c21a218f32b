//! `scones evaluate`: how good a trained classifier is.

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use comfy_table::{CellAlignment, Table, presets};
use scones_vision::{
    RgbImage,
    dataset::Dataset,
    evaluation::{Evaluation, best, contact_sheet},
    predict::Classifier,
};
use serde_json::{Value, json};

use super::predict::classifier;
use crate::{cli::EvaluateArgs, source, terminal};

/// Most mistakes that are listed and drawn.
const MISTAKES_MAX: usize = 100;
/// Most of them that the text names.
const MISTAKES_NAMED: usize = 10;

/// An image that was taken for another class.
pub(super) struct Mistake<'a> {
    name: &'a str,
    image: &'a RgbImage,
    label: usize,
    answer: usize,
    /// The probability of the wrong answer.
    confidence: f32,
}

/// A classifier's answers to labelled images.
pub(super) struct Measured<'a> {
    pub(super) evaluation: Evaluation,
    /// The most confident first.
    mistakes: Vec<Mistake<'a>>,
    classes: &'a [String],
}

pub(crate) fn run(arguments: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    let classifier = classifier(&arguments.model)?;
    let images = source::labelled(&arguments.source, classifier.classes())?;
    let measured = measure(&classifier, &images)?;
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

/// Classifies every image, on all processors.
pub(super) fn measure<'a>(classifier: &Classifier, images: &'a Dataset) -> anyhow::Result<Measured<'a>> {
    let probabilities = classifier.classify_all(images)?;
    let classes = images.classes.len();
    let labels: Vec<usize> = images.samples.iter().map(|sample| sample.label).collect();
    let rows = images.samples.iter().zip(probabilities.chunks_exact(classes));
    let mut mistakes: Vec<Mistake<'_>> = rows
        .map(|(sample, row)| Mistake {
            name: &sample.name,
            image: &sample.image,
            label: sample.label,
            answer: best(row),
            confidence: row[best(row)],
        })
        .filter(|mistake| mistake.answer != mistake.label)
        .collect();
    mistakes.sort_by(|one, other| other.confidence.total_cmp(&one.confidence));
    mistakes.truncate(MISTAKES_MAX);
    Ok(Measured {
        evaluation: Evaluation::new(&probabilities, &labels, classes),
        mistakes,
        classes: &images.classes,
    })
}

impl Measured<'_> {
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
            loss,
            calibration_error,
            ..
        } = &self.evaluation;
        let mut lines = vec![
            format!(
                "accuracy {:.4}, 95% interval {:.4} to {:.4}",
                accuracy.value, accuracy.low, accuracy.high
            ),
            format!("loss {loss:.4}, calibration error {calibration_error:.4}"),
            self.table().to_string(),
        ];
        for mistake in self.mistakes.iter().take(MISTAKES_NAMED) {
            lines.push(format!(
                "{}: {} taken for {} ({:.3})",
                mistake.name, self.classes[mistake.label], self.classes[mistake.answer], mistake.confidence
            ));
        }
        lines.join("\n")
    }

    /// The confusion matrix, with each class's precision and recall.
    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        let answers = self.classes.iter().map(|class| format!("said {class}"));
        let header = std::iter::once("class".to_owned()).chain(answers);
        table.set_header(header.chain(["precision", "recall"].map(str::to_owned)));
        let rows = self
            .classes
            .iter()
            .zip(&self.evaluation.confusion)
            .zip(&self.evaluation.classes);
        for ((class, counts), score) in rows {
            let counts = counts.iter().map(usize::to_string);
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
            loss,
            calibration_error,
            confusion,
            classes,
        } = &self.evaluation;
        let by_class = self.classes.iter().zip(classes).map(|(class, score)| {
            json!({"class": class, "images": score.images, "precision": score.precision, "recall": score.recall})
        });
        let mistakes = self.mistakes.iter().map(|mistake| {
            json!({
                "image": mistake.name, "class": self.classes[mistake.label],
                "answer": self.classes[mistake.answer], "confidence": mistake.confidence,
            })
        });
        json!({
            "accuracy": accuracy.value,
            "accuracyInterval95": [accuracy.low, accuracy.high],
            "loss": loss,
            "calibrationError": calibration_error,
            "confusion": confusion,
            "classes": by_class.collect::<Vec<_>>(),
            "mistakes": mistakes.collect::<Vec<_>>(),
        })
    }
}
