//! Who sent a request, and AWS's words when the answer is "we cannot tell".

use std::sync::Arc;

use http::request::Parts;
use scones_api::{ApiError, Caller, Timestamp};
use scones_iam::{AuthenticationError, Iam};

use crate::sigv4::{Presented, SignatureError, payload_hash, verify};

/// Checks a request's signature, whose body is `body`.
pub(crate) fn authenticate(
    iam: &Iam,
    presented: Result<&Presented, &SignatureError>,
    parts: &Parts,
    body: &[u8],
    now: Timestamp,
) -> Result<Arc<Caller>, SignatureError> {
    let presented = presented.map_err(Clone::clone)?;
    let access_key_id = &presented.scope.access_key_id;
    let identity = iam
        .authenticate(access_key_id, presented.session_token.as_deref())
        .map_err(|error| match error {
            AuthenticationError::UnknownKey | AuthenticationError::WrongToken => SignatureError::UnknownKey,
            AuthenticationError::Expired => SignatureError::ExpiredToken,
        })?;
    verify(presented, parts, &payload_hash(body), identity.secret.expose(), now)?;
    Ok(Arc::new(Caller {
        access_key_id: access_key_id.clone(),
        arn: identity.arn,
    }))
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
    use SignatureError::{Expired, ExpiredToken, Incomplete, Mismatch, Missing, NotYetCurrent, UnknownKey};
    let exception = match error {
        Missing => "MissingAuthenticationTokenException",
        Incomplete(_) => "IncompleteSignatureException",
        UnknownKey => "UnrecognizedClientException",
        ExpiredToken => "ExpiredTokenException",
        Expired { .. } | NotYetCurrent { .. } | Mismatch => "InvalidSignatureException",
    };
    let query = match error {
        Missing => "MissingAuthenticationToken",
        Incomplete(_) => "IncompleteSignature",
        UnknownKey => "InvalidClientTokenId",
        ExpiredToken => "ExpiredToken",
        Expired { .. } | NotYetCurrent { .. } | Mismatch => "SignatureDoesNotMatch",
    };
    match dialect {
        Dialect::Json => ApiError::bad_request(exception, error.to_string()),
        Dialect::Rest => ApiError::new(403, exception, error.to_string()),
        Dialect::Query => ApiError::new(403, query, error.to_string()),
    }
}
