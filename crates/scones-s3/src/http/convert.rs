//! Between `s3s`'s types and ours.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::{
    S3Error, S3ErrorCode, StdError,
    dto::{ETag, ETagCondition, Owner, StreamingBlob, Timestamp as S3Timestamp, TimestampFormat},
};
use scones_api::{ApiError, Timestamp};

use super::body::sha256_mismatch;
use crate::{
    conditions::Tag,
    error::{incomplete_body, invalid_request},
};

/// Fills the five checksum members of an output.
macro_rules! set_checksum {
    ($output:expr, $algorithm:expr, $value:expr) => {{
        let value = Some($value);
        match $algorithm {
            crate::checksum::Algorithm::Crc32 => $output.checksum_crc32 = value,
            crate::checksum::Algorithm::Crc32C => $output.checksum_crc32c = value,
            crate::checksum::Algorithm::Crc64Nvme => $output.checksum_crc64nvme = value,
            crate::checksum::Algorithm::Sha1 => $output.checksum_sha1 = value,
            crate::checksum::Algorithm::Sha256 => $output.checksum_sha256 = value,
        }
    }};
}

/// The one checksum among the five members of an input.
macro_rules! get_checksum {
    ($input:expr) => {
        [
            (crate::checksum::Algorithm::Crc32, $input.checksum_crc32.clone()),
            (crate::checksum::Algorithm::Crc32C, $input.checksum_crc32c.clone()),
            (crate::checksum::Algorithm::Crc64Nvme, $input.checksum_crc64nvme.clone()),
            (crate::checksum::Algorithm::Sha1, $input.checksum_sha1.clone()),
            (crate::checksum::Algorithm::Sha256, $input.checksum_sha256.clone()),
        ]
        .into_iter()
        .find_map(|(algorithm, value)| Some((algorithm, value?)))
    };
}

pub(super) use {get_checksum, set_checksum};

/// An error as `s3s` writes it.
pub(super) fn s3_error(error: ApiError) -> S3Error {
    if let Some(detail) = &error.detail {
        tracing::error!(code = error.code, detail, "an operation failed");
    }
    let code = S3ErrorCode::from_bytes(error.code.as_bytes()).unwrap_or(S3ErrorCode::Custom(error.code.into()));
    let mut converted = S3Error::with_message(code, printable(&error.message));
    if let Ok(status) = http::StatusCode::from_u16(error.status) {
        converted.set_status_code(status);
    }
    converted
}

pub(super) fn s3_timestamp(time: Timestamp) -> S3Timestamp {
    let millis = u64::try_from(time.as_millis()).unwrap_or(0);
    S3Timestamp::from(UNIX_EPOCH + Duration::from_millis(millis))
}

/// A time with the seconds that HTTP dates have.
pub(super) fn timestamp(time: &S3Timestamp) -> Option<Timestamp> {
    let mut text = Vec::new();
    time.format(TimestampFormat::EpochSeconds, &mut text).ok()?;
    let seconds: f64 = String::from_utf8(text).ok()?.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "a cast from f64 saturates")]
    Some(Timestamp::from_millis((seconds * 1000.0) as i64))
}

pub(super) fn etag(value: &str) -> Option<ETag> {
    Some(ETag::Strong(value.to_owned()))
}

pub(super) fn tag(condition: ETagCondition) -> Tag {
    match condition {
        ETagCondition::Any => Tag::Any,
        ETagCondition::ETag(etag) => Tag::Is(etag.into_value()),
    }
}

pub(super) fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// AWS's canonical user: here always the account.
pub(super) fn owner(account: &str) -> Owner {
    Owner {
        display_name: None,
        id: Some(account.to_owned()),
    }
}

/// A wish for a page's size.
///
/// # Errors
/// `InvalidArgument` for a negative one.
pub(super) fn page_size(wish: Option<i32>, maximum: usize) -> Result<usize, ApiError> {
    match wish {
        None => Ok(maximum),
        Some(wish) => usize::try_from(wish).map(|wish| wish.min(maximum)).map_err(|_| {
            crate::error::invalid_argument("Argument maxKeys must be an integer between 0 and 2147483647")
        }),
    }
}

/// What `encoding-type=url` leaves as it is.
const PLAIN: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/')
    .remove(b'*');

/// Names in a listing, encoded if the client wishes.
#[derive(Clone, Copy)]
pub(super) struct Encoding {
    url: bool,
}

impl Encoding {
    /// # Errors
    /// `InvalidArgument` for another encoding than `url`.
    pub(super) fn new(wish: Option<&str>) -> Result<Self, ApiError> {
        match wish {
            None | Some("") => Ok(Self { url: false }),
            Some("url") => Ok(Self { url: true }),
            Some(_) => Err(crate::error::invalid_argument(
                "Invalid Encoding Method specified in Request",
            )),
        }
    }

    pub(super) fn encode(self, name: &str) -> String {
        if self.url {
            utf8_percent_encode(name, &PLAIN).to_string()
        } else {
            printable(name)
        }
    }
}

/// A name with U+FFFD in the place of each character that XML 1.0 does not
/// have, not even as a reference: control characters but tab, line feed and
/// carriage return. `encoding-type=url` brings them exactly.
pub(super) fn printable(name: &str) -> String {
    let unknown = |character: char| matches!(character, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}');
    name.replace(unknown, "\u{fffd}")
}

/// A request's body with our errors.
pub(super) fn body_stream(body: Option<StreamingBlob>) -> impl Stream<Item = Result<Bytes, ApiError>> + Send {
    futures::stream::iter(body)
        .flatten()
        .map(|bytes| bytes.map_err(|error| body_error(&error)))
}

/// What a failing body means. `s3s` says it with error types of its own that
/// cannot be named, only read.
fn body_error(error: &StdError) -> ApiError {
    let text = error.to_string();
    let says = |word: &str| text.contains(word);
    tracing::debug!(error = text, "a request's body was refused");
    if says("Sha256Mismatch") {
        sha256_mismatch()
    } else if says("SignatureMismatch") {
        ApiError::new(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. \
             Check your key and signing method.",
        )
    } else if says("FormatError") || says("TooLarge") || says("TooMany") {
        invalid_request("The chunks of the request's body are malformed")
    } else {
        incomplete_body()
    }
}
