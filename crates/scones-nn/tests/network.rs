//! The whole network against its definition, by way of the public interface.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod reference;

use proptest::prelude::*;
use reference::{Mode, Reference};
use scones_nn::{Architecture, Block, Network, Optimizer, Shape, SimdLevel, Stage, StepSettings, Trainer, Transition};

const PLAIN: Optimizer = Optimizer::Sgd {
    momentum: 0.0,
    nesterov: false,
};

fn architecture(
    (height, width, channels): (usize, usize, usize),
    stem_channels: usize,
    stages: &[(usize, usize, usize)],
    classes: usize,
) -> Architecture {
    let stages = stages.iter().map(|&(channels, blocks, stride)| Stage {
        channels,
        blocks,
        stride,
    });
    Architecture {
        input: Shape {
            height,
            width,
            channels,
        },
        stem_channels,
        block: Block::Basic,
        transition: Transition::Strided,
        stages: stages.collect(),
        classes,
    }
}

/// Architectures with every kind of shape change, odd sizes and odd channels.
fn architectures() -> Vec<Architecture> {
    vec![
        architecture((6, 5, 3), 4, &[(4, 1, 1), (6, 2, 2)], 3),
        architecture((7, 9, 1), 17, &[(5, 1, 2), (19, 1, 1)], 2),
        architecture((1, 3, 2), 3, &[(3, 2, 2)], 5),
        architecture((1, 1, 1), 1, &[(1, 1, 1)], 2),
        architecture((4, 4, 20), 33, &[(34, 1, 2)], 2),
        architecture((66, 9, 2), 3, &[(4, 1, 2)], 2),
        // Even sides: by transformed tiles.
        architecture((4, 6, 1), 5, &[(17, 1, 1), (3, 1, 2)], 2),
        bottleneck(architecture((6, 5, 3), 4, &[(2, 2, 1), (3, 2, 2)], 3)),
        bottleneck(architecture((4, 6, 2), 3, &[(5, 1, 2), (2, 1, 1)], 2)),
        pooled(architecture((6, 5, 3), 4, &[(4, 0, 1), (6, 2, 2)], 3)),
        pooled(architecture((7, 4, 2), 17, &[(18, 1, 2), (3, 0, 2)], 2)),
        pooled(architecture((3, 1, 2), 3, &[(3, 1, 2), (4, 0, 2), (5, 1, 2)], 2)),
        pooled(bottleneck(architecture((4, 6, 2), 3, &[(5, 1, 2), (2, 1, 1)], 2))),
        pooled(bottleneck(architecture((4, 6, 2), 3, &[(5, 1, 2), (4, 0, 2)], 2))),
    ]
}

fn bottleneck(architecture: Architecture) -> Architecture {
    Architecture {
        block: Block::Bottleneck,
        ..architecture
    }
}

fn pooled(architecture: Architecture) -> Architecture {
    Architecture {
        transition: Transition::Pooled,
        ..architecture
    }
}

/// Numbers spread over −1 to 1, the same every time.
fn spread(count: usize, seed: f32) -> Vec<f32> {
    (0..count)
        .map(|index| ((index as f32 + seed) * 12.9898).sin() * 43.7585 % 1.0)
        .collect()
}

/// A network without the zeros of a fresh one, so that every path carries.
fn stirred(architecture: &Architecture) -> Network {
    let fresh = Network::new(architecture.clone(), 5).unwrap();
    let mut tensors = fresh.tensors();
    Network::from_tensors(architecture.clone(), |name, shape| {
        let (expect, expect_shape, values) = tensors.next().unwrap();
        assert_eq!((name, shape), (expect.as_str(), expect_shape.as_slice()));
        let noise = spread(values.len(), name.len() as f32);
        let positive = name.ends_with("running_var");
        let stirred = values.iter().zip(noise).map(|(value, noise)| {
            if positive {
                value + noise.abs()
            } else {
                value + 0.3 * noise
            }
        });
        Some(stirred.collect())
    })
    .unwrap()
}

fn batch(architecture: &Architecture, count: usize) -> (Vec<f32>, Vec<f32>) {
    let images = spread(count * architecture.input.length(), 0.5);
    let mut targets: Vec<f32> = spread(count * architecture.classes, 9.0)
        .iter()
        .map(|value| value.abs() + 0.01)
        .collect();
    for target in targets.chunks_exact_mut(architecture.classes) {
        let sum: f32 = target.iter().sum();
        target.iter_mut().for_each(|value| *value /= sum);
    }
    (images, targets)
}

/// The gradient by name, read off a step of rate 1 without memory.
fn gradient(network: &Network, count: usize, threads: usize, level: SimdLevel) -> Vec<(String, Vec<f64>)> {
    let (images, targets) = batch(network.architecture(), count);
    let mut trainer = Trainer::with_level(network.clone(), count, PLAIN, threads, level).unwrap();
    // A small network's numbers are below 2, so a rate of 64 costs no digits.
    let settings = StepSettings {
        learning_rate: 64.0,
        weight_decay: 0.0,
    };
    trainer.step(&images, &targets, &settings).unwrap();
    let moved = network
        .tensors()
        .zip(trainer.network().tensors())
        .filter_map(|((name, _, before), (_, _, after))| {
            let difference = |(before, after): (&f32, &f32)| (f64::from(*before) - f64::from(*after)) / 64.0;
            let trained = !name.contains("running");
            trained.then(|| (name, before.iter().zip(after).map(difference).collect()))
        });
    moved.collect()
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    for architecture in architectures() {
        let network = stirred(&architecture);
        let count = 3;
        let (images, targets) = batch(&architecture, count);
        let reference = Reference::new(&network);
        let slope = |name: &str, index: usize| {
            let loss = |step: f64| {
                let mut moved = reference.clone();
                moved.tensors.get_mut(name).unwrap().1[index] += step;
                moved.loss(&images, &targets)
            };
            let step = 1e-6;
            (loss(step) - loss(-step)) / (2.0 * step)
        };
        let levels = SimdLevel::available();
        let gradients: Vec<_> = levels
            .iter()
            .map(|&level| gradient(&network, count, 2, level))
            .collect();
        for (part, (name, first)) in gradients[0].iter().enumerate() {
            // Every element of small tensors, a sample of large ones.
            for index in (0..first.len()).step_by(first.len().div_ceil(12)) {
                let numeric = slope(name, index);
                for (level, gradient) in levels.iter().zip(&gradients) {
                    let got = gradient[part].1[index];
                    let close = (numeric - got).abs() < 2e-5 + 2e-4 * numeric.abs();
                    assert!(close, "{architecture:?} {level:?} {name}[{index}]: {got} but {numeric}");
                }
            }
        }
    }
}

/// Wide layers' weight gradients are computed a part of the channels at a time.
#[test]
#[cfg_attr(miri, ignore = "too large for an interpreter")]
fn gradients_of_wide_layers_are_the_slopes_of_the_loss() {
    check_gradients_along_a_direction(&bottleneck(architecture((2, 2, 1), 80, &[(272, 1, 1)], 2)));
    // A convolution in two parts beside a shortcut in one.
    check_gradients_along_a_direction(&architecture((2, 2, 1), 80, &[(272, 1, 1)], 2));
}

fn check_gradients_along_a_direction(architecture: &Architecture) {
    let network = stirred(architecture);
    let (images, targets) = batch(architecture, 2);
    let reference = Reference::new(&network);
    for (name, gradient) in gradient(&network, 2, 2, SimdLevel::detect()) {
        // Along some direction, so that no weight is left out.
        let direction: Vec<f64> = spread(gradient.len(), 3.0).into_iter().map(f64::from).collect();
        let loss = |step: f64| {
            let mut moved = reference.clone();
            let values = &mut moved.tensors.get_mut(&name).unwrap().1;
            values
                .iter_mut()
                .zip(&direction)
                .for_each(|(value, along)| *value += step * along);
            moved.loss(&images, &targets)
        };
        let numeric = (loss(1e-6) - loss(-1e-6)) / 2e-6;
        let got: f64 = gradient
            .iter()
            .zip(&direction)
            .map(|(slope, along)| slope * along)
            .sum();
        let size: f64 = gradient.iter().map(|slope| slope * slope).sum::<f64>().sqrt();
        assert!(
            (numeric - got).abs() < 1e-5 + 1e-3 * size,
            "{name}: {got} but {numeric}"
        );
    }
}

/// The forward pass in training and in inference, at every level.
fn check_forward(architecture: &Architecture) {
    let network = stirred(architecture);
    let (images, targets) = batch(architecture, 4);
    let reference = Reference::new(&network);
    let loss = reference.loss(&images, &targets);
    let expect = reference.logits(&images, Mode::Inference).concat();
    for level in SimdLevel::available() {
        let got = network.compile_for(level).infer(&images).unwrap();
        for (got, expect) in got.iter().zip(&expect) {
            let close = (f64::from(*got) - expect).abs() < 1e-4 * (1.0 + expect.abs());
            assert!(close, "{architecture:?} {level:?}: {got} but {expect}");
        }
        let mut trainer = Trainer::with_level(network.clone(), 4, PLAIN, 3, level).unwrap();
        let settings = StepSettings {
            learning_rate: 0.0,
            weight_decay: 0.0,
        };
        let got = trainer.step(&images, &targets, &settings).unwrap().loss;
        assert!(
            (f64::from(got) - loss).abs() < 1e-4 * (1.0 + loss),
            "{level:?}: {got} but {loss}"
        );
    }
}

#[test]
fn forward_passes_equal_the_definition() {
    architectures().iter().for_each(check_forward);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 32 }, failure_persistence: None, ..Default::default() })]

    #[test]
    fn forward_passes_of_any_architecture_equal_the_definition(
        (height, width, channels) in (1..12_usize, 1..12_usize, 1..5_usize),
        stem_channels in 1..20_usize,
        stages in prop::collection::vec((1..20_usize, 1..3_usize, 1..3_usize), 1..4),
        classes in 1..5_usize,
        has_bottlenecks: bool,
        pools: bool,
    ) {
        let basic = architecture((height, width, channels), stem_channels, &stages, classes);
        let of_blocks = if has_bottlenecks { bottleneck(basic) } else { basic };
        check_forward(&if pools { pooled(of_blocks) } else { of_blocks });
    }
}
