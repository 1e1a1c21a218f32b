//! Checks of a workflow's graph, on the definition itself, so that a mistake in
//! a field does not hide a mistake in a transition.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::diagnostic::{Code, Place, Problem, Severity};
use super::fields::Fields;
use crate::json::{element, join};

/// A field that names the state after another one.
struct Edge<'a> {
    from: &'a str,
    to: &'a str,
    location: String,
}

/// Reports transitions to states that are not there, a workflow that never
/// ends, and states that nothing leads to, in AWS's order.
pub(super) fn check(workflow: &Fields<'_>, states: &Fields<'_>) {
    let edges: Vec<Edge<'_>> = states.names().flat_map(|name| edges(states, name)).collect();
    let start = workflow.get("StartAt").and_then(Value::as_str);
    if let Some(start) = start {
        target(states, start, &workflow.at("StartAt"));
    }
    for edge in &edges {
        target(states, edge.to, &edge.location);
    }
    if states.names().any(|name| is_terminal(states, name)) {
        unreachable(states, start, &edges);
    } else {
        no_end(states);
    }
}

fn edges<'a>(states: &Fields<'a>, from: &'a str) -> Vec<Edge<'a>> {
    let Some(state) = states.get(from) else {
        return Vec::new();
    };
    let location = states.at(from);
    let mut found = Vec::new();
    let mut named = |object: &'a Value, location: &str, field: &str| {
        if let Some(to) = object.get(field).and_then(Value::as_str) {
            let location = join(location, field);
            found.push(Edge { from, to, location });
        }
    };
    named(state, &location, "Next");
    for list in ["Choices", "Catch"] {
        let entries = state.get(list).and_then(Value::as_array).into_iter().flatten();
        for (index, entry) in entries.enumerate() {
            named(entry, &element(&join(&location, list), index), "Next");
        }
    }
    named(state, &location, "Default");
    found
}

fn is_terminal(states: &Fields<'_>, name: &str) -> bool {
    states.get(name).is_some_and(|state| {
        let kind = state.get("Type").and_then(Value::as_str);
        matches!(kind, Some("Succeed" | "Fail")) || state.get("End") == Some(&Value::Bool(true))
    })
}

/// AWS says 'Next' whatever the field is called.
fn target(states: &Fields<'_>, name: &str, location: &str) {
    if states.has(name) {
        return;
    }
    let hint = match states.meant(name, states.names()) {
        Some(meant) => format!("no state is called `{name}`; did you mean `{meant}`?"),
        None => format!("no state is called `{name}`"),
    };
    let message = format!("Missing 'Next' target: {name}");
    let (severity, code) = (Severity::Error, Code::MissingTransitionTarget);
    states.report(severity, code, location, message, Some(hint));
}

fn no_end(states: &Fields<'_>) {
    states.problem(Problem {
        code: Code::MissingEndState,
        location: None,
        place: Place::Key(&states.location),
        hint: Some("give a state `\"End\": true`, or add a Succeed or Fail state".to_owned()),
        ..Problem::schema(&states.location, "Workflow has no terminal state")
    });
}

/// AWS asks whether another state names it; a circle of states that nothing
/// else leads to gets a warning of ours.
fn unreachable(states: &Fields<'_>, start: Option<&str>, edges: &[Edge<'_>]) {
    let Some(start) = start else { return };
    let mut named: HashSet<&str> = edges
        .iter()
        .filter(|edge| edge.from != edge.to)
        .map(|edge| edge.to)
        .collect();
    named.insert(start);
    let reached = reached(start, edges);
    for name in states.names().filter(|name| !reached.contains(name)) {
        let location = states.at(name);
        states.problem(Problem {
            severity: if named.contains(name) {
                Severity::Warning
            } else {
                Severity::Error
            },
            code: Code::MissingTransitionTarget,
            place: Place::Key(&location),
            hint: Some("let another state's `Next` name it, or remove it".to_owned()),
            ..Problem::schema(&location, format!("State \"{name}\" is not reachable."))
        });
    }
}

fn reached<'a>(start: &'a str, edges: &[Edge<'a>]) -> HashSet<&'a str> {
    let mut successors: HashMap<&str, Vec<&'a str>> = HashMap::new();
    for edge in edges {
        successors.entry(edge.from).or_default().push(edge.to);
    }
    let mut reached = HashSet::new();
    let mut pending = vec![start];
    while let Some(name) = pending.pop() {
        if reached.insert(name) {
            pending.extend(successors.get(name).into_iter().flatten());
        }
    }
    reached
}
