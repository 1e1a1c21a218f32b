//! The end of runs that nobody waits for any more.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use scones_asl::{TaskId, map_run::MapRun};

use super::{Live, MapRunStatus, Tally, child_prefix, key};
use crate::{
    Error,
    engine::{Command, Engine, Refusal, Shared},
};

/// Children that are stopped at the same time.
const STOPS_AT_ONCE: usize = 64;

/// Ends a run that its execution has cancelled, and its children.
pub(in crate::engine) fn abort_later(shared: &Arc<Shared>, run: Arc<MapRun>) {
    let engine = Engine {
        shared: Arc::clone(shared),
    };
    let live = shared.conducted(&run.arn);
    shared.tracker.spawn(async move {
        let aborted = async {
            if let Some(live) = &live {
                live.close().await;
            }
            engine.aborted(&run.arn, run.task, live.as_deref()).await;
        };
        tokio::select! {
            biased;
            () = aborted => {}
            // Its mark stays: the next start finds it.
            () = engine.shared.stopping.cancelled() => {}
        }
    });
}

impl Engine {
    /// Stops every child that has begun. None may begin meanwhile.
    async fn stop_children(&self, map_run_arn: &str) -> Result<(), Error> {
        let children = self.open_children(map_run_arn).await?;
        stream::iter(children.into_iter().map(Ok))
            .try_for_each_concurrent(STOPS_AT_ONCE, |child| async move {
                let stop = Command::Stop {
                    error: None,
                    cause: None,
                };
                match self.deliver(&child.arn, stop).await {
                    Err(Refusal::Unavailable) => Err(Error::Unavailable),
                    _ => {
                        self.settled(&child.arn).await;
                        Ok(())
                    }
                }
            })
            .await
    }

    async fn aborted(&self, map_run_arn: &str, task: TaskId, live: Option<&Live>) {
        let abort = || self.abort(map_run_arn, task, live);
        if let Err(error) = self.shared.patiently("a map run is to be aborted", abort).await {
            tracing::error!(
                map_run = map_run_arn,
                error = &error as &dyn std::error::Error,
                "not aborted"
            );
        }
    }

    /// Aborts a run, unless it has been redriven since `task` was its task.
    async fn abort(&self, map_run_arn: &str, task: TaskId, live: Option<&Live>) -> Result<(), Error> {
        let _held = self.shared.run_lock(map_run_arn).lock().await;
        let record = self.shared.map_runs.all.get(key(map_run_arn)).await?;
        if record.is_none_or(|record| record.value.task != task) {
            return Ok(());
        }
        let expected = live.map(Live::tally).unwrap_or_default();
        let tally = self.give_up(map_run_arn, &expected).await?;
        let now = self.shared.clock.now();
        let status = MapRunStatus::Aborted;
        Ok(self.shared.map_runs.end(map_run_arn, status, now, tally).await?)
    }

    /// Stops every child; gives how all of them ended, those that `expected`
    /// has beyond them included. A conductor that gives up has not seen the
    /// end of each.
    pub(super) async fn give_up(&self, map_run_arn: &str, expected: &Tally) -> Result<Tally, Error> {
        self.stop_children(map_run_arn).await?;
        let mut tally = self.counted(map_run_arn).await?;
        tally.cover(expected);
        tally.give_up();
        Ok(tally)
    }

    /// The children of a run as they are in the index.
    async fn counted(&self, map_run_arn: &str) -> Result<Tally, Error> {
        let mut tally = Tally::default();
        let prefix = format!("{}/", child_prefix(map_run_arn));
        for child in self.shared.index.all_below(&prefix).await? {
            let items = child.child_of.as_ref().map_or(1, |child| child.items);
            tally.expect(1, items);
            tally.begin(items);
            if child.stopped.is_some() {
                tally.end(items, child.status);
            }
        }
        Ok(tally)
    }

    /// Aborts the runs whose parents stopped waiting for them just before the
    /// server ended.
    pub(in crate::engine) async fn abort_orphans(&self) -> Result<(), Error> {
        let open = self
            .shared
            .patiently("map runs are looked for", || async {
                Ok(self.shared.map_runs.open().await?)
            })
            .await?;
        stream::iter(open)
            .for_each_concurrent(STOPS_AT_ONCE, |map_run_arn| async move {
                let look = || self.is_orphan(&map_run_arn);
                match self.shared.patiently("a map run's execution is looked for", look).await {
                    Ok(Some(task)) => self.aborted(&map_run_arn, task, None).await,
                    Ok(None) => {}
                    Err(error) => {
                        tracing::error!(
                            map_run = map_run_arn,
                            error = &error as &dyn std::error::Error,
                            "left open"
                        );
                    }
                }
            })
            .await;
        Ok(())
    }

    /// The task of a run that its execution does not wait for.
    async fn is_orphan(&self, map_run_arn: &str) -> Result<Option<TaskId>, Error> {
        let held = self.shared.run_lock(map_run_arn).lock().await;
        let Some(record) = self.shared.map_runs.all.get(key(map_run_arn)).await? else {
            // It never began.
            self.shared.map_runs.forget(map_run_arn).await?;
            return Ok(None);
        };
        drop(held);
        let task = record.value.task;
        match self.deliver(&record.value.execution_arn, Command::Awaits(task)).await {
            Err(Refusal::Missing | Refusal::Ended | Refusal::NotWaiting) => Ok(Some(task)),
            Err(Refusal::Unavailable) => Err(Error::Unavailable),
            Ok(_) => Ok(None),
        }
    }
}
