//! The interpreter: one execution as a value that is told what happened and
//! answers with history events and effects.

mod children;
mod context;
mod fault;
mod frame;
mod map_run;
mod redrive;
mod state;
mod task;
mod token;
mod trial;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

pub use token::TaskToken;
pub use trial::{Answer, Begun, ErrorDetails, Inspection, Pending, Trial, TrialStart, TrialStatus, Verdict};

use crate::effect::{Effect, Input, Outcome, Step, TaskId, TimerId};
use crate::error::{Fault, names};
use crate::event::{EventKind, ExecutionStarted, Failure, HistoryEvent, Output, Truncation};
use crate::limits::HISTORY_EVENTS_MAX;
use crate::machine::Machine;
use crate::random::Random;
use crate::time::Timestamp;
use frame::{Frame, FrameId};
use trial::Bench;

/// Everything that an execution is started with.
#[derive(Clone, Debug)]
pub struct Start {
    /// The execution's ARN.
    pub execution_arn: String,
    /// The execution's name.
    pub execution_name: String,
    /// The machine's role.
    pub role_arn: String,
    /// The machine's ARN, without a version or alias.
    pub state_machine_arn: String,
    /// The machine's name.
    pub state_machine_name: String,
    /// The input. Only `input_text` is kept.
    pub input: Value,
    /// The input as the caller wrote it; valid JSON.
    pub input_text: String,
    /// When the execution starts.
    pub start: Timestamp,
    /// Decides every random choice of the execution.
    pub seed: u64,
    /// Express executions have no limit on their history.
    pub express: bool,
    /// Somebody waits for its end: its context shows no count of redrives.
    pub synchronous: bool,
    /// The alias that was started, if any.
    pub state_machine_alias_arn: Option<String>,
    /// The version that runs, if any.
    pub state_machine_version_arn: Option<String>,
    /// How often the execution was redriven.
    pub redrive_count: u64,
}

impl Start {
    /// A start with an input and nothing else, for executions without a server.
    ///
    /// # Errors
    /// The input is not JSON.
    pub fn of(input: &str, start: Timestamp) -> Result<Self, serde_json::Error> {
        let account = "arn:aws:states:us-east-1:000000000000";
        Ok(Self {
            execution_arn: format!("{account}:execution:local:local"),
            execution_name: "local".to_owned(),
            role_arn: "arn:aws:iam::000000000000:role/local".to_owned(),
            state_machine_arn: format!("{account}:stateMachine:local"),
            state_machine_name: "local".to_owned(),
            input: serde_json::from_str(input)?,
            input_text: input.to_owned(),
            start,
            seed: 0,
            express: false,
            synchronous: false,
            state_machine_alias_arn: None,
            state_machine_version_arn: None,
            redrive_count: 0,
        })
    }
}

/// Whether an execution runs or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It waits for inputs.
    Running,
    /// It ended with an output.
    Succeeded,
    /// It ended with an error.
    Failed,
    /// The machine's time was up.
    TimedOut,
    /// It was stopped.
    Aborted,
}

/// One execution.
///
/// Deterministic: the same machine, start and inputs give the same steps. A
/// driver that stores every input can rebuild the value by applying them again.
#[derive(Debug)]
pub struct Execution {
    machine: Arc<Machine>,
    identity: Identity,
    random: Random,
    frames: HashMap<FrameId, Box<Frame>>,
    ready: VecDeque<FrameId>,
    tasks: HashMap<TaskId, FrameId>,
    timers: HashMap<TimerId, Alarm>,
    last_id: u64,
    last_event: u64,
    status: Status,
    /// What an unsuccessful end left: the outermost strand, with the others in
    /// it, for a redrive.
    wreck: Option<Box<Frame>>,
    now: Timestamp,
    step: Step,
    /// Set while one state is tried on its own.
    bench: Option<Box<Bench>>,
}

/// What the context object shows of an execution.
#[derive(Debug)]
struct Identity {
    execution_arn: String,
    execution_name: String,
    role_arn: String,
    state_machine_arn: String,
    state_machine_name: String,
    input: Arc<str>,
    start: Timestamp,
    redrive_count: u64,
    /// When it was redriven last, if ever; boxed, as few are.
    redriven: Option<Box<Timestamp>>,
    express: bool,
    synchronous: bool,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alarm {
    /// The machine's `TimeoutSeconds`.
    Machine,
    /// A task's `TimeoutSeconds`.
    Timeout(FrameId),
    /// A task's `HeartbeatSeconds`.
    Heartbeat(FrameId),
    /// A Wait state.
    Wait(FrameId),
    /// A retry that waits for its turn.
    Retry(FrameId),
}

impl Execution {
    /// Starts an execution and runs it until it waits or ends.
    #[must_use]
    pub fn start(machine: Arc<Machine>, mut start: Start) -> (Self, Step) {
        let alias = start.state_machine_alias_arn.take();
        let version = start.state_machine_version_arn.take();
        let mut execution = Self::idle(machine, start);
        let input = Arc::clone(&execution.identity.input);
        let started = EventKind::ExecutionStarted(ExecutionStarted {
            input: Arc::clone(&input),
            input_details: Truncation::default(),
            role_arn: execution.identity.role_arn.clone(),
            state_machine_alias_arn: alias,
            state_machine_version_arn: version,
        });
        execution.emit(0, started);
        execution.set_deadline();
        let root = Frame::root(Arc::clone(&execution.machine.workflow), input);
        execution.spawn(root);
        execution.run();
        let step = std::mem::take(&mut execution.step);
        (execution, step)
    }

    /// An execution that does nothing yet.
    fn idle(machine: Arc<Machine>, start: Start) -> Self {
        Self {
            machine,
            identity: Identity {
                execution_arn: start.execution_arn,
                execution_name: start.execution_name,
                role_arn: start.role_arn,
                state_machine_arn: start.state_machine_arn,
                state_machine_name: start.state_machine_name,
                input: start.input_text.into(),
                start: start.start,
                redrive_count: start.redrive_count,
                redriven: None,
                synchronous: start.synchronous,
                express: start.express,
            },
            random: Random::new(start.seed),
            frames: HashMap::new(),
            ready: VecDeque::new(),
            tasks: HashMap::new(),
            timers: HashMap::new(),
            last_id: 0,
            last_event: 0,
            status: Status::Running,
            wreck: None,
            now: start.start,
            step: Step::default(),
            bench: None,
        }
    }

    /// Takes one input and runs until the execution waits again or ends.
    ///
    /// `now` must not go backwards. An input for a task or timer that is not
    /// awaited, and any input but a redrive after the end, gives an empty step.
    pub fn apply(&mut self, input: Input, now: Timestamp) -> Step {
        if self.status == Status::Running || matches!(input, Input::Redrive) {
            self.now = now;
            self.take_input(input);
            self.run();
        }
        std::mem::take(&mut self.step)
    }

    /// What the execution runs.
    #[must_use]
    pub fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    /// Whether the execution runs or how it ended.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// The number of events written so far.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        self.last_event
    }

    /// Whether a task is still awaited, so that a token for it is good.
    #[must_use]
    pub fn awaits_task(&self, task: TaskId) -> bool {
        self.tasks.contains_key(&task)
    }

    fn take_input(&mut self, input: Input) {
        match input {
            Input::Stop { error, cause } => {
                let failure = Failure {
                    error: error.clone(),
                    cause: cause.clone(),
                };
                let outcome = Outcome::Aborted { error, cause };
                self.finish(0, EventKind::ExecutionAborted(failure), Status::Aborted, outcome);
            }
            Input::TimerFired { timer } => {
                if let Some(alarm) = self.timers.remove(&timer) {
                    self.ring(alarm);
                }
            }
            Input::TaskStarted { task, worker_name } => self.task_started(task, worker_name),
            Input::TaskSubmitted { task, output } => self.task_submitted(task, output),
            Input::TaskSucceeded { task, output } => self.task_succeeded(task, output.into()),
            Input::TaskFailed { task, error, cause } => {
                self.task_failed(task, Fault::reported(error, cause));
            }
            Input::TaskHeartbeat { task } => self.task_heartbeat(task),
            Input::Redrive => self.redrive(),
        }
    }

    fn ring(&mut self, alarm: Alarm) {
        match alarm {
            Alarm::Machine => {
                let failure = Failure {
                    error: Some(names::TIMEOUT.to_owned()),
                    cause: None,
                };
                let event = EventKind::ExecutionTimedOut(failure);
                self.finish(0, event, Status::TimedOut, Outcome::TimedOut);
            }
            Alarm::Timeout(frame) => self.task_timed_out(frame, Fault::timeout()),
            Alarm::Heartbeat(frame) => self.task_timed_out(frame, Fault::heartbeat_timeout()),
            Alarm::Wait(frame) => self.wait_is_over(frame),
            Alarm::Retry(frame) => self.ready.push_back(frame),
        }
    }

    /// Gives every strand that can go on a turn, until none can.
    fn run(&mut self) {
        while self.status == Status::Running {
            if self.history_is_full() {
                let cause =
                    format!("The execution reached the maximum number of history events ({HISTORY_EVENTS_MAX}).");
                let fault = Fault::reported(Some(names::RUNTIME.to_owned()), Some(cause));
                return self.fail_execution(self.last_event, fault);
            }
            let Some(id) = self.ready.pop_front() else {
                // An idle execution keeps no room for a queue.
                return self.ready = VecDeque::new();
            };
            if let Some(mut frame) = self.frames.remove(&id) {
                let turn = self.turn(id, &mut frame);
                self.settle(id, frame, turn);
            }
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn spawn(&mut self, frame: Frame) -> FrameId {
        let id = FrameId(self.next_id());
        self.frames.insert(id, Box::new(frame));
        self.ready.push_back(id);
        id
    }

    fn set_timer(&mut self, due: Timestamp, alarm: Alarm) -> TimerId {
        let timer = TimerId(self.next_id());
        self.timers.insert(timer, alarm);
        self.step.effects.push(Effect::SetTimer { timer, due });
        timer
    }

    /// The machine's time counts from the start, or from the last redrive.
    fn set_deadline(&mut self) {
        if let Some(seconds) = self.machine.timeout_seconds {
            self.set_timer(self.now.plus_seconds(seconds), Alarm::Machine);
        }
    }

    fn cancel_timer(&mut self, timer: Option<TimerId>) {
        if let Some(timer) = timer
            && self.timers.remove(&timer).is_some()
        {
            self.step.effects.push(Effect::CancelTimer(timer));
        }
    }

    /// Room is kept for the event that ends the execution.
    fn history_is_full(&self) -> bool {
        self.status == Status::Running && self.is_history_full()
    }

    fn is_history_full(&self) -> bool {
        !self.identity.express && self.last_event + 1 >= HISTORY_EVENTS_MAX
    }

    /// Writes an event and gives its id; a full history drops it, and the
    /// execution then ends.
    fn emit(&mut self, previous: u64, kind: EventKind) -> u64 {
        if self.history_is_full() {
            return self.last_event;
        }
        self.write(previous, kind)
    }

    fn write(&mut self, previous: u64, kind: EventKind) -> u64 {
        self.last_event += 1;
        let timestamp = self.now;
        let id = self.last_event;
        self.step.events.push(HistoryEvent {
            id,
            previous_event_id: previous,
            timestamp,
            kind,
        });
        id
    }

    fn succeed_execution(&mut self, previous: u64, output: Arc<str>) {
        let details = Output {
            output: Arc::clone(&output),
            output_details: Truncation::default(),
        };
        let event = EventKind::ExecutionSucceeded(details);
        self.finish(previous, event, Status::Succeeded, Outcome::Succeeded { output });
    }

    fn fail_execution(&mut self, previous: u64, fault: Fault) {
        let Fault { error, cause, .. } = fault;
        let event = EventKind::ExecutionFailed(Failure {
            error: error.clone(),
            cause: cause.clone(),
        });
        self.finish(previous, event, Status::Failed, Outcome::Failed { error, cause });
    }

    /// Ends the execution: nothing is awaited any more.
    fn finish(&mut self, previous: u64, event: EventKind, status: Status, outcome: Outcome) {
        self.write(previous, event);
        self.status = status;
        if status != Status::Succeeded {
            self.wreck = self.salvage();
        }
        let mut tasks: Vec<TaskId> = self.tasks.drain().map(|(task, _)| task).collect();
        tasks.sort_unstable();
        self.step.effects.extend(tasks.into_iter().map(Effect::CancelTask));
        let mut timers: Vec<TimerId> = self.timers.drain().map(|(timer, _)| timer).collect();
        timers.sort_unstable();
        self.step.effects.extend(timers.into_iter().map(Effect::CancelTimer));
        self.frames.clear();
        self.ready.clear();
        self.step.effects.push(Effect::Finish(outcome));
    }
}
