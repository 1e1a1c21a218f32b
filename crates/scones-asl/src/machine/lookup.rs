//! Finds states by name, at any depth.

use std::sync::Arc;

use super::{Machine, Resource, State, StateKind, Workflow};

impl Workflow {
    /// The workflow that has the state with that name, and the state's place there.
    pub(crate) fn find(self: &Arc<Self>, state_name: &str) -> Option<(Arc<Self>, usize)> {
        if let Some(place) = self.states.iter().position(|state| state.name == state_name) {
            return Some((Arc::clone(self), place));
        }
        self.states.iter().find_map(|state| state.find_below(state_name))
    }
}

impl State {
    fn find_below(&self, state_name: &str) -> Option<(Arc<Workflow>, usize)> {
        match &self.kind {
            StateKind::Map(map) => map.processor.find(state_name),
            StateKind::Parallel { branches, .. } => branches.iter().find_map(|branch| branch.find(state_name)),
            _ => None,
        }
    }

    fn type_name(&self) -> &'static str {
        match &self.kind {
            StateKind::Pass { .. } => "Pass",
            StateKind::Task(_) => "Task",
            StateKind::Choice { .. } => "Choice",
            StateKind::Wait { .. } => "Wait",
            StateKind::Succeed => "Succeed",
            StateKind::Fail { .. } => "Fail",
            StateKind::Parallel { .. } => "Parallel",
            StateKind::Map(_) => "Map",
        }
    }
}

/// What can be said of a state without running it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSummary {
    /// `Task`, `Map` ...
    pub type_name: &'static str,
    /// What a Task state calls.
    pub resource: Option<Resource>,
    /// The form of the result that the state waits for.
    pub result: ResultForm,
}

/// The form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultForm {
    /// A task's: anything. States that wait for no result have this form, too.
    Any,
    /// A Parallel state's: an array with an element for each branch.
    Branches(usize),
    /// A Map state's: an array.
    Array,
    /// A Map state's that writes its results to S3: an object that says where.
    Object,
}

impl Machine {
    /// Describes the state with that name; nothing where there is no such state.
    #[must_use]
    pub fn state(&self, state_name: &str) -> Option<StateSummary> {
        let (workflow, place) = self.workflow.find(state_name)?;
        let state = &workflow.states[place];
        let (resource, result) = match &state.kind {
            StateKind::Task(task) => (Some(task.resource.clone()), ResultForm::Any),
            StateKind::Parallel { branches, .. } => (None, ResultForm::Branches(branches.len())),
            StateKind::Map(map) => {
                let writer = map
                    .distributed
                    .as_ref()
                    .and_then(|distributed| distributed.writer.as_ref());
                let written = writer.is_some_and(|writer| writer.parameters.is_some());
                (None, if written { ResultForm::Object } else { ResultForm::Array })
            }
            _ => (None, ResultForm::Any),
        };
        Some(StateSummary {
            type_name: state.type_name(),
            resource,
            result,
        })
    }

    /// Whether the Map or Parallel state `outer` has the state `inner` below it.
    #[must_use]
    pub fn contains_state(&self, outer: &str, inner: &str) -> bool {
        let found = self.workflow.find(outer);
        found.is_some_and(|(workflow, place)| workflow.states[place].find_below(inner).is_some())
    }
}
