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

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

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
    /// [`Error::NewerSchema`] if a newer version wrote it.
    pub fn open(directory: &Path) -> Result<Arc<Self>, Error> {
        fs::create_dir_all(directory)?;
        let lock = DirectoryLock::acquire(directory)?;
        let database = directory.join(DATABASE_FILE);
        let connection = open_for_writing(&database)?;
        let folders = blobs::Folders::open(directory, &connection)?;
        Ok(Arc::new(Self {
            writer: Arc::new(Writer::start(connection, lock)?),
            readers: Readers::new(database),
            folders,
        }))
    }

    /// Finishes the queued writes, writes the log into the database and
    /// releases the directory. Later operations answer [`Error::Closed`].
    pub async fn close(&self) {
        self.readers.close();
        self.writer.close().await;
    }
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

fn open_for_reading(database: &PathBuf) -> Result<Connection, Error> {
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
