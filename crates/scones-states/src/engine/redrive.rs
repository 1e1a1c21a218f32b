//! Redrives: an execution that ended without success comes back, and goes on
//! where it ended. Its history grows on; nothing is written anew.

use std::{sync::Arc, time::Duration};

use scones_api::{ApiError, Timestamp as ApiTimestamp};
use scones_asl::Input;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{
    Engine, Refusal, Status,
    actor::{Actor, Record},
    index::Summary,
    journal::Lost,
    message::MAILBOX,
    replay::Replayed,
};
use crate::fault;

/// Tokens that are remembered: AWS answers as before to the last ten.
const TOKENS_MAX: usize = 10;
/// How long after its first use a token is remembered, as on AWS.
const TOKEN_VALID: Duration = Duration::from_secs(15 * 60);
/// Attempts to be the one who has an execution that somebody else looks at.
const ATTEMPTS_MAX: u32 = 20;

/// That an execution was redriven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Redrive {
    pub(crate) count: u64,
    /// The last time.
    pub(crate) date: ApiTimestamp,
    /// What clients called it and those before it, so that they may ask twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tokens: Vec<Token>,
}

/// A client's name for a redrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Token {
    token: String,
    /// The redrive's date.
    used: ApiTimestamp,
}

impl Redrive {
    /// One more.
    fn after(earlier: Option<&Self>, date: ApiTimestamp, token: Option<&str>) -> Self {
        let mut tokens: Vec<Token> = earlier
            .map(|earlier| earlier.valid(date).cloned().collect())
            .unwrap_or_default();
        if let Some(token) = token {
            tokens.drain(..(tokens.len() + 1).saturating_sub(TOKENS_MAX));
            tokens.push(Token {
                token: token.to_owned(),
                used: date,
            });
        }
        Self {
            count: earlier.map_or(0, |earlier| earlier.count) + 1,
            date,
            tokens,
        }
    }

    /// The tokens that are remembered at `now`.
    fn valid(&self, now: ApiTimestamp) -> impl Iterator<Item = &Token> {
        self.tokens.iter().filter(move |token| now < token.used + TOKEN_VALID)
    }
}

impl Engine {
    /// Redrives an execution: durable when this answers.
    ///
    /// # Errors
    /// `ExecutionNotRedrivable`, `ExecutionDoesNotExist`.
    pub(crate) async fn redrive(&self, execution_arn: &str, token: Option<&str>) -> Result<ApiTimestamp, ApiError> {
        let _held = self.shared.name_lock(execution_arn).lock().await;
        for _ in 0..ATTEMPTS_MAX {
            let Replayed {
                mut run,
                journal,
                summary,
            } = match self.replayed(execution_arn, false).await {
                Ok(replayed) => replayed,
                Err(Refusal::Missing) => return Err(fault::no_execution(execution_arn)),
                Err(_) => return Err(fault::unavailable()),
            };
            let now = self.shared.now();
            let date = ApiTimestamp::from_millis(now.0);
            if let Some(date) = redriven_already(&summary, token, date) {
                return Ok(date);
            }
            let status = Status::of(run.outcome());
            if matches!(status, Status::Running | Status::Succeeded) {
                return Err(fault::not_redrivable(execution_arn, status.as_str()));
            }
            if !run.is_redrivable() {
                return Err(fault::history_is_full(execution_arn));
            }
            let redrive = Redrive::after(summary.redrive.as_ref(), date, token);
            let ended = summary.clone();
            let summary = summary.reopened(redrive);
            let step = run.apply(Input::Redrive, now);
            let (sender, mut mailbox) = mpsc::channel(MAILBOX);
            // Somebody asks the ended execution something just now.
            let Some(id) = self.shared.enter(execution_arn, &sender) else {
                tokio::task::yield_now().await;
                self.settled(execution_arn).await;
                continue;
            };
            let record = Record::Durable {
                journal,
                summary: Box::new(summary.clone()),
            };
            let mut actor = Actor::new(Arc::clone(&self.shared), execution_arn, run, record, sender);
            let opened = self.reopen(&mut actor, &ended, &summary, step, now).await;
            let batch = match opened {
                Ok(batch) => batch,
                Err(error) => {
                    self.shared.leave(execution_arn, id, &mut mailbox);
                    return Err(error);
                }
            };
            let (engine, arn) = (self.clone(), execution_arn.to_owned());
            self.shared.tracker.spawn(async move {
                actor.follow(batch).await;
                let end = actor.live(&mut mailbox).await;
                engine.buried(&arn, actor, id, mailbox, end).await;
            });
            return Ok(date);
        }
        Err(fault::unavailable())
    }

    /// Lists the execution as open, then makes its redrive durable. In this
    /// order: one that is open and has ended is closed again by the next start.
    async fn reopen(
        &self,
        actor: &mut Actor,
        ended: &Summary,
        summary: &Summary,
        step: scones_asl::Step,
        now: scones_asl::Timestamp,
    ) -> Result<super::actor::Batch, ApiError> {
        let mut batch = actor.reopen(step, now).await.map_err(ApiError::internal)?;
        if let Err(error) = self.shared.index.write(summary).await {
            self.close(ended).await;
            return Err(error.into());
        }
        match actor.append(&mut batch).await {
            Ok(()) => Ok(batch),
            Err(Lost::Closed | Lost::Fenced) => Err(fault::unavailable()),
        }
    }
}

/// When a client asked with this token before: it gets the same answer.
fn redriven_already(summary: &Summary, token: Option<&str>, now: ApiTimestamp) -> Option<ApiTimestamp> {
    let mut valid = summary.redrive.as_ref()?.valid(now);
    let asked = token?;
    valid.find(|token| token.token == asked).map(|token| token.used)
}
