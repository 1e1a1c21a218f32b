//! Map runs: the children of a distributed Map state, from the first item to
//! the result.
//!
//! A run's conductor is a task of the parent execution's actor. It keeps
//! nothing that a crash could lose: the parent's history says that there is a
//! run, each child has a name that follows from the run and the child's
//! number and a history of its own, so that the next conductor finds what the
//! last one did, and starts only what is not there.

mod abort;
mod batches;
mod child;
mod live;
mod outputs;
mod record;
mod results;

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};
use scones_api::Timestamp as ApiTimestamp;
use scones_asl::{Input, Machine, error_names, event::Failure, map_run::MapRun};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
};

pub(super) use self::abort::abort_later;
use self::{batches::Batches, child::Ended, live::Entered, outputs::Outputs, results::Export};
pub(crate) use self::{
    child::{ChildOf, child_prefix},
    live::Live,
    record::{Counts, MapRunRecord, MapRunStatus, MapRuns, Settings, Tally, key},
};
use super::{Command, Engine, Message, Origin, Shared};
use crate::{Error, items};

/// Children of one run that are in memory at the same time. AWS allows 10,000;
/// more than this many make nothing faster on one machine.
const CHILDREN_MAX: usize = 1_000;

/// What the children of a run leave.
#[derive(Default)]
struct Left {
    /// Their results, unless these are exported.
    outputs: Outputs,
    /// The items, some of which may not have been given out.
    batches: Option<Batches>,
}

/// Conducts a run and reports its end to the parent's actor. Dropping this
/// leaves the children as they are.
///
/// Boxed, as a child's actor may conduct runs of its own.
pub(super) fn work(
    shared: Arc<Shared>,
    run: Arc<MapRun>,
    execution_arn: String,
    reports: mpsc::Sender<Message>,
) -> BoxFuture<'static, ()> {
    let engine = Engine { shared };
    let task = run.task;
    Box::pin(async move {
        let conducted = AssertUnwindSafe(engine.conduct(&run, &execution_arn)).catch_unwind();
        let conducted = tokio::select! {
            biased;
            // Whatever stops with the server is no end of the run.
            () = engine.shared.stopping.cancelled() => return,
            conducted = conducted => conducted,
        };
        let result = conducted.unwrap_or_else(|_| {
            tracing::error!(map_run = run.arn, "the conductor of a map run panicked");
            Err(broken("the map run's conductor panicked"))
        });
        let input = match result {
            Ok(output) => Input::TaskSucceeded { task, output },
            Err(Failure { error, cause }) => Input::TaskFailed { task, error, cause },
        };
        let message = Message {
            command: Box::new(Command::Report(input)),
            reply: None,
        };
        // If the actor is gone nobody wants to know.
        drop(reports.send(message).await);
    })
}

/// The failure of a run that this program cannot go on with.
fn broken(cause: impl std::fmt::Display) -> Failure {
    Failure {
        error: Some(error_names::RUNTIME.to_owned()),
        cause: Some(cause.to_string()),
    }
}

impl Engine {
    /// A run from its first item, or from where it was left, to its result.
    async fn conduct(&self, run: &Arc<MapRun>, execution_arn: &str) -> Result<String, Failure> {
        let live = Live::of(run);
        let _entered = Entered::of(&self.shared, &run.arn, &live);
        let opened = self
            .shared
            .patiently("a map run begins", || self.open_map_run(run, execution_arn, &live))
            .await;
        let (redriven, parent) = opened.map_err(broken)?;
        let result = self.run_to_result(run, &parent, redriven, &live).await;
        let status = match result {
            Ok(_) => MapRunStatus::Succeeded,
            Err(_) => MapRunStatus::Failed,
        };
        let end = || async {
            let now = self.shared.clock.now();
            Ok(self.shared.map_runs.end(&run.arn, status, now, live.tally()).await?)
        };
        self.shared
            .patiently("a map run has ended", end)
            .await
            .map_err(broken)?;
        result
    }

    /// The children, and what becomes of their results.
    async fn run_to_result(
        &self,
        run: &Arc<MapRun>,
        parent: &Origin,
        redriven: Option<ApiTimestamp>,
        live: &Arc<Live>,
    ) -> Result<String, Failure> {
        let export = Export::of(run, &self.shared.objects)?;
        if let Some(export) = &export {
            export.begin().await?;
        }
        let mut left = Left::default();
        let ran = self.run_children(run, parent, redriven, live, &mut left).await;
        if ran.is_err() {
            live.close().await;
            let expected = live.tally();
            let stopped = self
                .shared
                .patiently("children are to be stopped", || self.give_up(&run.arn, &expected));
            let ended = stopped.await.map_err(broken)?;
            live.count(|tally| *tally = ended);
        }
        let result = match export {
            None => left.outputs.joined(run),
            Some(export) => self.export(&export, run, parent, left.batches).await,
        };
        ran.and(result)
    }

    /// Writes that the run is under way; gives its last redrive and its
    /// execution's origin.
    async fn open_map_run(
        &self,
        run: &MapRun,
        execution_arn: &str,
        live: &Live,
    ) -> Result<(Option<ApiTimestamp>, Origin), Error> {
        let parent = self.describe(execution_arn).await?.ok_or_else(|| Error::History {
            execution: execution_arn.to_owned(),
            problem: "is not there while it runs".to_owned(),
        })?;
        // An abort of what the run was before its redrive comes first or not
        // at all, and no update of its settings is missed.
        let _held = self.shared.run_lock(&run.arn).lock().await;
        let record = MapRunRecord::of(run, execution_arn, self.shared.clock.now());
        let record = self.shared.map_runs.begin(record).await?;
        live.change(record.settings);
        Ok((record.redriven, parent.origin))
    }

    /// Runs every child, as many at a time as may be.
    async fn run_children(
        &self,
        run: &Arc<MapRun>,
        parent: &Origin,
        redriven: Option<ApiTimestamp>,
        live: &Arc<Live>,
        left: &mut Left,
    ) -> Result<(), Failure> {
        let Left { outputs, batches } = left;
        let machine = self.processor(run, parent).await?;
        let mut settings = live.settings.subscribe();
        let items = items::open(run, &self.shared.objects).await?;
        // Their number is known before the first is given out.
        let counted = items.count().filter(|_| run.batching.is_none());
        if let Some(number) = counted {
            live.count(|tally| {
                tally.expect(number, number);
                tally.total_is_known = true;
            });
        }
        let batches = batches.insert(Batches::of(items));
        let mut all_begun = false;
        let mut running = JoinSet::new();
        loop {
            while let Some(ended) = running.try_join_next() {
                take(ended, run, live, outputs)?;
            }
            let now = *settings.borrow_and_update();
            if now.are_exceeded(&live.tally()) {
                return Err(MapRun::exceeded());
            }
            if !all_begun && running.len() < concurrency(now) {
                let Some(child) = batches.next(run).await? else {
                    all_begun = true;
                    live.count(|tally| tally.total_is_known = true);
                    continue;
                };
                live.count(|tally| {
                    if counted.is_none() {
                        tally.expect(1, child.items);
                    }
                    tally.begin(child.items);
                });
                let origin = child::origin(self, parent, run, &child);
                let engine = self.clone();
                running.spawn(engine.run_child(Arc::clone(live), origin, Arc::clone(&machine), child, redriven));
                continue;
            }
            tokio::select! {
                biased;
                ended = running.join_next() => match ended {
                    Some(ended) => take(ended, run, live, outputs)?,
                    None => return Ok(()),
                },
                _ = settings.changed() => {}
            }
        }
    }

    /// What the children run.
    async fn processor(&self, run: &MapRun, parent: &Origin) -> Result<Arc<Machine>, Failure> {
        let origin = Origin {
            child_of: Some(ChildOf {
                map_run_arn: run.arn.clone(),
                state_name: run.state_name.clone(),
                number: 0,
                items: 0,
            }),
            ..parent.clone()
        };
        let read = || self.machine_of(&origin);
        self.shared
            .patiently("a map run reads its definition", read)
            .await
            .map_err(broken)
    }
}

fn concurrency(settings: Settings) -> usize {
    match usize::try_from(settings.max_concurrency) {
        Ok(0) | Err(_) => CHILDREN_MAX,
        Ok(most) => most.min(CHILDREN_MAX),
    }
}

/// Counts a child that has ended and keeps what it leaves.
fn take(
    ended: Result<Result<Ended, Error>, JoinError>,
    run: &MapRun,
    live: &Live,
    outputs: &mut Outputs,
) -> Result<(), Failure> {
    let ended = ended.map_err(broken)?.map_err(broken)?;
    live.count(|tally| tally.end(ended.items, ended.status()));
    if run.results.destination.is_none() {
        outputs.put(
            ended.number,
            outputs::kept(&ended.description, run.results.transformation),
        );
    }
    Ok(())
}
