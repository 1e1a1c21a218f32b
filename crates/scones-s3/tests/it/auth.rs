//! Who is let in.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use http_body_util::{Empty, Full};
use scones_api::{Clock as _, SystemClock, Timestamp};

use crate::support::{Harness, Signing, TEMPORARY_KEY};

fn get() -> Signing {
    Signing::new(Method::GET, "/bucket/key").payload(b"")
}

fn ago(seconds: i64) -> Timestamp {
    Timestamp::from_millis(SystemClock.now().as_millis() - seconds * 1000)
}

async fn check(harness: &Harness, request: Request<()>, status: u16, code: &str) {
    let answer = harness.send(request.map(|()| Empty::<Bytes>::new())).await;
    assert_eq!(answer.outcome(), (status, code.to_owned()), "{}", answer.text());
}

#[tokio::test]
async fn signed_requests_are_let_in_and_others_get_awss_errors() {
    let harness = Harness::with_bucket().await;
    check(&harness, get().sign(), 404, "NoSuchKey").await;
    check(&harness, get().at(ago(600)).sign(), 404, "NoSuchKey").await;

    let anonymous = Request::get("/bucket/key")
        .header("host", "localhost")
        .body(())
        .unwrap();
    check(&harness, anonymous, 403, "AccessDenied").await;

    let mut unknown = get();
    unknown.access_key = "AKIDUNKNOWN".to_owned();
    check(&harness, unknown.sign(), 403, "InvalidAccessKeyId").await;

    let mut wrong = get();
    wrong.secret_key = "wrong".to_owned();
    check(&harness, wrong.sign(), 403, "SignatureDoesNotMatch").await;

    check(&harness, get().at(ago(960)).sign(), 403, "RequestTimeTooSkewed").await;
    let ahead = SystemClock.now() + Duration::from_secs(960);
    check(&harness, get().at(ahead).sign(), 403, "RequestTimeTooSkewed").await;
}

#[tokio::test]
async fn what_was_changed_after_signing_is_refused() {
    let harness = Harness::with_bucket().await;
    let mut other_key = get().sign();
    *other_key.uri_mut() = "/bucket/other".parse().unwrap();
    check(&harness, other_key, 403, "SignatureDoesNotMatch").await;

    let mut other_method = get().sign();
    *other_method.method_mut() = Method::DELETE;
    check(&harness, other_method, 403, "SignatureDoesNotMatch").await;

    let mut added = get().sign();
    added
        .headers_mut()
        .insert("x-amz-meta-a", HeaderValue::from_static("b"));
    check(&harness, added, 403, "AccessDenied").await;
}

#[tokio::test]
async fn a_signature_of_another_form_is_refused_in_awss_words() {
    let harness = Harness::with_bucket().await;
    let check = async |change: &dyn Fn(&mut http::HeaderMap), status: u16, code: &str, message: &str| {
        let mut request = get().sign();
        change(request.headers_mut());
        let answer = harness.send(request.map(|()| Empty::<Bytes>::new())).await;
        assert_eq!(answer.outcome(), (status, code.to_owned()), "{}", answer.text());
        assert_eq!(answer.element("Message").as_deref(), Some(message));
    };
    let set = |name: &'static str, value: &'static str| {
        move |headers: &mut http::HeaderMap| {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    let no_date = "AWS authentication requires a valid Date or x-amz-date header";
    let unsupported = "Unsupported Authorization Type";
    let payload = "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
                   STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.";
    let other_day =
        "The authorization header is malformed; Invalid credential date. Date is not the same as X-Amz-Date.";
    let dateless = |headers: &mut http::HeaderMap| drop(headers.remove("x-amz-date"));
    check(&dateless, 403, "AccessDenied", no_date).await;
    check(&set("x-amz-date", "yesterday"), 403, "AccessDenied", no_date).await;
    let basic = set("authorization", "Basic dXNlcjpwYXNz");
    check(&basic, 400, "InvalidArgument", unsupported).await;
    check(&set("x-amz-content-sha256", "zzz"), 400, "InvalidArgument", payload).await;
    let day_before = set("x-amz-date", "20200101T000000Z");
    check(&day_before, 400, "AuthorizationHeaderMalformed", other_day).await;
    let no_payload = |headers: &mut http::HeaderMap| drop(headers.remove("x-amz-content-sha256"));
    let missing = "Missing required header for this request: x-amz-content-sha256";
    check(&no_payload, 400, "InvalidRequest", missing).await;
}

#[tokio::test]
async fn a_signature_for_another_region_is_told_the_right_one() {
    let harness = Harness::with_bucket().await;
    let check = async |request: Request<()>, code: &str, message: &str| {
        let answer = harness.send(request.map(|()| Empty::<Bytes>::new())).await;
        assert_eq!(answer.outcome(), (400, code.to_owned()), "{}", answer.text());
        let told = answer.element("Message").unwrap().replace("&apos;", "'");
        assert_eq!(told, message);
        assert_eq!(answer.element("Region").as_deref(), Some("us-east-1"));
        assert_eq!(answer.header("x-amz-bucket-region"), Some("us-east-1"));
    };
    let problem = "the region 'eu-west-3' is wrong; expecting 'us-east-1'";
    let header = format!("The authorization header is malformed; {problem}");
    let parameter = format!("Error parsing the X-Amz-Credential parameter; {problem}");
    let elsewhere = || get().in_region("eu-west-3");
    check(elsewhere().sign(), "AuthorizationHeaderMalformed", &header).await;
    check(elsewhere().presign(60), "AuthorizationQueryParametersError", &parameter).await;
}

#[tokio::test]
async fn sigv2_is_for_urls_only() {
    let harness = Harness::with_bucket().await;
    let request = Request::get("/bucket/key")
        .header("host", "localhost")
        .header("date", "Mon, 23 Nov 2026 05:00:00 GMT")
        .header("authorization", "AWS AKIDEXAMPLE:c2lnbmF0dXJl")
        .body(())
        .unwrap();
    let answer = harness.send(request.map(|()| Empty::<Bytes>::new())).await;
    assert!(answer.status.is_client_error());
}

#[tokio::test]
async fn presigned_urls_live_as_long_as_they_say() {
    let harness = Harness::with_bucket().await;
    check(&harness, get().presign(60), 404, "NoSuchKey").await;
    check(&harness, get().at(ago(7200)).presign(8000), 404, "NoSuchKey").await;
    check(&harness, get().at(ago(120)).presign(60), 403, "AccessDenied").await;
    check(
        &harness,
        get().presign(604_801),
        400,
        "AuthorizationQueryParametersError",
    )
    .await;
    let mut added = get().presign(60);
    added
        .headers_mut()
        .insert("x-amz-meta-a", HeaderValue::from_static("b"));
    check(&harness, added, 403, "AccessDenied").await;
}

#[tokio::test]
async fn temporary_keys_need_their_token() {
    let harness = Harness::with_bucket().await;
    let temporary = || {
        let mut signing = get();
        signing.access_key = TEMPORARY_KEY.to_owned();
        signing
    };
    let token = |signing: Signing, token: &str| signing.header("x-amz-security-token", token).sign();
    check(&harness, token(temporary(), "token"), 404, "NoSuchKey").await;
    check(&harness, token(temporary(), "other"), 400, "InvalidToken").await;
    check(&harness, temporary().sign(), 400, "InvalidToken").await;
    check(&harness, token(get(), "token"), 400, "InvalidToken").await;
}

#[tokio::test]
async fn another_owners_bucket_is_refused() {
    let harness = Harness::with_bucket().await;
    let request = get().header("x-amz-expected-bucket-owner", "111122223333").sign();
    check(&harness, request, 403, "AccessDenied").await;
    let request = get().header("x-amz-expected-bucket-owner", "000000000000").sign();
    check(&harness, request, 404, "NoSuchKey").await;
}

/// An unsigned request is refused before its body is read.
#[tokio::test]
async fn nobody_puts_without_a_signature() {
    let harness = Harness::with_bucket().await;
    let request = Request::put("/bucket/key")
        .header("host", "localhost")
        .body(Full::new(Bytes::from("x")))
        .unwrap();
    assert_eq!(harness.send(request).await.outcome(), (403, "AccessDenied".to_owned()));
    assert_eq!(harness.blobs().await, 0);
}
