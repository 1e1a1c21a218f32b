//! Where everything with a name is kept: append-only histories, records,
//! queues, timers and blobs, behind one trait that says nothing about files or
//! processes. What a method acknowledged survives `kill -9`; what it did not
//! acknowledge leaves no half state.
//!
//! [`SqliteStore`] is the backend for one machine. Nothing above this crate
//! may assume it: two servers could share a store, so every write that
//! depends on an earlier read is fenced by a position or a revision.

mod blobs;
mod collection;
mod error;
mod histories;
mod queues;
mod records;
mod sqlite;
mod timers;

pub use blobs::{BlobId, BlobReader, BlobWriter, Blobs};
pub use collection::{Collection, Versioned};
pub use error::Error;
pub use histories::Histories;
pub use queues::{Delivery, Queues};
pub use records::{Expected, ListQuery, Record, Records, Revision};
pub use sqlite::{Condition, SqliteStore};
pub use timers::{Timer, Timers};

/// Everything a Scones server keeps.
pub trait Store: Histories + Records + Queues + Timers + Blobs {}

impl<T: Histories + Records + Queues + Timers + Blobs> Store for T {}
