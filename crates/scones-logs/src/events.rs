//! Log events, as they come and as they are kept.

use serde::{Deserialize, Serialize};

use crate::limits::EVENT_OVERHEAD_BYTES;

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEvent {
    /// When it happened, in milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp: i64,
    /// What happened; not empty.
    pub message: String,
}

impl LogEvent {
    /// What the event counts against limits.
    pub(crate) fn counted_bytes(&self) -> usize {
        self.message.len() + EVENT_OVERHEAD_BYTES
    }
}

/// An event in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredEvent {
    pub(crate) place: Place,
    /// When the service took it, in milliseconds since the epoch.
    pub(crate) ingested: i64,
    pub(crate) message: String,
}

impl StoredEvent {
    pub(crate) fn counted_bytes(&self) -> usize {
        self.message.len() + EVENT_OVERHEAD_BYTES
    }
}

/// A place in a stream's order of time; events of the same millisecond keep
/// the order in which they were put. Also the gap just before such a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) timestamp: i64,
    pub(crate) position: u64,
}

impl Place {
    /// The place of the first event that could happen at `timestamp`.
    pub(crate) fn at(timestamp: i64) -> Self {
        Self { timestamp, position: 0 }
    }

    /// The place right behind this one.
    pub(crate) fn next(self) -> Self {
        Self {
            position: self.position + 1,
            ..self
        }
    }
}
