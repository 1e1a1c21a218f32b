//! Runs a definition with closures as tasks: no server, no clock, no network.
//!
//! `cargo run -p scones-asl --example closures`

#![expect(clippy::print_stdout, reason = "the example shows what happens")]

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use scones_asl::{Effect, Execution, Input, Machine, Outcome, Resource, Start, TaskCall, TimerId, Timestamp};
use serde_json::{Value, json};

/// A task's `Resource` may be any URI; here it names a closure.
const DEFINITION: &str = r#"{
  "StartAt": "Classify",
  "States": {
    "Classify": {
      "Type": "Task",
      "Resource": "image:classify",
      "ResultPath": "$.label",
      "Retry": [{"ErrorEquals": ["Busy"], "IntervalSeconds": 2}],
      "Next": "Store"
    },
    "Store": {"Type": "Task", "Resource": "image:store", "End": true}
  }
}"#;

/// A task: its input to its output, or to an error's name.
type Task = Box<dyn FnMut(&Value) -> Result<Value, &'static str>>;

fn main() {
    let mut attempts = 0;
    let classify = move |_: &Value| {
        attempts += 1;
        (attempts == 3).then(|| json!("cat")).ok_or("Busy")
    };
    let store = |input: &Value| Ok(json!({"stored": input}));
    let mut tasks: HashMap<&str, Task> = HashMap::new();
    tasks.insert("classify", Box::new(classify));
    tasks.insert("store", Box::new(store));

    let machine = Machine::parse(DEFINITION).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let start = Start::of(r#"{"image": "a.png"}"#, Timestamp(0)).unwrap_or_else(|error| panic!("{error}"));
    match run(machine, start, &mut tasks) {
        Some(Outcome::Succeeded { output }) => println!("succeeded with {output}"),
        other => println!("ended with {other:?}"),
    }
}

/// The whole driver: it performs what each step asks for, one thing after
/// another, and lets the clock jump to the next timer when nothing runs.
fn run(machine: Machine, start: Start, tasks: &mut HashMap<&str, Task>) -> Option<Outcome> {
    let (mut now, mut timers, mut inputs) = (start.start, BTreeSet::<(Timestamp, TimerId)>::new(), Vec::new());
    let (mut execution, mut step) = Execution::start(Arc::new(machine), start);
    loop {
        for event in &step.events {
            let (time, name) = (event.timestamp.0, event.kind.type_name());
            println!("{time:>6} ms  {:>2}  {name}", event.id);
        }
        for effect in step.effects {
            match effect {
                Effect::Invoke(call) => inputs.push(perform(tasks, &call)),
                Effect::SetTimer { timer, due } => drop(timers.insert((due, timer))),
                Effect::CancelTimer(timer) => timers.retain(|(_, other)| *other != timer),
                // This machine has no distributed maps.
                Effect::StartMapRun(_) | Effect::CancelTask(_) => {}
                Effect::Finish(outcome) => return Some(outcome),
            }
        }
        let input = inputs.pop().or_else(|| {
            let (due, timer) = timers.pop_first()?;
            now = due;
            Some(Input::TimerFired { timer })
        });
        step = execution.apply(input?, now);
    }
}

fn perform(tasks: &mut HashMap<&str, Task>, call: &TaskCall) -> Input {
    let task = call.task;
    let result = match &call.resource {
        Resource::Service { action, .. } => match tasks.get_mut(action.as_str()) {
            Some(perform) => perform(&call.parameters),
            None => Err("NoSuchTask"),
        },
        _ => Err("NoSuchTask"),
    };
    match result {
        Ok(output) => Input::TaskSucceeded {
            task,
            output: output.to_string(),
        },
        Err(error) => Input::TaskFailed {
            task,
            error: Some(error.to_owned()),
            cause: None,
        },
    }
}
