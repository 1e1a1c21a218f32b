//! From a history back to a live execution.

use std::sync::Arc;

use scones_api::Timestamp as ApiTimestamp;
use scones_asl::{HistoryEvent, Timestamp};

use super::{
    Engine, Refusal,
    backoff::Backoff,
    entry::{Cause, Entry},
    index::Summary,
    journal::{Entries, Journal},
    pace,
    redrive::Redrive,
    run::Run,
};
use crate::Error;

/// Attempts to read a history before those who asked for it are refused.
const ATTEMPTS_MAX: u32 = 5;

/// An execution as its history tells it.
pub(crate) struct Replayed {
    pub(crate) run: Run,
    pub(crate) journal: Journal,
    pub(crate) summary: Summary,
}

impl Engine {
    /// Replays an execution's history, trying again when the store fails.
    /// An execution that was found at the start has nobody to ask again, so
    /// that one is tried until it succeeds.
    pub(super) async fn replayed(&self, execution_arn: &str, found: bool) -> Result<Replayed, Refusal> {
        let mut backoff = Backoff::new();
        for attempt in 1.. {
            match self.replay(execution_arn).await {
                Ok(Some(replayed)) => return Ok(replayed),
                Ok(None) => return Err(Refusal::Missing),
                Err(error @ (Error::History { .. } | Error::Definition { .. })) => {
                    tracing::error!(
                        execution = execution_arn,
                        error = &error as &dyn std::error::Error,
                        "lost"
                    );
                    return Err(Refusal::Unavailable);
                }
                Err(error) => {
                    tracing::warn!(
                        execution = execution_arn,
                        error = &error as &dyn std::error::Error,
                        "not read"
                    );
                    if attempt == ATTEMPTS_MAX && !found {
                        break;
                    }
                    backoff.pause().await;
                }
            }
        }
        Err(Refusal::Unavailable)
    }

    async fn replay(&self, execution_arn: &str) -> Result<Option<Replayed>, Error> {
        let _permit = self.shared.replays.acquire().await;
        let mut entries = Entries::of(&self.shared.store, execution_arn);
        let Some(first) = entries.next().await? else {
            return Ok(None);
        };
        let damaged = |problem: String| Error::History {
            execution: execution_arn.to_owned(),
            problem,
        };
        let Cause::Start(origin) = &first.cause else {
            return Err(damaged("entry 0 is not a start".to_owned()));
        };
        let summary = Summary::of(origin);
        let machine = self.machine_of(origin).await?;
        let started = pace::step(&machine, || Run::start(Arc::clone(&machine), origin));
        let (mut run, step) = started.map_err(|error| damaged(format!("its input: {error}")))?;
        let mut problem = difference(0, &step.events, &first.events);
        let mut last = Last::of(&first);
        while let Some(entry) = entries.next().await? {
            last = Last::of(&entry).or(last);
            if problem.is_some() {
                continue;
            }
            match entry.cause {
                Cause::Input(input) => {
                    let step = pace::step(&machine, || run.apply(input, entry.now));
                    problem = difference(entries.position() - 1, &step.events, &entry.events);
                }
                Cause::Abandoned { .. } => run.abandon(entry.outcome),
                Cause::Start(_) => problem = Some(format!("entry {} is a second start", entries.position() - 1)),
            }
        }
        let (store, writer) = (Arc::clone(&self.shared.store), self.shared.ids.seed());
        let mut journal = Journal::at(store, execution_arn, entries.position(), writer);
        if let Some(problem) = problem {
            last.now = self
                .abandon(execution_arn, problem, &last, &mut run, &mut journal)
                .await?;
        }
        let summary = Summary {
            redrive: last.redrive,
            ..summary
        };
        let summary = match run.outcome() {
            Some(outcome) => summary.ended(outcome, ApiTimestamp::from_millis(last.now.0)),
            None => summary,
        };
        Ok(Some(Replayed { run, journal, summary }))
    }

    /// Fails an execution whose history this program would not have written:
    /// going on could do anything. Gives the time of its end.
    async fn abandon(
        &self,
        execution_arn: &str,
        problem: String,
        last: &Last,
        run: &mut Run,
        journal: &mut Journal,
    ) -> Result<Timestamp, Error> {
        tracing::error!(
            execution = execution_arn,
            problem,
            "the history does not replay; the execution fails"
        );
        let now = self.shared.now();
        let cause = format!("The execution's history cannot be replayed: {problem}");
        let entry = Entry::abandoned(problem, cause, last.event, journal.writer(), now, last.redrive.clone());
        let damaged = |problem: String| Error::History {
            execution: execution_arn.to_owned(),
            problem,
        };
        let bytes = entry.encode().map_err(|error| damaged(error.to_string()))?;
        journal
            .append(vec![bytes])
            .await
            .map_err(|lost| damaged(format!("it could not be ended: {lost:?}")))?;
        run.abandon(entry.outcome);
        Ok(now)
    }
}

/// Where a history ends.
struct Last {
    event: u64,
    now: Timestamp,
    redrive: Option<Redrive>,
}

impl Last {
    fn of(entry: &Entry) -> Self {
        Self {
            event: entry.events.last().map_or(0, |event| event.id),
            now: entry.now,
            redrive: entry.redrive.clone(),
        }
    }

    /// This, with the event of `earlier` if it has none.
    fn or(self, earlier: Self) -> Self {
        Self {
            event: self.event.max(earlier.event),
            ..self
        }
    }
}

/// How what was replayed differs from what is stored, if it does.
fn difference(number: u64, replayed: &[HistoryEvent], stored: &[HistoryEvent]) -> Option<String> {
    if replayed == stored {
        return None;
    }
    let pairs = replayed.iter().zip(stored);
    let problem = match pairs.clone().find(|(replayed, stored)| replayed != stored) {
        Some((replayed, stored)) => {
            let name = |event: &HistoryEvent| event.kind.type_name();
            format!(
                "event {} is stored as {} and comes out as {}",
                stored.id,
                name(stored),
                name(replayed)
            )
        }
        None => format!("{} events are stored and {} come out", stored.len(), replayed.len()),
    };
    Some(format!("entry {number}: {problem}"))
}
