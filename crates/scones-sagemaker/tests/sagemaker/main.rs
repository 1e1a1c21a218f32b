//! The service through its public surface, over the real store, with objects, logs and models in
//! memory.

mod hosting;
mod jobs;
mod restart;
mod support;
mod validation;
mod worker;
