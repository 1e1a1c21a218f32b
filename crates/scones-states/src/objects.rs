//! Objects in S3, as distributed maps read and write them.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use scones_api::{ApiError, Timestamp};

/// An object's bytes, piece by piece.
pub type ObjectBody = BoxStream<'static, Result<Bytes, ApiError>>;

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSummary {
    /// Its key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// With its quotes.
    pub etag: String,
    /// When it was written.
    pub last_modified: Timestamp,
}

/// Where item readers find their datasets and result writers leave their
/// files. Errors are S3's own (`NoSuchKey`, `NoSuchBucket`).
#[async_trait]
pub trait ObjectStore: Send + Sync + 'static {
    /// Opens an object: its size in bytes, and its body from `offset` on.
    async fn open(&self, bucket: &str, key: &str, offset: u64) -> Result<(u64, ObjectBody), ApiError>;

    /// Up to `limit` objects whose keys begin with `prefix`, after the key
    /// `after`, in the order of their keys.
    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectSummary>, ApiError>;

    /// Writes an object; it is there when all of `body` is, or not at all.
    async fn put(&self, bucket: &str, key: &str, content_type: &str, body: ObjectBody) -> Result<(), ApiError>;
}

/// A store without a bucket, where distributed maps have no use for one.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObjects;

impl NoObjects {
    fn refuse<T>() -> Result<T, ApiError> {
        Err(ApiError::new(
            404,
            "NoSuchBucket",
            "The specified bucket does not exist",
        ))
    }
}

#[async_trait]
impl ObjectStore for NoObjects {
    async fn open(&self, _: &str, _: &str, _: u64) -> Result<(u64, ObjectBody), ApiError> {
        Self::refuse()
    }

    async fn list(&self, _: &str, _: &str, _: Option<&str>, _: usize) -> Result<Vec<ObjectSummary>, ApiError> {
        Self::refuse()
    }

    async fn put(&self, _: &str, _: &str, _: &str, _: ObjectBody) -> Result<(), ApiError> {
        Self::refuse()
    }
}
