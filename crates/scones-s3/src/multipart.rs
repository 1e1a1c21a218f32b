//! Multipart uploads. A completed object owns the blobs of its parts; nothing
//! is copied.

use std::collections::HashSet;

use s3s::crypto::{Checksum as _, Md5};
use scones_api::ApiError;
use scones_store::{BlobId, Error as StoreError, Expected, ListQuery, Versioned};
use uuid::Uuid;

use crate::{
    S3,
    body::{Draft, Stored},
    checksum::{self, Algorithm, Kind},
    conditions::WriteCondition,
    error::{bad_digest, invalid_argument, invalid_request, no_such_upload},
    limits::{PART_BYTES_MIN, PART_NUMBER_MAX},
    records::{
        Headers, ObjectRecord, PARTS, PartRecord, Piece, UPLOADS, UploadRecord, UploadState, part_key, split_part_key,
        split_upload_key, upload_key,
    },
};

/// A part as the client names it when it completes an upload.
#[derive(Debug, Clone, Default)]
pub(crate) struct NamedPart {
    pub(crate) number: u32,
    pub(crate) etag: String,
    pub(crate) checksum: Option<(Algorithm, String)>,
}

/// What the client says when it completes an upload.
#[derive(Debug, Clone, Default)]
pub(crate) struct Completion {
    pub(crate) parts: Vec<NamedPart>,
    /// Of the whole object.
    pub(crate) checksum: Option<(Algorithm, String)>,
    pub(crate) kind: Option<Kind>,
    /// The object's size in bytes.
    pub(crate) size: Option<u64>,
    pub(crate) condition: WriteCondition,
}

impl S3 {
    /// Begins an upload; gives its id. Ids ascend with time, so that listings
    /// have the oldest upload of a key first.
    pub(crate) async fn begin_upload(
        &self,
        bucket: &str,
        key: &str,
        headers: Headers,
        algorithm: Option<Algorithm>,
        kind: Option<Kind>,
    ) -> Result<(String, UploadRecord), ApiError> {
        self.check_target(bucket, key).await?;
        let chosen = algorithm.unwrap_or(Algorithm::Crc64Nvme);
        let kind = kind.unwrap_or(chosen.default_kind());
        if !chosen.allows(kind) {
            return Err(invalid_request(format!(
                "The {} checksum type cannot be used with the {} checksum algorithm.",
                kind.name(),
                chosen.name().to_ascii_lowercase()
            )));
        }
        let record = UploadRecord {
            initiated: self.clock.now(),
            headers,
            algorithm: chosen,
            kind,
            algorithm_chosen: algorithm.is_some(),
            state: UploadState::Open,
        };
        let id = format!("{:012x}{}", record.initiated.as_millis(), Uuid::new_v4().simple());
        self.uploads.create(&upload_key(bucket, key, &id), &record).await?;
        Ok((id, record))
    }

    /// An upload that is open.
    ///
    /// # Errors
    /// `NoSuchUpload`, `NoSuchBucket`.
    pub(crate) async fn upload(&self, bucket: &str, key: &str, upload: &str) -> Result<UploadRecord, ApiError> {
        match self.uploads.get(&upload_key(bucket, key, upload)).await? {
            Some(found) if found.value.state == UploadState::Open => Ok(found.value),
            _ => {
                self.bucket(bucket).await?;
                Err(no_such_upload())
            }
        }
    }

    /// Makes a received body a part, replacing one of the same number.
    pub(crate) async fn keep_part(
        &self,
        bucket: &str,
        key: &str,
        upload: &str,
        number: u32,
        draft: Draft,
    ) -> Result<PartRecord, ApiError> {
        let (this, name) = (self.clone(), part_key(upload, number));
        let upload = upload_key(bucket, key, upload);
        self.uninterrupted(async move {
            let Stored {
                blob,
                size,
                md5,
                checksum,
            } = draft.keep().await?;
            let part = PartRecord {
                size,
                etag: md5,
                checksum,
                modified: this.clock.now(),
                blob,
            };
            let replaced = this.replace_part(&name, &part).await?;
            match this.uploads.get(&upload).await? {
                Some(found) if found.value.state == UploadState::Open => {
                    this.discard(replaced.map(|old| old.blob)).await;
                    Ok(part)
                }
                // Being completed: whoever does it decides which parts it takes
                // and deletes the others.
                Some(_) => Err(no_such_upload()),
                None => {
                    this.parts.delete(&name).await?;
                    this.discard(replaced.map(|old| old.blob).into_iter().chain([part.blob]))
                        .await;
                    Err(no_such_upload())
                }
            }
        })
        .await
    }

    async fn replace_part(&self, name: &str, part: &PartRecord) -> Result<Option<PartRecord>, ApiError> {
        loop {
            let current = self.parts.get(name).await?;
            let written = match &current {
                Some(found) => self.parts.replace(name, part, found.revision).await,
                None => self.parts.create(name, part).await,
            };
            match written {
                Ok(_) => return Ok(current.map(|found| found.value)),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Up to `limit` parts with numbers above `after`.
    pub(crate) async fn list_parts(
        &self,
        upload: &str,
        after: u32,
        limit: usize,
    ) -> Result<Vec<(u32, PartRecord)>, ApiError> {
        let query = ListQuery {
            prefix: format!("{upload}/"),
            after: Some(part_key(upload, after)),
            limit,
            descending: false,
        };
        let parts = self.parts.list(query).await?;
        Ok(parts
            .into_iter()
            .filter_map(|(name, part)| Some((split_part_key(&name)?.1, part)))
            .collect())
    }

    /// Every upload of a bucket whose key begins with `prefix`, as key, id and
    /// record, in the order of keys and then of time.
    pub(crate) async fn list_uploads(
        &self,
        bucket: &str,
        prefix: &str,
    ) -> Result<Vec<(String, String, UploadRecord)>, ApiError> {
        let found = self.uploads.all(&format!("{bucket}/{prefix}")).await?;
        Ok(found
            .into_iter()
            .filter(|(_, record)| record.state == UploadState::Open)
            .filter_map(|(name, record)| {
                let (_, key, upload) = split_upload_key(&name)?;
                Some((key.to_owned(), upload.to_owned(), record))
            })
            .collect())
    }

    /// Ends an upload without an object.
    ///
    /// # Errors
    /// `NoSuchUpload`.
    pub(crate) async fn abort_upload(&self, bucket: &str, key: &str, upload: &str) -> Result<(), ApiError> {
        let (this, name, upload) = (self.clone(), upload_key(bucket, key, upload), upload.to_owned());
        self.uninterrupted(async move {
            loop {
                let Some(found) = this.uploads.get(&name).await? else {
                    return Err(no_such_upload());
                };
                if found.value.state != UploadState::Open {
                    return Err(no_such_upload());
                }
                match this.store.delete(UPLOADS, &name, Expected::At(found.revision)).await {
                    Ok(()) => return this.delete_parts(&upload, &HashSet::new()).await,
                    Err(StoreError::Conflict { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        })
        .await
    }

    /// Deletes an upload's parts, and their blobs but for `kept` ones.
    pub(crate) async fn delete_parts(&self, upload: &str, kept: &HashSet<BlobId>) -> Result<(), ApiError> {
        for (number, part) in self.list_parts(upload, 0, PART_NUMBER_MAX as usize).await? {
            self.store
                .delete(PARTS, &part_key(upload, number), Expected::Anything)
                .await?;
            if !kept.contains(&part.blob) {
                self.discard([part.blob]).await;
            }
        }
        Ok(())
    }

    /// Makes an upload's parts an object. Doing it again gives the same object
    /// until that is replaced.
    pub(crate) async fn complete_upload(
        &self,
        bucket: &str,
        key: &str,
        upload: &str,
        completion: Completion,
    ) -> Result<ObjectRecord, ApiError> {
        let (this, bucket, key, upload) = (self.clone(), bucket.to_owned(), key.to_owned(), upload.to_owned());
        self.uninterrupted(async move {
            let name = upload_key(&bucket, &key, &upload);
            let Some(marked) = this.mark_completing(&name).await? else {
                return match this.object(&bucket, &key).await {
                    Ok(object) if object.upload.as_ref() == Some(&upload) => Ok(object),
                    Err(error) if error.code == "NoSuchBucket" => Err(error),
                    _ => Err(no_such_upload()),
                };
            };
            let completed = async {
                let object = this.assemble(&upload, &marked.value, &completion).await?;
                this.commit(&bucket, &key, &object, &completion.condition).await?;
                Ok(object)
            };
            match completed.await {
                Ok(object) => {
                    this.forget_upload(&name, &upload, &object).await?;
                    Ok(object)
                }
                Err(error) => {
                    let open = UploadRecord {
                        state: UploadState::Open,
                        ..marked.value
                    };
                    this.uploads.replace(&name, &open, marked.revision).await?;
                    Err(error)
                }
            }
        })
        .await
    }

    /// Takes an upload for completion; `None` if it does not exist.
    async fn mark_completing(&self, name: &str) -> Result<Option<Versioned<UploadRecord>>, ApiError> {
        loop {
            let Some(found) = self.uploads.get(name).await? else {
                return Ok(None);
            };
            if found.value.state == UploadState::Completing {
                let message = "The upload is being completed. Please try again.";
                return Err(ApiError::new(503, "ServiceUnavailable", message));
            }
            let record = UploadRecord {
                state: UploadState::Completing,
                ..found.value
            };
            match self.uploads.replace(name, &record, found.revision).await {
                Ok(revision) => {
                    return Ok(Some(Versioned {
                        value: record,
                        revision,
                    }));
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Deletes a completed upload: its parts but for what the object owns,
    /// then the upload.
    pub(crate) async fn forget_upload(&self, name: &str, upload: &str, object: &ObjectRecord) -> Result<(), ApiError> {
        let kept = object.pieces.iter().map(|piece| piece.blob.clone()).collect();
        self.delete_parts(upload, &kept).await?;
        Ok(self.store.delete(UPLOADS, name, Expected::Anything).await?)
    }

    /// The object that the named parts make, after checking them.
    async fn assemble(
        &self,
        id: &str,
        upload: &UploadRecord,
        completion: &Completion,
    ) -> Result<ObjectRecord, ApiError> {
        let parts = self.list_parts(id, 0, PART_NUMBER_MAX as usize).await?;
        let chosen = choose_parts(&parts, upload, &completion.parts)?;
        let size = chosen.iter().map(|(_, part)| part.size).sum();
        if completion.size.is_some_and(|declared| declared != size) {
            return Err(invalid_request(format!(
                "The provided 'x-amz-mp-object-size' header value does not match what was computed: {size}"
            )));
        }
        let checksums: Vec<_> = chosen
            .iter()
            .map(|(_, part)| (part.checksum.clone(), part.size))
            .collect();
        let checksum = checksum::of_parts(upload.algorithm, upload.kind, &checksums)
            .ok_or_else(|| ApiError::internal("the parts' checksums cannot be put together"))?;
        check_whole(completion, &checksum)?;
        let mut md5 = Md5::new();
        for (_, part) in &chosen {
            md5.update(&hex::decode(&part.etag).map_err(ApiError::internal)?);
        }
        Ok(ObjectRecord {
            size,
            etag: format!("{}-{}", hex::encode(md5.finalize()), chosen.len()),
            modified: self.clock.now(),
            checksum,
            headers: upload.headers.clone(),
            upload: Some(id.to_owned()),
            pieces: chosen
                .into_iter()
                .map(|(number, part)| Piece {
                    blob: part.blob.clone(),
                    size: part.size,
                    part: Some((number, part.checksum.clone())),
                })
                .collect(),
        })
    }
}

/// Finds the parts that the client names among those that it uploaded.
fn choose_parts<'a>(
    uploaded: &'a [(u32, PartRecord)],
    upload: &UploadRecord,
    named: &[NamedPart],
) -> Result<Vec<(u32, &'a PartRecord)>, ApiError> {
    if named.is_empty() {
        return Err(ApiError::bad_request(
            "MalformedXML",
            "The XML you provided was not well-formed or did not validate against our published schema: \
             at least one part is needed",
        ));
    }
    if !named.is_sorted_by(|a, b| a.number < b.number) {
        return Err(ApiError::bad_request(
            "InvalidPartOrder",
            "The list of parts was not in ascending order. Parts must be ordered by part number.",
        ));
    }
    let mut chosen = Vec::with_capacity(named.len());
    for name in named {
        let found = uploaded
            .binary_search_by_key(&name.number, |(number, _)| *number)
            .ok()
            .map(|index| &uploaded[index].1)
            .filter(|part| part.etag == name.etag.trim_matches('"'));
        let part = found.ok_or_else(|| invalid_part(name.number))?;
        match &name.checksum {
            Some((algorithm, value)) if *algorithm == upload.algorithm && *value != part.checksum => {
                return Err(invalid_part(name.number));
            }
            None if upload.algorithm_chosen && upload.kind == Kind::Composite => {
                return Err(invalid_request(format!(
                    "The upload was created using a {} checksum. The complete request must include the checksum for \
                     each part. It was missing for part {} in the request.",
                    upload.algorithm.name().to_ascii_lowercase(),
                    name.number
                )));
            }
            _ => chosen.push((name.number, part)),
        }
    }
    let all_but_last = &chosen[..chosen.len() - 1];
    if let Some((number, part)) = all_but_last.iter().find(|(_, part)| part.size < PART_BYTES_MIN) {
        return Err(ApiError::bad_request(
            "EntityTooSmall",
            format!(
                "Your proposed upload is smaller than the minimum allowed size: part {number} has {} bytes, \
                 {PART_BYTES_MIN} are needed",
                part.size
            ),
        ));
    }
    Ok(chosen)
}

fn invalid_part(number: u32) -> ApiError {
    ApiError::bad_request(
        "InvalidPart",
        format!(
            "One or more of the specified parts could not be found. The part may not have been uploaded, or the \
             specified entity tag may not match the part's entity tag: part {number}"
        ),
    )
}

/// Compares the whole object's checksum with what the client declared.
fn check_whole(completion: &Completion, checksum: &checksum::Checksum) -> Result<(), ApiError> {
    if completion.kind.is_some_and(|kind| kind != checksum.kind) {
        return Err(invalid_request(format!(
            "The upload was created using the {} checksum type.",
            checksum.kind.name()
        )));
    }
    match &completion.checksum {
        Some((algorithm, _)) if *algorithm != checksum.algorithm => Err(invalid_request(format!(
            "The upload was created using a {} checksum.",
            checksum.algorithm.name()
        ))),
        Some((algorithm, value)) if *value != checksum.value => Err(bad_digest(algorithm.name())),
        _ => Ok(()),
    }
}

/// Checks a part's number.
///
/// # Errors
/// `InvalidArgument`.
pub(crate) fn check_part_number(number: i64) -> Result<u32, ApiError> {
    let number = u32::try_from(number)
        .ok()
        .filter(|number| (1..=PART_NUMBER_MAX).contains(number));
    number.ok_or_else(|| {
        invalid_argument(format!(
            "Part number must be an integer between 1 and {PART_NUMBER_MAX}, inclusive"
        ))
    })
}
