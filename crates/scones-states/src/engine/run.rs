//! An execution in memory, with what it waits for. Pure: the actor performs
//! what comes out of it, and recovery rebuilds it from a history.

use std::{collections::BTreeMap, sync::Arc};

use scones_asl::{
    Effect, Execution, Input, Machine, Outcome, Pattern, Resource, Start, Step, TaskCall, TaskId, TimerId, Timestamp,
    map_run::MapRun,
};

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
    /// Its request was accepted; the result comes by its token.
    pub(crate) submitted: bool,
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

    /// That effect.
    pub(crate) fn effect(&self) -> Effect {
        match &self.work {
            Work::Call(call) => Effect::Invoke(Box::new((**call).clone())),
            Work::MapRun(run) => Effect::StartMapRun(Box::new((**run).clone())),
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
}

impl Run {
    /// Starts an execution, and gives its first step.
    pub(crate) fn start(machine: Arc<Machine>, start: Start) -> (Self, Step) {
        let (execution, step) = Execution::start(machine, start);
        let mut run = Self {
            execution,
            tasks: BTreeMap::new(),
            timers: BTreeMap::new(),
            outcome: None,
            last_event: 0,
        };
        run.note(&step);
        (run, step)
    }

    /// Tells the execution what happened, and gives its next step.
    pub(crate) fn apply(&mut self, input: Input, now: Timestamp) -> Step {
        match &input {
            Input::TaskStarted { task, .. } => self.change(*task, |waiting| waiting.started = true),
            Input::TaskSubmitted { task, .. } => self.change(*task, |waiting| waiting.submitted = true),
            Input::TaskSucceeded { task, .. } | Input::TaskFailed { task, .. } => drop(self.tasks.remove(task)),
            Input::TimerFired { timer } => drop(self.timers.remove(timer)),
            Input::Redrive => self.outcome = None,
            Input::TaskHeartbeat { .. } | Input::Stop { .. } => {}
        }
        let step = self.execution.apply(input, now);
        self.note(&step);
        step
    }

    fn change(&mut self, task: TaskId, change: impl FnOnce(&mut Waiting)) {
        if let Some(waiting) = self.tasks.get_mut(&task) {
            change(waiting);
        }
    }

    fn note(&mut self, step: &Step) {
        if let Some(event) = step.events.last() {
            self.last_event = event.id;
        }
        for effect in &step.effects {
            match effect {
                Effect::Invoke(call) => self.await_work(call.task, Work::Call(Arc::new((**call).clone()))),
                Effect::StartMapRun(run) => self.await_work(run.task, Work::MapRun(Arc::new((**run).clone()))),
                Effect::CancelTask(task) => drop(self.tasks.remove(task)),
                Effect::SetTimer { timer, due } => drop(self.timers.insert(*timer, *due)),
                Effect::CancelTimer(timer) => drop(self.timers.remove(timer)),
                Effect::Finish(outcome) => self.finish(outcome.clone()),
            }
        }
    }

    fn await_work(&mut self, task: TaskId, work: Work) {
        let waiting = Waiting {
            work,
            started: false,
            submitted: false,
        };
        self.tasks.insert(task, waiting);
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
