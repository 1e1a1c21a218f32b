//! What can be set about the service.

use std::{sync::Arc, time::Duration};

use crate::mock::Mocks;

/// Settings of the service. Every member has a default.
#[derive(Debug, Clone)]
pub struct Options {
    /// Tasks (function invocations, service calls) that run at the same time;
    /// further ones wait scheduled.
    pub tasks_max: usize,
    /// Express executions that run at the same time; further ones are refused.
    pub express_max: usize,
    /// How long an execution that only waits stays in memory, up to a minute.
    pub idle_before_parking: Duration,
    /// What stands for services in executions of `ARN#TestCase`.
    pub mocks: Arc<Mocks>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tasks_max: 1_000,
            express_max: 10_000,
            idle_before_parking: Duration::from_secs(10),
            mocks: Arc::default(),
        }
    }
}
