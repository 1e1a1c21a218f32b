//! JSON to JSONata's values and back. Numbers become doubles on the way.

use indexmap::IndexMap;
use jsonata_core::value::JValue;
use serde_json::{Map, Number, Value};

use crate::json::double;

pub(super) fn to_jsonata(value: &Value) -> JValue {
    match value {
        Value::Null => JValue::Null,
        Value::Bool(boolean) => JValue::Bool(*boolean),
        Value::Number(number) => JValue::from_f64(double(number)),
        Value::String(text) => JValue::string(text.as_str()),
        Value::Array(elements) => JValue::array(elements.iter().map(to_jsonata).collect()),
        Value::Object(fields) => {
            let fields: IndexMap<String, JValue> = fields
                .iter()
                .map(|(name, value)| (name.clone(), to_jsonata(value)))
                .collect();
            JValue::object(fields)
        }
    }
}

/// Nothing for `undefined` and for functions. Inside an object such a field is
/// left out, inside an array it is null.
pub(super) fn from_jsonata(value: &JValue) -> Option<Value> {
    if let Some(elements) = value.as_array() {
        return Some(
            elements
                .iter()
                .map(|element| from_jsonata(element).unwrap_or_default())
                .collect(),
        );
    }
    if let Some(fields) = value.as_object() {
        let fields: Map<String, Value> = fields
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), from_jsonata(value)?)))
            .collect();
        return Some(Value::Object(fields));
    }
    match value {
        JValue::Null => Some(Value::Null),
        JValue::Bool(boolean) => Some(Value::Bool(*boolean)),
        JValue::Number(number) => Some(from_number(*number)),
        JValue::String(text) => Some(Value::String(text.to_string())),
        _ => None,
    }
}

/// A whole number reads as one: `5`, not `5.0`.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn from_number(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 1e18 {
        Value::from(number as i64)
    } else {
        Number::from_f64(number).map_or(Value::Null, Value::Number)
    }
}
