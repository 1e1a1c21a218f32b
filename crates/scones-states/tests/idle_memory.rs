//! What an execution costs the server while it only waits: anonymous resident
//! memory of the whole process, store included, for each of many executions.
//! One test, as others would be measured with it.
//!
//! Measured with 10,000 on Linux: 0.5 KiB that wait for a timer and 0.8 KiB
//! that wait for a token, which are the store's caches, as the executions have
//! left the memory. Before that, for ten seconds at most unless something
//! keeps coming, one that waits for a token has an actor and takes 9 KiB.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, reason = "a part of it is used here")]
#[path = "states/common/mod.rs"]
mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use common::Server;
use futures::{StreamExt as _, stream};
use scones_api::{ApiError, SystemClock};
use scones_states::{LambdaCall, LambdaReply, Options, TaskRunner};
use scones_store::{ListQuery, SqliteStore};
use serde_json::{Value, json};

/// What a busy machine leaves unfinished counts as memory, so a measurement can only be too high.
const ATTEMPTS: usize = 3;
/// Executions that fill the store's caches before the others are measured.
const BEFORE: usize = 2_000;
/// Executions that are measured.
const EXECUTIONS: usize = 5_000;
/// The most bytes that each may take once it has left the memory.
const PARKED_BYTES_MAX: usize = 2_048;
/// The same for the ten seconds before.
const LIVE_BYTES_MAX: usize = 16_384;

/// A function that takes tokens, and does nothing with them.
#[derive(Default)]
struct Taker(AtomicUsize);

#[async_trait]
impl TaskRunner for Taker {
    async fn invoke_function(&self, _: LambdaCall) -> Result<LambdaReply, ApiError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(LambdaReply {
            status_code: 200,
            payload: "{}".to_owned(),
            function_error: None,
            executed_version: None,
            request_id: "request".to_owned(),
        })
    }
}

/// Memory of this process that no file stands behind, in bytes; nothing where
/// the system does not say.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kibibytes: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1_024)
}

/// Waits until `all` executions are parked.
async fn all_parked(server: &Server, all: usize) {
    let (mut after, mut parked) = (None, 0);
    while parked < all {
        let query = ListQuery {
            after: after.clone(),
            limit: 500,
            ..ListQuery::default()
        };
        let page = server.store.list("states.open", query).await.unwrap();
        for (key, record) in page {
            let summary: Value = serde_json::from_slice(&record.value).unwrap();
            if summary["parked"] != true {
                tokio::time::sleep(Duration::from_millis(20)).await;
                break;
            }
            (after, parked) = (Some(key), parked + 1);
        }
    }
}

/// Bytes for each execution of a state, with or without its actor.
async fn each(state: &Value, parked: bool) -> Option<usize> {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path()).unwrap();
    let options = Options {
        idle_before_parking: Duration::from_millis(if parked { 100 } else { 3_600_000 }),
        ..Options::default()
    };
    let taker = Arc::new(Taker::default());
    let server = Server::over(store, Arc::new(SystemClock), Arc::clone(&taker) as _, options).await;
    let machine = server
        .machine("m", &json!({"StartAt": "S", "States": {"S": state}}))
        .await;
    let (mut all, mut measured) = (0, Vec::new());
    for count in [BEFORE, EXECUTIONS] {
        all += count;
        let starts = stream::iter(0..count);
        starts
            .for_each_concurrent(64, |_| async {
                server.start(&machine, json!({"order": 12_345})).await;
            })
            .await;
        if parked {
            all_parked(&server, all).await;
        } else {
            while taker.0.load(Ordering::SeqCst) < all {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        measured.push(resident()?);
    }
    server.states.shutdown().await;
    Some(measured[1].saturating_sub(measured[0]) / EXECUTIONS)
}

#[tokio::test]
async fn an_execution_that_waits_takes_less_than_two_kibibytes() {
    let wait = json!({"Type": "Wait", "Seconds": 100_000, "End": true});
    let token = json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken", "End": true,
                       "Parameters": {"FunctionName": "f", "Payload.$": "$$.Task.Token"}});
    // Those that take most come last: what they give back is not given to the system.
    for (name, state, parked, most) in [
        ("a timer", &wait, true, PARKED_BYTES_MAX),
        ("a token", &token, true, PARKED_BYTES_MAX),
        ("a token, in memory still", &token, false, LIVE_BYTES_MAX),
    ] {
        let mut measured = Vec::new();
        while measured.len() < ATTEMPTS && measured.iter().all(|bytes| *bytes >= most) {
            let Some(bytes) = each(state, parked).await else { return };
            measured.push(bytes);
        }
        println!("waiting for {name}: {measured:?} bytes");
        assert!(measured.iter().any(|bytes| *bytes < most), "{name}: {measured:?} bytes");
    }
}
