//! The store of one machine: a SQLite database and a folder of large bodies.
//!
//! ```text
//! DIRECTORY/lock        held by the process that has the directory open
//! DIRECTORY/scones.db   histories, records, queues, timers, small blobs
//! DIRECTORY/blobs/ID    bodies of large blobs
//! DIRECTORY/staging/ID  bodies that are being written or deleted
//! ```
//!
//! One thread writes and commits many operations at once; reads run beside it
//! on connections of their own and see every commit that was acknowledged.

mod blobs;
mod histories;
mod lock;
mod queues;
mod readers;
mod records;
mod schema;
mod timers;
mod writer;

use std::{fs, io, path::Path, sync::Arc, time::Duration};

use rusqlite::{Connection, OpenFlags};

use self::{lock::DirectoryLock, readers::Readers, writer::Writer};
use crate::Error;

/// The database's file in the data directory.
const DATABASE_FILE: &str = "scones.db";
/// How long to wait for somebody who has the database open by hand.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements kept by each connection; more than there are in the source.
const STATEMENTS_CACHED: usize = 64;

/// A store in one directory of one machine, open in one process at a time.
///
/// A write costs one `fsync`, shared with the other writes that wait for one.
/// Dropping the last handle waits for queued writes, as [`close`](Self::close)
/// does without blocking the runtime.
pub struct SqliteStore {
    writer: Arc<Writer>,
    readers: Readers,
    folders: blobs::Folders,
}

impl SqliteStore {
    /// Opens the store in `directory`, which is created if it does not exist,
    /// and removes what a crash left half-written. Blocks for a moment.
    ///
    /// # Errors
    /// [`Error::InUse`] if another process has the directory open,
    /// [`Error::NewerSchema`] if a newer version wrote it,
    /// [`Error::DatabaseGone`] if there is data without its database.
    pub fn open(directory: &Path) -> Result<Arc<Self>, Error> {
        fs::create_dir_all(directory)?;
        let lock = DirectoryLock::acquire(directory)?;
        let database = directory.join(DATABASE_FILE);
        is_new(directory)?;
        let connection = open_for_writing(&database)?;
        let folders = blobs::Folders::open(directory, &connection)?;
        Ok(Arc::new(Self {
            writer: Arc::new(Writer::start(connection, lock)?),
            readers: Readers::new(database),
            folders,
        }))
    }

    /// Whether a store is in `directory`, and sound as far as a quick check
    /// of all its pages can tell. Changes nothing; blocks as long as it takes
    /// to read the database.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), and [`Error::Damaged`].
    pub fn check(directory: &Path) -> Result<Condition, Error> {
        // Held meanwhile: nobody else writes.
        let _lock = DirectoryLock::acquire_existing(directory)?;
        if is_new(directory)? {
            return Ok(Condition::New);
        }
        let connection = open_for_reading(&directory.join(DATABASE_FILE))?;
        schema::check(&connection)?;
        // One finding is enough; "ok" if there is none.
        let finding: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        match finding.as_str() {
            "ok" => Ok(Condition::Sound),
            _ => Err(Error::Damaged(finding)),
        }
    }

    /// Finishes the queued writes, writes the log into the database and
    /// releases the directory. Later operations answer [`Error::Closed`].
    pub async fn close(&self) {
        self.readers.close();
        self.writer.close().await;
    }
}

/// What [`SqliteStore::check`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// No store was made here yet.
    New,
    /// The database is whole.
    Sound,
}

/// Whether no store was made in `directory` yet: the folder of bodies is made
/// once the database is there, so a folder without one has lost it.
fn is_new(directory: &Path) -> Result<bool, Error> {
    let database = directory.join(DATABASE_FILE);
    let empty = match fs::metadata(&database) {
        Ok(metadata) => metadata.len() == 0,
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(error.into()),
    };
    if empty && blobs::Folders::are_in(directory) {
        return Err(Error::DatabaseGone { database });
    }
    Ok(empty)
}

fn open_for_writing(database: &Path) -> Result<Connection, Error> {
    let mut connection = Connection::open(database)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    schema::prepare(&mut connection)?;
    Ok(connection)
}

fn open_for_reading(database: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    Ok(connection)
}

/// A number as SQLite keeps it; beyond 63 bits is beyond everything there is.
fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A page size as SQLite takes it.
fn limit_to_sql(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::future::join_all;
    use rusqlite::ErrorCode;

    use super::*;
    use crate::{Blobs as _, Expected, ListQuery, Records as _};

    async fn limit_pages(store: &SqliteStore, pages: u32) {
        let limit = move |transaction: &mut writer::Transaction<'_>| {
            let connection = transaction.connection();
            Ok(connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?)
        };
        store.writer.write(limit).await.unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_refuses_writes_and_loses_none() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path()).unwrap();
        limit_pages(&store, 60).await;
        let put = async |number: u32| {
            let value = Bytes::from(vec![7; 9000]);
            let key = format!("{number:03}");
            store.put("t", &key, value, Expected::Absent).await.map(|_| key)
        };
        let mut written = Vec::new();
        let mut refused = 0;
        for first in (0..40).step_by(8) {
            for result in join_all((first..first + 8).map(put)).await {
                match result {
                    Ok(key) => written.push(key),
                    Err(Error::Database(error)) => {
                        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DiskFull));
                        refused += 1;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
        assert!(refused > 0 && !written.is_empty());
        limit_pages(&store, 1_000_000).await;
        written.push(put(999).await.unwrap());
        store.close().await;

        let store = SqliteStore::open(directory.path()).unwrap();
        let query = ListQuery {
            limit: 100,
            ..ListQuery::default()
        };
        let found = store.list("t", query).await.unwrap();
        let found: Vec<_> = found.into_iter().map(|(key, _)| key).collect();
        assert_eq!(found, written);
    }

    #[tokio::test]
    async fn opening_removes_what_a_crash_left_in_staging() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path()).unwrap();
        let mut blob = store.create_blob("test").await.unwrap();
        blob.write(Bytes::from(vec![7; 100_000])).await.unwrap();
        let id = blob.finish().await.unwrap();
        store.close().await;
        // As after a crash between entering the row and moving the file.
        let staged = directory.path().join("staging").join(&id.0);
        fs::rename(directory.path().join("blobs").join(&id.0), &staged).unwrap();

        let store = SqliteStore::open(directory.path()).unwrap();
        assert_eq!(store.list_blobs("test", None, 9).await.unwrap(), []);
        assert!(!staged.exists());
    }
}
