//! The `jsonpath` suite: Jayway's answers to queries.

use scones_asl::Path;
use serde_json::Value;

use crate::score::Tally;

#[test]
fn paths_answer_as_jayway_does() {
    let Some(folder) = crate::suite("jsonpath") else { return };
    let mut tally = Tally::default();
    for case in crate::cases(&folder).iter().flat_map(|file| file.as_array().unwrap()) {
        let (id, selector) = (case["id"].as_str().unwrap(), case["selector"].as_str().unwrap());
        let actual = match Path::parse(selector) {
            Err(_) => Err("NOT_SUPPORTED"),
            Ok(path) => path.query(&case["document"]).map_err(|_| "NOT_FOUND"),
        };
        let passed = match (&case["jayway"]["error"], &actual) {
            (Value::Null, Ok(actual)) => same(
                &case["jayway"]["value"],
                actual,
                selector.contains("..") || case["document"].is_object(),
            ),
            (Value::Null, Err(_)) => false,
            (_, Ok(_)) => false,
            (expected, Err(error)) => expected == error,
        };
        tally.add("jayway", passed);
        if !passed && crate::shown(id) {
            println!(
                "{id} {selector}\n    expected {}\n    but was {actual:?}",
                case["jayway"]
            );
        }
    }
    tally.check("jsonpath");
}

/// Equality by value; matches at several depths may come in any order.
fn same(expected: &Value, actual: &Value, any_order: bool) -> bool {
    match (expected, actual) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) if any_order => {
            let mut rest: Vec<&Value> = right.iter().collect();
            left.len() == right.len()
                && left.iter().all(|value| {
                    let position = rest.iter().position(|other| same(value, other, false));
                    position.map(|position| rest.remove(position)).is_some()
                })
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right, false))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, value)| right.get(key).is_some_and(|other| same(value, other, false)))
        }
        _ => expected == actual,
    }
}
