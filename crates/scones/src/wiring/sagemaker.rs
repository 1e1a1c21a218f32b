//! SageMaker's data and artefacts lie in S3, and its lines go to Logs.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use scones_api::{ApiError, Timestamp};
use scones_logs::{LogEvent, Logs};
use scones_s3::S3;
use scones_sagemaker::{LogSink, ObjectStore, ObjectSummary};
use tokio_util::io::ReaderStream;

/// Buckets.
pub(crate) struct Objects(pub(crate) Arc<S3>);

#[async_trait]
impl ObjectStore for Objects {
    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectSummary>, ApiError> {
        let objects = self.0.list_objects(bucket, prefix, after, limit).await?;
        Ok(objects
            .into_iter()
            .map(|object| ObjectSummary {
                key: object.key,
                size: object.size,
            })
            .collect())
    }

    async fn download(&self, bucket: &str, key: &str, to: &Path) -> Result<(), ApiError> {
        let mut object = self.0.get_object(bucket, key).await?;
        let mut file = tokio::fs::File::create_new(to).await.map_err(ApiError::internal)?;
        tokio::io::copy(&mut object.reader, &mut file)
            .await
            .map_err(ApiError::internal)?;
        // A tokio file writes behind; an error of the last write shows here.
        tokio::io::AsyncWriteExt::flush(&mut file)
            .await
            .map_err(ApiError::internal)
    }

    async fn upload(&self, bucket: &str, key: &str, content_type: &str, from: &Path) -> Result<(), ApiError> {
        let file = tokio::fs::File::open(from).await.map_err(ApiError::internal)?;
        self.0
            .put_stream(bucket, key, Some(content_type), ReaderStream::new(file))
            .await
            .map(drop)
    }

    async fn put(&self, bucket: &str, key: &str, content_type: &str, body: Bytes) -> Result<(), ApiError> {
        self.0.put_object(bucket, key, Some(content_type), body).await.map(drop)
    }
}

/// Log streams of jobs and of executions.
pub(crate) struct JobLogs(pub(crate) Arc<Logs>);

#[async_trait]
impl LogSink for JobLogs {
    async fn append(&self, group: &str, stream: &str, lines: Vec<(Timestamp, String)>) -> Result<(), ApiError> {
        let events = lines
            .into_iter()
            .map(|(timestamp, message)| LogEvent {
                timestamp: timestamp.as_millis(),
                message,
            })
            .collect();
        self.0.append(group, stream, events).await
    }
}

#[async_trait]
impl scones_states::LogGroups for JobLogs {
    async fn has(&self, group: &str) -> Result<bool, ApiError> {
        self.0.has_group(group).await
    }

    async fn append(&self, group: &str, stream: &str, lines: Vec<(Timestamp, String)>) -> Result<(), ApiError> {
        LogSink::append(self, group, stream, lines).await
    }
}
