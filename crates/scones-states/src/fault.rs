//! The errors of Step Functions, each in AWS's words.

use std::fmt::Display;

use scones_api::ApiError;
use scones_asl::{Code, Diagnostic, Severity};

use crate::limits;

fn error(code: &str, message: String) -> ApiError {
    ApiError::bad_request(code, message)
}

pub(crate) fn invalid_arn(reason: impl Display) -> ApiError {
    error("InvalidArn", format!("Invalid Arn: '{reason}'"))
}

pub(crate) fn invalid_name(name: &str) -> ApiError {
    error("InvalidName", format!("Invalid Name: '{name}'"))
}

pub(crate) fn invalid_token() -> ApiError {
    error("InvalidToken", "Invalid Token: 'Invalid token'".to_owned())
}

pub(crate) fn invalid_definition(reason: impl Display) -> ApiError {
    error(
        "InvalidDefinition",
        format!("Invalid State Machine Definition: '{reason}'"),
    )
}

/// Errors of a definition that CreateStateMachine's message names.
const PROBLEMS_SHOWN_MAX: usize = 10;

/// The refusal of a definition for its errors.
pub(crate) fn refused_definition(definition: &str, problems: &[Diagnostic]) -> ApiError {
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
    let mut label = errors.clone().filter(|problem| problem.code == Code::InvalidLabelName);
    if let Some(problem) = label.next() {
        // Recorded clients got the label's problem as a literal of Python.
        let problem = literal(&problem.message);
        let message = format!("Error=ValueError Args=[{problem}] in definition '{definition}'.");
        return error("InvalidDefinition", message);
    }
    let texts: Vec<String> = errors.take(PROBLEMS_SHOWN_MAX).map(ToString::to_string).collect();
    invalid_definition(texts.join(", "))
}

/// A text as Python writes it in source code.
fn literal(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut literal = String::from(quote);
    for character in text.chars() {
        if character == quote || character == '\\' {
            literal.push('\\');
        }
        literal.push(character);
    }
    literal.push(quote);
    literal
}

/// A definition of a state that TestState does not try as asked.
pub(crate) fn not_tried(reason: &str) -> ApiError {
    error("InvalidDefinition", reason.to_owned())
}

pub(crate) fn invalid_input(reason: impl Display) -> ApiError {
    error(
        "InvalidExecutionInput",
        format!("Invalid State Machine Execution Input: '{reason}'"),
    )
}

pub(crate) fn invalid_output(reason: impl Display) -> ApiError {
    error("InvalidOutput", format!("Invalid Output: '{reason}'"))
}

pub(crate) fn invalid_logging(reason: &str) -> ApiError {
    error(
        "InvalidLoggingConfiguration",
        format!("Invalid Logging Configuration: {reason}"),
    )
}

pub(crate) fn no_state_machine(arn: impl Display) -> ApiError {
    error(
        "StateMachineDoesNotExist",
        format!("State Machine Does Not Exist: '{arn}'"),
    )
}

pub(crate) fn state_machine_exists(arn: impl Display) -> ApiError {
    error(
        "StateMachineAlreadyExists",
        format!("State Machine Already Exists: '{arn}'"),
    )
}

pub(crate) fn type_not_supported() -> ApiError {
    error(
        "StateMachineTypeNotSupported",
        "This operation is not supported by this type of state machine".to_owned(),
    )
}

pub(crate) fn no_execution(arn: impl Display) -> ApiError {
    error("ExecutionDoesNotExist", format!("Execution Does Not Exist: '{arn}'"))
}

pub(crate) fn execution_exists(arn: impl Display) -> ApiError {
    error("ExecutionAlreadyExists", format!("Execution Already Exists: '{arn}'"))
}

pub(crate) fn too_many_executions(maximum: usize) -> ApiError {
    error(
        "ExecutionLimitExceeded",
        format!("{maximum} Express executions are running; start this one again when some have ended"),
    )
}

pub(crate) fn not_redrivable(arn: impl Display, status: &str) -> ApiError {
    error(
        "ExecutionNotRedrivable",
        format!("Execution is {status} and cannot be redriven: '{arn}'"),
    )
}

pub(crate) fn redriven_by_map_run(arn: impl Display) -> ApiError {
    error(
        "ExecutionNotRedrivable",
        format!("A child execution is redriven with the execution of its map run: '{arn}'"),
    )
}

pub(crate) fn history_is_full(arn: impl Display) -> ApiError {
    error(
        "ExecutionNotRedrivable",
        format!("Execution history event limit exceeded: '{arn}'"),
    )
}

pub(crate) fn no_activity(arn: impl Display) -> ApiError {
    error("ActivityDoesNotExist", format!("Activity Does Not Exist: '{arn}'"))
}

/// The token was never given out, or its execution is gone.
pub(crate) fn no_task() -> ApiError {
    error(
        "TaskDoesNotExist",
        "Task Does Not Exist: 'Provided task does not exist'".to_owned(),
    )
}

/// The token's task has ended, in whatever way.
pub(crate) fn task_timed_out() -> ApiError {
    error(
        "TaskTimedOut",
        "Task Timed Out: 'Provided task does not exist anymore'".to_owned(),
    )
}

pub(crate) fn no_resource(arn: impl Display) -> ApiError {
    error("ResourceNotFound", format!("Resource not found: '{arn}'"))
}

/// As the alias operations say it.
pub(crate) fn no_referenced_resource() -> ApiError {
    error(
        "ResourceNotFound",
        "Request references a resource that does not exist.".to_owned(),
    )
}

pub(crate) fn conflict(message: impl Into<String>) -> ApiError {
    error("ConflictException", message.into())
}

pub(crate) fn quota(message: impl Into<String>) -> ApiError {
    error("ServiceQuotaExceededException", message.into())
}

pub(crate) fn too_many_tags(arn: impl Display) -> ApiError {
    error(
        "TooManyTags",
        format!("Too many tags: resource '{arn}' may have {} at most", limits::TAGS_MAX),
    )
}

/// Another server has taken the execution over, or this one is stopping.
pub(crate) fn unavailable() -> ApiError {
    ApiError::new(503, "ServiceUnavailable", "the execution is changing hands; try again")
}
