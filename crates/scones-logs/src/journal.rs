//! The events of one stream: a history, and a view of it in the order of time.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use scones_store::{Error as StoreError, Store};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::{
    Error, LogEvent,
    events::{Place, StoredEvent},
};

/// Events read from the store at a time: with messages of the largest size
/// they still fit the memory.
pub(crate) const READ_EVENTS: u64 = 64;

/// An event as the history keeps it. The last one of each append carries the
/// summary of everything up to it, so the history needs no other record.
#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(rename = "t")]
    timestamp: i64,
    #[serde(rename = "i")]
    ingested: i64,
    #[serde(rename = "m")]
    message: String,
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    summary: Option<Summary>,
}

/// What is known about a stream without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    /// The earliest and the latest timestamp.
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) ingested: i64,
    /// Whether the events came in the order of their timestamps.
    in_order: bool,
}

/// What to do with an event that is older than the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    /// Keep its timestamp and sort it in when it is read.
    Keep,
    /// Give it the timestamp of the one before it.
    Raise,
}

/// The stream was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deleted;

/// One stream's events.
pub(crate) struct Journal {
    store: Arc<dyn Store>,
    history: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    loaded: bool,
    deleted: bool,
    summary: Option<Summary>,
    /// Every event's place in the order of time, as far as it was needed; for
    /// streams whose events did not come in order.
    places: Arc<Vec<Place>>,
}

impl Journal {
    pub(crate) fn new(store: Arc<dyn Store>, stream_id: &str) -> Self {
        Self {
            store,
            history: format!("logs/{stream_id}"),
            state: Mutex::default(),
        }
    }

    /// Appends `events` as a whole; `now` is when they were ingested.
    pub(crate) async fn append(&self, events: &[LogEvent], now: i64, late: Late) -> Result<Result<(), Deleted>, Error> {
        let mut state = self.state.lock().await;
        loop {
            self.load(&mut state).await?;
            if state.deleted {
                return Ok(Err(Deleted));
            }
            let Some((entries, summary)) = self.encode(state.summary, events, now, late)? else {
                return Ok(Ok(()));
            };
            let position = state.summary.map_or(0, |summary| summary.events);
            match self.store.append(&self.history, position, entries).await {
                Ok(_) => {
                    state.summary = Some(summary);
                    return Ok(Ok(()));
                }
                Err(StoreError::Fenced { .. }) => state.loaded = false,
                Err(error) => {
                    // It may have happened all the same.
                    state.loaded = false;
                    return Err(error.into());
                }
            }
        }
    }

    /// Deletes the events; later appends find the stream deleted.
    pub(crate) async fn delete(&self) -> Result<(), Error> {
        let mut state = self.state.lock().await;
        self.store.delete_history(&self.history).await?;
        *state = State {
            loaded: true,
            deleted: true,
            ..State::default()
        };
        Ok(())
    }

    pub(crate) async fn summary(&self) -> Result<Option<Summary>, Error> {
        let mut state = self.state.lock().await;
        self.refresh(&mut state).await?;
        Ok(state.summary)
    }

    /// The events that are there now, in the order of time.
    pub(crate) async fn view(self: &Arc<Self>) -> Result<View, Error> {
        let mut state = self.state.lock().await;
        self.refresh(&mut state).await?;
        let length = state.summary.map_or(0, |summary| summary.events);
        let order = match state.summary {
            Some(summary) if !summary.in_order => Order::Sorted(self.sort(&mut state, length).await?),
            _ => Order::AsPut(state.summary),
        };
        Ok(View {
            journal: Arc::clone(self),
            length,
            order,
        })
    }

    /// Notices what another server with the same store appended. An append
    /// needs no such look: it is fenced.
    async fn refresh(&self, state: &mut State) -> Result<(), Error> {
        if state.loaded && !state.deleted {
            let known = state.summary.map_or(0, |summary| summary.events);
            state.loaded = self.store.length(&self.history).await? == known;
        }
        self.load(state).await
    }

    async fn load(&self, state: &mut State) -> Result<(), Error> {
        if state.loaded {
            return Ok(());
        }
        let length = self.store.length(&self.history).await?;
        state.summary = match length.checked_sub(1) {
            None => None,
            Some(last) => self.read(last, 1).await?.pop().and_then(|entry| entry.summary),
        };
        state.loaded = true;
        Ok(())
    }

    async fn sort(&self, state: &mut State, length: u64) -> Result<Arc<Vec<Place>>, Error> {
        let mut position = state.places.len() as u64;
        if position < length {
            let places = Arc::make_mut(&mut state.places);
            while position < length {
                for entry in self.read(position, READ_EVENTS.min(length - position)).await? {
                    places.push(Place {
                        timestamp: entry.timestamp,
                        position,
                    });
                    position += 1;
                }
            }
            places.sort();
        }
        Ok(Arc::clone(&state.places))
    }

    async fn read(&self, from: u64, count: u64) -> Result<Vec<Entry>, Error> {
        let limit = usize::try_from(count).unwrap_or(usize::MAX);
        let entries = self.store.read(&self.history, from, limit).await?;
        let decode = |(position, entry): (u64, Bytes)| {
            serde_json::from_slice(&entry).map_err(|source| Error::Malformed {
                history: self.history.clone(),
                position,
                source,
            })
        };
        (from..).zip(entries).map(decode).collect()
    }

    fn encode(
        &self,
        before: Option<Summary>,
        events: &[LogEvent],
        now: i64,
        late: Late,
    ) -> Result<Option<(Vec<Bytes>, Summary)>, Error> {
        let mut entries = Vec::with_capacity(events.len());
        let mut summary = before;
        for (index, event) in events.iter().enumerate() {
            let timestamp = match (late, summary) {
                (Late::Raise, Some(summary)) => event.timestamp.max(summary.last),
                _ => event.timestamp,
            };
            let so_far = Summary::with(summary, timestamp, event, now);
            summary = Some(so_far);
            let entry = Entry {
                timestamp,
                ingested: now,
                message: event.message.clone(),
                summary: (index + 1 == events.len()).then_some(so_far),
            };
            let entry = serde_json::to_vec(&entry).map_err(|source| Error::Malformed {
                history: self.history.clone(),
                position: so_far.events - 1,
                source,
            })?;
            entries.push(Bytes::from(entry));
        }
        Ok(summary
            .filter(|_| !entries.is_empty())
            .map(|summary| (entries, summary)))
    }
}

impl Summary {
    fn with(before: Option<Self>, timestamp: i64, event: &LogEvent, now: i64) -> Self {
        let before = before.unwrap_or(Self {
            events: 0,
            bytes: 0,
            first: timestamp,
            last: timestamp,
            ingested: now,
            in_order: true,
        });
        Self {
            events: before.events + 1,
            bytes: before.bytes + event.counted_bytes() as u64,
            first: before.first.min(timestamp),
            last: before.last.max(timestamp),
            ingested: now,
            in_order: before.in_order && timestamp >= before.last,
        }
    }
}

/// A stream's events at one moment, numbered in the order of time by rank.
#[derive(Clone)]
pub(crate) struct View {
    journal: Arc<Journal>,
    length: u64,
    order: Order,
}

#[derive(Clone)]
enum Order {
    /// Rank and position are the same.
    AsPut(Option<Summary>),
    Sorted(Arc<Vec<Place>>),
}

impl View {
    /// How many events there are.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// How many events lie before `place`.
    pub(crate) async fn rank(&self, place: Place) -> Result<u64, Error> {
        let summary = match &self.order {
            Order::Sorted(places) => return Ok(places.partition_point(|other| *other < place) as u64),
            Order::AsPut(None) => return Ok(0),
            Order::AsPut(Some(summary)) => summary,
        };
        if place.timestamp < summary.first {
            return Ok(0);
        }
        if place.timestamp > summary.last {
            return Ok(self.length);
        }
        let (mut low, mut high) = (0, self.length);
        while low < high {
            let position = low + (high - low) / 2;
            match self.timestamp(position).await? {
                Some(timestamp) if Place { timestamp, position } < place => low = position + 1,
                _ => high = position,
            }
        }
        Ok(low)
    }

    /// When the event at `rank` happened, if there is one.
    pub(crate) async fn timestamp(&self, rank: u64) -> Result<Option<i64>, Error> {
        if let Order::Sorted(places) = &self.order {
            let index = usize::try_from(rank).unwrap_or(usize::MAX);
            return Ok(places.get(index).map(|place| place.timestamp));
        }
        if rank >= self.length {
            return Ok(None);
        }
        let entries = self.journal.read(rank, 1).await?;
        Ok(entries.first().map(|entry| entry.timestamp))
    }

    /// The first events of `ranks`, in order: at most `limit` and at most
    /// [`READ_EVENTS`], and at least one if there is any.
    pub(crate) async fn head(&self, ranks: Range<u64>, limit: u64) -> Result<Vec<StoredEvent>, Error> {
        let count = limit.min(READ_EVENTS);
        let end = ranks.end.min(self.length).min(ranks.start.saturating_add(count));
        self.read(ranks.start..end).await
    }

    /// The last events of `ranks`, in order: at most [`READ_EVENTS`], and at
    /// least one if there is any.
    pub(crate) async fn tail(&self, ranks: Range<u64>) -> Result<Vec<StoredEvent>, Error> {
        let end = ranks.end.min(self.length);
        self.read(ranks.start.max(end.saturating_sub(READ_EVENTS))..end).await
    }

    async fn read(&self, ranks: Range<u64>) -> Result<Vec<StoredEvent>, Error> {
        let mut events = Vec::new();
        let mut rank = ranks.start;
        while rank < ranks.end {
            let run = self.run(rank, ranks.end);
            let count = run.end - run.start;
            let entries = self.journal.read(run.start, count).await?;
            if entries.is_empty() {
                break; // The stream is being deleted.
            }
            events.extend(run.zip(entries).map(|(position, entry)| StoredEvent {
                place: Place {
                    timestamp: entry.timestamp,
                    position,
                },
                ingested: entry.ingested,
                message: entry.message,
            }));
            rank += count;
        }
        Ok(events)
    }

    /// The positions from `rank` on that follow one another, before rank `end`.
    fn run(&self, rank: u64, end: u64) -> Range<u64> {
        let Order::Sorted(places) = &self.order else {
            return rank..end;
        };
        let index = |rank: u64| usize::try_from(rank).unwrap_or(usize::MAX);
        let places = places.get(index(rank)..index(end)).unwrap_or_default();
        let start = places.first().map_or(0, |place| place.position);
        let length = (start..)
            .zip(places)
            .take_while(|(position, place)| *position == place.position)
            .count();
        start..start + length as u64
    }
}
