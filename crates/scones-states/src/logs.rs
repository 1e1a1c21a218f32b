//! Log groups, as executions are logged to them.

use async_trait::async_trait;
use scones_api::{ApiError, Timestamp};

/// Where executions are logged.
#[async_trait]
pub trait LogGroups: Send + Sync + 'static {
    /// Whether there is a group of that name.
    async fn has(&self, group: &str) -> Result<bool, ApiError>;

    /// Adds lines at the end of a stream, which begins to exist if need be.
    async fn append(&self, group: &str, stream: &str, lines: Vec<(Timestamp, String)>) -> Result<(), ApiError>;
}

/// No log group at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLogs;

#[async_trait]
impl LogGroups for NoLogs {
    async fn has(&self, _: &str) -> Result<bool, ApiError> {
        Ok(false)
    }

    async fn append(&self, _: &str, _: &str, _: Vec<(Timestamp, String)>) -> Result<(), ApiError> {
        Ok(())
    }
}
