//! Reads a definition from its text.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::diagnostic::{Code, Collector, Diagnostic, Severity, nearest};
use super::fields::Fields;
use super::{Machine, QueryLanguage, Workflow, state, validate};
use crate::json::{Span, join};
use crate::limits::{DEFINITION_BYTES_MAX, SECONDS_MAX, STATE_NAME_CHARS_MAX, WORKFLOW_DEPTH_MAX};

const MACHINE_FIELDS: &[&str] = &[
    "Comment",
    "StartAt",
    "States",
    "Version",
    "TimeoutSeconds",
    "QueryLanguage",
];
const WORKFLOW_FIELDS: &[&str] = &["Comment", "StartAt", "States", "ProcessorConfig", "QueryLanguage"];

pub(super) fn parse(definition: &str) -> Result<Machine, Vec<Diagnostic>> {
    if definition.len() > DEFINITION_BYTES_MAX {
        return Err(vec![whole(
            Code::SchemaValidationFailed,
            format!("Definition is larger than the limit of {DEFINITION_BYTES_MAX} bytes"),
        )]);
    }
    let value = read_json(definition)?;
    let Some(object) = value.as_object() else {
        return Err(vec![whole(
            Code::SchemaValidationFailed,
            "Definition must be a valid JSON object".to_owned(),
        )]);
    };
    let collector = RefCell::new(Collector::new(definition));
    let fields = Fields::new(object, String::new(), &collector);
    let machine = machine(&fields);
    let duplicates = collector.borrow().duplicates();
    for duplicate in duplicates {
        fields.report(
            Severity::Error,
            Code::SchemaValidationFailed,
            &duplicate,
            "Duplicate field",
            None,
        );
    }
    let mut diagnostics = collector.borrow_mut().finish();
    match machine {
        Some(mut machine) if diagnostics.iter().all(|d| d.severity == Severity::Warning) => {
            machine.warnings = std::mem::take(&mut diagnostics);
            Ok(machine)
        }
        _ => Err(diagnostics),
    }
}

fn whole(code: Code, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code,
        message,
        location: None,
        span: None,
        hint: None,
    }
}

fn read_json(definition: &str) -> Result<Value, Vec<Diagnostic>> {
    if definition.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(definition).map_err(|error| {
        let (line, column, message) = match unrecognised(definition) {
            Some((token, column)) => (
                1,
                column,
                format!(
                    "Unrecognized token '{token}': was expecting (JSON String, Number, Array, Object \
                     or token 'null', 'true' or 'false')"
                ),
            ),
            None => (error.line().max(1), error.column().max(1), error.to_string()),
        };
        let source = format!("[Source: (String)\"{definition}\"; line: {line}, column: {column}]");
        vec![Diagnostic {
            span: Some(Span {
                line,
                column,
                end_line: line,
                end_column: column + 1,
            }),
            message: format!("{message}\n at {source}"),
            location: Some(source),
            ..whole(Code::InvalidJsonDescription, String::new())
        }]
    })
}

/// The word that a text without any JSON begins with, and the column after it.
fn unrecognised(definition: &str) -> Option<(&str, usize)> {
    let end = definition
        .find(|c: char| !c.is_alphanumeric())
        .unwrap_or(definition.len());
    let word = &definition[..end];
    let known = matches!(word, "null" | "true" | "false");
    (word.starts_with(char::is_alphabetic) && !known).then(|| (word, word.chars().count() + 1))
}

fn machine(fields: &Fields<'_>) -> Option<Machine> {
    fields.allow_only(MACHINE_FIELDS);
    let comment = fields.text("Comment").map(str::to_owned);
    if let Some(version) = fields.text("Version").filter(|version| *version != "1.0") {
        fields.wrong(
            "Version",
            format!("Version '{version}' is not supported: expected '1.0'"),
        );
    }
    let timeout_seconds = fields.integer("TimeoutSeconds", 1..=SECONDS_MAX);
    let language = query_language(fields).unwrap_or(QueryLanguage::JsonPath);
    let workflow = workflow(fields, Context { language, depth: 0 });
    let workflow = workflow?;
    validate::names_and_variables(&workflow, fields);
    Some(Machine {
        uses_jsonata: workflow.uses_jsonata(),
        workflow: Arc::new(workflow),
        timeout_seconds,
        comment,
        warnings: Vec::new(),
    })
}

/// What a nested workflow or state needs to know of its surroundings.
#[derive(Clone, Copy)]
pub(super) struct Context {
    pub(super) language: QueryLanguage,
    pub(super) depth: usize,
}

/// The language that an object asks for.
pub(super) fn query_language(fields: &Fields<'_>) -> Option<QueryLanguage> {
    match fields.text("QueryLanguage")? {
        "JSONPath" => Some(QueryLanguage::JsonPath),
        "JSONata" => Some(QueryLanguage::Jsonata),
        other => {
            fields.wrong(
                "QueryLanguage",
                format!("The field 'QueryLanguage' should have one of these values: [JSONPath, JSONata], not {other}"),
            );
            None
        }
    }
}

/// A nested workflow: a branch or an item processor.
pub(super) fn nested(fields: &Fields<'_>, context: Context) -> Option<Arc<Workflow>> {
    fields.allow_only(WORKFLOW_FIELDS);
    if context.depth >= WORKFLOW_DEPTH_MAX {
        fields.wrong_here(format!("States are nested more than {WORKFLOW_DEPTH_MAX} deep"));
        return None;
    }
    workflow(
        fields,
        Context {
            depth: context.depth + 1,
            ..context
        },
    )
    .map(Arc::new)
}

fn workflow(fields: &Fields<'_>, context: Context) -> Option<Workflow> {
    let missing: Vec<&str> = ["States", "StartAt"]
        .into_iter()
        .filter(|name| !fields.has(name))
        .collect();
    if !missing.is_empty() {
        fields.wrong_here(format!("These fields are required: [{}]", missing.join(", ")));
    }
    let states = fields.object("States")?;
    let names = Names::of(&states);
    if names.order.is_empty() {
        fields.wrong("States", "Value cannot be empty");
        return None;
    }
    for name in &names.order {
        if name.is_empty() || name.chars().count() > STATE_NAME_CHARS_MAX {
            states.wrong(
                name,
                format!("State name must have 1 to {STATE_NAME_CHARS_MAX} characters"),
            );
        }
    }
    let start = fields
        .text("StartAt")
        .and_then(|start| names.resolve(start, fields, "StartAt"));
    let parsed: Vec<_> = names
        .order
        .iter()
        .filter_map(|name| Some((name, states.object(name)?)))
        .map(|(name, fields)| state::parse(name, &fields, &names, context))
        .collect();
    let complete = parsed.len() == names.order.len() && parsed.iter().all(Option::is_some);
    let parsed: Vec<_> = parsed.into_iter().flatten().collect();
    if !complete {
        return None;
    }
    let workflow = Workflow {
        start: start?,
        states: parsed,
    };
    validate::reachability(&workflow, &states);
    Some(workflow)
}

/// The states of one workflow by name.
pub(super) struct Names<'a> {
    pub(super) order: Vec<&'a str>,
    index: HashMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    fn of(states: &Fields<'a>) -> Self {
        let order: Vec<&str> = states.names().collect();
        let index = order.iter().enumerate().map(|(index, name)| (*name, index)).collect();
        Self { order, index }
    }

    /// The state that `field` names; a wrong name is reported.
    pub(super) fn resolve(&self, name: &str, fields: &Fields<'_>, field: &str) -> Option<usize> {
        if let Some(&index) = self.index.get(name) {
            return Some(index);
        }
        let hint = nearest(name, self.order.iter().copied()).map_or_else(
            || format!("no state is called `{name}`"),
            |meant| format!("no state is called `{name}`; did you mean `{meant}`?"),
        );
        fields.report(
            Severity::Error,
            Code::MissingTransitionTarget,
            &join(&fields.location, field),
            format!("Missing '{field}' target: {name}"),
            Some(hint),
        );
        None
    }
}
