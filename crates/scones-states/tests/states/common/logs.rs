//! Log groups in memory.

use std::sync::Mutex;

use async_trait::async_trait;
use scones_api::{ApiError, Timestamp};
use scones_states::LogGroups;

/// Every group but `missing` is there.
#[derive(Default)]
pub struct Groups(Mutex<Vec<(String, String, String)>>);

impl Groups {
    /// The lines of a group, with their streams.
    pub fn lines(&self, group: &str) -> Vec<(String, String)> {
        let all = self.0.lock().unwrap();
        let of_group = all.iter().filter(|(name, ..)| name == group);
        of_group
            .map(|(_, stream, line)| (stream.clone(), line.clone()))
            .collect()
    }
}

#[async_trait]
impl LogGroups for Groups {
    async fn has(&self, group: &str) -> Result<bool, ApiError> {
        Ok(group != "missing")
    }

    async fn append(&self, group: &str, stream: &str, lines: Vec<(Timestamp, String)>) -> Result<(), ApiError> {
        let lines = lines
            .into_iter()
            .map(|(_, line)| (group.to_owned(), stream.to_owned(), line));
        self.0.lock().unwrap().extend(lines);
        Ok(())
    }
}
