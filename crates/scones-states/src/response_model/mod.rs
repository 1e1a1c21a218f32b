//! What the services that tasks call may answer, to check a made-up result
//! against it. AWS has a model of every API; here is one of the services that
//! Scones has and of some small responses. Other results are not checked.

mod notation;

use std::fmt::{self, Display};

use scones_asl::Resource;
use serde_json::Value;

use notation::{Member, Shape};

const RESPONSES: &str = include_str!("responses.txt");

/// What a result must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// Every required member, and no member of another shape.
    Strict,
    /// No member of another shape.
    Present,
}

/// Why a result is not a response of the service; AWS names the innermost member alone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    member: String,
    problem: &'static str,
}

impl Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.member.as_str() {
            "" => write!(formatter, "The result {}", self.problem),
            member => write!(formatter, "Field '{member}' {}", self.problem),
        }
    }
}

/// Checks the result of a task that calls `resource`. Members that the model
/// does not know may be anything.
pub(crate) fn check(resource: &Resource, result: &Value, strictness: Strictness) -> Result<(), Mismatch> {
    let Resource::Service { service, resource, .. } = resource else {
        return Ok(());
    };
    let key = format!("{service}:{resource}");
    let plain = key.strip_prefix("aws-sdk:");
    let shape = notation::find(RESPONSES, &key).or_else(|| notation::find(RESPONSES, plain?));
    shape.map_or(Ok(()), |shape| conforms("", result, &shape, strictness))
}

fn conforms(member: &str, value: &Value, shape: &Shape, strictness: Strictness) -> Result<(), Mismatch> {
    let problem = match (shape, value) {
        (Shape::Any, _) | (Shape::Boolean, Value::Bool(_)) => None,
        (Shape::Text(length), Value::String(text)) => match text.chars().count() {
            count if count < *length.start() => Some("is smaller than the minimum length"),
            count if count > *length.end() => Some("exceeds the maximum length"),
            _ => None,
        },
        (Shape::Choice(choices), Value::String(text)) => {
            (!choices.contains(text)).then_some("is not an expected value")
        }
        (Shape::Number(range), Value::Number(number)) => match number.as_f64() {
            Some(number) if number < *range.start() => Some("is less than the minimum value"),
            Some(number) if number > *range.end() => Some("exceeds the maximum value"),
            _ => None,
        },
        (Shape::List(inner), Value::Array(elements)) => {
            let mut elements = elements.iter();
            return elements.try_for_each(|element| conforms(member, element, inner, strictness));
        }
        (Shape::Map(inner), Value::Object(fields)) => {
            let mut fields = fields.iter();
            return fields.try_for_each(|(name, value)| conforms(name, value, inner, strictness));
        }
        (Shape::Structure(members), Value::Object(fields)) => {
            for Member { name, required, shape } in members {
                match fields.get(name) {
                    Some(value) => conforms(name, value, shape, strictness)?,
                    None if *required && strictness == Strictness::Strict => {
                        return Err(Mismatch {
                            member: name.clone(),
                            problem: "is required but was missing",
                        });
                    }
                    None => {}
                }
            }
            None
        }
        (Shape::Boolean, _) => Some("must be a boolean"),
        (Shape::Text(_) | Shape::Choice(_), _) => Some("must be a string"),
        (Shape::Number(_), _) => Some("must be a number"),
        (Shape::List(_), _) => Some("must be an array"),
        (Shape::Map(_) | Shape::Structure(_), _) => Some("must be an object"),
    };
    problem.map_or(Ok(()), |problem| {
        let member = member.to_owned();
        Err(Mismatch { member, problem })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_can_be_read() {
        let mut count = 0;
        for (keys, _) in notation::entries(RESPONSES) {
            for key in keys.split(',').map(str::trim) {
                assert!(notation::find(RESPONSES, key).is_some(), "{key}");
                count += 1;
            }
        }
        assert!(count > 60, "{count}");
    }

    #[test]
    fn shapes() {
        let check = |shape: &str, value: Value, expect: &str| {
            let shape = notation::find(&format!("key = {shape}"), "key").unwrap();
            let actual = conforms("F", &value, &shape, Strictness::Strict);
            assert_eq!(
                actual.err().map_or(String::new(), |problem| problem.to_string()),
                expect,
                "{value}"
            );
        };
        check("text(2..3)", json!("é"), "Field 'F' is smaller than the minimum length");
        check("text(2..3)", json!("abcd"), "Field 'F' exceeds the maximum length");
        check("text", json!(1), "Field 'F' must be a string");
        check("text(A|B)", json!("B"), "");
        check("text(A|B)", json!("C"), "Field 'F' is not an expected value");
        check("number(1..)", json!(0.5), "Field 'F' is less than the minimum value");
        check("number(..5)", json!(6), "Field 'F' exceeds the maximum value");
        check("number", json!("6"), "Field 'F' must be a number");
        check("boolean", json!("true"), "Field 'F' must be a boolean");
        check("[number]", json!([1, "2"]), "Field 'F' must be a number");
        check("[number]", json!({}), "Field 'F' must be an array");
        check("<text>", json!({"k": 1}), "Field 'k' must be a string");
        check("object", json!([]), "Field 'F' must be an object");
        check(
            "{A! {B text}}",
            json!({"A": {"B": 1, "C": 2}}),
            "Field 'B' must be a string",
        );
        check("{A! text}", json!({"a": "x"}), "Field 'A' is required but was missing");
        check("any", json!(null), "");
        check("text", json!(null), "Field 'F' must be a string");
    }
}
