//! The error that every AWS protocol carries: a code, a message, a status.

use std::fmt;

/// An error as an AWS client sees it. The edge adds the request id and the
/// protocol's own dress. Internal detail goes to the log, never in here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// AWS's error code, for example `ResourceNotFoundException`. Clients
    /// branch on it.
    pub code: String,
    /// The message, for people. For some codes the SDKs search it for words.
    pub message: String,
    /// The HTTP status: 4xx is the sender's fault, 5xx ours.
    pub status: u16,
    /// What the client is not told: for the log.
    pub detail: Option<String>,
}

impl ApiError {
    /// An error with AWS's code and status.
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            status,
            detail: None,
        }
    }

    /// A 400 with AWS's code: the usual form in the JSON protocols.
    pub fn bad_request(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    /// A 400 `ValidationException`.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::bad_request("ValidationException", message)
    }

    /// A 501 for an operation, or a part of one, that is not built.
    pub fn not_implemented(what: impl fmt::Display) -> Self {
        Self::new(
            501,
            "NotImplemented",
            format!("Scones does not implement {what}; docs/coverage.md lists what it does"),
        )
    }

    /// A 500 that hides `cause` from the client; the edge logs it.
    pub fn internal(cause: impl fmt::Display) -> Self {
        let message = "The request processing has failed because of an internal error; the server's log has the cause.";
        Self {
            detail: Some(cause.to_string()),
            ..Self::new(500, "InternalFailure", message)
        }
    }

    /// Whether the fault is the server's.
    pub fn is_server_fault(&self) -> bool {
        self.status >= 500
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ApiError {}
