//! The suite, run by the store of one machine, and what only that store has.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod suite;

use std::{path::Path, sync::Arc};

use scones_store::{Condition, Error, SqliteStore};

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

#[tokio::test]
async fn a_store_without_its_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("scones.db");
    let gone = || matches!(SqliteStore::open(directory.path()), Err(Error::DatabaseGone { .. }));
    std::fs::write(&database, "").unwrap();
    SqliteStore::open(directory.path()).unwrap().close().await;
    std::fs::write(&database, "").unwrap();
    assert!(gone());
    std::fs::remove_file(&database).unwrap();
    assert!(gone());
    assert!(!database.exists());
}

#[tokio::test]
async fn a_store_is_checked() {
    let directory = tempfile::tempdir().unwrap();
    let check = || SqliteStore::check(directory.path());
    assert_eq!(check().unwrap(), Condition::New);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    let store = SqliteStore::open(directory.path()).unwrap();
    assert!(matches!(check(), Err(Error::InUse { .. })));
    store.close().await;
    assert_eq!(check().unwrap(), Condition::Sound);
    let database = directory.path().join("scones.db");
    let whole = std::fs::read(&database).unwrap();
    let damaged = |bytes: Vec<u8>| {
        std::fs::write(&database, bytes).unwrap();
        matches!(check(), Err(Error::Damaged(_) | Error::Database(_)))
    };
    assert!(damaged(whole[..5_000].to_vec()));
    assert!(damaged(b"this is no database at all".to_vec()));
    let mut torn = whole.clone();
    torn[4_096..8_192].fill(0xff);
    assert!(damaged(torn));
    std::fs::remove_file(&database).unwrap();
    assert!(matches!(check(), Err(Error::DatabaseGone { .. })));
}
