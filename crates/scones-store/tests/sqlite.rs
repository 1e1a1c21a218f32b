//! The suite, run by the store of one machine, and what only that store has.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod suite;

use std::{path::Path, sync::Arc};

use scones_store::{Error, SqliteStore};

struct Sqlite;

impl suite::Backend for Sqlite {
    type Store = SqliteStore;

    async fn open(&self, directory: &Path) -> Arc<SqliteStore> {
        SqliteStore::open(directory).unwrap()
    }

    async fn close(&self, store: Arc<SqliteStore>) {
        store.close().await;
    }
}

suite::tests!(Sqlite);

#[tokio::test]
async fn a_directory_is_open_once() {
    let directory = tempfile::tempdir().unwrap();
    let first = SqliteStore::open(directory.path()).unwrap();
    let error = SqliteStore::open(directory.path()).err().unwrap();
    assert_eq!(
        error.to_string(),
        format!(
            "the data directory {} is in use by another process (number {}): stop that one, or choose another directory",
            directory.path().display(),
            std::process::id()
        )
    );
    first.close().await;
    SqliteStore::open(directory.path()).unwrap();
}

#[tokio::test]
async fn data_of_a_newer_version_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    SqliteStore::open(directory.path()).unwrap().close().await;
    let database = rusqlite::Connection::open(directory.path().join("scones.db")).unwrap();
    database.pragma_update(None, "user_version", 7).unwrap();
    drop(database);
    let error = SqliteStore::open(directory.path()).err().unwrap();
    assert!(matches!(error, Error::NewerSchema { found: 7, known: 1 }), "{error}");
}
