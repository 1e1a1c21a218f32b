//! Lambda's packages come from S3.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use scones_api::ApiError;
use scones_lambda::ObjectSource;
use scones_s3::S3;

/// Code packages in buckets.
pub(crate) struct Packages(pub(crate) Arc<S3>);

#[async_trait]
impl ObjectSource for Packages {
    async fn read_object(&self, bucket: &str, key: &str, limit: u64) -> Result<Bytes, ApiError> {
        self.0.read_object(bucket, key, limit).await
    }
}
