//! Buckets in memory.

use std::{collections::BTreeMap, sync::Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use scones_api::{ApiError, Timestamp};
use scones_states::{ObjectBody, ObjectStore, ObjectSummary};

/// Bytes of one piece of a body: small, so that records lie across pieces.
const PIECE: usize = 7;

/// Objects by bucket and key. A bucket is there when it holds something.
#[derive(Default)]
pub struct Objects(Mutex<BTreeMap<(String, String), Bytes>>);

impl Objects {
    pub fn with(&self, bucket: &str, key: &str, body: impl Into<Bytes>) {
        let name = (bucket.to_owned(), key.to_owned());
        self.0.lock().unwrap().insert(name, body.into());
    }

    /// An object as text.
    pub fn text(&self, bucket: &str, key: &str) -> String {
        let name = (bucket.to_owned(), key.to_owned());
        let objects = self.0.lock().unwrap();
        let body = objects
            .get(&name)
            .unwrap_or_else(|| panic!("no {key} in {:?}", objects.keys().collect::<Vec<_>>()));
        String::from_utf8(body.to_vec()).unwrap()
    }

    fn check(&self, bucket: &str) -> Result<(), ApiError> {
        let there = self.0.lock().unwrap().keys().any(|(name, _)| name == bucket);
        match there {
            true => Ok(()),
            false => Err(ApiError::new(
                404,
                "NoSuchBucket",
                "The specified bucket does not exist",
            )),
        }
    }
}

#[async_trait]
impl ObjectStore for Objects {
    async fn open(&self, bucket: &str, key: &str, offset: u64) -> Result<(u64, ObjectBody), ApiError> {
        self.check(bucket)?;
        let name = (bucket.to_owned(), key.to_owned());
        let body = self.0.lock().unwrap().get(&name).cloned();
        let body = body.ok_or_else(|| ApiError::new(404, "NoSuchKey", "The specified key does not exist."))?;
        let rest = body.slice(usize::try_from(offset).unwrap()..);
        let pieces: Vec<_> = rest.chunks(PIECE).map(Bytes::copy_from_slice).map(Ok).collect();
        Ok((body.len() as u64, stream::iter(pieces).boxed()))
    }

    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectSummary>, ApiError> {
        self.check(bucket)?;
        let objects = self.0.lock().unwrap();
        let found = objects
            .iter()
            .filter(|((name, key), _)| name == bucket && key.starts_with(prefix) && Some(key.as_str()) > after);
        Ok(found
            .take(limit)
            .map(|((_, key), body)| ObjectSummary {
                key: key.clone(),
                size: body.len() as u64,
                etag: "\"etag\"".to_owned(),
                last_modified: Timestamp::from_millis(1_700_000_000_000),
            })
            .collect())
    }

    async fn put(&self, bucket: &str, key: &str, _: &str, body: ObjectBody) -> Result<(), ApiError> {
        self.check(bucket)?;
        let pieces: Vec<Bytes> = body.try_collect().await?;
        self.with(bucket, key, pieces.concat());
        Ok(())
    }
}
