//! Failures: retried, caught, or handed up.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::context::Extra;
use super::frame::{Activity, Exit, Frame, FrameId};
use super::{Alarm, Execution};
use crate::data_flow;
use crate::error::{Evaluation, Fault};
use crate::event::{EvaluationFailed, EventKind};
use crate::machine::{Catcher, Jitter, Outcome, QueryLanguage, Retrier, StateKind, Transition};
use crate::payload::Payload;
use crate::random::Random;
use crate::scope::Variables;
use crate::time::Timestamp;

impl Execution {
    /// Deals with the failure of a strand's state.
    pub(super) fn fail(&mut self, id: FrameId, mut frame: Box<Frame>, mut fault: Fault) {
        let workflow = Arc::clone(&frame.workflow);
        let state = &workflow.states[frame.state];
        if let Some(evaluation) = fault.evaluation.take() {
            self.record_evaluation(&mut frame, &fault, evaluation);
        }
        if let Some(outcome) = state.outcome() {
            if let Some(due) = self.next_retry(&mut frame, outcome, &fault) {
                frame.activity = Activity::Retrying(self.set_timer(due, Alarm::Retry(id)));
                self.frames.insert(id, frame);
                return;
            }
            let failed = match state.kind {
                StateKind::Map(_) => Some(EventKind::MapStateFailed),
                StateKind::Parallel { .. } => Some(EventKind::ParallelStateFailed),
                _ => None,
            };
            let began = matches!(frame.activity, Activity::Children(_) | Activity::MapRun(_));
            if let Some(failed) = failed.filter(|_| began || !fault.terminal) {
                frame.previous = self.emit(frame.previous, failed);
            }
            if let Some(index) = catcher_of(outcome, &fault) {
                match self.catch(&frame, &outcome.catch[index], &fault) {
                    Ok(exit) => self.leave(id, frame, exit),
                    Err(mut fault) => {
                        if let Some(evaluation) = fault.evaluation.take() {
                            self.record_evaluation(&mut frame, &fault, evaluation);
                        }
                        self.hand_up(frame, fault);
                    }
                }
                return;
            }
        }
        self.hand_up(frame, fault);
    }

    /// Records a failed expression. AWS lets the event of a state that has done
    /// nothing yet point to what came before the state.
    fn record_evaluation(&mut self, frame: &mut Frame, fault: &Fault, evaluation: Evaluation) {
        let waits = matches!(frame.state().kind, StateKind::Wait { .. });
        let untouched = frame.previous == frame.entered_event && !waits;
        let previous = if untouched { frame.before_entry } else { frame.previous };
        let event = EventKind::EvaluationFailed(EvaluationFailed {
            error: fault.error.clone(),
            cause: fault.cause.clone(),
            location: evaluation.location,
            state: frame.state().name.clone(),
        });
        frame.previous = self.emit(previous, event);
    }

    fn hand_up(&mut self, frame: Box<Frame>, fault: Fault) {
        match frame.parent {
            Some(parent) => self.child_failed(parent, frame, fault),
            None => {
                self.fail_execution(frame.previous, fault);
                self.wreck = Some(frame);
            }
        }
    }

    /// When the state is to be tried again, if a retrier allows it. The first
    /// retrier that names the error decides.
    fn next_retry(&self, frame: &mut Frame, outcome: &Outcome, fault: &Fault) -> Option<Timestamp> {
        let index = retrier_of(outcome, fault)?;
        frame.retries.resize(outcome.retry.len(), 0);
        let attempts = &mut frame.retries[index];
        let delay = self.retry_delay(&outcome.retry[index], *attempts)?;
        *attempts += 1;
        Some(Timestamp(self.now.0.saturating_add(delay)))
    }

    /// Milliseconds until a retrier tries again; nothing once it has tried often enough.
    pub(super) fn retry_delay(&self, retrier: &Retrier, attempts: u32) -> Option<i64> {
        (attempts < retrier.max_attempts).then(|| delay_milliseconds(retrier, attempts, &self.random))
    }

    pub(super) fn catch(&self, frame: &Frame, catcher: &Catcher, fault: &Fault) -> Result<Exit, Fault> {
        let mut error = Map::new();
        let text = |text: &Option<String>| Value::String(text.clone().unwrap_or_default());
        error.insert("Error".to_owned(), text(&fault.error));
        error.insert("Cause".to_owned(), text(&fault.cause));
        let error = Value::Object(error);
        if frame.state().language == QueryLanguage::Jsonata {
            let extra = Extra {
                error_output: Some(&error),
                ..Extra::default()
            };
            let (output, assigned) =
                self.output_and_assign(frame, catcher.output.as_ref(), catcher.assign.as_ref(), extra)?;
            let output = output.unwrap_or_else(|| error.clone().into());
            return Self::leaving(frame, output, assigned, Transition::Next(catcher.next));
        }
        let values = catcher
            .assign
            .as_ref()
            .map(|template| self.evaluate(frame, &error, Extra::default(), |scope| template.evaluate(scope)))
            .transpose()?;
        let assigned = match values {
            Some(Value::Object(fields)) => fields.into_iter().collect(),
            _ => Variables::new(),
        };
        let raw = Payload::from_text(Arc::clone(&frame.input));
        let output = data_flow::apply_result_path(&catcher.result_path, raw, error.into())
            .map_err(|error| error.at(&frame.state().name, frame.entered_event))?;
        Self::leaving(frame, output, assigned, Transition::Next(catcher.next))
    }
}

/// The place of the first retrier that names the error.
pub(super) fn retrier_of(outcome: &Outcome, fault: &Fault) -> Option<usize> {
    let mut retriers = outcome.retry.iter();
    retriers.position(|retrier| fault.is_matched_by(&retrier.error_equals))
}

/// The place of the first catcher that names the error.
pub(super) fn catcher_of(outcome: &Outcome, fault: &Fault) -> Option<usize> {
    let mut catchers = outcome.catch.iter();
    catchers.position(|catcher| fault.is_matched_by(&catcher.error_equals))
}

/// The interval grows by the backoff rate with each attempt, up to its limit;
/// full jitter takes a random part of it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "intervals are below 10^8 seconds and casts of doubles saturate"
)]
fn delay_milliseconds(retrier: &Retrier, attempts: u32, random: &Random) -> i64 {
    let exponent = i32::try_from(attempts).unwrap_or(i32::MAX);
    let seconds = retrier.interval_seconds as f64 * retrier.backoff_rate.powi(exponent);
    let seconds = retrier
        .max_delay_seconds
        .map_or(seconds, |most| seconds.min(most as f64));
    let milliseconds = (seconds * 1000.0).round() as u64;
    let milliseconds = match retrier.jitter {
        Jitter::None => milliseconds,
        Jitter::Full => random.below(milliseconds.saturating_add(1)),
    };
    i64::try_from(milliseconds).unwrap_or(i64::MAX)
}
