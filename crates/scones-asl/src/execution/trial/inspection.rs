//! What a state's data looks like on its way, as TestState shows it.

use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value};

use super::Trial;
use crate::execution::Execution;
use crate::machine::{QueryLanguage, StateKind};
use crate::payload::Payload;

/// What the interpreter needs to know of a trial.
#[derive(Debug)]
pub(in crate::execution) struct Bench {
    /// Stands in for the execution's own context object.
    pub(in crate::execution) context: Option<Map<String, Value>>,
    notes: Notes,
}

/// The data after each stage that it has passed.
#[derive(Debug, Default)]
pub(in crate::execution) struct Notes {
    pub(in crate::execution) input_path: OnceLock<Arc<str>>,
    pub(in crate::execution) parameters: OnceLock<Arc<str>>,
    pub(in crate::execution) result_selector: OnceLock<Arc<str>>,
    pub(in crate::execution) result_path: OnceLock<Arc<str>>,
}

impl Bench {
    pub(super) fn new(context: Option<Map<String, Value>>) -> Self {
        let notes = Notes::default();
        Self { context, notes }
    }
}

impl Execution {
    /// Notes the data after a stage, if a trial wants to know.
    pub(in crate::execution) fn note(&self, stage: impl FnOnce(&Notes) -> &OnceLock<Arc<str>>, payload: &Payload) {
        if let Some(bench) = &self.bench {
            stage(&bench.notes).get_or_init(|| payload.text());
        }
    }
}

/// `inspectionData`: JSON texts, absent where the state has no such stage, did
/// not come that far, or AWS does not show it for states of its type.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "the members bear AWS's names")]
pub struct Inspection {
    pub input: Option<Arc<str>>,
    pub after_arguments: Option<Arc<str>>,
    pub after_input_path: Option<Arc<str>>,
    pub after_parameters: Option<Arc<str>>,
    pub result: Option<Arc<str>>,
    pub after_result_selector: Option<Arc<str>>,
    pub after_result_path: Option<Arc<str>>,
    pub variables: Option<Arc<str>>,
    pub error_details: Option<ErrorDetails>,
    pub after_items_path: Option<Arc<str>>,
    pub after_item_selector: Option<Arc<str>>,
    pub after_item_batcher: Option<Arc<str>>,
    pub after_items_pointer: Option<Arc<str>>,
    pub tolerated_failure_count: Option<u64>,
    pub tolerated_failure_percentage: Option<f64>,
    pub max_concurrency: Option<u64>,
}

/// Which retrier and which catcher dealt with a failure, by their places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorDetails {
    /// The catcher that caught it.
    pub catch_index: Option<usize>,
    /// The retrier that names it, though it may have tried often enough.
    pub retry_index: Option<usize>,
    /// Seconds until that retrier tries again.
    pub retry_backoff_seconds: Option<u64>,
}

impl Trial {
    /// What AWS shows of the way of the data through a state of this type.
    pub(super) fn inspection(&self) -> Inspection {
        let state = self.frame.state();
        let bench = self.execution.bench.as_deref();
        let note = |stage: fn(&Notes) -> &OnceLock<Arc<str>>| stage(&bench?.notes).get().cloned();
        let input = Some(Arc::clone(&self.frame.input));
        let mut shown = match state.language {
            QueryLanguage::Jsonata => Inspection {
                input,
                after_arguments: note(|notes| &notes.parameters),
                ..Inspection::default()
            },
            QueryLanguage::JsonPath => Inspection {
                input,
                after_input_path: note(|notes| &notes.input_path),
                after_parameters: note(|notes| &notes.parameters),
                after_result_selector: note(|notes| &notes.result_selector),
                after_result_path: note(|notes| &notes.result_path),
                ..Inspection::default()
            },
        };
        match &state.kind {
            StateKind::Pass { .. } if state.language == QueryLanguage::Jsonata => shown.after_arguments = None,
            StateKind::Pass { result: None, .. } => {}
            // The input has no part in a result that is written out.
            StateKind::Pass {
                result: Some(result), ..
            } => {
                shown.result = Some(result.to_string().into());
                shown.after_input_path = None;
                shown.after_parameters = None;
            }
            StateKind::Task(_) => shown.result.clone_from(&self.result),
            StateKind::Parallel { parameters, .. } => {
                shown.after_input_path = None;
                if parameters.is_none() {
                    shown.after_parameters = None;
                    shown.after_arguments = None;
                }
            }
            StateKind::Map(_) => {
                if let Some(work) = &self.iterations {
                    work.show(&mut shown);
                }
            }
            StateKind::Choice { .. } | StateKind::Wait { .. } | StateKind::Succeed | StateKind::Fail { .. } => {
                shown.after_result_selector = None;
                shown.after_result_path = None;
            }
        }
        shown
    }
}
