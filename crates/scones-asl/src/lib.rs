//! The Amazon States Language as a pure library.
//!
//! It reads a definition, checks it with positions, and runs it as a
//! deterministic state machine: an [`Execution`] is told what happened
//! ([`Input`]) and answers with history events and effects ([`Step`]). It never
//! reads a clock, a file or the network, and has no source of random numbers
//! but the seed it is given: the same machine, start and inputs give the same
//! steps, so a driver recovers an execution by applying its inputs again.
//!
//! One exception is not ours: two things inside the JSONata crate look at the
//! clock, the bound on an evaluation's running time and `$toMillis` with a
//! picture that names no date.
//!
//! - `machine`: definitions, their diagnostics, their compiled form
//! - `execution`: the interpreter, and [`Trial`], which runs one state of it
//! - `event`, `effect`, `map_run`: what it writes, is told and asks for
//! - `path`, `intrinsic`, `template`, `choice`, `data_flow`: the JSONPath query language
//! - `jsonata`: the JSONata query language
//! - `references`: which variables each state reads
//! - `limits`: every limit, with AWS's value
//!
//! What a task calls is up to the driver: an AWS service, or a closure. The
//! example `closures` has a driver of thirty lines that runs a definition in
//! virtual time. This is a machine that needs none:
//!
//! ```
//! use std::sync::Arc;
//! use scones_asl::{Execution, Machine, Start, Status, Timestamp};
//!
//! let machine = Machine::parse(
//!     r#"{"StartAt": "Greet", "States": {"Greet": {
//!         "Type": "Pass", "Parameters": {"text.$": "States.Format('Hello {}', $.name)"}, "End": true}}}"#,
//! )
//! .expect("the definition is valid");
//! let start = Start::of(r#"{"name": "Ada"}"#, Timestamp(0)).expect("the input is JSON");
//! let (execution, step) = Execution::start(Arc::new(machine), start);
//! assert_eq!(execution.status(), Status::Succeeded);
//! assert_eq!(step.events.len(), 4);
//! ```

mod choice;
mod data_flow;
mod effect;
mod error;
pub mod event;
mod execution;
mod intrinsic;
mod json;
mod jsonata;
pub mod limits;
mod machine;
pub mod map_run;
mod path;
mod payload;
mod random;
mod references;
mod scope;
mod template;
mod time;

pub use effect::{Effect, Input, Outcome, Step, TaskCall, TaskId, TimerId};
pub use error::names as error_names;
pub use event::{EventKind, HistoryEvent};
pub use execution::{Answer, Begun, ErrorDetails, Inspection, Pending, Trial, TrialStart, TrialStatus, Verdict};
pub use execution::{Execution, Start, Status, TaskToken};
pub use json::Span;
pub use jsonata::{JsonataError, evaluate_jsonata};
pub use machine::{
    Code, Diagnostic, Machine, ParameterProblem, Pattern, QueryLanguage, Resource, ResultForm, Severity, StateSummary,
};
pub use path::{Path, PathNotFound, PathSyntaxError};
pub use references::variable_references;
pub use time::Timestamp;
