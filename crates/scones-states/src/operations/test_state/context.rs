//! The context object that a request puts in place of the state's own.

use scones_api::ApiError;
use serde_json::{Map, Value};

use super::{Subject, request::TestState};

/// What a context object may hold, and of which type; `Input` is any JSON.
const EXECUTION: &[(&str, Kind)] = &[
    ("Id", Kind::Text),
    ("Input", Kind::Any),
    ("Name", Kind::Text),
    ("RoleArn", Kind::Text),
    ("StartTime", Kind::Text),
    ("RedriveCount", Kind::Number),
    ("RedriveTime", Kind::Text),
];
const STATE: &[(&str, Kind)] = &[
    ("EnteredTime", Kind::Text),
    ("Name", Kind::Text),
    ("RetryCount", Kind::Number),
];
const STATE_MACHINE: &[(&str, Kind)] = &[("Id", Kind::Text), ("Name", Kind::Text)];
const TASK: &[(&str, Kind)] = &[("Token", Kind::Text)];

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
    Any,
}

/// Reads and checks the context object of a request, if it has one.
pub(super) fn of(request: &TestState, subject: &Subject) -> Result<Option<Map<String, Value>>, ApiError> {
    let Some(text) = &request.context else {
        return Ok(None);
    };
    let Ok(Value::Object(context)) = serde_json::from_str(text) else {
        return Err(invalid("Context object must be a JSON object"));
    };
    for (name, value) in &context {
        let members = match name.as_str() {
            "Execution" => EXECUTION,
            "State" => STATE,
            "StateMachine" => STATE_MACHINE,
            "Task" if subject.has_token() || subject.waits_for_job() => TASK,
            "Task" => {
                return Err(invalid(
                    "Context object contains 'Task' when state is not a Task state with a '.sync' or \
                     '.waitForTaskToken' service integration pattern",
                ));
            }
            "Map" => return Err(invalid("'Map' field is not supported when mocking a Context object")),
            other => return Err(invalid(format_args!("Field '{other}' is not allowed"))),
        };
        check(name, value, members)?;
    }
    Ok(Some(context))
}

fn check(name: &str, value: &Value, members: &[(&str, Kind)]) -> Result<(), ApiError> {
    let Value::Object(fields) = value else {
        return Err(invalid(format_args!("{name} must be an object")));
    };
    for (field, value) in fields {
        let Some((_, kind)) = members.iter().find(|(member, _)| member == field) else {
            return Err(invalid(format_args!("Field '{field}' is not allowed")));
        };
        let expected = match kind {
            Kind::Text if !value.is_string() => "a string",
            Kind::Number if !value.is_number() => "a number",
            _ => continue,
        };
        return Err(invalid(format_args!("{name}.{field} must be {expected}")));
    }
    Ok(())
}

fn invalid(what: impl std::fmt::Display) -> ApiError {
    ApiError::validation(format!("Invalid Context object provided: {what}"))
}
