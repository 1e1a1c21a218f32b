//! Reads a definition from its text.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::diagnostic::{Code, Collector, Diagnostic, Place, Problem, Severity};
use super::fields::Fields;
use super::{Machine, QueryLanguage, Workflow, graph, state, syntax, validate};
use crate::limits::{DEFINITION_BYTES_MAX, SECONDS_MAX, STATE_NAME_CHARS_MAX, WORKFLOW_DEPTH_MAX};

const MACHINE_FIELDS: &[&str] = &[
    "Comment",
    "StartAt",
    "States",
    "Version",
    "TimeoutSeconds",
    "QueryLanguage",
];
const WORKFLOW_FIELDS: &[&str] = &["Comment", "StartAt", "States", "ProcessorConfig"];

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
        fields.problem(Problem {
            place: Place::Key(&duplicate),
            ..Problem::schema(&duplicate, "Duplicate field")
        });
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

pub(super) fn whole(code: Code, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code,
        message,
        location: None,
        span: None,
        hint: None,
    }
}

pub(super) fn read_json(definition: &str) -> Result<Value, Vec<Diagnostic>> {
    if definition.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(definition).map_err(|error| vec![syntax::problem(definition, &error)])
}

fn machine(fields: &Fields<'_>) -> Option<Machine> {
    fields.allow_only(MACHINE_FIELDS);
    let comment = fields.text("Comment").map(str::to_owned);
    fields.one_of_or("Version", &[("1.0", ())]);
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

/// The language that an object asks for. AWS reads anything but `JSONPath` as
/// JSONata, besides refusing it.
pub(super) fn query_language(fields: &Fields<'_>) -> Option<QueryLanguage> {
    const LANGUAGES: &[(&str, QueryLanguage)] = &[
        ("JSONPath", QueryLanguage::JsonPath),
        ("JSONata", QueryLanguage::Jsonata),
    ];
    fields.has("QueryLanguage").then(|| {
        fields
            .one_of("QueryLanguage", LANGUAGES)
            .unwrap_or(QueryLanguage::Jsonata)
    })
}

/// A nested workflow: a branch or an item processor.
pub(super) fn nested(fields: &Fields<'_>, context: Context) -> Option<Arc<Workflow>> {
    fields.allow_only(WORKFLOW_FIELDS);
    if context.depth >= WORKFLOW_DEPTH_MAX {
        fields.report(
            Severity::Error,
            Code::TooDeeplyNested,
            &fields.location,
            format!("States are nested more than {WORKFLOW_DEPTH_MAX} deep"),
            None,
        );
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
    fields.require_all(&["States", "StartAt"]);
    let states = fields.object("States")?;
    let names = Names::of(&states);
    if names.order.is_empty() {
        fields.wrong("States", "Value cannot be empty");
        return None;
    }
    for name in &names.order {
        if name.is_empty() || name.chars().count() > STATE_NAME_CHARS_MAX {
            let location = states.at(name);
            states.problem(Problem {
                code: Code::InvalidStateName,
                place: Place::Key(&location),
                ..Problem::schema(
                    &location,
                    format!("State name must have 1 to {STATE_NAME_CHARS_MAX} characters"),
                )
            });
        }
    }
    let start = fields.text("StartAt").and_then(|start| names.resolve(start));
    let parsed: Vec<_> = names
        .order
        .iter()
        .filter_map(|name| Some((name, states.object(name)?)))
        .map(|(name, fields)| state::parse(name, &fields, &names, context))
        .collect();
    graph::check(fields, &states);
    let complete = parsed.len() == names.order.len() && parsed.iter().all(Option::is_some);
    let parsed: Vec<_> = parsed.into_iter().flatten().collect();
    if !complete {
        return None;
    }
    Some(Workflow {
        start: start?,
        states: parsed,
    })
}

/// The states of one workflow by name.
pub(super) struct Names<'a> {
    pub(super) order: Vec<&'a str>,
    index: HashMap<&'a str, usize>,
    /// The names that are not there, where any name will do; numbered after `order`.
    beyond: Option<RefCell<Vec<String>>>,
}

impl<'a> Names<'a> {
    fn of(states: &Fields<'a>) -> Self {
        let order: Vec<&str> = states.names().collect();
        let index = order.iter().enumerate().map(|(index, name)| (*name, index)).collect();
        Self {
            order,
            index,
            beyond: None,
        }
    }

    /// A workflow of which one state is known: it may lead anywhere.
    pub(super) fn around(state: &'a str) -> Self {
        Self {
            order: vec![state],
            index: HashMap::from([(state, 0)]),
            beyond: Some(RefCell::default()),
        }
    }

    /// The names that were resolved without being there.
    pub(super) fn into_beyond(self) -> Vec<String> {
        self.beyond.map(RefCell::into_inner).unwrap_or_default()
    }

    /// The state of that name. The check of the graph reports a wrong one.
    pub(super) fn resolve(&self, name: &str) -> Option<usize> {
        if let Some(&index) = self.index.get(name) {
            return Some(index);
        }
        let mut beyond = self.beyond.as_ref()?.borrow_mut();
        let place = beyond.iter().position(|known| known == name).unwrap_or_else(|| {
            beyond.push(name.to_owned());
            beyond.len() - 1
        });
        Some(self.order.len() + place)
    }
}
