//! What an expression can see: the input, the context object, the variables,
//! and the execution's random numbers.

use std::cell::OnceCell;
use std::ops::Deref;

use indexmap::IndexMap;
use serde_json::Value;

use crate::jsonata::Session;
use crate::path::{Path, PathNotFound, Root};
use crate::random::Random;
use crate::time::Timestamp;

/// The variables of one workflow, in order of assignment.
pub(crate) type Variables = IndexMap<String, Value>;

/// The size of variables, in UTF-8 bytes of JSON.
pub(crate) fn size<'v>(values: impl Iterator<Item = &'v Value>) -> usize {
    values.map(|value| value.to_string().len()).sum()
}

/// Everything that an expression may read.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) input: &'a Value,
    /// Built only when something reads it.
    pub(crate) context: &'a dyn Deref<Target = Value>,
    pub(crate) variables: &'a Variables,
    pub(crate) random: &'a Random,
    pub(crate) now: Timestamp,
    /// `$states.result`, once the state has one.
    pub(crate) result: Option<&'a Value>,
    /// `$states.errorOutput`, in a catcher.
    pub(crate) error_output: Option<&'a Value>,
    /// What JSONata expressions see, converted when the first one is evaluated.
    pub(crate) session: &'a OnceCell<Session>,
}

impl<'a> Scope<'a> {
    /// Reads a path. An indefinite path that matches nothing gives `[]`, even
    /// where its beginning is absent: Step Functions differs from Jayway here.
    pub(crate) fn read(&self, path: &Path) -> Result<Value, PathNotFound> {
        if path.is_root() && path.root == Root::Input {
            return Ok(self.input.clone());
        }
        let document = match &path.root {
            Root::Input | Root::Current => self.input,
            Root::Context => self.context.deref(),
            Root::Variable(name) => self
                .variables
                .get(name)
                .ok_or_else(|| PathNotFound(format!("The variable '{name}' is not defined")))?,
        };
        match path.query(document) {
            Err(_) if !path.is_definite() => Ok(Value::Array(Vec::new())),
            result => result,
        }
    }
}
