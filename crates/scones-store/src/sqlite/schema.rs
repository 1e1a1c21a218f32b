//! The tables, and which version of them a database has.

use rusqlite::{Connection, TransactionBehavior};

use crate::Error;

/// The version that this program writes. Add a step to [`prepare`] with every
/// change of it.
const VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO counters VALUES ('revision', 0);

CREATE TABLE histories (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE entries (
    history INTEGER NOT NULL,
    position INTEGER NOT NULL,
    entry BLOB NOT NULL,
    PRIMARY KEY (history, position)
) WITHOUT ROWID;

CREATE TABLE records (
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    revision INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (collection, key)
) WITHOUT ROWID;

CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    visible INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    payload BLOB NOT NULL
);
CREATE INDEX messages_in_order ON messages (queue, id, visible);

CREATE TABLE timers (
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    due INTEGER NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (owner, key)
) WITHOUT ROWID;
CREATE INDEX timers_by_time ON timers (owner, due, key);

CREATE TABLE blobs (
    id TEXT PRIMARY KEY,
    -- NULL when the body is the file blobs/ID.
    body BLOB
) WITHOUT ROWID;
";

/// The database's version, if this program knows it.
pub(super) fn check(connection: &Connection) -> Result<i64, Error> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > VERSION {
        return Err(Error::NewerSchema { found, known: VERSION });
    }
    Ok(found)
}

/// Brings the database to this program's version.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), Error> {
    if check(connection)? == 0 {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()?;
    }
    Ok(())
}
