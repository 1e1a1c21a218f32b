//! The in-process interface.

use std::io;

use bytes::Bytes;
use futures::stream;
use http::Method;
use scones_s3::S3;

use crate::support::Harness;

async fn read(s3: &S3, key: &str) -> Result<Vec<u8>, String> {
    s3.read_object("bucket", key, 1 << 30)
        .await
        .map(Vec::from)
        .map_err(|error| error.code)
}

#[tokio::test]
async fn objects_of_every_size_come_back() {
    let harness = Harness::with_bucket().await;
    for size in [0, 1, 16 << 10, (16 << 10) + 1, 1_000_003] {
        let body: Vec<u8> = (0..size).map(|index: u32| (index % 251) as u8).collect();
        harness
            .s3
            .put_object("bucket", "k", Some("a/b"), Bytes::from(body.clone()))
            .await
            .unwrap();
        let object = harness.s3.get_object("bucket", "k").await.unwrap();
        assert_eq!(
            (object.size, object.content_type.as_deref()),
            (u64::from(size), Some("a/b"))
        );
        assert_eq!(object.read(1 << 20).await.unwrap(), body);
        assert_eq!(harness.blobs().await, 1, "the object that was replaced is gone");
    }
}

#[tokio::test]
async fn the_etag_is_the_md5() {
    let harness = Harness::with_bucket().await;
    let etag = harness
        .s3
        .put_object("bucket", "k", None, Bytes::from("abc"))
        .await
        .unwrap();
    assert_eq!(etag, "900150983cd24fb0d6963f7d28e17f72");
    let listed = harness.s3.list_objects("bucket", "", None, 1).await.unwrap();
    assert_eq!((&listed[0].etag, listed[0].size), (&etag, 3));
}

#[tokio::test]
async fn errors_are_awss() {
    let harness = Harness::with_bucket().await;
    let code = |result: Result<_, scones_api::ApiError>| result.map(|_| ()).unwrap_err().code;
    let s3 = &harness.s3;
    let read = async |bucket: &str, key: &str| s3.read_object(bucket, key, 2).await.map(|_| ());
    assert_eq!(
        code(s3.put_object("none", "k", None, Bytes::new()).await.map(|_| ())),
        "NoSuchBucket"
    );
    assert_eq!(
        code(s3.put_object("bucket", "", None, Bytes::new()).await.map(|_| ())),
        "InvalidArgument"
    );
    let long = "k".repeat(1025);
    assert_eq!(
        code(s3.put_object("bucket", &long, None, Bytes::new()).await.map(|_| ())),
        "KeyTooLongError"
    );
    assert_eq!(code(read("bucket", "none").await), "NoSuchKey");
    assert_eq!(code(read("none", "none").await), "NoSuchBucket");
    s3.put_object("bucket", "k", None, Bytes::from("abc")).await.unwrap();
    assert_eq!(code(read("bucket", "k").await), "EntityTooLarge");
    assert_eq!(code(s3.delete_bucket("bucket").await), "BucketNotEmpty");
    assert_eq!(s3.read_object("bucket", "k", 3).await.unwrap(), "abc");
}

#[tokio::test]
async fn a_stream_that_breaks_stores_nothing() {
    let harness = Harness::with_bucket().await;
    harness
        .s3
        .put_object("bucket", "k", None, Bytes::from("old"))
        .await
        .unwrap();
    let pieces = [Ok(Bytes::from(vec![0; 100_000])), Err(io::Error::other("broken"))];
    let put = harness.s3.put_stream("bucket", "k", None, stream::iter(pieces)).await;
    assert_eq!(put.unwrap_err().code, "IncompleteBody");
    assert_eq!(read(&harness.s3, "k").await.unwrap(), b"old");
    assert_eq!(harness.blobs().await, 1);
}

#[tokio::test]
async fn a_reader_keeps_the_object_that_it_opened() {
    let harness = Harness::with_bucket().await;
    for size in [10, 100_000] {
        harness
            .s3
            .put_object("bucket", "k", None, Bytes::from(vec![1; size]))
            .await
            .unwrap();
        let object = harness.s3.get_object("bucket", "k").await.unwrap();
        harness
            .s3
            .put_object("bucket", "k", None, Bytes::from(vec![2; size]))
            .await
            .unwrap();
        harness.call(Method::DELETE, "/bucket/k", &[], b"").await;
        assert_eq!(object.read(1 << 20).await.unwrap(), vec![1; size]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_leave_one_whole_object() {
    let harness = Harness::with_bucket().await;
    let writers = (0..16_u8).map(|writer| {
        let s3 = harness.s3.clone();
        tokio::spawn(async move {
            let body = Bytes::from(vec![writer; 20_000]);
            s3.put_object("bucket", "k", None, body).await.unwrap();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let body = read(&harness.s3, "k").await.unwrap();
    assert_eq!(body, vec![body[0]; 20_000]);
    assert_eq!(harness.blobs().await, 1);
}

/// Whoever wins, an object that was acknowledged is in a bucket that exists.
#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_bucket_never_loses_an_object() {
    let harness = Harness::new().await;
    for round in 0..40 {
        let bucket = format!("bucket-{round}");
        harness.create_bucket(&bucket).await;
        let (s3, name) = (harness.s3.clone(), bucket.clone());
        let put = tokio::spawn(async move { s3.put_object(&name, "k", None, Bytes::from("x")).await });
        let (s3, name) = (harness.s3.clone(), bucket.clone());
        let delete = tokio::spawn(async move { s3.delete_bucket(&name).await });
        let (put, delete) = (put.await.unwrap(), delete.await.unwrap());
        let found = harness.s3.read_object(&bucket, "k", 10).await;
        match (put, delete) {
            (Ok(_), Err(error)) => {
                assert_eq!(error.code, "BucketNotEmpty");
                assert_eq!(found.unwrap(), "x");
            }
            (Err(error), Ok(())) => {
                assert_eq!(error.code, "NoSuchBucket");
                assert_eq!(found.unwrap_err().code, "NoSuchBucket");
            }
            // The object was undone, and the bucket seen as not empty before.
            (Err(put), Err(delete)) => panic!("both failed: {put}, {delete}"),
            (Ok(_), Ok(())) => panic!("the object is lost"),
        }
    }
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let harness = Harness::with_bucket().await;
    harness
        .s3
        .put_object("bucket", "small", None, Bytes::from("small"))
        .await
        .unwrap();
    harness
        .s3
        .put_object("bucket", "large", None, Bytes::from(vec![7; 100_000]))
        .await
        .unwrap();
    let harness = harness.restarted().await;
    assert_eq!(read(&harness.s3, "small").await.unwrap(), b"small");
    assert_eq!(read(&harness.s3, "large").await.unwrap(), vec![7; 100_000]);
    assert_eq!(harness.blobs().await, 2);
}
