//! Records with compare-and-set and ordered listing.

use async_trait::async_trait;
use bytes::Bytes;

use crate::Error;

/// How often a record was written; grows with every write of the key, also
/// over deletions, so that a revision never comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A record's value and revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The bytes as they were put.
    pub value: Bytes,
    /// To be given back with a write that depends on this value.
    pub revision: Revision,
}

/// What a write expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Whatever is there.
    Anything,
    /// No record under the key.
    Absent,
    /// The record at this revision.
    At(Revision),
}

/// Which records of a table to list, in the byte order of their keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Only keys that begin so.
    pub prefix: String,
    /// Only keys beyond this one (before it when `descending`).
    pub after: Option<String>,
    /// At most so many; 0 lists nothing.
    pub limit: usize,
    /// From the last key to the first.
    pub descending: bool,
}

/// Records: tables of keys and values.
#[async_trait]
pub trait Records: Send + Sync + 'static {
    /// The record under `key`, if there is one.
    async fn get(&self, table: &str, key: &str) -> Result<Option<Record>, Error>;

    /// Writes a record if the table is as `expected`.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is not.
    async fn put(&self, table: &str, key: &str, value: Bytes, expected: Expected) -> Result<Revision, Error>;

    /// Deletes a record if the table is as `expected`. Deleting what is not
    /// there succeeds with [`Expected::Anything`] and [`Expected::Absent`].
    ///
    /// # Errors
    /// [`Error::Conflict`] if the table is not as expected.
    async fn delete(&self, table: &str, key: &str, expected: Expected) -> Result<(), Error>;

    /// Records in order. One page is a consistent view; two pages need not be.
    async fn list(&self, table: &str, query: ListQuery) -> Result<Vec<(String, Record)>, Error>;
}
