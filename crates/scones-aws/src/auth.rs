//! Who sent a request, and AWS's words when the answer is "we cannot tell".

use std::sync::Arc;

use http::request::Parts;
use scones_api::{ApiError, Caller, Timestamp};

use crate::sigv4::{Presented, SignatureError, payload_hash, verify};

/// A secret with what belongs to it.
#[derive(Clone)]
pub struct Key {
    /// The secret access key.
    pub secret_access_key: String,
    /// The token that a temporary key must be accompanied by.
    pub session_token: Option<String>,
    /// Who the key stands for.
    pub caller: Arc<Caller>,
}

/// Where the server looks keys up. Called for every request: it must not wait.
pub trait Keys: Send + Sync + 'static {
    /// The key with this id, unless there is none or it has run out.
    fn key(&self, access_key_id: &str, now: Timestamp) -> Option<Key>;
}

/// Checks a request's signature, whose body is `body`.
pub(crate) fn authenticate(
    keys: &dyn Keys,
    presented: Result<&Presented, &SignatureError>,
    parts: &Parts,
    body: &[u8],
    now: Timestamp,
) -> Result<Arc<Caller>, SignatureError> {
    let presented = presented.map_err(Clone::clone)?;
    let key = keys
        .key(&presented.scope.access_key_id, now)
        .ok_or(SignatureError::UnknownKey)?;
    if key.session_token != presented.session_token {
        return Err(SignatureError::UnknownKey);
    }
    verify(presented, parts, &payload_hash(body), &key.secret_access_key, now)?;
    Ok(key.caller)
}

/// How a protocol names authentication errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// AWS JSON: codes end in `Exception`, the status is 400.
    Json,
    /// REST-JSON: the same codes, the status is 403.
    Rest,
    /// Query: S3's older codes, the status is 403.
    Query,
}

/// The error a client sees for `error`.
pub(crate) fn refusal(dialect: Dialect, error: &SignatureError) -> ApiError {
    use SignatureError::{Expired, Incomplete, Mismatch, Missing, NotYetCurrent, UnknownKey};
    let exception = match error {
        Missing => "MissingAuthenticationTokenException",
        Incomplete(_) => "IncompleteSignatureException",
        UnknownKey => "UnrecognizedClientException",
        Expired { .. } | NotYetCurrent { .. } | Mismatch => "InvalidSignatureException",
    };
    let query = match error {
        Missing => "MissingAuthenticationToken",
        Incomplete(_) => "IncompleteSignature",
        UnknownKey => "InvalidClientTokenId",
        Expired { .. } | NotYetCurrent { .. } | Mismatch => "SignatureDoesNotMatch",
    };
    match dialect {
        Dialect::Json => ApiError::bad_request(exception, error.to_string()),
        Dialect::Rest => ApiError::new(403, exception, error.to_string()),
        Dialect::Query => ApiError::new(403, query, error.to_string()),
    }
}
