//! Runs a definition under virtual time.

use std::collections::BTreeSet;
use std::sync::Arc;

use scones_asl::map_run::MapRun;
use scones_asl::{
    Effect, Execution, HistoryEvent, Input, Machine, Outcome, Start, Step, TaskCall, TaskId, TimerId, Timestamp,
};
use serde_json::{Value, json};

/// What a task does.
pub(crate) enum Answer {
    Succeeds(Value),
    Fails(&'static str),
    /// It never answers.
    Hangs,
}

/// An execution with its clock and its timers.
pub(crate) struct World {
    pub(crate) execution: Execution,
    pub(crate) now: Timestamp,
    pub(crate) timers: BTreeSet<(Timestamp, TimerId)>,
    pub(crate) calls: Vec<TaskCall>,
    pub(crate) map_runs: Vec<MapRun>,
    pub(crate) cancelled: Vec<TaskId>,
    pub(crate) events: Vec<HistoryEvent>,
    pub(crate) outcome: Option<Outcome>,
}

pub(crate) fn machine(definition: &Value) -> Arc<Machine> {
    Arc::new(Machine::parse(&definition.to_string()).unwrap_or_else(|problems| panic!("{problems:#?}")))
}

/// One state that starts and ends the machine.
pub(crate) fn single(state: Value) -> Value {
    let mut state = state;
    if !matches!(state["Type"].as_str(), Some("Succeed" | "Fail" | "Choice")) && state.get("Next").is_none() {
        state["End"] = json!(true);
    }
    json!({"StartAt": "S", "States": {"S": state, "Caught": {"Type": "Pass", "End": true}}})
}

impl World {
    pub(crate) fn start(definition: &Value, input: &str) -> Self {
        let start = Start::of(input, Timestamp(0)).unwrap();
        let (execution, step) = Execution::start(machine(definition), start);
        let mut world = Self {
            execution,
            now: Timestamp(0),
            timers: BTreeSet::new(),
            calls: Vec::new(),
            map_runs: Vec::new(),
            cancelled: Vec::new(),
            events: Vec::new(),
            outcome: None,
        };
        world.take(step);
        world
    }

    pub(crate) fn apply(&mut self, input: Input) {
        let step = self.execution.apply(input, self.now);
        self.take(step);
    }

    fn take(&mut self, step: Step) {
        self.events.extend(step.events);
        for effect in step.effects {
            assert!(self.outcome.is_none(), "an effect after the end: {effect:?}");
            match effect {
                Effect::Invoke(call) => self.calls.push(*call),
                Effect::StartMapRun(run) => self.map_runs.push(*run),
                Effect::CancelTask(task) => self.cancelled.push(task),
                Effect::SetTimer { timer, due } => assert!(self.timers.insert((due, timer))),
                Effect::CancelTimer(timer) => self.timers.retain(|(_, other)| *other != timer),
                Effect::Finish(outcome) => self.outcome = Some(outcome),
            }
        }
    }

    /// Lets the next timer fire; false where there is none.
    pub(crate) fn tick(&mut self) -> bool {
        let Some((due, timer)) = self.timers.pop_first() else {
            return false;
        };
        self.now = self.now.max(due);
        self.apply(Input::TimerFired { timer });
        true
    }

    /// Runs to the end, or until nothing can happen any more.
    pub(crate) fn run(&mut self, mut task: impl FnMut(&TaskCall) -> Answer) {
        while self.outcome.is_none() {
            if self.calls.is_empty() {
                if !self.tick() {
                    return;
                }
                continue;
            }
            let call = self.calls.remove(0);
            match task(&call) {
                Answer::Succeeds(output) => {
                    self.apply(Input::TaskSucceeded {
                        task: call.task,
                        output: output.to_string(),
                    });
                }
                Answer::Fails(error) => self.apply(Input::TaskFailed {
                    task: call.task,
                    error: Some(error.to_owned()),
                    cause: Some("because".to_owned()),
                }),
                Answer::Hangs => {}
            }
        }
    }

    /// The output, or `error: cause`, or a word for what else happened.
    pub(crate) fn result(&self) -> String {
        match &self.outcome {
            Some(Outcome::Succeeded { output }) => output.to_string(),
            Some(Outcome::Failed { error, cause }) => {
                format!(
                    "{}: {}",
                    error.as_deref().unwrap_or("-"),
                    cause.as_deref().unwrap_or("-")
                )
            }
            Some(Outcome::TimedOut) => "timed out".to_owned(),
            Some(Outcome::Aborted { .. }) => "aborted".to_owned(),
            None => "running".to_owned(),
        }
    }

    /// The events as `id<-previous Type`, joined by blanks.
    pub(crate) fn chain(&self) -> String {
        let event =
            |event: &HistoryEvent| format!("{}<-{} {}", event.id, event.previous_event_id, event.kind.type_name());
        self.events.iter().map(event).collect::<Vec<_>>().join(", ")
    }
}

/// Runs a definition without tasks.
pub(crate) fn check(definition: &Value, input: &str, expect: &str) {
    check_tasks(
        definition,
        input,
        |call| panic!("unexpected call of {:?}", call.resource),
        expect,
    );
}

pub(crate) fn check_tasks(definition: &Value, input: &str, task: impl FnMut(&TaskCall) -> Answer, expect: &str) {
    let mut world = World::start(definition, input);
    world.run(task);
    assert_eq!(world.result(), expect, "{definition} with {input}");
}

/// Runs one state.
pub(crate) fn check_state(state: Value, input: &str, expect: &str) {
    check(&unreachable_removed(single(state)), input, expect);
}

/// The definition of one state that may catch into `Caught`.
pub(crate) fn unreachable_removed(mut definition: Value) -> Value {
    if !definition["States"]["S"].to_string().contains("\"Caught\"") {
        definition["States"].as_object_mut().unwrap().shift_remove("Caught");
    }
    definition
}
