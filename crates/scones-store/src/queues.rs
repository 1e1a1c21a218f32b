//! Queues with leases.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use scones_api::Timestamp;

use crate::Error;

/// A message on lease to one receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// To be given back with [`Queues::acknowledge`] or [`Queues::release`].
    pub receipt: String,
    /// The message.
    pub payload: Bytes,
    /// How often the message was delivered, this time included.
    pub attempt: u32,
    /// When the message was sent.
    pub sent: Timestamp,
}

/// Queues: at-least-once delivery. A message is leased to one receiver at a
/// time and comes back when the lease runs out unacknowledged.
#[async_trait]
pub trait Queues: Send + Sync + 'static {
    /// Adds a message that becomes visible at `visible`.
    async fn send(&self, queue: &str, payload: Bytes, now: Timestamp, visible: Timestamp) -> Result<(), Error>;

    /// Leases up to `limit` visible messages until `now + lease`, oldest first.
    async fn receive(&self, queue: &str, limit: usize, now: Timestamp, lease: Duration)
    -> Result<Vec<Delivery>, Error>;

    /// Removes a delivered message. A receipt whose lease has passed on to
    /// another receiver does nothing.
    async fn acknowledge(&self, queue: &str, receipt: &str) -> Result<(), Error>;

    /// Makes a delivered message visible again at `visible`: now, to give it
    /// back, or later than the lease's end, to prolong the lease. The receipt
    /// stays good until the message is delivered again.
    async fn release(&self, queue: &str, receipt: &str, visible: Timestamp) -> Result<(), Error>;

    /// Removes every message of a queue.
    async fn delete_queue(&self, queue: &str) -> Result<(), Error>;
}
