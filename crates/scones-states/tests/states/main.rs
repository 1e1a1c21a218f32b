//! The service by behaviour, through its API.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod common;
mod corpus;
mod executions;
mod integrations;
mod item_readers;
mod logging;
mod machines;
mod map_runs;
mod recovery;
mod redrive;
mod result_writer;
mod simulation;
mod test_state;
