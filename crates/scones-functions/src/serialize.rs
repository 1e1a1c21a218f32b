//! `serializeImageData`: an object of S3 becomes base64 in the event.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::{Failure, Services, event};

/// `{s3_bucket, s3_key}` becomes `{image_data, s3_bucket, s3_key, inferences: []}`.
pub fn handle(event: &Value, services: &dyn Services) -> Result<Value, Failure> {
    let input = event::body(event)?;
    let (bucket, key) = (event::text(&input, "s3_bucket")?, event::text(&input, "s3_key")?);
    let image = services.get_object(bucket, key)?;
    let mut body = Map::new();
    body.insert("image_data".to_owned(), json!(STANDARD.encode(image)));
    body.insert("s3_bucket".to_owned(), json!(bucket));
    body.insert("s3_key".to_owned(), json!(key));
    body.insert("inferences".to_owned(), json!([]));
    // An endpoint or a threshold for this execution alone travels along.
    for name in ["endpoint", "threshold"] {
        if let Some(value) = input.get(name) {
            body.insert(name.to_owned(), value.clone());
        }
    }
    Ok(event::answer(body))
}
