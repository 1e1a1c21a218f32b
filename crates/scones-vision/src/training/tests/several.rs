//! Training on images that have any number of classes.

use image::{Rgb, RgbImage};

use super::{quiet, settings};
use crate::{
    dataset::{ClassSet, Dataset, Label, LabelKind, Sample, synthetic},
    hyperparameters::EarlyStopping,
    predict::Classifier,
    random::Random,
    training::{Augmentation, Error, Progress, Settings, Start, TrainedModel, Training, train},
};

/// Grey noise with a red, a green and a blue square in these shares of the images.
fn squares(count: usize, seed: u64, shares: [f32; 3]) -> Dataset<ClassSet> {
    let source = Random::new(seed);
    let sample = |at: usize| {
        let mut random = source.part(at as u64);
        let mut image = RgbImage::from_fn(32, 32, |_, _| Rgb([100 + random.below(60) as u8; 3]));
        let label = ClassSet::new((0..3).filter(|class| random.chance(shares[*class])));
        for &class in label.classes() {
            let (left, top) = (random.below(22) as u32, random.below(22) as u32);
            for (x, y) in (0..100).map(|at| (left + at % 10, top + at / 10)) {
                image.put_pixel(
                    x,
                    y,
                    Rgb(std::array::from_fn(|channel| if channel == class { 230 } else { 30 })),
                );
            }
        }
        let name = format!("{at}.png");
        Sample { image, label, name }
    };
    Dataset {
        classes: ["red", "green", "blue"].map(str::to_owned).to_vec(),
        samples: (0..count).map(sample).collect(),
        ..Dataset::default()
    }
}

fn trained(settings: &Settings, shares: [f32; 3]) -> TrainedModel {
    let (training, validation) = (squares(300, 1, shares), squares(150, 2, shares));
    train(&training, Some(&validation), settings, Start::Scratch, &mut quiet).unwrap()
}

#[test]
fn every_class_is_learnt_by_itself() {
    let trained = trained(&settings(8), [0.5, 0.3, 0.2]);
    let validation = trained.validation.unwrap();
    assert!(validation.accuracy.value > 0.9, "{validation:?}");
    assert!(validation.exact.value > 0.7 && validation.exact.value <= validation.accuracy.value);
    assert!(trained.training_accuracy > 0.75 && trained.training_accuracy <= 1.0);
    assert_eq!(trained.model.labels, LabelKind::Multi);
    assert!(trained.model.temperature != 1.0);
    // Images of all three classes and of none: the probabilities are far from a sum of 1.
    let classifier = Classifier::new(&trained.model);
    let sum = |shares: [f32; 3]| {
        let images = squares(20, 3, shares);
        let rows = classifier.classify_all(&images).unwrap();
        assert!(rows.iter().all(|share| (0.0..=1.0).contains(share)));
        rows.iter().sum::<f32>() / 20.0
    };
    let (all, none) = (sum([1.0; 3]), sum([0.0; 3]));
    assert!(all > 2.0 && none < 0.8, "{all} {none}");
}

#[test]
fn mixed_images_and_smoothed_labels_teach_too() {
    let plain = settings(8);
    let mixed = Settings {
        label_smoothing: 0.2,
        augmentation: Augmentation {
            mixup: 0.5,
            ..plain.augmentation
        },
        ..plain
    };
    let accuracy = trained(&mixed, [0.5, 0.3, 0.2]).validation.unwrap().accuracy;
    assert!(accuracy.value > 0.85, "{accuracy:?}");
}

#[test]
fn weights_bring_out_a_rare_class() {
    let recall = |weighted_loss| {
        let settings = Settings {
            weighted_loss,
            ..settings(4)
        };
        trained(&settings, [0.5, 0.5, 0.06]).validation.unwrap().classes[2].recall
    };
    let (plain, weighted) = (recall(false), recall(true));
    assert!(weighted > plain + 0.2, "{plain} {weighted}");
}

#[test]
fn a_run_goes_on_from_its_checkpoint() {
    let (training, validation) = (squares(64, 1, [0.5; 3]), squares(30, 2, [0.5; 3]));
    let settings = Settings {
        weighted_loss: true,
        early_stopping: Some(EarlyStopping {
            epochs_min: 3,
            patience: 3,
            tolerance: 0.0,
        }),
        ..settings(3)
    };
    let begin = || Training::new(&training, Some(&validation), &settings, Start::Scratch).unwrap();
    let mut whole = begin();
    assert!(whole.epoch(&mut quiet).unwrap().is_continue());
    let kept = whole.checkpoint().to_bytes().unwrap();
    let mut resumed = begin();
    resumed.resume(&kept).unwrap();
    for run in [&mut whole, &mut resumed] {
        while run.epoch(&mut quiet).unwrap().is_continue() {}
    }
    let files = |run: Training<'_, ClassSet>| run.finish().unwrap().model.files().unwrap();
    assert!(files(whole) == files(resumed));

    // One label an image, and all else equal, is another run.
    let mut single = Dataset::default();
    single.classes.clone_from(&training.classes);
    single.samples = synthetic::draw(64, 1).samples;
    let mut other = Training::new(&single, Some(&single), &settings, Start::Scratch).unwrap();
    assert!(matches!(other.resume(&kept), Err(Error::OtherRun)));
}

#[test]
fn patience_is_of_the_average_accuracy() {
    let (training, validation) = (squares(64, 1, [0.5; 3]), squares(30, 2, [0.5; 3]));
    let settings = Settings {
        learning_rate: 0.0,
        early_stopping: Some(EarlyStopping {
            epochs_min: 2,
            patience: 1,
            tolerance: 0.5,
        }),
        ..settings(50)
    };
    let mut accuracies = Vec::new();
    let mut note = |progress: Progress| {
        if let Progress::Epoch {
            validation: Some(validation),
            ..
        } = progress
        {
            accuracies.push(validation.accuracy);
        }
        std::ops::ControlFlow::Continue(())
    };
    let trained = train(&training, Some(&validation), &settings, Start::Scratch, &mut note).unwrap();
    assert!(trained.epochs < 10, "{}", trained.epochs);
    assert_eq!(accuracies.last(), Some(&trained.validation.unwrap().accuracy.value));
}

#[test]
fn the_other_kind_of_labels_gets_a_dense_layer_of_its_own() {
    let still = Settings {
        learning_rate: 0.0,
        weight_decay: 0.0,
        ..settings(1)
    };
    let mut single = synthetic::draw(64, 1);
    single.classes.push("neither".to_owned());
    let single_model = train(&single, None, &still, Start::Scratch, &mut quiet).unwrap().model;
    let mut several = squares(64, 1, [0.5; 3]);
    several.classes.clone_from(&single.classes);
    let go_on = |start| {
        train(&several, None, &still, Start::Model(start), &mut quiet)
            .unwrap()
            .model
    };
    let weights = |model: &crate::model::Model, name: &str| {
        let mut tensors = model.network.tensors();
        tensors.find(|(found, ..)| found == name).unwrap().2.to_vec()
    };
    let first = go_on(&single_model);
    let second = go_on(&first);
    let equal = |one, other, name| weights(one, name) == weights(other, name);
    assert!(equal(&single_model, &first, "stem.conv.weight"));
    assert!(!equal(&single_model, &first, "classifier.weight"));
    assert!(equal(&first, &second, "classifier.weight"));
}
