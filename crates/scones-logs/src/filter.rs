//! `FilterLogEvents`: many streams, merged by time.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use scones_api::{ApiError, PageToken, RequestContext, page_limit};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Logs,
    error::invalid,
    events::{Place, StoredEvent},
    get::Room,
    groups::invalid_token,
    journal::View,
    limits::{FILTER_SCAN_MAX, FILTER_STREAMS_MAX, PAGE_EVENTS_MAX},
    names::group_name,
    pattern::Pattern,
    registry::{Group, Stream},
};

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

/// Streams merged by time, then name, then position.
#[derive(Default)]
struct Merge {
    cursors: Vec<Cursor>,
    /// The next event of each stream that has one. Cursors are in the order
    /// of their names.
    next: BinaryHeap<Reverse<(i64, usize)>>,
}

struct Cursor {
    name: String,
    number: u64,
    view: View,
    ranks: std::ops::Range<u64>,
    buffer: VecDeque<StoredEvent>,
}

impl Merge {
    async fn add(&mut self, name: String, stream: &Stream, view: View, start: Place, end: Place) -> Result<(), Error> {
        let ranks = view.rank(start).await?..view.rank(end).await?;
        self.cursors.push(Cursor {
            name,
            number: stream.number(),
            view,
            ranks,
            buffer: VecDeque::new(),
        });
        self.schedule(self.cursors.len() - 1).await
    }

    async fn next(&mut self) -> Result<Option<(&Cursor, StoredEvent)>, Error> {
        let Some(Reverse((_, index))) = self.next.pop() else {
            return Ok(None);
        };
        let event = self.cursors.get_mut(index).and_then(|cursor| cursor.buffer.pop_front());
        self.schedule(index).await?;
        Ok(self.cursors.get(index).zip(event))
    }

    /// Enters the next event of a stream, which may have to be read.
    async fn schedule(&mut self, index: usize) -> Result<(), Error> {
        let Some(cursor) = self.cursors.get_mut(index) else {
            return Ok(());
        };
        if cursor.buffer.is_empty() {
            cursor.buffer.extend(cursor.view.head(cursor.ranks.clone()).await?);
            cursor.ranks.start += cursor.buffer.len() as u64;
        }
        if let Some(event) = cursor.buffer.front() {
            self.next.push(Reverse((event.place.timestamp, index)));
        }
        Ok(())
    }
}

impl Cursor {
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
