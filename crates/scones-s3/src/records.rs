//! What the store holds for S3, as JSON.
//!
//! | table        | key                         | value            |
//! |--------------|-----------------------------|------------------|
//! | `s3.buckets` | bucket                      | [`BucketRecord`] |
//! | `s3.objects` | `BUCKET/KEY`                | [`ObjectRecord`] |
//! | `s3.uploads` | `BUCKET/KEY`, U+0001, id    | [`UploadRecord`] |
//! | `s3.parts`   | `UPLOADID/NNNNN`            | [`PartRecord`]   |
//!
//! A bucket's name holds no slash, so the objects of a bucket stand together
//! in the byte order of their keys: a listing is a range of the table.

use std::collections::BTreeMap;

use scones_api::Timestamp;
use scones_store::BlobId;
use serde::{Deserialize, Serialize};

use crate::checksum::{Algorithm, Checksum, Kind};

pub(crate) const BUCKETS: &str = "s3.buckets";
pub(crate) const OBJECTS: &str = "s3.objects";
pub(crate) const UPLOADS: &str = "s3.uploads";
pub(crate) const PARTS: &str = "s3.parts";

/// The owner of S3's blobs in the store.
pub(crate) const BLOB_OWNER: &str = "s3";

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BucketRecord {
    pub(crate) created: Timestamp,
    pub(crate) region: String,
    pub(crate) state: BucketState,
    /// Whether a client has suspended versioning, which never was.
    pub(crate) versioning_suspended: bool,
}

/// Deleting a bucket marks it first and then looks for objects; writing an
/// object looks for the mark afterwards. So one of the two sees the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum BucketState {
    Live,
    Deleting,
}

/// The headers that a client gives an object and gets back with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Headers {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_control: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_disposition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) storage_class: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
}

/// An object. Its body is its pieces, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ObjectRecord {
    pub(crate) size: u64,
    /// Without quotes.
    pub(crate) etag: String,
    pub(crate) modified: Timestamp,
    pub(crate) checksum: Checksum,
    pub(crate) headers: Headers,
    /// The multipart upload that made the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) upload: Option<String>,
    pub(crate) pieces: Vec<Piece>,
}

/// A blob that an object or a part owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) blob: BlobId,
    pub(crate) size: u64,
    /// Of a multipart object: the part that it was, and its checksum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) part: Option<(u32, String)>,
}

/// A multipart upload that is not completed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UploadRecord {
    pub(crate) initiated: Timestamp,
    pub(crate) headers: Headers,
    pub(crate) algorithm: Algorithm,
    pub(crate) kind: Kind,
    /// Whether the client named the algorithm, and so hears of it.
    pub(crate) algorithm_chosen: bool,
    pub(crate) state: UploadState,
}

/// Completing an upload marks it first, so that nobody aborts it or adds to it
/// while its parts become the object's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum UploadState {
    Open,
    Completing,
}

/// An uploaded part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartRecord {
    pub(crate) size: u64,
    /// The MD5 in hexadecimal.
    pub(crate) etag: String,
    pub(crate) checksum: String,
    pub(crate) modified: Timestamp,
    pub(crate) blob: BlobId,
}

pub(crate) fn object_key(bucket: &str, key: &str) -> String {
    format!("{bucket}/{key}")
}

const UPLOAD_SEPARATOR: char = '\u{1}';

pub(crate) fn upload_key(bucket: &str, key: &str, upload: &str) -> String {
    format!("{bucket}/{key}{UPLOAD_SEPARATOR}{upload}")
}

/// The bucket, key and id in an upload's record key.
pub(crate) fn split_upload_key(text: &str) -> Option<(&str, &str, &str)> {
    let (place, upload) = text.rsplit_once(UPLOAD_SEPARATOR)?;
    let (bucket, key) = place.split_once('/')?;
    Some((bucket, key, upload))
}

pub(crate) fn part_key(upload: &str, number: u32) -> String {
    format!("{upload}/{number:05}")
}

/// The upload and number in a part's record key.
pub(crate) fn split_part_key(text: &str) -> Option<(&str, u32)> {
    let (upload, number) = text.split_once('/')?;
    Some((upload, number.parse().ok()?))
}
