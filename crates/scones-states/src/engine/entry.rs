//! What one step of an execution leaves in its history: the cause of the step,
//! the time, and the events. Replaying the causes through the interpreter
//! gives the execution again; the events are there to be read, and to check
//! the replay.

use bytes::Bytes;
use scones_asl::{
    HistoryEvent, Input, Outcome, Start, Timestamp,
    event::{EventKind, Failure},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{map_run::ChildOf, redrive::Redrive};
use crate::catalog::Revision;

/// One entry of a history.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) cause: Cause,
    pub(crate) now: Timestamp,
    /// Who wrote it: drawn at random by every activation, so that a writer
    /// knows its own entries again after an append with an uncertain end.
    pub(crate) writer: u64,
    pub(crate) events: Vec<HistoryEvent>,
    /// There in the last entry, and before redrives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<Outcome>,
    /// The redrive that the execution is in, if it was redriven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) redrive: Option<Redrive>,
}

/// Why a step was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Cause {
    /// The first entry.
    Start(Box<Origin>),
    /// Something that happened outside.
    Input(Input),
    /// The history could not be replayed or continued; this is the last entry.
    Abandoned {
        /// Why not.
        problem: String,
    },
}

/// Where an execution comes from: enough to start the interpreter again, also
/// after its state machine was changed or deleted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub(crate) execution_arn: String,
    pub(crate) name: String,
    pub(crate) machine_arn: String,
    pub(crate) machine: String,
    /// The client's JSON text.
    pub(crate) input: String,
    pub(crate) started: Timestamp,
    /// Decides every random choice of the execution.
    pub(crate) seed: u64,
    pub(crate) revision: Revision,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) alias: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trace_header: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) express: bool,
    /// Its end is answered to the request that starts it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) synchronous: bool,
    /// The map run that the execution is a child of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) child_of: Option<ChildOf>,
    /// The test case of the mock configuration that decides what tasks give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) test_case: Option<String>,
}

impl Origin {
    /// The ARN of the version that runs, if it was started by one.
    pub(crate) fn version_arn(&self) -> Option<String> {
        self.version.map(|version| format!("{}:{version}", self.machine_arn))
    }

    /// The ARN of the alias that was started, if one was.
    pub(crate) fn alias_arn(&self) -> Option<String> {
        self.alias.as_ref().map(|alias| format!("{}:{alias}", self.machine_arn))
    }

    /// What the interpreter starts with.
    ///
    /// # Errors
    /// If the input is not JSON, which was checked before it was written.
    pub(crate) fn start(&self) -> Result<Start, serde_json::Error> {
        Ok(Start {
            execution_arn: self.execution_arn.clone(),
            execution_name: self.name.clone(),
            role_arn: self.revision.role_arn.clone(),
            state_machine_arn: self.machine_arn.clone(),
            state_machine_name: self.machine.clone(),
            input: serde_json::from_str(&self.input)?,
            input_text: self.input.clone(),
            start: self.started,
            seed: self.seed,
            express: self.express,
            synchronous: self.synchronous,
            state_machine_alias_arn: self.alias_arn(),
            state_machine_version_arn: self.version_arn(),
            redrive_count: 0,
        })
    }
}

impl Entry {
    /// The last entry of an execution that cannot go on: it fails, after the
    /// event `last_event`, with `cause`.
    pub(crate) fn abandoned(
        problem: String,
        cause: String,
        last_event: u64,
        writer: u64,
        now: Timestamp,
        redrive: Option<Redrive>,
    ) -> Self {
        let failure = Failure {
            error: Some("States.Runtime".to_owned()),
            cause: Some(cause),
        };
        let event = HistoryEvent {
            id: last_event + 1,
            previous_event_id: last_event,
            timestamp: now,
            kind: EventKind::ExecutionFailed(failure.clone()),
        };
        let Failure { error, cause } = failure;
        Self {
            cause: Cause::Abandoned { problem },
            now,
            writer,
            events: vec![event],
            outcome: Some(Outcome::Failed { error, cause }),
            redrive,
        }
    }

    pub(crate) fn encode(&self) -> Result<Bytes, serde_json::Error> {
        serde_json::to_vec(self).map(Bytes::from)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

/// The part of an entry that DescribeExecution needs.
#[derive(Debug, Deserialize)]
pub(crate) struct Ending {
    pub(crate) now: Timestamp,
    #[serde(default)]
    pub(crate) outcome: Option<Outcome>,
    #[serde(default)]
    pub(crate) redrive: Option<Redrive>,
}

/// The part of an entry that GetExecutionHistory needs, not taken apart.
#[derive(Debug, Deserialize)]
pub(crate) struct Events {
    pub(crate) events: Vec<Box<RawValue>>,
}
