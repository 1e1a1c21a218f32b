//! Map runs: the children of a distributed Map state, from the first item to
//! the result.
//!
//! A run's conductor is a task of the parent execution's actor. It keeps
//! nothing that a crash could lose: the parent's history says that there is a
//! run, each child has a name that follows from the run and the child's
//! number and a history of its own, so that the next conductor finds what the
//! last one did, and starts only what is not there.

mod batches;
mod child;
mod outputs;
mod record;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use scones_asl::{Input, Machine, TaskId, event::Failure, map_run::MapRun};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use self::{batches::Batches, child::Ended, outputs::Outputs};
pub(crate) use self::{
    child::{ChildOf, child_prefix},
    record::{Counts, MapRunRecord, MapRunStatus, MapRuns, Settings, Tally, key},
};
use super::{Command, Engine, Message, Origin, Refusal, Shared};
use crate::{Error, items};

/// Children of one run that are in memory at the same time. AWS allows 10,000;
/// more than this many make nothing faster on one machine.
const CHILDREN_MAX: usize = 1_000;
/// First pause before the store is asked again.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A run that this server conducts.
pub(crate) struct Live {
    settings: watch::Sender<Settings>,
    tally: Mutex<Tally>,
}

impl Live {
    pub(crate) fn tally(&self) -> Tally {
        *self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, count: impl FnOnce(&mut Tally)) {
        count(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// UpdateMapRun.
    pub(crate) fn change(&self, settings: Settings) {
        self.settings.send_replace(settings);
    }
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
        let input = match engine.conduct(&run, &execution_arn).await {
            Ok(output) => Input::TaskSucceeded { task, output },
            Err(Failure { error, cause }) => Input::TaskFailed { task, error, cause },
        };
        let message = Message {
            command: Command::Report(input),
            reply: None,
        };
        // If the actor is gone nobody wants to know.
        drop(reports.send(message).await);
    })
}

/// Ends a run that nobody waits for any more, and its children.
pub(super) fn abort_later(shared: &Arc<Shared>, run: Arc<MapRun>) {
    let engine = Engine {
        shared: Arc::clone(shared),
    };
    let tally = shared.conducted(&run.arn).map(|live| live.tally());
    shared.tracker.spawn(async move {
        let abort = engine.patiently("a map run is to be aborted", || engine.abort(&run.arn, run.task, tally));
        tokio::select! {
            () = abort => {}
            // Its mark stays: the next start finds it.
            () = engine.shared.stopping.cancelled() => {}
        }
    });
}

impl Shared {
    /// A run that this server conducts.
    pub(crate) fn conducted(&self, map_run_arn: &str) -> Option<Arc<Live>> {
        let conducted = self.conducted.lock().unwrap_or_else(PoisonError::into_inner);
        conducted.get(map_run_arn).cloned()
    }
}

/// Keeps a run findable while it is conducted.
struct Entered<'a> {
    shared: &'a Shared,
    map_run_arn: &'a str,
}

impl<'a> Entered<'a> {
    fn of(shared: &'a Shared, map_run_arn: &'a str, live: &Arc<Live>) -> Self {
        let mut conducted = shared.conducted.lock().unwrap_or_else(PoisonError::into_inner);
        conducted.insert(map_run_arn.to_owned(), Arc::clone(live));
        Self { shared, map_run_arn }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let mut conducted = self.shared.conducted.lock().unwrap_or_else(PoisonError::into_inner);
        conducted.remove(self.map_run_arn);
    }
}

impl Engine {
    /// Asks until the store answers.
    async fn patiently<T, E, F>(&self, what: &str, mut ask: impl FnMut() -> F) -> T
    where
        E: std::fmt::Display,
        F: Future<Output = Result<T, E>>,
    {
        let mut pause = PAUSE_MIN;
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(error) => {
                    tracing::warn!(%error, "{what} and waits for the store");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// A run from its first item, or from where it was left, to its result.
    async fn conduct(&self, run: &Arc<MapRun>, execution_arn: &str) -> Result<String, Failure> {
        let (record, parent) = self
            .patiently("a map run begins", || self.open_map_run(run, execution_arn))
            .await;
        let live = Arc::new(Live {
            settings: watch::Sender::new(record.settings),
            tally: Mutex::default(),
        });
        let _entered = Entered::of(&self.shared, &run.arn, &live);
        let mut outputs = Outputs::default();
        let ran = self.run_children(run, &parent, &live, &mut outputs).await;
        if ran.is_err() {
            self.patiently("children are to be stopped", || self.stop_children(&run.arn))
                .await;
            live.count(Tally::give_up);
        }
        let written = self.result(run, outputs).await;
        let result = ran.and(written);
        let status = match result {
            Ok(_) => MapRunStatus::Succeeded,
            Err(_) => MapRunStatus::Failed,
        };
        self.patiently("a map run has ended", || {
            let now = self.shared.clock.now();
            self.shared.map_runs.end(&run.arn, status, now, Some(live.tally()))
        })
        .await;
        result
    }

    async fn open_map_run(&self, run: &MapRun, execution_arn: &str) -> Result<(MapRunRecord, Origin), Error> {
        let parent = self.describe(execution_arn).await?.ok_or_else(|| Error::History {
            execution: execution_arn.to_owned(),
            problem: "is not there while it runs".to_owned(),
        })?;
        let record = MapRunRecord {
            arn: run.arn.clone(),
            execution_arn: execution_arn.to_owned(),
            task: run.task,
            status: MapRunStatus::Running,
            started: self.shared.clock.now(),
            stopped: None,
            settings: Settings {
                max_concurrency: run.max_concurrency,
                tolerated_failure_count: run.tolerated_failure_count,
                tolerated_failure_percentage: run.tolerated_failure_percentage,
            },
            tally: Tally::default(),
            redrive_count: run.redrive_count,
            redriven: (run.redrive_count > 0).then(|| self.shared.clock.now()),
        };
        // An abort of what the run was before its redrive comes first or not at all.
        let _held = self.shared.name_lock(&run.arn).lock().await;
        Ok((self.shared.map_runs.begin(record).await?, parent.origin))
    }

    /// Runs every child, as many at a time as may be.
    async fn run_children(
        &self,
        run: &Arc<MapRun>,
        parent: &Origin,
        live: &Live,
        outputs: &mut Outputs,
    ) -> Result<(), Failure> {
        let machine = self.processor(run, parent).await;
        let mut settings = live.settings.subscribe();
        let items = items::open(&run.source, &self.shared.objects).await?;
        // Their number is known before the first is given out.
        let counted = run.batching.is_none() && items.count().is_some();
        if counted {
            live.count(|tally| (0..items.count().unwrap_or_default()).for_each(|_| tally.expect(1)));
        }
        let mut batches = Batches::of(items);
        let mut running: JoinSet<Ended> = JoinSet::new();
        loop {
            while let Some(ended) = running.try_join_next() {
                take(ended, run, live, outputs);
            }
            let now = *settings.borrow_and_update();
            let tally = live.tally();
            if now.are_exceeded(&tally) {
                return Err(MapRun::exceeded());
            }
            if !tally.complete && running.len() < concurrency(now) {
                match batches.next(run).await? {
                    None => live.count(|tally| tally.complete = true),
                    Some(child) => {
                        live.count(|tally| {
                            if !counted {
                                tally.expect(child.items);
                            }
                            tally.begin(child.items);
                        });
                        let origin = child::origin(self, parent, run, &child);
                        running.spawn(
                            self.clone()
                                .run_child(origin, Arc::clone(&machine), child, run.redrive_count),
                        );
                    }
                }
                continue;
            }
            tokio::select! {
                ended = running.join_next() => match ended {
                    Some(ended) => take(ended, run, live, outputs),
                    None => return Ok(()),
                },
                _ = settings.changed() => {}
            }
        }
    }

    /// What the children run.
    async fn processor(&self, run: &MapRun, parent: &Origin) -> Arc<Machine> {
        let origin = Origin {
            child_of: Some(ChildOf {
                map_run_arn: run.arn.clone(),
                state_name: run.state_name.clone(),
                items: 0,
            }),
            ..parent.clone()
        };
        self.patiently("a map run reads its definition", || self.machine_of(&origin))
            .await
    }

    /// The state's result.
    async fn result(&self, run: &MapRun, outputs: Outputs) -> Result<String, Failure> {
        match &run.results.destination {
            None => outputs.joined(run),
            Some(_) => Err(Failure {
                error: Some(scones_asl::error_names::RESULT_WRITER_FAILED.to_owned()),
                cause: Some("Scones does not write results to S3 yet".to_owned()),
            }),
        }
    }

    async fn stop_children(&self, map_run_arn: &str) -> Result<(), Error> {
        for child in self.open_children(map_run_arn).await? {
            let stop = Command::Stop {
                error: None,
                cause: None,
            };
            match self.deliver(&child.arn, stop).await {
                Err(Refusal::Unavailable) => return Err(Error::Unavailable),
                _ => self.settled(&child.arn).await,
            }
        }
        Ok(())
    }

    /// Aborts a run, unless it has been redriven since `task` was its task.
    async fn abort(&self, map_run_arn: &str, task: TaskId, tally: Option<Tally>) -> Result<(), Error> {
        let _held = self.shared.name_lock(map_run_arn).lock().await;
        let record = self.shared.map_runs.all.get(key(map_run_arn)).await?;
        if record.is_none_or(|record| record.value.task != task) {
            return Ok(());
        }
        self.stop_children(map_run_arn).await?;
        let tally = tally.map(|mut tally| {
            tally.give_up();
            tally
        });
        let now = self.shared.clock.now();
        Ok(self
            .shared
            .map_runs
            .end(map_run_arn, MapRunStatus::Aborted, now, tally)
            .await?)
    }

    /// Aborts the runs whose parents stopped waiting for them just before the
    /// server ended.
    pub(super) async fn abort_orphans(&self) -> Result<(), Error> {
        for map_run_arn in self.shared.map_runs.open().await? {
            let Some(record) = self.shared.map_runs.all.get(key(&map_run_arn)).await? else {
                continue;
            };
            let task = record.value.task;
            if let Err(Refusal::Missing | Refusal::Ended | Refusal::NotWaiting) =
                self.deliver(&record.value.execution_arn, Command::Awaits(task)).await
            {
                self.abort(&map_run_arn, task, None).await?;
            }
        }
        Ok(())
    }
}

fn concurrency(settings: Settings) -> usize {
    match usize::try_from(settings.max_concurrency) {
        Ok(0) | Err(_) => CHILDREN_MAX,
        Ok(most) => most.min(CHILDREN_MAX),
    }
}

fn take(ended: Result<Ended, tokio::task::JoinError>, run: &MapRun, live: &Live, outputs: &mut Outputs) {
    match ended {
        Ok(ended) => {
            live.count(|tally| tally.end(ended.items, ended.status()));
            if run.results.destination.is_none() {
                outputs.put(
                    ended.number,
                    outputs::kept(&ended.description, run.results.transformation),
                );
            }
        }
        // Only a panic in this program's own code gets here.
        Err(error) => {
            tracing::error!(map_run = run.arn, %error, "a child execution was lost");
            live.count(|tally| tally.end(1, super::Status::Failed));
        }
    }
}
