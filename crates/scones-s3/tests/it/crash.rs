//! What a crash can leave behind is gone after the next start. The leftovers
//! are made by hand, in the store.

use bytes::Bytes;
use http::Method;
use scones_store::{Blobs as _, Expected, ListQuery, Records as _};

use crate::support::Harness;

/// Changes a word in a record.
async fn change(harness: &Harness, table: &str, key: &str, from: &str, to: &str) {
    let record = harness.store.get(table, key).await.unwrap().unwrap();
    let text = String::from_utf8(record.value.to_vec()).unwrap();
    assert!(text.contains(from), "{text}");
    let changed = Bytes::from(text.replace(from, to));
    harness
        .store
        .put(table, key, changed, Expected::Anything)
        .await
        .unwrap();
}

async fn count(harness: &Harness, table: &str) -> usize {
    let query = ListQuery {
        limit: 100,
        ..ListQuery::default()
    };
    harness.store.list(table, query).await.unwrap().len()
}

async fn upload(harness: &Harness, key: &str) -> String {
    let answer = harness
        .call(Method::POST, &format!("/bucket/{key}?uploads="), &[], b"")
        .await;
    let id = answer.element("UploadId").unwrap();
    let target = format!("/bucket/{key}?partNumber=1&uploadId={id}");
    assert_eq!(harness.call(Method::PUT, &target, &[], b"part").await.status, 200);
    id
}

async fn complete(harness: &Harness, key: &str, id: &str) -> (u16, String) {
    let xml = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>\
               <ETag>\"aeadde7f3d6a1c2a1a0b7d2f3f0b6d7e\"</ETag></Part></CompleteMultipartUpload>";
    let etag = {
        let target = format!("/bucket/{key}?uploadId={id}");
        harness
            .call(Method::GET, &target, &[], b"")
            .await
            .element("ETag")
            .unwrap_or_default()
    };
    let etag = etag.replace("&quot;", "\"");
    let xml = xml.replace("\"aeadde7f3d6a1c2a1a0b7d2f3f0b6d7e\"", &etag);
    let target = format!("/bucket/{key}?uploadId={id}");
    harness.call(Method::POST, &target, &[], xml.as_bytes()).await.outcome()
}

#[tokio::test]
async fn blobs_without_an_owner_are_swept_away() {
    let harness = Harness::with_bucket().await;
    harness
        .s3
        .put_object("bucket", "k", None, Bytes::from("kept"))
        .await
        .unwrap();
    upload(&harness, "u").await;
    for size in [10, 100_000] {
        let mut writer = harness.store.create_blob("s3").await.unwrap();
        writer.write(Bytes::from(vec![0; size])).await.unwrap();
        writer.finish().await.unwrap();
    }
    assert_eq!(harness.blobs().await, 4);
    let harness = harness.restarted().await;
    assert_eq!(harness.blobs().await, 2);
    assert_eq!(harness.s3.read_object("bucket", "k", 10).await.unwrap(), "kept");
    assert_eq!(count(&harness, "s3.parts").await, 1);
}

#[tokio::test]
async fn parts_without_an_upload_are_swept_away() {
    let harness = Harness::with_bucket().await;
    let id = upload(&harness, "u").await;
    let key = format!("bucket/u\u{1}{id}");
    harness
        .store
        .delete("s3.uploads", &key, Expected::Anything)
        .await
        .unwrap();
    let harness = harness.restarted().await;
    assert_eq!((count(&harness, "s3.parts").await, harness.blobs().await), (0, 0));
}

#[tokio::test]
async fn a_bucket_that_was_being_deleted_is_decided_on() {
    let harness = Harness::with_bucket().await;
    harness.create_bucket("empty").await;
    harness
        .s3
        .put_object("bucket", "k", None, Bytes::from("x"))
        .await
        .unwrap();
    for bucket in ["bucket", "empty"] {
        change(&harness, "s3.buckets", bucket, "Live", "Deleting").await;
    }
    let harness = harness.restarted().await;
    let empty = harness.call(Method::HEAD, "/empty", &[], b"").await;
    assert_eq!(empty.status.as_u16(), 404);
    assert_eq!(harness.s3.read_object("bucket", "k", 10).await.unwrap(), "x");
    harness.s3.put_object("bucket", "l", None, Bytes::new()).await.unwrap();
}

#[tokio::test]
async fn an_upload_that_was_being_completed_is_open_again() {
    let harness = Harness::with_bucket().await;
    let id = upload(&harness, "u").await;
    change(
        &harness,
        "s3.uploads",
        &format!("bucket/u\u{1}{id}"),
        "Open",
        "Completing",
    )
    .await;
    let harness = harness.restarted().await;
    assert_eq!(complete(&harness, "u", &id).await, (200, String::new()));
    assert_eq!(harness.s3.read_object("bucket", "u", 10).await.unwrap(), "part");
}

/// The object was written, the upload not yet forgotten.
#[tokio::test]
async fn a_completed_upload_is_forgotten() {
    let harness = Harness::with_bucket().await;
    let id = upload(&harness, "u").await;
    let key = format!("bucket/u\u{1}{id}");
    let before = harness.store.get("s3.uploads", &key).await.unwrap().unwrap();
    let part = harness
        .store
        .get("s3.parts", &format!("{id}/00001"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(complete(&harness, "u", &id).await, (200, String::new()));
    harness
        .store
        .put("s3.uploads", &key, before.value, Expected::Absent)
        .await
        .unwrap();
    harness
        .store
        .put("s3.parts", &format!("{id}/00001"), part.value, Expected::Absent)
        .await
        .unwrap();
    change(&harness, "s3.uploads", &key, "Open", "Completing").await;
    let harness = harness.restarted().await;
    assert_eq!(
        (count(&harness, "s3.uploads").await, count(&harness, "s3.parts").await),
        (0, 0)
    );
    assert_eq!(harness.s3.read_object("bucket", "u", 10).await.unwrap(), "part");
}
