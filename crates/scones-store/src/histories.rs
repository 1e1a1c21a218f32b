//! Append-only histories with a fence.

use async_trait::async_trait;
use bytes::Bytes;

use crate::Error;

/// Histories: named, append-only sequences of entries, numbered from 0.
#[async_trait]
pub trait Histories: Send + Sync + 'static {
    /// Appends `entries` if the history has exactly `position` entries, and
    /// gives the new length. All entries are durable, or none is there.
    /// A history begins to exist with its first append at position 0.
    ///
    /// # Errors
    /// [`Error::Fenced`] if another writer was faster.
    async fn append(&self, history: &str, position: u64, entries: Vec<Bytes>) -> Result<u64, Error>;

    /// Up to `limit` entries from position `from` on; none past the end.
    async fn read(&self, history: &str, from: u64, limit: usize) -> Result<Vec<Bytes>, Error>;

    /// The number of entries; 0 for a history that does not exist.
    async fn length(&self, history: &str) -> Result<u64, Error>;

    /// Deletes a history, if it exists.
    async fn delete_history(&self, history: &str) -> Result<(), Error>;
}
