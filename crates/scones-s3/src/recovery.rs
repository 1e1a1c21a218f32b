//! What a crash can leave behind, and how a start removes it.

use std::collections::HashSet;

use scones_api::ApiError;
use scones_store::{BlobId, Collection, ListQuery, Versioned};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    S3,
    records::{BLOB_OWNER, BucketState, UploadRecord, UploadState, object_key, split_part_key, split_upload_key},
};

/// Records and blobs read at a time.
const PAGE: usize = 1000;

/// Decides what was begun and not decided: deletions of buckets, completions
/// of uploads. Nobody else may be at work yet.
pub(crate) async fn settle(service: &S3) -> Result<(), ApiError> {
    for (bucket, record) in service.buckets.all("").await? {
        if record.state != BucketState::Deleting {
            continue;
        }
        if let Some(marked) = service.buckets.get(&bucket).await? {
            tracing::info!(bucket, "going on with the deletion of a bucket");
            match service.finish_deletion(&bucket, marked).await {
                Err(error) if error.code != "BucketNotEmpty" => return Err(error),
                _ => {}
            }
        }
    }
    for (name, record) in service.uploads.all("").await? {
        if record.state == UploadState::Completing {
            settle_upload(service, &name, record).await?;
        }
    }
    Ok(())
}

/// If the object is there, the upload is history; if not, it is open again.
async fn settle_upload(service: &S3, name: &str, record: UploadRecord) -> Result<(), ApiError> {
    let Some((bucket, key, upload)) = split_upload_key(name) else {
        return Ok(());
    };
    tracing::info!(bucket, key, upload, "settling a multipart upload");
    let object = service.objects.get(&object_key(bucket, key)).await?;
    if let Some(Versioned { value, .. }) = object
        && value.upload.as_deref() == Some(upload)
    {
        return service.forget_upload(name, upload, &value).await;
    }
    let open = UploadRecord {
        state: UploadState::Open,
        ..record
    };
    service.uploads.put(name, &open).await?;
    for (_, part) in service.list_parts(upload, 0, usize::MAX).await? {
        match service.store.open_blob(&part.blob, 0..0).await {
            Ok(_) => {}
            // The object was completed and then replaced before the crash.
            Err(scones_store::Error::NoSuchBlob(_)) => return service.abort_upload(bucket, key, upload).await,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The blobs that exist now, before anybody writes new ones.
pub(crate) async fn all_blobs(service: &S3) -> Result<Vec<BlobId>, ApiError> {
    let mut blobs = Vec::new();
    loop {
        let page = service.store.list_blobs(BLOB_OWNER, blobs.last(), PAGE).await?;
        let last = page.len() < PAGE;
        blobs.extend(page);
        if last {
            return Ok(blobs);
        }
    }
}

/// Deletes those of `blobs` that no record names, and records whose bucket or
/// upload is gone. Requests may be served meanwhile: a blob of an earlier life
/// can pass from a part to an object but never gains an owner, so parts are
/// read before objects; and a part is read before the upload it belongs to, an
/// object before its bucket.
pub(crate) async fn sweep(service: &S3, blobs: Vec<BlobId>) -> Result<(), ApiError> {
    let mut parts = Vec::new();
    each(&service.parts, |name, part| parts.push((name, part.blob))).await?;
    let mut uploads = HashSet::new();
    each(&service.uploads, |name, _| {
        uploads.extend(split_upload_key(&name).map(|(_, _, upload)| upload.to_owned()));
    })
    .await?;
    let mut owned = HashSet::new();
    for (name, blob) in parts {
        match split_part_key(&name) {
            Some((upload, _)) if uploads.contains(upload) => {
                owned.insert(blob);
            }
            _ => {
                service.parts.delete(&name).await?;
            }
        }
    }
    let mut buckets = HashSet::new();
    each(&service.objects, |name, object| {
        let bucket = name.split('/').next().unwrap_or_default();
        if !buckets.contains(bucket) {
            buckets.insert(bucket.to_owned());
        }
        owned.extend(object.pieces.into_iter().map(|piece| piece.blob));
    })
    .await?;
    for bucket in buckets {
        if !service.bucket_exists(&bucket).await? {
            // Their blobs go with the next start's sweep.
            for (name, _) in service.objects.all(&format!("{bucket}/")).await? {
                service.objects.delete(&name).await?;
            }
        }
    }
    let ownerless: Vec<_> = blobs.into_iter().filter(|blob| !owned.contains(blob)).collect();
    if !ownerless.is_empty() {
        tracing::info!(count = ownerless.len(), "sweeping ownerless blobs away");
        service.discard(ownerless).await;
    }
    Ok(())
}

/// Shows `visit` every record of a table.
async fn each<T>(table: &Collection<T>, mut visit: impl FnMut(String, T) + Send) -> Result<(), ApiError>
where
    T: Serialize + DeserializeOwned + Send,
{
    let mut after = None;
    loop {
        let query = ListQuery {
            after: after.take(),
            limit: PAGE,
            ..ListQuery::default()
        };
        let page = table.list(query).await?;
        let last = page.len() < PAGE;
        after = page.last().map(|(name, _)| name.clone());
        for (name, record) in page {
            visit(name, record);
        }
        if last {
            return Ok(());
        }
    }
}
