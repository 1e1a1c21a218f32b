//! Runs recorded Step Functions cases against the interpreter, in process and
//! under virtual time, and keeps the score from falling.
//!
//! The cases do not ship. They are read from the folder that
//! `SCONES_ASL_CORPUS` names (default: `../shared/corpus/asl` beside the
//! workspace); without it every test says so and passes.
//! `SCONES_ASL_SHOW=text` prints the failures of the cases whose id holds the
//! text; `SCONES_ASL_RAISE=1` writes a better score into `score.json`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking and print their score"
)]

mod compare;
mod execution;
mod jsonata;
mod jsonpath;
mod recorded;
mod score;
mod validity;

use recorded::{cases, shown, suite};

/// Where the score is kept, from the crate.
const SCORE: &str = "tests/corpus/score.json";
