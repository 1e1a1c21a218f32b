//! What the protocol says beside the objects.

use bytes::Bytes;
use http::Method;

use crate::support::{Harness, Signing, sha256};

#[tokio::test]
async fn errors_have_awss_form() {
    let harness = Harness::with_bucket().await;
    let answer = harness.call(Method::GET, "/bucket/a%26b", &[], b"").await;
    assert_eq!(answer.outcome(), (404, "NoSuchKey".to_owned()));
    assert_eq!(answer.element("Resource").as_deref(), Some("/bucket/a%26b"));
    assert_eq!(
        answer.element("Message").as_deref(),
        Some("The specified key does not exist.")
    );
    assert_eq!(answer.element("Key").as_deref(), Some("a&amp;b"));
    let nowhere = harness.call(Method::GET, "/nobody/k", &[], b"").await;
    assert_eq!(nowhere.outcome(), (404, "NoSuchBucket".to_owned()));
    assert_eq!(
        nowhere.element("Message").as_deref(),
        Some("The specified bucket does not exist")
    );
    assert_eq!(nowhere.element("BucketName").as_deref(), Some("nobody"));
    let copied = harness
        .call(
            Method::PUT,
            "/bucket/copy",
            &[("x-amz-copy-source", "bucket/none")],
            b"",
        )
        .await;
    assert_eq!(copied.outcome(), (404, "NoSuchKey".to_owned()));
    assert_eq!(copied.element("Key"), None);
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
    harness.create_bucket("empty").await;
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
    assert_eq!(
        harness.call(Method::HEAD, "/empty", &[], b"").await.status.as_u16(),
        200
    );
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
async fn suspended_versioning_is_remembered() {
    let harness = Harness::with_bucket().await;
    let status = async |harness: &Harness| {
        let answer = harness.call(Method::GET, "/bucket?versioning=", &[], b"").await;
        assert_eq!(answer.outcome(), (200, String::new()), "{}", answer.text());
        answer.element("Status")
    };
    let suspend = async |bucket: &str| {
        let xml = b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>";
        let answer = harness
            .call(Method::PUT, &format!("/{bucket}?versioning="), &[], xml)
            .await;
        answer.outcome()
    };
    assert_eq!(status(&harness).await, None);
    assert_eq!(suspend("nobody").await, (404, "NoSuchBucket".to_owned()));
    assert_eq!(suspend("bucket").await, (200, String::new()));
    assert_eq!(status(&harness).await.as_deref(), Some("Suspended"));
    let harness = harness.restarted().await;
    assert_eq!(status(&harness).await.as_deref(), Some("Suspended"));
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

/// RFC 9110 lets a server ignore a range that it does not understand, and S3
/// does. The signature covers the header all the same.
#[tokio::test]
async fn a_range_that_names_none_or_several_is_ignored() {
    let harness = Harness::with_bucket().await;
    let body = Bytes::from("0123456789");
    harness.s3.put_object("bucket", "k", None, body).await.unwrap();
    let check = async |range: &str, expect: (u16, Option<&str>, &str)| {
        for method in [Method::GET, Method::HEAD] {
            let is_head = method == Method::HEAD;
            let answer = harness.call(method, "/bucket/k", &[("range", range)], b"").await;
            assert_eq!(answer.status.as_u16(), expect.0, "{range}: {}", answer.text());
            assert_eq!(answer.header("content-range"), expect.1, "{range}");
            let text = if answer.status.is_success() {
                answer.text()
            } else {
                answer.outcome().1
            };
            assert_eq!(text, if is_head { "" } else { expect.2 }, "{range}");
        }
    };
    let whole = (200, None, "0123456789");
    for range in [
        "bytes=0-1,3-4",
        "bytes=a-b",
        "bytes=5-2",
        "items=0-1",
        "bytes=",
        "bytes=-",
        "0-1",
        "bytes=0 - 1",
    ] {
        check(range, whole).await;
    }
    check("bytes=0-1", (206, Some("bytes 0-1/10"), "01")).await;
    check("bytes=8-99999999999999999999", (206, Some("bytes 8-9/10"), "89")).await;
    check("bytes=10-", (416, None, "InvalidRange")).await;
    check("bytes=99999999999999999999-", (416, None, "InvalidRange")).await;
    let beyond = harness
        .call(Method::GET, "/bucket/k", &[("range", "bytes=10-11")], b"")
        .await;
    assert!(beyond.text().contains("the object has 10 bytes"), "{}", beyond.text());
}

#[tokio::test]
async fn an_ignored_range_opens_no_door() {
    let harness = Harness::with_bucket().await;
    harness
        .s3
        .put_object("bucket", "k", None, Bytes::from("x"))
        .await
        .unwrap();
    let check = async |request: http::Request<()>, expect: (u16, &str)| {
        let answer = harness
            .send(request.map(|()| http_body_util::Empty::<Bytes>::new()))
            .await;
        assert_eq!(answer.outcome(), (expect.0, expect.1.to_owned()), "{}", answer.text());
    };
    let ranged = |target: &str| Signing::new(Method::GET, target).header("range", "bytes=a-b");
    let unsigned = http::Request::get("/bucket/k")
        .header("host", "localhost")
        .header("range", "bytes=a-b");
    check(unsigned.body(()).unwrap(), (403, "AccessDenied")).await;
    let mut wrong = ranged("/bucket/k");
    wrong.secret_key = "wrong".to_owned();
    check(wrong.sign(), (403, "SignatureDoesNotMatch")).await;
    let mut changed = ranged("/bucket/k").sign();
    changed.headers_mut().insert("range", "bytes=b-c".parse().unwrap());
    check(changed, (403, "SignatureDoesNotMatch")).await;
    check(ranged("/bucket/none").sign(), (404, "NoSuchKey")).await;
    check(ranged("/bucket/k?future=").sign(), (501, "NotImplemented")).await;
    check(ranged("/bucket/k?tagging=").sign(), (200, "")).await;
    check(ranged("/bucket").sign(), (200, "")).await;
    // A URL's signature covers the host alone, so that anybody may add a range.
    let mut presigned = Signing::new(Method::GET, "/bucket/k").presign(60);
    presigned
        .headers_mut()
        .insert("range", "bytes=0-0,0-0".parse().unwrap());
    check(presigned, (200, "")).await;
}

/// XML 1.0 has no control characters, not even as references.
#[tokio::test]
async fn answers_are_xml_whatever_the_keys_are() {
    let harness = Harness::with_bucket().await;
    let check = async |path: &str, inside: &str, listed: &str, encoded: &str| {
        harness.call(Method::PUT, &format!("/bucket/{path}"), &[], b"").await;
        let listing = harness.call(Method::GET, "/bucket?list-type=2", &[], b"").await;
        assert_eq!(listing.element("Key").as_deref(), Some(listed));
        let listing = harness
            .call(Method::GET, "/bucket?encoding-type=url&list-type=2", &[], b"")
            .await;
        assert_eq!(listing.element("Key").as_deref(), Some(encoded));
        let xml = format!("<Delete><Object><Key>{inside}</Key></Object></Delete>");
        let deleted = harness.call(Method::POST, "/bucket?delete=", &[], xml.as_bytes()).await;
        assert_eq!(deleted.element("Key").as_deref(), Some(listed), "{}", deleted.text());
        let missing = harness.call(Method::GET, &format!("/bucket/{path}"), &[], b"").await;
        assert_eq!(missing.outcome(), (404, "NoSuchKey".to_owned()));
        assert!(missing.text().contains(listed), "{}", missing.text());
    };
    check("a%0Ab%09c", "a\nb\tc", "a\nb\tc", "a%0Ab%09c").await;
    check("a%0Db", "a&#13;b", "a&#13;b", "a%0Db").await;
    check("a%01b", "a\u{1}b", "a\u{fffd}b", "a%01b").await;
    check("a%EF%BF%BFb", "a\u{ffff}b", "a\u{fffd}b", "a%EF%BF%BFb").await;
}

/// What AWS does with every object anyway may be asked for. That it was done is
/// not answered, since it was not.
#[tokio::test]
async fn the_usual_encryption_may_be_asked_for() {
    let harness = Harness::with_bucket().await;
    let aes = ("x-amz-server-side-encryption", "AES256");
    let check = async |method: Method, target: &str, headers: &[(&str, &str)], expect: (u16, &str)| {
        let answer = harness.call(method, target, headers, b"").await;
        assert_eq!(answer.outcome(), (expect.0, expect.1.to_owned()), "{}", answer.text());
        assert_eq!(answer.header(aes.0), None);
    };
    check(Method::PUT, "/bucket/k", &[aes], (200, "")).await;
    check(Method::HEAD, "/bucket/k", &[], (200, "")).await;
    check(
        Method::PUT,
        "/bucket/copy",
        &[aes, ("x-amz-copy-source", "bucket/k")],
        (200, ""),
    )
    .await;
    check(Method::POST, "/bucket/k?uploads=", &[aes], (200, "")).await;
    for (name, value) in [
        (aes.0, "aws:kms"),
        (aes.0, "aws:kms:dsse"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "key"),
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
    ] {
        check(Method::PUT, "/bucket/k", &[(name, value)], (501, "NotImplemented")).await;
    }
}
