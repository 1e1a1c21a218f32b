//! Asynchronous invocations: durable, tried again, dropped at last.

use std::{sync::Arc, time::Duration};

use crate::common::{Server, eventually};
use bytes::Bytes;
use scones_api::{ManualClock, Timestamp};
use scones_lambda::Invoke;
use serde_json::json;
use tokio::runtime::Runtime;

fn event(function: &str) -> Invoke<'_> {
    Invoke {
        function,
        payload: Bytes::from_static(br#"{"n": 1}"#),
        ..Invoke::default()
    }
}

fn count(server: &Server, group: &str, prefix: &str) -> usize {
    server
        .logs
        .lines(group)
        .iter()
        .filter(|line| line.starts_with(prefix))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_runs_after_it_is_accepted() {
    let server = Server::start().await;
    server
        .create("f", "def handler(event, context): print('ran', event['n'])", json!({}))
        .await;
    let accepted = server.lambda.invoke_event(event("f")).await.unwrap();
    assert_eq!((accepted.status_code, accepted.payload.len()), (202, 0));
    eventually(|| (count(&server, "/aws/lambda/f", "ran 1") == 1).then_some(())).await;
    let lines = server.logs.lines("/aws/lambda/f");
    assert!(
        lines.iter().any(|line| line.contains(&accepted.request_id)),
        "the id is the one that was answered"
    );
    server.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_event_is_tried_twice_more_under_its_id() {
    let server = Server::start().await;
    server
        .create(
            "f",
            "def handler(event, context):\n    print('ran')\n    raise ValueError('no')",
            json!({}),
        )
        .await;
    server
        .create("g", "def handler(event, context): print('ran')", json!({}))
        .await;
    let accepted = server.lambda.invoke_event(event("f")).await.unwrap();
    eventually(|| (count(&server, "/aws/lambda/f", "REPORT") == 3).then_some(())).await;
    let start = format!("START RequestId: {}", accepted.request_id);
    assert_eq!(count(&server, "/aws/lambda/f", &start), 3);
    // Another event shows that the first one is not tried for ever.
    server.lambda.invoke_event(event("g")).await.unwrap();
    eventually(|| (count(&server, "/aws/lambda/g", "REPORT") == 1).then_some(())).await;
    assert_eq!(count(&server, "/aws/lambda/f", &start), 3);
    server.lambda.shutdown().await;
}

#[test]
fn an_event_that_a_crash_cut_off_runs_again_when_its_lease_is_over() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000)));
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let crashing = Runtime::new().unwrap();
    crashing.block_on(async {
        let server = Server::in_directory(directory.clone(), clock.clone(), |_| {}).await;
        let source = "import time\ndef handler(event, context):\n    print('begun', flush=True)\n    time.sleep(600)";
        server.create("f", source, json!({ "Timeout": 900 })).await;
        server.lambda.invoke_event(event("f")).await.unwrap();
        eventually(|| (count(&server, "/aws/lambda/f", "begun") == 1).then_some(())).await;
    });
    // Every task of the server ends where it is.
    drop(crashing);
    Runtime::new().unwrap().block_on(async {
        let server = Server::in_directory(directory, clock.clone(), |_| {}).await;
        clock.advance(Duration::from_secs(15));
        eventually(|| (count(&server, "/aws/lambda/f", "begun") == 1).then_some(())).await;
        server.lambda.shutdown().await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_event_survives_the_server() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_800_000_000_000)));
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let server = Server::in_directory(directory, clock.clone(), |_| {}).await;
    server.create("f", "import time\ndef handler(event, context):\n    print('begun', flush=True)\n    time.sleep(event.get('sleep', 0))\n    print('ended')", json!({ "Timeout": 900 })).await;
    let slow = Invoke {
        payload: Bytes::from_static(br#"{"sleep": 600}"#),
        ..event("f")
    };
    server.lambda.invoke_event(slow).await.unwrap();
    eventually(|| (count(&server, "/aws/lambda/f", "START") == 1).then_some(())).await;
    let server = server.restart(|_| {}).await;
    // It was interrupted, so it is given out again a second later.
    clock.advance(Duration::from_secs(2));
    eventually(|| (count(&server, "/aws/lambda/f", "begun") == 1).then_some(())).await;
    server.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_end_with_their_function() {
    let server = Server::start().await;
    let gate = server.directory.path().join("gate");
    let source = format!(
        "import os, time\ndef handler(event, context):\n    print('begun', flush=True)\n    \
         while not os.path.exists({gate:?}): time.sleep(0.01)\n    raise ValueError('no')"
    );
    server.create("f", &source, json!({ "Timeout": 60 })).await;
    let old = server.lambda.invoke_event(event("f")).await.unwrap().request_id;
    eventually(|| (count(&server, "/aws/lambda/f", "begun") == 1).then_some(())).await;
    server
        .call("DeleteFunction", json!({ "FunctionName": "f" }))
        .await
        .unwrap();
    server
        .create("f", "def handler(event, context): print('ran')", json!({}))
        .await;
    std::fs::write(&gate, "").unwrap();
    eventually(|| (count(&server, "/aws/lambda/f", "REPORT") == 1).then_some(())).await;
    for done in 1..4 {
        server.lambda.invoke_event(event("f")).await.unwrap();
        eventually(|| (count(&server, "/aws/lambda/f", "ran") == done).then_some(())).await;
    }
    let start = format!("START RequestId: {old}");
    assert_eq!(count(&server, "/aws/lambda/f", &start), 1);
    server.lambda.shutdown().await;
}
