//! What an ONNX file says of itself, read without ONNX Runtime: the files that its weights are in,
//! so that none outside of the artefact is ever opened, and whether its answers are probabilities.
//!
//! An ONNX file is a protocol buffer. Of its messages those are walked that can hold a weight or an
//! operation; everything else is skipped by its length.
//! <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>

use std::collections::BTreeSet;

/// Deepest nesting of messages: what protocol buffers' own readers allow.
const DEPTH_MAX: usize = 100;

/// Operations whose results are probabilities.
const PROBABILITIES: [&[u8]; 2] = [b"Softmax", b"Sigmoid"];

/// What a model says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Where weights are that are not in the file, as it spells them.
    pub weight_files: BTreeSet<String>,
    /// Outputs of the model that a softmax or a sigmoid writes.
    pub probabilities: BTreeSet<String>,
}

/// The messages that are walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Training,
    Function,
    Graph,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    /// A key and a value about a tensor's external data.
    Entry,
}

impl Message {
    /// Which message a field of this one holds, by the field's number.
    fn member(self, field: u64) -> Option<Self> {
        match (self, field) {
            (Self::Model, 7) | (Self::Training, 1 | 2) | (Self::Attribute, 6 | 11) => Some(Self::Graph),
            (Self::Model, 20) => Some(Self::Training),
            (Self::Model, 25) => Some(Self::Function),
            (Self::Graph, 1) | (Self::Function, 7) => Some(Self::Node),
            (Self::Node, 5) | (Self::Function, 11) => Some(Self::Attribute),
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::SparseTensor, 1 | 2) => Some(Self::Tensor),
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Some(Self::SparseTensor),
            (Self::Tensor, 13) => Some(Self::Entry),
            _ => None,
        }
    }
}

/// Reads an ONNX file. Takes no memory to speak of.
///
/// # Errors
/// What makes it none.
pub(crate) fn read(model: &[u8]) -> Result<Facts, &'static str> {
    let mut facts = Facts::default();
    let mut has_graph = false;
    for field in fields(model) {
        let (number, value) = field?;
        if let (7, Some(graph)) = (number, value) {
            has_graph = true;
            facts.probabilities.extend(probabilities(graph)?);
        }
    }
    walk(Message::Model, model, 0, &mut facts.weight_files)?;
    if has_graph { Ok(facts) } else { Err("it holds no graph") }
}

fn walk(message: Message, bytes: &[u8], depth: usize, files: &mut BTreeSet<String>) -> Result<(), &'static str> {
    if depth > DEPTH_MAX {
        return Err("it is nested too deeply");
    }
    if message == Message::Entry {
        let (key, value) = (last(bytes, 1)?, last(bytes, 2)?);
        if key == Some(b"location") {
            let file = str::from_utf8(value.unwrap_or_default()).map_err(|_| "a file's name is no text")?;
            files.insert(file.to_owned());
        }
        return Ok(());
    }
    for field in fields(bytes) {
        let (number, value) = field?;
        if let (Some(member), Some(value)) = (message.member(number), value) {
            walk(member, value, depth + 1, files)?;
        }
    }
    Ok(())
}

/// The outputs of a graph that a softmax or a sigmoid writes.
fn probabilities(graph: &[u8]) -> Result<Vec<String>, &'static str> {
    let (mut written, mut outputs) = (BTreeSet::new(), Vec::new());
    for field in fields(graph) {
        match field? {
            (1, Some(node)) => {
                let standard = last(node, 7)?.is_none_or(|domain| matches!(domain, b"" | b"ai.onnx"));
                let operation = last(node, 4)?.unwrap_or_default();
                if standard && PROBABILITIES.contains(&operation) {
                    written.extend(last(node, 2)?);
                }
            }
            (12, Some(output)) => outputs.extend(last(output, 1)?),
            _ => {}
        }
    }
    let named = outputs.into_iter().filter(|output| written.contains(output));
    Ok(named
        .map(|output| String::from_utf8_lossy(output).into_owned())
        .collect())
}

/// The value of a field that has bytes: of several the last counts.
fn last(message: &[u8], number: u64) -> Result<Option<&[u8]>, &'static str> {
    let mut found = None;
    for field in fields(message) {
        if let (n, Some(value)) = field?
            && n == number
        {
            found = Some(value);
        }
    }
    Ok(found)
}

type Field<'a> = (u64, Option<&'a [u8]>);

/// The fields of a message: numbers, and the bytes of those that have bytes. Ends after an error.
fn fields(message: &[u8]) -> impl Iterator<Item = Result<Field<'_>, &'static str>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = field(&mut rest);
        if field.is_none() {
            rest = &[];
        }
        Some(field.ok_or("its fields do not add up"))
    })
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<Field<'a>> {
    let tag = varint(rest)?;
    let mut take = |length: u64| rest.split_off(..usize::try_from(length).ok()?);
    let value = match tag & 7 {
        0 => varint(rest).map(|_| None)?,
        1 => take(8).map(|_| None)?,
        2 => {
            let length = varint(rest)?;
            Some(rest.split_off(..usize::try_from(length).ok()?)?)
        }
        5 => take(4).map(|_| None)?,
        // Groups, which ONNX does not have.
        _ => return None,
    };
    let number = tag >> 3;
    (number > 0).then_some((number, value))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let byte = *rest.split_off_first()?;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A field with bytes.
    fn field(number: u8, value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![
            number << 3 | 2,
            0x80 | (value.len() & 0x7f) as u8,
            (value.len() >> 7) as u8,
        ];
        if number > 15 {
            bytes.splice(..1, [0x80 | (number << 3 | 2), number >> 4]);
        }
        bytes.extend(value);
        bytes
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

    fn check(model: &[u8], expect: Result<(&[&str], &[&str]), &str>) {
        let found = read(model);
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let expect = expect.map(|(files, probabilities)| Facts {
            weight_files: set(files),
            probabilities: set(probabilities),
        });
        assert_eq!(found, expect);
    }

    #[test]
    fn weights_in_other_files_are_found_wherever_they_are() {
        let tensor = |file| field(5, &outside(file));
        check(
            &model(&[tensor("a.bin"), tensor("a.bin"), tensor("b")]),
            Ok((&["a.bin", "b"], &[])),
        );
        let sparse = field(15, &field(1, &outside("sparse")));
        check(&model(&[sparse]), Ok((&["sparse"], &[])));
        let attribute = |number, value: &[u8]| field(1, &field(5, &field(number, value)));
        check(&model(&[attribute(5, &outside("constant"))]), Ok((&["constant"], &[])));
        check(&model(&[attribute(6, &tensor("branch"))]), Ok((&["branch"], &[])));
        check(
            &model(&[attribute(22, &field(2, &outside("indices")))]),
            Ok((&["indices"], &[])),
        );
        let function = field(25, &field(7, &field(5, &field(5, &outside("function")))));
        check(&[model(&[]), function].concat(), Ok((&["function"], &[])));
        // Of a field that is there twice the last counts, as ONNX Runtime has it.
        let entry = [
            field(1, b"offset"),
            field(1, b"location"),
            field(2, b"no"),
            field(2, b"yes"),
        ]
        .concat();
        check(&model(&[field(5, &field(13, &entry))]), Ok((&["yes"], &[])));
        check(
            &[model(&[]), model(&[tensor("second")])].concat(),
            Ok((&["second"], &[])),
        );
    }

    #[test]
    fn probabilities_are_told_by_the_last_operation() {
        let output = field(12, &field(1, b"y"));
        let scores = |operation| model(&[node("Relu", "h"), node(operation, "y"), output.clone()]);
        check(&scores("Softmax"), Ok((&[], &["y"])));
        check(&scores("Sigmoid"), Ok((&[], &["y"])));
        check(&scores("LogSoftmax"), Ok((&[], &[])));
        check(
            &model(&[node("Softmax", "h"), node("Gemm", "y"), output.clone()]),
            Ok((&[], &[])),
        );
        let own = [field(2, b"y"), field(4, b"Softmax"), field(7, b"my.domain")].concat();
        check(&model(&[field(1, &own), output]), Ok((&[], &[])));
    }

    #[test]
    fn what_is_no_model_is_refused() {
        check(b"", Err("it holds no graph"));
        check(b"hello", Err("its fields do not add up"));
        check(&model(&[node("Relu", "y")])[..9], Err("its fields do not add up"));
        check(&[0x3b], Err("its fields do not add up"));
        let mut deep = Vec::new();
        for _ in 0..60 {
            deep = field(1, &field(5, &field(6, &deep)));
        }
        check(&model(&[deep]), Err("it is nested too deeply"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, at: prop::sample::Index) {
            let _ = read(&bytes);
            let mut damaged = model(&[node("Softmax", "y"), field(5, &outside("a.bin"))]);
            let at = at.index(damaged.len());
            damaged.splice(at..=at, bytes);
            let _ = read(&damaged);
        }
    }
}
