//! How many durable appends, puts and reads a second this machine's disk allows.
//!
//! `cargo run --release -p scones-store --example append_rate [DIRECTORY]`
//! (a temporary directory if none is given; mind that `/tmp` may be memory).

#![expect(clippy::print_stdout, reason = "printing figures is what this program is for")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use scones_store::{Error, Expected, Histories as _, Records as _, SqliteStore};

const ENTRY_BYTES: usize = 512;
const TIME: Duration = Duration::from_secs(3);
const TASKS: [usize; 3] = [1, 16, 256];

#[tokio::main]
async fn main() -> Result<(), Error> {
    let temporary = tempfile::tempdir()?;
    let directory = std::env::args_os()
        .nth(1)
        .map_or(temporary.path().to_owned(), Into::into);
    let store = SqliteStore::open(&directory)?;
    for tasks in TASKS {
        let rate = measure(&store, tasks, async |store, task, step| {
            let entry = Bytes::from_static(&[7; ENTRY_BYTES]);
            store
                .append(&format!("{tasks} history {task}"), step, vec![entry])
                .await
                .map(drop)
        });
        println!("{:>9.0} appends/s with {tasks} tasks", rate.await?);
    }
    for tasks in TASKS {
        let rate = measure(&store, tasks, async |store, task, step| {
            let value = Bytes::from_static(&[7; ENTRY_BYTES]);
            let key = format!("{task}/{}", step % 100);
            store.put("table", &key, value, Expected::Anything).await.map(drop)
        });
        println!("{:>9.0} puts/s with {tasks} tasks", rate.await?);
    }
    for tasks in TASKS {
        let rate = measure(&store, tasks, async |store, _, step| {
            store.get("table", &format!("0/{}", step % 100)).await.map(drop)
        });
        println!("{:>9.0} gets/s with {tasks} tasks", rate.await?);
    }
    store.close().await;
    Ok(())
}

/// Operations a second, when each of `tasks` tasks performs one after another.
async fn measure<F>(store: &Arc<SqliteStore>, tasks: usize, operation: F) -> Result<f64, Error>
where
    F: AsyncFn(&SqliteStore, usize, u64) -> Result<(), Error> + Copy,
{
    let started = Instant::now();
    let task = async |task: usize| {
        let mut steps = 0;
        while started.elapsed() < TIME {
            operation(store, task, steps).await?;
            steps += 1;
        }
        Ok::<_, Error>(steps)
    };
    let counts = futures::future::try_join_all((0..tasks).map(task)).await?;
    Ok(counts.iter().sum::<u64>() as f64 / started.elapsed().as_secs_f64())
}
