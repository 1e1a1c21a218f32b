//! Log groups in memory.

use std::sync::Mutex;

use async_trait::async_trait;
use scones_api::{ApiError, Timestamp};
use scones_states::LogGroups;

/// Every group is there but `missing` and those deleted.
#[derive(Default)]
pub struct Groups {
    /// Group, stream, line.
    lines: Mutex<Vec<(String, String, String)>>,
    deleted: Mutex<Vec<String>>,
}

impl Groups {
    /// The lines of a group, with their streams.
    pub fn lines(&self, group: &str) -> Vec<(String, String)> {
        let all = self.lines.lock().unwrap();
        let of_group = all.iter().filter(|(name, ..)| name == group);
        of_group
            .map(|(_, stream, line)| (stream.clone(), line.clone()))
            .collect()
    }

    /// Deletes a group for ever.
    pub fn delete(&self, group: &str) {
        self.deleted.lock().unwrap().push(group.to_owned());
    }
}

#[async_trait]
impl LogGroups for Groups {
    async fn has(&self, group: &str) -> Result<bool, ApiError> {
        let deleted = self.deleted.lock().unwrap();
        Ok(group != "missing" && !deleted.iter().any(|name| name == group))
    }

    async fn append(&self, group: &str, stream: &str, lines: Vec<(Timestamp, String)>) -> Result<(), ApiError> {
        let lines = lines
            .into_iter()
            .map(|(_, line)| (group.to_owned(), stream.to_owned(), line));
        self.lines.lock().unwrap().extend(lines);
        Ok(())
    }
}
