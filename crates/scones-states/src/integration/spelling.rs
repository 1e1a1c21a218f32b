//! Tasks spell every member in PascalCase and see dates as text or as
//! milliseconds; the APIs have their own ways.

use scones_api::Timestamp;
use serde_json::{Map, Value};

use super::service::{Service, Spelling, Style};

/// Members whose names are the user's: they stay as they are.
const MAPS: [&str; 4] = ["assignedVariables", "tags", "variableReferences", "variables"];

/// A task's parameters as the API takes them.
///
/// # Errors
/// The name of a parameter that is not spelt as tasks spell them.
pub(super) fn input(service: &Service, parameters: &Value) -> Result<Map<String, Value>, String> {
    let Value::Object(parameters) = parameters else {
        return Ok(Map::new());
    };
    if let Some(name) = parameters.keys().find(|name| !name.starts_with(char::is_uppercase)) {
        return Err(name.clone());
    }
    let given = parameters.iter().filter(|(_, value)| !value.is_null());
    Ok(given
        .map(|(name, value)| {
            let value = match value {
                Value::Object(_) | Value::Array(_) | Value::Number(_) | Value::Bool(_)
                    if service.documents.contains(&name.as_str()) =>
                {
                    Value::String(value.to_string())
                }
                other if service.spelling == Spelling::Camel && !(is_map(name) && other.is_object()) => {
                    respelt(other, camel)
                }
                other => other.clone(),
            };
            match service.spelling {
                Spelling::Pascal => (name.clone(), value),
                Spelling::Camel => (camel(name), value),
            }
        })
        .collect())
}

/// An API's response as tasks see it.
pub(super) fn output(service: &Service, style: Style, mut response: Value) -> Map<String, Value> {
    if !service.dates.is_empty() {
        rewrite_dates(service, style, &mut response);
    }
    if service.spelling == Spelling::Camel {
        response = respelt(&response, pascal);
    }
    match response {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Seconds since the epoch as `2026-11-23T08:14:29.123Z`, and in the older
/// integrations as milliseconds.
fn rewrite_dates(service: &Service, style: Style, value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let is_date = service.dates.iter().any(|ending| name.ends_with(ending));
                match member {
                    Value::Number(seconds) if is_date => {
                        if let Ok(time) = serde_json::from_value::<Timestamp>(Value::Number(seconds.clone())) {
                            *member = match style {
                                Style::Optimised => time.as_millis().into(),
                                Style::Sdk => iso(time).into(),
                            };
                        }
                    }
                    other => rewrite_dates(service, style, other),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                rewrite_dates(service, style, item);
            }
        }
        _ => {}
    }
}

/// `2026-11-23T08:14:29.123Z`; whole seconds have no decimals.
fn iso(time: Timestamp) -> String {
    time.to_iso8601().replace(".000Z", "Z")
}

fn is_map(name: &str) -> bool {
    MAPS.iter().any(|map| map.eq_ignore_ascii_case(name))
}

/// The value with every member's name spelt by `spell`.
fn respelt(value: &Value, spell: fn(&str) -> String) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| {
                let member = match (is_map(name), member) {
                    (true, Value::Object(_)) => member.clone(),
                    _ => respelt(member, spell),
                };
                (spell(name), member)
            })
            .collect(),
        Value::Array(items) => items.iter().map(|item| respelt(item, spell)).collect(),
        other => other.clone(),
    }
}

pub(super) fn pascal(name: &str) -> String {
    first(name, char::to_ascii_uppercase)
}

fn camel(name: &str) -> String {
    first(name, char::to_ascii_lowercase)
}

fn first(name: &str, change: fn(&char) -> char) -> String {
    let mut characters = name.chars();
    characters
        .next()
        .map(|first| std::iter::once(change(&first)).chain(characters).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::service::find, *};

    #[test]
    fn parameters_are_spelt_as_the_api_does() {
        let check = |service: &str, parameters: Value, expect: Result<Value, &str>| {
            let (service, _) = find(service, "startExecution").unwrap();
            let input = input(service, &parameters).map(Value::Object);
            assert_eq!(input, expect.map_err(str::to_owned), "{parameters}");
        };
        check(
            "states",
            json!({"StateMachineArn": "a", "Input": {"Key": 1}, "Name": null}),
            Ok(json!({"stateMachineArn": "a", "input": "{\"Key\":1}"})),
        );
        check(
            "aws-sdk:sfn",
            json!({"Input": "{}", "Tags": [{"Key": "k"}]}),
            Ok(json!({"input": "{}", "tags": [{"key": "k"}]})),
        );
        check(
            "aws-sdk:cloudwatchlogs",
            json!({"Tags": {"Key": "k"}}),
            Ok(json!({"tags": {"Key": "k"}})),
        );
        check("aws-sdk:sfn", json!({"stateMachineArn": "a"}), Err("stateMachineArn"));
        check(
            "aws-sdk:s3",
            json!({"Bucket": "b", "Body": {"a": 1}}),
            Ok(json!({"Bucket": "b", "Body": "{\"a\":1}"})),
        );
        check("aws-sdk:sagemaker", json!("text"), Ok(json!({})));
    }

    #[test]
    fn responses_are_spelt_as_tasks_do() {
        let check = |service: &str, response: Value, expect: Value| {
            let (service, style) = find(service, "startExecution").unwrap();
            assert_eq!(Value::Object(output(service, style, response)), expect);
        };
        let started = json!({"executionArn": "a", "startDate": 1_700_000_000.5});
        check(
            "states",
            started.clone(),
            json!({"ExecutionArn": "a", "StartDate": 1_700_000_000_500_i64}),
        );
        check(
            "aws-sdk:sfn",
            started,
            json!({"ExecutionArn": "a", "StartDate": "2023-11-14T22:13:20.500Z"}),
        );
        check(
            "aws-sdk:sfn",
            json!({"events": [{"timestamp": 0.0, "id": 1}], "variableReferences": {"state": ["x"]}}),
            json!({"Events": [{"Timestamp": "1970-01-01T00:00:00Z", "Id": 1}], "VariableReferences": {"state": ["x"]}}),
        );
        check(
            "aws-sdk:sagemaker",
            json!({"CreationTime": 1.0, "TrainingTimeInSeconds": 5}),
            json!({"CreationTime": "1970-01-01T00:00:01Z", "TrainingTimeInSeconds": 5}),
        );
        check(
            "aws-sdk:cloudwatchlogs",
            json!({"creationTime": 5}),
            json!({"CreationTime": 5}),
        );
        check("aws-sdk:sfn", Value::Null, json!({}));
    }
}
