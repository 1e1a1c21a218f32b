//! `filterInferences`: a confident answer passes, another ends the execution.

use serde_json::Value;

use crate::{Failure, Settings, event};

/// The confidence that must be exceeded, unless configured.
const THRESHOLD: f64 = 0.93;

/// The event, if one of its inferences exceeds the threshold.
pub fn handle(event: &Value, settings: &Settings) -> Result<Value, Failure> {
    let body = event::body(event)?;
    let inferences = match body.get("inferences") {
        // What the endpoint answered, kept as text.
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
        Some(other) => other.clone(),
        None => Value::Null,
    };
    let numbers = inferences
        .as_array()
        .map(|all| all.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>());
    let Some(Some(numbers)) = numbers else {
        return Err(Failure::event("the event's `inferences` are not a list of numbers"));
    };
    let own = body.get("threshold").and_then(Value::as_f64);
    let threshold = own.or(settings.threshold).unwrap_or(THRESHOLD);
    let best = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if best > threshold {
        return Ok(event::answer(body));
    }
    Err(Failure::new(
        "THRESHOLD_CONFIDENCE_NOT_MET",
        format!("THRESHOLD_CONFIDENCE_NOT_MET: none of {numbers:?} is above {threshold}"),
    ))
}
