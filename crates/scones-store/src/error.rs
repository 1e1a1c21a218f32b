//! What can go wrong in a store.

use std::path::PathBuf;

/// A failed store operation. `Fenced` and `Conflict` are for callers to branch
/// on; the rest say that the store itself is unwell.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else appended first: the history is at another position.
    #[error("history `{history}` is at position {actual}, not {expected}: another writer has appended to it")]
    Fenced {
        /// The history's name.
        history: String,
        /// Where the caller thought that the history ended.
        expected: u64,
        /// Where it ends.
        actual: u64,
    },
    /// A record is not in the state that the write expected.
    #[error("record `{key}` of `{table}` has changed since it was read")]
    Conflict {
        /// The record's table.
        table: String,
        /// The record's key.
        key: String,
    },
    /// No blob has this id.
    #[error("blob `{0}` does not exist")]
    NoSuchBlob(String),
    /// A record holds something that this version cannot read.
    #[error("record `{key}` of `{table}` cannot be read")]
    Malformed {
        /// The record's table.
        table: String,
        /// The record's key.
        key: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Another process has the data directory open.
    #[error(
        "the data directory {} is in use by another process{}: stop that one, or choose another directory",
        directory.display(),
        process.map_or_else(String::new, |id| format!(" (number {id})"))
    )]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// The other process, if it left its number.
        process: Option<u32>,
    },
    /// A newer version wrote the data directory.
    #[error("the data was written by a newer version (format {found}, this version knows {known}): use that version")]
    NewerSchema {
        /// The format in the database.
        found: i64,
        /// The newest format that this program reads.
        known: i64,
    },
    /// There is data, but not the database that says whose it is.
    #[error(
        "{} is missing or empty, but data of an earlier server lies beside it: a start would forget what it kept",
        database.display()
    )]
    DatabaseGone {
        /// Where the database should be.
        database: PathBuf,
    },
    /// The database contradicts itself.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The database refused.
    #[error("the database failed")]
    Database(#[from] rusqlite::Error),
    /// The disk refused.
    #[error("the data directory failed")]
    Io(#[from] std::io::Error),
}

/// A store's failure is never the client's fault; its causes belong in the log.
impl From<Error> for scones_api::ApiError {
    fn from(error: Error) -> Self {
        let mut causes = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            causes += &format!(": {cause}");
            source = cause.source();
        }
        Self::internal(causes)
    }
}
