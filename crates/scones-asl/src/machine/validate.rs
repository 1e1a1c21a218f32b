//! Checks that need the whole machine: names, variables, what Express lacks.

use std::collections::{BTreeSet, HashMap};

use super::diagnostic::{Code, Diagnostic, Place, Problem, Severity};
use super::fields::Fields;
use super::{Machine, Pattern, Resource, StateKind, Workflow};
use crate::json::element;

/// Reports state names that occur twice anywhere in the machine.
pub(super) fn names_and_variables(workflow: &Workflow, root: &Fields<'_>) {
    let mut locations = HashMap::new();
    unique_names(workflow, root, &root.location, &mut locations);
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

fn unique_names(workflow: &Workflow, root: &Fields<'_>, location: &str, seen: &mut HashMap<String, String>) {
    for state in &workflow.states {
        let here = format!("{location}/States/{}", state.name);
        if let Some(first) = seen.insert(state.name.clone(), here.clone()) {
            root.problem(Problem {
                code: Code::DuplicateStateName,
                place: Place::Key(&here),
                hint: Some(format!("the other one is at {first}")),
                ..Problem::schema(&here, format!("Duplicate State name: {}", state.name))
            });
        }
        match &state.kind {
            StateKind::Map(map) => {
                unique_names(&map.processor, root, &format!("{here}/ItemProcessor"), seen);
            }
            StateKind::Parallel { branches, .. } => {
                for (index, branch) in branches.iter().enumerate() {
                    unique_names(branch, root, &element(&format!("{here}/Branches"), index), seen);
                }
            }
            _ => {}
        }
    }
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
        problems.push(Diagnostic {
            severity: Severity::Error,
            code: Code::SchemaValidationFailed,
            message: format!("Express state machine does not support {what}"),
            location: Some(location),
            span: None,
            hint: Some("create the state machine with the type STANDARD".to_owned()),
        });
    }
    problems
}
