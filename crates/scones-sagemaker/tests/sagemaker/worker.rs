//! The training program itself, in this process, on drawn images.

use std::{cell::Cell, io::Cursor, ops::ControlFlow, path::Path, sync::Arc};

use scones_api::{Clock, ManualClock};
use scones_sagemaker::{ModelLoader, VisionLoader, worker};
use scones_vision::{
    RgbImage,
    dataset::{list, synthetic},
    training::{NetworkChoice, Settings, Start, train},
};
use serde_json::{Value, json};

use crate::support::NOW;

pub fn lay_out(root: &Path, hyperparameters: Value) {
    for folder in [
        "input/config",
        "input/data/train_lst",
        "input/data/validation_lst",
        "model",
        "checkpoints",
        "output",
    ] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    let data = root.join("input/data");
    list::write(&data, "train", &synthetic::draw(24, 1)).unwrap();
    list::write(&data, "validation", &synthetic::draw(8, 2)).unwrap();
    for channel in ["train", "validation"] {
        let name = format!("{channel}.lst");
        std::fs::rename(data.join(&name), data.join(format!("{channel}_lst")).join(&name)).unwrap();
    }
    let channel = json!({"ContentType": "application/x-image"});
    let channels = json!({"train": channel, "validation": channel, "train_lst": channel, "validation_lst": channel});
    std::fs::write(root.join("input/config/inputdataconfig.json"), channels.to_string()).unwrap();
    std::fs::write(
        root.join("input/config/hyperparameters.json"),
        hyperparameters.to_string(),
    )
    .unwrap();
}

pub fn small() -> Value {
    json!({
        "num_classes": "2", "num_training_samples": "24", "epochs": "1", "image_shape": "3,32,32",
        "mini_batch_size": "8", "num_layers": "20"
    })
}

/// Exit code, log, exit record, failure.
type Ended = (i32, Vec<String>, String, String);

pub fn run(root: &Path) -> Ended {
    run_until(root, "no line says this")
}

/// Tells the worker to stop once a line of its log has `words`.
fn run_until(root: &Path, words: &str) -> Ended {
    let clock = Arc::new(ManualClock::new(NOW));
    let mut log = Vec::new();
    let stopped = Cell::new(false);
    let mut print = |line: &str| {
        log.push(line.to_owned());
        stopped.set(stopped.get() || line.contains(words));
    };
    let code = worker::run_training_worker(
        root,
        worker::Surroundings {
            is_stopped: &|| stopped.get(),
            print: &mut print,
            clock: &*clock as &dyn Clock,
            threads: 1,
        },
    )
    .unwrap();
    let read = |name: &str| std::fs::read_to_string(root.join("output").join(name)).unwrap_or_default();
    (code, log, read("exit.json"), read("failure"))
}

#[test]
fn training_leaves_a_model_that_classifies() {
    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path(), small());
    let (code, log, exit, failure) = run(folder.path());
    assert_eq!(
        (code, exit.as_str(), failure.as_str()),
        (0, r#"{"code":0,"stopped":false}"#, ""),
        "{log:#?}"
    );
    assert!(log[0].starts_with("[11/23/2026 05:17:09 INFO "), "{log:?}");
    assert!(log[0].ends_with("] Docker entrypoint called with argument(s): train"));
    for part in [
        "] Epoch[0] Train-accuracy=",
        "] Epoch[0] Validation-accuracy=",
        "] Final validation calibration error: 0.",
        "both are optimistic, for the temperature of ",
        "24 training images, 8 validation images",
    ] {
        assert!(log.iter().any(|line| line.contains(part)), "{part}: {log:#?}");
    }
    // Packed as the service packs it.
    let path = folder.path().join("model.tar.gz");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder.path().join("model")).unwrap() {
        files.push(entry.unwrap().file_name().into_string().unwrap());
    }
    files.sort();
    assert_eq!(files, ["model.json", "model.safetensors"]);
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for name in files {
        archive
            .append_path_with_name(folder.path().join("model").join(&name), &name)
            .unwrap();
    }
    std::fs::write(&path, archive.into_inner().unwrap().finish().unwrap()).unwrap();
    let classifier = VisionLoader::default().load(&path).unwrap();
    let mut image = Cursor::new(Vec::new());
    RgbImage::new(32, 32)
        .write_to(&mut image, image::ImageFormat::Png)
        .unwrap();
    let probabilities = classifier.classify(image.get_ref()).unwrap();
    assert_eq!(probabilities.len(), 2);
    assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    assert!(classifier.classify(b"no image").is_err());
}

#[test]
fn training_stops_when_told() {
    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path(), small());
    let (code, log, exit, _) = run_until(folder.path(), "Reading the images");
    assert_eq!((code, exit.as_str()), (0, r#"{"code":0,"stopped":true}"#), "{log:#?}");
    assert!(!folder.path().join("model/model.safetensors").exists());
    assert!(
        log.last()
            .unwrap()
            .ends_with("Training was stopped before its first epoch ended: there is no model")
    );
}

#[test]
fn training_that_is_stopped_later_leaves_the_model_so_far() {
    let folder = tempfile::tempdir().unwrap();
    let mut given = small();
    given["epochs"] = json!("50");
    lay_out(folder.path(), given);
    let (code, log, exit, _) = run_until(folder.path(), "Epoch[1] Validation-accuracy");
    assert_eq!((code, exit.as_str()), (0, r#"{"code":0,"stopped":true}"#), "{log:#?}");
    let said = "Training was stopped: the model is the one after 2 whole epochs";
    assert!(log.iter().any(|line| line.ends_with(said)), "{log:#?}");
    let model: Value = serde_json::from_slice(&std::fs::read(folder.path().join("model/model.json")).unwrap()).unwrap();
    assert_eq!(model["provenance"]["epochs"], 2, "{model}");
    assert!(folder.path().join("model/model.safetensors").exists());
}

#[test]
fn training_goes_on_from_the_checkpoint_of_a_process_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut given = small();
    given["epochs"] = json!("3");
    lay_out(folder.path(), given);
    run_until(folder.path(), "Epoch[1] Validation-accuracy");
    let (code, log, ..) = run(folder.path());
    assert_eq!(code, 0, "{log:#?}");
    let said = |part: &str| log.iter().any(|line| line.contains(part));
    assert!(said("from epoch 1 on, where a checkpoint was kept"), "{log:#?}");
    assert!(!said("Epoch[0]") && said("Epoch[1]") && said("Epoch[2]"), "{log:#?}");

    // A damaged one is no reason to give up.
    std::fs::write(folder.path().join("checkpoints/last.safetensors"), "nonsense").unwrap();
    let (code, log, ..) = run(folder.path());
    assert_eq!(code, 0, "{log:#?}");
    let warned = "training cannot go on from its checkpoint: the checkpoint is damaged";
    assert!(
        log.iter()
            .any(|line| line.contains(warned) && line.ends_with("training begins anew")),
        "{log:#?}"
    );
}

#[test]
fn training_begins_with_the_shipped_network() {
    let folder = tempfile::tempdir().unwrap();
    let mut given = small();
    given["use_pretrained_model"] = json!("1");
    lay_out(folder.path(), given);
    let (code, log, ..) = run(folder.path());
    assert_eq!(code, 0, "{log:#?}");
    let said = |part: &str| log.iter().any(|line| line.contains(part));
    assert!(
        said("Training begins with the network that ships with Scones"),
        "{log:#?}"
    );
    assert!(
        said("num_layers=20: use_pretrained_model=1 begins with the network"),
        "{log:#?}"
    );
    let model: Value = serde_json::from_slice(&std::fs::read(folder.path().join("model/model.json")).unwrap()).unwrap();
    assert_eq!(
        (&model["architecture"]["classes"], &model["classes"]),
        (&json!(2), &json!(["0", "1"]))
    );
}

/// A folder whose channel `model` has the artefact of another training.
fn lay_out_incremental(root: &Path, hyperparameters: Value, artefact: impl FnOnce(&Path)) {
    lay_out(root, hyperparameters);
    let config = root.join("input/config/inputdataconfig.json");
    let mut channels: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    channels["model"] = json!({"ContentType": "application/x-sagemaker-model"});
    std::fs::write(&config, channels.to_string()).unwrap();
    std::fs::create_dir_all(root.join("input/data/model")).unwrap();
    artefact(&root.join("input/data/model/model.tar.gz"));
}

fn artefact_of(settings: &Settings) -> impl FnOnce(&Path) {
    let drawn = synthetic::draw(24, 1);
    let mut model = train(&drawn, None, settings, Start::Scratch, &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap()
    .model;
    model.classes = vec!["0".into(), "1".into()];
    move |path| model.write(std::fs::File::create(path).unwrap()).unwrap()
}

#[test]
fn incremental_training_goes_on_with_the_model_of_a_channel() {
    let settings = Settings {
        network: NetworkChoice::Depth(20),
        epochs: 1,
        ..Settings::new(24, 7, 1)
    };
    let folder = tempfile::tempdir().unwrap();
    lay_out_incremental(folder.path(), small(), artefact_of(&settings));
    let (code, log, ..) = run(folder.path());
    assert_eq!(code, 0, "{log:#?}");
    assert!(
        log.iter()
            .any(|line| line.contains("goes on with the model of the channel model")),
        "{log:#?}"
    );

    let mut given = small();
    given["use_pretrained_model"] = json!("1");
    let folder = tempfile::tempdir().unwrap();
    lay_out_incremental(folder.path(), given, artefact_of(&settings));
    let (code, log, ..) = run(folder.path());
    assert_eq!(code, 0, "{log:#?}");
    let said = "in the place of the network that use_pretrained_model=1 names";
    assert!(log.iter().any(|line| line.contains(said)), "{log:#?}");

    let refused = |change: Value, settings: &Settings, expect: &str| {
        let folder = tempfile::tempdir().unwrap();
        let mut given = small();
        given
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        lay_out_incremental(folder.path(), given, artefact_of(settings));
        let (code, .., failure) = run(folder.path());
        assert!(code == 1 && failure.contains(expect), "{code} {failure}");
    };
    refused(
        json!({"num_layers": "32"}),
        &settings,
        "num_layers must be that of the channel model, which has 20; the job has 32",
    );
    let own = Settings {
        epochs: 1,
        ..Settings::new(24, 7, 1)
    };
    refused(
        json!({}),
        &own,
        "num_layers must be that of the channel model, which has none (leave it out); the job has 20",
    );
    let larger = Settings {
        width: 48,
        height: 48,
        ..settings.clone()
    };
    refused(
        json!({}),
        &larger,
        "image_shape must be that of the channel model, which has 3,48,48; the job has 3,32,32",
    );

    let refused = |artefact: fn(&Path), expect: &str| {
        let folder = tempfile::tempdir().unwrap();
        lay_out_incremental(folder.path(), small(), artefact);
        let (code, .., failure) = run(folder.path());
        assert!(code == 1 && failure.contains(expect), "{code} {failure}");
    };
    refused(|_| {}, "the channel model has no model.tar.gz");
    refused(
        |path| std::fs::write(path, "nonsense").unwrap(),
        "the channel model: the model archive cannot be read",
    );
}

fn check(change: impl FnOnce(&Path), expect: &str) {
    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path(), small());
    change(folder.path());
    let (code, _, exit, failure) = run(folder.path());
    assert_eq!((code, exit.as_str()), (1, r#"{"code":1,"stopped":false}"#), "{failure}");
    assert!(
        failure.contains(expect) && failure.starts_with("ClientError: "),
        "{failure}\nexpected {expect}"
    );
}

fn hyperparameter(root: &Path, name: &str, value: Option<&str>) {
    let mut given = small();
    match value {
        Some(value) => given[name] = json!(value),
        None => drop(given.as_object_mut().unwrap().remove(name)),
    }
    std::fs::write(root.join("input/config/hyperparameters.json"), given.to_string()).unwrap();
}

#[test]
fn a_users_mistake_is_named() {
    let list = |root: &Path| root.join("input/data/train_lst/train.lst");
    check(
        |root| hyperparameter(root, "num_classes", None),
        "'num_classes' is a required hyperparameter",
    );
    check(
        |root| hyperparameter(root, "epochs", Some("many")),
        "hyperparameter 'epochs' has the value 'many'",
    );
    check(
        |root| std::fs::write(list(root), "1\t0\n").unwrap(),
        "/opt/ml/input/data/train_lst/train.lst line 1: a row needs an index",
    );
    check(
        |root| std::fs::write(list(root), "1\t0\tnone.png\n").unwrap(),
        "line 1: the file /opt/ml/input/data/train/none.png does not exist",
    );
    check(
        |root| std::fs::remove_file(list(root)).unwrap(),
        "channel train_lst holds no .lst file",
    );
    check(
        |root| std::fs::write(list(root).with_file_name("b.lst"), "").unwrap(),
        "channel train_lst holds 2 .lst files",
    );
    check(|root| hyperparameter(root, "image_shape", Some("3,28,28")), "28");
    check(
        |root| {
            let config = root.join("input/config/inputdataconfig.json");
            std::fs::write(config, r#"{"train": {}}"#).unwrap();
        },
        "'validation' is a required property",
    );
}

#[test]
fn unusable_images_are_told_together_and_repeated_rows_by_their_place() {
    let list = |root: &Path| root.join("input/data/train_lst/train.lst");
    check(
        |root| {
            let rows = std::fs::read_to_string(list(root)).unwrap();
            for row in rows.lines().take(2) {
                let name = row.split('\t').nth(2).unwrap();
                std::fs::write(root.join("input/data/train").join(name), "<html>").unwrap();
            }
        },
        "2 images cannot be used:\n/opt/ml/input/data/train_lst/train.lst line 1: the image ",
    );

    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path(), small());
    let rows = std::fs::read_to_string(list(folder.path())).unwrap();
    let rows = format!("{rows}{}\n", rows.lines().next().unwrap());
    std::fs::write(list(folder.path()), rows).unwrap();
    let (_, log, ..) = run(folder.path());
    let warned = "/opt/ml/input/data/train_lst/train.lst: 1 row has the path of an earlier row";
    assert!(log.iter().any(|line| line.contains(warned)), "{log:#?}");
}
