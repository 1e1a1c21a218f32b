//! A result or a failure that the request makes up.

use scones_api::ApiError;
use scones_asl::{Answer, Pending, ResultForm};
use serde_json::Value;

use super::{Subject, request::TestState};
use crate::response_model::{self, Strictness};

/// What the state is told in place of the truth.
pub(super) struct Mock {
    outcome: Outcome,
    strictness: Option<Strictness>,
    error_caused_by_state: Option<String>,
}

enum Outcome {
    Result {
        text: String,
        value: Value,
    },
    Error {
        error: Option<String>,
        cause: Option<String>,
    },
}

impl Mock {
    /// The mock of a request, if it has one.
    pub(super) fn of(request: &TestState) -> Result<Option<Self>, ApiError> {
        let Some(mock) = &request.mock else {
            return Ok(None);
        };
        let outcome = match (&mock.result, &mock.error_output) {
            (Some(text), None) => Outcome::Result {
                value: serde_json::from_str(text)
                    .map_err(|_| ApiError::validation("Mocked result must be valid JSON"))?,
                text: text.clone(),
            },
            (None, Some(output)) => Outcome::Error {
                error: output.error.clone(),
                cause: output.cause.clone(),
            },
            _ => {
                return Err(ApiError::validation(
                    "A test mock should have only one of the following fields: [result, errorOutput].",
                ));
            }
        };
        let configuration = request.state_configuration.as_ref();
        Ok(Some(Self {
            outcome,
            strictness: match mock.field_validation_mode.as_deref() {
                Some("NONE") => None,
                Some("PRESENT") => Some(Strictness::Present),
                _ => Some(Strictness::Strict),
            },
            error_caused_by_state: configuration.and_then(|given| given.error_caused_by_state.clone()),
        }))
    }

    /// Checks the mock against the state: the names in it, and the result of
    /// a task against the response of the service that it calls.
    pub(super) fn check(&self, subject: &Subject) -> Result<(), ApiError> {
        if let Some(inner) = &self.error_caused_by_state
            && !subject.machine.contains_state(&subject.name, inner)
        {
            return Err(ApiError::validation(
                "State that caused the error was not found in definition",
            ));
        }
        let Outcome::Result { value, .. } = &self.outcome else {
            return Ok(());
        };
        check_form(subject.summary.result, value)?;
        match (self.strictness, &subject.summary.resource) {
            // Whoever holds a token may say what they like.
            (Some(strictness), Some(resource)) if !subject.has_token() => {
                response_model::check(resource, value, strictness)
                    .map_err(|problem| ApiError::validation(format!("Mock result schema validation error: {problem}")))
            }
            _ => Ok(()),
        }
    }

    /// The mock as an answer to what the state waits for.
    pub(super) fn answer(self, pending: &Pending, failed_iterations: u64) -> Result<Answer, ApiError> {
        if let Pending::Iterations(Some(count)) = pending
            && failed_iterations > *count
        {
            return Err(ApiError::validation(
                "Map iteration failure count must be less than or equal to the number of Map iterations",
            ));
        }
        Ok(match self.outcome {
            Outcome::Error { error, cause } => Answer::Failure { error, cause },
            Outcome::Result { text, .. } => Answer::Result(text),
        })
    }
}

fn check_form(form: ResultForm, result: &Value) -> Result<(), ApiError> {
    let problem = match (form, result) {
        (ResultForm::Any, _) | (ResultForm::Object, Value::Object(_)) | (ResultForm::Array, Value::Array(_)) => None,
        (ResultForm::Object, _) => Some("Mocked result must be a JSON object."),
        (ResultForm::Branches(count), Value::Array(results)) => (results.len() != count)
            .then_some("Mocked result must contain the same number of items as number of Parallel branches."),
        (ResultForm::Branches(_) | ResultForm::Array, _) => Some("Mocked result must be an array."),
    };
    problem.map_or(Ok(()), |problem| Err(ApiError::validation(problem)))
}
