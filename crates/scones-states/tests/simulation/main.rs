//! Many executions on servers that fail, wait and die as a seed says.
//! `SCONES_SIMULATION=FIRST..LAST` tries other seeds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and says why"
)]

mod common;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use common::{
    Server, TokioClock, invoke,
    memory::{Disk, MemoryStore, Trouble, draw},
    text,
};
use scones_api::ApiError;
use scones_states::{LambdaCall, LambdaReply, Options, TaskRunner};
use serde_json::{Value, json};

/// Executions of one simulation.
const EXECUTIONS: u64 = 6;
/// Servers that die before one lives.
const CRASHES: u64 = 4;

/// A function that takes its time and fails now and then.
struct Flaky(Mutex<u64>);

#[async_trait]
impl TaskRunner for Flaky {
    async fn invoke_function(&self, call: LambdaCall) -> Result<LambdaReply, ApiError> {
        let (delay, fails) = {
            let mut seed = self.0.lock().unwrap();
            (draw(&mut seed) % 3_000, draw(&mut seed).is_multiple_of(4))
        };
        tokio::time::sleep(Duration::from_millis(delay)).await;
        let error = r#"{"errorType": "Flaky", "errorMessage": "again"}"#;
        Ok(LambdaReply {
            status_code: 200,
            payload: if fails { error.to_owned() } else { call.payload },
            function_error: fails.then(|| "Unhandled".to_owned()),
            executed_version: None,
            request_id: "r".to_owned(),
        })
    }
}

fn definition() -> Value {
    let retried = |next| {
        let mut state = invoke("f", next);
        state["TimeoutSeconds"] = json!(60);
        let retry =
            json!([{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 1000, "MaxDelaySeconds": 4}]);
        state["Retry"] = retry;
        state
    };
    let branch = |name: &str, state: Value| json!({"StartAt": name, "States": {name: state}});
    json!({"StartAt": "T", "States": {
        "T": retried(Some("W")),
        "W": {"Type": "Wait", "Seconds": 20, "Next": "P"},
        "P": {"Type": "Parallel", "Next": "M", "Branches": [
            branch("B1", retried(None)),
            branch("B2", json!({"Type": "Wait", "Seconds": 2, "End": true})),
            branch("B3", json!({"Type": "Pass", "End": true})),
        ]},
        "M": {"Type": "Map", "Next": "D", "MaxConcurrency": 2,
              "ItemProcessor": {"StartAt": "I", "States": {"I": retried(None)}}},
        "D": {"Type": "Map", "Next": "F", "MaxConcurrency": 2, "Label": "D",
              "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                                "StartAt": "C", "States": {"C": retried(None)}}},
        // Some of its children fail for good, while others begin.
        "F": {"Type": "Map", "End": true, "Label": "F", "ItemsPath": "$$.Execution.Input",
              "Catch": [{"ErrorEquals": ["States.ExceedToleratedFailureThreshold"], "Next": "Z"}],
              "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
                                "StartAt": "G", "States": {"G": invoke("f", None)}}},
        "Z": {"Type": "Pass", "End": true},
    }})
}

/// What must hold of any history that has ended.
fn check(events: &[Value], seed: u64) {
    let place = |event: &Value| format!("seed {seed}, event {event}");
    let mut open = 0_i64;
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["id"], json!(number + 1), "{}", place(event));
        assert!(
            event["previousEventId"].as_u64() < event["id"].as_u64(),
            "{}",
            place(event)
        );
        match event["type"].as_str().unwrap() {
            kind if kind.ends_with("StateEntered") => open += 1,
            kind if kind.ends_with("StateExited") => open -= 1,
            "ExecutionRedriven" => {
                let before = &events[number - 1]["type"];
                assert_eq!(
                    before,
                    "ExecutionAborted",
                    "{} {:?}",
                    place(event),
                    &events[number.saturating_sub(4)..number]
                );
            }
            kind if kind.starts_with("Execution") => {
                let redriven = events
                    .get(number + 1)
                    .is_some_and(|next| next["type"] == "ExecutionRedriven");
                let outermost = number == 0 || number + 1 == events.len();
                assert!(outermost || redriven, "an end before the end: {}", place(event));
            }
            _ => {}
        }
    }
    if events.last().unwrap()["type"] == "ExecutionSucceeded" {
        assert_eq!(open, 0, "seed {seed}: a state was entered and never left");
    }
    let count = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    let (scheduled, ended) = (
        count("TaskScheduled"),
        count("TaskSucceeded") + count("TaskFailed") + count("TaskTimedOut"),
    );
    assert!(ended <= scheduled, "seed {seed}: a task has two results");
}

/// Every map run has ended with its execution, and no item was lost or doubled.
async fn check_map_runs(server: &Server, execution: &str, succeeded: bool, seed: u64) {
    let runs = server.ok("ListMapRuns", json!({"executionArn": execution})).await;
    let mut seen = BTreeSet::new();
    for run in runs["mapRuns"].as_array().unwrap() {
        assert!(seen.insert(text(&run["mapRunArn"])), "seed {seed}: {runs}");
        let of = json!({"mapRunArn": run["mapRunArn"]});
        let run = server.ok("DescribeMapRun", of.clone()).await;
        assert_ne!(run["status"], "RUNNING", "seed {seed}: {run}");
        let running = json!({"mapRunArn": run["mapRunArn"], "statusFilter": "RUNNING"});
        let running = server.ok("ListExecutions", running).await;
        assert_eq!(running["executions"], json!([]), "seed {seed}: a child without a run");
        let arn = text(&run["mapRunArn"]);
        if succeeded && arn.contains("/D:") {
            let children = server.ok("ListExecutions", of).await;
            assert_eq!(
                children["executions"].as_array().unwrap().len(),
                3,
                "seed {seed}: {children}"
            );
            assert_eq!(run["itemCounts"]["succeeded"], 3, "seed {seed}: {run}");
        }
    }
}

/// Prints an execution with its map runs, for whoever looks for the reason.
async fn show(server: &Server, execution: &str) {
    println!(
        "{} {:?}",
        server.describe(execution).await,
        server.history(execution).await
    );
    let runs = server.ok("ListMapRuns", json!({"executionArn": execution})).await;
    for run in runs["mapRuns"].as_array().unwrap() {
        let of = json!({"mapRunArn": run["mapRunArn"]});
        println!("run {}", server.ok("DescribeMapRun", of.clone()).await);
        let children = server.ok("ListExecutions", of).await;
        for child in children["executions"].as_array().unwrap() {
            let history = server.history(child["executionArn"].as_str().unwrap()).await;
            println!("child {child} {history:?}");
        }
    }
}

async fn simulate(mut seed: u64) {
    let number = seed;
    let (disk, clock) = (Disk::default(), TokioClock::new());
    let options = Options {
        tasks_max: 3,
        idle_before_parking: Duration::from_secs(5),
        ..Options::default()
    };
    let store = MemoryStore::new(&disk, Trouble::default());
    let server = Server::over(store, clock.clone(), Arc::new(Flaky(Mutex::new(0))), options.clone()).await;
    let machine = server.machine("m", &definition()).await;
    server.states.shutdown().await;

    let mut acknowledged = Vec::new();
    // Those that were told to stop, and not told to go on since.
    let mut stopped = BTreeSet::new();
    let mut next = 0;
    for round in 0..=CRASHES {
        let dies = round < CRASHES;
        let trouble = Trouble {
            seed: draw(&mut seed),
            failing: if dies { 60 } else { 0 },
            delay_millis: draw(&mut seed) % 40,
            writes_left: dies.then(|| 20 + draw(&mut seed) % 150),
        };
        // A server that cannot read its own index does not start.
        let store = MemoryStore::new(&disk, trouble);
        let runner = Arc::new(Flaky(Mutex::new(draw(&mut seed))));
        let Some(server) = Server::try_over(store.clone(), clock.clone(), runner, options.clone()).await else {
            continue;
        };
        while next < EXECUTIONS && !store.is_dead() {
            let name = format!("e{next}");
            let start = json!({"stateMachineArn": machine, "name": name, "input": format!("[{next}, {next}, {next}]")});
            match server.call("StartExecution", start).await {
                Ok(started) => {
                    acknowledged.push(text(&started["executionArn"]));
                    next += 1;
                }
                Err(error) if error.code == "ExecutionAlreadyExists" => next += 1,
                Err(error) => assert!(error.status >= 500, "seed {number}: {error}"),
            }
        }
        if let Some(execution) = acknowledged.first() {
            let of = json!({"executionArn": execution});
            if draw(&mut seed).is_multiple_of(3) {
                // Whatever it answers, it may have stopped it.
                stopped.insert(execution.clone());
                drop(server.call("StopExecution", of.clone()).await);
            }
            if draw(&mut seed).is_multiple_of(2) && server.call("RedriveExecution", of).await.is_ok() {
                stopped.remove(execution);
            }
        }
        let mut quiet = false;
        for _ in 0..3_000 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if store.is_dead() {
                break;
            }
            let open = server
                .call(
                    "ListExecutions",
                    json!({"stateMachineArn": machine, "statusFilter": "RUNNING"}),
                )
                .await;
            if open.is_ok_and(|open| open["executions"] == json!([])) {
                quiet = true;
                break;
            }
        }
        if !quiet && !store.is_dead() {
            let open = server
                .ok(
                    "ListExecutions",
                    json!({"stateMachineArn": machine, "statusFilter": "RUNNING"}),
                )
                .await;
            for execution in open["executions"].as_array().unwrap() {
                show(&server, &text(&execution["executionArn"])).await;
            }
        }
        assert!(
            quiet || store.is_dead(),
            "seed {number}, round {round}: an execution is stuck"
        );
        if !dies {
            let listed = server.ok("ListExecutions", json!({"stateMachineArn": machine})).await;
            let listed = listed["executions"].as_array().unwrap().clone();
            assert_eq!(listed.len() as u64, EXECUTIONS, "seed {number}: {listed:?}");
            for execution in &acknowledged {
                let described = server.describe(execution).await;
                let events = server.events(execution).await;
                let expect = if stopped.contains(execution) {
                    ["ABORTED", "SUCCEEDED"]
                } else {
                    ["SUCCEEDED"; 2]
                };
                let status = text(&described["status"]);
                if !expect.contains(&status.as_str()) {
                    show(&server, execution).await;
                }
                assert!(
                    expect.contains(&status.as_str()),
                    "seed {number}: {execution} {status}: {described} {events:?}"
                );
                check(&events, number);
                check_map_runs(&server, execution, status == "SUCCEEDED", number).await;
            }
        }
        server.states.shutdown().await;
    }
}

#[test]
fn no_execution_is_lost_doubled_or_stuck() {
    let seeds = std::env::var("SCONES_SIMULATION").unwrap_or_else(|_| "64..72".to_owned());
    let (first, last) = seeds.split_once("..").expect("SCONES_SIMULATION is FIRST..LAST");
    for seed in first.parse::<u64>().unwrap()..last.parse().unwrap() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(simulate(seed))));
        assert!(run.is_ok(), "SCONES_SIMULATION={seed}..{} repeats this", seed + 1);
    }
}
