//! `GetLogEvents`: one stream, page by page, in both directions.

use std::ops::Range;

use scones_api::{ApiError, RequestContext, page_limit};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Logs,
    error::invalid,
    events::{Place, StoredEvent},
    journal::{READ_EVENTS, View},
    limits::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX},
    names::group_name,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GetLogEvents {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_name: String,
    start_time: Option<i64>,
    end_time: Option<i64>,
    next_token: Option<String>,
    limit: Option<i64>,
    #[serde(default)]
    start_from_head: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GotLogEvents {
    events: Vec<OutputLogEvent>,
    next_forward_token: String,
    next_backward_token: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutputLogEvent {
    timestamp: i64,
    message: String,
    ingestion_time: i64,
}

impl Logs {
    pub(crate) async fn get_log_events(
        &self,
        input: GetLogEvents,
        _: &RequestContext,
    ) -> Result<GotLogEvents, ApiError> {
        let token = input.next_token.as_deref().map(Token::parse).transpose()?;
        let limit = page_limit(input.limit, PAGE_EVENTS_MAX, PAGE_EVENTS_MAX);
        let name = group_name(input.log_group_name, input.log_group_identifier)?;
        let group = self.registry.group(&name).await?;
        let stream = self.registry.stream(&group, &input.log_stream_name).await?;
        let view = self.registry.journal(&stream).view().await?;

        let kept_from = group.kept_from(self.clock.now().as_millis());
        let start = Place::at(input.start_time.unwrap_or(0).max(kept_from).max(0));
        let end = Place::at(input.end_time.unwrap_or(i64::MAX));
        let ranks = view.rank(start).await?..view.rank(end).await?;
        let events = match token {
            None if input.start_from_head => first(&view, ranks, limit).await?,
            None => last(&view, ranks, limit).await?,
            Some(Token::Forward(place)) => {
                let from = view.rank(place).await?.max(ranks.start);
                first(&view, from..ranks.end, limit).await?
            }
            Some(Token::Backward(place)) => {
                let to = view.rank(place).await?.min(ranks.end);
                last(&view, ranks.start..to, limit).await?
            }
        };
        // On a page without events both tokens stay where they were, which
        // tells clients that they have reached the end.
        let here = match token {
            Some(Token::Forward(place) | Token::Backward(place)) => place,
            None => start,
        };
        let forward = events.last().map_or(here, |event| event.place.next());
        let backward = events.first().map_or(here, |event| event.place);
        Ok(GotLogEvents {
            next_forward_token: Token::Forward(forward).to_string(),
            next_backward_token: Token::Backward(backward).to_string(),
            events: events.into_iter().map(OutputLogEvent::from).collect(),
        })
    }
}

impl From<StoredEvent> for OutputLogEvent {
    fn from(event: StoredEvent) -> Self {
        Self {
            timestamp: event.place.timestamp,
            message: event.message,
            ingestion_time: event.ingested,
        }
    }
}

/// The first events of `ranks` that fit a page.
async fn first(view: &View, mut ranks: Range<u64>, limit: usize) -> Result<Vec<StoredEvent>, Error> {
    let mut page = Room::new(limit);
    let mut events = Vec::new();
    loop {
        let chunk = view.head(ranks.clone(), READ_EVENTS).await?;
        if chunk.is_empty() {
            return Ok(events);
        }
        ranks.start += chunk.len() as u64;
        for event in chunk {
            if !page.takes(&event) {
                return Ok(events);
            }
            events.push(event);
        }
    }
}

/// The last events of `ranks` that fit a page, in order.
async fn last(view: &View, mut ranks: Range<u64>, limit: usize) -> Result<Vec<StoredEvent>, Error> {
    let mut page = Room::new(limit);
    let mut events = Vec::new();
    'pages: loop {
        let chunk = view.tail(ranks.clone()).await?;
        if chunk.is_empty() {
            break;
        }
        ranks.end = ranks.end.min(view.length()) - chunk.len() as u64;
        for event in chunk.into_iter().rev() {
            if !page.takes(&event) {
                break 'pages;
            }
            events.push(event);
        }
    }
    events.reverse();
    Ok(events)
}

/// What a page can still take. It always takes one event.
pub(crate) struct Room {
    events: usize,
    bytes: usize,
    empty: bool,
}

impl Room {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            events: limit,
            bytes: PAGE_BYTES_MAX,
            empty: true,
        }
    }

    pub(crate) fn takes(&mut self, event: &StoredEvent) -> bool {
        let bytes = event.counted_bytes();
        if self.events == 0 || (bytes > self.bytes && !self.empty) {
            return false;
        }
        self.events -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        self.empty = false;
        true
    }
}

/// Where to go on, and which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Forward(Place),
    Backward(Place),
}

impl Token {
    fn parse(text: &str) -> Result<Self, ApiError> {
        let parse = || {
            let (direction, rest) = text.split_once('/')?;
            let (timestamp, position) = rest.strip_suffix("/s")?.split_once('-')?;
            let place = Place {
                timestamp: timestamp.parse().ok()?,
                position: position.parse().ok()?,
            };
            match direction {
                "f" => Some(Self::Forward(place)),
                "b" => Some(Self::Backward(place)),
                _ => None,
            }
        };
        parse().ok_or_else(|| invalid("The specified nextToken is invalid."))
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (direction, place) = match self {
            Self::Forward(place) => ("f", place),
            Self::Backward(place) => ("b", place),
        };
        write!(
            formatter,
            "{direction}/{:020}-{:020}/s",
            place.timestamp, place.position
        )
    }
}
