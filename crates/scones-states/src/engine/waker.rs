//! Wakes executions that are not in memory a little before a timer is due.

use std::time::Duration;

use super::{Command, Engine, TIMERS};

/// How often the store is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How far ahead it is asked; the actor waits for the rest, to the millisecond.
const HORIZON: Duration = Duration::from_secs(3);
/// Timers that are taken at a time.
const PAGE: usize = 1_000;

/// Runs until the engine stops.
pub(crate) async fn run(engine: Engine) {
    loop {
        if let Err(error) = wake(&engine).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "due timers could not be read");
        }
        tokio::select! {
            () = engine.shared.stopping.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

async fn wake(engine: &Engine) -> Result<(), scones_store::Error> {
    let until = engine.shared.clock.now() + HORIZON;
    for timer in engine.shared.store.due_timers(TIMERS, until, PAGE).await? {
        let Ok(execution_arn) = std::str::from_utf8(&timer.payload) else {
            continue;
        };
        let answer = engine.deliver(execution_arn, Command::Wake).await;
        if answer.is_err_and(|refusal| matches!(refusal, super::Refusal::Missing | super::Refusal::Ended)) {
            engine.shared.store.clear_timer(TIMERS, &timer.key).await?;
        }
    }
    Ok(())
}
