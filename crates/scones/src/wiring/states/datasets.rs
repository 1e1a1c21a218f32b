//! Objects are the datasets and results of distributed maps.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _};
use scones_api::ApiError;
use scones_s3::S3;
use scones_states::{ObjectBody, ObjectStore, ObjectSummary};
use tokio_util::io::ReaderStream;

/// The datasets and results of distributed maps.
pub(crate) struct Datasets(pub(crate) Arc<S3>);

#[async_trait]
impl ObjectStore for Datasets {
    async fn open(&self, bucket: &str, key: &str, offset: u64) -> Result<(u64, ObjectBody), ApiError> {
        let object = self.0.get_object_from(bucket, key, offset).await?;
        let body = ReaderStream::new(object.reader).map_err(ApiError::internal);
        Ok((object.size, body.boxed()))
    }

    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectSummary>, ApiError> {
        let objects = self.0.list_objects(bucket, prefix, after, limit).await?;
        let summary = |object: scones_s3::ObjectSummary| ObjectSummary {
            key: object.key,
            size: object.size,
            etag: format!("\"{}\"", object.etag),
            last_modified: object.last_modified,
        };
        Ok(objects.into_iter().map(summary).collect())
    }

    async fn put(&self, bucket: &str, key: &str, content_type: &str, body: ObjectBody) -> Result<(), ApiError> {
        let body = body.map_err(std::io::Error::other);
        self.0.put_stream(bucket, key, Some(content_type), body).await.map(drop)
    }
}
