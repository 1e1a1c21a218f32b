//! How many durable executions of five Pass states a second this machine ends:
//! `cargo run --release -p scones-states --example passes [SECONDS] [CLIENTS]`.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::{
    env,
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use scones_api::{ApiError, Caller, JsonService as _, Owner, RequestContext, SystemClock};
use scones_states::{LambdaCall, LambdaReply, NoLogs, NoObjects, Options, Outside, States, SystemRandom, TaskRunner};
use scones_store::SqliteStore;
use serde_json::{Value, json};

struct NoFunctions;

#[async_trait]
impl TaskRunner for NoFunctions {
    async fn invoke_function(&self, call: LambdaCall) -> Result<LambdaReply, ApiError> {
        Err(ApiError::not_implemented(call.function))
    }
}

type Failure = Box<dyn Error + Send + Sync>;

async fn call(states: &States, context: &RequestContext, operation: &str, input: Value) -> Result<Value, Failure> {
    let output = states.call(operation, input.to_string().as_bytes(), context).await?;
    Ok(serde_json::from_slice(&output)?)
}

/// Starts executions one after another, each until it has ended, and gives
/// how long each took.
async fn client(
    states: Arc<States>,
    context: RequestContext,
    machine: Value,
    until: Instant,
) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    while Instant::now() < until {
        let began = Instant::now();
        let start = json!({"stateMachineArn": machine, "input": "{\"hello\": \"world\"}"});
        let started = call(&states, &context, "StartExecution", start).await?;
        let describe = json!({"executionArn": started["executionArn"]});
        while call(&states, &context, "DescribeExecution", describe.clone()).await?["status"] != "SUCCEEDED" {}
        times.push(began.elapsed());
    }
    Ok(times)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let argument = |number, default| {
        env::args()
            .nth(number)
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let (seconds, clients) = (argument(1, 5), argument(2, 16));
    let directory = tempfile::tempdir()?;
    let store = SqliteStore::open(directory.path())?;
    let runner = Arc::new(NoFunctions);
    let states = States::start(
        Options::default(),
        Owner::default(),
        store,
        Arc::new(SystemClock),
        Outside {
            runner,
            objects: Arc::new(NoObjects),
            logs: Arc::new(NoLogs),
            random: Arc::new(SystemRandom),
        },
    )
    .await?;
    let caller = Caller {
        access_key_id: String::new(),
        arn: "arn:aws:iam::000000000000:root".parse()?,
    };
    let context = RequestContext {
        caller: Arc::new(caller),
        request_id: String::new(),
    };
    let mut definition = json!({"StartAt": "P1", "States": {}});
    for number in 1..=5 {
        let next = if number == 5 {
            json!({"Type": "Pass", "End": true})
        } else {
            json!({"Type": "Pass", "Next": format!("P{}", number + 1)})
        };
        definition["States"][format!("P{number}")] = next;
    }
    let create =
        json!({"name": "passes", "definition": definition.to_string(), "roleArn": "arn:aws:iam::000000000000:role/r"});
    let machine = call(&states, &context, "CreateStateMachine", create).await?["stateMachineArn"].clone();

    let began = Instant::now();
    let until = began + Duration::from_secs(seconds);
    let clients: Vec<_> = (0..clients)
        .map(|_| tokio::spawn(client(Arc::clone(&states), context.clone(), machine.clone(), until)))
        .collect();
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.await??);
    }
    let elapsed = began.elapsed().as_secs_f64();
    times.sort();
    let quantile = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    println!(
        "{:.0} executions/s, p50 {:?}, p99 {:?}",
        times.len() as f64 / elapsed,
        quantile(50),
        quantile(99)
    );
    states.shutdown().await;
    Ok(())
}
