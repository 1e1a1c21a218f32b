//! Records as values of one type.

use std::{marker::PhantomData, sync::Arc};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Expected, ListQuery, Record, Revision, Store};

/// A value with the revision that it was read at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The value.
    pub value: T,
    /// Its revision.
    pub revision: Revision,
}

/// A table whose records are the JSON of one type. Cheap to clone.
pub struct Collection<T> {
    store: Arc<dyn Store>,
    table: &'static str,
    values: PhantomData<fn() -> T>,
}

impl<T> Clone for Collection<T> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            table: self.table,
            values: PhantomData,
        }
    }
}

impl<T: Serialize + DeserializeOwned> Collection<T> {
    /// The table `table` of `store`. Tables are named `service.nouns`.
    pub fn new(store: Arc<dyn Store>, table: &'static str) -> Self {
        Self {
            store,
            table,
            values: PhantomData,
        }
    }

    /// The value under `key`.
    pub async fn get(&self, key: &str) -> Result<Option<Versioned<T>>, Error> {
        self.store
            .get(self.table, key)
            .await?
            .map(|record| self.decode(key, &record))
            .transpose()
    }

    /// Writes `value` if nothing is under `key`.
    ///
    /// # Errors
    /// [`Error::Conflict`] if something is.
    pub async fn create(&self, key: &str, value: &T) -> Result<Revision, Error> {
        self.write(key, value, Expected::Absent).await
    }

    /// Writes `value`, whatever was there.
    pub async fn put(&self, key: &str, value: &T) -> Result<Revision, Error> {
        self.write(key, value, Expected::Anything).await
    }

    /// Writes `value` over the value that was read at `revision`.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it has changed since.
    pub async fn replace(&self, key: &str, value: &T, revision: Revision) -> Result<Revision, Error> {
        self.write(key, value, Expected::At(revision)).await
    }

    /// Reads, changes and writes back the value under `key`, again if another
    /// writer came between. `None` if nothing is under `key`. A `change` that
    /// fails writes nothing.
    pub async fn update<E: From<Error>>(
        &self,
        key: &str,
        mut change: impl FnMut(&mut T) -> Result<(), E> + Send,
    ) -> Result<Option<T>, E> {
        while let Some(Versioned { mut value, revision }) = self.get(key).await? {
            change(&mut value)?;
            match self.replace(key, &value, revision).await {
                Ok(_) => return Ok(Some(value)),
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// Deletes the value that was read at `revision`.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it has changed since.
    pub async fn delete_at(&self, key: &str, revision: Revision) -> Result<(), Error> {
        self.store.delete(self.table, key, Expected::At(revision)).await
    }

    /// Deletes the value under `key`; whether there was one.
    pub async fn delete(&self, key: &str) -> Result<bool, Error> {
        while let Some(record) = self.store.get(self.table, key).await? {
            match self.store.delete(self.table, key, Expected::At(record.revision)).await {
                Ok(()) => return Ok(true),
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Values in the order of their keys.
    pub async fn list(&self, query: ListQuery) -> Result<Vec<(String, T)>, Error> {
        let records = self.store.list(self.table, query).await?;
        records
            .into_iter()
            .map(|(key, record)| self.decode(&key, &record).map(|read| (key, read.value)))
            .collect()
    }

    /// Every value whose key begins with `prefix`. For tables whose size the
    /// user sets by hand; page through others with [`list`](Self::list).
    pub async fn all(&self, prefix: &str) -> Result<Vec<(String, T)>, Error> {
        const PAGE: usize = 1000;
        let mut found: Vec<(String, T)> = Vec::new();
        loop {
            let after = found.last().map(|(key, _)| key.clone());
            let query = ListQuery {
                prefix: prefix.to_owned(),
                after,
                limit: PAGE,
                descending: false,
            };
            let page = self.list(query).await?;
            let last = page.len() < PAGE;
            found.extend(page);
            if last {
                return Ok(found);
            }
        }
    }

    async fn write(&self, key: &str, value: &T, expected: Expected) -> Result<Revision, Error> {
        let json = serde_json::to_vec(value).map_err(|source| self.malformed(key, source))?;
        self.store.put(self.table, key, Bytes::from(json), expected).await
    }

    fn decode(&self, key: &str, record: &Record) -> Result<Versioned<T>, Error> {
        let value = serde_json::from_slice(&record.value).map_err(|source| self.malformed(key, source))?;
        Ok(Versioned {
            value,
            revision: record.revision,
        })
    }

    fn malformed(&self, key: &str, source: serde_json::Error) -> Error {
        Error::Malformed {
            table: self.table.to_owned(),
            key: key.to_owned(),
            source,
        }
    }
}
