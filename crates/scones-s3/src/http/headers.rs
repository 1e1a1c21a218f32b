//! The headers that an object is put with and that come back with it.

use std::collections::BTreeMap;

use s3s::dto::{self, Timestamp as S3Timestamp};
use scones_api::ApiError;

use super::convert::timestamp;
use crate::{limits::METADATA_BYTES_MAX, records::Headers};

/// The storage classes whose objects can be read at once. Here the class is a
/// label; objects in the others would have to be restored first.
const STORAGE_CLASSES: [&str; 6] = [
    "STANDARD",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER_IR",
    "REDUCED_REDUNDANCY",
];

/// The headers of an object out of an input that has them.
macro_rules! headers_of {
    ($input:expr) => {
        crate::http::headers::Given {
            content_type: $input.content_type.take(),
            cache_control: $input.cache_control.take(),
            content_disposition: $input.content_disposition.take(),
            content_encoding: $input.content_encoding.take(),
            content_language: $input.content_language.take(),
            expires: $input.expires.take(),
            storage_class: $input.storage_class.take(),
            metadata: $input.metadata.take(),
        }
        .read()
    };
}

pub(super) use headers_of;

/// Headers as they came.
pub(super) struct Given {
    pub(super) content_type: Option<String>,
    pub(super) cache_control: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) expires: Option<S3Timestamp>,
    pub(super) storage_class: Option<dto::StorageClass>,
    pub(super) metadata: Option<dto::Metadata>,
}

impl Given {
    /// # Errors
    /// `MetadataTooLarge`, `InvalidStorageClass`, `NotImplemented` for classes
    /// that archive.
    pub(super) fn read(self) -> Result<Headers, ApiError> {
        let metadata: BTreeMap<_, _> = self.metadata.unwrap_or_default().into_iter().collect();
        let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > METADATA_BYTES_MAX {
            return Err(ApiError::bad_request(
                "MetadataTooLarge",
                format!(
                    "Your metadata headers exceed the maximum allowed metadata size: {bytes} bytes, at most {METADATA_BYTES_MAX} are allowed"
                ),
            ));
        }
        let storage_class = match self.storage_class.as_ref().map(dto::StorageClass::as_str) {
            None | Some("STANDARD") => None,
            Some(class) if STORAGE_CLASSES.contains(&class) => Some(class.to_owned()),
            Some(class @ ("GLACIER" | "DEEP_ARCHIVE" | "OUTPOSTS" | "SNOW" | "EXPRESS_ONEZONE")) => {
                return Err(ApiError::not_implemented(format_args!("the storage class {class}")));
            }
            Some(_) => {
                let message = "The storage class you specified is not valid";
                return Err(ApiError::bad_request("InvalidStorageClass", message));
            }
        };
        Ok(Headers {
            content_type: self.content_type.filter(|value| !value.is_empty()),
            cache_control: self.cache_control,
            content_disposition: self.content_disposition,
            content_encoding: self.content_encoding.and_then(|value| without_framing(&value)),
            content_language: self.content_language,
            expires: self.expires.as_ref().and_then(timestamp),
            storage_class,
            metadata,
        })
    }
}

/// A `Content-Encoding` without `aws-chunked`, which is of the request, not of
/// the object.
fn without_framing(value: &str) -> Option<String> {
    let kept: Vec<_> = value
        .split(',')
        .map(str::trim)
        .filter(|coding| *coding != "aws-chunked")
        .collect();
    let kept = kept.join(",");
    (!kept.is_empty()).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_is_no_encoding_of_the_object() {
        let check = |value: &str, expect: Option<&str>| assert_eq!(without_framing(value).as_deref(), expect);
        check("aws-chunked", None);
        check("gzip,aws-chunked", Some("gzip"));
        check("aws-chunked, gzip", Some("gzip"));
        check("gzip", Some("gzip"));
        check("", None);
    }
}
