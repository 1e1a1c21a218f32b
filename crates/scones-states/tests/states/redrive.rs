//! Redrives as a client sees them.

use std::{sync::Arc, time::Duration};

use crate::common::{
    Functions, Script, Server, TokioClock, invoke,
    memory::{Disk, MemoryStore, Trouble},
};
use scones_states::Options;
use serde_json::{Value, json};

const BROKEN: Script = Script::Fail(r#"{"errorType": "Broken", "errorMessage": "no"}"#);

/// Two tasks, of which the second is called `second`.
fn two() -> Value {
    json!({"StartAt": "A", "States": {"A": invoke("first", Some("B")), "B": invoke("second", None)}})
}

fn of(execution: &str) -> Value {
    json!({"executionArn": execution})
}

/// An execution whose second task failed, on a server where it would not now.
async fn failed() -> (Server, Arc<Functions>, String, String) {
    let server = Server::new(Functions::new([("first", Script::Echo), ("second", BROKEN)])).await;
    let machine = server.machine("m", &two()).await;
    let execution = server.start(&machine, json!(1)).await;
    assert_eq!(server.ended(&execution).await["redriveStatus"], "REDRIVABLE");
    let mended = Functions::new([("first", Script::Echo), ("second", Script::Echo)]);
    let server = server.restarted(Arc::clone(&mended) as _).await;
    (server, mended, machine, execution)
}

#[tokio::test]
async fn the_failed_task_runs_again_and_no_other() {
    let (server, functions, machine, execution) = failed().await;
    let redriven = server.ok("RedriveExecution", of(&execution)).await;
    let described = server.ended(&execution).await;
    assert_eq!(
        (&described["status"], &described["output"], &described["redriveCount"]),
        (&json!("SUCCEEDED"), &json!("1"), &json!(1))
    );
    assert_eq!(described["redriveDate"], redriven["redriveDate"]);
    assert_eq!(functions.count(), 1);
    let history = server.history(&execution).await;
    assert!(history.contains(&"12 11 ExecutionRedriven".to_owned()), "{history:?}");
    assert_eq!(history.last().unwrap(), "17 16 ExecutionSucceeded");
    let list = async |filter: &str| {
        let list = json!({"stateMachineArn": machine, "redriveFilter": filter});
        let list = server.ok("ListExecutions", list).await;
        list["executions"].as_array().unwrap().len()
    };
    assert_eq!((list("REDRIVEN").await, list("NOT_REDRIVEN").await), (1, 0));
}

#[tokio::test]
async fn a_redrive_survives_a_restart() {
    let (server, _, _, execution) = failed().await;
    let hold = Functions::new([("second", Script::hang())]);
    let server = server.restarted(Arc::clone(&hold) as _).await;
    server.ok("RedriveExecution", of(&execution)).await;
    while hold.count() == 0 {
        hold.called.notified().await;
    }
    assert_eq!(server.describe(&execution).await["status"], "RUNNING");
    let server = server.restarted(Functions::new([("second", Script::Echo)])).await;
    let described = server.ended(&execution).await;
    assert_eq!(
        (&described["status"], &described["redriveCount"]),
        (&json!("SUCCEEDED"), &json!(1))
    );
}

#[tokio::test]
async fn asking_twice() {
    let (server, _, _, execution) = failed().await;
    let server = server.restarted(Functions::new([("second", Script::hang())])).await;
    let ask = |token: &str| json!({"executionArn": execution, "clientToken": token});
    let first = server.ok("RedriveExecution", ask("one")).await;
    assert_eq!(server.ok("RedriveExecution", ask("one")).await, first);
    let refused = server.refused("RedriveExecution", ask("two")).await;
    assert!(
        refused.contains("ExecutionNotRedrivable: Execution is RUNNING"),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_is_remembered_for_a_quarter_of_an_hour() {
    let store = MemoryStore::new(&Disk::default(), Trouble::default());
    let server = Server::over(store, TokioClock::new(), Functions::new([]), Options::default()).await;
    let definition = json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "InputPath": "$.a", "End": true}}});
    let machine = server.machine("m", &definition).await;
    let execution = server.start(&machine, json!({})).await;
    let redrive = async |token: &str, minutes: u64, expect: u64| {
        tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
        let ask = json!({"executionArn": execution, "clientToken": token});
        let date = server.ok("RedriveExecution", ask).await["redriveDate"].clone();
        let count = server.ended(&execution).await["redriveCount"].clone();
        assert_eq!(count, json!(expect), "{token}");
        date
    };
    let first = redrive("one", 0, 1).await;
    assert_ne!(redrive("two", 5, 2).await, first);
    assert_eq!(redrive("one", 5, 2).await, first);
    assert_ne!(redrive("one", 5, 3).await, first);
    // Ten tokens are remembered.
    for number in 0..10 {
        redrive(&format!("{number}"), 0, 4 + number).await;
    }
    redrive("0", 0, 13).await;
    redrive("one", 0, 14).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_loses_its_store_answers() {
    let definition = json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "InputPath": "$.a", "End": true}}});
    let (disk, clock) = (Disk::default(), TokioClock::new());
    let over = async |writes_left| {
        let trouble = Trouble {
            writes_left,
            ..Trouble::default()
        };
        let store = MemoryStore::new(&disk, trouble);
        Server::over(store, clock.clone(), Functions::new([]), Options::default()).await
    };
    let server = over(None).await;
    let machine = server.machine("m", &definition).await;
    let execution = server.start(&machine, json!({})).await;
    server.states.shutdown().await;
    for writes in 1..4 {
        let server = over(Some(writes)).await;
        let asked = tokio::time::timeout(Duration::from_secs(60), server.call("RedriveExecution", of(&execution)));
        assert!(asked.await.is_ok(), "no answer after {writes} writes");
        server.states.shutdown().await;
    }
}

#[tokio::test]
async fn what_cannot_be_redriven() {
    let server = Server::new(Functions::new([])).await;
    let machine = server.machine("m", &crate::common::passes(1)).await;
    let execution = server.start(&machine, json!(1)).await;
    server.ended(&execution).await;
    let check = async |input: Value, expect: &str| {
        let refused = server.refused("RedriveExecution", input).await;
        assert!(refused.contains(expect), "{refused}");
    };
    check(of(&execution), "Execution is SUCCEEDED").await;
    check(of(&format!("{execution}x")), "ExecutionDoesNotExist").await;
    check(of("x"), "InvalidArn").await;
    check(json!({"executionArn": execution, "clientToken": ""}), "clientToken").await;
}

#[tokio::test]
async fn an_execution_that_failed_at_its_start() {
    let server = Server::new(Functions::new([])).await;
    let definition = json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "InputPath": "$.a", "End": true}}});
    let machine = server.machine("m", &definition).await;
    let execution = server.start(&machine, json!({})).await;
    server.ended(&execution).await;
    for count in 1..=3 {
        server.ok("RedriveExecution", of(&execution)).await;
        let described = server.ended(&execution).await;
        assert_eq!(
            (&described["status"], &described["redriveCount"]),
            (&json!("FAILED"), &json!(count))
        );
    }
}

#[tokio::test]
async fn a_stopped_execution_is_redriven_and_stopped_again() {
    let server = Server::new(Functions::new([("second", Script::hang())])).await;
    let machine = server
        .machine("m", &json!({"StartAt": "B", "States": {"B": invoke("second", None)}}))
        .await;
    let execution = server.start(&machine, json!(1)).await;
    for _ in 0..3 {
        server.ok("StopExecution", of(&execution)).await;
        assert_eq!(server.describe(&execution).await["status"], "ABORTED");
        server.ok("RedriveExecution", of(&execution)).await;
        assert_eq!(server.describe(&execution).await["status"], "RUNNING");
    }
}

#[tokio::test]
async fn a_map_run_goes_on_with_the_children_that_failed() {
    let map = json!({"StartAt": "M", "States": {"M": {
        "Type": "Map", "Label": "L", "End": true, "MaxConcurrency": 1, "ToleratedFailureCount": 1,
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "B", "States": {"B": invoke("second", None)}}}}});
    let server = Server::new(Functions::new([("second", BROKEN)])).await;
    let machine = server.machine("m", &map).await;
    let execution = server.start(&machine, json!([1, 2, 3])).await;
    server.ended(&execution).await;
    let mended = Functions::new([("second", Script::Echo)]);
    let server = server.restarted(Arc::clone(&mended) as _).await;
    let runs = server.ok("ListMapRuns", of(&execution)).await;
    let children = json!({"mapRunArn": runs["mapRuns"][0]["mapRunArn"], "statusFilter": "FAILED"});
    let children = server.ok("ListExecutions", children).await;
    let child = children["executions"][0]["executionArn"].as_str().unwrap();
    assert_eq!(server.describe(child).await["redriveStatus"], "REDRIVABLE_BY_MAP_RUN");
    let refused = server.refused("RedriveExecution", of(child)).await;
    assert!(
        refused.contains("redriven with the execution of its map run"),
        "{refused}"
    );
    server.ok("RedriveExecution", of(&execution)).await;
    assert_eq!(server.ended(&execution).await["output"], "[1,2,3]");
    assert_eq!(mended.count(), 3);
    let runs = server.ok("ListMapRuns", of(&execution)).await;
    assert_eq!(runs["mapRuns"].as_array().unwrap().len(), 1);
    let run = server
        .ok("DescribeMapRun", json!({"mapRunArn": runs["mapRuns"][0]["mapRunArn"]}))
        .await;
    assert_eq!(
        (&run["status"], &run["redriveCount"], &run["itemCounts"]["succeeded"]),
        (&json!("SUCCEEDED"), &json!(1), &json!(3))
    );
}
