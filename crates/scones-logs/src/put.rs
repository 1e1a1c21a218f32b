//! Putting events: `PutLogEvents` and the way in for services of this process.

use std::time::Duration;

use scones_api::{ApiError, Constraints, RequestContext};
use serde::{Deserialize, Serialize};

use crate::{
    LogEvent, Logs,
    error::{check, invalid, no_such_stream},
    journal::{Deleted, Late, Summary},
    limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX, BATCH_SPAN_MAX, FUTURE_MAX, MESSAGE_BYTES_MAX, PAST_MAX},
    names::{constrain_group, constrain_stream},
    registry::{Group, Stream},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PutLogEvents {
    log_group_name: String,
    log_stream_name: String,
    log_events: Vec<LogEvent>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Put {
    next_sequence_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_log_events_info: Option<RejectedLogEventsInfo>,
}

/// Which events of a batch were not taken, by their indices.
#[derive(Debug, Serialize, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct RejectedLogEventsInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    too_new_log_event_start_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    too_old_log_event_end_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expired_log_event_end_index: Option<usize>,
}

impl Logs {
    pub(crate) async fn put_log_events(&self, input: PutLogEvents, _: &RequestContext) -> Result<Put, ApiError> {
        check_batch(&input.log_events)?;
        let group = self.registry.group(&input.log_group_name).await?;
        let stream = self.registry.stream(&group, &input.log_stream_name).await?;
        let journal = self.registry.journal(&stream);
        let now = self.clock.now().as_millis();
        let (accepted, rejected) = accept(&input.log_events, now, group.kept_from(now));
        check_span(accepted)?;
        journal
            .append(accepted, now, Late::Keep)
            .await?
            .map_err(|Deleted| no_such_stream())?;
        Ok(Put {
            next_sequence_token: sequence_token(journal.summary().await?),
            rejected_log_events_info: (rejected != RejectedLogEventsInfo::default()).then_some(rejected),
        })
    }

    /// Adds `events` to a stream and makes them durable as a whole; the group
    /// and the stream are created if need be. An event that is older than the
    /// stream's last one gets that one's timestamp, so that whoever follows
    /// the stream sees every event. Empty messages are left out, those beyond
    /// AWS's largest are cut.
    ///
    /// # Errors
    /// `InvalidParameterException` for a name that AWS would refuse.
    pub async fn append(&self, group: &str, stream: &str, mut events: Vec<LogEvent>) -> Result<(), ApiError> {
        events.retain(|event| !event.message.is_empty());
        for event in &mut events {
            truncate(&mut event.message);
        }
        let now = self.clock.now().as_millis();
        loop {
            let group = self.group_or_new(group, now).await?;
            let stream = match self.registry.stream(&group, stream).await {
                Err(error) if !error.is_server_fault() => self.new_stream(&group, stream, now).await?,
                found => found?,
            };
            // The stream may be deleted between finding it and writing to it.
            let written = self.registry.journal(&stream).append(&events, now, Late::Raise).await?;
            if written != Err(Deleted) {
                return Ok(());
            }
        }
    }

    /// Whether there is a group of that name.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn has_group(&self, name: &str) -> Result<bool, ApiError> {
        Ok(self.registry.groups.get(name).await?.is_some())
    }

    async fn group_or_new(&self, name: &str, now: i64) -> Result<Group, ApiError> {
        if let Some(found) = self.registry.groups.get(name).await? {
            return Ok(found.value);
        }
        let mut constraints = Constraints::new();
        constrain_group(&mut constraints, "logGroupName", name);
        check(&constraints)?;
        match self.registry.create_group(name, &Group::new(now)).await {
            Err(error) if error.code != "ResourceAlreadyExistsException" => Err(error),
            _ => self.registry.group(name).await,
        }
    }

    async fn new_stream(&self, group: &Group, name: &str, now: i64) -> Result<Stream, ApiError> {
        let mut constraints = Constraints::new();
        constrain_stream(&mut constraints, "logStreamName", name);
        check(&constraints)?;
        match self.registry.create_stream(group, name, now).await {
            Err(error) if error.code == "ResourceAlreadyExistsException" => self.registry.stream(group, name).await,
            other => other,
        }
    }
}

/// The token that clients of old pass on; nobody looks at it.
pub(crate) fn sequence_token(summary: Option<Summary>) -> String {
    format!("{:056}", summary.map_or(0, |summary| summary.events) + 1)
}

/// What the batch itself must be.
fn check_batch(events: &[LogEvent]) -> Result<(), ApiError> {
    let mut constraints = Constraints::new();
    let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
    constraints.range("logEvents.length", count, 1, BATCH_EVENTS_MAX as i64);
    for (index, event) in events.iter().enumerate() {
        let member = format!("logEvents.{}.member", index + 1);
        if event.message.is_empty() {
            constraints.length(&format!("{member}.message"), "", 1, MESSAGE_BYTES_MAX);
        }
        if event.timestamp < 0 {
            constraints.range(&format!("{member}.timestamp"), event.timestamp, 0, i64::MAX);
        }
    }
    check(&constraints)?;
    let bytes: usize = events.iter().map(LogEvent::counted_bytes).sum();
    if bytes > BATCH_BYTES_MAX {
        return Err(invalid(format!(
            "Upload too large: {bytes} bytes exceeds limit of {BATCH_BYTES_MAX}"
        )));
    }
    if !events.is_sorted_by_key(|event| event.timestamp) {
        return Err(invalid(
            "Log events in a single PutLogEvents request must be in chronological order.",
        ));
    }
    Ok(())
}

fn check_span(events: &[LogEvent]) -> Result<(), ApiError> {
    let span = match (events.first(), events.last()) {
        (Some(first), Some(last)) => last.timestamp - first.timestamp,
        _ => 0,
    };
    if span > millis(BATCH_SPAN_MAX) {
        return Err(invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ));
    }
    Ok(())
}

/// The events of a batch, which is in order, that lie near enough to `now`.
fn accept(events: &[LogEvent], now: i64, kept_from: i64) -> (&[LogEvent], RejectedLogEventsInfo) {
    let before = |limit: i64| events.partition_point(|event| event.timestamp < limit);
    let old = before(now - millis(PAST_MAX));
    let expired = before(kept_from);
    let new = before((now + millis(FUTURE_MAX)).saturating_add(1));
    let rejected = RejectedLogEventsInfo {
        too_new_log_event_start_index: (new < events.len()).then_some(new),
        too_old_log_event_end_index: (old > 0).then_some(old),
        expired_log_event_end_index: (expired > 0).then_some(expired),
    };
    (&events[old.max(expired).min(new)..new], rejected)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Cuts a message at the last character that fits.
pub(crate) fn truncate(message: &mut String) {
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
}
