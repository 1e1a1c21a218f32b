//! The service by behaviour, with real processes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod common;
mod events;
mod execution;
mod folders;
mod operations;
mod python;
