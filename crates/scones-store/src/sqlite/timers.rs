//! Timers in the table `timers`.

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::params;
use scones_api::Timestamp;

use super::{SqliteStore, limit_to_sql};
use crate::{Error, Timer, Timers};

#[async_trait]
impl Timers for SqliteStore {
    async fn set_timer(&self, group: &str, timer: Timer) -> Result<(), Error> {
        let group = group.to_owned();
        self.writer
            .write(move |transaction| {
                transaction
                    .connection()
                    .prepare_cached("INSERT OR REPLACE INTO timers (owner, key, due, payload) VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![group, timer.key, timer.due.as_millis(), timer.payload.as_ref()])?;
                Ok(())
            })
            .await
    }

    async fn clear_timer(&self, group: &str, key: &str) -> Result<(), Error> {
        let (group, key) = (group.to_owned(), key.to_owned());
        self.writer
            .write(move |transaction| {
                transaction
                    .connection()
                    .prepare_cached("DELETE FROM timers WHERE owner = ?1 AND key = ?2")?
                    .execute([group, key])?;
                Ok(())
            })
            .await
    }

    async fn due_timers(&self, group: &str, until: Timestamp, limit: usize) -> Result<Vec<Timer>, Error> {
        let group = group.to_owned();
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT key, due, payload FROM timers WHERE owner = ?1 AND due <= ?2 ORDER BY due, key LIMIT ?3",
                )?;
                let timers = statement.query_map(params![group, until.as_millis(), limit_to_sql(limit)], |row| {
                    Ok(Timer {
                        key: row.get(0)?,
                        due: Timestamp::from_millis(row.get(1)?),
                        payload: Bytes::from(row.get::<_, Vec<u8>>(2)?),
                    })
                })?;
                Ok(timers.collect::<Result<_, _>>()?)
            })
            .await
    }
}
