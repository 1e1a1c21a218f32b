//! The start of an execution: durable before it is acknowledged.

use std::{sync::Arc, time::Duration};

use scones_api::{ApiError, Timestamp as ApiTimestamp};
use scones_asl::{Machine, Outcome};
use tokio::sync::mpsc;

use super::{
    Command, Ending, Engine, Entry, Origin, Refusal, Summary,
    actor::{Actor, Record},
    entry::Cause,
    journal::{self, Journal, Lost},
    message::MAILBOX,
    pace,
    redrive::Redrive,
    run::Run,
};
use crate::{Error, fault};

/// Longest time that a start waits for a store that fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Attempts to bring an execution that is there already into memory.
const WAKES_MAX: u32 = 20;
/// The pause between two of them.
const WAKE_PAUSE: Duration = Duration::from_millis(50);

/// What became of a start.
pub(crate) enum Started {
    /// The execution is durable.
    New,
    /// There was an execution of this name already.
    Existing(Box<Description>),
}

/// An execution as its history tells it, without replay.
pub(crate) struct Description {
    pub(crate) origin: Origin,
    /// How it ended, and when.
    pub(crate) ending: Option<(Outcome, ApiTimestamp)>,
    /// How it was redriven last, if it was.
    pub(crate) redrive: Option<Redrive>,
}

impl Engine {
    /// Starts an execution. With a `name` of the client's the same start may
    /// be made twice, also at the same time; the history's fence lets one win.
    pub(crate) async fn begin(&self, origin: Origin, machine: Arc<Machine>, named: bool) -> Result<Started, ApiError> {
        if !named {
            return self.begin_unchecked(origin, machine).await;
        }
        let _held = self.shared.name_lock(&origin.execution_arn).lock().await;
        match self.describe(&origin.execution_arn).await? {
            Some(there) => self.existing(there).await,
            None => self.begin_unchecked(origin, machine).await,
        }
    }

    async fn begin_unchecked(&self, origin: Origin, machine: Arc<Machine>) -> Result<Started, ApiError> {
        let execution_arn = origin.execution_arn.clone();
        let summary = Summary::of(&origin);
        let started = pace::step(&machine, || Run::start(Arc::clone(&machine), &origin));
        let (run, step) = started.map_err(fault::invalid_input)?;
        let journal = Journal::at(
            Arc::clone(&self.shared.store),
            &execution_arn,
            0,
            self.shared.ids.seed(),
        );
        let (sender, mailbox) = mpsc::channel(MAILBOX);
        let record = Record::Durable {
            journal,
            summary: Box::new(summary.clone()),
        };
        let mut actor = Actor::new(Arc::clone(&self.shared), &execution_arn, run, record, sender.clone());
        let mut batch = actor.open(origin, step).await.map_err(ApiError::internal)?;
        let listed = match actor.outcome() {
            Some(outcome) => summary.ended(outcome, summary.started),
            None => summary.clone(),
        };
        // In this order, and both before the answer: the store's group commit
        // makes them durable together.
        let writes = async { futures::join!(actor.append(&mut batch), self.shared.index.write(&listed)) };
        let (appended, written) = tokio::select! {
            biased;
            written = writes => written,
            () = tokio::time::sleep(PATIENCE) => return Err(fault::unavailable()),
            () = self.shared.stopping.cancelled() => return Err(fault::unavailable()),
        };
        match appended {
            Ok(()) => {}
            Err(Lost::Closed) => return Err(fault::unavailable()),
            Err(Lost::Fenced) => return self.overtaken(&execution_arn, &summary).await,
        }
        let listed = match written {
            Ok(()) => Ok(()),
            Err(_) => self.shared.index.write(&listed).await,
        };
        if actor.outcome().is_none() {
            match self.shared.enter(&execution_arn, &sender) {
                Some(id) => {
                    let engine = self.clone();
                    let mut mailbox = mailbox;
                    self.shared.tracker.spawn(async move {
                        actor.follow(batch).await;
                        let end = actor.live(&mut mailbox).await;
                        engine.buried(&execution_arn, actor, id, mailbox, end).await;
                    });
                }
                // Somebody was told of the execution before it began: that
                // actor has found the history, or is about to leave.
                None => self.wake(&execution_arn).await?,
            }
        }
        // Unlisted, it runs, but is not found again after a crash: not acknowledged.
        listed?;
        Ok(Started::New)
    }

    /// Another server has started an execution of this name just now.
    async fn overtaken(&self, execution_arn: &str, ours: &Summary) -> Result<Started, ApiError> {
        let there = self.describe(execution_arn).await?.ok_or_else(fault::unavailable)?;
        if Summary::of(&there.origin).key() != ours.key() {
            self.shared.index.forget(ours).await?;
        }
        self.existing(there).await
    }

    /// An execution that is there already. Whoever started it may have been
    /// interrupted before it was listed.
    async fn existing(&self, there: Description) -> Result<Started, ApiError> {
        let execution_arn = &there.origin.execution_arn;
        let mut summary = Summary::of(&there.origin);
        summary.redrive = there.redrive.clone();
        if there.ending.is_none() {
            self.shared.index.write(&summary).await?;
            self.wake(execution_arn).await?;
        }
        // It may have ended, and been listed so, before it was listed as running.
        let ending = self.describe(execution_arn).await?.and_then(|now| now.ending);
        if let Some((outcome, stopped)) = ending {
            self.shared.index.close(&summary.ended(&outcome, stopped)).await?;
        }
        Ok(Started::Existing(Box::new(there)))
    }

    /// Brings an execution that is durable into memory.
    async fn wake(&self, execution_arn: &str) -> Result<(), ApiError> {
        for _ in 0..WAKES_MAX {
            match self.deliver(execution_arn, Command::Wake).await {
                Ok(_) | Err(Refusal::Ended) => return Ok(()),
                Err(_) => tokio::time::sleep(WAKE_PAUSE).await,
            }
        }
        Err(fault::unavailable())
    }

    /// An execution's origin and end.
    pub(crate) async fn describe(&self, execution_arn: &str) -> Result<Option<Description>, Error> {
        if let Some(past) = self.shared.recent.get(execution_arn) {
            return Ok(Some(past.description()));
        }
        let history = journal::history_name(execution_arn);
        let damaged = |problem: String| Error::History {
            execution: execution_arn.to_owned(),
            problem,
        };
        let first = self.shared.store.read(&history, 0, 1).await?;
        let Some(first) = first.first() else { return Ok(None) };
        let first = Entry::decode(first).map_err(|error| damaged(format!("entry 0: {error}")))?;
        let Cause::Start(origin) = first.cause else {
            return Err(damaged("entry 0 is not a start".to_owned()));
        };
        let mut ending = Ending {
            now: first.now,
            outcome: first.outcome,
            redrive: None,
        };
        // One that failed at once may have been redriven since.
        if !matches!(ending.outcome, Some(Outcome::Succeeded { .. })) {
            let length = self.shared.store.length(&history).await?;
            let last = self.shared.store.read(&history, length.saturating_sub(1), 1).await?;
            if let Some(last) = last.first() {
                ending = serde_json::from_slice(last).map_err(|error| damaged(format!("the last entry: {error}")))?;
            }
        }
        let ended = ending
            .outcome
            .map(|outcome| (outcome, ApiTimestamp::from_millis(ending.now.0)));
        Ok(Some(Description {
            origin: *origin,
            ending: ended,
            redrive: ending.redrive,
        }))
    }
}
