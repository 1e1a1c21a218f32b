//! The service through its public surface, over the real store, with objects, logs and models in
//! memory.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod channels;
mod hosting;
mod jobs;
mod restart;
mod support;
mod validation;
mod worker;
