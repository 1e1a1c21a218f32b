//! What a client declares of a body that it uploads, and the comparison.

use http::HeaderMap;
use s3s::{TrailingHeaders, dto::StreamingBlob};
use scones_api::ApiError;

use super::convert::body_stream;
use crate::{
    S3,
    body::Draft,
    checksum::Algorithm,
    error::{incomplete_body, invalid_request},
    limits::PUT_BYTES_MAX,
};

/// The body of PutObject or UploadPart, with everything that declares it.
pub(super) struct Upload {
    pub(super) body: Option<StreamingBlob>,
    /// The `Content-Length` in bytes.
    pub(super) length: Option<i64>,
    pub(super) md5: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) trailers: Option<TrailingHeaders>,
}

/// A checksum that a client declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Declared {
    Nothing,
    Header(Algorithm, String),
    /// Its value follows the body.
    Trailer(Algorithm),
}

impl Declared {
    /// Reads the `x-amz-checksum-*`, `x-amz-trailer` and
    /// `x-amz-sdk-checksum-algorithm` headers.
    ///
    /// # Errors
    /// `InvalidRequest` if they contradict each other.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let mut found = Vec::new();
        for algorithm in Algorithm::ALL {
            if let Some(value) = text(&algorithm.header()) {
                algorithm.check_value(value)?;
                found.push(Self::Header(algorithm, value.to_owned()));
            }
        }
        for name in text("x-amz-trailer").unwrap_or_default().split(',') {
            found.extend(Algorithm::of_header(name).map(Self::Trailer));
        }
        if found.len() > 1 {
            return Err(invalid_request(
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
            ));
        }
        match (found.pop(), text("x-amz-sdk-checksum-algorithm")) {
            (Some(declared), Some(name)) if declared.algorithm() != Some(Algorithm::parse(name)?) => Err(
                invalid_request("Value for x-amz-sdk-checksum-algorithm header is invalid."),
            ),
            (Some(declared), _) => Ok(declared),
            (None, Some(_)) => Err(invalid_request(
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer \
                 headers were found.",
            )),
            (None, None) => Ok(Self::Nothing),
        }
    }

    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        match self {
            Self::Nothing => None,
            Self::Header(algorithm, _) | Self::Trailer(algorithm) => Some(*algorithm),
        }
    }
}

impl Upload {
    /// The body's length in bytes, after the framing of its chunks is taken
    /// off, if the client said it.
    fn declared_length(&self) -> Result<Option<u64>, ApiError> {
        let decoded = self.headers.get("x-amz-decoded-content-length");
        let length = match decoded {
            Some(value) => value.to_str().ok().and_then(|text| text.parse().ok()),
            None => match self.length {
                Some(length) => u64::try_from(length).ok(),
                None => return Ok(None),
            },
        };
        length.map(Some).ok_or_else(incomplete_body)
    }

    /// Receives the body and compares it with what was declared. `kept` is the
    /// checksum to keep with it, if that is already decided.
    ///
    /// # Errors
    /// `IncompleteBody`, `BadDigest`, `InvalidDigest`, `InvalidRequest`,
    /// `XAmzContentSHA256Mismatch`, `SignatureDoesNotMatch`, `EntityTooLarge`.
    pub(super) async fn receive(self, s3: &S3, kept: Option<Algorithm>) -> Result<(Draft, Algorithm), ApiError> {
        let declared = Declared::of(&self.headers)?;
        let kept = kept.or(declared.algorithm()).unwrap_or(Algorithm::Crc64Nvme);
        let length = self.declared_length()?;
        if length.is_some_and(|length| length > PUT_BYTES_MAX) {
            return Err(crate::error::entity_too_large());
        }
        let body = body_stream(self.body);
        let draft = Draft::receive(&s3.store, kept, declared.algorithm(), PUT_BYTES_MAX, body).await?;
        draft.check_size(length)?;
        draft.check_md5(self.md5.as_deref())?;
        match declared {
            Declared::Nothing => {}
            Declared::Header(algorithm, value) => draft.check_checksum(algorithm, &value)?,
            Declared::Trailer(algorithm) => {
                let trailers = self.trailers.and_then(|trailers| trailers.take());
                let value = trailers
                    .as_ref()
                    .and_then(|map| map.get(algorithm.header())?.to_str().ok());
                let value = value.ok_or_else(|| {
                    ApiError::bad_request(
                        "MalformedTrailerError",
                        "The request contained trailing data that was not well-formed or did not conform to our \
                         published schema.",
                    )
                })?;
                draft.check_checksum(algorithm, value)?;
            }
        }
        Ok((draft, kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_read_from_headers() {
        let check = |headers: &[(&'static str, &'static str)], expect: Result<Declared, &str>| {
            let map: HeaderMap = headers
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect();
            let declared = Declared::of(&map).map_err(|error| error.code);
            assert_eq!(declared, expect.map_err(str::to_owned), "{headers:?}");
        };
        let invalid = || Err("InvalidRequest");
        let crc32 = || Declared::Header(Algorithm::Crc32, "AAAAAA==".to_owned());
        check(&[], Ok(Declared::Nothing));
        check(&[("x-amz-checksum-crc32", "AAAAAA==")], Ok(crc32()));
        check(
            &[
                ("x-amz-checksum-crc32", "AAAAAA=="),
                ("x-amz-sdk-checksum-algorithm", "CRC32"),
            ],
            Ok(crc32()),
        );
        check(
            &[("x-amz-trailer", "x-amz-checksum-sha1")],
            Ok(Declared::Trailer(Algorithm::Sha1)),
        );
        check(&[("x-amz-trailer", "x-amz-other")], Ok(Declared::Nothing));
        check(&[("x-amz-checksum-crc32", "AAAA")], invalid());
        check(&[("x-amz-sdk-checksum-algorithm", "CRC32")], invalid());
        check(
            &[
                ("x-amz-checksum-crc32", "AAAAAA=="),
                ("x-amz-sdk-checksum-algorithm", "SHA1"),
            ],
            invalid(),
        );
        check(
            &[
                ("x-amz-checksum-crc32", "AAAAAA=="),
                ("x-amz-trailer", "x-amz-checksum-crc32"),
            ],
            invalid(),
        );
    }
}
