//! Typed access to the fields of one JSON object of a definition; every
//! mistake is reported with its location.

use std::cell::RefCell;

use serde_json::{Map, Value};

use super::QueryLanguage;
use super::diagnostic::{Code, Collector, Severity, nearest};
use crate::json::join;
use crate::path::Path;
use crate::template::Template;

/// An object of the definition and where it stands.
#[derive(Clone)]
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    pub(super) location: String,
    problems: &'a RefCell<Collector<'a>>,
    /// The query language of the state that the object is part of.
    pub(super) language: QueryLanguage,
}

impl<'a> Fields<'a> {
    pub(super) fn new(object: &'a Map<String, Value>, location: String, problems: &'a RefCell<Collector<'a>>) -> Self {
        Self {
            object,
            location,
            problems,
            language: QueryLanguage::JsonPath,
        }
    }

    /// The same object, read as part of a state with that language.
    pub(super) fn with_language(&self, language: QueryLanguage) -> Self {
        Self {
            language,
            ..self.clone()
        }
    }

    pub(super) fn at(&self, name: &str) -> String {
        join(&self.location, name)
    }

    /// Reports a mistake at a field.
    pub(super) fn wrong(&self, name: &str, message: impl Into<String>) {
        self.problems.borrow_mut().schema(&self.at(name), message);
    }

    /// Reports a mistake at the object itself.
    pub(super) fn wrong_here(&self, message: impl Into<String>) {
        self.problems.borrow_mut().schema(&self.location, message);
    }

    pub(super) fn report(
        &self,
        severity: Severity,
        code: Code,
        location: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.problems
            .borrow_mut()
            .report(severity, code, location, message, hint);
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.object.contains_key(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.object.keys().map(String::as_str)
    }

    /// Reports the absence of a field.
    pub(super) fn require(&self, name: &str) -> bool {
        let present = self.has(name);
        if !present {
            self.wrong_here(format!("The field '{name}' is required but was missing"));
        }
        present
    }

    /// Reports two fields of which one at most may be present.
    pub(super) fn exclusive(&self, first: &str, second: &str) {
        if self.has(first) && self.has(second) {
            self.wrong_here(format!("You cannot use both '{first}' and '{second}' at the same time"));
        }
    }

    /// Warns of fields that the language does not define here.
    pub(super) fn allow_only(&self, allowed: &[&str]) {
        for name in self.names().filter(|name| !allowed.contains(name)) {
            let hint = nearest(name, allowed.iter().copied()).map(|meant| format!("did you mean '{meant}'?"));
            let message = format!("The field '{name}' is not supported here");
            self.report(Severity::Warning, Code::UnknownField, &self.at(name), message, hint);
        }
    }

    fn typed<T>(&self, name: &str, expected: &str, convert: impl FnOnce(&'a Value) -> Option<T>) -> Option<T> {
        let value = self.get(name)?;
        let converted = convert(value);
        if converted.is_none() {
            self.wrong(name, format!("Expected value of type {expected}"));
        }
        converted
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.typed(name, "String", Value::as_str)
    }

    /// A text that is one of the given names, each with its meaning.
    pub(super) fn one_of<T: Copy>(&self, name: &str, values: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = values
            .iter()
            .find(|(value, _)| *value == text)
            .map(|(_, meaning)| *meaning);
        if found.is_none() {
            let known: Vec<&str> = values.iter().map(|(value, _)| *value).collect();
            self.wrong(
                name,
                format!(
                    "The field '{name}' should have one of these values: [{}]",
                    known.join(", ")
                ),
            );
        }
        found
    }

    /// The same for a field that may be absent.
    pub(super) fn one_of_or<T: Copy>(&self, name: &str, values: &[(&str, T)]) -> Option<Option<T>> {
        match self.has(name) {
            true => self.one_of(name, values).map(Some),
            false => Some(None),
        }
    }

    pub(super) fn boolean(&self, name: &str) -> Option<bool> {
        self.typed(name, "Boolean", Value::as_bool)
    }

    pub(super) fn list(&self, name: &str) -> Option<&'a Vec<Value>> {
        self.typed(name, "Array", Value::as_array)
    }

    pub(super) fn object(&self, name: &str) -> Option<Fields<'a>> {
        let object = self.typed(name, "Object", Value::as_object)?;
        Some(Fields::new(object, self.at(name), self.problems).with_language(self.language))
    }

    /// The elements of a list of objects.
    pub(super) fn objects(&self, name: &str) -> Vec<Fields<'a>> {
        let mut found = Vec::new();
        for (index, value) in self.list(name).into_iter().flatten().enumerate() {
            let location = format!("{}/{index}", self.at(name));
            match value.as_object() {
                Some(object) => found.push(Fields::new(object, location, self.problems).with_language(self.language)),
                None => self
                    .problems
                    .borrow_mut()
                    .schema(&location, "Expected value of type Object"),
            }
        }
        found
    }

    /// A list of texts with at least one.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        let Some(values) = self.list(name) else {
            return Vec::new();
        };
        if values.is_empty() {
            self.wrong(name, "Value cannot be empty");
        }
        let texts: Vec<String> = values.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        if texts.len() != values.len() {
            self.wrong(name, "Expected an array of strings");
        }
        texts
    }

    /// A whole number within a range.
    pub(super) fn integer(&self, name: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let value = self.typed(name, "Integer", |value| {
            let number = value.as_number()?;
            number.as_u64().or_else(|| whole(number.as_f64()?))
        })?;
        if range.contains(&value) {
            return Some(value);
        }
        let message = if value < *range.start() {
            format!("Value must be at least {}", range.start())
        } else {
            format!("Value must be at most {}", range.end())
        };
        self.wrong(name, message);
        None
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.typed(name, "Number", Value::as_f64)
    }

    pub(super) fn path(&self, name: &str) -> Option<Path> {
        let text = self.text(name)?;
        match Path::parse(text) {
            Ok(path) => Some(path),
            Err(_) => {
                self.wrong(name, format!("Value is not a valid JSONPath: {text}"));
                None
            }
        }
    }

    /// A path that names at most one value.
    pub(super) fn definite_path(&self, name: &str) -> Option<Path> {
        let path = self.path(name)?;
        if path.is_definite() {
            return Some(path);
        }
        self.wrong(name, format!("Value is not a Reference Path: {path}"));
        None
    }

    pub(super) fn template(&self, name: &str) -> Option<Template> {
        let value = self.get(name)?;
        let compiled = match self.language {
            QueryLanguage::JsonPath => Template::compile(value),
            QueryLanguage::Jsonata => Template::compile_jsonata(value, name),
        };
        match compiled {
            Ok(template) => Some(template),
            Err(error) => {
                let location = format!("{}{}", self.at(name), error.location);
                let message = match self.language {
                    QueryLanguage::JsonPath => format!(
                        "The value for the field '{}' must be a valid JSONPath or a valid \
                         intrinsic function call",
                        error.field
                    ),
                    QueryLanguage::Jsonata => {
                        format!(
                            "The value for the field '{}' must be a valid JSONata expression",
                            error.field
                        )
                    }
                };
                let hint = Some(error.error.to_string());
                self.report(Severity::Error, Code::SchemaValidationFailed, &location, message, hint);
                None
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked"
)]
fn whole(number: f64) -> Option<u64> {
    (number.fract() == 0.0 && (0.0..1e15).contains(&number)).then_some(number as u64)
}
