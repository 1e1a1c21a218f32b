//! From a history back to a live execution.

use std::time::Duration;

use scones_api::Timestamp as ApiTimestamp;
use scones_asl::HistoryEvent;

use super::{
    Engine, Refusal,
    entry::{Cause, Entry},
    index::Summary,
    journal::{self, Journal},
    run::Run,
};
use crate::Error;

/// Attempts to read a history before those who asked for it are refused.
const ATTEMPTS_MAX: u32 = 5;
/// First pause between two of them; it doubles up to `PAUSE_MAX`.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

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
        let mut pause = PAUSE;
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
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
        Err(Refusal::Unavailable)
    }

    async fn replay(&self, execution_arn: &str) -> Result<Option<Replayed>, Error> {
        let permit = self.shared.replays.acquire().await;
        let entries = journal::read_all(&self.shared.store, execution_arn).await?;
        drop(permit);
        let mut journal = Journal::at(self.shared.store.clone(), execution_arn, entries.len() as u64);
        let Some(Entry {
            cause: Cause::Start(origin),
            ..
        }) = entries.first()
        else {
            return Ok(None);
        };
        let summary = Summary::of(origin);
        let definition = self.shared.catalog.definition(&origin.revision.definition).await?;
        let damaged = |problem: String| Error::History {
            execution: execution_arn.to_owned(),
            problem,
        };
        let start = origin.start().map_err(|error| damaged(format!("its input: {error}")))?;
        let (mut run, first) = Run::start(definition.machine.clone(), start);
        let mut problem = difference(0, &first.events, &entries[0].events);
        for (number, entry) in entries.iter().enumerate().skip(1) {
            if problem.is_some() {
                break;
            }
            match &entry.cause {
                Cause::Input(input) => {
                    let step = run.apply(input.clone(), entry.now);
                    problem = difference(number, &step.events, &entry.events);
                }
                Cause::Abandoned { .. } => run.abandon(entry.outcome.clone()),
                Cause::Start(_) => problem = Some(format!("entry {number} is a second start")),
            }
        }
        if let Some(problem) = problem {
            self.abandon(execution_arn, problem, &entries, &mut run, &mut journal)
                .await?;
        }
        let summary = match (run.outcome(), entries.last()) {
            (Some(outcome), Some(last)) => summary.ended(outcome, ApiTimestamp::from_millis(last.now.0)),
            _ => summary,
        };
        Ok(Some(Replayed { run, journal, summary }))
    }

    /// Fails an execution whose history this program would not have written:
    /// going on could do anything.
    async fn abandon(
        &self,
        execution_arn: &str,
        problem: String,
        entries: &[Entry],
        run: &mut Run,
        journal: &mut Journal,
    ) -> Result<(), Error> {
        tracing::error!(
            execution = execution_arn,
            problem,
            "the history does not replay; the execution fails"
        );
        let now = self.shared.now();
        let last_event = entries
            .iter()
            .flat_map(|entry| &entry.events)
            .map(|event| event.id)
            .max()
            .unwrap_or(0);
        let cause = format!("The execution's history cannot be replayed: {problem}");
        let entry = Entry::abandoned(problem, cause, last_event, journal.writer(), now);
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
        Ok(())
    }
}

/// How what was replayed differs from what is stored, if it does.
fn difference(number: usize, replayed: &[HistoryEvent], stored: &[HistoryEvent]) -> Option<String> {
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
