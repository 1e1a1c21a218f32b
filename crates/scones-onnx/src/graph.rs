//! What an ONNX file says of itself, read without ONNX Runtime: the files that its weights are in,
//! so that none outside of the artefact is ever opened, and whether its answers are probabilities.
//!
//! An ONNX file is a protocol buffer. Of its messages those are walked that can hold a weight, and
//! in them a field that is not known is refused: a newer ONNX Runtime might find a weight in it.
//! <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>

use std::collections::BTreeSet;

use crate::protobuf::{fields, last};

/// Most files that a model's weights are in.
const WEIGHT_FILES_MAX: usize = 1024;
/// Longest name of such a file, in bytes: that of a path on Linux.
const WEIGHT_FILE_NAME_MAX: usize = 4096;
/// Deepest nesting of messages: what protocol buffers' own readers allow.
const DEPTH_MAX: usize = 100;

/// Operations whose results are probabilities.
const PROBABILITIES: [&[u8]; 2] = [b"Softmax", b"Sigmoid"];

/// The messages that are walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Training,
    Function,
    /// The model's own graph. Its weights are the only ones that ONNX Runtime takes from memory:
    /// for all others it would open the file that they name.
    Main,
    /// A branch, a loop's body, a step of training.
    Graph,
    Node,
    Attribute,
    /// A tensor of the model's own graph.
    Weight,
    /// A tensor anywhere else.
    Tensor,
    SparseTensor,
    /// A key and a value about a weight's external data.
    Entry,
}

impl Message {
    /// Which message a field of this one holds, if it holds one that is walked.
    fn member(self, field: u32) -> Result<Option<Self>, &'static str> {
        Ok(Some(match (self, field) {
            (Self::Model, 7) => Self::Main,
            (Self::Model, 20) => Self::Training,
            (Self::Model, 25) => Self::Function,
            (Self::Training, 1 | 2) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Main | Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Main, 5) => Self::Weight,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::SparseTensor, 1 | 2) => Self::Tensor,
            (Self::Main | Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::SparseTensor,
            (Self::Function, 11) | (Self::Node, 5) => Self::Attribute,
            (Self::Weight, 13) => Self::Entry,
            (Self::Tensor, 13) => {
                return Err("a tensor that is no initializer of its main graph has its values in another file");
            }
            // Those that hold no weight in any version, and those that no version will have again.
            (Self::Model, 1..=6 | 8 | 14 | 26)
            | (Self::Training, 3 | 4)
            | (Self::Function, 1..=6 | 8..=10 | 12..=14)
            | (Self::Main | Self::Graph, 2..=4 | 6..=14 | 16)
            | (Self::Node, 1..=4 | 6..=10)
            | (Self::Attribute, 1..=4 | 7..=9 | 12..=21)
            | (Self::Weight | Self::Tensor, 1..=12 | 14 | 16)
            | (Self::SparseTensor, 3)
            | (Self::Entry, 1 | 2) => return Ok(None),
            _ => return Err("it has a field that is not known here, which a newer ONNX may have"),
        }))
    }
}

/// Where weights are that are not in the file, as an ONNX file spells them.
///
/// # Errors
/// What makes it none.
pub(crate) fn weight_files(model: &[u8]) -> Result<BTreeSet<String>, &'static str> {
    let mut files = BTreeSet::new();
    walk(Message::Model, model, 0, &mut files)?;
    match last(model, 7)? {
        Some(_) => Ok(files),
        None => Err("it holds no graph"),
    }
}

fn walk(message: Message, bytes: &[u8], depth: usize, files: &mut BTreeSet<String>) -> Result<(), &'static str> {
    if depth > DEPTH_MAX {
        return Err("it is nested too deeply");
    }
    for field in fields(bytes) {
        let (number, value) = field?;
        if let (Some(member), Some(value)) = (message.member(number)?, value) {
            walk(member, value, depth + 1, files)?;
        }
    }
    if message == Message::Entry && last(bytes, 1)? == Some(b"location") {
        files.insert(name(last(bytes, 2)?.unwrap_or_default())?);
        if files.len() > WEIGHT_FILES_MAX {
            return Err("its weights are in too many files");
        }
    }
    Ok(())
}

fn name(file: &[u8]) -> Result<String, &'static str> {
    if file.len() > WEIGHT_FILE_NAME_MAX {
        return Err("a file's name is longer than any path");
    }
    let name = str::from_utf8(file).map_err(|_| "a file's name is no text")?;
    Ok(name.to_owned())
}

/// Whether a softmax or a sigmoid writes that output of the model.
///
/// # Errors
/// As [`weight_files`].
pub(crate) fn gives_probabilities(model: &[u8], output: &str) -> Result<bool, &'static str> {
    let graph = last(model, 7)?.unwrap_or_default();
    for field in fields(graph) {
        if let (1, Some(node)) = field?
            && last(node, 2)? == Some(output.as_bytes())
        {
            let standard = last(node, 7)?.is_none_or(|domain| matches!(domain, b"" | b"ai.onnx"));
            return Ok(standard && PROBABILITIES.contains(&last(node, 4)?.unwrap_or_default()));
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn varint(mut value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value > 0x7f {
            bytes.push(0x80 | value as u8);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    /// A field with bytes.
    fn field(number: usize, value: &[u8]) -> Vec<u8> {
        [&varint(number << 3 | 2), &varint(value.len()), value].concat()
    }

    fn model(graph: &[Vec<u8>]) -> Vec<u8> {
        [vec![8, 10], field(7, &graph.concat())].concat()
    }

    fn node(operation: &str, output: &str) -> Vec<u8> {
        let parts = [
            field(1, b"x"),
            field(2, output.as_bytes()),
            field(4, operation.as_bytes()),
        ];
        field(1, &parts.concat())
    }

    fn outside(file: &str) -> Vec<u8> {
        let location = [field(1, b"location"), field(2, file.as_bytes())].concat();
        let offset = [field(1, b"offset"), field(2, b"0")].concat();
        [field(13, &location), field(13, &offset)].concat()
    }

    fn files(model: &[u8], expect: Result<&[&str], &str>) {
        let expect = expect.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(weight_files(model), expect);
    }

    #[test]
    fn weights_in_other_files_are_found() {
        let tensor = |file| field(5, &outside(file));
        files(
            &model(&[tensor("a.bin"), tensor("a.bin"), tensor("b")]),
            Ok(&["a.bin", "b"]),
        );
        // Of a field that is there twice the last counts, as ONNX Runtime has it.
        let entry = [
            field(1, b"offset"),
            field(1, b"location"),
            field(2, b"no"),
            field(2, b"yes"),
        ]
        .concat();
        files(&model(&[field(5, &field(13, &entry))]), Ok(&["yes"]));
        files(&[model(&[]), model(&[tensor("second")])].concat(), Ok(&["second"]));
    }

    #[test]
    fn weights_that_onnx_runtime_would_open_a_file_for_are_refused() {
        let refused = |model: &[u8]| {
            let expect = "a tensor that is no initializer of its main graph has its values in another file";
            files(model, Err(expect));
        };
        let attribute = |number, value: &[u8]| field(1, &field(5, &field(number, value)));
        let graph = field(5, &outside("a"));
        let constant = field(7, &field(5, &field(5, &outside("a"))));
        let default = field(11, &field(5, &outside("a")));
        refused(&model(&[field(15, &field(1, &outside("a")))]));
        refused(&model(&[field(15, &field(2, &outside("a")))]));
        for (number, value) in [
            (5, outside("a")),
            (10, outside("a")),
            (6, graph.clone()),
            (11, graph.clone()),
            (22, field(1, &outside("a"))),
            (23, field(2, &outside("a"))),
        ] {
            refused(&model(&[attribute(number, &value)]));
        }
        refused(&[model(&[]), field(25, &constant)].concat());
        refused(&[model(&[]), field(25, &default)].concat());
        refused(&[model(&[]), field(20, &field(1, &graph))].concat());
        refused(&[model(&[]), field(20, &field(2, &graph))].concat());
    }

    #[test]
    fn a_field_that_other_readers_know_by_another_number_is_refused() {
        // Of the five bytes that stand for 13 in 32 bits, the last has one bit more.
        let hidden = [&[0xea, 0x80, 0x80, 0x80, 0x10], &field(13, b"")[1..]].concat();
        files(&model(&[field(5, &hidden)]), Err("its fields do not add up"));
        let unknown = "it has a field that is not known here, which a newer ONNX may have";
        for unknown_field in [field(5, &field(15, b"")), field(17, b""), field(1, &field(11, b""))] {
            files(&model(&[unknown_field]), Err(unknown));
        }
    }

    #[test]
    fn names_of_files_are_few_and_short() {
        let many = |count: usize| {
            model(
                &(0..count)
                    .map(|at| field(5, &outside(&at.to_string())))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(weight_files(&many(1024)).map(|files| files.len()), Ok(1024));
        files(&many(1025), Err("its weights are in too many files"));
        let name = "n".repeat(5000);
        files(
            &model(&[field(5, &outside(&name))]),
            Err("a file's name is longer than any path"),
        );
        let binary = field(13, &[field(1, b"location"), field(2, &[0xff])].concat());
        files(&model(&[field(5, &binary)]), Err("a file's name is no text"));
    }

    #[test]
    fn probabilities_are_told_by_the_last_operation() {
        let check = |nodes: &[Vec<u8>], expect| assert_eq!(gives_probabilities(&model(nodes), "y"), Ok(expect));
        for (operation, expect) in [("Softmax", true), ("Sigmoid", true), ("LogSoftmax", false)] {
            check(&[node("Relu", "h"), node(operation, "y")], expect);
        }
        check(&[node("Softmax", "h"), node("Gemm", "y")], false);
        check(&[node("Softmax", "h")], false);
        let own = [field(2, b"y"), field(4, b"Softmax"), field(7, b"my.domain")].concat();
        check(&[field(1, &own)], false);
    }

    #[test]
    fn what_is_no_model_is_refused() {
        files(b"", Err("it holds no graph"));
        files(b"damaged", Err("its fields do not add up"));
        files(&model(&[node("Relu", "y")])[..9], Err("its fields do not add up"));
        files(&[0x3b], Err("its fields do not add up"));
        let mut deep = Vec::new();
        for _ in 0..60 {
            deep = field(1, &field(5, &field(6, &deep)));
        }
        files(&model(&[deep]), Err("it is nested too deeply"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, at: prop::sample::Index) {
            let mut damaged = model(&[node("Softmax", "y"), field(5, &outside("a.bin"))]);
            let at = at.index(damaged.len());
            damaged.splice(at..=at, bytes.iter().copied());
            for bytes in [bytes, damaged] {
                let _ = weight_files(&bytes);
                let _ = gives_probabilities(&bytes, "y");
            }
        }
    }
}
