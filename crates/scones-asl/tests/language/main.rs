//! The language by behaviour: definitions are run under virtual time, with
//! closures as tasks.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod diagnostics;
mod edges;
mod expressions;
mod flow;
mod harness;
mod map_runs;
mod nesting;
mod redrive;
mod replay;
mod tasks;
mod trials;
