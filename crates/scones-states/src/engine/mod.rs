//! The engine: one event-sourced actor for every execution that is in memory,
//! over histories that are the only truth.

mod activities;
mod actor;
mod backoff;
mod delivery;
mod entry;
mod express;
mod index;
mod jobs;
mod journal;
mod map_run;
mod message;
pub(crate) mod pace;
mod recent;
mod redrive;
mod replay;
mod run;
mod start;
mod waker;
mod worker;

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use scones_api::{Clock, Owner, Timestamp as ApiTimestamp};
use scones_asl::Timestamp;
use scones_store::{Collection, ListQuery, Store, Timer};
use tokio::sync::{Mutex as AsyncMutex, Notify, Semaphore, mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    actor::{Actor, End, Record},
    message::{MAILBOX, Mailbox, Message},
    replay::Replayed,
};
use crate::{
    Error, Options, Outside, catalog::Catalog, logs::LogGroups, objects::ObjectStore, random::Ids, runner::TaskRunner,
};

pub(crate) use self::{
    entry::{Ending, Entry, Events, Origin},
    index::{Status, Summary},
    journal::history_name,
    map_run::{Counts, MapRunRecord, MapRunStatus, child_prefix, key as map_run_key},
    message::{Answer, Command, Refusal, Reply},
    recent::Past,
    start::{Description, Started},
};

/// Histories that are replayed at the same time.
const REPLAYS_MAX: usize = 64;
/// Locks that the names of executions, or those of map runs, share.
const LOCKS: usize = 256;
/// Times that a message is sent to an actor that is about to leave.
const DELIVERIES_MAX: usize = 8;
/// Longest wait for the index by those who ask about an execution that ended.
const SETTLING_MAX: Duration = Duration::from_secs(1);
/// The group of the timers of executions that are not in memory.
const TIMERS: &str = "states.executions";

/// What all actors share.
pub(crate) struct Shared {
    owner: Owner,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Ids,
    pub(crate) catalog: Catalog,
    pub(crate) runner: Arc<dyn TaskRunner>,
    pub(crate) options: Options,
    /// One for each task that runs.
    pub(crate) permits: Arc<Semaphore>,
    /// One for each Express execution.
    express_places: Arc<Semaphore>,
    /// Express executions, for a while.
    pub(crate) recent: recent::Recent,
    pub(crate) index: index::Index,
    pub(crate) stopping: CancellationToken,
    pub(crate) map_runs: map_run::MapRuns,
    /// The jobs that tasks have started.
    jobs: Collection<jobs::Mark>,
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) logs: Arc<dyn LogGroups>,
    delivery: delivery::Delivery,
    /// By ARN: the map runs that this server conducts.
    conducted: Mutex<HashMap<String, Arc<map_run::Live>>>,
    /// By ARN: those who wait for an execution's end.
    ends: Mutex<HashMap<String, Arc<Notify>>>,
    tracker: TaskTracker,
    live: Mutex<HashMap<String, Handle>>,
    next_actor: AtomicU64,
    replays: Semaphore,
    name_locks: Vec<AsyncMutex<()>>,
    run_locks: Vec<AsyncMutex<()>>,
    /// By activity's ARN: somebody offered a task.
    offers: Mutex<HashMap<String, Arc<Notify>>>,
}

/// The way to an actor.
#[derive(Clone)]
struct Handle {
    sender: mpsc::Sender<Message>,
    actor: u64,
}

/// The engine. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Engine {
    pub(crate) shared: Arc<Shared>,
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.clock.now().as_millis())
    }

    /// Makes what an idle execution needs to come back durable.
    async fn park(&self, summary: &Summary, due: Option<Timestamp>) -> Result<(), Error> {
        let key = summary.key();
        if let Some(due) = due {
            let due = ApiTimestamp::from_millis(due.0);
            self.store
                .set_timer(
                    TIMERS,
                    Timer {
                        key,
                        due,
                        payload: summary.arn.clone().into(),
                    },
                )
                .await?;
        }
        Ok(self.index.park(summary, true).await?)
    }

    /// Takes back [`park`](Self::park), before the execution does anything. A
    /// timer that stays wakes it once more than needed; one that was cleared
    /// by an operation that failed must not keep it from waking now.
    async fn unpark(&self, summary: &Summary) -> Result<(), Error> {
        self.index.park(summary, false).await?;
        if let Err(error) = self.store.clear_timer(TIMERS, &summary.key()).await {
            tracing::warn!(execution = summary.arn, %error, "a timer stays set");
        }
        Ok(())
    }

    /// Tells those who wait for an execution's end that it is in the history.
    fn tell_end(&self, execution_arn: &str) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(end) = ends.remove(execution_arn) {
            end.notify_waiters();
        }
    }

    /// A lock that one execution's starts and redrives share.
    fn name_lock(&self, execution_arn: &str) -> &AsyncMutex<()> {
        pick(&self.name_locks, execution_arn)
    }

    /// A lock that the beginning, the update and the abort of a map run share.
    pub(crate) fn run_lock(&self, map_run_arn: &str) -> &AsyncMutex<()> {
        pick(&self.run_locks, map_run_arn)
    }

    fn live(&self) -> MutexGuard<'_, HashMap<String, Handle>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handle for a new actor, entered unless there is one.
    fn enter(&self, execution_arn: &str, sender: &mpsc::Sender<Message>) -> Option<u64> {
        let mut live = self.live();
        if live.contains_key(execution_arn) {
            return None;
        }
        let actor = self.next_actor.fetch_add(1, Ordering::Relaxed);
        live.insert(
            execution_arn.to_owned(),
            Handle {
                sender: sender.clone(),
                actor,
            },
        );
        Some(actor)
    }

    /// Ends an actor's being reachable; whoever wrote to it writes again.
    fn leave(&self, execution_arn: &str, actor: u64, mailbox: &mut Mailbox) {
        let mut live = self.live();
        if live.get(execution_arn).is_some_and(|handle| handle.actor == actor) {
            live.remove(execution_arn);
        }
        drop(live);
        mailbox.close();
        while mailbox.try_recv().is_ok() {}
    }
}

/// Locks that names share.
fn locks() -> Vec<AsyncMutex<()>> {
    (0..LOCKS).map(|_| AsyncMutex::new(())).collect()
}

fn pick<'a>(locks: &'a [AsyncMutex<()>], name: &str) -> &'a AsyncMutex<()> {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let lock = usize::try_from(hasher.finish() % locks.len() as u64).unwrap_or_default();
    &locks[lock]
}

impl Engine {
    /// Starts the engine, and with it every execution that was interrupted.
    pub(crate) async fn start(
        options: Options,
        owner: Owner,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        catalog: Catalog,
        outside: Outside,
    ) -> Result<Self, Error> {
        let Outside {
            runner,
            objects,
            logs,
            random,
        } = outside;
        let ids = Ids(random);
        let stopping = CancellationToken::new();
        let (delivery, delivering) = delivery::Delivery::new(Arc::clone(&logs), &ids, stopping.clone());
        let shared = Arc::new(Shared {
            owner,
            index: index::Index::new(&store),
            map_runs: map_run::MapRuns::new(&store),
            jobs: jobs::marks(&store),
            objects,
            conducted: Mutex::default(),
            ends: Mutex::default(),
            store,
            clock,
            ids,
            catalog,
            runner,
            permits: Arc::new(Semaphore::new(options.tasks_max)),
            express_places: Arc::new(Semaphore::new(options.express_max)),
            recent: recent::Recent::default(),
            options,
            stopping,
            logs,
            delivery,
            tracker: TaskTracker::new(),
            live: Mutex::default(),
            next_actor: AtomicU64::new(0),
            replays: Semaphore::new(REPLAYS_MAX),
            name_locks: locks(),
            run_locks: locks(),
            offers: Mutex::default(),
        });
        let engine = Self { shared };
        engine.shared.tracker.spawn(delivering);
        if let Err(error) = engine.recover().await {
            // Those that were found already stop with the rest.
            engine.shutdown().await;
            return Err(error);
        }
        engine.shared.tracker.spawn(waker::run(engine.clone()));
        engine.shared.tracker.spawn(engine.clone().tidy());
        Ok(engine)
    }

    /// Stops every actor. Their executions go on where the histories end.
    pub(crate) async fn shutdown(&self) {
        self.shared.stopping.cancel();
        self.shared.tracker.close();
        self.shared.tracker.wait().await;
    }

    /// Ends what a crash left without anybody who waits for it.
    async fn tidy(self) {
        let tidied = async { futures::try_join!(self.abort_orphans(), self.stop_orphaned_jobs()) };
        tokio::select! {
            biased;
            tidied = tidied => if let Err(error) = tidied {
                tracing::warn!(error = &error as &dyn std::error::Error, "what nobody waits for goes on");
            },
            () = self.shared.stopping.cancelled() => {}
        }
    }

    /// Brings every execution into memory that was there when the server ended.
    async fn recover(&self) -> Result<(), Error> {
        const PAGE: usize = 1_000;
        let mut after = None;
        loop {
            let query = ListQuery {
                after,
                limit: PAGE,
                ..ListQuery::default()
            };
            let page = self.shared.index.open(query).await?;
            for (_, summary) in page.iter().filter(|(_, summary)| !summary.parked) {
                self.activate(&summary.arn, Some(summary));
            }
            if page.len() < PAGE {
                return Ok(());
            }
            after = page.last().map(|(key, _)| key.clone());
        }
    }

    /// Tells an execution something, bringing it into memory if need be.
    pub(crate) async fn deliver(&self, execution_arn: &str, command: Command) -> Reply {
        for _ in 0..DELIVERIES_MAX {
            if self.shared.stopping.is_cancelled() {
                break;
            }
            let sender = self.activate(execution_arn, None);
            let (reply, answer) = oneshot::channel();
            let message = Message {
                command: Box::new(command.clone()),
                reply: Some(reply),
            };
            if sender.send(message).await.is_ok()
                && let Ok(answer) = answer.await
            {
                return answer;
            }
        }
        Err(Refusal::Unavailable)
    }

    /// The way to an execution's actor, which is made if there is none.
    /// `found` is the index's entry where the execution was found as one that
    /// was in memory when the server ended.
    fn activate(&self, execution_arn: &str, found: Option<&Summary>) -> mpsc::Sender<Message> {
        let (sender, mailbox) = mpsc::channel(MAILBOX);
        let Some(actor) = self.shared.enter(execution_arn, &sender) else {
            let there = self
                .shared
                .live()
                .get(execution_arn)
                .map(|handle| handle.sender.clone());
            self.reconcile_later(found);
            return there.unwrap_or(sender);
        };
        let life = self
            .clone()
            .reawaken(execution_arn.to_owned(), found.cloned(), actor, sender.clone(), mailbox);
        self.shared.tracker.spawn(life);
        sender
    }

    /// An actor's life from a replay on.
    async fn reawaken(
        self,
        execution_arn: String,
        found: Option<Summary>,
        actor: u64,
        sender: mpsc::Sender<Message>,
        mut mailbox: Mailbox,
    ) {
        let replayed = tokio::select! {
            biased;
            replayed = self.replayed(&execution_arn, found.is_some()) => replayed,
            () = self.shared.stopping.cancelled() => Err(Refusal::Unavailable),
        };
        match replayed {
            Ok(Replayed { run, journal, summary }) if run.outcome().is_none() => {
                self.reconcile_later(found.as_ref().filter(|found| found.key() != summary.key()));
                let record = Record::Durable {
                    journal,
                    summary: Box::new(summary.clone()),
                };
                let mut actor_itself = Actor::new(Arc::clone(&self.shared), &execution_arn, run, record, sender);
                let unparked = match found {
                    Some(_) => Ok(()),
                    None => self.shared.unpark(&summary).await,
                };
                match unparked {
                    Ok(()) => {
                        actor_itself.resume().await;
                        let end = actor_itself.live(&mut mailbox).await;
                        self.buried(&execution_arn, actor_itself, actor, mailbox, end).await;
                    }
                    Err(error) => {
                        tracing::warn!(
                            execution = execution_arn,
                            error = &error as &dyn std::error::Error,
                            "not woken"
                        );
                        self.refuse(&execution_arn, actor, mailbox, Refusal::Unavailable);
                    }
                }
            }
            Ok(Replayed { summary, .. }) => {
                self.close(&summary).await;
                self.reconcile_later(found.as_ref().filter(|found| found.key() != summary.key()));
                self.refuse(&execution_arn, actor, mailbox, Refusal::Ended);
            }
            Err(refusal) => {
                self.reconcile_later(found.as_ref().filter(|_| refusal == Refusal::Missing));
                self.refuse(&execution_arn, actor, mailbox, refusal);
            }
        }
    }

    /// Not awaited: it takes a lock that others hold while they wait for an actor.
    fn reconcile_later(&self, found: Option<&Summary>) {
        if let Some(found) = found.cloned() {
            let engine = self.clone();
            self.shared.tracker.spawn(async move {
                tokio::select! {
                    biased;
                    () = engine.reconcile(&found) => {}
                    () = engine.shared.stopping.cancelled() => {}
                }
            });
        }
    }

    /// Takes back the listing of a start that did not come to its history: the
    /// execution never began, or began at another time.
    async fn reconcile(&self, found: &Summary) {
        let _held = self.shared.name_lock(&found.arn).lock().await;
        let forgotten = match self.describe(&found.arn).await {
            Ok(Some(there)) if Summary::of(&there.origin).key() == found.key() => Ok(()),
            Ok(_) => self.shared.index.forget(found).await.map_err(Error::from),
            Err(error) => Err(error),
        };
        if let Err(error) = forgotten {
            tracing::warn!(
                execution = found.arn,
                error = &error as &dyn std::error::Error,
                "an execution that never began stays listed"
            );
        }
    }

    /// Answers what came while the history was read.
    fn refuse(&self, execution_arn: &str, actor: u64, mut mailbox: Mailbox, refusal: Refusal) {
        while let Ok(message) = mailbox.try_recv() {
            if let Some(reply) = message.reply {
                drop(reply.send(Err(refusal)));
            }
        }
        self.shared.leave(execution_arn, actor, &mut mailbox);
    }

    /// What remains to be done after an actor's life.
    async fn buried(&self, execution_arn: &str, actor: Actor, id: u64, mut mailbox: Mailbox, end: End) {
        // Listed first: [`settled`](Self::settled) waits for the actor to leave.
        if let (End::Finished, Some(summary), Some(outcome)) = (&end, actor.summary(), actor.outcome()) {
            self.close(&summary.ended(outcome, self.shared.clock.now())).await;
        }
        self.shared.leave(execution_arn, id, &mut mailbox);
        if end == End::Fenced {
            tracing::info!(execution = execution_arn, "another server has taken the execution over");
        }
    }

    /// Waits until an execution that has ended is listed so: who is told of
    /// an end finds it in the list, unless the store does not answer.
    pub(crate) async fn settled(&self, execution_arn: &str) {
        let there = self
            .shared
            .live()
            .get(execution_arn)
            .map(|handle| handle.sender.clone());
        if let Some(sender) = there
            && tokio::time::timeout(SETTLING_MAX, sender.closed()).await.is_err()
        {
            tracing::warn!(execution = execution_arn, "an execution's end is not listed yet");
        }
    }

    /// Waits for an execution's end, wherever it runs in this server.
    ///
    /// # Errors
    /// If the store fails, or there is no such execution.
    pub(crate) async fn ended(&self, execution_arn: &str) -> Result<Description, Error> {
        loop {
            let end = {
                let mut ends = self.shared.ends.lock().unwrap_or_else(PoisonError::into_inner);
                Arc::clone(ends.entry(execution_arn.to_owned()).or_default())
            };
            // Registered before it is looked, so that no end is missed.
            let mut notified = std::pin::pin!(end.notified());
            notified.as_mut().enable();
            let description = self.describe(execution_arn).await?;
            match description {
                Some(description) if description.ending.is_some() => {
                    self.shared.tell_end(execution_arn);
                    return Ok(description);
                }
                Some(_) => notified.await,
                None => {
                    return Err(Error::History {
                        execution: execution_arn.to_owned(),
                        problem: "is not there".to_owned(),
                    });
                }
            }
        }
    }

    /// Notes an execution's end in the index. A server that stops before it
    /// succeeds leaves that to the next one.
    async fn close(&self, summary: &Summary) {
        self.shared.tell_end(&summary.arn);
        let close = || async { Ok(self.shared.index.close(summary).await?) };
        drop(self.shared.patiently("an execution's end is to be listed", close).await);
    }
}
