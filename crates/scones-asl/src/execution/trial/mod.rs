//! One state tried on its own, as TestState does: with any input, variables
//! and context object, and with a result or a failure that the caller makes up.
//!
//! The interpreter runs the state as it always does; only what comes before
//! and after it, and its history, are left out.

mod dataset;
mod inspection;
mod map;
mod verdict;

use std::sync::Arc;

use serde_json::{Map, Value};

use super::frame::{Activity, Exit, Frame, FrameId, Turn};
use super::{Execution, Start, task};
use crate::effect::{Effect, TaskCall, TimerId};
use crate::error::Fault;
use crate::machine::{Machine, StateKind};
use crate::payload::Payload;
use crate::scope::Variables;
use crate::time::Timestamp;

pub use inspection::{ErrorDetails, Inspection};
pub use verdict::{TrialStatus, Verdict};

pub(super) use inspection::Bench;
use map::Iterations;

/// Everything that a state is tried with.
#[derive(Clone, Debug)]
pub struct TrialStart {
    /// The execution that the state believes to be part of; the state's input
    /// is the execution's.
    pub start: Start,
    /// The variables that are set before the state.
    pub variables: Map<String, Value>,
    /// A context object in place of the execution's own.
    pub context: Option<Map<String, Value>>,
    /// How often the retrier that a failure meets has tried again already.
    pub retries: u32,
    /// How many iterations of a Map state failed.
    pub failed_iterations: u64,
    /// What a distributed Map state's `ItemReader` reads, as it stands in S3.
    pub reader_data: Option<String>,
}

/// A state that is being tried, and waits.
#[derive(Debug)]
pub struct Trial {
    execution: Execution,
    frame: Box<Frame>,
    retries: u32,
    failed_iterations: u64,
    /// The result as it was answered.
    result: Option<Arc<str>>,
    /// The work of a Map state.
    iterations: Option<Iterations>,
}

/// What became of the beginning of a trial.
#[derive(Debug)]
pub enum Begun {
    /// The state waits for something: [`Trial::answer`] says what becomes of it.
    Waits(Box<Trial>, Pending),
    /// The state has ended by itself.
    Ended(Box<Verdict>),
}

/// What a state waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Pending {
    /// A task: the call that it makes.
    Call(Box<TaskCall>),
    /// A Wait state: until then.
    Wait(Timestamp),
    /// A Parallel state: the results of the branches.
    Branches,
    /// A Map state: the results of so many iterations; nothing is known of
    /// their number if the items are in S3 and were not given.
    Iterations(Option<u64>),
}

/// What becomes of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has this result, as JSON text. A Wait state ignores the text.
    Result(String),
    /// It fails.
    Failure {
        /// The error's name.
        error: Option<String>,
        /// More about it.
        cause: Option<String>,
    },
    /// It takes too long.
    TimedOut,
}

impl Trial {
    /// Tries the state with that name, at any depth of the machine, until it
    /// waits or ends. Nothing where the machine has no such state.
    #[must_use]
    pub fn begin(machine: &Arc<Machine>, state_name: &str, start: TrialStart) -> Option<Begun> {
        let (workflow, place) = machine.workflow.find(state_name)?;
        let mut execution = Execution::idle(Arc::clone(machine), start.start);
        execution.bench = Some(Box::new(Bench::new(start.context)));
        let variables: Variables = start.variables.into_iter().collect();
        let frame = Frame {
            state: place,
            entered_at: execution.now,
            variables: Arc::new(variables),
            retries: vec![start.retries],
            // The entry of a state that is tried again is not recorded.
            activity: Activity::Retrying(TimerId(0)),
            ..Frame::root(workflow, Arc::clone(&execution.identity.input))
        };
        let mut trial = Self {
            execution,
            frame: Box::new(frame),
            retries: start.retries,
            failed_iterations: start.failed_iterations,
            result: None,
            iterations: None,
        };
        Some(match trial.run(start.reader_data.as_deref()) {
            Ok(Turn::Waits) => match trial.pending() {
                Some(pending) => Begun::Waits(Box::new(trial), pending),
                None => Begun::Ended(Box::new(trial.conclude(Err(Fault::timeout())))),
            },
            Ok(Turn::Exits(exit)) => Begun::Ended(Box::new(trial.conclude(Ok(exit)))),
            Err(fault) => Begun::Ended(Box::new(trial.conclude(Err(fault)))),
        })
    }

    /// Runs the state until it waits or ends. No iteration of an inline Map
    /// state begins.
    fn run(&mut self, reader_data: Option<&str>) -> Result<Turn, Fault> {
        let workflow = Arc::clone(&self.frame.workflow);
        let StateKind::Map(map) = &workflow.states[self.frame.state].kind else {
            return self.execution.turn(FrameId(0), &mut self.frame);
        };
        let work = self.iterations.insert(Iterations::default());
        if map.distributed.is_none() {
            work.inline(&self.execution, &self.frame, map)?;
            return Ok(Turn::Waits);
        }
        let turn = self.execution.turn(FrameId(0), &mut self.frame)?;
        for effect in &self.execution.step.effects {
            if let Effect::StartMapRun(run) = effect {
                work.distributed(run, reader_data)?;
            }
        }
        Ok(turn)
    }

    fn pending(&self) -> Option<Pending> {
        if let Some(work) = &self.iterations {
            return Some(Pending::Iterations(work.count));
        }
        if matches!(self.frame.state().kind, StateKind::Parallel { .. }) {
            return Some(Pending::Branches);
        }
        let waits = matches!(self.frame.activity, Activity::Waiting(_));
        self.execution.step.effects.iter().find_map(|effect| match effect {
            Effect::Invoke(call) => Some(Pending::Call(call.clone())),
            Effect::SetTimer { due, .. } if waits => Some(Pending::Wait(*due)),
            _ => None,
        })
    }

    /// Takes what became of what the state waits for, and ends the trial.
    /// `now` is not before the start.
    #[must_use]
    pub fn answer(mut self, answer: Answer, now: Timestamp) -> Verdict {
        self.execution.now = now;
        let exit = match answer {
            Answer::Result(result) => self.succeed(result.into()),
            Answer::Failure { error, cause } => Err(Fault::reported(error, cause)),
            Answer::TimedOut => Err(Fault::timeout()),
        };
        self.conclude(exit)
    }

    fn succeed(&mut self, result: Arc<str>) -> Result<Exit, Fault> {
        let state = self.frame.state();
        let turn = match (&state.kind, state.outcome()) {
            (StateKind::Wait { transition, .. }, _) => self.execution.end_wait(&self.frame, *transition)?,
            (_, Some(outcome)) => {
                if let Some(fault) = task::unacceptable(&self.frame, &result) {
                    return Err(fault);
                }
                self.result = Some(Arc::clone(&result));
                if let Some(work) = &self.iterations {
                    work.tolerates(self.failed_iterations)?;
                }
                let result = Payload::from_text(result);
                self.execution.complete(&self.frame, outcome, result)?
            }
            // No other state waits.
            (_, None) => Turn::Waits,
        };
        match turn {
            Turn::Exits(exit) => Ok(exit),
            Turn::Waits => Err(Fault::timeout()),
        }
    }
}
