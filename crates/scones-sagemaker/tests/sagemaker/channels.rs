//! The forms in which training data comes.

use std::path::Path;

use scones_vision::dataset::{list, record_io};
use serde_json::{Value, json};

use crate::{
    support::{World, training_job},
    worker::{lay_out, run, small},
};

/// Fails with the files that the job was given as the reason.
const LISTS_ITS_FILES: &str = r#"cd $1/input; find data config -name '*.manifest' -o -path 'data/*' -type f | sort | tr '\n' ' ' > $1/output/failure
    printf '{"code":1,"stopped":false}' > $1/output/exit.json; exit 1"#;

async fn reason(world: &World, source: Value) -> String {
    let server = world.start(LISTS_ITS_FILES).await;
    let mut request = training_job("job");
    let mut train = request["InputDataConfig"][0].clone();
    train["DataSource"]["S3DataSource"] = source;
    if train["DataSource"]["S3DataSource"]["S3DataType"] == "AugmentedManifestFile" {
        train["InputMode"] = json!("Pipe");
        train["RecordWrapperType"] = json!("RecordIO");
    }
    request["InputDataConfig"] = json!([train]);
    server.ok("CreateTrainingJob", request).await;
    let job = server.ended("job").await;
    server.0.shutdown().await;
    job["FailureReason"].as_str().unwrap().trim_end().to_owned()
}

#[tokio::test]
async fn a_manifest_lists_the_objects_of_a_channel() {
    let check = async |manifest: &str, expect: &str| {
        let world = World::new();
        for key in ["images/a.png", "images/sub/b.png", "images/c.png"] {
            world.objects.insert("photos", key, "an image");
        }
        world.objects.insert("lists", "train.manifest", manifest.to_owned());
        let source = json!({"S3DataType": "ManifestFile", "S3Uri": "s3://lists/train.manifest"});
        assert_eq!(reason(&world, source).await, expect, "{manifest}");
    };
    check(
        r#"[{"prefix": "s3://photos/images/"}, "a.png", "sub/b.png"]"#,
        "AlgorithmError: config/train.manifest data/train/a.png data/train/sub/b.png",
    )
    .await;
    let failed = |problem: &str| format!("ClientError: Data download failed: channel train: {problem}");
    let wrong = |problem: &str| format!("ClientError: channel train: {problem}");
    let form = "the manifest s3://lists/train.manifest is no JSON array of an object with \"prefix\" and the names \
                that follow it";
    check("[]", &wrong(form)).await;
    check(r#"[{"prefix": "s3://photos/"}]"#, &wrong(form)).await;
    check(r#"[{"prefix": "s3://photos/"}, 1]"#, &wrong(form)).await;
    check(
        "nonsense",
        &wrong(&format!("{form}: expected ident at line 1 column 2")),
    )
    .await;
    check(
        r#"[{"prefix": "s3://photos/images/"}, "d.png"]"#,
        &failed("there is no object s3://photos/images/d.png"),
    )
    .await;
    check(
        r#"[{"prefix": "s3://photos/images/"}, "../a.png"]"#,
        &failed("the key \"images/../a.png\" is not a plain relative path; rename the object"),
    )
    .await;
}

#[tokio::test]
async fn an_augmented_manifest_names_images_anywhere() {
    let check = async |manifest: &str, expect: &str| {
        let world = World::new();
        world.objects.insert("photos", "a.png", "an image");
        world.objects.insert("others", "../b", "an image");
        world.objects.insert("lists", "train.manifest", manifest.to_owned());
        let source = json!({
            "S3DataType": "AugmentedManifestFile", "S3Uri": "s3://lists/train.manifest",
            "AttributeNames": ["source-ref", "class"],
        });
        assert_eq!(reason(&world, source).await, expect, "{manifest}");
    };
    let line = |place: &str| format!("{{\"source-ref\": \"{place}\", \"class\": 0}}\n");
    check(
        &[
            line("s3://photos/a.png"),
            line("s3://others/../b"),
            line("s3://photos/a.png"),
        ]
        .concat(),
        "AlgorithmError: config/train.manifest data/train/line-1 data/train/line-2 data/train/line-3",
    )
    .await;
    let failed = |problem: &str| format!("ClientError: Data download failed: channel train: {problem}");
    let wrong = |problem: &str| format!("ClientError: channel train: {problem}");
    let at = |line: usize, problem: &str| format!("s3://lists/train.manifest line {line}: {problem}");
    check(
        &[line("s3://photos/a.png"), line("s3://photos/b.png")].concat(),
        &failed(&at(2, "there is no object s3://photos/b.png")),
    )
    .await;
    check(
        &line("/etc/passwd"),
        &wrong(&at(
            1,
            "The S3 URI \"/etc/passwd\" is not valid: s3://BUCKET/KEY is expected",
        )),
    )
    .await;
    check(
        r#"{"class": 0}"#,
        &wrong(&at(
            1,
            "there is no attribute \"source-ref\": add it, or name another in the channel's AttributeNames",
        )),
    )
    .await;
    check("\n", &wrong("s3://lists/train.manifest: the manifest has no lines")).await;
}

/// The images and labels of a channel that `lay_out` made, and its image files gone.
fn taken_out(root: &Path, channel: &str) -> Vec<(Vec<u8>, Vec<u16>)> {
    let data = root.join("input/data");
    let lists = data.join(format!("{channel}_lst"));
    let rows = list::parse(&std::fs::read_to_string(lists.join(format!("{channel}.lst"))).unwrap()).unwrap();
    let folder = data.join(channel);
    let images = rows
        .into_iter()
        .map(|row| (std::fs::read(folder.join(&row.path)).unwrap(), row.labels))
        .collect();
    std::fs::remove_dir_all(lists).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::create_dir(folder).unwrap();
    images
}

/// As `im2rec` packs them: one label in the header, or several after it.
fn record_io(images: &[(Vec<u8>, Vec<u16>)]) -> Vec<u8> {
    let mut file = Vec::new();
    for (number, (image, labels)) in images.iter().enumerate() {
        let (count, first, rest) = match &labels[..] {
            [only] => (0, *only, &[][..]),
            several => (several.len() as u32, 0, several),
        };
        file.extend(record_io::MAGIC.to_le_bytes());
        file.extend((24 + 4 * count + image.len() as u32).to_le_bytes());
        file.extend([count.to_le_bytes(), f32::from(first).to_le_bytes()].concat());
        file.extend([(number as u64).to_le_bytes(), 0_u64.to_le_bytes()].concat());
        file.extend(rest.iter().flat_map(|label| f32::from(*label).to_le_bytes()));
        file.extend(image);
        file.resize(file.len().next_multiple_of(4), 0);
    }
    file
}

/// The same channels with three classes, of which an image has any number.
fn lay_out_sets(root: &Path) {
    let mut given = small();
    given["num_classes"] = json!("3");
    given["multi_label"] = json!("1");
    given["use_weighted_loss"] = json!("1");
    lay_out(root, given);
    for channel in ["train", "validation"] {
        let list = root.join(format!("input/data/{channel}_lst/{channel}.lst"));
        let rows = list::parse(&std::fs::read_to_string(&list).unwrap()).unwrap();
        let columns = |row: &list::Row| {
            let (label, third) = (row.labels[0], u16::from(row.index.is_multiple_of(3)));
            format!("{}\t{label}\t{}\t{third}\t{}\n", row.index, third * label, row.path)
        };
        std::fs::write(&list, rows.iter().map(columns).collect::<String>()).unwrap();
    }
}

fn pack_records(root: &Path) {
    for channel in ["train", "validation"] {
        let images = taken_out(root, channel);
        std::fs::write(root.join("input/data").join(channel).join("a.rec"), record_io(&images)).unwrap();
    }
    configure(root, &json!({"ContentType": "application/x-recordio"}));
}

fn write_manifests(root: &Path, content_type: &str, write: impl Fn(&[u16]) -> Value) {
    for channel in ["train", "validation"] {
        let mut manifest = String::new();
        for (at, (image, labels)) in taken_out(root, channel).iter().enumerate() {
            let line = json!({"image-ref": format!("s3://b/{at}"), "is": write(labels)});
            manifest += &format!("{line}\n");
            let file = root.join("input/data").join(channel).join(format!("line-{}", at + 1));
            std::fs::write(file, image).unwrap();
        }
        std::fs::write(root.join(format!("input/config/{channel}.manifest")), manifest).unwrap();
    }
    configure(
        root,
        &json!({"ContentType": content_type, "AttributeNames": ["image-ref", "is"]}),
    );
}

fn configure(root: &Path, channel: &Value) {
    let channels = json!({"train": channel, "validation": channel});
    std::fs::write(root.join("input/config/inputdataconfig.json"), channels.to_string()).unwrap();
}

fn weights(root: &Path) -> Vec<u8> {
    let (code, log, ..) = run(root);
    assert_eq!(code, 0, "{log:#?}");
    std::fs::read(root.join("model/model.safetensors")).unwrap()
}

#[test]
fn the_same_images_in_any_form_give_the_same_model() {
    let made = |change: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir().unwrap();
        lay_out(folder.path(), small());
        change(folder.path());
        weights(folder.path())
    };
    let of_a_list = made(&|_| ());
    assert!(made(&pack_records) == of_a_list);
    let of_manifests = made(&|root| {
        write_manifests(root, "application/x-recordio", |labels| json!(labels[0].to_string()));
    });
    assert!(of_manifests == of_a_list);
}

#[test]
fn sets_of_classes_in_any_form_give_the_same_model() {
    let made = |change: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir().unwrap();
        lay_out_sets(folder.path());
        change(folder.path());
        weights(folder.path())
    };
    let of_lists = made(&|_| ());
    assert!(made(&pack_records) == of_lists);
    let multi_hot =
        |content_type: &'static str| made(&move |root| write_manifests(root, content_type, |labels| json!(labels)));
    assert!(multi_hot("application/x-recordio") == of_lists);
    assert!(multi_hot("application/x-recordio; label-format=multi-hot") == of_lists);
    let class_ids = made(&|root| {
        write_manifests(root, "application/x-recordio;label-format=class-id", |labels| {
            let present = labels.iter().enumerate().filter(|(_, label)| **label == 1);
            present.map(|(class, _)| json!(class)).collect()
        });
    });
    assert!(class_ids == of_lists);
}

#[test]
fn a_form_that_does_not_fit_is_refused() {
    let check = |channel: Value, expect: &str| {
        let folder = tempfile::tempdir().unwrap();
        lay_out(folder.path(), small());
        configure(folder.path(), &channel);
        let (code, .., failure) = run(folder.path());
        assert!(code == 1 && failure.contains(expect), "{code} {failure}");
    };
    check(
        json!({"ContentType": "application/x-recordio"}),
        "channel train holds no .rec file",
    );
    check(
        json!({"ContentType": "text/csv"}),
        "has the content type 'text/csv'; application/x-image and application/x-recordio are read here",
    );
    check(
        json!({"ContentType": "application/x-recordio; label-format=one-hot"}),
        "channel train has the label-format 'one-hot'; multi-hot and class-id are known",
    );
    check(
        json!({"ContentType": "application/x-recordio", "AttributeNames": ["source-ref"]}),
        "has the AttributeNames [\"source-ref\"], but the algorithm takes two",
    );
}

#[test]
fn folders_of_classes_are_not_sets() {
    let folder = tempfile::tempdir().unwrap();
    lay_out_sets(folder.path());
    for channel in ["train", "validation"] {
        for (at, (image, _)) in taken_out(folder.path(), channel).iter().enumerate() {
            let class = folder.path().join(format!("input/data/{channel}/{}", at % 3));
            std::fs::create_dir_all(&class).unwrap();
            std::fs::write(class.join(format!("{at}.png")), image).unwrap();
        }
    }
    configure(folder.path(), &json!({"ContentType": "application/x-image"}));
    let (code, .., failure) = run(folder.path());
    let expect = "/opt/ml/input/data/train: folders of classes give each image one class; with multi_label=1";
    assert!(code == 1 && failure.contains(expect), "{code} {failure}");
}

#[test]
fn a_model_of_single_labels_goes_on_with_sets_but_for_its_last_layer() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut single = small();
    single["num_classes"] = json!("3");
    lay_out(root, single);
    weights(root);
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    archive.append_dir_all(".", root.join("model")).unwrap();
    let artefact = archive.into_inner().unwrap().finish().unwrap();

    lay_out_sets(root);
    std::fs::remove_dir_all(root.join("checkpoints")).unwrap();
    std::fs::create_dir_all(root.join("checkpoints")).unwrap();
    std::fs::create_dir_all(root.join("input/data/model")).unwrap();
    std::fs::write(root.join("input/data/model/model.tar.gz"), artefact).unwrap();
    let config = root.join("input/config/inputdataconfig.json");
    let mut channels: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    channels["model"] = json!({"ContentType": "application/x-sagemaker-model"});
    std::fs::write(&config, channels.to_string()).unwrap();
    let (code, log, ..) = run(root);
    assert_eq!(code, 0, "{log:#?}");
    let said = "but for its last layer, which was trained with another multi_label and begins anew";
    assert!(log.iter().any(|line| line.ends_with(said)), "{log:#?}");
    let said = "every class is right for ";
    assert!(log.iter().any(|line| line.contains(said)), "{log:#?}");
    let model: Value = serde_json::from_slice(&std::fs::read(root.join("model/model.json")).unwrap()).unwrap();
    assert_eq!(model["labels"], "multi");
}
