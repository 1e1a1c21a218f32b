//! The operations as state machines call them.

use std::{collections::BTreeSet, sync::Arc};

use http::Method;
use scones_api::{Caller, JsonService as _, RequestContext};
use scones_s3::S3;
use serde_json::{Value, json};

use crate::support::Harness;

const COVERAGE: &str = include_str!("../../../../docs/coverage.md");
const CALLS: &str = include_str!("calls.txt");

/// The operations that the table of S3's chapter names.
fn documented() -> BTreeSet<&'static str> {
    let chapter = COVERAGE
        .split("\n## S3\n")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    let cells = chapter.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = cells.filter_map(|row| row.split('|').next()).skip(1);
    cells.flat_map(|cell| cell.split(", ").map(str::trim)).collect()
}

#[test]
fn every_documented_operation_can_be_called() {
    assert_eq!(S3::operations().collect::<BTreeSet<_>>(), documented());
}

/// Calls an operation; gives what it answers, or its error's status and code.
async fn call(harness: &Harness, operation: &str, input: &Value) -> Result<Value, (u16, String, String)> {
    let context = RequestContext {
        caller: Arc::new(Caller {
            access_key_id: "states".to_owned(),
            arn: "arn:aws:iam::000000000000:root".parse().unwrap(),
        }),
        request_id: "request".to_owned(),
    };
    let answer = harness.s3.call(operation, input.to_string().as_bytes(), &context).await;
    answer
        .map(|json| serde_json::from_slice(&json).unwrap())
        .map_err(|error| (error.status, error.code, error.message))
}

/// An answer with `DATE` and `UPLOAD` in the place of what differs every time.
fn settled(mut answer: Value) -> Value {
    match &mut answer {
        Value::Object(members) => {
            for (name, value) in members {
                let text = value.as_str().unwrap_or_default();
                *value = match name.as_str() {
                    "CreationDate" | "Initiated" | "LastModified" if text.len() == 20 && text.ends_with('Z') => {
                        "DATE".into()
                    }
                    "UploadId" => "UPLOAD".into(),
                    _ => settled(value.take()),
                };
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = settled(item.take())),
        _ => {}
    }
    answer
}

#[tokio::test]
async fn every_operation_answers_as_an_sdk_would() {
    let harness = Harness::new().await;
    let (mut called, mut upload) = (BTreeSet::new(), String::new());
    for line in CALLS.lines().filter(|line| line.starts_with(char::is_uppercase)) {
        let (asked, expect) = line.split_once(" = ").unwrap();
        let (operation, input) = asked.split_once(' ').unwrap();
        let input: Value = serde_json::from_str(&written_out(input).replace("UPLOAD", &upload)).unwrap();
        match (call(&harness, operation, &input).await, expect.starts_with('{')) {
            (Ok(answer), true) => {
                let expect: Value = serde_json::from_str(&written_out(expect)).unwrap();
                if let Some(id) = answer["UploadId"].as_str() {
                    id.clone_into(&mut upload);
                }
                assert_eq!(settled(answer), expect, "{asked}");
                called.insert(operation);
            }
            (Err((status, code, message)), false) => {
                let expected: Vec<_> = expect.splitn(3, ' ').collect();
                assert_eq!(
                    (status.to_string().as_str(), code.as_str()),
                    (expected[0], expected[1]),
                    "{asked}"
                );
                assert!(message.contains(expected.get(2).unwrap_or(&"")), "{asked}: {message}");
                called.insert(operation);
            }
            (answer, _) => panic!("{asked}: {answer:?}"),
        }
    }
    let never: Vec<_> = S3::operations().filter(|name| !called.contains(name)).collect();
    assert!(never.is_empty(), "{never:?}");
}

/// JSON without the short names of `calls.txt`.
fn written_out(text: &str) -> String {
    text.replace("{OBJECT", "{\"Bucket\": \"bucket\", \"Key\": \"a/é 1.txt\"")
        .replace("{BUCKET", "{\"Bucket\": \"bucket\"")
        .replace("OWNER", "{\"ID\": \"000000000000\"}")
        .replace("ETAG", r#""\"5d41402abc4b2a76b9719d911017c592\"""#)
        .replace("CRC,", "\"M3eFcAZSQlc=\",")
        .replace("SHA}", "\"LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=\"}")
}

#[tokio::test]
async fn bodies_are_text_of_what_a_state_can_hold() {
    let harness = Harness::with_bucket().await;
    let check = async |bytes: &[u8], expect: Result<&str, &str>| {
        harness.call(Method::PUT, "/bucket/body", &[], bytes).await;
        let answer = call(&harness, "GetObject", &json!({"Bucket": "bucket", "Key": "body"})).await;
        let answer = answer.map(|object| object["Body"].as_str().unwrap().to_owned());
        assert_eq!(answer.as_deref().map_err(|error| error.1.as_str()), expect);
    };
    check(b"", Ok("")).await;
    check("<é>\r\n".as_bytes(), Ok("<é>\r\n")).await;
    check(b"a\xff", Ok("a\u{fffd}")).await;
    check(&[b'x'; 262_144], Ok(&"x".repeat(262_144))).await;
    check(&[b'x'; 262_145], Err("EntityTooLarge")).await;
}

#[tokio::test]
async fn keys_survive_the_way() {
    let harness = Harness::with_bucket().await;
    for key in [
        "a",
        " a ",
        "/a",
        "a//b",
        "a/",
        "..",
        "a/../b",
        "%41",
        "a+b",
        "é?#&<>\"'",
        "a\r\nb",
        "a\tb",
    ] {
        let object = json!({"Bucket": "bucket", "Key": key});
        call(&harness, "PutObject", &object).await.unwrap();
        let listed = call(&harness, "ListObjectsV2", &json!({"Bucket": "bucket"}))
            .await
            .unwrap();
        assert_eq!(listed["Contents"][0]["Key"], key);
        let delete = json!({"Bucket": "bucket", "Delete": {"Objects": [{"Key": key}]}});
        let deleted = call(&harness, "DeleteObjects", &delete).await;
        assert_eq!(deleted, Ok(json!({"Deleted": [{"Key": key}]})));
        let listed = call(&harness, "ListObjectsV2", &json!({"Bucket": "bucket"}))
            .await
            .unwrap();
        assert_eq!(listed["Contents"], json!([]), "{key}");
    }
}
