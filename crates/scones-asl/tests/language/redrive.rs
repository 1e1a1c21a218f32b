//! Redrives: what is done again, and what is not.

use scones_asl::{Input, Outcome};
use serde_json::{Value, json};

use crate::harness::{Answer, World};

fn task() -> Value {
    json!({"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:0:function:f", "End": true})
}

fn single(state: Value) -> Value {
    json!({"StartAt": "S", "States": {"S": state}})
}

fn branch(name: &str, mut state: Value) -> Value {
    state["End"] = json!(true);
    json!({"StartAt": name, "States": {name: state}})
}

/// Runs with failing tasks, redrives, and runs with tasks that succeed; the
/// names of the states whose tasks were called, before and after.
fn redriven(definition: &Value, input: &str, fails: &str) -> (World, Vec<String>, Vec<String>) {
    let mut world = World::start(definition, input);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    world.run(|call| {
        before.push(call.state_name.clone());
        match call.parameters.to_string().contains(fails) {
            true => Answer::Fails("Broken"),
            false => Answer::Succeeds(call.parameters.clone()),
        }
    });
    assert!(
        matches!(world.outcome, Some(Outcome::Failed { .. })),
        "{:?}",
        world.outcome
    );
    assert!(world.execution.is_redrivable());
    world.outcome = None;
    world.calls.clear();
    world.apply(Input::Redrive);
    world.run(|call| {
        after.push(call.state_name.clone());
        Answer::Succeeds(call.parameters.clone())
    });
    (world, before, after)
}

fn names(world: &World) -> Vec<String> {
    let line = |event: &scones_asl::HistoryEvent| {
        format!("{} {} {}", event.id, event.previous_event_id, event.kind.type_name())
    };
    world.events.iter().map(line).collect()
}

fn output(world: &World) -> String {
    match &world.outcome {
        Some(Outcome::Succeeded { output }) => output.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_task_is_scheduled_again_and_not_entered_again() {
    let (world, ..) = redriven(&single(task()), "1", "1");
    assert_eq!(
        names(&world)[5..],
        [
            "6 5 ExecutionFailed",
            "7 6 ExecutionRedriven",
            "8 7 LambdaFunctionScheduled",
            "9 8 LambdaFunctionStarted",
            "10 9 LambdaFunctionSucceeded",
            "11 10 TaskStateExited",
            "12 11 ExecutionSucceeded",
        ]
    );
}

#[test]
fn only_what_did_not_succeed_is_done_again() {
    let check = |definition: Value, input: &str, fails: &str, before: &str, after: &str, expect: &str| {
        let (world, ran, again) = redriven(&definition, input, fails);
        assert_eq!(
            (ran.join(" ").as_str(), again.join(" ").as_str()),
            (before, after),
            "{definition}"
        );
        assert_eq!(output(&world), expect, "{definition}");
    };
    let two = json!({"StartAt": "A", "States": {
        "A": {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:0:function:f", "Next": "B", "ResultSelector": {"b": 2}},
        "B": task()}});
    check(two, "1", "2", "A B", "B", r#"{"b":2}"#);
    let parallel = json!({"Type": "Parallel", "End": true, "Branches": [
        branch("A", json!({"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:0:function:f", "Parameters": {"good": 1}})),
        branch("B", json!({"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:0:function:f", "Parameters": {"bad": 1}}))]});
    check(single(parallel), "{}", "bad", "A B", "B", r#"[{"good":1},{"bad":1}]"#);
    let map = json!({"Type": "Map", "MaxConcurrency": 1, "End": true, "ItemProcessor": {"StartAt": "T", "States": {"T": task()}}});
    check(single(map), "[1,2,3]", "2", "T T", "T T", "[1,2,3]");
}

#[test]
fn attempts_count_from_none_again() {
    let mut state = task();
    state["Retry"] = json!([{"ErrorEquals": ["Broken"], "MaxAttempts": 1}]);
    let (_, before, after) = redriven(&single(state), "1", "1");
    assert_eq!((before.len(), after.len()), (2, 1));
}

#[test]
fn a_state_without_a_task_is_tried_again() {
    let mut world = World::start(
        &single(json!({"Type": "Pass", "InputPath": "$.missing", "End": true})),
        "{}",
    );
    assert!(world.outcome.take().is_some());
    world.apply(Input::Redrive);
    assert!(matches!(world.outcome, Some(Outcome::Failed { .. })));
    assert_eq!(names(&world).last().unwrap(), "5 4 ExecutionFailed");
}

#[test]
fn a_parallel_state_that_could_not_use_its_results() {
    let parallel = json!({"Type": "Parallel", "End": true, "ResultSelector": {"x.$": "$[0].missing"},
        "Branches": [branch("A", task())]});
    let mut world = World::start(&single(parallel), "1");
    let mut calls = 0;
    for _ in 0..3 {
        world.run(|call| {
            calls += 1;
            Answer::Succeeds(call.parameters.clone())
        });
        assert!(matches!(world.outcome.take(), Some(Outcome::Failed { .. })));
        world.apply(Input::Redrive);
    }
    assert_eq!(calls, 1);
}

#[test]
fn stopped_and_late_executions_go_on() {
    let machine = json!({"StartAt": "S", "TimeoutSeconds": 5, "States": {"S": task()}});
    let mut world = World::start(&machine, "1");
    world.apply(Input::Stop {
        error: None,
        cause: None,
    });
    assert!(matches!(world.outcome.take(), Some(Outcome::Aborted { .. })));
    world.calls.clear();
    world.apply(Input::Redrive);
    world.run(|_| Answer::Hangs);
    assert_eq!(world.outcome.take(), Some(Outcome::TimedOut));
    world.calls.clear();
    world.apply(Input::Redrive);
    world.run(|call| Answer::Succeeds(call.parameters.clone()));
    assert_eq!(output(&world), "1");
}

#[test]
fn the_context_counts_redrives() {
    let mut state = task();
    state["Parameters"] =
        json!({"n.$": "$$.Execution.RedriveCount", "r.$": "$$.State.RetryCount", "e.$": "$$.Execution"});
    let (world, ..) = redriven(&single(state), "{}", "0");
    let output: Value = serde_json::from_str(&output(&world)).unwrap();
    assert_eq!((&output["n"], &output["r"]), (&json!(1), &json!(0)));
    assert_eq!(output["e"]["RedriveTime"], "1970-01-01T00:00:00.000Z");
}

#[test]
fn a_map_run_is_gone_on_with() {
    let map = json!({"Type": "Map", "End": true, "ItemProcessor": {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}}});
    let mut world = World::start(&single(map), "[1]");
    let first = world.map_runs.pop().unwrap();
    world.apply(Input::TaskFailed {
        task: first.task,
        error: None,
        cause: None,
    });
    world.outcome = None;
    world.apply(Input::Redrive);
    let second = world.map_runs.pop().unwrap();
    assert_eq!((second.arn.as_str(), second.redrive_count), (first.arn.as_str(), 1));
    assert_ne!(first.task, second.task);
    world.apply(Input::TaskSucceeded {
        task: second.task,
        output: "[1]".to_owned(),
    });
    assert_eq!(output(&world), "[1]");
    assert!(
        names(&world).contains(&"9 8 MapRunRedriven".to_owned()),
        "{:?}",
        names(&world)
    );
}

#[test]
fn what_succeeded_is_not_redriven() {
    let mut world = World::start(&single(json!({"Type": "Pass", "End": true})), "1");
    assert!(!world.execution.is_redrivable());
    let step = world.execution.apply(Input::Redrive, world.now);
    assert!(step.events.is_empty());
}
