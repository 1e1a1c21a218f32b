//! Uploads that are not what they say, and the forms that an honest one takes.

use std::io;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::stream;
use http::{Method, Request};
use http_body::Frame;
use http_body_util::{Full, StreamBody};

use crate::support::{Answer, Harness, Signing, hmac, sha256, signature_of};

const SIGNED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const SIGNED_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

async fn nothing_stored(harness: &Harness) {
    assert_eq!(harness.blobs().await, 0);
    assert!(harness.s3.list_objects("bucket", "", None, 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_body_that_is_not_as_declared_is_refused() {
    let harness = Harness::with_bucket().await;
    let check = async |headers: &[(&str, &str)], code: &str| {
        let answer = harness.call(Method::PUT, "/bucket/k", headers, b"body").await;
        assert_eq!(answer.outcome(), (400, code.to_owned()), "{headers:?}");
        nothing_stored(&harness).await;
    };
    let zeros = STANDARD.encode([0; 32]);
    check(&[("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")], "BadDigest").await;
    check(&[("content-md5", "AAAA")], "InvalidDigest").await;
    check(&[("x-amz-checksum-crc32", "AAAAAA==")], "BadDigest").await;
    check(&[("x-amz-checksum-crc32c", "AAAAAA==")], "BadDigest").await;
    check(&[("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=")], "BadDigest").await;
    check(&[("x-amz-checksum-sha256", &zeros)], "BadDigest").await;
    check(&[("x-amz-checksum-sha256", "AAAAAA==")], "InvalidRequest").await;
    check(&[("x-amz-sdk-checksum-algorithm", "CRC32")], "InvalidRequest").await;
}

#[tokio::test]
async fn another_body_than_the_signed_one_is_refused() {
    let harness = Harness::with_bucket().await;
    let check = async |sent: &[u8], code: &str| {
        let request = Signing::new(Method::PUT, "/bucket/k").payload(b"signed").sign();
        let answer = harness
            .send(request.map(|()| Full::new(Bytes::copy_from_slice(sent))))
            .await;
        assert_eq!(answer.outcome(), (400, code.to_owned()));
        nothing_stored(&harness).await;
    };
    check(b"forged", "XAmzContentSHA256Mismatch").await;
    check(b"sign", "IncompleteBody").await;
    check(b"signed and more", "IncompleteBody").await;
    check(b"", "IncompleteBody").await;
}

#[tokio::test]
async fn a_broken_connection_stores_nothing() {
    let harness = Harness::with_bucket().await;
    let request = Signing::new(Method::PUT, "/bucket/k").payload(&[7; 100_000]).sign();
    let frames = [
        Ok(Frame::data(Bytes::from(vec![7; 50_000]))),
        Err(io::Error::other("broken")),
    ];
    let answer = harness
        .send(request.map(|()| StreamBody::new(stream::iter(frames))))
        .await;
    assert_eq!(answer.outcome(), (400, "IncompleteBody".to_owned()));
    nothing_stored(&harness).await;
}

#[tokio::test]
async fn a_replaced_object_outlives_a_refused_upload() {
    let harness = Harness::with_bucket().await;
    harness
        .s3
        .put_object("bucket", "k", None, Bytes::from("old"))
        .await
        .unwrap();
    let answer = harness
        .call(
            Method::PUT,
            "/bucket/k",
            &[("x-amz-checksum-crc32", "AAAAAA==")],
            b"new",
        )
        .await;
    assert_eq!(answer.outcome(), (400, "BadDigest".to_owned()));
    assert_eq!(harness.s3.read_object("bucket", "k", 10).await.unwrap(), "old");
}

/// Puts `/bucket/k` in chunks; `encode` makes the body from the request.
async fn put_chunked(
    harness: &Harness,
    payload: &str,
    length: usize,
    trailer: Option<&str>,
    encode: impl FnOnce(&Chunks) -> Vec<u8>,
) -> Answer {
    let mut signing = Signing::new(Method::PUT, "/bucket/k")
        .header("content-encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", &length.to_string())
        .payload_named(payload);
    if let Some(name) = trailer {
        signing = signing.header("x-amz-trailer", name);
    }
    let (date, scope, key) = (signing.date(), signing.scope(), signing.key());
    let request = signing.sign();
    let chunks = Chunks {
        date,
        scope,
        key,
        seed: signature_of(&request),
    };
    let body = encode(&chunks);
    harness.send(request.map(|()| Full::new(Bytes::from(body)))).await
}

/// What chunks are signed with
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>).
struct Chunks {
    date: String,
    scope: String,
    key: Vec<u8>,
    seed: String,
}

impl Chunks {
    fn sign(&self, kind: &str, previous: &str, rest: &str) -> String {
        let text = format!("{kind}\n{}\n{}\n{previous}\n{rest}", self.date, self.scope);
        hex::encode(hmac(&self.key, &text))
    }

    fn encode(&self, chunks: &[&[u8]], trailer: Option<(&str, &str)>) -> Vec<u8> {
        let mut previous = self.seed.clone();
        let mut body = Vec::new();
        for chunk in chunks.iter().copied().chain([&b""[..]]) {
            let rest = format!("{}\n{}", sha256(b""), sha256(chunk));
            previous = self.sign("AWS4-HMAC-SHA256-PAYLOAD", &previous, &rest);
            body.extend(format!("{:x};chunk-signature={previous}\r\n", chunk.len()).bytes());
            body.extend(chunk);
            if !chunk.is_empty() {
                body.extend(b"\r\n");
            }
        }
        if let Some((name, value)) = trailer {
            let hash = sha256(format!("{name}:{value}\n").as_bytes());
            let signature = self.sign("AWS4-HMAC-SHA256-TRAILER", &previous, &hash);
            body.extend(format!("{name}:{value}\r\nx-amz-trailer-signature:{signature}\r\n").bytes());
        }
        body.extend(b"\r\n");
        body
    }
}

fn unsigned(chunks: &[&[u8]], trailer: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in chunks {
        body.extend(format!("{:x}\r\n", chunk.len()).bytes());
        body.extend(*chunk);
        body.extend(b"\r\n");
    }
    body.extend(format!("0\r\n{trailer}\r\n").bytes());
    body
}

async fn stored(harness: &Harness) -> Bytes {
    harness.s3.read_object("bucket", "k", 1 << 20).await.unwrap()
}

#[tokio::test]
async fn signed_chunks_are_put_together() {
    let harness = Harness::with_bucket().await;
    let (first, second) = (vec![b'a'; 65_536], vec![b'b'; 1024]);
    let answer = put_chunked(&harness, SIGNED, 66_560, None, |chunks| {
        chunks.encode(&[&first, &second], None)
    })
    .await;
    assert_eq!(answer.outcome(), (200, String::new()));
    assert_eq!(stored(&harness).await, [first, second].concat());
    let head = harness.call(Method::HEAD, "/bucket/k", &[], b"").await;
    assert_eq!(head.header("content-encoding"), None, "the framing is not the object's");
}

#[tokio::test]
async fn signed_chunks_that_were_changed_are_refused() {
    let harness = Harness::with_bucket().await;
    let check = async |length: usize, change: &dyn Fn(Vec<u8>) -> Vec<u8>, expect: (u16, &str)| {
        let answer = put_chunked(&harness, SIGNED, length, None, |chunks| {
            change(chunks.encode(&[b"first chunk", b"second chunk"], None))
        });
        let answer = answer.await;
        assert_eq!(answer.outcome(), (expect.0, expect.1.to_owned()), "{}", answer.text());
        nothing_stored(&harness).await;
    };
    let replace = |body: Vec<u8>, from: &str, to: &str| String::from_utf8(body).unwrap().replace(from, to).into_bytes();
    check(
        23,
        &|body| replace(body, "first", "worst"),
        (403, "SignatureDoesNotMatch"),
    )
    .await;
    check(
        23,
        &|body| replace(body, "b;chunk-signature=", "b;chunk-signature=0"),
        (400, "InvalidRequest"),
    )
    .await;
    check(24, &|body| body, (400, "IncompleteBody")).await;
    check(22, &|body| body, (400, "IncompleteBody")).await;
    // Cut off between two chunks.
    let cut = |body: Vec<u8>| {
        let text = String::from_utf8(body).unwrap();
        text.as_bytes()[..text.find("c;chunk").unwrap()].to_vec()
    };
    check(23, &cut, (400, "IncompleteBody")).await;
    check(23, &|body| body[..body.len() / 2].to_vec(), (400, "IncompleteBody")).await;
    // All of the data, without the chunk that says so.
    let unended = |body: Vec<u8>| {
        let text = String::from_utf8(body).unwrap();
        text.as_bytes()[..text.rfind("0;chunk").unwrap()].to_vec()
    };
    check(23, &unended, (400, "IncompleteBody")).await;
}

#[tokio::test]
async fn trailers_are_compared() {
    let harness = Harness::with_bucket().await;
    // The CRC32 of "hello world".
    let (name, right, wrong) = ("x-amz-checksum-crc32", "DUoRhQ==", "AAAAAA==");
    let signed = async |value: &str| {
        put_chunked(&harness, SIGNED_TRAILER, 11, Some(name), |chunks| {
            chunks.encode(&[b"hello world"], Some((name, value)))
        })
        .await
        .outcome()
    };
    let plain = async |trailer: &str| {
        let body = unsigned(&[b"hello", b" world"], trailer);
        put_chunked(&harness, UNSIGNED_TRAILER, 11, Some(name), |_| body)
            .await
            .outcome()
    };
    assert_eq!(signed(wrong).await, (400, "BadDigest".to_owned()));
    assert_eq!(
        plain(&format!("{name}:{wrong}\r\n")).await,
        (400, "BadDigest".to_owned())
    );
    assert_eq!(plain("").await, (400, "MalformedTrailerError".to_owned()));
    nothing_stored(&harness).await;
    assert_eq!(signed(right).await, (200, String::new()));
    assert_eq!(plain(&format!("{name}:{right}\r\n")).await, (200, String::new()));
    assert_eq!(stored(&harness).await, "hello world");
    let head = harness
        .call(Method::HEAD, "/bucket/k", &[("x-amz-checksum-mode", "ENABLED")], b"")
        .await;
    assert_eq!(head.header("x-amz-checksum-crc32"), Some(right));
    assert_eq!(head.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
}

#[tokio::test]
async fn a_body_in_one_huge_chunk_is_taken() {
    let harness = Harness::with_bucket().await;
    let body = vec![b'x'; 1 << 20];
    let framed = unsigned(&[&body], "");
    let answer = put_chunked(&harness, UNSIGNED_TRAILER, body.len(), Some("x-amz-other"), |_| framed).await;
    assert_eq!(answer.outcome(), (200, String::new()));
    assert_eq!(stored(&harness).await, body);
}

#[tokio::test]
async fn without_a_checksum_one_is_made() {
    let harness = Harness::with_bucket().await;
    let put = harness.call(Method::PUT, "/bucket/k", &[], b"123456789").await;
    // The check value of CRC-64/NVME.
    let expect = STANDARD.encode(0xae8b_1486_0a79_9888_u64.to_be_bytes());
    assert_eq!(put.header("x-amz-checksum-crc64nvme"), Some(expect.as_str()));
}

#[tokio::test]
async fn a_length_is_needed() {
    let harness = Harness::with_bucket().await;
    let request = Signing::new(Method::PUT, "/bucket/k").sign();
    let frames = [Ok::<_, io::Error>(Frame::data(Bytes::from("x")))];
    let request: Request<_> = request.map(|()| StreamBody::new(stream::iter(frames)));
    assert_eq!(
        harness.send(request).await.outcome(),
        (411, "MissingContentLength".to_owned())
    );
    nothing_stored(&harness).await;
}
