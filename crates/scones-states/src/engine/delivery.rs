//! The events of executions on their way to log groups, as
//! `loggingConfiguration` asks. Best effort, as on AWS: lines wait in a
//! bounded queue beside the executions, and never hold one up.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use scones_api::Timestamp as ApiTimestamp;
use scones_asl::HistoryEvent;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Origin;
use crate::{catalog::Logging, logs::LogGroups, random::Ids};

/// Lines that wait to be written.
const LINES_MAX: usize = 16_384;
/// Bytes of them.
const BYTES_MAX: usize = 64 << 20;
/// Lines that are written together.
const LINES_AT_ONCE: usize = 1_000;
/// Members of an event's details that are data of the execution.
const DATA: [&str; 7] = [
    "input",
    "inputDetails",
    "output",
    "outputDetails",
    "parameters",
    "assignedVariables",
    "assignedVariablesDetails",
];

/// Which events are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    All,
    /// What fails, is aborted or is out of time.
    Error,
    /// That of whole executions.
    Fatal,
}

impl Level {
    fn takes(self, event: &str) -> bool {
        let bad = ["Failed", "Aborted", "TimedOut"].iter().any(|end| event.ends_with(end));
        match self {
            Self::All => true,
            Self::Error => bad,
            Self::Fatal => bad && event.starts_with("Execution"),
        }
    }
}

/// Where and how an execution is logged.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    group: String,
    machine: String,
    level: Level,
    include_data: bool,
    execution_arn: String,
    map_run_arn: Option<String>,
}

impl Log {
    /// How an execution is logged, if it is.
    pub(crate) fn of(origin: &Origin) -> Option<Self> {
        let logging = &origin.revision.logging;
        let level = match logging.level.as_str() {
            "ALL" => Level::All,
            "ERROR" => Level::Error,
            "FATAL" => Level::Fatal,
            _ => return None,
        };
        Some(Self {
            group: logging.group()?.to_owned(),
            machine: origin.machine.clone(),
            level,
            include_data: logging.include_execution_data,
            execution_arn: origin.execution_arn.clone(),
            map_run_arn: origin.child_of.as_ref().map(|child| child.map_run_arn.clone()),
        })
    }

    /// An event as AWS logs it, if it is to be logged.
    fn line(&self, event: &HistoryEvent, redrives: u64) -> Option<String> {
        let kind = event.kind.type_name();
        if !self.level.takes(kind) {
            return None;
        }
        let event_value = serde_json::to_value(event).ok()?;
        let details = event_value
            .as_object()?
            .iter()
            .find(|(name, _)| name.ends_with("EventDetails"))
            .map_or_else(|| json!({}), |(_, details)| details.clone());
        let details = match details {
            Value::Object(mut members) if !self.include_data => {
                members.retain(|name, _| !DATA.contains(&name.as_str()));
                Value::Object(members)
            }
            details => details,
        };
        let mut line = json!({
            "id": event.id.to_string(),
            "type": kind,
            "details": details,
            "previous_event_id": event.previous_event_id.to_string(),
            "event_timestamp": event.timestamp.0.to_string(),
            "execution_arn": self.execution_arn,
            "redrive_count": redrives.to_string(),
        });
        if let Some(arn) = &self.map_run_arn {
            line["map_run_arn"] = arn.as_str().into();
        }
        Some(line.to_string())
    }
}

impl Logging {
    /// The name of the log group; nothing where its ARN does not end in `:*`.
    pub(crate) fn group(&self) -> Option<&str> {
        let (_, name) = self.group_arn()?.split_once(":log-group:")?;
        name.strip_suffix(":*")
    }

    pub(crate) fn group_arn(&self) -> Option<&str> {
        let destination = self.destinations.as_deref()?.first()?;
        let group = destination.cloud_watch_logs_log_group.as_ref()?;
        group.log_group_arn.as_deref()
    }
}

struct Line {
    group: String,
    stream: String,
    timestamp: ApiTimestamp,
    text: String,
}

/// The queue of lines.
pub(crate) struct Delivery {
    sender: mpsc::Sender<Line>,
    bytes: Arc<AtomicUsize>,
    lost: AtomicU64,
    /// Tells this server's streams from others'.
    suffix: String,
}

impl Delivery {
    /// The queue, and the task that empties it.
    pub(crate) fn new(
        logs: Arc<dyn LogGroups>,
        ids: &Ids,
        stopping: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (sender, receiver) = mpsc::channel(LINES_MAX);
        let bytes = Arc::new(AtomicUsize::new(0));
        let id = ids.id();
        let (suffix, ..) = id.as_fields();
        let delivery = Self {
            sender,
            bytes: Arc::clone(&bytes),
            lost: AtomicU64::new(0),
            suffix: format!("{suffix:08x}"),
        };
        (delivery, empty(receiver, logs, bytes, stopping))
    }

    /// Queues what is to be logged of an execution's new events.
    pub(crate) fn deliver(&self, log: &Log, events: &[HistoryEvent], redrives: u64) {
        for event in events {
            let Some(text) = log.line(event, redrives) else {
                continue;
            };
            let (length, timestamp) = (text.len(), ApiTimestamp::from_millis(event.timestamp.0));
            let line = Line {
                group: log.group.clone(),
                stream: self.stream(&log.machine, &event.timestamp.to_iso8601()),
                timestamp,
                text,
            };
            let fits = self.bytes.fetch_add(length, Ordering::Relaxed) + length <= BYTES_MAX;
            if !fits || self.sender.try_send(line).is_err() {
                self.bytes.fetch_sub(length, Ordering::Relaxed);
                let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
                if lost.is_power_of_two() {
                    tracing::warn!(
                        lost,
                        execution = log.execution_arn,
                        "events of executions were not logged"
                    );
                }
            }
        }
    }

    /// `states/MACHINE/2026-11-23-09-00/0123abcd`: one an hour.
    fn stream(&self, machine: &str, time: &str) -> String {
        let hour: String = time.chars().take(13).map(|c| if c == 'T' { '-' } else { c }).collect();
        format!("states/{machine}/{hour}-00/{}", self.suffix)
    }
}

/// Writes lines until the server stops and none is left.
async fn empty(
    mut receiver: mpsc::Receiver<Line>,
    logs: Arc<dyn LogGroups>,
    bytes: Arc<AtomicUsize>,
    stopping: CancellationToken,
) {
    let mut lines = Vec::new();
    loop {
        let received = tokio::select! {
            biased;
            () = stopping.cancelled(), if !receiver.is_closed() => {
                receiver.close();
                continue;
            }
            received = receiver.recv_many(&mut lines, LINES_AT_ONCE) => received,
        };
        if received == 0 {
            return;
        }
        let mut streams: BTreeMap<(String, String), Vec<(ApiTimestamp, String)>> = BTreeMap::new();
        for line in lines.drain(..) {
            bytes.fetch_sub(line.text.len(), Ordering::Relaxed);
            let stream = streams.entry((line.group, line.stream)).or_default();
            stream.push((line.timestamp, line.text));
        }
        for ((group, stream), lines) in streams {
            if let Err(error) = write(&*logs, &group, &stream, lines).await {
                tracing::warn!(group, stream, %error, "events of executions were not logged");
            }
        }
    }
}

/// Writes to a group that is there: one that was deleted is not made again.
async fn write(
    logs: &dyn LogGroups,
    group: &str,
    stream: &str,
    lines: Vec<(ApiTimestamp, String)>,
) -> Result<(), scones_api::ApiError> {
    if logs.has(group).await? {
        logs.append(group, stream, lines).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels() {
        let check = |event: &str, expect: [bool; 3]| {
            let taken = [Level::All, Level::Error, Level::Fatal].map(|level| level.takes(event));
            assert_eq!(taken, expect, "{event}");
        };
        check("ExecutionStarted", [true, false, false]);
        check("TaskFailed", [true, true, false]);
        check("MapRunAborted", [true, true, false]);
        check("LambdaFunctionTimedOut", [true, true, false]);
        check("ExecutionFailed", [true, true, true]);
        check("ExecutionTimedOut", [true, true, true]);
    }

    #[test]
    fn groups_are_read_from_arns() {
        let group = |arn: &str| {
            let logging: Logging = serde_json::from_value(json!({
                "level": "ALL", "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": arn}}]}))
            .unwrap();
            logging.group().map(str::to_owned)
        };
        let arn = "arn:aws:logs:us-east-1:000000000000:log-group:/aws/vendedlogs/states/g";
        assert_eq!(group(&format!("{arn}:*")).unwrap(), "/aws/vendedlogs/states/g");
        assert_eq!(group(arn), None);
        assert_eq!(group("arn:aws:s3:::bucket"), None);
    }
}
