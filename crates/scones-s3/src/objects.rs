//! Objects: put, get, head, copy, delete.

use std::{io, ops::Range};

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _, stream};
use scones_api::{ApiError, Timestamp};
use scones_store::{BlobReader, Error as StoreError, Expected};

use crate::{
    S3,
    body::{Draft, ObjectBody, Stored, open_pieces, read_stream},
    checksum::{Algorithm, Checksum, Kind},
    conditions::{Tag, WriteCondition},
    error::{invalid_request, no_such_key},
    limits::PUT_BYTES_MAX,
    names,
    records::{Headers, OBJECTS, ObjectRecord, Piece, object_key},
};

/// What a listing says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSummary {
    /// The key.
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    /// When it was put.
    pub last_modified: Timestamp,
}

impl S3 {
    /// Puts an object; gives its ETag, without quotes.
    ///
    /// # Errors
    /// `NoSuchBucket`, `KeyTooLongError`.
    pub async fn put_object(
        &self,
        bucket: &str,
        key: &str,
        content_type: Option<&str>,
        body: Bytes,
    ) -> Result<String, ApiError> {
        self.put_stream(bucket, key, content_type, stream::iter([Ok(body)]))
            .await
    }

    /// Puts an object of unknown length, at most 5 GiB; gives its ETag,
    /// without quotes. If the stream fails, nothing is stored.
    ///
    /// # Errors
    /// `NoSuchBucket`, `KeyTooLongError`, `EntityTooLarge`, `IncompleteBody`.
    pub async fn put_stream(
        &self,
        bucket: &str,
        key: &str,
        content_type: Option<&str>,
        body: impl Stream<Item = io::Result<Bytes>> + Send,
    ) -> Result<String, ApiError> {
        self.check_target(bucket, key).await?;
        let body = body.map_err(|error| {
            tracing::warn!(bucket, key, %error, "the body of an object could not be read");
            crate::error::incomplete_body()
        });
        let draft = Draft::receive(&self.store, Algorithm::Crc64Nvme, None, PUT_BYTES_MAX, body).await?;
        let headers = Headers {
            content_type: content_type.map(str::to_owned),
            ..Headers::default()
        };
        let record = self
            .keep_object(bucket, key, headers, Algorithm::Crc64Nvme, draft, WriteCondition::None)
            .await?;
        Ok(record.etag)
    }

    /// Opens an object.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchKey`.
    pub async fn get_object(&self, bucket: &str, key: &str) -> Result<ObjectBody, ApiError> {
        self.get_object_from(bucket, key, 0).await
    }

    /// Opens an object from the byte `offset` on; its size is the whole one's.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchKey`.
    pub async fn get_object_from(&self, bucket: &str, key: &str, offset: u64) -> Result<ObjectBody, ApiError> {
        let (record, reader) = self
            .open_object(bucket, key, |record| Ok(offset.min(record.size)..record.size))
            .await?;
        Ok(ObjectBody {
            size: record.size,
            etag: record.etag,
            content_type: record.headers.content_type,
            last_modified: record.modified,
            reader,
        })
    }

    /// An object's bytes, at most `limit_bytes`.
    ///
    /// # Errors
    /// `NoSuchBucket`, `NoSuchKey`, `EntityTooLarge`.
    pub async fn read_object(&self, bucket: &str, key: &str, limit_bytes: u64) -> Result<Bytes, ApiError> {
        self.get_object(bucket, key).await?.read(limit_bytes).await
    }

    /// An object's record.
    pub(crate) async fn object(&self, bucket: &str, key: &str) -> Result<ObjectRecord, ApiError> {
        match self.objects.get(&object_key(bucket, key)).await? {
            Some(found) => Ok(found.value),
            None => {
                self.bucket(bucket).await?;
                Err(no_such_key())
            }
        }
    }

    /// An object's record, and a reader of the range that `choose` wants of
    /// it. Tries again if the object is replaced just then.
    pub(crate) async fn open_object(
        &self,
        bucket: &str,
        key: &str,
        choose: impl Fn(&ObjectRecord) -> Result<Range<u64>, ApiError> + Send,
    ) -> Result<(ObjectRecord, BlobReader), ApiError> {
        const TRIES: usize = 100;
        for _ in 0..TRIES {
            let record = self.object(bucket, key).await?;
            let range = choose(&record)?;
            match open_pieces(&self.store, &record.pieces, range).await {
                Ok(reader) => return Ok((record, reader)),
                Err(StoreError::NoSuchBlob(_)) if self.object(bucket, key).await? != record => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ApiError::new(
            503,
            "SlowDown",
            "The object is replaced too often. Please try again.",
        ))
    }

    /// Checks, before a body is received, that an object could go there.
    pub(crate) async fn check_target(&self, bucket: &str, key: &str) -> Result<(), ApiError> {
        names::check_key(key)?;
        self.bucket(bucket).await.map(|_| ())
    }

    /// Makes a received body an object.
    pub(crate) async fn keep_object(
        &self,
        bucket: &str,
        key: &str,
        headers: Headers,
        algorithm: Algorithm,
        draft: Draft,
        condition: WriteCondition,
    ) -> Result<ObjectRecord, ApiError> {
        let (this, bucket, key) = (self.clone(), bucket.to_owned(), key.to_owned());
        self.uninterrupted(async move {
            let Stored {
                blob,
                size,
                md5,
                checksum,
            } = draft.keep().await?;
            let record = ObjectRecord {
                size,
                etag: md5,
                modified: this.clock.now(),
                checksum: Checksum {
                    algorithm,
                    value: checksum,
                    kind: Kind::FullObject,
                },
                headers,
                upload: None,
                pieces: vec![Piece { blob, size, part: None }],
            };
            if let Err(error) = this.commit(&bucket, &key, &record, &condition).await {
                this.discard(record.pieces.into_iter().map(|piece| piece.blob)).await;
                return Err(error);
            }
            Ok(record)
        })
        .await
    }

    /// Writes an object's record over whatever is there, and deletes what that
    /// owned. If it fails, the blobs of `record` have no owner.
    pub(crate) async fn commit(
        &self,
        bucket: &str,
        key: &str,
        record: &ObjectRecord,
        condition: &WriteCondition,
    ) -> Result<(), ApiError> {
        let name = object_key(bucket, key);
        let (replaced, revision) = loop {
            let current = self.objects.get(&name).await?;
            condition.check(current.as_ref().map(|found| &found.value))?;
            let written = match &current {
                Some(found) => self.objects.replace(&name, record, found.revision).await,
                None => self.objects.create(&name, record).await,
            };
            match written {
                Ok(revision) => break (current, revision),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        };
        if let Err(error) = self.confirm_bucket(bucket).await {
            let undone = self.store.delete(OBJECTS, &name, Expected::At(revision)).await;
            return match undone {
                // Somebody has replaced the object since, in a new bucket.
                Ok(()) | Err(StoreError::Conflict { .. }) => Err(error),
                Err(failure) => Err(failure.into()),
            };
        }
        if let Some(old) = replaced {
            self.discard(old.value.pieces.into_iter().map(|piece| piece.blob)).await;
        }
        Ok(())
    }

    /// Deletes an object, if it is there and, when a tag is given, is that.
    pub(crate) async fn remove_object(&self, bucket: &str, key: &str, tag: Option<Tag>) -> Result<(), ApiError> {
        self.bucket(bucket).await?;
        let (this, name) = (self.clone(), object_key(bucket, key));
        self.uninterrupted(async move {
            let condition = tag.map_or(WriteCondition::None, WriteCondition::Matches);
            loop {
                let Some(found) = this.objects.get(&name).await? else {
                    return condition.check(None);
                };
                condition.check(Some(&found.value))?;
                let expected = Expected::At(found.revision);
                match this.store.delete(OBJECTS, &name, expected).await {
                    Ok(()) => {
                        this.discard(found.value.pieces.into_iter().map(|piece| piece.blob))
                            .await;
                        return Ok(());
                    }
                    Err(StoreError::Conflict { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        })
        .await
    }

    /// Receives the bytes `range` of an object again, for a copy.
    pub(crate) async fn draft_copy(
        &self,
        reader: BlobReader,
        range: Range<u64>,
        algorithm: Algorithm,
    ) -> Result<Draft, ApiError> {
        let size = range.end - range.start;
        if size > PUT_BYTES_MAX {
            return Err(invalid_request(format!(
                "The specified copy source is larger than the maximum allowable size for a copy source: {PUT_BYTES_MAX}"
            )));
        }
        let body = read_stream(reader).map_err(ApiError::internal);
        let draft = Draft::receive(&self.store, algorithm, None, PUT_BYTES_MAX, body).await?;
        if draft.size != size {
            return Err(ApiError::internal("the source of the copy went away"));
        }
        Ok(draft)
    }
}
