//! Durable timers.

use async_trait::async_trait;
use bytes::Bytes;
use scones_api::Timestamp;

use crate::Error;

/// A timer that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// The name within the group.
    pub key: String,
    /// When it is due.
    pub due: Timestamp,
    /// What its owner wanted to be told.
    pub payload: Bytes,
}

/// Timers: what is to happen at a time. A timer stays until it is cleared, so
/// whoever handles it clears it afterwards, and a crash in between repeats it.
#[async_trait]
pub trait Timers: Send + Sync + 'static {
    /// Sets a timer, replacing one of the same group and key.
    async fn set_timer(&self, group: &str, timer: Timer) -> Result<(), Error>;

    /// Clears a timer, if it is set.
    async fn clear_timer(&self, group: &str, key: &str) -> Result<(), Error>;

    /// Up to `limit` timers that are due at `until` or before, the earliest
    /// first.
    async fn due_timers(&self, group: &str, until: Timestamp, limit: usize) -> Result<Vec<Timer>, Error>;
}
