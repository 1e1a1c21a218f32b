//! What training and a trained network promise.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use scones_nn::{
    Architecture, Block, ClassWeights, Error, Loss, Network, Optimizer, Shape, SimdLevel, Stage, StepSettings, Trainer,
    Transition, softmax,
};

const INPUT: Shape = Shape {
    height: 8,
    width: 8,
    channels: 3,
};
const CLASSES: usize = 3;
const SETTINGS: StepSettings = StepSettings {
    learning_rate: 0.05,
    weight_decay: 1e-4,
};

fn architecture() -> Architecture {
    let stage = |channels, stride| Stage {
        channels,
        blocks: 1,
        stride,
    };
    Architecture {
        input: INPUT,
        stem_channels: 8,
        block: Block::Basic,
        transition: Transition::Strided,
        stages: vec![stage(8, 1), stage(20, 2)],
        classes: CLASSES,
    }
}

fn network(seed: u64) -> Network {
    Network::new(architecture(), seed).unwrap()
}

/// Images of stripes across, down and aslant, shifted and noisy; hard labels.
fn stripes(count: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut images, mut targets) = (Vec::new(), vec![0.0; count * CLASSES]);
    for image in 0..count {
        let class = image % CLASSES;
        targets[image * CLASSES + class] = 1.0;
        for pixel in 0..64 {
            let (row, column) = (pixel / 8, pixel % 8);
            let phase = [row, column, row + column][class] + image / CLASSES;
            for channel in 0..3 {
                let noise = ((image * 200 + pixel * 3 + channel) as f32 * 78.233).sin() * 0.3;
                images.push(if phase % 4 < 2 { 1.0 } else { -1.0 } + noise);
            }
        }
    }
    (images, targets)
}

fn bits(network: &Network) -> Vec<u32> {
    network
        .tensors()
        .flat_map(|(_, _, values)| values.iter().map(|v| v.to_bits()))
        .collect()
}

fn trained(optimizer: Optimizer, rate: f32, threads: usize, level: SimdLevel, steps: usize) -> Trainer {
    let (images, targets) = stripes(24);
    let mut trainer = Trainer::with_level(network(1), 24, optimizer, threads, level).unwrap();
    let settings = StepSettings {
        learning_rate: rate,
        ..SETTINGS
    };
    for _ in 0..steps {
        trainer.step(&images, &targets, &settings).unwrap();
    }
    trainer
}

fn errors(network: &Network, images: &[f32], targets: &[f32]) -> usize {
    let logits = network.compile().infer(images).unwrap();
    let argmax = |row: &[f32]| (0..CLASSES).max_by(|&a, &b| row[a].total_cmp(&row[b]));
    let pairs = logits.chunks_exact(CLASSES).zip(targets.chunks_exact(CLASSES));
    pairs.filter(|(got, expect)| argmax(got) != argmax(expect)).count()
}

#[test]
fn every_optimiser_learns_a_small_problem() {
    for (optimizer, rate) in [
        (
            Optimizer::Sgd {
                momentum: 0.9,
                nesterov: true,
            },
            0.05,
        ),
        (
            Optimizer::Sgd {
                momentum: 0.0,
                nesterov: false,
            },
            0.2,
        ),
        (
            Optimizer::Adam {
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
            },
            0.01,
        ),
        (
            Optimizer::RmsProp {
                gamma1: 0.9,
                epsilon: 1e-8,
            },
            0.01,
        ),
    ] {
        for level in SimdLevel::available() {
            let mut trainer = trained(optimizer, rate, 2, level, 60);
            let (images, targets) = stripes(24);
            assert_eq!(
                errors(trainer.network(), &images, &targets),
                0,
                "{optimizer:?} {level:?}"
            );
            let report = trainer.step(&images, &targets, &SETTINGS).unwrap();
            assert_eq!(report.correct, 24);
            assert!(report.loss < 0.1, "{optimizer:?} {level:?}: {}", report.loss);
        }
    }
}

/// Each class is a channel of its own, bright or dark; any of them may be.
fn channels(count: usize) -> (Vec<f32>, Vec<f32>) {
    let has = |image: usize, class: usize| image >> class & 1 == 1;
    let side = |image, class| if has(image, class) { 1.0 } else { -1.0 };
    let noise = |at: usize| (at as f32 * 78.233).sin() * 0.5;
    let pixels = (0..count * 64 * CLASSES).map(|at| side(at / (64 * CLASSES), at % CLASSES) + noise(at));
    let targets = (0..count * CLASSES).map(|at| f32::from(has(at / CLASSES, at % CLASSES)));
    (pixels.collect(), targets.collect())
}

#[test]
fn any_number_of_classes_is_learnt() {
    let (images, targets) = channels(16);
    let loss = Loss::Sigmoids {
        weights: vec![ClassWeights::default(); CLASSES],
    };
    let trainer = Trainer::new(network(1), 16, Optimizer::default(), 2).unwrap();
    let mut trainer = trainer.with_loss(loss).unwrap();
    let first = trainer.step(&images, &targets, &SETTINGS).unwrap();
    for _ in 0..60 {
        trainer.step(&images, &targets, &SETTINGS).unwrap();
    }
    let last = trainer.step(&images, &targets, &SETTINGS).unwrap();
    assert!(last.loss < first.loss / 4.0, "{first:?} {last:?}");
    assert_eq!(last.correct, 16 * CLASSES);
    let logits = trainer.network().compile().infer(&images).unwrap();
    let wrong = logits
        .iter()
        .zip(&targets)
        .filter(|(logit, target)| (**logit > 0.0) != (**target > 0.5));
    assert_eq!(wrong.count(), 0);
}

#[test]
fn losses_are_checked() {
    let with = |weights: Vec<ClassWeights>| {
        let trainer = Trainer::new(network(1), 4, Optimizer::default(), 1).unwrap();
        trainer.with_loss(Loss::Sigmoids { weights })
    };
    let plain = ClassWeights::default();
    let refused = |weights, expect: &str| assert_eq!(with(weights).err().unwrap().to_string(), expect);
    refused(vec![plain; 2], "class weights has 2 elements, but must have 3");
    let negative = ClassWeights { absent: -1.0, ..plain };
    refused(
        vec![plain, negative, plain],
        "class weights holds -1 at index 3, but must hold finite numbers of at least 0",
    );
    let (images, mut targets) = channels(4);
    targets[4] = 1.5;
    let error = with(vec![plain; 3]).unwrap().step(&images, &targets, &SETTINGS);
    let expect = "targets holds 1.5 at index 4, but must hold numbers from 0 to 1";
    assert_eq!(error.unwrap_err().to_string(), expect);
}

#[test]
fn equal_seeds_and_threads_give_equal_weights() {
    let run = |threads| {
        let level = SimdLevel::detect();
        bits(trained(Optimizer::default(), 0.05, threads, level, 5).network())
    };
    for threads in [1, 2, 5] {
        assert_eq!(run(threads), run(threads), "{threads} threads");
    }
    assert_eq!(bits(&network(3)), bits(&network(3)));
    assert_ne!(bits(&network(3)), bits(&network(4)));
}

#[test]
fn a_restored_trainer_goes_on_bit_for_bit() {
    let (images, targets) = stripes(24);
    for optimizer in [
        Optimizer::default(),
        Optimizer::Adam {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
        },
        Optimizer::RmsProp {
            gamma1: 0.9,
            epsilon: 1e-8,
        },
    ] {
        let mut whole = trained(optimizer, 0.01, 2, SimdLevel::detect(), 3);
        let memory = whole.memory().clone();
        let mut resumed = Trainer::new(whole.network().clone(), 24, optimizer, 2).unwrap();
        resumed.restore(memory).unwrap();
        for _ in 0..3 {
            let report = whole.step(&images, &targets, &SETTINGS).unwrap();
            assert_eq!(resumed.step(&images, &targets, &SETTINGS).unwrap(), report);
        }
        assert_eq!(bits(resumed.network()), bits(whole.network()), "{optimizer:?}");
        assert_eq!(resumed.memory(), whole.memory());
    }
}

#[test]
fn a_foreign_memory_is_refused_and_changes_nothing() {
    let mut trainer = trained(Optimizer::default(), 0.05, 1, SimdLevel::detect(), 2);
    let kept = trainer.memory().clone();
    let mut short = kept.clone();
    short.first.pop();
    assert!(matches!(trainer.restore(short), Err(Error::Length { .. })));
    let mut foreign = kept.clone();
    foreign.second = kept.first.clone();
    assert!(matches!(trainer.restore(foreign), Err(Error::Length { .. })));
    let mut poisoned = kept.clone();
    poisoned.first[5] = f32::NAN;
    assert!(matches!(trainer.restore(poisoned), Err(Error::Value { index: 5, .. })));
    assert_eq!(trainer.memory(), &kept);
}

#[test]
fn a_new_head_keeps_every_other_tensor() {
    let old = network(1);
    let new = old.with_classes(7, 2).unwrap();
    assert_eq!(new.architecture().classes, 7);
    for ((name, _, old), (_, shape, new)) in old.tensors().zip(new.tensors()) {
        match name.as_str() {
            "classifier.weight" => assert!(shape[0] == 7 && new.iter().any(|&value| value != 0.0)),
            "classifier.bias" => assert_eq!(new, [0.0; 7]),
            _ => assert_eq!(old, new, "{name}"),
        }
    }
    assert_eq!(bits(&new), bits(&old.with_classes(7, 2).unwrap()));
    assert!(old.with_classes(0, 2).is_err());
}

#[test]
fn threads_and_levels_agree_but_for_rounding() {
    let (images, targets) = stripes(7);
    let step = |threads, level| {
        let optimizer = Optimizer::default();
        let mut trainer = Trainer::with_level(network(1), 9, optimizer, threads, level).unwrap();
        trainer.step(&images, &targets, &SETTINGS).unwrap();
        trainer.into_network()
    };
    let expect = step(1, SimdLevel::detect());
    for level in SimdLevel::available() {
        // More threads than images, too.
        for threads in [1, 2, 3, 9] {
            let got = step(threads, level);
            for ((name, _, got), (_, _, expect)) in got.tensors().zip(expect.tensors()) {
                for (got, expect) in got.iter().zip(expect) {
                    let close = (got - expect).abs() < 1e-5 * (1.0 + expect.abs());
                    assert!(close, "{level:?}, {threads} threads, {name}: {got} {expect}");
                }
            }
        }
    }
}

#[test]
fn buffers_carry_nothing_from_step_to_step() {
    let (images, targets) = stripes(8);
    let optimizer = Optimizer::Sgd {
        momentum: 0.0,
        nesterov: false,
    };
    let new_trainer = || Trainer::new(network(1), 8, optimizer, 2).unwrap();
    let mut fresh = new_trainer();
    let report = fresh.step(&images, &targets, &SETTINGS).unwrap();

    let mut used = new_trainer();
    let still = StepSettings {
        learning_rate: 0.0,
        weight_decay: 0.0,
    };
    used.step(&images, &targets, &still).unwrap();
    // Another image, and one alone.
    used.step(&images[3 * INPUT.length()..4 * INPUT.length()], &targets[3..6], &still)
        .unwrap();
    assert_eq!(used.step(&images, &targets, &SETTINGS).unwrap(), report);
    for ((name, _, expect), (_, _, got)) in fresh.network().tensors().zip(used.network().tensors()) {
        assert!(got == expect || name.contains("running"), "{name}");
    }
}

#[test]
fn decay_shrinks_weights_alone() {
    // Equal images, so that the soft label below gives no gradient at first.
    let images = vec![0.0; 2 * INPUT.length()];
    let targets = vec![1.0 / CLASSES as f32; 2 * CLASSES];
    let before = network(1);
    let optimizer = Optimizer::Sgd {
        momentum: 0.0,
        nesterov: false,
    };
    let mut trainer = Trainer::new(before.clone(), 2, optimizer, 1).unwrap();
    let settings = StepSettings {
        learning_rate: 0.5,
        weight_decay: 0.1,
    };
    trainer.step(&images, &targets, &settings).unwrap();
    for ((name, shape, before), (_, _, after)) in before.tensors().zip(trainer.network().tensors()) {
        if shape.len() > 1 {
            let shrunk = before.iter().zip(after).all(|(b, a)| (a - 0.95 * b).abs() < 1e-6);
            assert!(shrunk, "{name}");
        } else if name.contains("norm") && name.ends_with("weight") {
            assert_eq!(before, after, "{name}");
        }
    }
}

#[test]
fn batched_and_single_inference_are_equal() {
    let (images, _) = stripes(11);
    let inference = trained(Optimizer::default(), 0.05, 2, SimdLevel::detect(), 3)
        .network()
        .compile();
    let single: Vec<f32> = images
        .chunks(INPUT.length())
        .flat_map(|image| inference.infer(image).unwrap())
        .collect();
    let mut scratch = inference.scratch(4);
    for _ in 0..2 {
        let mut batched = vec![0.0; 11 * CLASSES];
        inference.logits(&images, 11, &mut scratch, &mut batched).unwrap();
        assert_eq!(batched, single);
    }
    assert!(inference.infer(&[]).unwrap().is_empty());
    let mut probabilities = single[..CLASSES].to_vec();
    softmax(&mut probabilities);
    assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
}

#[test]
fn an_image_split_among_threads_is_classified_the_same() {
    let input = Shape {
        height: 32,
        width: 30,
        channels: 3,
    };
    for depth in [20, 18] {
        let network = Network::new(Architecture::resnet(depth, input, 5).unwrap(), 1).unwrap();
        let inference = network.compile();
        let image: Vec<f32> = (0..input.length()).map(|i| (i as f32 * 0.37).sin()).collect();
        let logits = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| inference.infer(&image).unwrap())
        };
        let expect = logits(1);
        assert!([2, 3, 9].into_iter().all(|threads| logits(threads) == expect));
        // A scratch for one image serves many.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let mut scratch = pool.install(|| inference.scratch(1));
        let (images, mut many) = (image.repeat(3), vec![0.0; 15]);
        inference.logits(&images, 3, &mut scratch, &mut many).unwrap();
        assert_eq!(many, expect.repeat(3));
    }
}

#[test]
fn tensors_make_the_network_again() {
    let network = trained(Optimizer::default(), 0.05, 1, SimdLevel::detect(), 2).into_network();
    let stored: Vec<(String, Vec<usize>, Vec<f32>)> = network
        .tensors()
        .map(|(name, shape, values)| (name, shape, values.to_vec()))
        .collect();
    let trained_values: usize = stored
        .iter()
        .filter(|(name, ..)| !name.contains("running"))
        .map(|(_, shape, _)| shape.iter().product::<usize>())
        .sum();
    assert_eq!(trained_values, network.architecture().parameter_count());
    let find = |name: &str| stored.iter().find(|(stored, ..)| stored == name);
    let again = Network::from_tensors(architecture(), |name, shape| {
        let (_, stored_shape, values) = find(name)?;
        assert_eq!(stored_shape, shape);
        Some(values.clone())
    });
    assert_eq!(bits(&again.unwrap()), bits(&network));
    let json = serde_json::to_string(network.architecture()).unwrap();
    assert_eq!(
        &serde_json::from_str::<Architecture>(&json).unwrap(),
        network.architecture()
    );
}

/// What becomes of a stored tensor, by its name.
type Change<'a> = &'a dyn Fn(&str, Vec<f32>) -> Option<Vec<f32>>;

#[test]
fn stored_tensors_are_checked() {
    let whole = network(1);
    let build = |change: Change<'_>| {
        Network::from_tensors(architecture(), |name, _| {
            let (_, _, values) = whole.tensors().find(|(stored, ..)| stored == name)?;
            change(name, values.to_vec())
        })
    };
    let check = |change: Change<'_>, expect: &str| {
        assert_eq!(build(change).unwrap_err().to_string(), expect);
    };
    check(
        &|name, values| (name != "stage2.block0.shortcut.conv.weight").then_some(values),
        "tensor stage2.block0.shortcut.conv.weight is missing",
    );
    check(
        &|name, values| {
            Some(if name == "classifier.bias" {
                vec![0.0; 4]
            } else {
                values
            })
        },
        "tensor classifier.bias has 4 elements, but must have 3",
    );
    check(
        &|name, values| {
            Some(if name == "classifier.bias" {
                vec![0.0, f32::NAN, 0.0]
            } else {
                values
            })
        },
        "tensor classifier.bias holds NaN at index 1, but must hold finite numbers",
    );
    check(
        &|name, values| {
            Some(if name == "stem.norm.running_var" {
                vec![-1.0; 8]
            } else {
                values
            })
        },
        "tensor stem.norm.running_var holds -1 at index 0, but must hold finite numbers of at least 0",
    );
}

#[test]
fn an_average_lies_between_its_parts() {
    let (mut average, other) = (network(1), network(2));
    average.average_with(&other, 0.25).unwrap();
    let parts = network(1);
    let values = parts.tensors().zip(other.tensors()).zip(average.tensors());
    for (((_, _, one), (_, _, two)), (_, _, average)) in values {
        for ((one, two), average) in one.iter().zip(two).zip(average) {
            assert!((0.75 * one + 0.25 * two - average).abs() < 1e-6);
        }
    }
    assert!(matches!(average.average_with(&other, 1.5), Err(Error::Value { .. })));
    let different = Architecture {
        classes: 4,
        ..architecture()
    };
    let different = Network::new(different, 1).unwrap();
    assert!(matches!(
        average.average_with(&different, 0.5),
        Err(Error::ArchitectureMismatch)
    ));
}

#[test]
fn malformed_batches_are_refused_and_change_nothing() {
    let (images, targets) = stripes(4);
    let mut trainer = Trainer::new(network(1), 4, Optimizer::default(), 2).unwrap();
    let before = bits(trainer.network());
    let length = INPUT.length();
    let mut check = |images: &[f32], targets: &[f32], settings: StepSettings, expect: &str| {
        let error = trainer.step(images, targets, &settings).unwrap_err().to_string();
        assert_eq!(error, expect);
        assert_eq!(bits(trainer.network()), before);
    };
    let images_expected = "but must have 1 to 4 times 192";
    check(&[], &[], SETTINGS, &format!("images has 0 elements, {images_expected}"));
    check(
        &images[1..],
        &targets,
        SETTINGS,
        &format!("images has 767 elements, {images_expected}"),
    );
    let many = [images.clone(), images.clone()].concat();
    check(
        &many,
        &targets,
        SETTINGS,
        &format!("images has 1536 elements, {images_expected}"),
    );
    check(
        &images,
        &targets[1..],
        SETTINGS,
        "targets has 11 elements, but must have 12",
    );
    let mut poisoned = images.clone();
    poisoned[length + 3] = f32::INFINITY;
    let expect = "images holds inf at index 195, but must hold finite numbers";
    check(&poisoned, &targets, SETTINGS, expect);
    let mut negative = targets.clone();
    negative[2] = -0.5;
    let expect = "targets holds -0.5 at index 2, but must hold finite numbers of at least 0";
    check(&images, &negative, SETTINGS, expect);
    let settings = StepSettings {
        learning_rate: f32::NAN,
        ..SETTINGS
    };
    let expect = "learning rate holds NaN at index 0, but must hold finite numbers of at least 0";
    check(&images, &targets, settings, expect);
    // Finite, but too large to square.
    let huge = vec![1e30; images.len()];
    let diverged = trainer.step(&huge, &targets, &SETTINGS);
    assert!(matches!(diverged, Err(Error::Diverged { .. })));
    assert_eq!(bits(trainer.network()), before);
}

#[test]
fn counts_out_of_range_are_refused() {
    let refused = |batch, threads| {
        let trainer = Trainer::new(network(1), batch, Optimizer::default(), threads);
        assert!(matches!(trainer.err(), Some(Error::Count { .. })), "{batch} {threads}");
    };
    refused(0, 1);
    refused(usize::MAX, 1);
    refused(1, 0);
    refused(1, usize::MAX);
    let inference = network(1).compile();
    let mut scratch = inference.scratch(0);
    let images = vec![0.0; INPUT.length()];
    let wrong = inference.logits(&images, 2, &mut scratch, &mut [0.0; 3]);
    assert!(matches!(wrong, Err(Error::Length { .. })));
    let wrong = inference.logits(&images, 1, &mut scratch, &mut [0.0; 2]);
    assert!(matches!(wrong, Err(Error::Length { .. })));
    let wrong = inference.logits(&images, usize::MAX, &mut scratch, &mut [0.0; 2]);
    assert!(matches!(wrong, Err(Error::Length { .. })));
    let other = Architecture {
        classes: 2,
        ..architecture()
    };
    let other = Network::new(other, 1).unwrap().compile();
    let wrong = inference.logits(&images, 1, &mut other.scratch(1), &mut [0.0; 3]);
    assert!(matches!(wrong, Err(Error::ArchitectureMismatch)));
    assert!(matches!(inference.infer(&images[1..]), Err(Error::Length { .. })));
    assert!(matches!(
        inference.infer(&vec![f32::NAN; 192]),
        Err(Error::Value { .. })
    ));
}
