//! This server's own S3 and logs as this service needs them.

use std::{io, path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use scones_api::{ApiError, Timestamp};
use scones_logs::{LogEvent, Logs};
use scones_s3::S3;
use tokio_util::io::ReaderStream;

use crate::{
    Dependencies, LogSink, VisionLoader,
    external::{ObjectStore, ObjectSummary},
};

/// Bytes of a file that are handed on at a time.
const CHUNK_BYTES: usize = 256 << 10;

impl Dependencies {
    /// The services of this server, and the classifiers of `scones-vision`.
    pub fn new(s3: Arc<S3>, logs: Arc<Logs>) -> Self {
        Self {
            objects: s3,
            logs,
            loader: Arc::new(VisionLoader),
        }
    }
}

#[async_trait]
impl ObjectStore for S3 {
    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectSummary>, ApiError> {
        let listed = self.list_objects(bucket, prefix, after, limit).await?;
        Ok(listed
            .into_iter()
            .map(|object| ObjectSummary {
                key: object.key,
                size: object.size,
            })
            .collect())
    }

    async fn download(&self, bucket: &str, key: &str, to: &Path) -> Result<(), ApiError> {
        let mut body = self.get_object(bucket, key).await?.reader;
        let refused = |error: io::Error| ApiError::internal(format!("{}: {error}", to.display()));
        let mut file = tokio::fs::File::create_new(to).await.map_err(refused)?;
        tokio::io::copy(&mut body, &mut file).await.map_err(refused)?;
        tokio::io::AsyncWriteExt::flush(&mut file).await.map_err(refused)
    }

    async fn upload(&self, bucket: &str, key: &str, content_type: &str, from: &Path) -> Result<(), ApiError> {
        let file = tokio::fs::File::open(from)
            .await
            .map_err(|error| ApiError::internal(format!("{}: {error}", from.display())))?;
        let body = ReaderStream::with_capacity(file, CHUNK_BYTES);
        self.put_stream(bucket, key, Some(content_type), body).await.map(drop)
    }

    async fn put(&self, bucket: &str, key: &str, content_type: &str, body: Bytes) -> Result<(), ApiError> {
        self.put_object(bucket, key, Some(content_type), body).await.map(drop)
    }
}

#[async_trait]
impl LogSink for Logs {
    async fn append(&self, group: &str, stream: &str, lines: Vec<(Timestamp, String)>) -> Result<(), ApiError> {
        let event = |(time, message): (Timestamp, String)| LogEvent {
            timestamp: time.as_millis(),
            message,
        };
        Self::append(self, group, stream, lines.into_iter().map(event).collect()).await
    }
}
