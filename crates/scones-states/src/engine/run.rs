//! An execution in memory, with what it waits for. Pure: the actor performs
//! what comes out of it, and recovery rebuilds it from a history.

use std::{collections::BTreeMap, sync::Arc};

use scones_asl::{
    Effect, Execution, Input, Machine, Outcome, Pattern, Resource, Step, TaskCall, TaskId, TimerId, Timestamp,
    map_run::MapRun,
};

use super::{delivery::Log, entry::Origin};
use crate::runner::TaskIdentity;

/// What is to be done for a task.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    Call(Arc<TaskCall>),
    MapRun(Arc<MapRun>),
}

/// A task or map run that has no result yet.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) work: Work,
    /// A worker has it.
    pub(crate) started: bool,
    /// Its request was accepted; the result comes by its token, or with the
    /// end of a job.
    pub(crate) submitted: bool,
    /// When it was scheduled.
    pub(crate) since: Timestamp,
    /// The response of a `.sync` task's request: what names the job.
    pub(crate) response: Option<Arc<str>>,
    /// How many calls its state made before, in an execution of a test case.
    pub(crate) number: u64,
}

impl Waiting {
    /// The call, if it is one.
    pub(crate) fn call(&self) -> Option<&Arc<TaskCall>> {
        match &self.work {
            Work::Call(call) => Some(call),
            Work::MapRun(_) => None,
        }
    }

    /// Whether this server has to do something for the task to end: not for
    /// a task whose result comes with a token.
    pub(crate) fn is_local(&self) -> bool {
        let by_token = |call: &Arc<TaskCall>| call.kind() == Pattern::WaitForTaskToken;
        let called_back = self.submitted && self.call().is_some_and(by_token);
        !self.is_polled() && !called_back
    }

    /// Whether a worker fetches the task with GetActivityTask.
    pub(crate) fn is_polled(&self) -> bool {
        self.call()
            .is_some_and(|call| matches!(call.resource, Resource::Activity { .. }))
    }

    /// Whether the effect that began the task is to be performed again after
    /// a crash.
    pub(crate) fn is_unattended(&self) -> bool {
        if self.is_polled() {
            !self.started
        } else {
            self.is_local()
        }
    }
}

/// A live execution.
#[derive(Debug)]
pub(crate) struct Run {
    execution: Execution,
    tasks: BTreeMap<TaskId, Waiting>,
    timers: BTreeMap<TimerId, Timestamp>,
    outcome: Option<Outcome>,
    last_event: u64,
    identity: TaskIdentity,
    mocking: Option<Box<Mocking>>,
    log: Option<Box<Log>>,
}

/// An execution of a test case.
#[derive(Debug)]
struct Mocking {
    machine: String,
    case: String,
    /// The calls that each state has made.
    calls: BTreeMap<String, u64>,
}

impl Run {
    /// Starts an execution, and gives its first step.
    ///
    /// # Errors
    /// If its input is not JSON.
    pub(crate) fn start(machine: Arc<Machine>, origin: &Origin) -> Result<(Self, Step), serde_json::Error> {
        let (execution, step) = Execution::start(machine, origin.start()?);
        let mut run = Self {
            execution,
            tasks: BTreeMap::new(),
            timers: BTreeMap::new(),
            outcome: None,
            last_event: 0,
            identity: TaskIdentity {
                role_arn: origin.revision.role_arn.as_str().into(),
                execution_arn: origin.execution_arn.as_str().into(),
            },
            mocking: origin.test_case.as_ref().map(|case| {
                Box::new(Mocking {
                    // A map run's children are of the machine that holds the map.
                    machine: origin.machine.split('/').next().unwrap_or_default().to_owned(),
                    case: case.clone(),
                    calls: BTreeMap::new(),
                })
            }),
            log: Log::of(origin).map(Box::new),
        };
        run.note(&step, origin.started);
        Ok((run, step))
    }

    /// Tells the execution what happened, and gives its next step.
    pub(crate) fn apply(&mut self, input: Input, now: Timestamp) -> Step {
        match &input {
            Input::TaskStarted { task, .. } => self.change(*task, |waiting| waiting.started = true),
            Input::TaskSubmitted { task, output } => self.change(*task, |waiting| {
                waiting.submitted = true;
                let waits_for_job = |call: &Arc<TaskCall>| matches!(call.kind(), Pattern::Sync | Pattern::Sync2);
                if waiting.call().is_some_and(waits_for_job) {
                    waiting.response = Some(output.as_str().into());
                }
            }),
            Input::TaskSucceeded { task, .. } | Input::TaskFailed { task, .. } => drop(self.tasks.remove(task)),
            Input::TimerFired { timer } => drop(self.timers.remove(timer)),
            Input::Redrive => self.outcome = None,
            Input::TaskHeartbeat { .. } | Input::Stop { .. } => {}
        }
        let step = self.execution.apply(input, now);
        self.note(&step, now);
        step
    }

    fn change(&mut self, task: TaskId, change: impl FnOnce(&mut Waiting)) {
        if let Some(waiting) = self.tasks.get_mut(&task) {
            change(waiting);
        }
    }

    fn note(&mut self, step: &Step, now: Timestamp) {
        if let Some(event) = step.events.last() {
            self.last_event = event.id;
        }
        for effect in &step.effects {
            match effect {
                Effect::Invoke(call) => {
                    let number = self.count_call(&call.state_name);
                    self.await_work(call.task, Work::Call(Arc::new((**call).clone())), now, number);
                }
                Effect::StartMapRun(run) => self.await_work(run.task, Work::MapRun(Arc::new((**run).clone())), now, 0),
                Effect::CancelTask(task) => drop(self.tasks.remove(task)),
                Effect::SetTimer { timer, due } => drop(self.timers.insert(*timer, *due)),
                Effect::CancelTimer(timer) => drop(self.timers.remove(timer)),
                Effect::Finish(outcome) => self.finish(outcome.clone()),
            }
        }
    }

    fn await_work(&mut self, task: TaskId, work: Work, since: Timestamp, number: u64) {
        let waiting = Waiting {
            work,
            started: false,
            submitted: false,
            since,
            response: None,
            number,
        };
        self.tasks.insert(task, waiting);
    }

    /// How many calls a state has made before this one, if that matters.
    fn count_call(&mut self, state: &str) -> u64 {
        let Some(mocking) = &mut self.mocking else { return 0 };
        let calls = mocking.calls.entry(state.to_owned()).or_default();
        *calls += 1;
        *calls - 1
    }

    /// Whom the execution's tasks are called as.
    pub(crate) fn identity(&self) -> &TaskIdentity {
        &self.identity
    }

    /// The state machine and its test case, if one was started.
    pub(crate) fn test_case(&self) -> Option<(&str, &str)> {
        let mocking = self.mocking.as_ref()?;
        Some((&mocking.machine, &mocking.case))
    }

    /// Ends a run that was given up.
    pub(crate) fn abandon(&mut self, outcome: Option<Outcome>) {
        self.finish(outcome.unwrap_or(Outcome::Failed {
            error: None,
            cause: None,
        }));
    }

    fn finish(&mut self, outcome: Outcome) {
        self.tasks.clear();
        self.timers.clear();
        self.outcome = Some(outcome);
    }

    /// What the execution runs.
    pub(crate) fn machine(&self) -> &Arc<Machine> {
        self.execution.machine()
    }

    /// Where the execution is logged, if it is.
    pub(crate) fn log(&self) -> Option<&Log> {
        self.log.as_deref()
    }

    /// How the execution ended, if it has.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Whether an execution that has ended may be redriven.
    pub(crate) fn is_redrivable(&self) -> bool {
        self.execution.is_redrivable()
    }

    /// The number of the latest event.
    pub(crate) fn last_event(&self) -> u64 {
        self.last_event
    }

    /// A task that has no result yet.
    pub(crate) fn task(&self, task: TaskId) -> Option<&Waiting> {
        self.tasks.get(&task)
    }

    /// Every task that has no result yet.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = &Waiting> {
        self.tasks.values()
    }

    /// When the earliest timer is due.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.timers.values().min().copied()
    }

    /// The timers that are due at `now`, the earliest first.
    pub(crate) fn due(&self, now: Timestamp) -> Vec<TimerId> {
        let mut due: Vec<(Timestamp, TimerId)> = self
            .timers
            .iter()
            .map(|(timer, due)| (*due, *timer))
            .filter(|(due, _)| *due <= now)
            .collect();
        due.sort();
        due.into_iter().map(|(_, timer)| timer).collect()
    }

    /// Whether nothing that this server does keeps the execution going: it
    /// may leave the memory until a timer is due or a result comes.
    pub(crate) fn is_idle(&self) -> bool {
        !self.tasks.values().any(Waiting::is_local)
    }
}
