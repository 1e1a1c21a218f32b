//! What can go wrong, and how AWS words it.

use scones_api::{ApiError, Constraints};

/// A failure of the logs themselves, not of a request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error("the logs cannot be read or written")]
    Store(#[from] scones_store::Error),
    /// An event holds something that this version cannot read.
    #[error("event {position} of `{history}` cannot be read")]
    Malformed {
        /// The history of the stream.
        history: String,
        /// The event's position in it.
        position: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            malformed @ Error::Malformed { .. } => {
                tracing::error!(error = &malformed as &dyn std::error::Error, "an event cannot be read");
                Self::internal(malformed)
            }
        }
    }
}

pub(crate) fn no_such_group() -> ApiError {
    not_found("The specified log group does not exist.")
}

pub(crate) fn no_such_stream() -> ApiError {
    not_found("The specified log stream does not exist.")
}

fn not_found(message: &str) -> ApiError {
    ApiError::bad_request("ResourceNotFoundException", message)
}

pub(crate) fn group_exists() -> ApiError {
    already_exists("The specified log group already exists")
}

pub(crate) fn stream_exists() -> ApiError {
    already_exists("The specified log stream already exists")
}

fn already_exists(message: &str) -> ApiError {
    ApiError::bad_request("ResourceAlreadyExistsException", message)
}

pub(crate) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::bad_request("InvalidParameterException", message)
}

/// Logs reports broken constraints under a code of its own.
pub(crate) fn check(constraints: &Constraints) -> Result<(), ApiError> {
    constraints.check().map_err(|error| invalid(error.message))
}
