//! Runs a definition with closures as tasks: no server, no clock, no network.
//!
//! `cargo run -p scones-asl --example closures`

#![expect(clippy::print_stdout, reason = "the example shows what happens")]

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use scones_asl::{Effect, Execution, Input, Machine, Outcome, Resource, Start, TaskCall, TimerId, Timestamp};
use serde_json::{Value, json};

const DEFINITION: &str = r#"{
  "StartAt": "Classify",
  "States": {
    "Classify": {
      "Type": "Task",
      "Resource": "arn:aws:lambda:us-east-1:000000000000:function:classify",
      "ResultPath": "$.label",
      "Retry": [{"ErrorEquals": ["Busy"], "IntervalSeconds": 2}],
      "Next": "Store"
    },
    "Store": {
      "Type": "Task",
      "Resource": "arn:aws:lambda:us-east-1:000000000000:function:store",
      "End": true
    }
  }
}"#;

/// A task: its input to its output, or to an error's name.
type Task = Box<dyn FnMut(&Value) -> Result<Value, String>>;

fn main() {
    let machine = Machine::parse(DEFINITION).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let mut attempts = 0;
    let mut tasks: HashMap<&str, Task> = HashMap::new();
    tasks.insert(
        "classify",
        Box::new(move |_| {
            attempts += 1;
            if attempts < 3 {
                Err("Busy".to_owned())
            } else {
                Ok(json!("cat"))
            }
        }),
    );
    tasks.insert("store", Box::new(|input| Ok(json!({"stored": input}))));

    let start = Start::of(r#"{"image": "a.png"}"#, Timestamp(0)).unwrap_or_else(|error| panic!("{error}"));
    let (mut execution, mut step) = Execution::start(Arc::new(machine), start);
    let (mut now, mut timers) = (Timestamp(0), BTreeSet::<(Timestamp, TimerId)>::new());
    loop {
        for event in &step.events {
            println!(
                "{:>6} ms  {:>2}  {}",
                event.timestamp.0,
                event.id,
                event.kind.type_name()
            );
        }
        let mut next = None;
        for effect in step.effects {
            match effect {
                Effect::Invoke(call) => next = Some(perform(&mut tasks, &call)),
                Effect::SetTimer { timer, due } => drop(timers.insert((due, timer))),
                Effect::CancelTimer(timer) => timers.retain(|(_, other)| *other != timer),
                // This machine has no distributed maps.
                Effect::StartMapRun(_) | Effect::CancelTask(_) => {}
                Effect::Finish(outcome) => return report(&outcome),
            }
        }
        // Nothing runs: the clock jumps to the next timer.
        let input = next.or_else(|| {
            let (due, timer) = timers.pop_first()?;
            now = due;
            Some(Input::TimerFired { timer })
        });
        match input {
            Some(input) => step = execution.apply(input, now),
            None => return,
        }
    }
}

fn perform(tasks: &mut HashMap<&str, Task>, call: &TaskCall) -> Input {
    let task = call.task;
    let name = match &call.resource {
        Resource::Lambda { arn } => arn.rsplit(':').next().unwrap_or_default(),
        _ => "",
    };
    match tasks.get_mut(name).map(|perform| perform(&call.parameters)) {
        Some(Ok(output)) => Input::TaskSucceeded {
            task,
            output: output.to_string(),
        },
        Some(Err(error)) => Input::TaskFailed {
            task,
            error: Some(error),
            cause: None,
        },
        None => Input::TaskFailed {
            task,
            error: Some("NoSuchTask".to_owned()),
            cause: None,
        },
    }
}

fn report(outcome: &Outcome) {
    match outcome {
        Outcome::Succeeded { output } => println!("succeeded with {output}"),
        other => println!("ended with {other:?}"),
    }
}
