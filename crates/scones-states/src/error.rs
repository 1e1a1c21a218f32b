//! What can go wrong beside a client's mistakes.

use scones_api::ApiError;

use crate::fault;

/// A failure of the service itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] scones_store::Error),
    /// Another server has an execution, or this one is stopping.
    #[error("an execution cannot be reached now")]
    Unavailable,
    /// A definition that an execution or a state machine needs cannot be used.
    #[error("definition {id} {problem}")]
    Definition {
        /// The SHA-256 of its text.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A history holds what this version did not write, or would not write.
    #[error("history of `{execution}` cannot be replayed: {problem}")]
    History {
        /// The execution's ARN.
        execution: String,
        /// The entry and what is wrong with it.
        problem: String,
    },
}

/// Never the client's fault; the cause belongs in the log.
impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            Error::Unavailable => fault::unavailable(),
            other => {
                tracing::error!(error = &other as &dyn std::error::Error, "an operation failed");
                Self::internal("the server's log has the cause")
            }
        }
    }
}
