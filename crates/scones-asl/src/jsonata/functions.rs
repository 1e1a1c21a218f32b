//! The functions that Step Functions adds to JSONata or takes from it.

use jsonata_core::evaluator::{Evaluator, EvaluatorError};
use jsonata_core::parser;
use jsonata_core::value::JValue;
use serde_json::Value;

use super::value::{from_jsonata, to_jsonata};
use crate::intrinsic;
use crate::random::Random;
use crate::time::Timestamp;

type Result = std::result::Result<JValue, EvaluatorError>;

fn refused(message: impl Into<String>) -> EvaluatorError {
    EvaluatorError::EvaluationError(message.into())
}

/// Adds `$partition`, `$range`, `$hash`, `$random`, `$uuid` and `$parse`;
/// takes the time from `now`; refuses `$eval`.
pub(super) fn register(
    evaluator: &mut Evaluator,
    now: Timestamp,
    seed: u64,
) -> std::result::Result<(), EvaluatorError> {
    let pure: [(&str, intrinsic::Pure); 3] = [
        ("partition", intrinsic::partition),
        ("range", intrinsic::range),
        ("hash", intrinsic::hash),
    ];
    for (name, function) in pure {
        evaluator.register_fn(name, move |arguments: &[JValue]| call(name, function, arguments))?;
    }
    let random = std::rc::Rc::new(Random::new(seed));
    let for_uuid = std::rc::Rc::clone(&random);
    evaluator.register_fn("uuid", move |_: &[JValue]| Ok(JValue::string(for_uuid.uuid())))?;
    evaluator.register_fn_override("random", move |arguments: &[JValue]| {
        Ok(JValue::from_f64(match arguments.first().and_then(JValue::as_i64) {
            Some(seed) => Random::new(seed.unsigned_abs()).fraction(),
            None => random.fraction(),
        }))
    })?;
    evaluator.register_fn("parse", |arguments: &[JValue]| {
        let text = arguments.first().and_then(JValue::as_str);
        let text = text.ok_or_else(|| refused("$parse expects a string"))?;
        let value: Value = serde_json::from_str(text).map_err(|error| refused(error.to_string()))?;
        Ok(to_jsonata(&value))
    })?;
    evaluator.register_fn_override("eval", |_: &[JValue]| -> Result {
        Err(refused("The function $eval is not supported"))
    })?;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds stay below 2^53")]
    let milliseconds = now.0 as f64;
    evaluator.register_fn_override("millis", move |_: &[JValue]| Ok(JValue::from_f64(milliseconds)))?;
    evaluator.register_fn_override("now", move |arguments: &[JValue]| format_time(now, arguments))
}

fn call(name: &str, function: intrinsic::Pure, arguments: &[JValue]) -> Result {
    let arguments: Option<Vec<Value>> = arguments.iter().map(from_jsonata).collect();
    let arguments = arguments.ok_or_else(|| refused(format!("${name}: an argument is undefined")))?;
    function(&arguments)
        .map(|value| to_jsonata(&value))
        .map_err(|error| refused(format!("${name}: {error}")))
}

/// `$now(picture?, timezone?)`, by way of `$fromMillis`.
fn format_time(now: Timestamp, arguments: &[JValue]) -> Result {
    let mut source = format!("$fromMillis({}", now.0);
    for argument in arguments.iter().filter_map(JValue::as_str) {
        source.push_str(", ");
        source.push_str(&Value::from(argument).to_string());
    }
    source.push(')');
    let ast = parser::parse(&source).map_err(|error| refused(error.to_string()))?;
    Evaluator::new().evaluate(&ast, &JValue::Undefined)
}
