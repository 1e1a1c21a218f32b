//! What is measured.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::{
    client::Client,
    load::{self, Load, Work},
    server::Server,
};

/// Connections that start the executions that wait.
const STARTERS: usize = 16;

/// The loads, with their state machines made.
pub(crate) async fn loads(server: &Server) -> anyhow::Result<Vec<Load>> {
    let mut client = Client::connect(server).await?;
    let definition = five_passes();
    let standard = create(&mut client, "standard", "STANDARD", &definition).await?;
    let express = create(&mut client, "express", "EXPRESS", &definition).await?;
    let load = |name, work, clients, machine_arn: &String| Load {
        name,
        work,
        clients,
        machine_arn: machine_arn.clone(),
    };
    Ok(vec![
        load("standard, durable, 16 clients", Work::Standard, 16, &standard),
        load("standard, durable, 1 client", Work::Standard, 1, &standard),
        load("StartSyncExecution, 16 clients", Work::Sync, 16, &express),
        load("StartSyncExecution, 1 client", Work::Sync, 1, &express),
    ])
}

/// A server that is killed while executions wait.
pub(crate) struct Restart {
    pub(crate) waiting: usize,
    /// From the start of the process to the line that says it is ready.
    pub(crate) ready_after: Duration,
    /// From the start of the process to the answer that an execution still waits.
    pub(crate) served_after: Duration,
    pub(crate) bytes_empty: u64,
    pub(crate) bytes_waiting: u64,
    pub(crate) bytes_restarted: u64,
}

/// Starts `waiting` executions that wait for an hour, kills the server and
/// starts it again.
pub(crate) async fn restart(directory: &Path, waiting: usize) -> anyhow::Result<Restart> {
    let server = Server::start(directory).await?;
    let bytes_empty = server.resident_bytes()?;
    let last = start_waiting(&server, waiting).await?;
    let bytes_waiting = server.resident_bytes()?;
    let begun = Instant::now();
    let server = server.kill_and_restart().await?;
    let mut client = Client::connect(&server).await?;
    let execution = client.call("DescribeExecution", &json!({"executionArn": last})).await?;
    let served_after = begun.elapsed();
    ensure!(execution["status"] == "RUNNING", "after the restart: {execution}");
    let bytes_restarted = server.resident_bytes()?;
    Ok(Restart {
        waiting,
        ready_after: server.ready_after,
        served_after,
        bytes_empty,
        bytes_waiting,
        bytes_restarted,
    })
}

/// The ARN of the last execution that was started.
async fn start_waiting(server: &Server, count: usize) -> anyhow::Result<Value> {
    let definition = json!({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 3600, "End": true}}});
    let mut client = Client::connect(server).await?;
    let machine = create(&mut client, "waits", "STANDARD", &definition).await?;
    let mut starters = tokio::task::JoinSet::new();
    for starter in 0..STARTERS {
        let mut client = Client::connect(server).await?;
        let machine = machine.clone();
        starters.spawn(async move {
            let mut last = Value::Null;
            for _ in (starter..count).step_by(STARTERS) {
                let input = json!({"stateMachineArn": machine, "name": load::name()});
                last = client.call("StartExecution", &input).await?["executionArn"].take();
            }
            anyhow::Ok(last)
        });
    }
    let mut last = Value::Null;
    while let Some(of_starter) = starters.join_next().await {
        let arn = of_starter??;
        if !arn.is_null() {
            last = arn;
        }
    }
    Ok(last)
}

async fn create(client: &mut Client, name: &str, kind: &str, definition: &Value) -> anyhow::Result<String> {
    let input = json!({
        "name": name,
        "type": kind,
        "definition": definition.to_string(),
        "roleArn": "arn:aws:iam::000000000000:role/bench",
    });
    let answer = client.call("CreateStateMachine", &input).await?;
    let arn = answer["stateMachineArn"].as_str().context("no ARN")?;
    Ok(arn.to_owned())
}

fn five_passes() -> Value {
    let pass = |next| json!({"Type": "Pass", "Next": next});
    json!({"StartAt": "A", "States": {
        "A": pass("B"), "B": pass("C"), "C": pass("D"), "D": pass("E"), "E": {"Type": "Pass", "End": true},
    }})
}
