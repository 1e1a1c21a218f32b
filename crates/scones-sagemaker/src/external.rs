//! What the service needs from others, as narrow traits: objects, logs, classifiers.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use scones_api::{ApiError, Timestamp};

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSummary {
    /// The object's key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Where training data comes from and artefacts and captures go.
#[async_trait]
pub trait ObjectStore: Send + Sync + 'static {
    /// Up to `limit` objects whose keys begin with `prefix`, after the key
    /// `after`, in the order of their keys.
    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectSummary>, ApiError>;

    /// Writes an object's bytes to the new file `to`.
    async fn download(&self, bucket: &str, key: &str, to: &Path) -> Result<(), ApiError>;

    /// Makes the file `from` an object.
    async fn upload(&self, bucket: &str, key: &str, content_type: &str, from: &Path) -> Result<(), ApiError>;

    /// Makes `body` an object.
    async fn put(&self, bucket: &str, key: &str, content_type: &str, body: Bytes) -> Result<(), ApiError>;
}

/// Where log lines go.
#[async_trait]
pub trait LogSink: Send + Sync + 'static {
    /// Adds lines at the end of a stream, which begins to exist if need be.
    async fn append(&self, group: &str, stream: &str, lines: Vec<(Timestamp, String)>) -> Result<(), ApiError>;
}

/// Why a classifier gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClassifyError {
    /// The image cannot be used; the text says why.
    #[error("{0}")]
    Image(String),
    /// The classifier itself failed.
    #[error("{0}")]
    Internal(String),
}

/// A model in memory.
pub trait Classifier: Send + Sync + 'static {
    /// The probability of each class for an encoded image (PNG or JPEG). It
    /// computes for milliseconds: call it from a blocking thread.
    ///
    /// # Errors
    /// Each [`ClassifyError`].
    fn classify(&self, image: &[u8]) -> Result<Vec<f32>, ClassifyError>;

    /// How many images it computes at the same time, at least one. Further callers would only
    /// block their threads.
    fn concurrency(&self) -> usize {
        usize::MAX
    }
}

/// Turns model artefacts into classifiers.
pub trait ModelLoader: Send + Sync + 'static {
    /// Loads the artefact (`model.tar.gz`) in a file. Blocks.
    ///
    /// # Errors
    /// What is wrong with the artefact and what to do, for a failure reason.
    fn load(&self, artefact: &Path) -> Result<Arc<dyn Classifier>, String>;
}

/// The services around this one.
#[derive(Clone)]
pub struct Dependencies {
    /// S3.
    pub objects: Arc<dyn ObjectStore>,
    /// CloudWatch Logs.
    pub logs: Arc<dyn LogSink>,
    /// What opens model artefacts.
    pub loader: Arc<dyn ModelLoader>,
}
