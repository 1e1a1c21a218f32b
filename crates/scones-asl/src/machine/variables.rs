//! Which variables a workflow assigns, and which of them an outer scope owns.

use std::collections::HashSet;

use super::{State, StateKind, Workflow};
use crate::json::element;
use crate::template::Template;

/// Assignments in an inner scope of a variable that an outer scope assigns:
/// the state's location and the variable's name.
pub(super) fn shadowed(workflow: &Workflow, location: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    visit(workflow, location, &HashSet::new(), &mut found);
    found
}

fn visit(workflow: &Workflow, location: &str, outer: &HashSet<String>, found: &mut Vec<(String, String)>) {
    let mut scope = outer.clone();
    for state in &workflow.states {
        for name in assigned(state) {
            if outer.contains(&name) {
                found.push((format!("{location}/States/{}", state.name), name));
            } else {
                scope.insert(name);
            }
        }
    }
    for state in &workflow.states {
        let here = format!("{location}/States/{}", state.name);
        match &state.kind {
            StateKind::Map(map) => {
                // The child executions of a distributed map see nothing of their parent.
                let none = HashSet::new();
                let seen = if map.distributed.is_some() { &none } else { &scope };
                visit(&map.processor, &format!("{here}/ItemProcessor"), seen, found);
            }
            StateKind::Parallel { branches, .. } => {
                for (index, branch) in branches.iter().enumerate() {
                    visit(branch, &element(&format!("{here}/Branches"), index), &scope, found);
                }
            }
            _ => {}
        }
    }
}

/// Every variable that a state, its rules or its catchers assign.
fn assigned(state: &State) -> Vec<String> {
    let mut templates: Vec<&Template> = state.assign.iter().collect();
    if let Some(outcome) = state.outcome() {
        templates.extend(outcome.catch.iter().filter_map(|catcher| catcher.assign.as_ref()));
    }
    if let StateKind::Choice { rules, .. } = &state.kind {
        templates.extend(rules.iter().filter_map(|rule| rule.assign.as_ref()));
    }
    templates.into_iter().flat_map(Template::fields).collect()
}
