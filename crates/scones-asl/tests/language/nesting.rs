//! Parallel and Map states.

use scones_asl::Input;
use serde_json::{Value, json};

use crate::harness::{Answer, World, check, check_tasks, single, unreachable_removed};

const FUNCTION: &str = "arn:aws:lambda:us-east-1:1:function:f";

fn map(fields: Value, states: Value, start: &str) -> Value {
    let mut state = json!({"Type": "Map", "ItemProcessor": {"StartAt": start, "States": states}});
    state
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    unreachable_removed(single(state))
}

fn parallel(fields: Value, branches: &[Value]) -> Value {
    let branches: Vec<Value> = branches
        .iter()
        .enumerate()
        .map(|(index, state)| json!({"StartAt": format!("B{index}"), "States": {format!("B{index}"): state}}))
        .collect();
    let mut state = json!({"Type": "Parallel", "Branches": branches});
    state
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    unreachable_removed(single(state))
}

#[test]
fn branches_give_an_array() {
    let pass = json!({"Type": "Pass", "End": true});
    let one = json!({"Type": "Pass", "Result": 1, "End": true});
    check(
        &parallel(json!({}), &[pass.clone(), one.clone()]),
        "{\"a\":0}",
        "[{\"a\":0},1]",
    );
    check(
        &parallel(json!({"Parameters": {"p": 1}}), &[pass.clone(), pass.clone()]),
        "{}",
        "[{\"p\":1},{\"p\":1}]",
    );
    check(
        &parallel(
            json!({"ResultSelector": {"second.$": "$[1]"}, "ResultPath": "$.r"}),
            &[pass, one],
        ),
        "{}",
        "{\"r\":{\"second\":1}}",
    );
}

#[test]
fn a_failing_branch_aborts_the_others() {
    let task = json!({"Type": "Task", "Resource": FUNCTION, "End": true});
    let wait = json!({"Type": "Wait", "Seconds": 9, "End": true});
    let definition = parallel(
        json!({"Catch": [{"ErrorEquals": ["E"], "Next": "Caught"}]}),
        &[task.clone(), task, wait],
    );
    let mut world = World::start(&definition, "{}");
    assert_eq!((world.calls.len(), world.timers.len()), (2, 1));
    let (first, second) = (world.calls[0].task, world.calls[1].task);
    world.apply(Input::TaskFailed {
        task: first,
        error: Some("E".into()),
        cause: Some("C".into()),
    });
    assert_eq!(
        (world.result().as_str(), world.timers.len()),
        ("{\"Error\":\"E\",\"Cause\":\"C\"}", 0)
    );
    assert_eq!(world.cancelled, [second]);
    assert!(world.chain().contains("TaskStateAborted") && world.chain().contains("WaitStateAborted"));
}

#[test]
fn maps_work_on_every_item() {
    let pass = json!({"P": {"Type": "Pass", "End": true}});
    let both = json!({"i.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value", "k.$": "$.k"});
    let from = json!({"s.$": "$$.Map.Item.Source"});
    check(&map(json!({}), pass.clone(), "P"), "[1,\"two\",{}]", "[1,\"two\",{}]");
    check(&map(json!({}), pass.clone(), "P"), "[]", "[]");
    check(
        &map(json!({"ItemsPath": "$.l", "ItemSelector": both}), pass.clone(), "P"),
        "{\"k\":9,\"l\":[5]}",
        "[{\"i\":0,\"v\":5,\"k\":9}]",
    );
    check(
        &map(json!({"ItemSelector": from}), pass.clone(), "P"),
        "[1]",
        "[{\"s\":\"STATE_DATA\"}]",
    );
    check(
        &map(json!({"ItemsPath": "$.l", "ResultPath": "$.l"}), pass.clone(), "P"),
        "{\"l\":[1]}",
        "{\"l\":[1]}",
    );
    check(
        &map(json!({"ItemsPath": "$.l"}), pass, "P"),
        "{\"l\":{\"a\":1}}",
        "States.Runtime: An error occurred while executing the state 'S' (entered at the event id #2). Reference path \"$.l\" must point to array.",
    );
}

#[test]
fn maps_run_as_many_iterations_as_allowed() {
    let task = json!({"T": {"Type": "Task", "Resource": FUNCTION, "End": true}});
    let items = Value::from((0..50).collect::<Vec<_>>()).to_string();
    let started = |fields: Value| World::start(&map(fields, task.clone(), "T"), &items).calls.len();
    assert_eq!(started(json!({})), 40);
    assert_eq!(started(json!({"MaxConcurrency": 3})), 3);
    assert_eq!(started(json!({"MaxConcurrency": 0})), 40);
    check_tasks(
        &map(json!({"MaxConcurrency": 3}), task.clone(), "T"),
        "[1,2,3,4]",
        |call| Answer::Succeeds(json!(call.parameters.as_i64().unwrap() * 10)),
        "[10,20,30,40]",
    );
}

#[test]
fn a_failing_iteration_fails_the_map() {
    let fail = json!({"F": {"Type": "Fail", "Error": "E", "Cause": "C"}});
    let definition = map(
        json!({"MaxConcurrency": 1, "Retry": [{"ErrorEquals": ["E"], "MaxAttempts": 1}]}),
        fail,
        "F",
    );
    let mut world = World::start(&definition, "[1,2]");
    world.run(|_| unreachable!());
    assert_eq!(world.result(), "E: C");
    assert_eq!(
        world.chain(),
        "1<-0 ExecutionStarted, 2<-0 MapStateEntered, 3<-2 MapStateStarted, 4<-3 MapIterationStarted, 5<-4 FailStateEntered, \
         6<-5 MapIterationFailed, 7<-5 MapStateStarted, 8<-7 MapIterationStarted, 9<-8 FailStateEntered, \
         10<-9 MapIterationFailed, 11<-9 MapStateFailed, 12<-11 ExecutionFailed"
    );
}

#[test]
fn inner_scopes_see_outer_variables() {
    let inner = json!({"P": {"Type": "Pass", "Assign": {"y.$": "$x"}, "Next": "Q"}, "Q": {"Type": "Pass", "Parameters": {"y.$": "$y"}, "End": true}});
    let definition = json!({"StartAt": "A", "States": {
        "A": {"Type": "Pass", "Assign": {"x": 3}, "Next": "M"},
        "M": {"Type": "Map", "ItemProcessor": {"StartAt": "P", "States": inner}, "End": true}}});
    check(&definition, "[0,0]", "[{\"y\":3},{\"y\":3}]");
}
