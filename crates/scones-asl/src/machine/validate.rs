//! Checks that need a whole workflow: reachability, names, variables.

use std::collections::{HashMap, HashSet};

use super::diagnostic::{Code, Diagnostic, Severity};
use super::fields::Fields;
use super::{Machine, Pattern, Resource, State, StateKind, Transition, Workflow};

/// Reports states that no transition leads to, and workflows without an end.
pub(super) fn reachability(workflow: &Workflow, states: &Fields<'_>) {
    let mut reached = vec![false; workflow.states.len()];
    let mut pending = vec![workflow.start];
    while let Some(index) = pending.pop() {
        if !std::mem::replace(&mut reached[index], true) {
            pending.extend(successors(workflow, index));
        }
    }
    if !workflow.states.iter().any(ends) {
        states.report(
            Severity::Error,
            Code::MissingEndState,
            &states.location,
            "No state ends the workflow",
            Some("give a state `\"End\": true`, or add a Succeed or Fail state".to_owned()),
        );
    }
    for (state, _) in workflow.states.iter().zip(&reached).filter(|(_, reached)| !**reached) {
        states.report(
            Severity::Error,
            Code::MissingTransitionTarget,
            &states.at(&state.name),
            format!("State \"{}\" is not reachable.", state.name),
            Some("let another state's `Next` name it, or remove it".to_owned()),
        );
    }
}

fn ends(state: &State) -> bool {
    match &state.kind {
        StateKind::Succeed | StateKind::Fail { .. } => true,
        StateKind::Pass { transition, .. } | StateKind::Wait { transition, .. } => *transition == Transition::End,
        _ => state
            .outcome()
            .is_some_and(|outcome| outcome.transition == Transition::End),
    }
}

fn successors(workflow: &Workflow, index: usize) -> Vec<usize> {
    let state = &workflow.states[index];
    let mut next: Vec<usize> = match &state.kind {
        StateKind::Pass { transition, .. } | StateKind::Wait { transition, .. } => target(*transition),
        StateKind::Choice { rules, default } => rules.iter().map(|rule| rule.next).chain(*default).collect(),
        StateKind::Succeed | StateKind::Fail { .. } => Vec::new(),
        _ => Vec::new(),
    };
    if let Some(outcome) = state.outcome() {
        next.extend(target(outcome.transition));
        next.extend(outcome.catch.iter().map(|catcher| catcher.next));
    }
    next
}

fn target(transition: Transition) -> Vec<usize> {
    match transition {
        Transition::Next(index) => vec![index],
        Transition::End => Vec::new(),
    }
}

/// Reports state names that occur twice anywhere in the machine.
pub(super) fn names_and_variables(workflow: &Workflow, root: &Fields<'_>) {
    let mut locations = HashMap::new();
    unique_names(workflow, root, &root.location, &mut locations);
    let problems: HashSet<(String, String)> = super::variables::shadowed(workflow, &root.location)
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
            root.report(
                Severity::Error,
                Code::DuplicateStateName,
                &here,
                format!("Duplicate state name: {}", state.name),
                Some(format!("the other one is at {first}")),
            );
        }
        match &state.kind {
            StateKind::Map(map) => {
                unique_names(&map.processor, root, &format!("{here}/ItemProcessor"), seen);
            }
            StateKind::Parallel { branches, .. } => {
                for (index, branch) in branches.iter().enumerate() {
                    unique_names(branch, root, &format!("{here}/Branches/{index}"), seen);
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
            (Resource::Activity { .. }, _) => "activities",
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
