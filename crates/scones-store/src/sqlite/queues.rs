//! Queues in the table `messages`.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::params;
use scones_api::Timestamp;

use super::{SqliteStore, limit_to_sql, writer::Transaction};
use crate::{Delivery, Error, Queues};

#[async_trait]
impl Queues for SqliteStore {
    async fn send(&self, queue: &str, payload: Bytes, now: Timestamp, visible: Timestamp) -> Result<(), Error> {
        let queue = queue.to_owned();
        self.writer
            .write(move |transaction| {
                transaction
                    .connection()
                    .prepare_cached("INSERT INTO messages (queue, visible, sent, payload) VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![queue, visible.as_millis(), now.as_millis(), payload.as_ref()])?;
                Ok(())
            })
            .await
    }

    async fn receive(
        &self,
        queue: &str,
        limit: usize,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Vec<Delivery>, Error> {
        let queue = queue.to_owned();
        self.writer
            .write(move |transaction| receive(transaction, &queue, limit, now, now + lease))
            .await
    }

    async fn acknowledge(&self, queue: &str, receipt: &str) -> Result<(), Error> {
        let Some(Receipt { id, attempt }) = Receipt::parse(receipt) else {
            return Ok(());
        };
        let queue = queue.to_owned();
        self.writer
            .write(move |transaction| {
                transaction
                    .connection()
                    .prepare_cached("DELETE FROM messages WHERE id = ?1 AND attempt = ?2 AND queue = ?3")?
                    .execute(params![id, attempt, queue])?;
                Ok(())
            })
            .await
    }

    async fn release(&self, queue: &str, receipt: &str, visible: Timestamp) -> Result<(), Error> {
        let Some(Receipt { id, attempt }) = Receipt::parse(receipt) else {
            return Ok(());
        };
        let queue = queue.to_owned();
        self.writer
            .write(move |transaction| {
                transaction
                    .connection()
                    .prepare_cached("UPDATE messages SET visible = ?4 WHERE id = ?1 AND attempt = ?2 AND queue = ?3")?
                    .execute(params![id, attempt, queue, visible.as_millis()])?;
                Ok(())
            })
            .await
    }

    async fn delete_queue(&self, queue: &str) -> Result<(), Error> {
        let queue = queue.to_owned();
        self.writer
            .write(move |transaction| {
                transaction
                    .connection()
                    .prepare_cached("DELETE FROM messages WHERE queue = ?1")?
                    .execute([queue])?;
                Ok(())
            })
            .await
    }
}

fn receive(
    transaction: &mut Transaction<'_>,
    queue: &str,
    limit: usize,
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<Delivery>, Error> {
    let connection = transaction.connection();
    let mut visible =
        connection.prepare_cached("SELECT id FROM messages WHERE queue = ?1 AND visible <= ?2 ORDER BY id LIMIT ?3")?;
    let ids: Vec<i64> = visible
        .query_map(params![queue, now.as_millis(), limit_to_sql(limit)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut lease = connection.prepare_cached(
        "UPDATE messages SET visible = ?2, attempt = attempt + 1 WHERE id = ?1 RETURNING attempt, sent, payload",
    )?;
    let mut deliveries = Vec::with_capacity(ids.len());
    for id in ids {
        let delivery = lease.query_row(params![id, until.as_millis()], |row| {
            let attempt = row.get(0)?;
            Ok(Delivery {
                receipt: Receipt { id, attempt }.to_string(),
                payload: Bytes::from(row.get::<_, Vec<u8>>(2)?),
                attempt,
                sent: Timestamp::from_millis(row.get(1)?),
            })
        })?;
        deliveries.push(delivery);
    }
    Ok(deliveries)
}

/// Which message, and which of its deliveries.
struct Receipt {
    id: i64,
    attempt: u32,
}

impl Receipt {
    fn parse(text: &str) -> Option<Self> {
        let (id, attempt) = text.split_once('.')?;
        Some(Self {
            id: id.parse().ok()?,
            attempt: attempt.parse().ok()?,
        })
    }
}

impl std::fmt::Display for Receipt {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.id, self.attempt)
    }
}
