//! AWS JSON 1.0 and 1.1: `X-Amz-Target: PREFIX.Operation`, JSON both ways.
//! <https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html>

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header::CONTENT_TYPE};
use scones_api::ApiError;
use serde_json::json;

use super::{Body, full};

/// Which of the two versions; they differ in their media type alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V1_0,
    V1_1,
}

impl Version {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::V1_0 => "application/x-amz-json-1.0",
            Self::V1_1 => "application/x-amz-json-1.1",
        })
    }
}

/// The operation that `X-Amz-Target` names.
pub(crate) fn operation<'a>(headers: &'a HeaderMap, prefix: &str) -> Result<&'a str, ApiError> {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    target
        .and_then(|target| target.strip_prefix(prefix)?.strip_prefix('.'))
        .filter(|operation| !operation.is_empty())
        .ok_or_else(|| {
            let found = target.unwrap_or("none");
            ApiError::bad_request(
                "UnknownOperationException",
                format!("the header X-Amz-Target is to be `{prefix}.OPERATION`; it is `{found}`"),
            )
        })
}

pub(crate) fn respond(version: Version, result: Result<Vec<u8>, ApiError>) -> Response<Body> {
    let (status, bytes) = match result {
        Ok(bytes) => (200, bytes),
        Err(error) => (
            error.status,
            json!({"__type": error.code, "message": error.message})
                .to_string()
                .into_bytes(),
        ),
    };
    answer(status, version.content_type(), bytes)
}

/// An answer with a body of a media type.
pub(crate) fn answer(status: u16, content_type: HeaderValue, bytes: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(bytes));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
