//! Request bodies, before `s3s` sees them.

use std::error::Error as StdError;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderMap, Method, Request, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, LengthLimitError, Limited, StreamBody};
use s3s::{
    Body,
    crypto::{Checksum as _, Md5, Sha256},
};
use scones_api::ApiError;

use super::framing::Framing;
use crate::{
    body::parse_md5,
    checksum::{Algorithm, Hasher},
    error::{bad_digest, incomplete_body},
    limits::XML_BYTES_MAX,
};

/// Hands an object's body on as a stream. Reads an XML document whole, at most
/// [`XML_BYTES_MAX`], and compares it with what its headers declare: `s3s`
/// does not.
pub(super) async fn prepare<B>(request: Request<B>) -> Result<Request<Body>, ApiError>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: StdError + Send + Sync + 'static,
{
    let form = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"multipart/form-data"));
    if request.method() == Method::POST && form {
        return Err(ApiError::not_implemented("PostObject (uploads from HTML forms)"));
    }
    if is_chunked(request.headers()) {
        return Ok(request.map(reframe));
    }
    if !is_document(&request) {
        return Ok(request.map(Body::http_body_unsync));
    }
    let (parts, body) = request.into_parts();
    let bytes = Limited::new(body, XML_BYTES_MAX).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            ApiError::bad_request("MaxMessageLengthExceeded", "Your request was too big.")
        } else {
            incomplete_body()
        }
    })?;
    let bytes = bytes.to_bytes();
    check_document(&parts.headers, &bytes)?;
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

/// Whether the body is an XML document: it is unless an object or a part is
/// put. Unsigned requests are refused unread.
fn is_document<B>(request: &Request<B>) -> bool {
    let path = request.uri().path().trim_start_matches('/');
    let to_object = path.split_once('/').is_some_and(|(_, key)| !key.is_empty());
    let query = request.uri().query().unwrap_or_default();
    let names = || query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    let put_part_or_object = request.method() == Method::PUT
        && to_object
        && !names().any(|name| matches!(name, "acl" | "tagging" | "retention" | "legal-hold" | "restore"));
    let signed = request.headers().contains_key(header::AUTHORIZATION)
        || names().any(|name| matches!(name, "X-Amz-Signature" | "Signature"));
    signed && !put_part_or_object
}

fn is_chunked(headers: &HeaderMap) -> bool {
    let payload = headers.get("x-amz-content-sha256");
    payload.is_some_and(|value| value.as_bytes().starts_with(b"STREAMING-"))
}

/// A body in chunks, cut so that none is held in memory whole.
fn reframe<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: StdError + Send + Sync + 'static,
{
    let mut framing = Framing::default();
    let end = stream::once(async { None });
    let frames = body.into_data_stream().map(Some).chain(end).map(move |bytes| {
        let Some(bytes) = bytes else {
            framing.finish()?;
            return Ok(Vec::new());
        };
        Ok::<_, s3s::StdError>(framing.feed(bytes?)?)
    });
    let frames = frames
        .map_ok(|pieces| {
            stream::iter(
                pieces
                    .into_iter()
                    .map(|piece| Ok::<_, s3s::StdError>(Frame::data(piece))),
            )
        })
        .try_flatten();
    Body::http_body_unsync(StreamBody::new(Box::pin(frames)))
}

fn check_document(headers: &HeaderMap, bytes: &[u8]) -> Result<(), ApiError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(declared) = text("x-amz-content-sha256")
        && declared.len() == 64
        && !hex::encode(Sha256::checksum(bytes)).eq_ignore_ascii_case(declared)
    {
        return Err(sha256_mismatch());
    }
    if let Some(declared) = text("content-md5")
        && parse_md5(declared)? != Md5::checksum(bytes)
    {
        return Err(bad_digest("Content-MD5"));
    }
    for algorithm in Algorithm::ALL {
        // On CompleteMultipartUpload these are of the object, not of the body.
        let Some(declared) = text(&algorithm.header()).filter(|_| !headers_are_of_object(headers)) else {
            continue;
        };
        algorithm.check_value(declared)?;
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        if hasher.finish() != declared {
            return Err(bad_digest(algorithm.name()));
        }
    }
    Ok(())
}

fn headers_are_of_object(headers: &HeaderMap) -> bool {
    headers.contains_key("x-amz-checksum-type")
}

/// The error of a body that is not what `x-amz-content-sha256` says.
pub(super) fn sha256_mismatch() -> ApiError {
    ApiError::bad_request(
        "XAmzContentSHA256Mismatch",
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    )
}
