use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use scones_nn::{Block, Shape, Stage, Transition};

use super::*;
use crate::{dataset::synthetic, predict::Classifier};

fn model() -> Model {
    let input = Shape {
        height: 16,
        width: 16,
        channels: 3,
    };
    let stages = vec![Stage {
        channels: 4,
        blocks: 1,
        stride: 2,
    }];
    let architecture = Architecture {
        input,
        stem_channels: 4,
        block: Block::Basic,
        transition: Transition::Strided,
        stages,
        classes: 2,
    };
    Model {
        network: Network::new(architecture, 7).unwrap(),
        classes: synthetic::CLASSES.map(str::to_owned).to_vec(),
        labels: LabelKind::Single,
        preprocessing: Preprocessing {
            width: 16,
            height: 16,
            resize: Some(20),
            mean: [0.4, 0.5, 0.6],
            deviation: [0.2; 3],
        },
        temperature: 1.25,
        mirror_averaging: true,
        provenance: Provenance {
            program: "test".into(),
            seed: u64::MAX,
            validation_accuracy: Some(0.875),
            ..Provenance::default()
        },
    }
}

fn written(model: &Model) -> Vec<u8> {
    let mut out = Vec::new();
    model.write(&mut out).unwrap();
    out
}

/// An archive of these members.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        // Written past the builder's checks, which refuse paths that leave the folder.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        archive.append(&header, *bytes).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

fn refused(artefact: &[u8], expect: &str) {
    let error = Model::read(artefact).unwrap_err();
    let chain = match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    assert!(chain.contains(expect), "{chain}");
}

#[test]
fn models_read_back_and_answer_the_same() {
    let (model, drawn) = (model(), synthetic::draw(1, 1));
    let artefact = written(&model);
    assert_eq!(artefact, written(&model));
    let read = Model::read(artefact.as_slice()).unwrap();
    assert_eq!(
        (&read.classes, &read.preprocessing, &read.provenance),
        (&model.classes, &model.preprocessing, &model.provenance)
    );
    let answer = |model: &Model| Classifier::new(model).classify_image(&drawn.samples[0].image).unwrap();
    assert_eq!(answer(&read), answer(&model));
}

#[test]
fn the_kind_of_labels_is_kept_and_single_where_none_is_said() {
    let multi = Model {
        labels: LabelKind::Multi,
        ..model()
    };
    let read = Model::read(written(&multi).as_slice()).unwrap();
    assert_eq!(read.labels, LabelKind::Multi);
    let drawn = synthetic::draw(1, 1);
    let logits = Classifier::new(&read).logits(&drawn.samples[0].image).unwrap();
    let answer = Classifier::new(&read).classify_image(&drawn.samples[0].image).unwrap();
    let expect: Vec<f32> = logits.iter().map(|logit| scones_nn::sigmoid(logit / 1.25)).collect();
    assert_eq!(answer, expect);

    let (description, weights) = archive::read(written(&model()).as_slice()).unwrap();
    let without = String::from_utf8(description)
        .unwrap()
        .replace("\"labels\": \"single\",", "");
    let old = archive(&[("model.json", without.as_bytes()), ("model.safetensors", &weights)]);
    assert!(!without.contains("labels"));
    assert_eq!(Model::read(old.as_slice()).unwrap().labels, LabelKind::Single);
}

#[test]
fn hostile_archives_are_refused() {
    let (description, weights) = archive::read(written(&model()).as_slice()).unwrap();
    let whole =
        |description: &[u8], weights: &[u8]| archive(&[("model.json", description), ("./model.safetensors", weights)]);
    assert!(Model::read(whole(&description, &weights).as_slice()).is_ok());

    refused(b"not an archive", "cannot be read");
    refused(&written(&model())[..300], "cut short");
    refused(&archive(&[("../../etc/passwd", b"x")]), "holds \"../../etc/passwd\"");
    refused(&archive(&[("/model.json", b"{}")]), "holds \"/model.json\"");
    refused(
        &archive(&[("model.onnx", b"x")]),
        "holds \"model.onnx\"; a model holds only",
    );
    refused(&archive(&[("model.json", &description)]), "holds no model.safetensors");
    refused(
        &archive(&[("model.json", b"{}"), ("model.json", b"{}")]),
        "model.json is no plain file or is there twice",
    );
    refused(
        &archive(&[("model.json", &vec![b' '; 5 << 20])]),
        "model.json has over 4194304 bytes",
    );
    refused(&whole(b"{", &weights), "model.json is malformed");
    refused(&whole(&description, b"12345678"), "model.safetensors is malformed");

    let edited = |from: &str, to: &str| {
        let text = String::from_utf8(description.clone()).unwrap();
        assert!(text.contains(from), "{text}");
        whole(text.replacen(from, to, 1).as_bytes(), &weights)
    };
    refused(&edited("\"format\": 1", "\"format\": 2"), "format 2 is not known");
    refused(
        &edited("\"stride\":", "\"dilation\": 2, \"stride\":"),
        "unknown field `dilation`",
    );
    refused(
        &edited("\"classes\": 2", "\"classes\": 3"),
        "2 class names for 3 outputs",
    );
    refused(
        &edited("\"temperature\": 1.25", "\"temperature\": 0.0"),
        "must be above 0",
    );
    refused(
        &edited("\"channels\": 4", "\"channels\": 5"),
        "architecture needs F32 or F16 [5, 4, 3, 3]",
    );
    refused(
        &edited("\"channels\": 4", "\"channels\": 4000000000"),
        "stages[0].channels is 4000000000",
    );
    refused(&edited("\"blocks\": 1", "\"blocks\": 2"), "is missing");
    refused(
        &edited("\"resize\": 20", "\"resize\": 4000000000"),
        "resize Some(4000000000)",
    );
}

#[test]
fn architectures_beyond_memory_are_refused() {
    let (description, weights) = archive::read(written(&model()).as_slice()).unwrap();
    let text = String::from_utf8(description).unwrap();
    let vast = text
        .replace("\"height\": 16", "\"height\": 4096")
        .replace("\"width\": 16", "\"width\": 4096");
    refused(
        &archive(&[("model.json", vast.as_bytes()), ("model.safetensors", &weights)]),
        "16777216 pixels of 4 channels need too much memory",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damaged_members_never_panic(at: prop::sample::Index, byte: u8, in_weights: bool) {
        let (mut description, mut weights) = archive::read(written(&model()).as_slice()).unwrap();
        let part = if in_weights { &mut weights } else { &mut description };
        let at = at.index(part.len().min(2000));
        part[at] = byte;
        if let Ok(model) = Model::read(archive(&[("model.json", &description), ("model.safetensors", &weights)]).as_slice()) {
            let _ = Classifier::new(&model).classify_image(&synthetic::draw(1, 1).samples[0].image);
        }
    }
}
