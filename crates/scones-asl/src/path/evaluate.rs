//! Walks a document along a path.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::{Map, Value};

use super::{Path, PathNotFound, Step};

type Found<'a> = Vec<Cow<'a, Value>>;

pub(super) fn query(path: &Path, document: &Value, root: &Value) -> Result<Value, PathNotFound> {
    let walk = Walk {
        steps: &path.steps,
        root,
    };
    let mut found = Vec::new();
    walk.step(0, Cow::Borrowed(document), true, &mut found)?;
    if !path.is_definite() {
        return Ok(found.into_iter().map(Cow::into_owned).collect());
    }
    match found.pop() {
        Some(value) => Ok(value.into_owned()),
        None => Err(walk.no_results(path.steps.len())),
    }
}

struct Walk<'p> {
    steps: &'p [Step],
    root: &'p Value,
}

impl<'p> Walk<'p> {
    /// Applies the step at `index` and those after it. `definite` says that
    /// every step so far names one value, so that a miss is an error.
    fn step<'a>(
        &self,
        index: usize,
        value: Cow<'a, Value>,
        definite: bool,
        found: &mut Found<'a>,
    ) -> Result<(), PathNotFound> {
        let Some(step) = self.steps.get(index) else {
            found.push(value);
            return Ok(());
        };
        match step {
            Step::Property(names) => self.property(index, names, value, definite, found),
            Step::Index(indexes) => {
                let Some(length) = self.array_length(index, &value, definite)? else {
                    return Ok(());
                };
                let definite = definite && indexes.len() == 1;
                self.elements(
                    index,
                    &value,
                    indexes.iter().map(|i| from_end(*i, length)),
                    definite,
                    found,
                )
            }
            Step::Slice { from, to } => {
                let Some(length) = self.array_length(index, &value, definite)? else {
                    return Ok(());
                };
                self.elements(index, &value, slice(*from, *to, length), false, found)
            }
            Step::Wildcard => children(value)
                .into_iter()
                .try_for_each(|child| self.step(index + 1, child, false, found)),
            Step::Descent => self.descend(index + 1, value, found),
            Step::Filter(filter) => {
                let candidates = match &*value {
                    Value::Array(_) => children(value),
                    Value::Object(_) => vec![value],
                    _ => Vec::new(),
                };
                candidates
                    .into_iter()
                    .filter(|candidate| filter.accepts(candidate, self.root))
                    .try_for_each(|candidate| self.step(index + 1, candidate, false, found))
            }
            Step::Function(function) => match function.apply(&value) {
                Some(result) => self.step(index + 1, Cow::Owned(result), definite, found),
                None if definite => Err(self.no_results(index + 1)),
                None => Ok(()),
            },
        }
    }

    fn property<'a>(
        &self,
        index: usize,
        names: &[String],
        value: Cow<'a, Value>,
        definite: bool,
        found: &mut Found<'a>,
    ) -> Result<(), PathNotFound> {
        let leaf = index + 1 == self.steps.len();
        if !value.is_object() {
            if !definite {
                return Ok(());
            }
            return Err(PathNotFound(format!(
                "Expected to find an object with property {} in path {} but found '{}'. \
                 This is not a json object according to the JsonProvider: \
                 'com.jayway.jsonpath.spi.json.JacksonJsonNodeJsonProvider'.",
                render(&self.steps[index..=index], ""),
                render(&self.steps[..index], "$"),
                node_class(&value),
            )));
        }
        if names.len() > 1 && leaf {
            found.push(Cow::Owned(merged(&value, names)));
            return Ok(());
        }
        for name in names {
            match member(&value, name) {
                Some(child) => self.step(index + 1, child, definite && names.len() == 1, found)?,
                None if !definite => {}
                None if leaf => return Err(self.no_results(index + 1)),
                None => {
                    let path = render(&self.steps[..=index], "$");
                    return Err(PathNotFound(format!("Missing property in path {path}")));
                }
            }
        }
        Ok(())
    }

    /// The length of an array; nothing where an indefinite path may skip it.
    fn array_length(&self, index: usize, value: &Value, definite: bool) -> Result<Option<i64>, PathNotFound> {
        match value {
            Value::Array(elements) => Ok(Some(i64::try_from(elements.len()).unwrap_or(i64::MAX))),
            _ if !definite => Ok(None),
            Value::Null => {
                let path = render(&self.steps[..index], "$");
                Err(PathNotFound(format!("The path {path} is null")))
            }
            other => Err(PathNotFound(format!(
                "Filter: {} can only be applied to arrays. Current context is: {other}",
                render(&self.steps[index..=index], ""),
            ))),
        }
    }

    #[expect(clippy::ptr_arg, reason = "what is borrowed must stay borrowed as long")]
    fn elements<'a>(
        &self,
        index: usize,
        value: &Cow<'a, Value>,
        positions: impl Iterator<Item = i64>,
        definite: bool,
        found: &mut Found<'a>,
    ) -> Result<(), PathNotFound> {
        for position in positions {
            let position = usize::try_from(position).ok();
            match position.and_then(|position| element(value, position)) {
                Some(child) => self.step(index + 1, child, definite, found)?,
                None if definite => return Err(self.no_results(index + 1)),
                None => {}
            }
        }
        Ok(())
    }

    /// Tries the step at `index` here and at every depth below, parents first.
    fn descend<'a>(&self, index: usize, value: Cow<'a, Value>, found: &mut Found<'a>) -> Result<(), PathNotFound> {
        let applies = match (&self.steps[index], &*value) {
            (Step::Property(names), Value::Object(fields)) => {
                let leaf = index + 1 == self.steps.len();
                names.len() > 1 && !leaf || names.iter().all(|name| fields.contains_key(name))
            }
            (Step::Property(_), _) => false,
            (Step::Filter(_), Value::Object(_)) => true,
            (Step::Filter(_), _) => false,
            _ => true,
        };
        if applies {
            self.step(index, value.clone(), false, found)?;
        }
        children(value)
            .into_iter()
            .filter(|child| child.is_array() || child.is_object())
            .try_for_each(|child| self.descend(index, child, found))
    }

    fn no_results(&self, steps: usize) -> PathNotFound {
        PathNotFound(format!("No results for path: {}", render(&self.steps[..steps], "$")))
    }
}

fn children(value: Cow<'_, Value>) -> Vec<Cow<'_, Value>> {
    match value {
        Cow::Borrowed(Value::Array(elements)) => elements.iter().map(Cow::Borrowed).collect(),
        Cow::Borrowed(Value::Object(fields)) => fields.values().map(Cow::Borrowed).collect(),
        Cow::Owned(Value::Array(elements)) => elements.into_iter().map(Cow::Owned).collect(),
        Cow::Owned(Value::Object(fields)) => fields.into_iter().map(|(_, v)| Cow::Owned(v)).collect(),
        _ => Vec::new(),
    }
}

fn member<'a>(value: &Cow<'a, Value>, name: &str) -> Option<Cow<'a, Value>> {
    match value {
        Cow::Borrowed(value) => value.get(name).map(Cow::Borrowed),
        Cow::Owned(value) => value.get(name).cloned().map(Cow::Owned),
    }
}

fn element<'a>(value: &Cow<'a, Value>, position: usize) -> Option<Cow<'a, Value>> {
    match value {
        Cow::Borrowed(value) => value.get(position).map(Cow::Borrowed),
        Cow::Owned(value) => value.get(position).cloned().map(Cow::Owned),
    }
}

fn merged(value: &Value, names: &[String]) -> Value {
    let mut fields = Map::new();
    for name in names {
        if let Some(field) = value.get(name) {
            fields.insert(name.clone(), field.clone());
        }
    }
    Value::Object(fields)
}

fn from_end(index: i64, length: i64) -> i64 {
    if index < 0 { index + length } else { index }
}

/// Jayway's slices: a range that begins below zero and ends above it wraps.
fn slice(from: Option<i64>, to: Option<i64>, length: i64) -> Box<dyn Iterator<Item = i64>> {
    match (from, to) {
        (Some(from), None) => Box::new(from_end(from, length).max(0)..length),
        (None, Some(to)) => Box::new(0..from_end(to, length).min(length)),
        (Some(from), Some(to)) => {
            Box::new((from.max(-length)..to.min(length)).map(move |index| from_end(index, length)))
        }
        (None, None) => Box::new(0..length),
    }
}

/// Jayway's normal form of a path: `$['a'][0]`.
fn render(steps: &[Step], root: &str) -> String {
    let mut text = root.to_owned();
    for step in steps {
        match step {
            Step::Property(names) => {
                let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
                let _ = write!(text, "[{}]", names.join(","));
            }
            Step::Index(indexes) => {
                let indexes: Vec<String> = indexes.iter().map(i64::to_string).collect();
                let _ = write!(text, "[{}]", indexes.join(","));
            }
            Step::Slice { from, to } => {
                let show = |part: Option<i64>| part.map(|part| part.to_string()).unwrap_or_default();
                let _ = write!(text, "[{}:{}]", show(*from), show(*to));
            }
            Step::Wildcard => text.push_str("[*]"),
            Step::Descent => text.push_str(".."),
            Step::Filter(_) => text.push_str("[?]"),
            Step::Function(function) => {
                let _ = write!(text, ".{function:?}()");
            }
        }
    }
    text
}

/// The class that AWS's JSON library gives a value, as its texts show it.
fn node_class(value: &Value) -> &'static str {
    match value {
        Value::Null => "com.fasterxml.jackson.databind.node.NullNode",
        Value::Bool(_) => "com.fasterxml.jackson.databind.node.BooleanNode",
        Value::Number(number) if number.is_f64() => "com.fasterxml.jackson.databind.node.DoubleNode",
        Value::Number(_) => "com.fasterxml.jackson.databind.node.IntNode",
        Value::String(_) => "com.fasterxml.jackson.databind.node.TextNode",
        Value::Array(_) => "com.fasterxml.jackson.databind.node.ArrayNode",
        Value::Object(_) => "com.fasterxml.jackson.databind.node.ObjectNode",
    }
}
