//! What can go wrong, and how AWS words it.

use scones_api::{ApiError, Constraints};

/// A failure of the service itself, not of a request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An access key that no client can sign with.
    #[error("{0}")]
    Key(&'static str),
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random(#[from] getrandom::Error),
    /// The store failed.
    #[error("keys and roles cannot be read or written")]
    Store(#[from] scones_store::Error),
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            other => Self::internal(other),
        }
    }
}

/// Why credentials are not valid. Each protocol has its own code for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticationError {
    /// No such access key.
    #[error("the access key does not exist")]
    UnknownKey,
    /// The session token is missing, or it is another key's.
    #[error("the session token is not the access key's")]
    WrongToken,
    /// The session is over.
    #[error("the session has expired")]
    Expired,
}

/// IAM and STS report broken constraints as the query protocol does.
pub(crate) fn check(constraints: &Constraints) -> Result<(), ApiError> {
    constraints.check().map_err(|error| ApiError {
        code: "ValidationError".to_owned(),
        ..error
    })
}

pub(crate) fn no_such_role(name: &str) -> ApiError {
    no_such_entity(format!("The role with name {name} cannot be found."))
}

pub(crate) fn no_such_entity(message: impl Into<String>) -> ApiError {
    ApiError::new(404, "NoSuchEntity", message)
}

pub(crate) fn limit_exceeded(quota: &str, limit: usize) -> ApiError {
    ApiError::new(
        409,
        "LimitExceeded",
        format!("Cannot exceed quota for {quota}: {limit}"),
    )
}
