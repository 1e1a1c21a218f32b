//! `FilterLogEvents`: many streams, merged by time.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    ops::Range,
};

use scones_api::{ApiError, PageToken, RequestContext, page_limit};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Logs,
    error::invalid,
    events::{Place, StoredEvent},
    get::Room,
    groups::invalid_token,
    journal::{READ_EVENTS, View},
    limits::{FILTER_SCAN_MAX, FILTER_STREAMS_MAX, PAGE_EVENTS_MAX},
    names::group_name,
    pattern::Pattern,
    registry::{Group, Stream},
};

/// Bytes of events that are read ahead in all streams of a request together,
/// beside those that one read brings.
const AHEAD_BYTES_MAX: usize = 16 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FilterLogEvents {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_names: Option<Vec<String>>,
    log_stream_name_prefix: Option<String>,
    start_time: Option<i64>,
    end_time: Option<i64>,
    #[serde(default)]
    filter_pattern: String,
    next_token: Option<String>,
    limit: Option<i64>,
    start_from_head: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FilteredLogEvents {
    events: Vec<FilteredLogEvent>,
    /// Always empty, as AWS has answered since 2019.
    searched_log_streams: Vec<()>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FilteredLogEvent {
    log_stream_name: String,
    timestamp: i64,
    message: String,
    ingestion_time: i64,
    event_id: String,
}

/// The place of an event among those of all streams.
type MergedPlace = (i64, String, u64);

impl Logs {
    pub(crate) async fn filter_log_events(
        &self,
        input: FilterLogEvents,
        _: &RequestContext,
    ) -> Result<FilteredLogEvents, ApiError> {
        if input.start_from_head == Some(false) {
            return Err(ApiError::not_implemented("FilterLogEvents with startFromHead=false"));
        }
        let pattern = Pattern::parse(&input.filter_pattern)?;
        let limit = page_limit(input.limit, PAGE_EVENTS_MAX, PAGE_EVENTS_MAX);
        let name = group_name(input.log_group_name, input.log_group_identifier)?;
        let group = self.registry.group(&name).await?;
        let streams = self
            .wanted(&group, input.log_stream_names, input.log_stream_name_prefix)
            .await?;

        let scope = format!("FilterLogEvents {} {}", group.id, input.filter_pattern);
        let token = input.next_token.map(|token| PageToken::decode(&scope, &token));
        let from: Option<MergedPlace> = token.map(|token| token.ok_or_else(invalid_token)).transpose()?;
        let start = input
            .start_time
            .unwrap_or(0)
            .max(group.kept_from(self.clock.now().as_millis()));
        let end = Place::at(input.end_time.map_or(i64::MAX, |end| end.saturating_add(1)));
        let mut merge = Merge::default();
        for (name, stream) in streams {
            let start = begin(from.as_ref(), &name).max(Place::at(start));
            let view = self.registry.journal(&stream).view().await?;
            merge.add(name, &stream, view, start, end).await?;
        }

        let mut room = Room::new(limit);
        let mut scanned = 0;
        let mut events = Vec::new();
        while let Some((cursor, event)) = merge.next().await? {
            let wanted = pattern.matches(&event.message);
            if scanned == FILTER_SCAN_MAX || (wanted && !room.takes(&event)) {
                let place = (event.place.timestamp, cursor.name.clone(), event.place.position);
                return Ok(FilteredLogEvents {
                    events,
                    searched_log_streams: Vec::new(),
                    next_token: Some(PageToken::encode(&scope, &place)?),
                });
            }
            scanned += 1;
            if wanted {
                events.push(cursor.describe(event));
            }
        }
        Ok(FilteredLogEvents {
            events,
            searched_log_streams: Vec::new(),
            next_token: None,
        })
    }

    async fn wanted(
        &self,
        group: &Group,
        names: Option<Vec<String>>,
        prefix: Option<String>,
    ) -> Result<Vec<(String, Stream)>, ApiError> {
        let Some(mut names) = names else {
            return Ok(self.registry.all_streams(group, &prefix.unwrap_or_default()).await?);
        };
        if prefix.is_some() {
            return Err(invalid("Cannot use logStreamNames and logStreamNamePrefix together."));
        }
        if names.is_empty() || names.len() > FILTER_STREAMS_MAX {
            return Err(invalid(format!(
                "logStreamNames must name 1 to {FILTER_STREAMS_MAX} log streams."
            )));
        }
        names.sort();
        names.dedup();
        let mut streams = Vec::with_capacity(names.len());
        for name in names {
            let stream = self.registry.stream(group, &name).await?;
            streams.push((name, stream));
        }
        Ok(streams)
    }
}

/// Where the stream `name` goes on when the merged page begins at `from`.
fn begin(from: Option<&MergedPlace>, name: &str) -> Place {
    let Some((timestamp, stream, position)) = from else {
        return Place::at(i64::MIN);
    };
    match name.cmp(stream) {
        std::cmp::Ordering::Less => Place::at(timestamp.saturating_add(1)),
        std::cmp::Ordering::Equal => Place {
            timestamp: *timestamp,
            position: *position,
        },
        std::cmp::Ordering::Greater => Place::at(*timestamp),
    }
}

/// Streams merged by time, then name, then position. However many streams
/// there are, about [`AHEAD_BYTES_MAX`] of their events are in memory.
struct Merge {
    cursors: Vec<Cursor>,
    /// When the next event of each stream happened that has one. Cursors are
    /// in the order of their names.
    next: BinaryHeap<Reverse<(i64, usize)>>,
    /// Events that are read of a stream at a time.
    ahead: u64,
    /// Bytes that were read ahead in all streams together.
    ahead_bytes: usize,
}

struct Cursor {
    name: String,
    number: u64,
    view: View,
    /// The events that are still to come.
    ranks: Range<u64>,
    /// The first of them, as far as they were read ahead.
    buffer: VecDeque<StoredEvent>,
}

impl Default for Merge {
    fn default() -> Self {
        Self {
            cursors: Vec::new(),
            next: BinaryHeap::new(),
            ahead: READ_EVENTS,
            ahead_bytes: 0,
        }
    }
}

impl Merge {
    async fn add(&mut self, name: String, stream: &Stream, view: View, start: Place, end: Place) -> Result<(), Error> {
        let cursor = Cursor {
            name,
            number: stream.number(),
            ranks: view.rank(start).await?..view.rank(end).await?,
            view,
            buffer: VecDeque::new(),
        };
        if let Some(timestamp) = cursor.timestamp().await? {
            self.next.push(Reverse((timestamp, self.cursors.len())));
            self.cursors.push(cursor);
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<(&Cursor, StoredEvent)>, Error> {
        while let Some(Reverse((_, index))) = self.next.pop() {
            self.read_ahead(index).await?;
            let Some(cursor) = self.cursors.get_mut(index) else {
                continue;
            };
            let Some(event) = cursor.buffer.pop_front() else {
                continue; // The stream is being deleted.
            };
            cursor.ranks.start += 1;
            self.ahead_bytes -= event.counted_bytes();
            if let Some(timestamp) = cursor.timestamp().await? {
                self.next.push(Reverse((timestamp, index)));
            }
            return Ok(self.cursors.get(index).zip(Some(event)));
        }
        Ok(None)
    }

    /// Makes sure that the next event of a stream is in its buffer. If too
    /// much is in the buffers, all of it is forgotten, to be read again when
    /// its turn comes, less at a time.
    async fn read_ahead(&mut self, index: usize) -> Result<(), Error> {
        let Some(cursor) = self.cursors.get(index).filter(|cursor| cursor.buffer.is_empty()) else {
            return Ok(());
        };
        let events = cursor.view.head(cursor.ranks.clone(), self.ahead).await?;
        let bytes: usize = events.iter().map(StoredEvent::counted_bytes).sum();
        if self.ahead_bytes + bytes > AHEAD_BYTES_MAX {
            self.cursors.iter_mut().for_each(|cursor| cursor.buffer.clear());
            self.ahead_bytes = 0;
            self.ahead = (self.ahead / 2).max(1);
        }
        self.ahead_bytes += bytes;
        if let Some(cursor) = self.cursors.get_mut(index) {
            cursor.buffer.extend(events);
        }
        Ok(())
    }
}

impl Cursor {
    /// When the next event happened.
    async fn timestamp(&self) -> Result<Option<i64>, Error> {
        match self.buffer.front() {
            Some(event) => Ok(Some(event.place.timestamp)),
            None if self.ranks.is_empty() => Ok(None),
            None => self.view.timestamp(self.ranks.start).await,
        }
    }

    fn describe(&self, event: StoredEvent) -> FilteredLogEvent {
        let Place { timestamp, position } = event.place;
        FilteredLogEvent {
            log_stream_name: self.name.clone(),
            timestamp,
            message: event.message,
            ingestion_time: event.ingested,
            event_id: format!("{timestamp:020}{:020}{position:016}", self.number),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use scones_store::{SqliteStore, Store};

    use super::*;
    use crate::{
        LogEvent,
        journal::{Journal, Late},
    };

    /// Three streams that take turns, each of 66 events of 96 KiB: two events
    /// more than are read at a time.
    #[tokio::test]
    async fn what_is_read_ahead_is_bounded() {
        const STREAMS: i64 = 3;
        const EVENTS: i64 = 66;
        let directory = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> = SqliteStore::open(directory.path()).unwrap();
        let mut merge = Merge::default();
        for number in 0..STREAMS {
            let stream = Stream {
                id: number.to_string(),
                created: 0,
            };
            let journal = Arc::new(Journal::new(Arc::clone(&store), &stream.id));
            let event = |turn| LogEvent {
                timestamp: turn * STREAMS + number,
                message: "x".repeat(96 << 10),
            };
            let events: Vec<_> = (0..EVENTS).map(event).collect();
            journal.append(&events, 0, Late::Keep).await.unwrap().unwrap();
            let (view, end) = (journal.view().await.unwrap(), Place::at(i64::MAX));
            merge
                .add(stream.id.clone(), &stream, view, Place::at(0), end)
                .await
                .unwrap();
        }
        let (mut times, mut most) = (Vec::new(), 0);
        while let Some((_, event)) = merge.next().await.unwrap() {
            times.push(event.place.timestamp);
            let buffered = merge.cursors.iter().flat_map(|cursor| &cursor.buffer);
            most = most.max(buffered.map(StoredEvent::counted_bytes).sum());
        }
        assert!(times.into_iter().eq(0..STREAMS * EVENTS));
        assert!((1..=AHEAD_BYTES_MAX).contains(&most), "{most}");
    }
}
