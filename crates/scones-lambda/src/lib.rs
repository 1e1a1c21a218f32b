//! Functions as processes that speak the Lambda Runtime API.
//!
//! A [`Lambda`] keeps functions in the store, unpacks their packages beside it,
//! runs each invocation in a worker process that runs one invocation at a
//! time, and keeps workers warm between invocations. Code runs as the user who
//! started the server, with an environment of its own: this crate separates
//! functions from each other's invocations, not from the machine.
//!
//! It knows no AWS protocol: the edge gives it JSON for every operation but
//! Invoke, whose payload is bytes. The only HTTP here is the Runtime API, on
//! loopback ports, one a worker. It never writes logs itself: lines go to a
//! [`LogSink`].

mod code;
mod concurrency;
mod configuration;
mod events;
mod execution;
mod function;
mod invoke;
mod launch;
pub mod limits;
mod log;
mod memory;
mod name;
mod operations;
mod options;
mod package;
mod pool;
mod runtime;
mod runtime_api;
mod scratch;
mod service;
mod unpacked;
mod worker;

pub use invoke::{Invocation, Invoke};
pub use log::LogSink;
pub use name::FunctionReference;
pub use operations::{CodeLink, CodePackage};
pub use options::{FunctionEnvironment, Options};
pub use service::{Dependencies, Error, Lambda, ObjectSource};
