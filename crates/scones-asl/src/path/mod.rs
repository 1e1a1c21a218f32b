//! JSONPath as Step Functions reads it: the Jayway dialect, with `$$` for the
//! context object and `$name` for variables.

mod evaluate;
mod filter;
mod function;
mod parse;

use std::fmt;

use serde_json::Value;

pub(crate) use filter::Filter;
pub(crate) use function::Function;

/// A parsed JSONPath.
#[derive(Clone, Debug)]
pub struct Path {
    pub(crate) root: Root,
    steps: Vec<Step>,
    text: String,
}

/// What a path starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// `$`: the input of the field, or of a filter the whole document.
    Input,
    /// `$$`: the context object.
    Context,
    /// `$name`: a variable.
    Variable(String),
    /// `@`: the element that a filter looks at.
    Current,
}

/// One step of a path.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// `.name`, `['name']` or `['a','b']`.
    Property(Vec<String>),
    /// `[0]`, `[-1]` or `[0,1]`.
    Index(Vec<i64>),
    /// `[from:to]`; Jayway ignores a third part.
    Slice { from: Option<i64>, to: Option<i64> },
    /// `.*` or `[*]`.
    Wildcard,
    /// `..`: the next step is tried at every depth.
    Descent,
    /// `[?(...)]`.
    Filter(Box<Filter>),
    /// `.length()` and its like.
    Function(Function),
}

/// Why a path could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at character {at}")]
pub struct PathSyntaxError {
    /// What is wrong.
    pub message: String,
    /// Position in the path's text, in characters, from 1.
    pub at: usize,
}

/// A path that leads nowhere in a document; the text is Jayway's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PathNotFound(pub String);

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// The first thing that is not JSONPath, with its position.
    pub fn parse(text: &str) -> Result<Self, PathSyntaxError> {
        parse::parse(text)
    }

    /// Evaluates against a document: one value for a definite path, an array
    /// of every match for an indefinite one.
    ///
    /// # Errors
    /// A definite path without a match, and an indefinite one whose definite
    /// beginning has none.
    pub fn query(&self, document: &Value) -> Result<Value, PathNotFound> {
        evaluate::query(self, document, document)
    }

    /// Whether the path names at most one value.
    #[must_use]
    pub fn is_definite(&self) -> bool {
        self.steps.iter().enumerate().all(|(index, step)| match step {
            Step::Property(names) => names.len() == 1 || index + 1 == self.steps.len(),
            Step::Index(indexes) => indexes.len() == 1,
            Step::Function(_) => true,
            Step::Slice { .. } | Step::Wildcard | Step::Descent | Step::Filter(_) => false,
        })
    }

    /// Whether the path only uses single names and indexes, so that it can be
    /// written to.
    #[must_use]
    pub fn is_reference(&self) -> bool {
        self.steps.iter().all(|step| match step {
            Step::Property(names) => names.len() == 1,
            Step::Index(indexes) => indexes.len() == 1 && indexes[0] >= 0,
            _ => false,
        })
    }

    /// Whether the path is its root alone.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.steps.is_empty()
    }

    /// The path as it is read within its document: AWS shows one into the
    /// context object without the first of its dollar signs.
    pub(crate) fn within(&self) -> &str {
        match self.root {
            Root::Context => self.text.strip_prefix('$').unwrap_or(&self.text),
            _ => &self.text,
        }
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}
