//! One strand of an execution: the machine itself, a branch, or an iteration.

use std::sync::Arc;

use indexmap::IndexMap;

use crate::effect::{TaskId, TimerId};
use crate::machine::{State, Transition, Workflow};
use crate::map_run::MapRun;
use crate::scope::Variables;
use crate::time::Timestamp;

/// Names a strand within its execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FrameId(pub(super) u64);

/// A strand: where it is in its workflow and what it waits for.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) parent: Option<Parent>,
    pub(super) workflow: Arc<Workflow>,
    pub(super) state: usize,
    /// The state's raw input.
    pub(super) input: Arc<str>,
    /// 0 before the state is entered.
    pub(super) entered_event: u64,
    /// What the entry points back to.
    pub(super) before_entry: u64,
    pub(super) entered_at: Timestamp,
    /// The strand's last event: what its next one points back to.
    pub(super) previous: u64,
    pub(super) variables: Arc<Variables>,
    pub(super) item: Option<Arc<Item>>,
    /// Retries so far, by retrier.
    pub(super) retries: Vec<u32>,
    pub(super) activity: Activity,
}

/// The Map or Parallel state that waits for a strand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parent {
    pub(super) frame: FrameId,
    pub(super) slot: usize,
}

/// The item that an iteration works on, as `$$.Map.Item` shows it.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) index: usize,
    pub(super) value: Arc<str>,
}

/// What a strand is doing.
#[derive(Debug)]
pub(super) enum Activity {
    /// About to enter its state.
    Entering,
    /// About to do its state again, after a redrive.
    Redriven,
    /// About to try its state again.
    Retrying(TimerId),
    /// In a Wait state.
    Waiting(TimerId),
    /// In a Task state.
    Task(Box<RunningTask>),
    /// In a Map or Parallel state.
    Children(Box<Children>),
    /// In a distributed Map state.
    MapRun(Box<MapRun>),
}

/// A task that is under way.
#[derive(Debug)]
pub(super) struct RunningTask {
    pub(super) task: TaskId,
    pub(super) started: bool,
    pub(super) timeout: Option<TimerId>,
    pub(super) heartbeat: Option<TimerId>,
    pub(super) heartbeat_seconds: Option<u64>,
}

/// The strands of a Map or Parallel state.
#[derive(Debug, Default)]
pub(super) struct Children {
    /// Inputs of the iterations; empty for a Parallel state.
    pub(super) iterations: Vec<Iteration>,
    /// The next iteration to begin.
    pub(super) next: usize,
    pub(super) results: Vec<Option<Arc<str>>>,
    /// The strands that run, by slot.
    pub(super) running: IndexMap<usize, FrameId>,
    /// The strands that failed or were given up, by slot, for a redrive.
    pub(super) wrecks: Vec<(usize, Box<Frame>)>,
}

/// One iteration that is to be run.
#[derive(Debug)]
pub(super) struct Iteration {
    pub(super) input: Arc<str>,
    pub(super) item: Arc<Item>,
}

/// A state that has done its work.
pub(super) struct Exit {
    pub(super) output: Arc<str>,
    pub(super) assigned: Variables,
    pub(super) transition: Transition,
}

/// What a turn of a strand came to.
pub(super) enum Turn {
    /// It waits for an input.
    Waits,
    Exits(Exit),
}

impl Frame {
    pub(super) fn root(workflow: Arc<Workflow>, input: Arc<str>) -> Self {
        Self {
            parent: None,
            state: workflow.start,
            workflow,
            input,
            entered_event: 0,
            before_entry: 0,
            entered_at: Timestamp(0),
            previous: 0,
            variables: Arc::default(),
            item: None,
            retries: Vec::new(),
            activity: Activity::Entering,
        }
    }

    /// A strand below this one, which sees its variables as they are now.
    pub(super) fn child(
        &self,
        parent: Parent,
        workflow: &Arc<Workflow>,
        input: Arc<str>,
        previous: u64,
        item: Option<Arc<Item>>,
    ) -> Self {
        Self {
            parent: Some(parent),
            previous,
            variables: Arc::clone(&self.variables),
            item,
            ..Self::root(Arc::clone(workflow), input)
        }
    }

    pub(super) fn state(&self) -> &State {
        &self.workflow.states[self.state]
    }

    /// Goes on to another state.
    pub(super) fn proceed(&mut self, state: usize, input: Arc<str>) {
        self.state = state;
        self.input = input;
        self.retries.clear();
        self.entered_event = 0;
        self.activity = Activity::Entering;
    }

    pub(super) fn retry_count(&self) -> u32 {
        self.retries.iter().sum()
    }
}
