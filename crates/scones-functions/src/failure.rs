//! How a function fails.

use serde_json::{Value, json};

/// An error of a function. In a state machine `kind` is the error that Catch
/// and Retry match, and the message is part of its cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Failure {
    /// AWS's `errorType`.
    pub kind: String,
    /// AWS's `errorMessage`.
    pub message: String,
}

impl Failure {
    /// A failure of a kind.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            message: message.into(),
        }
    }

    /// An event that the function cannot read.
    pub fn event(message: impl Into<String>) -> Self {
        Self::new("InvalidEvent", message)
    }

    /// The body that reports it, as AWS's runtimes make it.
    pub fn body(&self, request_id: &str) -> Value {
        json!({
            "errorMessage": self.message,
            "errorType": self.kind,
            "requestId": request_id,
            "stackTrace": [],
        })
    }
}

/// Why a function cannot run at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not one of [`NAMES`](crate::NAMES).
    #[error("`{0}` is no function: serializeImageData, classifyImageData and filterInferences are")]
    Name(String),
    /// Started by hand rather than by a Lambda.
    #[error("{0} is not set: this program is started by AWS Lambda or by `scones up`")]
    NotInLambda(&'static str),
    /// The environment variable THRESHOLD.
    #[error("THRESHOLD is `{0}`: a number between 0 and 1 is expected")]
    Threshold(String),
    /// The Runtime API does not answer.
    #[error("the Runtime API failed")]
    RuntimeApi(#[source] Box<ureq::Error>),
}

impl From<ureq::Error> for Error {
    fn from(error: ureq::Error) -> Self {
        Self::RuntimeApi(Box::new(error))
    }
}
