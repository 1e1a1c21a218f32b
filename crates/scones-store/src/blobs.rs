//! Bodies of any size, streamed.

use std::{fmt, ops::Range, pin::Pin};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncRead;

use crate::Error;

/// The name of a blob: chosen by the store, never reused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BlobId(pub String);

impl fmt::Display for BlobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A blob's bytes, in order. It keeps working when the blob is deleted while
/// it is read.
pub type BlobReader = Pin<Box<dyn AsyncRead + Send>>;

/// A blob that is being written. Dropping it leaves nothing behind.
#[async_trait]
pub trait BlobWriter: Send {
    /// Adds bytes at the end.
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error>;

    /// Makes the blob durable and gives its name.
    async fn finish(self: Box<Self>) -> Result<BlobId, Error>;
}

/// Blobs: immutable bodies. Each is named by one record of one owner,
/// who deletes the blob after the record is gone.
#[async_trait]
pub trait Blobs: Send + Sync + 'static {
    /// Begins a blob of `owner`: the service whose record will name it, in
    /// lower-case letters and digits.
    async fn create_blob(&self, owner: &'static str) -> Result<Box<dyn BlobWriter>, Error>;

    /// Opens the bytes `range` of a blob; a range past the end is cut short.
    ///
    /// # Errors
    /// [`Error::NoSuchBlob`].
    async fn open_blob(&self, id: &BlobId, range: Range<u64>) -> Result<BlobReader, Error>;

    /// Deletes a blob, if it exists.
    async fn delete_blob(&self, id: &BlobId) -> Result<(), Error>;

    /// Up to `limit` names of the blobs of `owner` after `after`, in order: for
    /// finding those whose record a crash kept from being written.
    async fn list_blobs(&self, owner: &'static str, after: Option<&BlobId>, limit: usize)
    -> Result<Vec<BlobId>, Error>;
}
