//! Who sent a request, and AWS's words when the answer is "we cannot tell".

use std::sync::Arc;

use http::request::Parts;
use scones_api::{ApiError, Caller, Timestamp};
use scones_iam::{AuthenticationError, Iam, Identity};

use crate::sigv4::{Presented, SignatureError, payload_hash, verify};

/// Whose key a signature names, if the key and the time are good. Before the
/// body is read: whoever has no key makes the server hold nothing.
pub(crate) fn identify(
    iam: &Iam,
    presented: &Presented,
    parts: &Parts,
    now: Timestamp,
) -> Result<Identity, SignatureError> {
    presented.check(&parts.headers, now)?;
    let identity = iam.authenticate(&presented.scope.access_key_id, presented.session_token.as_deref());
    identity.map_err(|error| match error {
        AuthenticationError::UnknownKey | AuthenticationError::WrongToken => SignatureError::UnknownKey,
        AuthenticationError::Expired => SignatureError::ExpiredToken,
    })
}

/// Checks that the key of `identity` signed the request with this body.
pub(crate) fn authenticate(
    identity: Identity,
    presented: &Presented,
    parts: &Parts,
    body: &[u8],
) -> Result<Arc<Caller>, SignatureError> {
    verify(presented, parts, &payload_hash(body), identity.secret.expose())?;
    Ok(Arc::new(Caller {
        access_key_id: presented.scope.access_key_id.clone(),
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
