//! What the functions make of an event.

use std::cell::RefCell;

use scones_functions::{Failure, Services, Settings, handle};
use serde_json::{Value, json};

/// S3 with one object, and an endpoint with one answer.
struct Fake {
    image: &'static [u8],
    answer: &'static str,
    asked: RefCell<Vec<String>>,
}

impl Services for Fake {
    fn get_object(&self, bucket: &str, key: &str) -> Result<Vec<u8>, Failure> {
        self.asked.borrow_mut().push(format!("s3://{bucket}/{key}"));
        match key {
            "missing" => Err(Failure::new("NoSuchKey", "The specified key does not exist.")),
            _ => Ok(self.image.to_vec()),
        }
    }

    fn invoke_endpoint(&self, endpoint: &str, content_type: &str, body: &[u8]) -> Result<Vec<u8>, Failure> {
        self.asked
            .borrow_mut()
            .push(format!("{endpoint} {content_type} {}", body.len()));
        Ok(self.answer.as_bytes().to_vec())
    }
}

fn fake() -> Fake {
    Fake {
        image: b"\x89PNG\r\n",
        answer: "[0.98, 0.02]",
        asked: RefCell::default(),
    }
}

fn settings() -> Settings {
    Settings {
        endpoint: Some("scones".to_owned()),
        threshold: None,
    }
}

/// Handles an event; a failure is its kind.
fn check(name: &str, event: &Value, expect: Result<Value, &str>) {
    let seen = handle(name, event, &settings(), &fake());
    assert_eq!(
        seen.as_ref().map_err(|failure| failure.kind.as_str()),
        expect.as_ref().map_err(|kind| *kind),
        "{event}"
    );
}

#[test]
fn an_object_becomes_text() {
    let expect = json!({"statusCode": 200, "body": {"image_data": "iVBORw0K", "s3_bucket": "b", "s3_key": "k", "inferences": []}});
    check(
        "serializeImageData",
        &json!({"s3_bucket": "b", "s3_key": "k"}),
        Ok(expect.clone()),
    );
    check(
        "serializeImageData",
        &json!({"image_data": "", "s3_bucket": "b", "s3_key": "k"}),
        Ok(expect.clone()),
    );
    check(
        "serializeImageData",
        &json!({"body": "{\"s3_bucket\": \"b\", \"s3_key\": \"k\"}"}),
        Ok(expect),
    );
    check(
        "serializeImageData",
        &json!({"s3_bucket": "b", "s3_key": "missing"}),
        Err("NoSuchKey"),
    );
    check("serializeImageData", &json!({"s3_bucket": "b"}), Err("InvalidEvent"));
    check("serializeImageData", &json!([]), Err("InvalidEvent"));
}

#[test]
fn an_endpoint_is_asked_with_the_images_type() {
    let event = json!({"statusCode": 200, "body": {"image_data": "iVBORw0K", "s3_bucket": "b", "s3_key": "k", "inferences": []}});
    let expect = json!({"statusCode": 200, "body": {"image_data": "iVBORw0K", "s3_bucket": "b", "s3_key": "k", "inferences": [0.98, 0.02]}});
    check("classifyImageData", &event, Ok(expect));
    check(
        "classifyImageData",
        &json!({"body": {"image_data": "%"}}),
        Err("InvalidEvent"),
    );
    let asked = |event: Value| {
        let fake = fake();
        handle("classifyImageData", &event, &settings(), &fake).unwrap();
        fake.asked.into_inner()
    };
    assert_eq!(asked(json!({"image_data": "iVBORw0K"})), ["scones image/png 6"]);
    assert_eq!(
        asked(json!({"image_data": "/9j/4A==", "endpoint": "own"})),
        ["own image/jpeg 4"]
    );
    let nowhere = handle("classifyImageData", &event, &Settings::default(), &fake());
    assert_eq!(nowhere.unwrap_err().kind, "NoEndpoint");
}

#[test]
fn only_a_confident_answer_passes() {
    for (inferences, passes) in [
        (json!([0.94, 0.06]), true),
        (json!([0.06, 0.94]), true),
        (json!("[0.94, 0.06]"), true),
        (json!([0.93, 0.07]), false),
        (json!([0.5, 0.5]), false),
        (json!([]), false),
    ] {
        let event = json!({"statusCode": 200, "body": {"inferences": inferences}});
        let expect = if passes {
            Ok(event.clone())
        } else {
            Err("THRESHOLD_CONFIDENCE_NOT_MET")
        };
        check("filterInferences", &event, expect);
    }
    check(
        "filterInferences",
        &json!({"body": {"inferences": "no"}}),
        Err("InvalidEvent"),
    );
    check(
        "filterInferences",
        &json!({"body": {"inferences": [0.9, 0.1], "threshold": 0.8}}).clone(),
        Ok(json!({"statusCode": 200, "body": {"inferences": [0.9, 0.1], "threshold": 0.8}})),
    );
    let low = handle(
        "filterInferences",
        &json!({"inferences": [0.6, 0.4]}),
        &settings(),
        &fake(),
    )
    .unwrap_err();
    insta::assert_snapshot!(low.message, @"THRESHOLD_CONFIDENCE_NOT_MET: none of [0.6, 0.4] is above 0.93");
}
