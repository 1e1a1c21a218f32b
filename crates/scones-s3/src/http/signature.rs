//! What AWS refuses in a signature's form before it looks at the signature
//! itself; `s3s` has other words for some of it and none for the rest.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use http::{HeaderMap, header};
use scones_api::ApiError;

use crate::error::invalid_argument;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What `x-amz-content-sha256` may say in the place of a hash.
const PAYLOADS: [&str; 4] = [
    "UNSIGNED-PAYLOAD",
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
];

/// Checks the headers of a request that is signed in its headers.
///
/// # Errors
/// `InvalidArgument`, `AccessDenied`, `AuthorizationHeaderMalformed`.
pub(super) fn check(headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let Some(authorization) = text(header::AUTHORIZATION.as_str()) else {
        return Ok(());
    };
    let Some(fields) = authorization.strip_prefix(ALGORITHM) else {
        // Version 2 has an answer of its own.
        return match authorization.starts_with("AWS ") {
            true => Ok(()),
            false => Err(invalid_argument("Unsupported Authorization Type")),
        };
    };
    let date = text("x-amz-date");
    if !date.map_or(headers.contains_key(header::DATE), is_time) {
        return Err(ApiError::new(
            403,
            "AccessDenied",
            "AWS authentication requires a valid Date or x-amz-date header",
        ));
    }
    if let (Some(date), Some(scope)) = (date, scope_date(fields))
        && !date.starts_with(scope)
    {
        return Err(ApiError::bad_request(
            "AuthorizationHeaderMalformed",
            "The authorization header is malformed; Invalid credential date. Date is not the same as X-Amz-Date.",
        ));
    }
    match text("x-amz-content-sha256") {
        Some(payload) if !is_payload(payload) => Err(invalid_argument(
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
             STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
        )),
        _ => Ok(()),
    }
}

fn is_payload(text: &str) -> bool {
    PAYLOADS.contains(&text) || text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether it has the form of `20261231T235959Z`.
fn is_time(text: &str) -> bool {
    text.len() == 16
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        })
}

/// The date in `Credential=KEY/DATE/REGION/s3/aws4_request`; of a credential
/// of another form there is none.
fn scope_date(fields: &str) -> Option<&str> {
    let credential = fields
        .split(',')
        .find_map(|field| field.trim().strip_prefix("Credential="))?;
    let mut scope = credential.rsplit('/');
    let date = scope.nth(3)?;
    (scope.next().is_some() && date.len() == 8).then_some(date)
}
