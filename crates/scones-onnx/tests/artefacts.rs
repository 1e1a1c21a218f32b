//! What artefacts are refused for, on a machine without ONNX Runtime. What runs with it is tested
//! with real clients.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{error::Error as _, io::Cursor, path::PathBuf};

use flate2::{Compression, write::GzEncoder};
use scones_onnx::{Classifier, Error, Runtime};
use scones_vision::{
    dataset::{LabelKind, synthetic},
    model::{Model, Provenance},
    preprocessing::Preprocessing,
};

/// A model of one operation and no weights.
const ONNX: &[u8] = b"\x08\x0a\x3a\x12\x0a\x10\x0a\x01x\x12\x01y\x22\x08Identity";

/// A machine that lacks ONNX Runtime.
fn without() -> Runtime {
    Runtime::new(Some(PathBuf::from("/nowhere/libonnxruntime.so")))
}

/// An archive of these members, with names that a well-meaning program would not write.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let files = members
        .iter()
        .map(|(name, bytes)| (*name, *bytes, tar::EntryType::Regular));
    typed(files.collect())
}

fn typed(members: Vec<(&str, &[u8], tar::EntryType)>) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, bytes, kind) in members {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_entry_type(kind);
        header.set_cksum();
        archive.append(&header, bytes).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

/// An ONNX model with a weight in another file.
fn with_weights_in(file: &str) -> Vec<u8> {
    let field = |number: u8, value: &[u8]| [&[number << 3 | 2, value.len() as u8], value].concat();
    let entry = [field(1, b"location"), field(2, file.as_bytes())].concat();
    field(7, &field(5, &field(13, &entry)))
}

fn open(artefact: &[u8]) -> Result<Classifier, Error> {
    Classifier::read(Cursor::new(artefact), &without())
}

fn refused(artefact: &[u8], expect: &str) {
    let Err(error) = open(artefact) else { panic!("{expect}") };
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    let text = format!("{error}: {cause}");
    assert!(text.contains(expect), "{text}");
}

const RUNTIME: &str = "an ONNX model needs ONNX Runtime, which this machine lacks (/nowhere/libonnxruntime.so cannot be \
                       loaded: ";

#[test]
fn without_onnx_runtime_a_model_says_what_to_do() {
    refused(&archive(&[("model.onnx", ONNX)]), RUNTIME);
    refused(&archive(&[("model.onnx", ONNX)]), "install ONNX Runtime 1.18 or newer");
    refused(
        &archive(&[("model.onnx", ONNX)]),
        "name its shared library in ORT_DYLIB_PATH",
    );
    // Asked again, it looks again.
    assert!(without().check().is_err() && without().check().is_err());
}

#[test]
fn the_only_onnx_file_is_found_wherever_it_is() {
    for artefact in [
        archive(&[("./export/ResNet.ONNX", ONNX), ("export/model.json", b"{}")]),
        archive(&[("._model.onnx", b"mac"), ("model.onnx", ONNX), ("labels.txt", b"cat")]),
        archive(&[("model.json", b"not beside it"), ("1/model.onnx", ONNX)]),
        archive(&[("1/model.onnx", &with_weights_in("./a/b.bin")), ("1/a/b.bin", b"")]),
    ] {
        refused(&artefact, RUNTIME);
    }
}

#[test]
fn artefacts_that_are_wrong_say_how() {
    let two = [("a.onnx", ONNX), ("b/a.onnx", ONNX)];
    refused(&archive(&two), "holds several ONNX files (a.onnx, b/a.onnx)");
    refused(
        &archive(&[("model.onnx", ONNX), ("code/inference.py", b"")]),
        "holds \"code/inference.py\", a script",
    );
    refused(
        &archive(&[("model.onnx", b"")]),
        "model.onnx is damaged, or no ONNX model that is taken here: it holds no graph",
    );
    refused(&archive(&[("model.onnx", &ONNX[..9])]), "its fields do not add up");
    refused(
        &archive(&[("model.onnx", ONNX), ("model.json", b"{\"labels\": []}")]),
        "model.json beside the ONNX file is malformed: unknown field `labels`",
    );
    refused(
        &archive(&[("m.onnx", &with_weights_in("m.onnx.data"))]),
        "m.onnx has weights in the file \"m.onnx.data\", which the model archive does not hold",
    );
    for place in [
        "/etc/passwd",
        "../m.data",
        "a/../../b",
        "*/_ORT_MEM_ADDR_/*",
        "a\0b",
        "",
        ".",
    ] {
        let artefact = archive(&[("m.onnx", &with_weights_in(place))]);
        refused(&artefact, "no plain path below the model's folder");
    }
    refused(
        &archive(&[("model.pt", b"")]),
        "holds \"model.pt\" and no .onnx file: a model is one .onnx file",
    );
}

#[test]
fn hostile_archives_are_refused() {
    refused(b"not an archive", "cannot be read");
    let whole = archive(&[("model.onnx", &[7; 4000])]);
    refused(&whole[..whole.len() / 2], "cut short");
    refused(
        &archive(&[("../model.onnx", ONNX)]),
        "\"../model.onnx\", a name that leads out of it",
    );
    refused(&archive(&[("/model.onnx", ONNX)]), "a name that leads out of it");
    let link = typed(vec![("model.onnx", b"", tar::EntryType::Symlink)]);
    refused(&link, "member model.onnx is no plain file");
    let described = [("model.onnx", ONNX), ("model.json", b"{}"), ("./model.json", b"{}")];
    refused(
        &archive(&described),
        "member model.json is no plain file or is there twice",
    );
    refused(
        &archive(&[("model.onnx", ONNX), ("model.json", &vec![b' '; 5 << 20])]),
        "model.json has over 4194304 bytes",
    );
    // A header that promises more than any disk has.
    let mut header = tar::Header::new_ustar();
    header.set_path("model.onnx").unwrap();
    let promise = |header: &mut tar::Header, size: u64| {
        header.set_size(size);
        header.set_cksum();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        std::io::Write::write_all(&mut gzip, header.as_bytes()).unwrap();
        gzip.finish().unwrap()
    };
    refused(&promise(&mut header, 5 << 30), "content has over 2147483648 bytes");
    refused(&promise(&mut header, 1 << 20), "cut short");
}

#[test]
fn artefacts_of_scones_open_as_before() {
    let input = scones_nn::Shape {
        height: 16,
        width: 16,
        channels: 3,
    };
    let architecture = scones_nn::Architecture::resnet(8, input, 2).unwrap();
    let model = Model {
        network: scones_nn::Network::new(architecture, 3).unwrap(),
        classes: synthetic::CLASSES.map(str::to_owned).to_vec(),
        labels: LabelKind::Single,
        preprocessing: Preprocessing {
            width: 16,
            height: 16,
            resize: None,
            mean: [0.5; 3],
            deviation: [0.25; 3],
        },
        temperature: 1.0,
        mirror_averaging: false,
        provenance: Provenance::default(),
    };
    let mut artefact = Vec::new();
    model.write(&mut artefact).unwrap();
    let classifier = open(&artefact).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(classifier.classes(), synthetic::CLASSES);
    assert!(
        classifier
            .classify(b"text")
            .unwrap_err()
            .to_string()
            .contains("not a PNG or JPEG image")
    );
}
