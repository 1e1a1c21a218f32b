//! What a training process begins with: random weights, the shipped network, or the model of the
//! channel `model` (incremental training), whose architecture and classes stay as they are.
//!
//! <https://docs.aws.amazon.com/sagemaker/latest/dg/IC-HowItWorks.html>

use std::{fs::File, path::Path};

use scones_vision::{
    backbone,
    hyperparameters::{Hyperparameters, Kind, TABLE},
    model::Model,
    training::{NetworkChoice, Settings},
};

use super::{End, data::Channels};
use crate::{training::directory::JobDirectory, vision::error_chain as chain};

/// The channel of incremental training.
pub(super) const CHANNEL: &str = "model";
/// The one file in it.
const ARTEFACT: &str = "model.tar.gz";

/// The model to begin with, if there is one, and what the log should say of it.
pub(super) fn read(
    directory: &JobDirectory,
    channels: &Channels,
    hyperparameters: &Hyperparameters,
    settings: &Settings,
) -> Result<Option<(Model, String)>, End> {
    if channels.contains_key(CHANNEL) {
        let path = directory.channel(CHANNEL).join(ARTEFACT);
        let model = open(&path)?;
        fits(&model, hyperparameters, settings)?;
        let mut line = "Training goes on with the model of the channel model".to_owned();
        if model.labels != hyperparameters.labels {
            line += ", but for its last layer, which was trained with another multi_label and begins anew";
        }
        if hyperparameters.use_pretrained_model {
            line += ", in the place of the network that use_pretrained_model=1 names; the settings that were left out \
                     are still those of a training that begins with that network";
        }
        return Ok(Some((model, line)));
    }
    if !hyperparameters.use_pretrained_model {
        return Ok(None);
    }
    let model = backbone::model().map_err(|error| End::Algorithm(chain(&error)))?;
    let [_, height, width] = hyperparameters.image_shape;
    let mut line = "Training begins with the network that ships with Scones".to_owned();
    if (settings.width, settings.height) != (width, height) {
        line += &format!(
            ", which takes images of up to {} pixels a side: {width} x {height} become {} x {}",
            backbone::SIDE_MAX,
            settings.width,
            settings.height
        );
    }
    Ok(Some((model, line)))
}

fn open(path: &Path) -> Result<Model, End> {
    let file = File::open(path).map_err(|error| {
        End::Client(format!(
            "the channel model has no {ARTEFACT} ({error}): its S3 URI must name the artefact of an earlier training"
        ))
    })?;
    Model::read(file).map_err(|error| End::Client(format!("the channel model: {}", chain(&error))))
}

/// What AWS demands: "the same values for `num_layers`, `image_shape` and `num_classes`".
fn fits(model: &Model, hyperparameters: &Hyperparameters, settings: &Settings) -> Result<(), End> {
    let differs = |name: &str, of_model: String, of_job: String| {
        Err(End::Client(format!(
            "{name} must be that of the channel model, which has {of_model}; the job has {of_job}"
        )))
    };
    if model.classes.len() != hyperparameters.num_classes {
        let [of_model, of_job] = [model.classes.len(), hyperparameters.num_classes].map(|count| count.to_string());
        return differs("num_classes", of_model, of_job);
    }
    let of_model = (model.preprocessing.width, model.preprocessing.height);
    if of_model != (settings.width, settings.height) {
        let [of_model, of_job] =
            [of_model, (settings.width, settings.height)].map(|(width, height)| format!("3,{height},{width}"));
        return differs("image_shape", of_model, of_job);
    }
    let architecture = model.network.architecture();
    let is_of = |depth: &u32| {
        let network = NetworkChoice::Depth(*depth).architecture(architecture.input, architecture.classes);
        network.is_ok_and(|network| network == *architecture)
    };
    if let Some(depth) = hyperparameters.num_layers
        && !hyperparameters.use_pretrained_model
        && !is_of(&depth)
    {
        let of_model = depths().find(is_of).map(|depth| depth.to_string());
        let of_model = of_model.unwrap_or_else(|| "none (leave it out)".to_owned());
        return differs("num_layers", of_model, depth.to_string());
    }
    Ok(())
}

/// All values of `num_layers`.
fn depths() -> impl Iterator<Item = u32> {
    let parameter = TABLE.iter().find(|parameter| parameter.name == "num_layers");
    let words = match parameter.map(|parameter| parameter.kind) {
        Some(Kind::OneOf(words)) => words,
        _ => &[],
    };
    words.iter().filter_map(|word| word.parse().ok())
}
