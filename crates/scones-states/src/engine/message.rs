//! What an actor is told, and what it answers.

use std::sync::Arc;

use scones_api::Timestamp;
use scones_asl::{Input, TaskCall, TaskId};
use tokio::sync::{mpsc, oneshot};

/// Messages that wait for an actor; senders wait beyond that.
pub(crate) const MAILBOX: usize = 64;

/// Where an actor gets its messages from.
pub(crate) type Mailbox = mpsc::Receiver<Message>;

/// A command with the place for its answer.
#[derive(Debug)]
pub(crate) struct Message {
    /// Boxed: a mailbox has room for many from the start.
    pub(crate) command: Box<Command>,
    /// Absent where nobody waits.
    pub(crate) reply: Option<oneshot::Sender<Reply>>,
}

/// An answer is given once what it says is durable.
pub(crate) type Reply = Result<Answer, Refusal>;

#[derive(Debug, Clone)]
pub(crate) enum Command {
    /// A result of a task that this server runs.
    Report(Input),
    /// StopExecution.
    Stop {
        error: Option<String>,
        cause: Option<String>,
    },
    /// A worker wants an activity's task.
    Poll { task: TaskId, worker: Option<String> },
    /// Somebody who holds a task's token reports.
    Callback { task: TaskId, token: String, input: Input },
    /// Come into memory; something may be due.
    Wake,
    /// Say whether this task is still waited for.
    Awaits(TaskId),
}

#[derive(Debug)]
pub(crate) enum Answer {
    /// At this time.
    Done(Timestamp),
    /// The task that was polled for.
    Task(Arc<TaskCall>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no such execution.
    Missing,
    /// The execution has ended.
    Ended,
    /// The execution does not wait for this task any more.
    NotWaiting,
    /// Another server has the execution, or this one is stopping.
    Unavailable,
}
