//! How a trial ended: what the state's retriers and catchers make of it.

use std::sync::Arc;

use serde_json::Value;

use super::{ErrorDetails, Inspection, Trial};
use crate::error::Fault;
use crate::execution::fault::{catcher_of, retrier_of};
use crate::execution::frame::Exit;
use crate::machine::Transition;
use crate::scope::Variables;

/// How a state ended, by AWS's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialStatus {
    /// With an output.
    Succeeded,
    /// With an error that nothing deals with.
    Failed,
    /// With an error after which it would be tried again.
    Retriable,
    /// With an error that a catcher caught.
    CaughtError,
}

/// The end of a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// How the state ended.
    pub status: TrialStatus,
    /// The state's output, or the catcher's, as JSON text.
    pub output: Option<Arc<str>>,
    /// The error's name.
    pub error: Option<String>,
    /// More about it.
    pub cause: Option<String>,
    /// The state that would come next.
    pub next_state: Option<String>,
    /// What the data looked like on its way.
    pub inspection: Inspection,
}

impl TrialStatus {
    /// As AWS writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Retriable => "RETRIABLE",
            Self::CaughtError => "CAUGHT_ERROR",
        }
    }
}

impl Trial {
    pub(super) fn conclude(mut self, exit: Result<Exit, Fault>) -> Verdict {
        match exit {
            Ok(exit) => self.left(TrialStatus::Succeeded, exit),
            Err(fault) => self.failed(fault),
        }
    }

    /// The first retrier that names the error decides; only when it gives up
    /// the catchers are asked.
    fn failed(&mut self, fault: Fault) -> Verdict {
        let workflow = Arc::clone(&self.frame.workflow);
        let Some(outcome) = workflow.states[self.frame.state].outcome() else {
            return self.ended(TrialStatus::Failed, fault, None);
        };
        let retrier = retrier_of(outcome, &fault);
        let delay = retrier.and_then(|index| self.execution.retry_delay(&outcome.retry[index], self.retries));
        let catcher = catcher_of(outcome, &fault).filter(|_| delay.is_none());
        let details = ErrorDetails {
            catch_index: catcher,
            retry_index: retrier,
            retry_backoff_seconds: delay.map(|milliseconds| u64::try_from(milliseconds / 1_000).unwrap_or_default()),
        };
        let details = (details != ErrorDetails::default()).then_some(details);
        if delay.is_some() {
            return self.ended(TrialStatus::Retriable, fault, details);
        }
        let Some(index) = catcher else {
            return self.ended(TrialStatus::Failed, fault, details);
        };
        match self.execution.catch(&self.frame, &outcome.catch[index], &fault) {
            Ok(exit) => {
                let mut verdict = self.left(TrialStatus::CaughtError, exit);
                verdict.inspection.error_details = details;
                Verdict {
                    error: fault.error,
                    cause: fault.cause,
                    ..verdict
                }
            }
            Err(fault) => self.ended(TrialStatus::Failed, fault, details),
        }
    }

    fn left(&mut self, status: TrialStatus, exit: Exit) -> Verdict {
        let Exit {
            output,
            assigned,
            transition,
        } = exit;
        Arc::make_mut(&mut self.frame.variables).extend(assigned);
        let next_state = match transition {
            Transition::Next(place) => Some(self.frame.workflow.states[place].name.clone()),
            Transition::End => None,
        };
        Verdict {
            status,
            output: Some(output),
            error: None,
            cause: None,
            next_state,
            inspection: self.final_inspection(None),
        }
    }

    fn ended(&self, status: TrialStatus, fault: Fault, details: Option<ErrorDetails>) -> Verdict {
        Verdict {
            status,
            output: None,
            error: fault.error,
            cause: fault.cause,
            next_state: None,
            inspection: self.final_inspection(details),
        }
    }

    fn final_inspection(&self, error_details: Option<ErrorDetails>) -> Inspection {
        Inspection {
            variables: variables(&self.frame.variables),
            error_details,
            ..self.inspection()
        }
    }
}

/// The variables as JSON text; nothing where there are none.
fn variables(variables: &Variables) -> Option<Arc<str>> {
    if variables.is_empty() {
        return None;
    }
    let object = variables.iter().map(|(name, value)| (name.clone(), value.clone()));
    Some(Value::Object(object.collect()).to_string().into())
}
