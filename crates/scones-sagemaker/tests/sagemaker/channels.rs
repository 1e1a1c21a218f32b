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
    let form = "the manifest s3://lists/train.manifest is no JSON array of an object with \"prefix\" and the names \
                that follow it";
    check("[]", &failed(form)).await;
    check(r#"[{"prefix": "s3://photos/"}]"#, &failed(form)).await;
    check(r#"[{"prefix": "s3://photos/"}, 1]"#, &failed(form)).await;
    check(
        "nonsense",
        &failed(&format!("{form}: expected ident at line 1 column 2")),
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
    let at = |line: usize, problem: &str| failed(&format!("s3://lists/train.manifest line {line}: {problem}"));
    check(
        &[line("s3://photos/a.png"), line("s3://photos/b.png")].concat(),
        &at(2, "there is no object s3://photos/b.png"),
    )
    .await;
    check(
        &line("/etc/passwd"),
        &at(
            1,
            "The S3 URI \"/etc/passwd\" is not valid: s3://BUCKET/KEY is expected",
        ),
    )
    .await;
    check(
        r#"{"class": 0}"#,
        &at(
            1,
            "there is no attribute \"source-ref\": add it, or name another in the channel's AttributeNames",
        ),
    )
    .await;
    check("\n", &failed("s3://lists/train.manifest: the manifest has no lines")).await;
}

/// The images and labels of a channel that `lay_out` made, and its image files gone.
fn taken_out(root: &Path, channel: &str) -> Vec<(Vec<u8>, usize)> {
    let data = root.join("input/data");
    let lists = data.join(format!("{channel}_lst"));
    let rows = list::parse(&std::fs::read_to_string(lists.join(format!("{channel}.lst"))).unwrap()).unwrap();
    let folder = data.join(channel);
    let images = rows
        .iter()
        .map(|row| (std::fs::read(folder.join(&row.path)).unwrap(), row.label))
        .collect();
    std::fs::remove_dir_all(lists).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::create_dir(folder).unwrap();
    images
}

/// As `im2rec` packs them.
fn record_io(images: &[(Vec<u8>, usize)]) -> Vec<u8> {
    let mut file = Vec::new();
    for (number, (image, label)) in images.iter().enumerate() {
        file.extend(record_io::MAGIC.to_le_bytes());
        file.extend((24 + image.len() as u32).to_le_bytes());
        file.extend(0_u32.to_le_bytes());
        file.extend((*label as f32).to_le_bytes());
        file.extend([(number as u64).to_le_bytes(), 0_u64.to_le_bytes()].concat());
        file.extend(image);
        file.resize(file.len().next_multiple_of(4), 0);
    }
    file
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
    let of_records = made(&|root| {
        for channel in ["train", "validation"] {
            let images = taken_out(root, channel);
            std::fs::write(root.join("input/data").join(channel).join("a.rec"), record_io(&images)).unwrap();
        }
        configure(root, &json!({"ContentType": "application/x-recordio"}));
    });
    assert!(of_records == of_a_list);
    let of_a_manifest = made(&|root| {
        for channel in ["train", "validation"] {
            let mut manifest = String::new();
            for (at, (image, label)) in taken_out(root, channel).iter().enumerate() {
                let line = json!({"image-ref": format!("s3://b/{at}"), "is": label.to_string()});
                manifest += &format!("{line}\n");
                let file = root.join("input/data").join(channel).join(format!("line-{}", at + 1));
                std::fs::write(file, image).unwrap();
            }
            std::fs::write(root.join(format!("input/config/{channel}.manifest")), manifest).unwrap();
        }
        configure(
            root,
            &json!({"ContentType": "application/x-recordio", "AttributeNames": ["image-ref", "is"]}),
        );
    });
    assert!(of_a_manifest == of_a_list);
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
        json!({"ContentType": "application/x-recordio", "AttributeNames": ["source-ref"]}),
        "has the AttributeNames [\"source-ref\"], but the algorithm takes two",
    );
}
