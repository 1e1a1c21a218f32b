//! Clients that repeat one thing for a while.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::bail;
use serde_json::json;

use crate::{client::Client, server::Server};

/// First pause between two looks at an execution that still runs.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// What a client repeats.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    /// StartExecution, then DescribeExecution until it has SUCCEEDED.
    Standard,
    /// StartSyncExecution.
    Sync,
}

/// One line of the table.
pub(crate) struct Load {
    pub(crate) name: &'static str,
    pub(crate) work: Work,
    pub(crate) clients: usize,
    pub(crate) machine_arn: String,
}

/// One round of a load.
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    /// Of one execution, as its client sees it.
    pub(crate) median: Duration,
    pub(crate) percentile_99: Duration,
}

impl Load {
    /// Keeps the clients busy for `duration`; each does one first that is not
    /// counted.
    pub(crate) async fn run(&self, server: &Server, duration: Duration) -> anyhow::Result<Measured> {
        let barrier = Arc::new(tokio::sync::Barrier::new(self.clients + 1));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..self.clients {
            let mut client = Client::connect(server).await?;
            let (work, arn, barrier) = (self.work, self.machine_arn.clone(), barrier.clone());
            tasks.spawn(async move {
                let warm = once(&mut client, work, &arn).await;
                barrier.wait().await;
                warm?;
                let end = Instant::now() + duration;
                let mut times = Vec::new();
                while Instant::now() < end {
                    let start = Instant::now();
                    once(&mut client, work, &arn).await?;
                    times.push(start.elapsed());
                }
                anyhow::Ok(times)
            });
        }
        barrier.wait().await;
        let begun = Instant::now();
        let mut times = Vec::new();
        while let Some(of_client) = tasks.join_next().await {
            times.extend(of_client??);
        }
        let elapsed = begun.elapsed().as_secs_f64();
        if times.is_empty() {
            bail!("{}: no execution ended within {duration:?}", self.name);
        }
        times.sort_unstable();
        Ok(Measured {
            per_second: times.len() as f64 / elapsed,
            median: times[times.len() / 2],
            percentile_99: times[times.len() * 99 / 100],
        })
    }
}

async fn once(client: &mut Client, work: Work, machine_arn: &str) -> anyhow::Result<()> {
    let input = json!({"stateMachineArn": machine_arn, "name": name(), "input": "{\"x\":1}"});
    match work {
        Work::Sync => {
            let answer = client.call("StartSyncExecution", &input).await?;
            match answer["status"].as_str() {
                Some("SUCCEEDED") => Ok(()),
                _ => bail!("StartSyncExecution: {answer}"),
            }
        }
        Work::Standard => {
            let started = client.call("StartExecution", &input).await?;
            let which = json!({"executionArn": started["executionArn"]});
            let mut pause = Duration::ZERO;
            loop {
                let execution = client.call("DescribeExecution", &which).await?;
                match execution["status"].as_str() {
                    Some("SUCCEEDED") => return Ok(()),
                    Some("RUNNING") => {}
                    _ => bail!("DescribeExecution: {execution}"),
                }
                pause = (pause * 3 / 2).clamp(PAUSE_MIN, PAUSE_MAX);
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// A name that no other execution of this run has.
pub(crate) fn name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("e{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
