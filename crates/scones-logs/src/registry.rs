//! Which groups and streams there are, and the journals of the streams.
//!
//! Groups and streams have ids that never come back, so what a deletion has
//! not yet removed can never show up under a name that is used again.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use futures::{StreamExt as _, TryStreamExt as _};
use scones_api::ApiError;
use scones_store::{Collection, Error as StoreError, ListQuery, Store, Versioned};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    Error,
    error::{group_exists, no_such_group, no_such_stream, stream_exists},
    journal::{Journal, Summary},
};

/// Streams whose journals are kept open; beyond it all idle ones are let go.
const OPEN_JOURNALS_MAX: usize = 10_000;
/// Streams looked at side by side.
const READS_AT_ONCE: usize = 8;
/// Records read at a time by whoever needs all of them.
pub(crate) const LISTING: usize = 1000;

/// A log group, under its name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) id: String,
    /// In milliseconds since the epoch, as every time here.
    pub(crate) created: i64,
    pub(crate) class: String,
    pub(crate) retention_days: Option<u32>,
    pub(crate) tags: BTreeMap<String, String>,
}

impl Group {
    /// A group without settings.
    pub(crate) fn new(created: i64) -> Self {
        Self {
            id: Uuid::new_v4().to_string(),
            created,
            class: "STANDARD".to_owned(),
            retention_days: None,
            tags: BTreeMap::new(),
        }
    }

    /// The first millisecond whose events are still kept at `now`.
    pub(crate) fn kept_from(&self, now: i64) -> i64 {
        const DAY_MILLIS: i64 = 24 * 3600 * 1000;
        self.retention_days
            .map_or(i64::MIN, |days| now - i64::from(days) * DAY_MILLIS)
    }
}

/// A log stream, under its group's id and its name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stream {
    pub(crate) id: String,
    pub(crate) created: i64,
}

impl Stream {
    /// A number for the stream, the same for as long as it exists.
    pub(crate) fn number(&self) -> u64 {
        Uuid::parse_str(&self.id).map_or(0, |id| id.as_u64_pair().0)
    }
}

/// A stream with its name and what is known about its events.
pub(crate) struct Summarised {
    pub(crate) name: String,
    pub(crate) stream: Stream,
    pub(crate) summary: Option<Summary>,
}

/// A deletion that has begun, under the id of what is deleted.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Deletion {
    Group { name: String },
    Stream { key: String },
}

pub(crate) struct Registry {
    store: Arc<dyn Store>,
    pub(crate) groups: Collection<Group>,
    streams: Collection<Stream>,
    deletions: Collection<Deletion>,
    journals: Mutex<HashMap<String, Arc<Journal>>>,
}

impl Registry {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            groups: Collection::new(Arc::clone(&store), "logs.groups"),
            streams: Collection::new(Arc::clone(&store), "logs.streams"),
            deletions: Collection::new(Arc::clone(&store), "logs.deletions"),
            store,
            journals: Mutex::default(),
        }
    }

    pub(crate) async fn group(&self, name: &str) -> Result<Group, ApiError> {
        let found = self.groups.get(name).await?;
        found.map(|found| found.value).ok_or_else(no_such_group)
    }

    pub(crate) async fn create_group(&self, name: &str, group: &Group) -> Result<(), ApiError> {
        match self.groups.create(name, group).await {
            Err(StoreError::Conflict { .. }) => Err(group_exists()),
            other => other.map(drop).map_err(ApiError::from),
        }
    }

    pub(crate) async fn stream(&self, group: &Group, name: &str) -> Result<Stream, ApiError> {
        let found = self.streams.get(&stream_key(group, name)).await?;
        found.map(|found| found.value).ok_or_else(no_such_stream)
    }

    pub(crate) async fn create_stream(&self, group: &Group, name: &str, now: i64) -> Result<Stream, ApiError> {
        let stream = Stream {
            id: Uuid::new_v4().to_string(),
            created: now,
        };
        match self.streams.create(&stream_key(group, name), &stream).await {
            Ok(_) => Ok(stream),
            Err(StoreError::Conflict { .. }) => Err(stream_exists()),
            Err(error) => Err(error.into()),
        }
    }

    /// Streams of `group` by name: up to `limit` that begin with `prefix`,
    /// beyond the name `after`.
    pub(crate) async fn list_streams(
        &self,
        group: &Group,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        descending: bool,
    ) -> Result<Vec<(String, Stream)>, StoreError> {
        let start = stream_key(group, "").len();
        let query = ListQuery {
            prefix: stream_key(group, prefix),
            after: after.map(|name| stream_key(group, name)),
            limit,
            descending,
        };
        let found = self.streams.list(query).await?;
        Ok(found
            .into_iter()
            .map(|(key, stream)| (key[start..].to_owned(), stream))
            .collect())
    }

    /// Every stream of `group` that begins with `prefix`.
    pub(crate) async fn all_streams(&self, group: &Group, prefix: &str) -> Result<Vec<(String, Stream)>, StoreError> {
        let mut found: Vec<(String, Stream)> = Vec::new();
        loop {
            let after = found.last().map(|(name, _)| name.clone());
            let page = self
                .list_streams(group, prefix, after.as_deref(), LISTING, false)
                .await?;
            let more = page.len() == LISTING;
            found.extend(page);
            if !more {
                return Ok(found);
            }
        }
    }

    /// What is known about each of `streams`, in their order.
    pub(crate) async fn summaries(&self, streams: Vec<(String, Stream)>) -> Result<Vec<Summarised>, Error> {
        let summarise = async |(name, stream): (String, Stream)| {
            let summary = self.journal(&stream).summary().await?;
            Ok(Summarised { name, stream, summary })
        };
        let summaries = futures::stream::iter(streams).map(summarise).buffered(READS_AT_ONCE);
        summaries.try_collect().await
    }

    /// The events of `stream`.
    pub(crate) fn journal(&self, stream: &Stream) -> Arc<Journal> {
        let mut journals = self.journals.lock().unwrap_or_else(PoisonError::into_inner);
        if journals.len() >= OPEN_JOURNALS_MAX {
            journals.retain(|_, journal| Arc::strong_count(journal) > 1);
        }
        let open = || Arc::new(Journal::new(Arc::clone(&self.store), &stream.id));
        Arc::clone(journals.entry(stream.id.clone()).or_insert_with(open))
    }

    pub(crate) async fn delete_group(&self, name: &str) -> Result<(), ApiError> {
        let deletion = Deletion::Group { name: name.to_owned() };
        let group = self.remove(&self.groups, name, |group| &group.id, &deletion).await?;
        let group = group.ok_or_else(no_such_group)?;
        self.finish_group(&group.id).await?;
        Ok(())
    }

    pub(crate) async fn delete_stream(&self, group: &Group, name: &str) -> Result<(), ApiError> {
        let key = stream_key(group, name);
        let deletion = Deletion::Stream { key: key.clone() };
        let stream = self.remove(&self.streams, &key, |stream| &stream.id, &deletion).await?;
        self.finish_stream(&stream.ok_or_else(no_such_stream)?).await?;
        Ok(())
    }

    /// Notes the deletion, then removes the record; whoever removes it is the
    /// one that deletes. What depends on it is to be deleted afterwards.
    async fn remove<T: Serialize + DeserializeOwned>(
        &self,
        records: &Collection<T>,
        key: &str,
        id: fn(&T) -> &str,
        deletion: &Deletion,
    ) -> Result<Option<T>, StoreError> {
        while let Some(Versioned { value, revision }) = records.get(key).await? {
            self.deletions.put(id(&value), deletion).await?;
            match records.delete_at(key, revision).await {
                Ok(()) => return Ok(Some(value)),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Finishes the deletions that had begun when the process ended; those
    /// that had removed nothing yet are forgotten.
    pub(crate) async fn finish_deletions(&self) -> Result<(), Error> {
        for (id, deletion) in self.deletions.all("").await? {
            match deletion {
                Deletion::Group { name } => match self.groups.get(&name).await? {
                    Some(group) if group.value.id == id => drop(self.deletions.delete(&id).await?),
                    _ => self.finish_group(&id).await?,
                },
                Deletion::Stream { key } => match self.streams.get(&key).await? {
                    Some(stream) if stream.value.id == id => drop(self.deletions.delete(&id).await?),
                    _ => self.finish_stream(&Stream { id, created: 0 }).await?,
                },
            }
        }
        Ok(())
    }

    async fn finish_group(&self, id: &str) -> Result<(), Error> {
        for (key, stream) in self.streams.all(&format!("{id}/")).await? {
            self.journal(&stream).delete().await?;
            self.streams.delete(&key).await?;
            self.forget(&stream);
        }
        self.deletions.delete(id).await?;
        Ok(())
    }

    async fn finish_stream(&self, stream: &Stream) -> Result<(), Error> {
        self.journal(stream).delete().await?;
        self.deletions.delete(&stream.id).await?;
        self.forget(stream);
        Ok(())
    }

    fn forget(&self, stream: &Stream) {
        let mut journals = self.journals.lock().unwrap_or_else(PoisonError::into_inner);
        journals.remove(&stream.id);
    }
}

fn stream_key(group: &Group, name: &str) -> String {
    format!("{}/{name}", group.id)
}
