//! Step 6: what the endpoint has captured.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::Value;

use super::{NAME, Stage, endpoint::capture_prefix, section::Section, workflow::WorkflowSection};
use crate::{client::Error, terminal};

/// How long captured inferences may take to appear.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often is looked for them.
const POLL: Duration = Duration::from_millis(200);

/// The captured inferences.
#[derive(Debug, Serialize)]
pub(super) struct CaptureSection {
    files: usize,
    records: usize,
    classes: Vec<String>,
    /// Of the records, how many name each class as the likeliest.
    likeliest: Vec<usize>,
    mean_confidence: f64,
    commands: Vec<String>,
}

impl Section for CaptureSection {
    fn title(&self) -> &'static str {
        "Captured inferences"
    }

    fn lines(&self) -> Vec<String> {
        let counts = self.classes.iter().zip(&self.likeliest);
        let likeliest: Vec<String> = counts.map(|(class, count)| format!("{class} {count}")).collect();
        vec![
            format!(
                "{} in {} below {}",
                terminal::counted(self.records, "record"),
                terminal::counted(self.files, "file"),
                capture_prefix()
            ),
            format!(
                "likeliest: {}; mean confidence {:.3}",
                likeliest.join(", "),
                self.mean_confidence
            ),
        ]
    }

    fn commands(&self) -> &[String] {
        &self.commands
    }
}

/// The files that are there already, of an earlier telling.
pub(super) fn files(stage: &Stage<'_>) -> Result<BTreeSet<String>, Error> {
    let keys = stage.client.list_objects(NAME, &format!("data_capture/{NAME}/"))?;
    Ok(keys.into_iter().collect())
}

/// Reads the files that have come since `before`, once they hold a record of
/// each inference of the workflow or patience is at its end.
pub(super) fn summarise(
    stage: &Stage<'_>,
    before: &BTreeSet<String>,
    workflow: &WorkflowSection,
) -> anyhow::Result<CaptureSection> {
    let spinner = terminal::spinner("Reading the captured inferences");
    let deadline = Instant::now() + PATIENCE;
    let mut read = BTreeSet::new();
    let mut answers = Vec::new();
    while answers.len() < workflow.classified() && Instant::now() < deadline {
        for key in files(stage)?.difference(before) {
            if read.insert(key.clone()) {
                let file = stage.client.get_object(NAME, key)?;
                answers.extend(String::from_utf8_lossy(&file).lines().filter_map(likeliest_class));
            }
        }
        thread::sleep(POLL);
    }
    spinner.finish_and_clear();
    let classes = workflow.classes.clone();
    let named = |class: usize| answers.iter().filter(|(likeliest, _)| *likeliest == class).count();
    let confidence: f64 = answers.iter().map(|(_, confidence)| confidence).sum();
    #[expect(clippy::cast_precision_loss, reason = "a count of records is small")]
    let mean_confidence = confidence / answers.len().max(1) as f64;
    Ok(CaptureSection {
        files: read.len(),
        records: answers.len(),
        likeliest: (0..classes.len()).map(named).collect(),
        classes,
        mean_confidence,
        commands: vec![format!("aws s3 ls --recursive {}/", capture_prefix())],
    })
}

/// The class and the probability that a record's answer holds.
fn likeliest_class(line: &str) -> Option<(usize, f64)> {
    let record: Value = serde_json::from_str(line).ok()?;
    let output = record.pointer("/captureData/endpointOutput/data")?.as_str()?;
    let probabilities: Vec<f64> = serde_json::from_str(output).ok()?;
    probabilities
        .into_iter()
        .enumerate()
        .max_by(|one, other| one.1.total_cmp(&other.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_names_its_likeliest_class() {
        let line = r#"{"captureData":{"endpointOutput":{"data":"[0.2,0.8]"}}}"#;
        assert_eq!(likeliest_class(line), Some((1, 0.8)));
        assert_eq!(likeliest_class("{}"), None);
        assert_eq!(likeliest_class("not JSON"), None);
    }
}
