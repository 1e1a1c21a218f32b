//! What the protocol says beside the objects.

use bytes::Bytes;
use http::Method;

use crate::support::{Harness, sha256};

#[tokio::test]
async fn errors_have_awss_form() {
    let harness = Harness::with_bucket().await;
    let answer = harness.call(Method::GET, "/bucket/a%26b", &[], b"").await;
    assert_eq!(answer.outcome(), (404, "NoSuchKey".to_owned()));
    assert_eq!(answer.element("Resource").as_deref(), Some("/bucket/a%26b"));
    assert_eq!(
        answer.element("RequestId").as_deref(),
        answer.header("x-amz-request-id")
    );
    assert_eq!(answer.header("content-type"), Some("application/xml"));
    assert!(answer.element("Message").is_some_and(|message| !message.is_empty()));
    let head = harness.call(Method::HEAD, "/bucket/a%26b", &[], b"").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (404, 0));
}

#[tokio::test]
async fn a_write_never_becomes_another_write() {
    let harness = Harness::with_bucket().await;
    harness
        .s3
        .put_object("bucket", "k", None, Bytes::from("kept"))
        .await
        .unwrap();
    harness.s3.create_bucket("empty").await.unwrap();
    let check = async |method: Method, target: &str, headers: &[(&str, &str)]| {
        let answer = harness.call(method, target, headers, b"").await;
        assert_eq!(
            answer.outcome(),
            (501, "NotImplemented".to_owned()),
            "{target}: {}",
            answer.text()
        );
    };
    check(Method::DELETE, "/empty?metadataConfiguration=", &[]).await;
    check(Method::PUT, "/empty?abac=", &[]).await;
    check(Method::PUT, "/bucket/k?renameObject=", &[]).await;
    check(Method::PUT, "/bucket/k?future=1", &[]).await;
    check(Method::GET, "/bucket?metadataConfiguration=", &[]).await;
    check(Method::PUT, "/bucket/k", &[("x-amz-tagging", "a=b")]).await;
    check(Method::PUT, "/bucket/k", &[("x-amz-server-side-encryption", "aws:kms")]).await;
    check(Method::PUT, "/bucket/k", &[("x-amz-object-lock-mode", "GOVERNANCE")]).await;
    check(Method::PUT, "/bucket?tagging=", &[]).await;
    check(Method::PUT, "/bucket/k?tagging=", &[]).await;
    check(Method::POST, "/bucket/k?restore=", &[]).await;
    assert!(harness.s3.bucket_exists("empty").await.unwrap());
    assert_eq!(harness.s3.read_object("bucket", "k", 10).await.unwrap(), "kept");
}

#[tokio::test]
async fn documents_are_compared_with_their_headers() {
    let harness = Harness::with_bucket().await;
    harness
        .s3
        .put_object("bucket", "k", None, Bytes::from("kept"))
        .await
        .unwrap();
    let xml = b"<Delete><Object><Key>k</Key></Object></Delete>";
    let check = async |headers: &[(&str, &str)], expect: (u16, &str)| {
        let answer = harness.call(Method::POST, "/bucket?delete=", headers, xml).await;
        assert_eq!(answer.outcome(), (expect.0, expect.1.to_owned()), "{}", answer.text());
    };
    check(&[("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")], (400, "BadDigest")).await;
    check(&[("x-amz-checksum-crc32", "AAAAAA==")], (400, "BadDigest")).await;
    assert_eq!(harness.s3.read_object("bucket", "k", 10).await.unwrap(), "kept");
    check(&[], (200, "")).await;
    assert_eq!(harness.blobs().await, 0);
    assert_eq!(sha256(b"").len(), 64);
}

#[tokio::test]
async fn malformed_documents_are_refused() {
    let harness = Harness::with_bucket().await;
    for xml in ["", "<", "<Delete>", "<Delete></Delete>", "no xml", "<Other/>"] {
        let answer = harness.call(Method::POST, "/bucket?delete=", &[], xml.as_bytes()).await;
        assert!(
            answer.status.is_client_error(),
            "{xml}: {} {}",
            answer.status,
            answer.text()
        );
    }
    let keys = "<Object><Key>k</Key></Object>".repeat(1001);
    let answer = harness
        .call(
            Method::POST,
            "/bucket?delete=",
            &[],
            format!("<Delete>{keys}</Delete>").as_bytes(),
        )
        .await;
    assert_eq!(answer.outcome(), (400, "MalformedXML".to_owned()));
}

#[tokio::test]
async fn forms_are_not_built() {
    let harness = Harness::with_bucket().await;
    let request = http::Request::post("/bucket")
        .header("host", "localhost")
        .header("content-type", "multipart/form-data; boundary=x")
        .body(http_body_util::Full::new(Bytes::from("--x--")))
        .unwrap();
    assert_eq!(
        harness.send(request).await.outcome(),
        (501, "NotImplemented".to_owned())
    );
}

#[tokio::test]
async fn an_unmodified_object_is_answered_without_a_body() {
    let harness = Harness::with_bucket().await;
    let etag = harness
        .s3
        .put_object("bucket", "k", None, Bytes::from("x"))
        .await
        .unwrap();
    let quoted = format!("\"{etag}\"");
    for method in [Method::GET, Method::HEAD] {
        let answer = harness
            .call(method, "/bucket/k", &[("if-none-match", &quoted)], b"")
            .await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0));
        assert_eq!(answer.header("etag"), Some(quoted.as_str()));
    }
    let answer = harness
        .call(Method::HEAD, "/bucket/k", &[("range", "bytes=0-0")], b"")
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-range")),
        (206, Some("bytes 0-0/1"))
    );
}
