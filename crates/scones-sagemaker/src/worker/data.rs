//! The channels of a training job as datasets.

use std::{collections::HashMap, path::PathBuf};

use scones_vision::{
    dataset::{
        Dataset,
        check::{self, Severity},
        folder, list,
    },
    hyperparameters::Hyperparameters,
};
use serde::Deserialize;

use super::End;
use crate::{training::directory::JobDirectory, vision::error_chain as chain};

/// A channel in `inputdataconfig.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChannelConfig {
    content_type: Option<String>,
}

pub(super) type Channels = HashMap<String, ChannelConfig>;

/// The channels that the job has, as far as the algorithm demands them.
pub(super) fn read_channels(directory: &JobDirectory) -> Result<Channels, End> {
    let path = directory.config("inputdataconfig.json");
    let bytes = std::fs::read(&path).map_err(|error| End::Algorithm(format!("{}: {error}", path.display())))?;
    let channels: Channels =
        serde_json::from_slice(&bytes).map_err(|error| End::Algorithm(format!("{}: {error}", path.display())))?;
    let invalid = |cause: &str| {
        Err(End::Client(format!(
            "Unable to initialize the algorithm. Failed to validate input data configuration. (caused by \
             ValidationError) Caused by: {cause}"
        )))
    };
    for required in ["train", "validation"] {
        if !channels.contains_key(required) {
            return invalid(&format!(
                "'{required}' is a required property: add the channel {required}"
            ));
        }
    }
    const KNOWN: [&str; 5] = ["train", "validation", "train_lst", "validation_lst", "model"];
    for (name, channel) in &channels {
        if !KNOWN.contains(&name.as_str()) {
            return invalid(&format!(
                "'{name}' is not a channel of the algorithm, which has {}",
                KNOWN.join(", ")
            ));
        }
        if name == super::start::CHANNEL {
            continue;
        }
        let content_type = channel.content_type.as_deref().unwrap_or("application/x-image");
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if !matches!(essence, "application/x-image" | "image/png" | "image/jpeg") {
            return invalid(&format!(
                "channel {name} has the content type '{content_type}'; application/x-image is read here"
            ));
        }
    }
    match (
        channels.contains_key("train_lst"),
        channels.contains_key("validation_lst"),
    ) {
        (true, false) => invalid("'validation_lst' is a required property beside 'train_lst'"),
        (false, true) => invalid("'train_lst' is a required property beside 'validation_lst'"),
        _ => Ok(channels),
    }
}

/// The images of a channel, labelled by its `.lst` channel, or by one folder a class without one.
pub(super) fn read(
    directory: &JobDirectory,
    channels: &Channels,
    channel: &str,
    hyperparameters: &Hyperparameters,
) -> Result<Dataset, End> {
    let (classes, fit) = (hyperparameters.num_classes, hyperparameters.fit());
    let root = directory.channel(channel);
    let lists = format!("{channel}_lst");
    let failed = |error: scones_vision::dataset::Error| End::Client(chain(&error));
    if !channels.contains_key(&lists) {
        let dataset = folder::read_fitted(&root, fit).map_err(failed)?;
        if dataset.classes.len() != classes {
            return Err(End::Client(format!(
                "channel {channel} has {} class folders ({}), but num_classes is {classes}: make them equal",
                dataset.classes.len(),
                dataset.classes.join(", ")
            )));
        }
        return Ok(dataset);
    }
    let names: Vec<String> = (0..classes).map(|class| class.to_string()).collect();
    list::read_fitted(&only_list(directory, &lists)?, &root, Some(&names), fit).map_err(failed)
}

/// The one image list of a `_lst` channel.
fn only_list(directory: &JobDirectory, channel: &str) -> Result<PathBuf, End> {
    let folder = directory.channel(channel);
    let entries = std::fs::read_dir(&folder)
        .map_err(|error| End::Client(format!("channel {channel} cannot be read: {error}")))?;
    let mut lists: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "lst"))
        .collect();
    lists.sort();
    match lists.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(End::Client(format!(
            "channel {channel} holds no .lst file: its S3 URI must name one"
        ))),
        several => Err(End::Client(format!(
            "channel {channel} holds {} .lst files: its S3 URI must name exactly one",
            several.len()
        ))),
    }
}

/// What is questionable about the data, or the first reason why training on it means nothing.
pub(super) fn check(
    training: &Dataset,
    validation: &Dataset,
    hyperparameters: &Hyperparameters,
) -> Result<Vec<String>, End> {
    let mut warnings = Vec::new();
    let [_, height, width] = hyperparameters.image_shape;
    let size = hyperparameters.resize.is_none().then_some((width, height));
    for finding in check::check(training, Some(validation), size) {
        match finding.severity {
            Severity::Error => return Err(End::Client(finding.message)),
            Severity::Warning => warnings.push(finding.message),
        }
    }
    let (promised, found) = (hyperparameters.num_training_samples, training.samples.len());
    if promised != found {
        warnings.push(format!(
            "num_training_samples is {promised}, but the channel train has {found} images: all of them are used"
        ));
    }
    Ok(warnings)
}
