//! Reading events. A function's event is the state machine's input or the last
//! function's answer, whose `body` carries what is passed on; the body may be
//! an object or, as many functions on AWS make it, the JSON text of one.

use serde_json::{Map, Value, json};

use crate::Failure;

/// What an event carries: its `body`, else the event itself.
pub fn body(event: &Value) -> Result<Map<String, Value>, Failure> {
    let carried = event.get("body").unwrap_or(event);
    let carried = match carried {
        Value::String(text) => {
            &serde_json::from_str(text).map_err(|error| Failure::event(format!("the body is not JSON: {error}")))?
        }
        other => other,
    };
    match carried {
        Value::Object(members) => Ok(members.clone()),
        _ => Err(Failure::event("the event is not an object")),
    }
}

/// A text that must be there.
pub fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<&'a str, Failure> {
    match members
        .get(name)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
    {
        Some(text) => Ok(text),
        None => Err(Failure::event(format!("the event has no text `{name}`"))),
    }
}

/// The answer that passes `body` on.
pub fn answer(body: Map<String, Value>) -> Value {
    json!({ "statusCode": 200, "body": body })
}
