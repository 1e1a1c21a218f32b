//! Whatever inputs come in whatever order: no panic, no gap, no difference
//! between a run and its replay.

use std::sync::Arc;

use proptest::prelude::*;
use scones_asl::{Execution, HistoryEvent, Input, Machine, Path, Start, Status, TaskId, TimerId, Timestamp};
use serde_json::json;

use crate::harness::machine;

fn definition() -> Arc<Machine> {
    let task = json!({"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "End": true,
        "TimeoutSeconds": 60, "HeartbeatSeconds": 10,
        "Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 2, "JitterStrategy": "FULL"}]});
    machine(&json!({"TimeoutSeconds": 600, "StartAt": "P", "States": {
        "P": {"Type": "Parallel", "Next": "M", "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "W"}], "Branches": [
            {"StartAt": "A", "States": {"A": task}},
            {"StartAt": "B", "States": {"B": {"Type": "Wait", "Seconds": 5, "End": true}}}]},
        "M": {"Type": "Map", "End": true, "MaxConcurrency": 2, "ItemProcessor": {
            "StartAt": "C", "States": {"C": {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:1:function:f", "End": true}}}},
        "W": {"Type": "Wait", "Seconds": 1, "End": true}}}))
}

fn input() -> impl Strategy<Value = Input> {
    let (task, timer) = (|| (1u64..20).prop_map(TaskId), || (1u64..20).prop_map(TimerId));
    prop_oneof![
        6 => timer().prop_map(|timer| Input::TimerFired { timer }),
        6 => task().prop_map(|task| Input::TaskSucceeded { task, output: "[1,2,3]".into() }),
        3 => task().prop_map(|task| Input::TaskFailed { task, error: Some("E".into()), cause: None }),
        2 => task().prop_map(|task| Input::TaskStarted { task, worker_name: None }),
        2 => task().prop_map(|task| Input::TaskSubmitted { task, output: "{}".into() }),
        2 => task().prop_map(|task| Input::TaskHeartbeat { task }),
        1 => Just(Input::Stop { error: None, cause: None }),
    ]
}

fn run(machine: &Arc<Machine>, inputs: &[Input], seed: u64) -> (Vec<HistoryEvent>, Vec<String>, Status) {
    let start = Start {
        seed,
        ..Start::of("{}", Timestamp(0)).unwrap()
    };
    let (mut execution, first) = Execution::start(Arc::clone(machine), start);
    let mut steps = vec![first];
    for (second, input) in (1i64..).zip(inputs) {
        steps.push(execution.apply(input.clone(), Timestamp(second * 1000)));
    }
    let effects = steps.iter().map(|step| format!("{:?}", step.effects)).collect();
    (
        steps.into_iter().flat_map(|step| step.events).collect(),
        effects,
        execution.status(),
    )
}

proptest! {
    #[test]
    fn a_replay_repeats_the_run(inputs in prop::collection::vec(input(), 0..60), seed: u64) {
        let machine = definition();
        let (events, effects, status) = run(&machine, &inputs, seed);
        prop_assert_eq!(&run(&machine, &inputs, seed), &(events.clone(), effects.clone(), status));
        for (index, event) in (1u64..).zip(&events) {
            prop_assert_eq!(event.id, index);
            prop_assert!(event.previous_event_id < event.id);
            let text = serde_json::to_string(event).unwrap();
            prop_assert_eq!(&serde_json::from_str::<HistoryEvent>(&text).unwrap(), event);
        }
        let ended = effects.iter().filter(|effects| effects.contains("Finish(")).count();
        prop_assert_eq!(ended == 1, status != Status::Running);
        let last_ends = events.last().is_some_and(|event| {
            matches!(event.kind.type_name(), "ExecutionSucceeded" | "ExecutionFailed" | "ExecutionAborted" | "ExecutionTimedOut")
        });
        prop_assert_eq!(last_ends, status != Status::Running);
    }

    #[test]
    fn inputs_survive_storage(input in input()) {
        let text = serde_json::to_string(&input).unwrap();
        prop_assert_eq!(serde_json::from_str::<Input>(&text).unwrap(), input);
    }

    #[test]
    fn any_text_is_a_path_or_not(text in "[$@.\\[\\]*?()'\"a-z0-9,: =<>!&|/-]{0,40}") {
        if let Ok(path) = Path::parse(&text) {
            let _ = path.query(&json!({"a": [1, {"b": "c"}], "d": null}));
        }
    }

    #[test]
    fn any_text_is_a_definition_or_not(text in "\\PC{0,60}", path in "\\$[.a-z\\[\\]*]{0,10}", call in "States\\.[A-Za-z]{0,8}\\([$'a-z,0-9]{0,12}\\)?") {
        prop_assert!(Machine::parse(&text).is_err());
        let definition = json!({"StartAt": text, "States": {text.clone(): {"Type": "Pass", "InputPath": path, "Parameters": {"x.$": call}, "End": true}}});
        let _ = Machine::parse(&definition.to_string());
    }
}
