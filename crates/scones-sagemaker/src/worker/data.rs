//! The channels of a training job as datasets.

use std::{collections::BTreeMap, path::PathBuf};

use scones_vision::{
    dataset::{
        Dataset, Label,
        check::{self, Severity},
        folder,
        label::LabelFormat,
        list,
        manifest::{self, Attributes},
        record_io,
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
    /// Of an augmented manifest.
    attribute_names: Option<Vec<String>>,
}

impl ChannelConfig {
    /// The content type without its parameters.
    fn essence(&self) -> &str {
        let content_type = self.content_type.as_deref().unwrap_or("application/x-image");
        content_type.split(';').next().unwrap_or_default().trim()
    }

    /// The content type's `label-format`; the unknown one otherwise.
    fn label_format(&self) -> Result<LabelFormat, &str> {
        let parameters = self.content_type.as_deref().unwrap_or_default().split(';').skip(1);
        let mut named = parameters.filter_map(|parameter| parameter.split_once('='));
        let Some((_, name)) = named.find(|(name, _)| name.trim().eq_ignore_ascii_case("label-format")) else {
            return Ok(LabelFormat::default());
        };
        let name = name.trim().trim_matches('"');
        LabelFormat::named(name).ok_or(name)
    }
}

const RECORD_IO: &str = "application/x-recordio";

/// By name, so that the same one of several problems is always told.
pub(super) type Channels = BTreeMap<String, ChannelConfig>;

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
        let essence = channel.essence();
        if !matches!(essence, "application/x-image" | "image/png" | "image/jpeg" | RECORD_IO) {
            return invalid(&format!(
                "channel {name} has the content type '{essence}'; application/x-image and {RECORD_IO} are read here"
            ));
        }
        if let Err(format) = channel.label_format() {
            return invalid(&format!(
                "channel {name} has the label-format '{format}'; multi-hot and class-id are known"
            ));
        }
        if let Some(names) = &channel.attribute_names
            && names.len() != 2
        {
            return invalid(&format!(
                "channel {name} has the AttributeNames {names:?}, but the algorithm takes two: the image's and the \
                 label's, such as [\"source-ref\", \"class\"]"
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

/// The images of a channel: of its augmented manifest or RecordIO file, or image files that its
/// `.lst` channel labels, or one folder a class.
pub(super) fn read<L: Label>(
    directory: &JobDirectory,
    channels: &Channels,
    channel: &str,
    hyperparameters: &Hyperparameters,
) -> Result<Dataset<L>, End> {
    let (names, fit) = (hyperparameters.class_names(), hyperparameters.fit());
    let root = directory.channel(channel);
    let lists = format!("{channel}_lst");
    let config = channels.get(channel);
    let attributes = config.and_then(|config| config.attribute_names.as_deref());
    let read = if let Some([image, label]) = attributes {
        let (image, label) = (image.clone(), label.clone());
        let attributes = Attributes { image, label };
        let format = config.and_then(|config| config.label_format().ok()).unwrap_or_default();
        manifest::read_fitted(&directory.manifest(channel), &root, &attributes, (&names, format), fit)
    } else if config.is_some_and(|config| config.essence() == RECORD_IO) {
        record_io::read_fitted(&only_file(directory, channel, "rec")?, &names, fit)
    } else if channels.contains_key(&lists) {
        list::read_fitted(&only_file(directory, &lists, "lst")?, &root, Some(&names), fit)
    } else {
        folder::read_fitted(&root, fit)
    };
    let dataset = read.map_err(|error| End::Client(chain(&error)))?;
    if dataset.classes.len() != names.len() {
        return Err(End::Client(format!(
            "channel {channel} has {} class folders ({}), but num_classes is {}: make them equal",
            dataset.classes.len(),
            dataset.classes.join(", "),
            names.len()
        )));
    }
    Ok(dataset)
}

/// The one file with this extension in a channel.
fn only_file(directory: &JobDirectory, channel: &str, extension: &str) -> Result<PathBuf, End> {
    let folder = directory.channel(channel);
    let entries = std::fs::read_dir(&folder)
        .map_err(|error| End::Client(format!("channel {channel} cannot be read: {error}")))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    match files.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(End::Client(format!(
            "channel {channel} holds no .{extension} file: its S3 URI must name one"
        ))),
        several => Err(End::Client(format!(
            "channel {channel} holds {} .{extension} files: its S3 URI must name exactly one",
            several.len()
        ))),
    }
}

/// What is questionable about the data, or the first reason why training on it means nothing.
pub(super) fn check<L: Label>(
    training: &Dataset<L>,
    validation: &Dataset<L>,
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
