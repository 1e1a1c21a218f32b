//! `classifyImageData`: the endpoint's probabilities join the event.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::{Failure, Services, Settings, event};

/// `{image_data, ...}` becomes `{image_data, ..., inferences: [p, q]}`.
pub fn handle(event: &Value, settings: &Settings, services: &dyn Services) -> Result<Value, Failure> {
    let mut body = event::body(event)?;
    let image = STANDARD
        .decode(event::text(&body, "image_data")?)
        .map_err(|error| Failure::event(format!("image_data is not base64: {error}")))?;
    let own = body.get("endpoint").and_then(Value::as_str);
    let endpoint = own.or(settings.endpoint.as_deref()).ok_or_else(|| {
        Failure::new(
            "NoEndpoint",
            "no endpoint is named: set the function's environment variable ENDPOINT, or the event's `endpoint`",
        )
    })?;
    let answer = services.invoke_endpoint(endpoint, content_type(&image), &image)?;
    let inferences: Vec<f64> = serde_json::from_slice(&answer).map_err(|error| {
        Failure::new(
            "InvalidInference",
            format!("the endpoint `{endpoint}` did not answer with a list of numbers: {error}"),
        )
    })?;
    body.insert("inferences".to_owned(), inferences.into());
    Ok(event::answer(body))
}

/// The type of an image, by its first bytes.
fn content_type(image: &[u8]) -> &'static str {
    match image {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [0xff, 0xd8, ..] => "image/jpeg",
        _ => "application/x-image",
    }
}
