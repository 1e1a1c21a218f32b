//! History events, typed, in AWS's wire form (GetExecutionHistory's `HistoryEvent`).

mod details;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

pub use details::*;

use crate::time::Timestamp;

/// One event of an execution's history.
///
/// Serialises to and from AWS's JSON: `{"id":2,"previousEventId":0,
/// "timestamp":1.5,"type":"PassStateEntered","stateEnteredEventDetails":{...}}`.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEvent {
    /// From 1, without gaps.
    pub id: u64,
    /// The event that led to this one; 0 where there is none.
    pub previous_event_id: u64,
    /// When it happened; on the wire in seconds since the epoch.
    pub timestamp: Timestamp,
    /// What happened.
    pub kind: EventKind,
}

macro_rules! events {
    ($($(#[$attribute:meta])* $name:ident $(($details:ident, $key:literal))?;)*) => {
        /// What happened, by AWS's `HistoryEventType`.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "the variants bear AWS's names and hold AWS's details")]
        pub enum EventKind { $($(#[$attribute])* $name $(($details))?),* }

        impl EventKind {
            /// AWS's name of the type.
            #[must_use]
            pub fn type_name(&self) -> &'static str {
                match self { $(events!(@pattern $name $($details)?) => stringify!($name)),* }
            }

            fn details(&self) -> Result<Option<(&'static str, Value)>, serde_json::Error> {
                match self { $(events!(@bind details $name $($details)?) => events!(@write details $($key)?)),* }
            }

            fn from_details(name: &str, event: &mut Map<String, Value>) -> Result<Self, serde_json::Error> {
                match name {
                    $(stringify!($name) => events!(@read event $name $($key)?),)*
                    other => Err(serde_json::Error::custom(format!("unknown event type {other}"))),
                }
            }
        }
    };
    (@pattern $name:ident) => { Self::$name };
    (@pattern $name:ident $details:ident) => { Self::$name(_) };
    (@bind $variable:ident $name:ident) => { Self::$name };
    (@bind $variable:ident $name:ident $details:ident) => { Self::$name($variable) };
    (@write $variable:ident) => { Ok(None) };
    (@write $variable:ident $key:literal) => { Ok(Some(($key, serde_json::to_value($variable)?))) };
    (@read $event:ident $name:ident) => { Ok(Self::$name) };
    (@read $event:ident $name:ident $key:literal) => {
        serde_json::from_value($event.remove($key).unwrap_or_else(|| Value::Object(Map::new()))).map(Self::$name)
    };
}

events! {
    ActivityFailed(Failure, "activityFailedEventDetails");
    ActivityScheduled(ActivityScheduled, "activityScheduledEventDetails");
    ActivityScheduleFailed(Failure, "activityScheduleFailedEventDetails");
    ActivityStarted(ActivityStarted, "activityStartedEventDetails");
    ActivitySucceeded(Output, "activitySucceededEventDetails");
    ActivityTimedOut(Failure, "activityTimedOutEventDetails");
    ChoiceStateEntered(StateEntered, "stateEnteredEventDetails");
    ChoiceStateExited(StateExited, "stateExitedEventDetails");
    EvaluationFailed(EvaluationFailed, "evaluationFailedEventDetails");
    ExecutionAborted(Failure, "executionAbortedEventDetails");
    ExecutionFailed(Failure, "executionFailedEventDetails");
    ExecutionRedriven(ExecutionRedriven, "executionRedrivenEventDetails");
    ExecutionStarted(ExecutionStarted, "executionStartedEventDetails");
    ExecutionSucceeded(Output, "executionSucceededEventDetails");
    ExecutionTimedOut(Failure, "executionTimedOutEventDetails");
    FailStateEntered(StateEntered, "stateEnteredEventDetails");
    LambdaFunctionFailed(Failure, "lambdaFunctionFailedEventDetails");
    LambdaFunctionScheduled(LambdaScheduled, "lambdaFunctionScheduledEventDetails");
    LambdaFunctionScheduleFailed(Failure, "lambdaFunctionScheduleFailedEventDetails");
    LambdaFunctionStarted;
    LambdaFunctionStartFailed(Failure, "lambdaFunctionStartFailedEventDetails");
    LambdaFunctionSucceeded(Output, "lambdaFunctionSucceededEventDetails");
    LambdaFunctionTimedOut(Failure, "lambdaFunctionTimedOutEventDetails");
    MapIterationAborted(MapIteration, "mapIterationAbortedEventDetails");
    MapIterationFailed(MapIteration, "mapIterationFailedEventDetails");
    MapIterationStarted(MapIteration, "mapIterationStartedEventDetails");
    MapIterationSucceeded(MapIteration, "mapIterationSucceededEventDetails");
    MapRunAborted;
    MapRunFailed(Failure, "mapRunFailedEventDetails");
    MapRunRedriven(MapRunRedriven, "mapRunRedrivenEventDetails");
    MapRunStarted(MapRunStarted, "mapRunStartedEventDetails");
    MapRunSucceeded;
    MapStateAborted;
    MapStateEntered(StateEntered, "stateEnteredEventDetails");
    MapStateExited(StateExited, "stateExitedEventDetails");
    MapStateFailed;
    MapStateStarted(MapStateStarted, "mapStateStartedEventDetails");
    MapStateSucceeded;
    ParallelStateAborted;
    ParallelStateEntered(StateEntered, "stateEnteredEventDetails");
    ParallelStateExited(StateExited, "stateExitedEventDetails");
    ParallelStateFailed;
    ParallelStateStarted;
    ParallelStateSucceeded;
    PassStateEntered(StateEntered, "stateEnteredEventDetails");
    PassStateExited(StateExited, "stateExitedEventDetails");
    SucceedStateEntered(StateEntered, "stateEnteredEventDetails");
    SucceedStateExited(StateExited, "stateExitedEventDetails");
    TaskFailed(TaskFailure, "taskFailedEventDetails");
    TaskScheduled(TaskScheduled, "taskScheduledEventDetails");
    TaskStarted(TaskStarted, "taskStartedEventDetails");
    TaskStartFailed(TaskFailure, "taskStartFailedEventDetails");
    TaskStateAborted;
    TaskStateEntered(StateEntered, "stateEnteredEventDetails");
    TaskStateExited(StateExited, "stateExitedEventDetails");
    TaskSubmitFailed(TaskFailure, "taskSubmitFailedEventDetails");
    TaskSubmitted(TaskOutput, "taskSubmittedEventDetails");
    TaskSucceeded(TaskOutput, "taskSucceededEventDetails");
    TaskTimedOut(TaskFailure, "taskTimedOutEventDetails");
    WaitStateAborted;
    WaitStateEntered(StateEntered, "stateEnteredEventDetails");
    WaitStateExited(StateExited, "stateExitedEventDetails");
}

impl Serialize for HistoryEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::{Error as _, SerializeMap as _};
        let details = self.kind.details().map_err(S::Error::custom)?;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timestamp", &seconds(self.timestamp))?;
        map.serialize_entry("type", self.kind.type_name())?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("previousEventId", &self.previous_event_id)?;
        if let Some((key, value)) = details {
            map.serialize_entry(key, &value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for HistoryEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut event = Map::<String, Value>::deserialize(deserializer)?;
        let number = |name: &str| event.get(name).and_then(Value::as_u64);
        let (id, previous) = (number("id"), number("previousEventId"));
        let timestamp = event.get("timestamp").and_then(Value::as_f64).map(milliseconds);
        let name = event.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Self {
            id: id.ok_or_else(|| D::Error::missing_field("id"))?,
            previous_event_id: previous.ok_or_else(|| D::Error::missing_field("previousEventId"))?,
            timestamp: timestamp.ok_or_else(|| D::Error::missing_field("timestamp"))?,
            kind: EventKind::from_details(&name, &mut event).map_err(D::Error::custom)?,
        })
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds stay below 2^53 for 280,000 years"
)]
fn seconds(timestamp: Timestamp) -> f64 {
    timestamp.0 as f64 / 1000.0
}

#[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
fn milliseconds(seconds: f64) -> Timestamp {
    Timestamp((seconds * 1000.0).round() as i64)
}
