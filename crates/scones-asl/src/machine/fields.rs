//! Typed access to the fields of one JSON object of a definition; every
//! mistake is reported with its location.

use std::cell::RefCell;

use serde_json::{Map, Value};

use super::diagnostic::{Code, Collector, Place, Problem, Severity};
use super::{QueryLanguage, schema, warn};
use crate::json::{element, join};
use crate::jsonata::{Available, Refusal};
use crate::path::Path;
use crate::template::{Template, TemplateError, TemplateProblem};

/// An object of the definition and where it stands.
#[derive(Clone)]
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    pub(super) location: String,
    problems: &'a RefCell<Collector<'a>>,
    /// The query language of the state that the object is part of.
    pub(super) language: QueryLanguage,
    /// What its JSONata expressions can see.
    available: Available,
}

impl<'a> Fields<'a> {
    pub(super) fn new(object: &'a Map<String, Value>, location: String, problems: &'a RefCell<Collector<'a>>) -> Self {
        Self {
            object,
            location,
            problems,
            language: QueryLanguage::JsonPath,
            available: Available::Result,
        }
    }

    /// The same object, read as part of a state with that language.
    pub(super) fn with_language(&self, language: QueryLanguage) -> Self {
        Self {
            language,
            ..self.clone()
        }
    }

    /// The same object, as part of a catcher, where `$states.errorOutput` exists.
    pub(super) fn in_catcher(&self) -> Self {
        Self {
            available: Available::ErrorOutput,
            ..self.clone()
        }
    }

    pub(super) fn at(&self, name: &str) -> String {
        join(&self.location, name)
    }

    /// Reports a mistake at a field.
    pub(super) fn wrong(&self, name: &str, message: impl Into<String>) {
        self.problem(Problem::schema(&self.at(name), message));
    }

    /// Reports a mistake at a field, and what to do about it.
    pub(super) fn wrong_because(&self, name: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.problem(Problem {
            hint: Some(hint.into()),
            ..Problem::schema(&self.at(name), message)
        });
    }

    /// Reports a mistake at the object itself.
    pub(super) fn wrong_here(&self, message: impl Into<String>) {
        self.problem(Problem {
            place: Place::Key(&self.location),
            ..Problem::schema(&self.location, message)
        });
    }

    pub(super) fn report(
        &self,
        severity: Severity,
        code: Code,
        location: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.problem(Problem {
            severity,
            code,
            hint,
            ..Problem::schema(location, message)
        });
    }

    pub(super) fn problem(&self, problem: Problem<'_>) {
        self.problems.borrow_mut().report(problem);
    }

    /// The name that is probably meant by a misspelt one.
    pub(super) fn meant<'n>(&self, name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
        self.problems.borrow().meant(name, names)
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
        self.require_all(&[name])
    }

    /// Reports the absence of any of the fields.
    pub(super) fn require_all(&self, names: &[&str]) -> bool {
        let missing: Vec<&str> = names.iter().copied().filter(|name| !self.has(name)).collect();
        if !missing.is_empty() {
            self.wrong_here(format!("These fields are required: [{}]", missing.join(", ")));
        }
        missing.is_empty()
    }

    /// Reports two fields of which one at most may be present.
    pub(super) fn exclusive(&self, first: &str, second: &str) {
        self.at_most_one(&[first, second]);
    }

    /// Reports fields of which one at most may be present; false if there are more.
    pub(super) fn at_most_one(&self, names: &[&str]) -> bool {
        let given = names.iter().filter(|name| self.has(name)).count();
        if given > 1 {
            self.wrong_here(format!(
                "There should only be one of the following fields: [{}]",
                names.join(", ")
            ));
        }
        given <= 1
    }

    /// Reports every field that the language does not define here.
    pub(super) fn allow_only(&self, allowed: &[&str]) {
        for name in self.names() {
            let (message, hint) = match schema::other_language(name, self.language) {
                None if allowed.contains(&name) => continue,
                Some(other) => {
                    let message = format!(
                        "The QueryLanguage is set to '{}', but field '{name}' is only supported for the '{other}' \
                         QueryLanguage",
                        self.language
                    );
                    (message, None)
                }
                None => {
                    let meant = self.meant(name, allowed.iter().copied().filter(|field| !self.has(field)));
                    let hint = meant.map(|meant| format!("did you mean `{meant}`?"));
                    (format!("Field '{name}' is not supported"), hint)
                }
            };
            self.problem(Problem {
                place: Place::Key(&self.at(name)),
                hint,
                ..Problem::schema(&self.location, message)
            });
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
        Some(self.inner(object, self.at(name)))
    }

    /// Reads an object that may be absent.
    pub(super) fn optional<T>(&self, name: &str, read: impl FnOnce(&Fields<'_>) -> Option<T>) -> Option<Option<T>> {
        if !self.has(name) {
            return Some(None);
        }
        read(&self.object(name)?).map(Some)
    }

    fn inner(&self, object: &'a Map<String, Value>, location: String) -> Self {
        Self {
            object,
            location,
            ..self.clone()
        }
    }

    /// The elements of a list of objects.
    pub(super) fn objects(&self, name: &str) -> Vec<Fields<'a>> {
        let mut found = Vec::new();
        for (index, value) in self.list(name).into_iter().flatten().enumerate() {
            let location = element(&self.at(name), index);
            match value.as_object() {
                Some(object) => found.push(self.inner(object, location)),
                None => self.problem(Problem::schema(&location, "Expected value of type Object")),
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
        let mut texts = Vec::with_capacity(values.len());
        for (index, value) in values.iter().enumerate() {
            match value.as_str() {
                Some(text) => texts.push(text.to_owned()),
                None => {
                    let location = element(&self.at(name), index);
                    self.problem(Problem::schema(&location, "Expected value of type String"));
                }
            }
        }
        texts
    }

    /// A whole number within a range.
    pub(super) fn integer(&self, name: &str, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let value = self.typed(name, "Integer", |value| {
            let number = value.as_number()?;
            whole(number.as_f64()?).map(|rounded| number.as_u64().map_or(rounded, i128::from))
        })?;
        self.within(name, &value, &i128::from(*range.start()), &i128::from(*range.end()))
            .then(|| u64::try_from(value).ok())
            .flatten()
    }

    /// Reports a number outside its range.
    pub(super) fn within<N: PartialOrd + std::fmt::Debug>(&self, name: &str, value: &N, least: &N, most: &N) -> bool {
        if value < least {
            self.wrong(name, format!("Minimum value is {least:?}"));
        } else if value > most {
            self.wrong(name, format!("Maximum value is {most:?}"));
        }
        least <= value && value <= most
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.typed(name, "Number", Value::as_f64)
    }

    pub(super) fn path(&self, name: &str) -> Option<Path> {
        let text = self.text(name)?;
        match Path::parse(text) {
            Ok(path) => Some(path),
            Err(error) => {
                self.wrong_because(name, "Value must be a valid JSONPath.", error.to_string());
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
        self.not_a_reference(name);
        None
    }

    pub(super) fn not_a_reference(&self, name: &str) {
        let hint = "use names and indexes only: `$.orders[0].id`";
        self.wrong_because(name, "Value is not a Reference Path", hint);
    }

    pub(super) fn template(&self, name: &str) -> Option<Template> {
        let value = self.get(name)?;
        let compiled = match self.language {
            QueryLanguage::JsonPath => Template::compile(value),
            QueryLanguage::Jsonata => Template::compile_jsonata(value, name, self.available),
        };
        let errors = match compiled {
            Ok(template) => {
                warn::no_dollar(self, name, value);
                return Some(template);
            }
            Err(errors) => errors,
        };
        for error in errors {
            self.template_error(name, &error);
        }
        None
    }

    /// AWS points at the template for a path and at the expression for JSONata.
    fn template_error(&self, name: &str, error: &TemplateError) {
        let (template, place) = (self.at(name), format!("{}{}", self.at(name), error.location));
        let field = &error.field;
        let (code, location, message, hint) = match &error.problem {
            TemplateProblem::Expression(problem) => (
                Code::SchemaValidationFailed,
                &template,
                format!(
                    "The value for the field '{field}' must be a valid JSONPath or a valid intrinsic function call"
                ),
                Some(problem.to_string()),
            ),
            TemplateProblem::Twice => (
                Code::SchemaValidationFailed,
                &template,
                format!("There should only be one of the following fields: [{field}, {field}.$]"),
                None,
            ),
            TemplateProblem::Jsonata(Refusal::Invalid(message)) => {
                (Code::InvalidJsonataExpression, &place, message.clone(), None)
            }
            TemplateProblem::Jsonata(Refusal::Unsupported(message)) => (
                Code::UnsupportedJsonataExpression,
                &place,
                message.clone(),
                Some("the input is `$states.input`; variables are named as `$name`".to_owned()),
            ),
        };
        self.problem(Problem {
            code,
            place: Place::Value(&place),
            hint,
            ..Problem::schema(location, message)
        });
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn whole(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() < 1e30).then_some(number as i128)
}
