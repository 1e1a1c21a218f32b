//! What AWS refuses in a signature's form before it looks at the signature
//! itself; `s3s` has other words for some of it and none for the rest.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use http::{HeaderMap, header};
use scones_api::ApiError;

use super::refuse::parameters;
use crate::error::{invalid_argument, invalid_request};

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
/// `InvalidArgument`, `InvalidRequest`, `AccessDenied`, `AuthorizationHeaderMalformed`.
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
    if let (Some(date), Some([scope, _])) = (date, credential(fields).and_then(scope))
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
        None => Err(invalid_request(
            "Missing required header for this request: x-amz-content-sha256",
        )),
        Some(_) => Ok(()),
    }
}

/// The error of a request that is signed for another region than `region`.
pub(super) fn other_region(headers: &HeaderMap, query: &str, region: &str) -> Option<ApiError> {
    let authorization = headers.get(header::AUTHORIZATION);
    let fields = authorization.and_then(|value| value.to_str().ok()?.strip_prefix(ALGORITHM));
    if let Some([_, signed]) = fields.and_then(credential).and_then(scope) {
        return (signed != region).then(|| {
            let problem = format!("the region '{signed}' is wrong; expecting '{region}'");
            ApiError::bad_request(
                "AuthorizationHeaderMalformed",
                format!("The authorization header is malformed; {problem}"),
            )
        });
    }
    let (_, presigned) = parameters(query).find(|(name, _)| name == "X-Amz-Credential")?;
    let [_, signed] = scope(&presigned)?;
    (signed != region).then(|| {
        let problem = format!("the region '{signed}' is wrong; expecting '{region}'");
        ApiError::bad_request(
            "AuthorizationQueryParametersError",
            format!("Error parsing the X-Amz-Credential parameter; {problem}"),
        )
    })
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

/// The credential in an authorization header's fields.
fn credential(fields: &str) -> Option<&str> {
    fields
        .split(',')
        .find_map(|field| field.trim().strip_prefix("Credential="))
}

/// Date and region of `KEY/DATE/REGION/s3/aws4_request`; of a credential of
/// another form there are none.
fn scope(credential: &str) -> Option<[&str; 2]> {
    let mut parts = credential.rsplit('/').skip(2);
    let (region, date) = (parts.next()?, parts.next()?);
    (parts.next().is_some() && date.len() == 8).then_some([date, region])
}
