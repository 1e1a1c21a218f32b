mod several;

use scones_nn::{Optimizer, Stage, Transition};

use super::*;
use crate::{
    dataset::synthetic,
    hyperparameters::{EarlyStopping, Hyperparameters},
};

/// Small and fast: a few seconds of training teach it the drawings' thick and thin wheels.
fn settings(epochs: u32) -> Settings {
    let stage = |channels, stride| Stage {
        channels,
        blocks: 1,
        stride,
    };
    let network = NetworkChoice::Stages {
        transition: Transition::Strided,
        stem_channels: 8,
        stages: vec![stage(8, 2), stage(16, 2)],
    };
    Settings {
        network,
        epochs,
        batch_size: 32,
        averaging: 0.9,
        ..Settings::new(200, 1, 2)
    }
}

fn quiet(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn a_run_goes_on_from_its_checkpoint_as_if_never_interrupted() {
    let (training, validation) = (synthetic::draw(64, 1), synthetic::draw(30, 2));
    let settings = Settings {
        early_stopping: Some(EarlyStopping {
            epochs_min: 3,
            patience: 3,
            tolerance: 0.0,
        }),
        ..settings(3)
    };
    let begin = |settings| Training::new(&training, Some(&validation), settings, Start::Scratch).unwrap();
    let mut whole = begin(&settings);
    assert!(whole.epoch(&mut quiet).unwrap().is_continue());
    let kept = whole.checkpoint().to_bytes().unwrap();
    while whole.epoch(&mut quiet).unwrap().is_continue() {}

    let mut resumed = begin(&settings);
    resumed.resume(&kept).unwrap();
    assert_eq!(resumed.epochs(), 1);
    while resumed.epoch(&mut quiet).unwrap().is_continue() {}
    let files = |run: Training<'_>| run.finish().unwrap().model.files().unwrap();
    assert!(files(whole) == files(resumed));

    let other = Settings {
        learning_rate: 0.01,
        ..settings.clone()
    };
    assert!(matches!(begin(&other).resume(&kept), Err(Error::OtherRun)));
    for cut in [0, 7, 100, kept.len() / 2, kept.len() - 1] {
        assert!(
            matches!(begin(&settings).resume(&kept[..cut]), Err(Error::Checkpoint(_))),
            "{cut}"
        );
    }
}

#[test]
fn a_model_is_where_another_training_begins() {
    let (first, second) = (synthetic::draw(64, 1), synthetic::draw(64, 2));
    let start = train(&first, None, &settings(2), Start::Scratch, &mut quiet)
        .unwrap()
        .model;
    // Nothing is learnt at this rate, so what comes out is what went in.
    let still = Settings {
        learning_rate: 0.0,
        weight_decay: 0.0,
        ..settings(1)
    };
    let on = |data: &Dataset, settings: &Settings| train(data, None, settings, Start::Model(&start), &mut quiet);
    let same = on(&second, &still).unwrap().model;
    assert_eq!(same.preprocessing, start.preprocessing);
    let weights = |model: &Model, name: &str| {
        let mut tensors = model.network.tensors();
        tensors.find(|(found, ..)| found == name).unwrap().2.to_vec()
    };
    assert_eq!(weights(&same, "stem.conv.weight"), weights(&start, "stem.conv.weight"));
    assert_eq!(
        weights(&same, "classifier.weight"),
        weights(&start, "classifier.weight")
    );

    let mut renamed = second.clone();
    renamed.classes = vec!["a".into(), "b".into(), "c".into()];
    renamed.samples[0].label = 2;
    let other = on(&renamed, &still).unwrap().model;
    assert_eq!(weights(&other, "stem.conv.weight"), weights(&start, "stem.conv.weight"));
    assert_eq!(weights(&other, "classifier.weight").len(), 3 * 16);

    let larger = Settings {
        width: 80,
        height: 80,
        ..still
    };
    let error = on(&second, &larger).unwrap_err();
    assert!(
        matches!(&error, Error::Start(problem) if problem.contains("80 x 80")),
        "{error}"
    );
}

#[test]
fn equal_seeds_give_equal_models_and_progress_is_complete() {
    let (training, validation) = (synthetic::draw(100, 1), synthetic::draw(30, 2));
    let mut events = Vec::new();
    let trained = train(
        &training,
        Some(&validation),
        &settings(2),
        Start::Scratch,
        &mut |progress| {
            events.push(progress);
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    assert_eq!(events.len(), 1 + 2 * (4 + 1));
    assert!(matches!(
        events[0],
        Progress::Started {
            epoch: 0,
            epochs: 2,
            batches: 4,
            ..
        }
    ));
    assert!(matches!(
        events[4],
        Progress::Batch {
            epoch: 0,
            batch: 3,
            images: 100,
            ..
        }
    ));
    let Progress::Epoch {
        epoch: 1,
        accuracy,
        validation: Some(last),
        ..
    } = events[10]
    else {
        panic!("{:?}", events[10])
    };
    assert_eq!(trained.training_accuracy, accuracy);
    assert_eq!(trained.validation.as_ref().unwrap().accuracy.value, last.accuracy);

    let again = train(&training, Some(&validation), &settings(2), Start::Scratch, &mut quiet).unwrap();
    let bytes = |trained: &TrainedModel| {
        let mut out = Vec::new();
        trained.model.write(&mut out).unwrap();
        out
    };
    assert!(bytes(&trained) == bytes(&again));
    let other = Settings { seed: 2, ..settings(2) };
    assert!(
        bytes(&trained) != bytes(&train(&training, Some(&validation), &other, Start::Scratch, &mut quiet).unwrap())
    );
}

#[test]
fn stops_between_steps_with_the_model_so_far() {
    let (training, validation) = (synthetic::draw(100, 1), synthetic::draw(30, 2));
    let stop_after = |limit: usize| {
        let mut steps = 0;
        let ended = train(
            &training,
            Some(&validation),
            &settings(5),
            Start::Scratch,
            &mut |progress| {
                steps += usize::from(matches!(progress, Progress::Batch { .. }));
                if steps == limit {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            },
        );
        assert_eq!(steps, limit);
        ended
    };
    // An epoch has 4 steps.
    for (limit, epochs) in [(0, None), (3, None), (6, Some(1)), (10, Some(2))] {
        match (stop_after(limit), epochs) {
            (Err(Error::Stopped), None) => {}
            (Ok(trained), Some(epochs)) => {
                assert!(trained.stopped && trained.epochs == epochs && trained.training_accuracy > 0.0);
                assert_eq!(trained.model.provenance.epochs, epochs);
                // Calibrated like any other.
                assert!(trained.validation.is_some() && trained.model.temperature != 1.0);
                let answer = Classifier::new(&trained.model).classify_image(&training.samples[0].image);
                assert_eq!(answer.unwrap().len(), 2);
            }
            (ended, _) => panic!("after {limit} steps: {ended:?}"),
        }
    }
    assert!(
        !train(&training, None, &settings(1), Start::Scratch, &mut quiet)
            .unwrap()
            .stopped
    );
}

#[test]
fn refuses_what_cannot_work() {
    let refused = |training: &Dataset, validation: Option<&Dataset>, settings: &Settings, expect: &str| {
        let error = train(training, validation, settings, Start::Scratch, &mut quiet)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expect), "{error}");
    };
    let drawn = synthetic::draw(10, 1);
    let one = drawn.subset(&[0, 2, 4]);
    refused(
        &one,
        None,
        &settings(1),
        "training images are of one class, bicycle: add images of another class",
    );
    refused(
        &drawn.subset(&[]),
        None,
        &settings(1),
        "there are no training images: add some",
    );
    refused(
        &drawn,
        Some(&drawn.subset(&[])),
        &settings(1),
        "there are no validation images",
    );
    let renamed = Dataset {
        classes: vec!["a".into(), "b".into()],
        ..drawn.clone()
    };
    refused(
        &drawn,
        Some(&renamed),
        &settings(1),
        "the validation classes [\"a\", \"b\"]",
    );
    refused(
        &drawn,
        None,
        &Settings {
            epochs: 0,
            ..settings(1)
        },
        "epochs",
    );
    let rule = Some(EarlyStopping {
        epochs_min: 1,
        patience: 1,
        tolerance: 0.0,
    });
    refused(
        &drawn,
        None,
        &Settings {
            early_stopping: rule,
            ..settings(1)
        },
        "early_stopping needs validation images",
    );
}

#[test]
fn patience_waits_for_improvements() {
    let rule = EarlyStopping {
        epochs_min: 4,
        patience: 2,
        tolerance: 0.1,
    };
    let mut patience = Patience::new(rule);
    let ends: Vec<bool> = [0.5, 0.52, 0.51, 0.6, 0.61, 0.62]
        .iter()
        .enumerate()
        .map(|(epoch, &accuracy)| patience.is_exhausted(epoch as u32, accuracy))
        .collect();
    assert_eq!(ends, [false, false, false, false, false, true]);
}

#[test]
fn learns_the_drawings() {
    let (training, validation) = (synthetic::draw(400, 3), synthetic::draw(200, 4));
    let plain = Settings {
        augmentation: Augmentation {
            mirror: true,
            ..Augmentation::NONE
        },
        ..settings(10)
    };
    let trained = train(&training, Some(&validation), &plain, Start::Scratch, &mut quiet).unwrap();
    let accuracy = trained.validation.unwrap().accuracy;
    assert!(accuracy.low > 0.55, "{accuracy:?}");
}

#[test]
fn other_sizes_are_fitted() {
    let drawn = synthetic::draw(20, 3);
    let fitted = Settings {
        resize: Some(24),
        width: 16,
        height: 20,
        ..settings(1)
    };
    let trained = train(&drawn, Some(&drawn), &fitted, Start::Scratch, &mut quiet).unwrap();
    assert_eq!(trained.model.network.architecture().input.height, 20);
}

#[test]
fn the_users_choices_win_and_ours_fill_the_rest() {
    let settings = |words: &[(&str, &str)]| {
        let required = [("num_classes", "2"), ("num_training_samples", "800")];
        let given = required.iter().chain(words);
        let given = given.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::from_hyperparameters(&Hyperparameters::parse(&given.collect()).unwrap(), 5, 2)
    };
    assert_eq!(settings(&[]), Settings::new(800, 5, 2));
    let expect = Settings {
        network: NetworkChoice::Depth(20),
        epochs: 3,
        batch_size: 16,
        optimizer: Optimizer::Adam {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
        },
        learning_rate: 0.002,
        augmentation: Augmentation::CROP_COLOR,
        ..Settings::new(800, 5, 2)
    };
    let words = [
        ("num_layers", "20"),
        ("epochs", "3"),
        ("mini_batch_size", "16"),
        ("optimizer", "adam"),
        ("augmentation_type", "crop_color"),
    ];
    assert_eq!(settings(&words), expect);
    let own_rate = Settings {
        learning_rate: 0.03,
        ..Settings::new(800, 5, 2)
    };
    assert_eq!(settings(&[("learning_rate", "0.03")]), own_rate);
}
