//! Checks that need the whole machine: names, variables, what Express lacks.

use std::collections::{BTreeSet, HashMap};

use super::diagnostic::{Code, Diagnostic, Place, Problem, Severity};
use super::fields::Fields;
use super::{Machine, Pattern, Resource, StateKind, Workflow};
use crate::json::element;

/// Reports names and labels that occur twice anywhere in the machine, and
/// variables that are not one's own.
pub(super) fn names_and_variables(workflow: &Workflow, root: &Fields<'_>) {
    let mut seen = Seen::default();
    seen.visit(workflow, root, &root.location);
    let problems: BTreeSet<(String, String)> = super::variables::shadowed(workflow, &root.location)
        .into_iter()
        .collect();
    for (location, name) in problems {
        root.report(
            Severity::Error,
            Code::SchemaValidationFailed,
            &location,
            format!("The variable '{name}' is already defined in an outer scope"),
            Some("an inner scope cannot assign an outer scope's variable; choose another name".to_owned()),
        );
    }
}

/// Where each name and each label was met first.
#[derive(Default)]
struct Seen {
    names: HashMap<String, String>,
    labels: HashMap<String, String>,
}

impl Seen {
    fn visit(&mut self, workflow: &Workflow, root: &Fields<'_>, location: &str) {
        for state in &workflow.states {
            let here = format!("{location}/States/{}", state.name);
            if let Some(first) = self.names.insert(state.name.clone(), here.clone()) {
                let message = format!("Duplicate State name: {}", state.name);
                twice(
                    root,
                    Code::DuplicateStateName,
                    Place::Key(&here),
                    &here,
                    message,
                    &first,
                );
            }
            match &state.kind {
                StateKind::Map(map) => {
                    let label = map
                        .distributed
                        .as_ref()
                        .and_then(|distributed| distributed.label.as_ref());
                    if let Some(label) = label {
                        self.label(label, root, &format!("{here}/Label"));
                    }
                    self.visit(&map.processor, root, &format!("{here}/ItemProcessor"));
                }
                StateKind::Parallel { branches, .. } => {
                    for (index, branch) in branches.iter().enumerate() {
                        self.visit(branch, root, &element(&format!("{here}/Branches"), index));
                    }
                }
                _ => {}
            }
        }
    }

    fn label(&mut self, label: &str, root: &Fields<'_>, here: &str) {
        if let Some(first) = self.labels.insert(label.to_owned(), here.to_owned()) {
            let message = format!("Duplicate label: {label}");
            twice(
                root,
                Code::DuplicateLabelName,
                Place::Value(here),
                here,
                message,
                &first,
            );
        }
    }
}

fn twice(root: &Fields<'_>, code: Code, place: Place<'_>, location: &str, message: String, first: &str) {
    root.problem(Problem {
        code,
        place,
        hint: Some(format!("the other one is at {first}")),
        ..Problem::schema(location, message)
    });
}

pub(super) fn express_problems(machine: &Machine) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    for (location, resource) in machine.resources() {
        let what = match (resource, resource.pattern()) {
            (Resource::Activity { .. }, _) => "Activity ARN",
            (_, Pattern::RequestResponse) => continue,
            (_, Pattern::Sync | Pattern::Sync2) => "'.sync' service integration",
            // AWS's text ends with a blank here.
            (_, Pattern::WaitForTaskToken) => "'.waitForTaskToken' service integration ",
        };
        problems.push(not_in_express(what, location));
    }
    let maps = machine.workflow.distributed_maps("");
    problems.extend(
        maps.into_iter()
            .map(|location| not_in_express("distributed Map states", location)),
    );
    problems
}

fn not_in_express(what: &str, location: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: Code::SchemaValidationFailed,
        message: format!("Express state machine does not support {what}"),
        location: Some(location),
        span: None,
        hint: Some("create the state machine with the type STANDARD".to_owned()),
    }
}
