//! SageMaker's data and artefacts lie in S3, its lines go to Logs, and its
//! models are those of `scones-vision`.

use std::{fs::File, io::BufReader, path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use scones_api::{ApiError, Timestamp};
use scones_logs::{LogEvent, Logs};
use scones_s3::S3;
use scones_sagemaker::{Classifier, ClassifyError, LogSink, ModelLoader, ObjectStore, ObjectSummary};
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
        Ok(objects.into_iter().map(|object| ObjectSummary { key: object.key, size: object.size }).collect())
    }

    async fn download(&self, bucket: &str, key: &str, to: &Path) -> Result<(), ApiError> {
        let mut object = self.0.get_object(bucket, key).await?;
        let mut file = tokio::fs::File::create_new(to).await.map_err(ApiError::internal)?;
        tokio::io::copy(&mut object.reader, &mut file).await.map_err(ApiError::internal)?;
        // A tokio file writes behind; an error of the last write shows here.
        tokio::io::AsyncWriteExt::flush(&mut file).await.map_err(ApiError::internal)
    }

    async fn upload(&self, bucket: &str, key: &str, content_type: &str, from: &Path) -> Result<(), ApiError> {
        let file = tokio::fs::File::open(from).await.map_err(ApiError::internal)?;
        self.0.put_stream(bucket, key, Some(content_type), ReaderStream::new(file)).await.map(drop)
    }

    async fn put(&self, bucket: &str, key: &str, content_type: &str, body: Bytes) -> Result<(), ApiError> {
        self.0.put_object(bucket, key, Some(content_type), body).await.map(drop)
    }
}

/// Log streams of jobs.
pub(crate) struct JobLogs(pub(crate) Arc<Logs>);

#[async_trait]
impl LogSink for JobLogs {
    async fn append(&self, group: &str, stream: &str, lines: Vec<(Timestamp, String)>) -> Result<(), ApiError> {
        let events = lines.into_iter().map(|(timestamp, message)| LogEvent { timestamp, message }).collect();
        self.0.append(group, stream, events).await
    }
}

/// Model artefacts that training jobs of this program wrote.
pub(crate) struct Models;

impl ModelLoader for Models {
    fn load(&self, artefact: &Path) -> Result<Arc<dyn Classifier>, String> {
        let file = File::open(artefact).map_err(|error| format!("cannot read {}: {error}", artefact.display()))?;
        let classifier = scones_vision::Classifier::from_artefact(BufReader::new(file)).map_err(|error| error.to_string())?;
        Ok(Arc::new(Model(classifier)))
    }
}

struct Model(scones_vision::Classifier);

impl Classifier for Model {
    fn classify(&self, image: &[u8]) -> Result<Vec<f32>, ClassifyError> {
        self.0.classify(image).map_err(|error| ClassifyError::Image(error.to_string()))
    }
}
