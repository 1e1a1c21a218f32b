//! The Express executions that ran last, with their histories: what AWS keeps
//! nowhere but in logs. They are in memory alone, and the oldest go when there
//! are too many.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use scones_api::Timestamp as ApiTimestamp;
use scones_asl::{HistoryEvent, Outcome};
use serde_json::value::RawValue;

use super::{Description, Origin};

/// Most executions that are kept.
const EXECUTIONS_MAX: usize = 10_000;
/// Most bytes that their inputs, outputs and events may take.
const BYTES_MAX: usize = 64 << 20;

/// An Express execution that runs, or ran a while ago.
pub(crate) struct Past {
    origin: Origin,
    /// Nothing while it runs.
    ended: Option<(Outcome, ApiTimestamp)>,
    /// A JSON array; empty while it runs.
    events: Vec<u8>,
}

impl Past {
    pub(super) fn running(origin: Origin) -> Self {
        Self {
            origin,
            ended: None,
            events: b"[]".to_vec(),
        }
    }

    pub(super) fn ended(origin: Origin, outcome: Outcome, stopped: ApiTimestamp, events: &[HistoryEvent]) -> Self {
        Self {
            origin,
            ended: Some((outcome, stopped)),
            // What cannot be written is left out: nothing depends on it.
            events: serde_json::to_vec(events).unwrap_or_else(|_| b"[]".to_vec()),
        }
    }

    pub(crate) fn description(&self) -> Description {
        Description {
            origin: self.origin.clone(),
            ending: self.ended.clone(),
            redrive: None,
        }
    }

    pub(crate) fn events(&self) -> Result<Vec<Box<RawValue>>, serde_json::Error> {
        serde_json::from_slice(&self.events)
    }

    fn bytes(&self) -> usize {
        let output = match &self.ended {
            Some((Outcome::Succeeded { output }, _)) => output.len(),
            _ => 0,
        };
        self.origin.input.len() + output + self.events.len()
    }
}

/// The executions that are kept.
#[derive(Default)]
pub(crate) struct Recent(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_arn: HashMap<Arc<str>, Arc<Past>>,
    /// The oldest first.
    order: VecDeque<Arc<str>>,
    bytes: usize,
}

impl Recent {
    pub(super) fn put(&self, past: Past) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.put(past, EXECUTIONS_MAX, BYTES_MAX);
    }

    pub(crate) fn get(&self, execution_arn: &str) -> Option<Arc<Past>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.by_arn.get(execution_arn).cloned()
    }
}

impl Kept {
    fn put(&mut self, past: Past, executions_max: usize, bytes_max: usize) {
        let execution_arn: Arc<str> = past.origin.execution_arn.as_str().into();
        self.bytes += past.bytes();
        match self.by_arn.insert(Arc::clone(&execution_arn), Arc::new(past)) {
            Some(before) => self.bytes -= before.bytes(),
            None => self.order.push_back(execution_arn),
        }
        while self.order.len() > executions_max || self.bytes > bytes_max {
            let Some(oldest) = self.order.pop_front() else { return };
            if let Some(past) = self.by_arn.remove(&oldest) {
                self.bytes -= past.bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_oldest_go() {
        let mut kept = Kept::default();
        let past = |name: &str, bytes: usize| {
            let revision = json!({
                "id": null, "definition": "", "role_arn": "r", "date": 0,
                "logging": {"level": "OFF"}, "tracing": {"enabled": false},
            });
            let origin = json!({
                "execution_arn": name, "name": name, "machine_arn": "m", "machine": "m", "started": 0, "seed": 0,
                "input": "x".repeat(bytes), "revision": revision,
            });
            Past::running(serde_json::from_value(origin).unwrap())
        };
        let shown = |kept: &Kept| kept.order.iter().map(|arn| &**arn).collect::<Vec<_>>().join(" ");
        for name in ["a", "b", "c", "b", "d"] {
            kept.put(past(name, 8), 3, 1000);
        }
        assert_eq!((shown(&kept).as_str(), kept.by_arn.len(), kept.bytes), ("b c d", 3, 30));
        kept.put(past("e", 18), 3, 35);
        assert_eq!((shown(&kept).as_str(), kept.bytes), ("d e", 30));
        kept.put(past("f", 1000), 3, 35);
        assert_eq!((shown(&kept).as_str(), kept.bytes), ("", 0));
    }
}
