//! What can be set about the service.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// Settings of the service. Every member has a default.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Tasks (function invocations, service calls) that run at the same time;
    /// further ones wait scheduled.
    pub tasks_max: usize,
    /// How long an execution that only waits stays in memory, in seconds, up to a
    /// minute.
    #[serde(deserialize_with = "seconds")]
    pub idle_before_parking: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tasks_max: 1_000,
            idle_before_parking: Duration::from_secs(10),
        }
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}
