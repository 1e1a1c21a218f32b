//! `scones data import`: any dataset as PNG files and image lists.

use std::{fs, process::ExitCode};

use anyhow::{Context as _, bail};
use scones_vision::dataset::{Dataset, list};
use serde_json::json;

use crate::{cli::ImportArgs, source, terminal};

pub(crate) fn import(arguments: &ImportArgs) -> anyhow::Result<ExitCode> {
    let output = &arguments.output;
    if output.exists() && fs::read_dir(output).map_or(true, |mut entries| entries.next().is_some()) {
        bail!(
            "{} exists and is not an empty folder; name a new one with --output",
            output.display()
        );
    }
    let cache = arguments.data.directory()?.join("downloads");
    let source = source::load(Some(&arguments.source), &cache, &arguments.classes)?;
    for (channel, dataset) in [("train", &source.train), ("test", &source.test)] {
        list::write(output, channel, &with_plain_names(dataset))
            .with_context(|| format!("cannot write {}", output.display()))?;
    }
    for warning in &source.warnings {
        terminal::say(format_args!("warning: {warning}"));
    }
    if arguments.json {
        let document = json!({
            "source": source.description, "output": output, "classes": source.train.classes,
            "trainCounts": source.train.class_counts(), "testCounts": source.test.class_counts(), "warnings": source.warnings,
        });
        terminal::print(serde_json::to_string_pretty(&document)?);
    } else {
        let path = output.display();
        terminal::print(format_args!(
            "{}: classes {}",
            source.description,
            source.train.classes.join(", ")
        ));
        terminal::print(format_args!(
            "{} images in {path}/train, listed in {path}/train.lst",
            source.train.samples.len()
        ));
        terminal::print(format_args!(
            "{} images in {path}/test, listed in {path}/test.lst",
            source.test.samples.len()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Folders of classes give names with a slash, which image lists of one flat
/// channel do not have.
fn with_plain_names(dataset: &Dataset) -> Dataset {
    let mut plain = dataset.clone();
    for sample in &mut plain.samples {
        sample.name = source::file_name(&sample.name);
    }
    plain
}
