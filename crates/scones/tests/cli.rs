//! The program as a person types it: exit code, stdout and stderr together.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// Runs the program in a directory of its own, whose path reads `[DIR]` in what comes out.
fn scones(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scones"));
    command.args(arguments).current_dir(directory).env_clear();
    command
        .env("HOME", directory)
        .env("SCONES_DATA_DIR", directory.join("data"));
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = format!(
        "exit {}\n--- stdout\n{}--- stderr\n{}",
        status.code().unwrap(),
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    // Linux and macOS number this error differently.
    text.replace(env!("CARGO_BIN_EXE_scones"), "[SCONES]")
        .replace(&directory.display().to_string(), "[DIR]")
        .replace("os error 48", "os error 98")
}

#[test]
fn nothing_to_do_shows_what_there_is() {
    let directory = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(scones(directory.path(), &[]));
}

#[test]
fn help_of_a_command_has_examples() {
    let directory = tempfile::tempdir().unwrap();
    for command in [
        &["demo"][..],
        &["up"],
        &["env"],
        &["doctor"],
        &["train"],
        &["predict"],
        &["evaluate"],
        &["asl", "check"],
    ] {
        let shown = scones(directory.path(), &[command, &["--help"]].concat());
        assert!(shown.starts_with("exit 0") && shown.contains("Examples:"), "{shown}");
    }
}

#[test]
fn a_source_that_is_not_there_is_named() {
    let directory = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(scones(
        directory.path(),
        &["data", "import", "nowhere", "--output", "out"]
    ));
}

#[test]
fn an_image_list_is_refused_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("train.lst"), "0\t0\tmissing.png\n").unwrap();
    insta::assert_snapshot!(scones(
        directory.path(),
        &["data", "import", "train.lst", "--output", "out"]
    ));
    fs::write(directory.path().join("train.lst"), "0\tbicycle\tmissing.png\n").unwrap();
    insta::assert_snapshot!(scones(
        directory.path(),
        &["data", "import", "train.lst", "--output", "out"]
    ));
}

#[test]
fn a_class_of_few_images_is_named() {
    let directory = tempfile::tempdir().unwrap();
    for class in ["bicycle", "motorcycle"] {
        fs::create_dir_all(directory.path().join("photos").join(class)).unwrap();
        image::RgbImage::new(32, 32)
            .save(directory.path().join("photos").join(class).join("a.png"))
            .unwrap();
    }
    insta::assert_snapshot!(scones(
        directory.path(),
        &["data", "import", "photos", "--output", "out"]
    ));
}

/// A gzipped archive of CIFAR-100 in the binary form: its members by name.
fn archive(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

#[test]
fn classes_that_an_archive_does_not_have_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let apples = [&[0, 0][..], &[7; 3072]].concat();
    let members = [
        ("fine_label_names.txt", b"apple\nbicycle\nmotorcycle\n".to_vec()),
        ("train.bin", apples.clone()),
        ("test.bin", apples),
    ];
    fs::write(directory.path().join("a.tar.gz"), archive(&members)).unwrap();
    let import = |more: &[&str]| {
        let shown = scones(
            directory.path(),
            &[&["data", "import", "a.tar.gz", "--output", "out"], more].concat(),
        );
        assert!(!directory.path().join("out").exists());
        shown
    };
    insta::assert_snapshot!(import(&[]));
    insta::assert_snapshot!(import(&["--classes", "apple,pear"]));
    insta::assert_snapshot!(import(&["--classes", "apple,bicycle,apple"]));
}

#[test]
fn classes_are_chosen_from_archives_only() {
    let directory = tempfile::tempdir().unwrap();
    let import = [
        "data",
        "import",
        "synthetic",
        "--output",
        "out",
        "--classes",
        "apple,pear",
    ];
    let train = ["train", "synthetic", "--output", "out", "--classes", "apple,pear"];
    for command in [&import[..], &train] {
        let shown = scones(directory.path(), command);
        assert!(shown.contains("bicycle, motorcycle, not apple, pear"), "{shown}");
        assert!(!directory.path().join("out").exists());
    }
}

#[test]
fn a_truncated_archive_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("cifar-100-python.tar.gz"),
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03",
    )
    .unwrap();
    let shown = scones(
        directory.path(),
        &["data", "import", "cifar-100-python.tar.gz", "--output", "out"],
    );
    assert!(
        shown.starts_with("exit 1") && shown.contains("cifar-100-python.tar.gz"),
        "{shown}"
    );
}

#[test]
fn an_output_that_holds_something_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("out")).unwrap();
    fs::write(directory.path().join("out/precious"), "").unwrap();
    insta::assert_snapshot!(scones(
        directory.path(),
        &["data", "import", "synthetic", "--output", "out"]
    ));
}

#[test]
fn a_classifier_is_trained_asked_and_measured_without_a_server() {
    let directory = tempfile::tempdir().unwrap();
    let (folder, run) = (directory.path(), |arguments: &[&str]| {
        scones(directory.path(), arguments)
    });
    let document = |shown: &str| -> serde_json::Value {
        let json = shown
            .split_once("--- stdout\n")
            .unwrap()
            .1
            .split_once("--- stderr")
            .unwrap()
            .0;
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {shown}"))
    };
    assert!(run(&["data", "import", "synthetic", "--output", "drawn"]).starts_with("exit 0"));
    // A part of the drawn images, one folder a class.
    let list = fs::read_to_string(folder.join("drawn/test.lst")).unwrap();
    for (row, class) in list.lines().map(|row| (row, ["bicycle", "motorcycle"])) {
        let [_, label, name] = row.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let class = class[label.parse::<f32>().unwrap() as usize];
        fs::create_dir_all(folder.join("few").join(class)).unwrap();
        fs::copy(
            folder.join("drawn/test").join(name),
            folder.join("few").join(class).join(name),
        )
        .unwrap();
    }
    let trained = document(&run(&["train", "few", "-H", "epochs=2", "--json"]));
    assert_eq!(
        (&trained["epochs"], &trained["trainingImages"], &trained["testImages"]),
        (&2.into(), &160.into(), &40.into())
    );
    assert!(run(&["train", "few"]).contains("model.tar.gz exists; name another file with --output"));

    let evaluated = document(&run(&["evaluate", "few", "--mistakes", "mistakes.png", "--json"]));
    let confusion: Vec<Vec<u64>> = serde_json::from_value(evaluated["confusion"].clone()).unwrap();
    assert_eq!(confusion.iter().flatten().sum::<u64>(), 200);
    let right = (confusion[0][0] + confusion[1][1]) as f64 / 200.0;
    assert!((evaluated["accuracy"].as_f64().unwrap() - right).abs() < 1e-9);
    assert!(fs::read(folder.join("mistakes.png")).unwrap().starts_with(b"\x89PNG"));

    let image = fs::read_dir(folder.join("few/bicycle"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let asked = document(&run(&["predict", image.to_str().unwrap(), "--json"]));
    let shares = asked[0]["probabilities"].as_object().unwrap();
    assert!((shares.values().map(|share| share.as_f64().unwrap()).sum::<f64>() - 1.0).abs() < 1e-5);

    for (arguments, expect) in [
        (&["predict", "nowhere.png"][..], "cannot read nowhere.png"),
        (&["predict", "drawn/test.lst"], "cannot classify drawn/test.lst"),
        (&["predict", "--model", "few", "a.png"], "cannot read the model few"),
        (
            &["evaluate", "--model", "nowhere", "few"],
            "hint: `scones train` makes one",
        ),
        (
            &["evaluate", "nowhere"],
            "nowhere is neither an image list (.lst) nor a folder",
        ),
        (
            &["train", "few", "--output", "o", "-H", "epoch=2"],
            "'epoch' was unexpected",
        ),
        (
            &["train", "few", "--output", "o", "-H", "epochs"],
            "NAME=VALUE is expected",
        ),
    ] {
        let shown = run(arguments);
        assert!(
            !shown.starts_with("exit 0") && shown.contains(expect),
            "{arguments:?}: {shown}"
        );
    }
}

#[test]
fn drawn_images_are_written_with_their_lists() {
    let directory = tempfile::tempdir().unwrap();
    let shown = scones(
        directory.path(),
        &["data", "import", "synthetic", "--output", "out", "--json"],
    );
    assert!(shown.starts_with("exit 0"), "{shown}");
    let list = fs::read_to_string(directory.path().join("out/train.lst")).unwrap();
    assert_eq!(list.lines().count(), 1000);
    for row in list.lines() {
        let name = row.split('\t').nth(2).unwrap();
        assert!(directory.path().join("out/train").join(name).is_file(), "{row}");
    }
}

#[test]
fn an_address_that_is_taken_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let shown = scones(directory.path(), &["up", "--listen", &address]).replace(&address, "[ADDRESS]");
    insta::assert_snapshot!(shown);
}

#[test]
fn an_address_of_another_machine_is_named() {
    let directory = tempfile::tempdir().unwrap();
    // RFC 5737 keeps this address for documentation: no machine has it.
    let shown = scones(directory.path(), &["up", "--listen", "192.0.2.1:4566"]);
    assert!(shown.starts_with("exit 1"), "{shown}");
    assert!(shown.contains("hint: this machine has no such address"), "{shown}");
}

#[test]
fn a_data_directory_that_is_a_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("data"), "").unwrap();
    insta::assert_snapshot!(scones(directory.path(), &["up", "--listen", "127.0.0.1:0"]));
}

#[test]
fn a_demo_of_nothing_begins_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let shown = scones(directory.path(), &["demo", "--dataset", "nowhere"]);
    assert!(
        shown.starts_with("exit 1") && shown.contains("error: nowhere does not exist"),
        "{shown}"
    );
    assert!(!directory.path().join("data").exists());
}

#[test]
fn an_account_has_twelve_digits() {
    let directory = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(scones(directory.path(), &["up", "--account", "12"]));
}

#[test]
fn a_data_directory_keeps_its_account() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(
        data.join("owner.json"),
        r#"{"account":"000000000000","region":"us-east-1"}"#,
    )
    .unwrap();
    let arguments = ["up", "--listen", "127.0.0.1:0", "--account", "123456789012"];
    let shown = scones(directory.path(), &arguments);
    assert!(
        shown.contains("error: [DIR]/data belongs to account 000000000000 and region us-east-1"),
        "{shown}"
    );
}

#[test]
fn a_function_that_is_unknown_is_named() {
    let directory = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(scones(directory.path(), &["function", "nope"]));
}

#[test]
fn the_environment_of_a_server_that_has_not_been_is_not_made_up() {
    let directory = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(scones(directory.path(), &["env"]));
    assert!(!directory.path().join("data").exists());
}

#[test]
fn the_environment_is_printed_while_no_server_runs() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    fs::create_dir(&data).unwrap();
    let key = "[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = secret\n";
    fs::write(data.join("credentials"), key).unwrap();
    insta::assert_snapshot!(scones(directory.path(), &["env"]));
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "it makes nothing");
}

#[test]
fn a_worker_that_cannot_be_run_says_so() {
    let directory = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(scones(directory.path(), &["worker", "exec", "--", "no-such-program"]));
}

#[test]
fn problems_of_a_definition_are_shown_in_their_place() {
    let directory = tempfile::tempdir().unwrap();
    let definition = r#"{
  "StartAt": "Serialize",
  "States": {
    "Serialize": {
      "Type": "Pass",
      "Parameters": {"key": "$.key"},
      "Next": "Clasify"
    },
    "Classify": {
      "Type": "Task",
      "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
      "Retries": [],
      "TimeoutSeconds": 0,
      "QueryLanguage": "JSONata",
      "Arguments": {"FunctionName": "{% phone %}"}
    }
  }
}
"#;
    fs::write(directory.path().join("order.asl.json"), definition).unwrap();
    insta::assert_snapshot!(scones(directory.path(), &["asl", "check", "order.asl.json"]));
}

#[test]
fn a_definition_without_problems_is_said_to_be_so() {
    let directory = tempfile::tempdir().unwrap();
    let definition = r#"{"StartAt": "A", "States": {"A": {"Type": "Task", "End": true,
        "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken"}}}"#;
    fs::write(directory.path().join("a.json"), definition).unwrap();
    insta::assert_snapshot!(scones(directory.path(), &["asl", "check", "a.json", "a.json"]));
    insta::assert_snapshot!(scones(
        directory.path(),
        &["asl", "check", "--type", "EXPRESS", "--json", "a.json"]
    ));
}

#[test]
fn a_definition_that_cannot_be_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.json"), "{\n  \"StartAt\": \"A\",\n}\n").unwrap();
    fs::write(directory.path().join("b.json"), b"\xff").unwrap();
    insta::assert_snapshot!(scones(directory.path(), &["asl", "check", "a.json"]));
    insta::assert_snapshot!(scones(directory.path(), &["asl", "check", "b.json"]));
    insta::assert_snapshot!(scones(directory.path(), &["asl", "check", "-"]));
}
