//! The network that ships inside the program: what it looks like and how it was trained.

use scones_nn::{Optimizer, Stage, Transition};

use crate::{
    hyperparameters::Schedule,
    model::{Error, Model},
    training::{Augmentation, NetworkChoice, Settings},
};

/// Written by `cargo xtask pretrain`; `backbone/README.md` says of what.
const ARTEFACT: &[u8] = include_bytes!("../backbone/model.tar.gz");

/// Longest side of an image that the network takes: larger ones are made smaller for it.
pub const SIDE_MAX: u32 = 64;

/// The network that ships with the program, as it was trained: a classifier of CIFAR-10's classes.
/// Takes some milliseconds.
///
/// # Errors
/// None, but those of a program that was built of a damaged file.
pub fn model() -> Result<Model, Error> {
    Model::read(ARTEFACT)
}

/// Width, height and shortest side before a crop, scaled so that no side exceeds [`SIDE_MAX`].
#[must_use]
pub fn fitted(width: u32, height: u32, resize: Option<u32>) -> (u32, u32, Option<u32>) {
    let longest = width.max(height);
    if longest <= SIDE_MAX {
        return (width, height, resize);
    }
    let scaled = |side: u32| (side * SIDE_MAX).div_ceil(longest);
    (scaled(width), scaled(height), resize.map(scaled))
}

/// Settings of the training of the shipped network; see `examples/pretrain.rs`.
///
/// Three stages of a pooled convolution and one block: as many multiply-adds in each
/// transition and each block, 114 million in all for 32 x 32 pixels.
#[must_use]
pub fn settings(threads: usize) -> Settings {
    let stage = |channels| Stage {
        channels,
        blocks: 1,
        stride: 2,
    };
    Settings {
        network: NetworkChoice::Stages {
            stem_channels: 32,
            transition: Transition::Pooled,
            stages: [64, 128, 256].map(stage).to_vec(),
        },
        whitened_stem: true,
        batch_size: 128,
        epochs: 34,
        learning_rate: 0.2,
        schedule: Schedule::WarmUpCosine,
        weight_decay: 5e-4,
        optimizer: Optimizer::Sgd {
            momentum: 0.9,
            nesterov: true,
        },
        augmentation: Augmentation {
            rotation: 10.0,
            scale: 0.5,
            aspect: 0.1,
            colour: [10.0, 25.0, 25.0],
            cutout: 0.5,
            cutout_side: 0.4,
            ..Augmentation::CROP
        },
        label_smoothing: 0.0,
        averaging: 0.998,
        ..Settings::new(50_000, 0, threads)
    }
}
