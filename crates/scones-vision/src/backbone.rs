//! The network that ships inside the program: what it looks like and how it was trained.

use scones_nn::{Optimizer, Stage};

use crate::{
    hyperparameters::Schedule,
    training::{Augmentation, NetworkChoice, Settings},
};

/// Settings of the training of the shipped network; see `examples/pretrain.rs`.
///
/// Three wide stages that halve the sides early: 100 million multiply-adds for 32 x 32 pixels.
#[must_use]
pub fn settings(threads: usize) -> Settings {
    let stage = |channels| Stage {
        channels,
        blocks: 2,
        stride: 2,
    };
    Settings {
        network: NetworkChoice::Stages {
            stem_channels: 32,
            stages: [64, 128, 256].map(stage).to_vec(),
        },
        batch_size: 128,
        epochs: 16,
        learning_rate: 0.2,
        schedule: Schedule::WarmUpCosine,
        weight_decay: 5e-4,
        optimizer: Optimizer::Sgd {
            momentum: 0.9,
            nesterov: true,
        },
        augmentation: Augmentation {
            cutout: 0.5,
            cutout_side: 0.4,
            ..Augmentation::CROP
        },
        label_smoothing: 0.1,
        averaging: 0.998,
        ..Settings::new(50_000, 0, threads)
    }
}
