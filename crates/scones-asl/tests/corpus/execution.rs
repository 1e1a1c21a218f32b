//! The `execution` suite: definitions with stubbed tasks under virtual time.

use std::collections::BTreeMap;
use std::sync::Arc;

use scones_asl::map_run::{ItemSource, MapRun, exceeds};
use scones_asl::{
    Effect, Execution, HistoryEvent, Input, Machine, Outcome, Resource, Start, TaskCall, TimerId, Timestamp,
};
use serde_json::{Map, Value, json};

use crate::compare::Matcher;
use crate::score::Tally;

const STEPS_MAX: usize = 20_000;

#[test]
fn executions_end_as_recorded() {
    let Some(folder) = crate::suite("execution") else {
        return;
    };
    let (mut results, mut histories) = (Tally::default(), Tally::default());
    for case in crate::cases(&folder) {
        let class = case["class"].as_str().unwrap();
        if !matches!(class, "pure" | "stubbed") {
            continue;
        }
        if case["mode"] == "sync" && class == "stubbed" && case["stubs"].is_null() {
            continue;
        }
        let (id, group) = (case["id"].as_str().unwrap(), case["group"].as_str().unwrap());
        let run = Run::of(&case);
        let result = run
            .as_ref()
            .map_or_else(|error| Some(error.clone()), |run| run.result(&case));
        results.add(group, result.is_none());
        let has_history = case["expected"]["history"].is_array();
        let history = run
            .as_ref()
            .map_or_else(|error| Some(error.clone()), |run| run.history(&case));
        if has_history {
            histories.add(group, history.is_none());
        }
        if crate::shown(id) {
            for difference in result.iter().chain(history.iter().filter(|_| has_history)) {
                println!("{id}\n    {}", difference.chars().take(900).collect::<String>());
            }
        }
    }
    results.check("execution result");
    histories.check("execution history");
}

/// What a case did.
struct Run {
    events: Vec<HistoryEvent>,
    outcome: Option<Outcome>,
}

/// A run under way.
struct Driver<'c> {
    case: &'c Value,
    execution: Execution,
    now: Timestamp,
    timers: BTreeMap<(Timestamp, TimerId), ()>,
    stubs: Vec<(Value, bool)>,
    events: Vec<HistoryEvent>,
    outcome: Option<Outcome>,
    inputs: Vec<Input>,
}

impl Run {
    fn of(case: &Value) -> Result<Self, String> {
        let definition = case["definition"].to_string();
        let machine =
            Machine::parse(&definition).map_err(|problems| format!("refused: {}", problems.first().unwrap()))?;
        let input = case["input"].as_str().unwrap_or("{}");
        let token = |part: &str| {
            let tokens = case["tokens"].as_object().into_iter().flatten();
            tokens
                .into_iter()
                .find(|(name, _)| name.contains(part))
                .and_then(|(_, value)| value.as_str())
        };
        let machine_name = "machine";
        let mut start = Start::of(input, Timestamp(1_700_000_000_000)).map_err(|e| e.to_string())?;
        start.role_arn = token("snf_role_arn")
            .or_else(|| token("role"))
            .unwrap_or("arn:aws:iam::111111111111:role/r")
            .to_owned();
        start.execution_arn = format!("arn:aws:states:us-east-1:111111111111:execution:{machine_name}:run");
        if case["mode"] == "sync" {
            start.synchronous = true;
            start.execution_arn = format!("arn:aws:states:us-east-1:111111111111:express:{machine_name}:run:one");
        }
        start.execution_name = "run".to_owned();
        start.state_machine_arn = format!("arn:aws:states:us-east-1:111111111111:stateMachine:{machine_name}");
        start.state_machine_name = machine_name.to_owned();
        start.express = case["type"] == "EXPRESS";
        let now = start.start;
        let (execution, step) = Execution::start(Arc::new(machine), start);
        let stubs = case["stubs"].as_array().cloned().unwrap_or_default();
        let mut driver = Driver {
            case,
            execution,
            now,
            timers: BTreeMap::new(),
            stubs: stubs.into_iter().map(|stub| (stub, false)).collect(),
            events: Vec::new(),
            outcome: None,
            inputs: Vec::new(),
        };
        driver.take(step);
        driver.run()?;
        Ok(Self {
            events: driver.events,
            outcome: driver.outcome,
        })
    }

    /// The first difference of status, output, error and cause.
    fn result(&self, case: &Value) -> Option<String> {
        let expected = &case["expected"];
        let mut actual = Map::new();
        let mut put = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                actual.insert(name.to_owned(), Value::String(value));
            }
        };
        match self.outcome.clone() {
            Some(Outcome::Succeeded { output }) => {
                put("status", Some("SUCCEEDED".into()));
                put("output", Some(output.to_string()));
            }
            Some(Outcome::Failed { error, cause }) => {
                put("status", Some("FAILED".into()));
                put("error", error);
                put("cause", cause);
            }
            Some(Outcome::TimedOut) => put("status", Some("TIMED_OUT".into())),
            Some(Outcome::Aborted { error, cause }) => {
                put("status", Some("ABORTED".into()));
                put("error", error);
                put("cause", cause);
            }
            None => put("status", Some("RUNNING".into())),
        }
        let mut matcher = Matcher::of(case);
        for name in ["status", "output", "error", "cause"] {
            let (expected, actual) = (&expected[name], actual.get(name).unwrap_or(&Value::Null));
            if name == "status" && expected.is_null()
                || name == "status" && actual == "RUNNING" && expected == "ABORTED"
            {
                continue;
            }
            if let Some(difference) = matcher.difference(expected, actual) {
                return Some(format!("{name} {difference}"));
            }
        }
        None
    }

    fn history(&self, case: &Value) -> Option<String> {
        let mut expected = case["expected"]["history"].as_array()?.clone();
        let mut actual: Vec<Value> = self
            .events
            .iter()
            .map(|event| serde_json::to_value(event).unwrap())
            .collect();
        let ids: Vec<u64> = expected.iter().filter_map(|event| event["id"].as_u64()).collect();
        if ids.len() > 1 && ids.is_sorted_by(|left, right| left > right) {
            actual.reverse();
        }
        if case["history_is_prefix"] == true || case["expected"]["history_is_prefix"] == true {
            actual.truncate(expected.len());
        }
        let normalised = case["normalise"].as_array().is_some_and(|kinds| {
            kinds
                .iter()
                .filter_map(Value::as_str)
                .any(|kind| kind.to_lowercase().contains("parallel"))
        });
        if normalised {
            actual = normalise_parallel(actual);
            for events in [&mut expected, &mut actual] {
                sort_sections(events);
            }
        }
        if expected.len() != actual.len() {
            let types = |events: &[Value]| -> Vec<String> {
                events
                    .iter()
                    .map(|event| format!("{} {}", event["id"], event["type"]))
                    .collect()
            };
            return Some(format!(
                "events {:?}\n    but were {:?}",
                types(&expected),
                types(&actual)
            ));
        }
        let mut matcher = Matcher::of(case);
        expected.iter().zip(&actual).find_map(|(expected, actual)| {
            matcher
                .difference(expected, actual)
                .map(|difference| format!("event {} {difference}", actual["id"]))
        })
    }
}

/// What the recordings did to the events of a parallel section: ids are lost,
/// and of two successive ends the first one drops out.
fn normalise_parallel(mut events: Vec<Value>) -> Vec<Value> {
    const ENDS: &[&str] = &[
        "ParallelStateAborted",
        "ParallelStateExited",
        "ParallelStateFailed",
        "ParallelStateSucceeded",
    ];
    let (mut start, mut section, mut inside, mut index) = (None, Vec::new(), false, 0);
    while index < events.len() {
        let kind = events[index]["type"].as_str().unwrap_or_default().to_owned();
        if ENDS.contains(&kind.as_str()) {
            if let Some(start) = start {
                events.splice(start..index, section.iter().cloned());
            }
            inside = false;
        } else if kind == "ParallelStateStarted" {
            (inside, start) = (true, Some(index + 1));
            section.clear();
        } else if inside {
            events[index]["id"] = json!([0]);
            events[index]["previousEventId"] = json!(0);
            section.push(events[index].clone());
        }
        index += 1;
    }
    events
}

/// Brings the events that have lost their ids into one order.
fn sort_sections(events: &mut [Value]) {
    let lost = |event: &Value| event["id"].is_array();
    let mut at = 0;
    while at < events.len() {
        let length = events[at..].iter().take_while(|event| lost(event)).count();
        events[at..at + length].sort_by_key(|event| {
            let details = event
                .get("stateEnteredEventDetails")
                .or_else(|| event.get("stateExitedEventDetails"));
            (
                event["type"].to_string(),
                details.map(|details| details["name"].to_string()),
            )
        });
        at += length.max(1);
    }
}

impl Driver<'_> {
    fn run(&mut self) -> Result<(), String> {
        for _ in 0..STEPS_MAX {
            if self.outcome.is_some() {
                return Ok(());
            }
            let input = if self.inputs.is_empty() {
                let Some(((due, timer), ())) = self.timers.pop_first() else {
                    return Ok(());
                };
                self.now = self.now.max(due);
                Input::TimerFired { timer }
            } else {
                self.inputs.remove(0)
            };
            let step = self.execution.apply(input, self.now);
            self.take(step);
        }
        Err(format!("no end after {STEPS_MAX} steps"))
    }

    fn take(&mut self, step: scones_asl::Step) {
        self.events.extend(step.events);
        for effect in step.effects {
            match effect {
                Effect::Invoke(call) => self.answer(&call),
                Effect::SetTimer { timer, due } => {
                    self.timers.insert((due, timer), ());
                }
                Effect::CancelTimer(timer) => self.timers.retain(|(_, other), ()| *other != timer),
                Effect::StartMapRun(run) => self.run_children(*run),
                Effect::CancelTask(_) => {}
                Effect::Finish(outcome) => self.outcome = Some(outcome),
            }
        }
    }

    /// Runs the children of a distributed map, one after another.
    fn run_children(&mut self, run: MapRun) {
        let ItemSource::Items(items) = &run.source else {
            return;
        };
        let processor = Arc::new(self.execution.machine().item_processor(&run.state_name).unwrap());
        let (mut outputs, mut failed) = (Vec::new(), 0);
        for (index, item) in (0..).zip(items.clone()) {
            let outcome = run
                .item_input(index, item)
                .map_err(|failure| format!("{failure:?}"))
                .and_then(|input| self.child(&processor, &input.to_string()));
            match outcome {
                Ok(Some(Outcome::Succeeded { output })) => outputs.push(output.to_string()),
                _ => failed += 1,
            }
        }
        self.inputs.push(
            if exceeds(
                failed,
                items.len() as u64,
                run.tolerated_failure_count,
                run.tolerated_failure_percentage,
            ) {
                let failure = MapRun::exceeded();
                Input::TaskFailed {
                    task: run.task,
                    error: failure.error,
                    cause: failure.cause,
                }
            } else {
                Input::TaskSucceeded {
                    task: run.task,
                    output: format!("[{}]", outputs.join(",")),
                }
            },
        );
    }

    fn child(&mut self, machine: &Arc<Machine>, input: &str) -> Result<Option<Outcome>, String> {
        let start = Start::of(input, self.now).map_err(|error| error.to_string())?;
        let (execution, step) = Execution::start(Arc::clone(machine), start);
        let mut child = Driver {
            case: self.case,
            execution,
            now: self.now,
            timers: BTreeMap::new(),
            stubs: std::mem::take(&mut self.stubs),
            events: Vec::new(),
            outcome: None,
            inputs: Vec::new(),
        };
        child.take(step);
        let ran = child.run();
        self.stubs = child.stubs;
        ran.map(|()| child.outcome)
    }

    /// Queues the recorded outcome of a call.
    fn answer(&mut self, call: &TaskCall) {
        let mut same_state = self.stubs.iter().enumerate().filter(|(_, (stub, used))| {
            !used && (stub["state"] == call.state_name.as_str() || stub["state"].is_null())
        });
        let first = same_state.clone().next().map(|(index, _)| index);
        let by_parameters = same_state.find_map(|(index, (stub, _))| {
            let parameters = stub.get("parameters").or_else(|| stub.get("input"))?;
            Matcher::of(self.case)
                .difference(parameters, &call.parameters)
                .is_none()
                .then_some(index)
        });
        let Some(index) = by_parameters.or(first) else { return };
        self.stubs[index].1 = true;
        let stub = &self.stubs[index].0;
        let task = call.task;
        let worker_name = self.case["expected"]["history"].as_array().and_then(|events| {
            let started = events.iter().find(|event| event["type"] == "ActivityStarted")?;
            started["activityStartedEventDetails"]["workerName"]
                .as_str()
                .map(str::to_owned)
        });
        let is_activity = matches!(call.resource, Resource::Activity { .. });
        self.inputs.push(Input::TaskStarted {
            task,
            worker_name: worker_name.filter(|_| is_activity),
        });
        if let Some(output) = stub.get("submitted_output").filter(|output| !output.is_null()) {
            self.inputs.push(Input::TaskSubmitted {
                task,
                output: json_text(output),
            });
        }
        let before = self.stubs[..index].iter();
        let nameless = before.filter(|(stub, _)| stub["outcome"].is_null()).count();
        let lost = self.case["expected"]["history"].as_array().and_then(|events| {
            // The recording lost which task it was, but not what came of it.
            let mut ended = events.iter().filter(|event| event["type"] == "TaskSucceeded");
            let ended = ended.nth(nameless)?;
            Some(json!({"succeeded": ended["taskSucceededEventDetails"]["output"]}))
        });
        let aborted = self.case["expected"]["status"] != "SUCCEEDED";
        let outcome = match &stub["outcome"] {
            Value::Null if !aborted => &lost.unwrap_or_default(),
            outcome => outcome,
        };
        if let Some(output) = outcome.get("succeeded") {
            self.inputs.push(Input::TaskSucceeded {
                task,
                output: json_text(output),
            });
        } else if let Some(failure) = outcome.get("failed") {
            if failure["event"]
                .as_str()
                .is_some_and(|event| event.ends_with("TimedOut"))
            {
                return;
            }
            let text = |value: &Value| match value {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            };
            let (error, cause) = (text(&failure["error"]), text(&failure["cause"]));
            self.inputs.push(Input::TaskFailed { task, error, cause });
        }
    }
}

/// An output as JSON text: recordings hold some outputs as text already.
fn json_text(output: &Value) -> String {
    match output {
        Value::String(text) if serde_json::from_str::<Value>(text).is_ok() => text.clone(),
        other => other.to_string(),
    }
}
