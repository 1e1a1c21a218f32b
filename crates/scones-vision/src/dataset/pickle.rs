//! A strict reader of Python pickles, protocol 2, for plain data and unsigned-byte `numpy` arrays.
//!
//! A pickle is a program for a stack machine, and Python's own reader will call any function that
//! it names. This one has no functions to call: of the five globals that a pickled array needs,
//! each is a pattern that becomes data, and every other global and every other opcode is refused
//! with its name and its place in the file.
//!
//! Values live in one table and refer to each other by position, so shared and even circular
//! values cost nothing and need no recursion. Strings and arrays borrow from the input.
//!
//! The format: <https://github.com/python/cpython/blob/main/Lib/pickletools.py>.

mod machine;
mod opcode;

use std::borrow::Cow;

/// Longest pickle read: the largest of CIFAR's is 155 MB.
pub const PICKLE_BYTES_MAX: usize = 256 << 20;
/// Most values in one pickle: the largest of CIFAR's has about 150,000.
pub const PICKLE_VALUES_MAX: usize = 2_000_000;
/// Deepest nesting of unfinished collections.
pub const PICKLE_DEPTH_MAX: usize = 64;

/// Where and why a pickle was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}, at byte {offset}")]
pub struct Error {
    /// Offset of the opcode that was refused.
    pub offset: usize,
    /// Why.
    pub problem: Problem,
}

/// Why a pickle was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The bytes end before the value does.
    #[error("the file ends too early; it may be truncated")]
    Truncated,
    /// An opcode that plain data does not need.
    #[error("opcode {0} is not allowed in a data file")]
    Opcode(String),
    /// A class or function that plain data does not need.
    #[error("the name {0} is not allowed in a data file")]
    Global(String),
    /// Another protocol.
    #[error("pickle protocol {0} is not supported, only protocol 2")]
    Protocol(u8),
    /// Larger than any file of this kind.
    #[error("more than {max} {what}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// Opcodes that do not fit together.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// An array of something else than unsigned bytes.
    #[error("array element type {0:?} is not supported, only unsigned bytes (u1)")]
    ElementType(String),
}

/// Position of a value in the table.
type Id = u32;

#[derive(Debug)]
enum Node<'a> {
    None,
    Bool(bool),
    Integer(i64),
    /// Python 2's `str`, Python 3's `bytes`.
    Bytes(Cow<'a, [u8]>),
    Text(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    ElementType,
    /// Empty until its state is set.
    Array(Option<ArrayState>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Global {
    Reconstruct,
    Array,
    ElementType,
    Encode,
}

#[derive(Debug)]
struct ArrayState {
    shape: Vec<usize>,
    column_major: bool,
    data: Id,
}

/// A pickle that was read whole.
#[derive(Debug)]
pub struct Pickle<'a> {
    nodes: Vec<Node<'a>>,
    root: Id,
}

/// A value inside a pickle. Each accessor answers `None` when the value is of another kind.
#[derive(Debug, Clone, Copy)]
pub struct Value<'p> {
    pickle: &'p Pickle<'p>,
    id: Id,
}

/// An array of unsigned bytes, row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Array<'p> {
    /// Rows and columns.
    pub shape: [usize; 2],
    /// `shape[0] * shape[1]` bytes.
    pub data: &'p [u8],
}

impl<'a> Pickle<'a> {
    /// Reads one pickle. Cost is linear in the input, and strings and arrays are not copied
    /// (except arrays written by Python 3, which are encoded as text).
    ///
    /// # Errors
    /// Anything that is not plain data; see [`Problem`]. Never panics on any bytes.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        machine::run(bytes)
    }

    /// The value of the whole pickle.
    #[must_use]
    pub fn root(&self) -> Value<'_> {
        Value {
            pickle: self,
            id: self.root,
        }
    }
}

impl<'p> Value<'p> {
    fn node(self) -> &'p Node<'p> {
        &self.pickle.nodes[self.id as usize]
    }

    fn at(self, id: Id) -> Self {
        Self { id, ..self }
    }

    /// A dictionary's value for this key, as Python's text or bytes.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Self> {
        let Node::Dict(entries) = self.node() else { return None };
        let entry = entries
            .iter()
            .rev()
            .find(|(name, _)| self.at(*name).bytes() == Some(key.as_bytes()));
        entry.map(|&(_, value)| self.at(value))
    }

    /// A list's or tuple's items.
    #[must_use]
    pub fn items(self) -> Option<impl ExactSizeIterator<Item = Self>> {
        match self.node() {
            Node::List(items) | Node::Tuple(items) => Some(items.iter().map(move |&id| self.at(id))),
            _ => None,
        }
    }

    /// An integer (a boolean is none).
    #[must_use]
    pub fn integer(self) -> Option<i64> {
        match self.node() {
            Node::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// The bytes of a string, or of a text in UTF-8.
    #[must_use]
    pub fn bytes(self) -> Option<&'p [u8]> {
        match self.node() {
            Node::Bytes(bytes) => Some(bytes),
            Node::Text(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// A text, or a string read as Latin-1, which is how Python 3 reads Python 2's strings.
    #[must_use]
    pub fn text(self) -> Option<String> {
        match self.node() {
            Node::Bytes(bytes) => Some(bytes.iter().copied().map(char::from).collect()),
            Node::Text(text) => Some((*text).to_owned()),
            _ => None,
        }
    }

    /// A row-major matrix of unsigned bytes whose data has the promised size.
    #[must_use]
    pub fn array(self) -> Option<Array<'p>> {
        let Node::Array(Some(state)) = self.node() else {
            return None;
        };
        let [rows, columns] = *state.shape.as_slice() else {
            return None;
        };
        let data = self.at(state.data).bytes()?;
        let fits = !state.column_major && rows.checked_mul(columns) == Some(data.len());
        fits.then_some(Array {
            shape: [rows, columns],
            data,
        })
    }
}

#[cfg(test)]
mod tests;
