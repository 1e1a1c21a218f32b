//! Reads a state on its own: the states that it leads to are not there.

use std::cell::RefCell;
use std::sync::Arc;

use super::diagnostic::{Code, Collector, Diagnostic, Problem, Severity};
use super::fields::Fields;
use super::parse::{Context, Names, read_json, whole};
use super::{Machine, QueryLanguage, Selection, State, StateKind, Workflow, state, validate};
use crate::json::join;

/// A machine of that state, called `name`, and of an end under each name that
/// the state leads to. Problems stand where they would in a machine.
pub(super) fn parse(definition: &str, name: &str) -> Result<Machine, Vec<Diagnostic>> {
    let value = read_json(definition)?;
    let Some(object) = value.as_object() else {
        let message = "Definition must be a valid JSON object".to_owned();
        return Err(vec![whole(Code::SchemaValidationFailed, message)]);
    };
    let collector = RefCell::new(Collector::new(definition));
    let location = join("/States", name);
    let fields = Fields::new(object, location.clone(), &collector);
    let names = Names::around(name);
    let context = Context {
        language: QueryLanguage::JsonPath,
        depth: 0,
    };
    let workflow = state::parse(name, &fields, &names, context).map(|state| Workflow {
        start: 0,
        states: vec![state],
    });
    let root = Fields::new(object, String::new(), &collector);
    if let Some(workflow) = &workflow {
        validate::names_and_variables(workflow, &root);
    }
    let duplicates = collector.borrow().duplicates();
    for duplicate in duplicates {
        let location = format!("{location}{duplicate}");
        root.problem(Problem::schema(&location, "Duplicate field"));
    }
    let diagnostics = collector.borrow_mut().finish();
    match workflow {
        Some(mut workflow) if diagnostics.iter().all(|d| d.severity == Severity::Warning) => {
            workflow.states.extend(names.into_beyond().into_iter().map(end));
            Ok(Machine {
                uses_jsonata: workflow.uses_jsonata(),
                workflow: Arc::new(workflow),
                timeout_seconds: None,
                comment: None,
                warnings: diagnostics,
            })
        }
        _ => Err(diagnostics),
    }
}

fn end(name: String) -> State {
    State {
        name,
        language: QueryLanguage::JsonPath,
        kind: StateKind::Succeed,
        input_path: Selection::Whole,
        output_path: Selection::Whole,
        assign: None,
        output: None,
    }
}
