//! Wakes executions that are not in memory a little before a timer is due.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use scones_store::Timer;

use super::{Command, Engine, Refusal, TIMERS};

/// How often the store is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How far ahead it is asked; the actor waits for the rest, to the millisecond.
const HORIZON: Duration = Duration::from_secs(3);
/// Timers that are taken at a time.
const PAGE: usize = 1_000;
/// Executions that are woken at the same time.
const AT_ONCE: usize = 64;

/// Runs until the engine stops.
pub(crate) async fn run(engine: Engine) {
    loop {
        if let Err(error) = wake(&engine).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "due timers could not be read");
        }
        tokio::select! {
            biased;
            () = engine.shared.stopping.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

async fn wake(engine: &Engine) -> Result<(), scones_store::Error> {
    let until = engine.shared.clock.now() + HORIZON;
    let due = engine.shared.store.due_timers(TIMERS, until, PAGE).await?;
    let mut waking = stream::iter(due)
        .map(|timer| wake_one(engine, timer))
        .buffer_unordered(AT_ONCE);
    while let Some(woken) = waking.next().await {
        woken?;
    }
    Ok(())
}

async fn wake_one(engine: &Engine, timer: Timer) -> Result<(), scones_store::Error> {
    let Ok(execution_arn) = std::str::from_utf8(&timer.payload) else {
        return Ok(());
    };
    match engine.deliver(execution_arn, Command::Wake).await {
        // Waking clears the timer; what has ended has no use for it.
        Err(Refusal::Missing | Refusal::Ended) => engine.shared.store.clear_timer(TIMERS, &timer.key).await,
        _ => Ok(()),
    }
}
