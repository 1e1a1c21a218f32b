//! What the interpreter is told, and what it asks for.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::HistoryEvent;
use crate::machine::{Pattern, Resource};
use crate::map_run::MapRun;
use crate::time::Timestamp;

/// One attempt of one task; never used again within an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(pub u64);

/// One timer; never used again within an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TimerId(pub u64);

/// Something that happened outside. A task or timer that the execution no
/// longer waits for is ignored, so duplicates and late results do no harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// A worker took the task. Optional for everything but activities: a result
    /// that comes without it counts as both.
    TaskStarted {
        /// Which task.
        task: TaskId,
        /// The name that an activity worker gave.
        worker_name: Option<String>,
    },
    /// The request of a `.sync` or `.waitForTaskToken` task was accepted.
    TaskSubmitted {
        /// Which task.
        task: TaskId,
        /// The response, as JSON text.
        output: String,
    },
    /// The task has its result.
    TaskSucceeded {
        /// Which task.
        task: TaskId,
        /// The result, as JSON text.
        output: String,
    },
    /// The task failed.
    TaskFailed {
        /// Which task.
        task: TaskId,
        /// The error's name.
        error: Option<String>,
        /// More about it.
        cause: Option<String>,
    },
    /// The task is alive: its heartbeat timer starts again.
    TaskHeartbeat {
        /// Which task.
        task: TaskId,
    },
    /// A timer is due.
    TimerFired {
        /// Which timer.
        timer: TimerId,
    },
    /// RedriveExecution: the one input that an ended execution takes, unless it
    /// succeeded.
    Redrive,
    /// StopExecution.
    Stop {
        /// The caller's error.
        error: Option<String>,
        /// The caller's cause.
        cause: Option<String>,
    },
}

/// What one input led to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// To be appended to the history before any effect is performed.
    pub events: Vec<HistoryEvent>,
    /// To be performed, in order.
    pub effects: Vec<Effect>,
}

/// Something to be done outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Call a resource; answer with `TaskSucceeded` or `TaskFailed`.
    Invoke(Box<TaskCall>),
    /// Run the children of a distributed Map state; answer as for a task.
    StartMapRun(Box<MapRun>),
    /// Nobody waits for the task, or the map run, any more.
    CancelTask(TaskId),
    /// Answer with `TimerFired` at `due`.
    SetTimer {
        /// The timer's id.
        timer: TimerId,
        /// When.
        due: Timestamp,
    },
    /// The timer need not fire any more.
    CancelTimer(TimerId),
    /// The execution is over; always the last effect of the last step.
    Finish(Outcome),
}

/// A call of a resource.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskCall {
    /// Which task.
    pub task: TaskId,
    /// The state that makes the call.
    pub state_name: String,
    /// What to call.
    pub resource: Resource,
    /// The evaluated `Parameters`, or the whole input where there are none.
    pub parameters: Value,
    /// `parameters` as JSON text: what a function or an activity worker gets.
    pub input: Arc<str>,
    /// The token that `$$.Task.Token` shows, for activities and `.waitForTaskToken`.
    pub token: Option<String>,
    /// Seconds until the task times out; the interpreter sets the timer itself.
    pub timeout_seconds: Option<u64>,
    /// Seconds between heartbeats; the interpreter sets the timer itself.
    pub heartbeat_seconds: Option<u64>,
    /// The role to call with, where the state names one.
    pub role_arn: Option<String>,
    /// 0 for the first attempt.
    pub retry_count: u32,
}

impl TaskCall {
    /// How the result is waited for.
    #[must_use]
    pub fn kind(&self) -> Pattern {
        self.resource.pattern()
    }
}

/// How an execution ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// With an output, as JSON text.
    Succeeded {
        /// The output.
        output: Arc<str>,
    },
    /// With an error.
    Failed {
        /// The error's name.
        error: Option<String>,
        /// More about it.
        cause: Option<String>,
    },
    /// The machine's `TimeoutSeconds` passed.
    TimedOut,
    /// StopExecution.
    Aborted {
        /// The caller's error.
        error: Option<String>,
        /// The caller's cause.
        cause: Option<String>,
    },
}
