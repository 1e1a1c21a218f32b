//! Records in the table `records`.

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params, types::Value};

use super::{SqliteStore, limit_to_sql, to_sql};
use crate::{Error, Expected, ListQuery, Record, Records, Revision};

#[async_trait]
impl Records for SqliteStore {
    async fn get(&self, table: &str, key: &str) -> Result<Option<Record>, Error> {
        let (table, key) = (table.to_owned(), key.to_owned());
        self.readers
            .read(move |connection| {
                let mut statement = connection
                    .prepare_cached("SELECT revision, value FROM records WHERE collection = ?1 AND key = ?2")?;
                Ok(statement.query_row([table, key], |row| record(row, 0)).optional()?)
            })
            .await
    }

    async fn put(&self, table: &str, key: &str, value: Bytes, expected: Expected) -> Result<Revision, Error> {
        let (table, key) = (table.to_owned(), key.to_owned());
        self.writer
            .write(move |transaction| {
                check(transaction.connection(), &table, &key, expected)?;
                let revision = transaction.next_revision();
                transaction
                    .connection()
                    .prepare_cached(
                        "INSERT OR REPLACE INTO records (collection, key, revision, value) VALUES (?1, ?2, ?3, ?4)",
                    )?
                    .execute(params![table, key, to_sql(revision), value.as_ref()])?;
                Ok(Revision(revision))
            })
            .await
    }

    async fn delete(&self, table: &str, key: &str, expected: Expected) -> Result<(), Error> {
        let (table, key) = (table.to_owned(), key.to_owned());
        self.writer
            .write(move |transaction| {
                check(transaction.connection(), &table, &key, expected)?;
                transaction
                    .connection()
                    .prepare_cached("DELETE FROM records WHERE collection = ?1 AND key = ?2")?
                    .execute([table, key])?;
                Ok(())
            })
            .await
    }

    async fn list(&self, table: &str, query: ListQuery) -> Result<Vec<(String, Record)>, Error> {
        let table = table.to_owned();
        self.readers
            .read(move |connection| {
                let sql = if query.descending {
                    "SELECT key, revision, value FROM records
                     WHERE collection = ?1 AND key >= ?2 AND key < ?3 ORDER BY key DESC LIMIT ?4"
                } else {
                    "SELECT key, revision, value FROM records
                     WHERE collection = ?1 AND key >= ?2 AND key < ?3 ORDER BY key LIMIT ?4"
                };
                let (low, high) = bounds(&query);
                let parameters: [&dyn ToSql; 4] = [&table, &low, &high, &limit_to_sql(query.limit)];
                let mut statement = connection.prepare_cached(sql)?;
                let records = statement.query_map(parameters, |row| Ok((row.get(0)?, record(row, 1)?)))?;
                Ok(records.collect::<Result<_, _>>()?)
            })
            .await
    }
}

fn record(row: &Row<'_>, column: usize) -> Result<Record, rusqlite::Error> {
    Ok(Record {
        revision: Revision(row.get::<_, i64>(column)?.unsigned_abs()),
        value: Bytes::from(row.get::<_, Vec<u8>>(column + 1)?),
    })
}

/// The record is as `expected`, or the write is refused.
fn check(connection: &Connection, table: &str, key: &str, expected: Expected) -> Result<(), Error> {
    let expected = match expected {
        Expected::Anything => return Ok(()),
        Expected::Absent => None,
        Expected::At(revision) => Some(to_sql(revision.0)),
    };
    let mut statement = connection.prepare_cached("SELECT revision FROM records WHERE collection = ?1 AND key = ?2")?;
    let found: Option<i64> = statement.query_row([table, key], |row| row.get(0)).optional()?;
    if found == expected {
        return Ok(());
    }
    Err(Error::Conflict {
        table: table.to_owned(),
        key: key.to_owned(),
    })
}

/// The first key that `query` may list and the first beyond it.
fn bounds(query: &ListQuery) -> (String, Value) {
    let mut low = query.prefix.clone();
    // SQLite orders every blob behind every text.
    let mut high = successor(&query.prefix).map_or(Value::Blob(Vec::new()), Value::Text);
    match &query.after {
        // The key that follows `after` at once is `after` and a zero byte.
        Some(after) if !query.descending => low = low.max(format!("{after}\0")),
        Some(after) => {
            let beyond = matches!(&high, Value::Text(high) if high < after);
            if !beyond {
                high = Value::Text(after.clone());
            }
        }
        None => {}
    }
    (low, high)
}

/// The smallest text greater than every text that begins with `prefix`. None
/// if there is no such text. The order of UTF-8 is the order of characters.
fn successor(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_successor_skips_what_is_not_a_character() {
        for (prefix, next) in [
            ("", None),
            ("a", Some("b")),
            ("a/", Some("a0")),
            ("a\u{10ffff}", Some("b")),
            ("\u{d7ff}", Some("\u{e000}")),
            ("\u{10ffff}", None),
        ] {
            assert_eq!(successor(prefix).as_deref(), next, "{prefix:?}");
        }
    }
}
