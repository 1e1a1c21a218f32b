//! Servers that die: what was acknowledged goes on where its history ends.

use std::{sync::Arc, time::Duration};

use crate::common::{
    Functions, Script, Server, TokioClock, invoke,
    memory::{Disk, MemoryStore, Trouble},
    text,
};
use scones_states::Options;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// A task, a wait, a task, a choice and a pass: every kind of effect.
fn journey() -> Value {
    json!({"StartAt": "First", "States": {
        "First": invoke("f", Some("Rest")),
        "Rest": {"Type": "Wait", "Seconds": 60, "Next": "Second"},
        "Second": invoke("f", Some("Which")),
        "Which": {"Type": "Choice", "Default": "Last",
                  "Choices": [{"Variable": "$.n", "NumericEquals": 1, "Next": "Last"}]},
        "Last": {"Type": "Pass", "End": true},
    }})
}

async fn server(disk: &Disk, clock: &Arc<TokioClock>, trouble: Trouble) -> (Server, Arc<MemoryStore>) {
    let store = MemoryStore::new(disk, trouble);
    let functions = Functions::new([("f", Script::Echo)]);
    let options = Options {
        idle_before_parking: Duration::from_secs(10),
        ..Options::default()
    };
    (
        Server::over(store.clone(), clock.clone(), functions, options).await,
        store,
    )
}

/// Runs the journey on a server that dies after so many writes and on one
/// that takes over. `None` if the first one did not live to finish its start.
async fn journey_with_a_crash(writes: u64) -> (bool, Vec<String>) {
    let (disk, clock) = (Disk::default(), TokioClock::new());
    let (healthy, _) = server(&disk, &clock, Trouble::default()).await;
    let machine = healthy.machine("journey", &journey()).await;
    healthy.states.shutdown().await;
    let start = json!({"stateMachineArn": machine, "name": "one", "input": "{\"n\": 1}"});

    let (dying, store) = server(
        &disk,
        &clock,
        Trouble {
            writes_left: Some(writes),
            ..Trouble::default()
        },
    )
    .await;
    let acknowledged = dying.call("StartExecution", start.clone()).await.is_ok();
    let mut patience = 200;
    while !store.is_dead() && patience > 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        patience -= 1;
    }
    dying.states.shutdown().await;

    let (heir, _) = server(&disk, &clock, Trouble::default()).await;
    let execution = "arn:aws:states:us-east-1:000000000000:execution:journey:one";
    if !acknowledged {
        // A client that got no answer asks again, by the same name.
        drop(heir.call("StartExecution", start).await);
    }
    let described = ended_in_paused_time(&heir, execution).await;
    assert_eq!(
        (&described["status"], &described["output"]),
        (&json!("SUCCEEDED"), &json!("{\"n\":1}"))
    );
    let listed = heir.ok("ListExecutions", json!({"stateMachineArn": machine})).await;
    assert_eq!(
        listed["executions"].as_array().unwrap().len(),
        1,
        "after {writes} writes: {listed}"
    );
    assert_eq!(listed["executions"][0]["status"], "SUCCEEDED", "after {writes} writes");
    let history = heir.history(execution).await;
    heir.states.shutdown().await;
    (patience > 0, history)
}

async fn ended_in_paused_time(server: &Server, execution: &str) -> Value {
    for _ in 0..2_000 {
        let described = server.describe(execution).await;
        if described["status"] != "RUNNING" {
            // The index follows the history.
            tokio::time::sleep(Duration::from_secs(1)).await;
            return described;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("{execution} is stuck: {:?}", server.history(execution).await);
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_write_changes_no_history() {
    let (_, expected) = journey_with_a_crash(u64::MAX).await;
    insta::assert_debug_snapshot!(expected, @r#"
    [
        "1 0 ExecutionStarted",
        "2 0 TaskStateEntered",
        "3 2 TaskScheduled",
        "4 3 TaskStarted",
        "5 4 TaskSucceeded",
        "6 5 TaskStateExited",
        "7 6 WaitStateEntered",
        "8 7 WaitStateExited",
        "9 8 TaskStateEntered",
        "10 9 TaskScheduled",
        "11 10 TaskStarted",
        "12 11 TaskSucceeded",
        "13 12 TaskStateExited",
        "14 13 ChoiceStateEntered",
        "15 14 ChoiceStateExited",
        "16 15 PassStateEntered",
        "17 16 PassStateExited",
        "18 17 ExecutionSucceeded",
    ]
    "#);
    let mut writes = 1;
    loop {
        let (died, history) = journey_with_a_crash(writes).await;
        assert_eq!(history, expected, "after {writes} writes");
        if !died {
            break;
        }
        writes += 1;
    }
    assert!(writes > 10, "only {writes} crash points were tried");
}

#[tokio::test(start_paused = true)]
async fn a_long_wait_leaves_the_memory_and_comes_back_in_time() {
    let (disk, clock) = (Disk::default(), TokioClock::new());
    let (first, _) = server(&disk, &clock, Trouble::default()).await;
    let machine = first.machine("journey", &journey()).await;
    let execution = first.start(&machine, json!({"n": 1})).await;
    let described = ended_in_paused_time(&first, &execution).await;
    let took = described["stopDate"].as_f64().unwrap() - described["startDate"].as_f64().unwrap();
    assert!((60.0..60.1).contains(&took), "{took}");

    // Parked when the server ends, woken by the next one: late, as it was down.
    let execution = first.start(&machine, json!({"n": 2})).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    first.states.shutdown().await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let (second, _) = server(&disk, &clock, Trouble::default()).await;
    let described = ended_in_paused_time(&second, &execution).await;
    let took = described["stopDate"].as_f64().unwrap() - described["startDate"].as_f64().unwrap();
    assert!((330.0..332.0).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_parked_execution_can_be_stopped() {
    let (disk, clock) = (Disk::default(), TokioClock::new());
    let (server, _) = server(&disk, &clock, Trouble::default()).await;
    let wait = json!({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 90_000, "End": true}}});
    let machine = server.machine("wait", &wait).await;
    let execution = server.start(&machine, json!({})).await;
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    server.ok("StopExecution", json!({"executionArn": execution})).await;
    assert_eq!(ended_in_paused_time(&server, &execution).await["status"], "ABORTED");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_deleted_does_not_stop_its_executions() {
    let (disk, clock) = (Disk::default(), TokioClock::new());
    let (first, _) = server(&disk, &clock, Trouble::default()).await;
    let machine = first.machine("journey", &journey()).await;
    let execution = first.start(&machine, json!({"n": 1})).await;
    first
        .ok("DeleteStateMachine", json!({"stateMachineArn": machine}))
        .await;
    first.states.shutdown().await;
    let (second, _) = server(&disk, &clock, Trouble::default()).await;
    assert_eq!(ended_in_paused_time(&second, &execution).await["status"], "SUCCEEDED");
    let described = second
        .ok("DescribeStateMachineForExecution", json!({"executionArn": execution}))
        .await;
    assert_eq!(
        serde_json::from_str::<Value>(&text(&described["definition"])).unwrap(),
        journey()
    );
}

#[tokio::test(start_paused = true)]
async fn the_later_server_fences_the_earlier_one() {
    let (disk, clock) = (Disk::default(), TokioClock::new());
    let (one, _) = server(&disk, &clock, Trouble::default()).await;
    let machine = one.machine("journey", &journey()).await;
    let execution = one.start(&machine, json!({"n": 1})).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (two, _) = server(&disk, &clock, Trouble::default()).await;
    let described = ended_in_paused_time(&two, &execution).await;
    assert_eq!(described["status"], "SUCCEEDED");
    let events = two.history(&execution).await;
    assert_eq!(
        events
            .iter()
            .filter(|event| event.ends_with("ExecutionSucceeded"))
            .count(),
        1
    );
    assert_eq!(events.len(), 18, "{events:?}");
}

#[tokio::test]
async fn a_running_task_runs_again_after_a_restart() {
    let go = Arc::new(Semaphore::new(0));
    let first = Functions::new([("f", Script::Hold(go))]);
    let server = Server::new(first.clone()).await;
    let machine = server
        .machine("one", &json!({"StartAt": "T", "States": {"T": invoke("f", None)}}))
        .await;
    let execution = server.start(&machine, json!({"n": 1})).await;
    server.until(&execution, "TaskStarted").await;
    while first.count() == 0 {
        tokio::task::yield_now().await;
    }
    let second = Functions::new([("f", Script::Echo)]);
    let server = server.restarted(second.clone()).await;
    assert_eq!(server.ended(&execution).await["output"], "{\"n\":1}");
    assert_eq!((first.count(), second.count()), (1, 1));
    assert_eq!(server.history(&execution).await.len(), 7);
}
