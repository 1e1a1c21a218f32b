//! Buckets.

use scones_api::{ApiError, Region};
use scones_store::{Error as StoreError, ListQuery, Versioned};

use crate::{
    S3,
    error::no_such_bucket,
    limits::BUCKETS_MAX,
    names,
    records::{BucketRecord, BucketState, OBJECTS, UPLOADS, split_upload_key},
};

/// The region in which AWS makes a bucket again without complaint.
const LENIENT_REGION: &str = "us-east-1";

impl S3 {
    /// Makes a bucket in the region of the client's `LocationConstraint`.
    ///
    /// # Errors
    /// `InvalidBucketName`, `InvalidLocationConstraint`, `TooManyBuckets`,
    /// `BucketAlreadyOwnedByYou`.
    pub(crate) async fn create_bucket(&self, bucket: &str, location: Option<&str>) -> Result<(), ApiError> {
        names::check_bucket(bucket)?;
        let region = match location {
            None | Some("") => self.owner.region.to_string(),
            Some("EU") => "eu-west-1".to_owned(),
            Some(name) if name != LENIENT_REGION && Region::try_from(name.to_owned()).is_ok() => name.to_owned(),
            Some(name) => {
                let message = format!("The specified location-constraint is not valid: {name}");
                return Err(ApiError::bad_request("InvalidLocationConstraint", message));
            }
        };
        if self.count_buckets().await? >= BUCKETS_MAX && !self.bucket_exists(bucket).await? {
            let message = format!("You have attempted to create more buckets than allowed: {BUCKETS_MAX}");
            return Err(ApiError::bad_request("TooManyBuckets", message));
        }
        let record = BucketRecord {
            created: self.clock.now(),
            region,
            state: BucketState::Live,
            versioning_suspended: false,
        };
        match self.buckets.create(bucket, &record).await {
            Ok(_) => Ok(()),
            Err(StoreError::Conflict { .. }) if self.owner.region.as_str() == LENIENT_REGION => Ok(()),
            Err(StoreError::Conflict { .. }) => Err(ApiError::new(
                409,
                "BucketAlreadyOwnedByYou",
                "Your previous request to create the named bucket succeeded and you already own it.",
            )),
            Err(error) => Err(error.into()),
        }
    }

    async fn count_buckets(&self) -> Result<usize, ApiError> {
        let query = ListQuery {
            limit: BUCKETS_MAX,
            ..ListQuery::default()
        };
        Ok(self.buckets.list(query).await?.len())
    }

    /// Whether a bucket exists.
    pub(crate) async fn bucket_exists(&self, bucket: &str) -> Result<bool, ApiError> {
        Ok(self.buckets.get(bucket).await?.is_some())
    }

    /// A bucket's record.
    ///
    /// # Errors
    /// `NoSuchBucket`.
    pub(crate) async fn bucket(&self, bucket: &str) -> Result<BucketRecord, ApiError> {
        match self.buckets.get(bucket).await? {
            Some(found) => Ok(found.value),
            None => Err(no_such_bucket()),
        }
    }

    /// Remembers that versioning is suspended. A deletion that has begun finds
    /// that the bucket has changed.
    ///
    /// # Errors
    /// `NoSuchBucket`.
    pub(crate) async fn suspend_versioning(&self, bucket: &str) -> Result<(), ApiError> {
        let suspend = |record: &mut BucketRecord| -> Result<(), StoreError> {
            record.versioning_suspended = true;
            record.state = BucketState::Live;
            Ok(())
        };
        let found = self.buckets.update(bucket, suspend).await?;
        found.map(drop).ok_or_else(no_such_bucket)
    }

    /// Up to `limit` buckets after `after`, in the order of their names.
    pub(crate) async fn list_buckets(
        &self,
        prefix: &str,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<(String, BucketRecord)>, ApiError> {
        let query = ListQuery {
            prefix: prefix.to_owned(),
            after,
            limit,
            descending: false,
        };
        Ok(self.buckets.list(query).await?)
    }

    /// Deletes an empty bucket, and its unfinished uploads.
    ///
    /// # Errors
    /// `NoSuchBucket`, `BucketNotEmpty`.
    pub async fn delete_bucket(&self, bucket: &str) -> Result<(), ApiError> {
        let (this, bucket) = (self.clone(), bucket.to_owned());
        self.uninterrupted(async move { this.delete_bucket_steps(&bucket).await })
            .await
    }

    async fn delete_bucket_steps(&self, bucket: &str) -> Result<(), ApiError> {
        let marked = loop {
            let Some(found) = self.buckets.get(bucket).await? else {
                return Err(no_such_bucket());
            };
            let record = BucketRecord {
                state: BucketState::Deleting,
                ..found.value
            };
            match self.buckets.replace(bucket, &record, found.revision).await {
                Ok(revision) => {
                    break Versioned {
                        value: record,
                        revision,
                    };
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        };
        self.finish_deletion(bucket, marked).await
    }

    /// Decides on a bucket that is marked for deletion: deletes it if it is
    /// empty, makes it live again if not.
    pub(crate) async fn finish_deletion(&self, bucket: &str, marked: Versioned<BucketRecord>) -> Result<(), ApiError> {
        let not_empty = || ApiError::new(409, "BucketNotEmpty", "The bucket you tried to delete is not empty");
        let query = ListQuery {
            prefix: format!("{bucket}/"),
            limit: 1,
            ..ListQuery::default()
        };
        if !self.store.list(OBJECTS, query).await?.is_empty() {
            let live = BucketRecord {
                state: BucketState::Live,
                ..marked.value
            };
            // A conflict means that a writer has already made it live.
            match self.buckets.replace(bucket, &live, marked.revision).await {
                Ok(_) | Err(StoreError::Conflict { .. }) => return Err(not_empty()),
                Err(error) => return Err(error.into()),
            }
        }
        let expected = scones_store::Expected::At(marked.revision);
        match self.store.delete(crate::records::BUCKETS, bucket, expected).await {
            Ok(()) => self.abort_uploads(bucket).await,
            Err(StoreError::Conflict { .. }) => Err(not_empty()),
            Err(error) => Err(error.into()),
        }
    }

    async fn abort_uploads(&self, bucket: &str) -> Result<(), ApiError> {
        let query = ListQuery {
            prefix: format!("{bucket}/"),
            limit: usize::MAX,
            ..ListQuery::default()
        };
        for (name, _) in self.store.list(UPLOADS, query).await? {
            if let Some((bucket, key, upload)) = split_upload_key(&name) {
                match self.abort_upload(bucket, key, upload).await {
                    Err(error) if error.code != "NoSuchUpload" => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Makes sure, after an object was written, that its bucket is still
    /// there and stays: whoever is deleting it finds that it has changed.
    ///
    /// # Errors
    /// `NoSuchBucket` if the bucket went first.
    pub(crate) async fn confirm_bucket(&self, bucket: &str) -> Result<(), ApiError> {
        loop {
            let Some(found) = self.buckets.get(bucket).await? else {
                return Err(no_such_bucket());
            };
            if found.value.state == BucketState::Live {
                return Ok(());
            }
            let live = BucketRecord {
                state: BucketState::Live,
                ..found.value
            };
            match self.buckets.replace(bucket, &live, found.revision).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
