//! Failures as the language names them.

use std::fmt;

/// Names that the language reserves.
pub mod names {
    /// Matches every error but the terminal ones.
    pub const ALL: &str = "States.ALL";
    /// A task, or the execution, took too long, or a heartbeat was missed.
    pub const TIMEOUT: &str = "States.Timeout";
    /// Accepted in `ErrorEquals`; a missed heartbeat also matches it.
    pub const HEARTBEAT_TIMEOUT: &str = "States.HeartbeatTimeout";
    /// Matches every task failure but a timeout.
    pub const TASK_FAILED: &str = "States.TaskFailed";
    /// An error that cannot be processed: a path without a value, for example.
    pub const RUNTIME: &str = "States.Runtime";
    /// A payload is above its limit.
    pub const DATA_LIMIT_EXCEEDED: &str = "States.DataLimitExceeded";
    /// No choice rule matched and there is no default.
    pub const NO_CHOICE_MATCHED: &str = "States.NoChoiceMatched";
    /// An intrinsic function refused its arguments.
    pub const INTRINSIC_FAILURE: &str = "States.IntrinsicFailure";
    /// A JSONata expression failed or gave a value of the wrong type.
    pub const QUERY_EVALUATION_ERROR: &str = "States.QueryEvaluationError";
    /// More items of a distributed map failed than are tolerated.
    pub const EXCEED_TOLERATED_FAILURE_THRESHOLD: &str = "States.ExceedToleratedFailureThreshold";
    /// The items of a distributed map cannot be read.
    pub const ITEM_READER_FAILED: &str = "States.ItemReaderFailed";
    /// The results of a distributed map cannot be written.
    pub const RESULT_WRITER_FAILED: &str = "States.ResultWriterFailed";
    /// `ResultPath` cannot be applied to the input.
    pub const RESULT_PATH_MATCH_FAILURE: &str = "States.ResultPathMatchFailure";
}

/// What failed inside a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) error: Option<String>,
    pub(crate) cause: Option<String>,
    /// A terminal fault ends the execution: nothing retries or catches it.
    pub(crate) terminal: bool,
    /// Set for a failed expression until it is recorded.
    pub(crate) evaluation: Option<Evaluation>,
    /// Another name under which it may be caught.
    pub(crate) alias: Option<&'static str>,
}

impl Fault {
    /// A fault that a task or a Fail state reports; it may be caught.
    pub(crate) fn reported(error: Option<String>, cause: Option<String>) -> Self {
        Self {
            error,
            cause,
            terminal: false,
            evaluation: None,
            alias: None,
        }
    }

    pub(crate) fn timeout() -> Self {
        Self::reported(Some(names::TIMEOUT.to_owned()), None)
    }

    /// AWS records a missed heartbeat as a timeout; both names catch it.
    pub(crate) fn heartbeat_timeout() -> Self {
        Self {
            alias: Some(names::HEARTBEAT_TIMEOUT),
            ..Self::timeout()
        }
    }

    /// The result of the state, or of the resource that its task names, is too large.
    pub(crate) fn data_limit(subject: &str) -> Self {
        Self::reported(
            Some(names::DATA_LIMIT_EXCEEDED.to_owned()),
            Some(format!(
                "The state/task '{subject}' returned a result with a size exceeding \
                 the maximum number of bytes service limit."
            )),
        )
    }

    /// Whether an `ErrorEquals` of a retrier or catcher names this fault.
    pub(crate) fn is_matched_by(&self, error_equals: &[String]) -> bool {
        if self.terminal {
            return false;
        }
        let error = self.error.as_deref().unwrap_or_default();
        error_equals.iter().any(|name| match name.as_str() {
            names::ALL => error != names::RUNTIME,
            names::TASK_FAILED => error != names::TIMEOUT && error != names::RUNTIME,
            name => name == error || self.alias == Some(name),
        })
    }
}

/// An evaluation that failed; the state and event it happened at are added
/// by whoever knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EvaluationError {
    pub(crate) error: &'static str,
    pub(crate) message: String,
    pub(crate) evaluation: Option<Evaluation>,
}

/// A failed JSONata expression, which is recorded as `EvaluationFailed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Evaluation {
    /// The field that held the expression, where there was one.
    pub(crate) location: Option<String>,
}

impl EvaluationError {
    pub(crate) fn runtime(message: impl fmt::Display) -> Self {
        Self::named(names::RUNTIME, message)
    }

    pub(crate) fn named(error: &'static str, message: impl fmt::Display) -> Self {
        Self {
            error,
            message: message.to_string(),
            evaluation: None,
        }
    }

    /// A failure in a JSONata state.
    pub(crate) fn query(message: impl fmt::Display, location: Option<String>) -> Self {
        let evaluation = Some(Evaluation { location });
        Self {
            evaluation,
            ..Self::named(names::QUERY_EVALUATION_ERROR, message)
        }
    }

    /// The fault, with AWS's sentence about where it happened before the cause.
    /// A state that is tried alone was entered by no event, 0, and has no such sentence.
    pub(crate) fn at(self, state: &str, entered_event: u64) -> Fault {
        let place = match entered_event {
            0 => String::new(),
            event => {
                format!("An error occurred while executing the state '{state}' (entered at the event id #{event}). ")
            }
        };
        Fault {
            error: Some(self.error.to_owned()),
            cause: Some(place + &self.message),
            terminal: self.error == names::RUNTIME,
            evaluation: self.evaluation,
            alias: None,
        }
    }
}
