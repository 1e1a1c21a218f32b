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

/// Most bytes of one execution's events: an Express execution may write any
/// number of them, and only the first are kept.
const EVENTS_BYTES_MAX: usize = 1 << 20;

/// The first events of an execution in memory, as JSON.
#[derive(Default)]
pub(crate) struct Events {
    json: Vec<u8>,
    /// One had no room: none after it is kept.
    full: bool,
}

impl Events {
    pub(super) fn push(&mut self, event: &HistoryEvent) {
        if self.full {
            return;
        }
        let length = self.json.len();
        self.json.push(if length == 0 { b'[' } else { b',' });
        let written = serde_json::to_writer(&mut self.json, event);
        if written.is_err() || self.json.len() > EVENTS_BYTES_MAX {
            self.json.truncate(length);
            self.full = true;
        }
    }
}

/// An Express execution that runs, or ran a while ago.
pub(crate) struct Past {
    origin: Origin,
    /// Nothing while it runs.
    ended: Option<(Outcome, ApiTimestamp)>,
    /// None while it runs.
    events: Events,
}

impl Past {
    pub(super) fn running(origin: Origin) -> Self {
        Self {
            origin,
            ended: None,
            events: Events::default(),
        }
    }

    pub(super) fn ended(origin: Origin, outcome: Outcome, stopped: ApiTimestamp, events: Events) -> Self {
        Self {
            origin,
            ended: Some((outcome, stopped)),
            events,
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
        match self.events.json.as_slice() {
            [] => Ok(Vec::new()),
            json => serde_json::from_slice(&[json, b"]"].concat()),
        }
    }

    fn bytes(&self) -> usize {
        let output = match &self.ended {
            Some((Outcome::Succeeded { output }, _)) => output.len(),
            _ => 0,
        };
        self.origin.input.len() + output + self.events.json.len()
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
    use scones_asl::{
        Timestamp,
        event::{EventKind, Failure},
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_events_are_kept() {
        let event = |id: u64, cause: usize| HistoryEvent {
            id,
            previous_event_id: id - 1,
            timestamp: Timestamp(0),
            kind: EventKind::ExecutionFailed(Failure {
                error: None,
                cause: Some("x".repeat(cause)),
            }),
        };
        let mut events = Events::default();
        for (id, cause) in [(1, 8), (2, EVENTS_BYTES_MAX / 2), (3, EVENTS_BYTES_MAX / 2), (4, 8)] {
            events.push(&event(id, cause));
        }
        assert!(events.json.len() <= EVENTS_BYTES_MAX);
        let kept: Vec<serde_json::Value> = serde_json::from_slice(&[&events.json[..], b"]"].concat()).unwrap();
        assert_eq!(kept.iter().map(|event| &event["id"]).collect::<Vec<_>>(), [1, 2]);
    }

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
        assert_eq!((shown(&kept).as_str(), kept.by_arn.len(), kept.bytes), ("b c d", 3, 24));
        kept.put(past("e", 18), 3, 30);
        assert_eq!((shown(&kept).as_str(), kept.bytes), ("d e", 26));
        kept.put(past("f", 1000), 3, 30);
        assert_eq!((shown(&kept).as_str(), kept.bytes), ("", 0));
    }
}
