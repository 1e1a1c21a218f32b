//! Which executions there are. Everything here can be made again from the
//! histories; `states.open` says from which ones after a crash.

use std::sync::Arc;

use scones_api::Timestamp;
use scones_asl::Outcome;
use scones_store::{Collection, Error, ListQuery, Store};
use serde::{Deserialize, Serialize};

use super::{
    entry::Origin,
    map_run::{ChildOf, child_prefix},
    redrive::Redrive,
};

/// How an execution stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Status {
    Running,
    Succeeded,
    Failed,
    TimedOut,
    Aborted,
}

impl Status {
    pub(crate) fn of(outcome: Option<&Outcome>) -> Self {
        match outcome {
            None => Self::Running,
            Some(Outcome::Succeeded { .. }) => Self::Succeeded,
            Some(Outcome::Failed { .. }) => Self::Failed,
            Some(Outcome::TimedOut) => Self::TimedOut,
            Some(Outcome::Aborted { .. }) => Self::Aborted,
        }
    }

    /// As the API writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
            Self::Aborted => "ABORTED",
        }
    }
}

/// What ListExecutions shows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) arn: String,
    pub(crate) machine: String,
    pub(crate) name: String,
    pub(crate) status: Status,
    pub(crate) started: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stopped: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) alias: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) redrive: Option<Redrive>,
    /// The map run that it is a child of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) child_of: Option<ChildOf>,
    /// Not in memory: a timer or a result wakes it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) parked: bool,
}

impl Summary {
    pub(crate) fn of(origin: &Origin) -> Self {
        Self {
            arn: origin.execution_arn.clone(),
            machine: origin.machine.clone(),
            name: origin.name.clone(),
            status: Status::Running,
            started: Timestamp::from_millis(origin.started.0),
            stopped: None,
            version: origin.version,
            alias: origin.alias.clone(),
            redrive: None,
            child_of: origin.child_of.clone(),
            parked: false,
        }
    }

    pub(crate) fn ended(&self, outcome: &Outcome, now: Timestamp) -> Self {
        Self {
            status: Status::of(Some(outcome)),
            stopped: Some(now),
            parked: false,
            ..self.clone()
        }
    }

    /// The same execution, running again.
    pub(crate) fn reopened(self, redrive: Redrive) -> Self {
        Self {
            status: Status::Running,
            stopped: None,
            redrive: Some(redrive),
            ..self
        }
    }

    /// Sorts the executions of a state machine by their start, and the
    /// children of a map run by their numbers.
    pub(crate) fn key(&self) -> String {
        match &self.child_of {
            None => format!("{}/{:015}/{}", self.machine, self.started.as_millis(), self.name),
            Some(child) => format!("{}/{:012}", child_prefix(&child.map_run_arn), child.number),
        }
    }
}

/// The two tables.
#[derive(Clone)]
pub(crate) struct Index {
    /// Every execution.
    all: Collection<Summary>,
    /// Those that have not ended.
    open: Collection<Summary>,
}

impl Index {
    pub(crate) fn new(store: &Arc<dyn Store>) -> Self {
        Self {
            all: Collection::new(Arc::clone(store), "states.executions"),
            open: Collection::new(Arc::clone(store), "states.open"),
        }
    }

    /// Writes a new execution, or one that was found again.
    pub(crate) async fn write(&self, summary: &Summary) -> Result<(), Error> {
        let key = summary.key();
        if summary.status == Status::Running {
            // In this order: an entry whose history was never written is found
            // by its mark, and both are taken back.
            self.open.put(&key, summary).await?;
            self.all.put(&key, summary).await?;
        } else {
            self.all.put(&key, summary).await?;
        }
        Ok(())
    }

    /// Writes that an execution has ended. The mark in `open` goes last, so
    /// that a crash in between leaves something to repair from.
    pub(crate) async fn close(&self, summary: &Summary) -> Result<(), Error> {
        let key = summary.key();
        self.all.put(&key, summary).await?;
        self.open.delete(&key).await?;
        Ok(())
    }

    /// Takes back a [`write`](Self::write) of an execution that never began.
    pub(crate) async fn forget(&self, summary: &Summary) -> Result<(), Error> {
        let key = summary.key();
        self.all.delete(&key).await?;
        self.open.delete(&key).await?;
        Ok(())
    }

    /// Notes whether an open execution is in memory.
    pub(crate) async fn park(&self, summary: &Summary, parked: bool) -> Result<(), Error> {
        let summary = Summary {
            parked,
            ..summary.clone()
        };
        self.open.put(&summary.key(), &summary).await?;
        Ok(())
    }

    /// A page of the executions that have not ended.
    pub(crate) async fn open(&self, query: ListQuery) -> Result<Vec<(String, Summary)>, Error> {
        self.open.list(query).await
    }

    /// Every execution that has not ended and whose key begins with `prefix`.
    pub(crate) async fn open_below(&self, prefix: &str) -> Result<Vec<Summary>, Error> {
        let found = self.open.all(prefix).await?;
        Ok(found.into_iter().map(|(_, summary)| summary).collect())
    }

    /// Every execution whose key begins with `prefix`.
    pub(crate) async fn all_below(&self, prefix: &str) -> Result<Vec<Summary>, Error> {
        let found = self.all.all(prefix).await?;
        Ok(found.into_iter().map(|(_, summary)| summary).collect())
    }

    /// A page of all executions.
    pub(crate) async fn all(&self, query: ListQuery) -> Result<Vec<(String, Summary)>, Error> {
        self.all.list(query).await
    }
}
