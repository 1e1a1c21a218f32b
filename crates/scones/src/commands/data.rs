//! `scones data import`: any dataset as PNG files and image lists.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use scones_vision::dataset::{Dataset, Label, list};
use serde_json::json;

use crate::{
    cli::ImportArgs,
    source::{self, Labelled, Source},
    terminal,
};

pub(crate) fn import(arguments: &ImportArgs) -> anyhow::Result<ExitCode> {
    let output = &arguments.output;
    if output.exists() && fs::read_dir(output).map_or(true, |mut entries| entries.next().is_some()) {
        bail!(
            "{} exists and is not an empty folder; name a new one with --output",
            output.display()
        );
    }
    match arguments.images.load()? {
        Labelled::Single(source) => import_all(arguments, &source),
        Labelled::Multi(source) => import_all(arguments, &source),
    }
}

fn import_all<L: Label>(arguments: &ImportArgs, source: &Source<L>) -> anyhow::Result<ExitCode> {
    let output = &arguments.output;
    write(output, source).with_context(|| format!("cannot write {}", output.display()))?;
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
        for (channel, dataset) in [("train", &source.train), ("test", &source.test)] {
            let images = terminal::counted(dataset.samples.len(), "image");
            terminal::print(format_args!(
                "{images} in {path}/{channel}, listed in {path}/{channel}.lst"
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes both parts beside the output and moves them there at the end, so that
/// the output is whole or as it was.
fn write<L: Label>(output: &Path, source: &Source<L>) -> anyhow::Result<()> {
    let staging = Staging::new(output)?;
    for (channel, dataset) in [("train", &source.train), ("test", &source.test)] {
        list::write(&staging.0, channel, &with_plain_names(dataset))?;
    }
    if output.exists() {
        // It may be a mount point or the working directory, which cannot be replaced.
        for entry in fs::read_dir(&staging.0)? {
            let entry = entry?;
            fs::rename(entry.path(), output.join(entry.file_name()))?;
        }
    } else {
        fs::rename(&staging.0, output)?;
    }
    Ok(())
}

/// A folder on the output's file system that goes away with this value.
struct Staging(PathBuf);

impl Staging {
    fn new(output: &Path) -> io::Result<Self> {
        let name = format!(".scones-import-{}", std::process::id());
        let output = std::path::absolute(output)?;
        let folder = match output.parent() {
            Some(parent) if !output.exists() => parent.join(name),
            _ => output.join(name),
        };
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, folder = %self.0.display(), "cannot be removed");
        }
    }
}

/// Folders of classes give names with a slash, which image lists of one flat
/// channel do not have.
fn with_plain_names<L: Label>(dataset: &Dataset<L>) -> Dataset<L> {
    let mut plain = dataset.clone();
    for sample in &mut plain.samples {
        sample.name = source::file_name(&sample.name);
    }
    plain
}
