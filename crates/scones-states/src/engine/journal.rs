//! The durable history of one execution.

use std::sync::Arc;

use bytes::Bytes;
use scones_store::{Error as StoreError, Store};

use super::{backoff::Backoff, entry::Entry};
use crate::Error;

/// Entries that are read at a time.
const PAGE: usize = 256;

/// The name of an execution's history.
pub(crate) fn history_name(execution_arn: &str) -> String {
    format!("execution/{execution_arn}")
}

/// Why a journal cannot go on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Somebody else has appended: the execution is theirs.
    Fenced,
    /// The store was closed.
    Closed,
}

/// A history with the position that its one writer is at.
pub(crate) struct Journal {
    store: Arc<dyn Store>,
    history: String,
    position: u64,
    writer: u64,
}

impl Journal {
    /// A journal whose next entry has the number `position`. Nobody else may
    /// sign as `writer`.
    pub(crate) fn at(store: Arc<dyn Store>, execution_arn: &str, position: u64, writer: u64) -> Self {
        Self {
            store,
            history: history_name(execution_arn),
            position,
            writer,
        }
    }

    /// What this writer signs its entries with.
    pub(crate) fn writer(&self) -> u64 {
        self.writer
    }

    /// Appends entries durably. An append that failed is tried again until it
    /// succeeds or it is known that another writer came first: an attempt
    /// with an uncertain end may have succeeded, which the entries' signature
    /// tells from another writer's.
    pub(crate) async fn append(&mut self, entries: Vec<Bytes>) -> Result<(), Lost> {
        let mut backoff = Backoff::new();
        let mut uncertain = false;
        loop {
            match self.store.append(&self.history, self.position, entries.clone()).await {
                Ok(length) => {
                    self.position = length;
                    return Ok(());
                }
                Err(StoreError::Closed) => return Err(Lost::Closed),
                Err(StoreError::Fenced { .. }) if !uncertain => return Err(Lost::Fenced),
                Err(StoreError::Fenced { .. }) => match self.holds(&entries).await {
                    Ok(true) => {
                        self.position += entries.len() as u64;
                        return Ok(());
                    }
                    Ok(false) => return Err(Lost::Fenced),
                    Err(error) => self.complain(&error),
                },
                Err(error) => {
                    uncertain = true;
                    self.complain(&error);
                }
            }
            backoff.pause().await;
        }
    }

    fn complain(&self, error: &StoreError) {
        let error = error as &dyn std::error::Error;
        tracing::warn!(history = self.history, error, "an append failed; trying again");
    }

    /// Whether the history holds exactly `entries` from the position on.
    async fn holds(&self, entries: &[Bytes]) -> Result<bool, StoreError> {
        let there = self.store.read(&self.history, self.position, entries.len()).await?;
        Ok(there == entries)
    }
}

/// Reads an execution's history, a page in memory at a time.
pub(crate) struct Entries {
    store: Arc<dyn Store>,
    execution_arn: String,
    page: std::vec::IntoIter<Bytes>,
    position: u64,
}

impl Entries {
    pub(crate) fn of(store: &Arc<dyn Store>, execution_arn: &str) -> Self {
        Self {
            store: Arc::clone(store),
            execution_arn: execution_arn.to_owned(),
            page: Vec::new().into_iter(),
            position: 0,
        }
    }

    /// The entries that were given so far.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The next entry; none at the history's end.
    pub(crate) async fn next(&mut self) -> Result<Option<Entry>, Error> {
        if self.page.len() == 0 {
            let history = history_name(&self.execution_arn);
            self.page = self.store.read(&history, self.position, PAGE).await?.into_iter();
        }
        let Some(bytes) = self.page.next() else { return Ok(None) };
        let entry = Entry::decode(&bytes).map_err(|error| Error::History {
            execution: self.execution_arn.clone(),
            problem: format!("entry {}: {error}", self.position),
        })?;
        self.position += 1;
        Ok(Some(entry))
    }
}
