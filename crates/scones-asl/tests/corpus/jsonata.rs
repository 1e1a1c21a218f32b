//! The `jsonata` suite: the cases of JSONata's own tests that hold in version
//! 2.0.6, which Step Functions runs, without `$eval`, which it refuses.

use std::collections::HashMap;

use scones_asl::{Timestamp, evaluate_jsonata};
use serde_json::{Map, Value};

use crate::score::Tally;

/// 2026-01-01, so that `$now()` is a date like any other.
const NOW: Timestamp = Timestamp(1_767_225_600_000);

#[test]
fn expressions_evaluate_as_in_the_reference() {
    let Some(folder) = crate::suite("jsonata") else { return };
    // Half a surrogate pair is no text in Rust.
    let halves = regex::Regex::new(r"(\\u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w)|\\u[dD][89a-fA-F]\w\w").unwrap();
    let read = |path: std::path::PathBuf| -> Value {
        let text = std::fs::read_to_string(path).unwrap();
        let text = halves.replace_all(&text, |found: &regex::Captures<'_>| {
            found
                .get(1)
                .map_or("\\ufffd".to_owned(), |pair| pair.as_str().to_owned())
        });
        serde_json::from_str(&text).unwrap()
    };
    let mut datasets: HashMap<String, Value> = HashMap::new();
    let mut tally = Tally::default();
    for case in read(folder.join("cases.json")).as_array().unwrap() {
        if case["js_2_0_6"] != true || case["uses_eval"] == true {
            continue;
        }
        let (id, case) = (case["id"].as_str().unwrap(), &case["case"]);
        let document = match case["dataset"].as_str() {
            Some(name) => Some(
                &*datasets
                    .entry(name.to_owned())
                    .or_insert_with(|| read(folder.join("datasets").join(format!("{name}.json")))),
            ),
            None => case.get("data"),
        };
        let bindings = case["bindings"].as_object().cloned().unwrap_or_else(Map::new);
        let expression = case["expr"].as_str().unwrap();
        let actual = evaluate_jsonata(expression, document, &bindings, NOW, 0);
        let passed = match &actual {
            Err(_) => case.get("result").is_none() && case.get("undefinedResult").is_none(),
            Ok(None) => case.get("result").is_none() && case.get("code").is_none() && case.get("error").is_none(),
            Ok(Some(value)) => case.get("result").is_some_and(|expected| close(expected, value)),
        };
        tally.add("jsonata", passed);
        if !passed && crate::shown(id) {
            println!("{id} {expression}\n    expected {case}\n    but was {actual:?}");
        }
    }
    tally.check("jsonata");
}

/// Equality by value, with the last digits of doubles left open.
fn close(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Number(left), Value::Number(right)) => {
            let (left, right) = (left.as_f64().unwrap(), right.as_f64().unwrap());
            (left - right).abs() <= 1e-12 * left.abs().max(1.0)
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| close(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, value)| right.get(key).is_some_and(|other| close(value, other)))
        }
        _ => expected == actual,
    }
}
