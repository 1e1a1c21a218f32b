//! Histories in the tables `histories` and `entries`.

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{SqliteStore, limit_to_sql, to_sql, writer::Transaction};
use crate::{Error, Histories};

#[async_trait]
impl Histories for SqliteStore {
    async fn append(&self, history: &str, position: u64, entries: Vec<Bytes>) -> Result<u64, Error> {
        let history = history.to_owned();
        self.writer
            .write(move |transaction| append(transaction, history, position, &entries))
            .await
    }

    async fn read(&self, history: &str, from: u64, limit: usize) -> Result<Vec<Bytes>, Error> {
        let history = history.to_owned();
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT entry FROM entries
                     WHERE history = (SELECT id FROM histories WHERE name = ?1) AND position >= ?2
                     ORDER BY position LIMIT ?3",
                )?;
                let entries = statement.query_map(params![history, to_sql(from), limit_to_sql(limit)], |row| {
                    row.get::<_, Vec<u8>>(0).map(Bytes::from)
                })?;
                Ok(entries.collect::<Result<_, _>>()?)
            })
            .await
    }

    async fn length(&self, history: &str) -> Result<u64, Error> {
        let history = history.to_owned();
        self.readers
            .read(move |connection| match find(connection, &history)? {
                Some(id) => length(connection, id),
                None => Ok(0),
            })
            .await
    }

    async fn delete_history(&self, history: &str) -> Result<(), Error> {
        let history = history.to_owned();
        self.writer
            .write(move |transaction| {
                let connection = transaction.connection();
                if let Some(id) = find(connection, &history)? {
                    connection
                        .prepare_cached("DELETE FROM entries WHERE history = ?1")?
                        .execute([id])?;
                    connection
                        .prepare_cached("DELETE FROM histories WHERE id = ?1")?
                        .execute([id])?;
                }
                Ok(())
            })
            .await
    }
}

fn append(transaction: &mut Transaction<'_>, history: String, position: u64, entries: &[Bytes]) -> Result<u64, Error> {
    let connection = transaction.connection();
    let found = find(connection, &history)?;
    let actual = match found {
        Some(id) => length(connection, id)?,
        None => 0,
    };
    if actual != position {
        return Err(Error::Fenced {
            history,
            expected: position,
            actual,
        });
    }
    if entries.is_empty() {
        return Ok(actual);
    }
    let id = match found {
        Some(id) => id,
        None => connection
            .prepare_cached("INSERT INTO histories (name) VALUES (?1)")?
            .insert([&history])?,
    };
    let mut insert = connection.prepare_cached("INSERT INTO entries (history, position, entry) VALUES (?1, ?2, ?3)")?;
    let mut next = position;
    for entry in entries {
        insert.execute(params![id, to_sql(next), entry.as_ref()])?;
        next += 1;
    }
    Ok(next)
}

fn find(connection: &Connection, history: &str) -> Result<Option<i64>, Error> {
    let mut statement = connection.prepare_cached("SELECT id FROM histories WHERE name = ?1")?;
    Ok(statement.query_row([history], |row| row.get(0)).optional()?)
}

fn length(connection: &Connection, id: i64) -> Result<u64, Error> {
    let mut statement = connection.prepare_cached("SELECT max(position) + 1 FROM entries WHERE history = ?1")?;
    let length: Option<i64> = statement.query_row([id], |row| row.get(0))?;
    Ok(length.unwrap_or(0).unsigned_abs())
}
