//! Conditions of Choice states.

use std::cmp::Ordering;

use serde_json::Value;

use crate::error::EvaluationError;
use crate::json;
use crate::path::Path;
use crate::scope::Scope;
use crate::template::Template;
use crate::time::parse_instant;

/// A Boolean expression over the input.
#[derive(Debug)]
pub(crate) enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    /// `Condition` of a JSONata state.
    Jsonata(Template),
    Test {
        variable: Path,
        test: Test,
    },
}

/// What is asked of one value.
#[derive(Debug)]
pub(crate) enum Test {
    IsNull(bool),
    IsPresent(bool),
    IsNumeric(bool),
    IsString(bool),
    IsBoolean(bool),
    IsTimestamp(bool),
    /// `*` stands for any text; `\*` is a star.
    Matches(String),
    Compare(Comparison),
}

/// A comparison of two values of one type.
#[derive(Debug)]
pub(crate) struct Comparison {
    pub(crate) subject: Subject,
    pub(crate) relation: Relation,
    pub(crate) operand: Operand,
}

/// The type that both values must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    String,
    Numeric,
    Boolean,
    Timestamp,
}

/// How the values must stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Equal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// The right side of a comparison.
#[derive(Debug)]
pub(crate) enum Operand {
    Literal(Value),
    Path(Path),
}

impl Condition {
    pub(crate) fn holds(&self, scope: &Scope<'_>) -> Result<bool, EvaluationError> {
        match self {
            Self::And(parts) => {
                for part in parts {
                    if !part.holds(scope)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Or(parts) => {
                for part in parts {
                    if part.holds(scope)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Jsonata(template) => template.evaluate_as(scope, "boolean", Value::as_bool),
            Self::Not(inner) => inner.holds(scope).map(|holds| !holds),
            Self::Test {
                variable,
                test: Test::IsPresent(expected),
            } => Ok(scope.read(variable).is_ok() == *expected),
            Self::Test { variable, test } => test.holds(&read(variable, scope)?, scope),
        }
    }
}

fn read(path: &Path, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
    scope.read(path).map_err(|_| {
        EvaluationError::runtime(format_args!(
            "Invalid path '{path}': The choice state's condition path references an invalid value."
        ))
    })
}

impl Test {
    fn holds(&self, value: &Value, scope: &Scope<'_>) -> Result<bool, EvaluationError> {
        Ok(match self {
            Self::IsPresent(expected) => *expected,
            Self::IsNull(expected) => value.is_null() == *expected,
            Self::IsNumeric(expected) => value.is_number() == *expected,
            Self::IsString(expected) => value.is_string() == *expected,
            Self::IsBoolean(expected) => value.is_boolean() == *expected,
            Self::IsTimestamp(expected) => {
                value.as_str().is_some_and(|text| parse_instant(text).is_some()) == *expected
            }
            Self::Matches(pattern) => value.as_str().is_some_and(|text| matches(pattern, text)),
            Self::Compare(comparison) => {
                let operand = match &comparison.operand {
                    Operand::Literal(value) => value.clone(),
                    Operand::Path(path) => read(path, scope)?,
                };
                let order = order(comparison.subject, value, &operand);
                order.is_some_and(|order| comparison.relation.accepts(order))
            }
        })
    }
}

impl Relation {
    fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}

/// Nothing where a value is of another type: such a comparison is false.
fn order(subject: Subject, left: &Value, right: &Value) -> Option<Ordering> {
    match (subject, left, right) {
        (Subject::String, Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Subject::Numeric, Value::Number(left), Value::Number(right)) => Some(json::compare_numbers(left, right)),
        (Subject::Boolean, Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Subject::Timestamp, Value::String(left), Value::String(right)) => {
            Some(parse_instant(left)?.cmp(&parse_instant(right)?))
        }
        _ => None,
    }
}

/// Whether a text matches a pattern. The parts between the stars are looked
/// for one after the other, each as far left as it goes: linear in the text.
fn matches(pattern: &str, text: &str) -> bool {
    let parts = parts(pattern);
    let Some((last, rest)) = parts.split_last() else {
        return false;
    };
    let Some((first, middle)) = rest.split_first() else {
        return text == last;
    };
    let Some(text) = text.strip_prefix(first.as_str()) else {
        return false;
    };
    let Some(mut text) = text.strip_suffix(last.as_str()) else {
        return false;
    };
    middle.iter().all(|part| match text.find(part.as_str()) {
        Some(at) => {
            text = &text[at + part.len()..];
            true
        }
        None => false,
    })
}

/// The parts of a pattern between its stars, escapes resolved; at least one.
fn parts(pattern: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut part = String::new();
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '*' => {
                if let Some(last) = parts.last_mut() {
                    *last = std::mem::take(&mut part);
                }
                parts.push(String::new());
            }
            '\\' if matches!(characters.peek(), Some('*' | '\\')) => part.extend(characters.next()),
            other => part.push(other),
        }
    }
    if let Some(last) = parts.last_mut() {
        *last = part;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_any_text() {
        let check =
            |pattern: &str, text: &str, expect: bool| assert_eq!(matches(pattern, text), expect, "{pattern} {text}");
        check("log-*.txt", "log-2026.txt", true);
        check("log-*.txt", "log-.txt.old", false);
        check("*", "", true);
        check("a*b*c", "aXbYbZc", true);
        check("a\\*b", "a*b", true);
        check("a\\*b", "aXb", false);
        check("a\\\\*", "a\\rest", true);
        check("", "x", false);
        check(&"*a".repeat(50), &"a".repeat(2000), true);
        check("ab*ba", "aba", false);
        check(&format!("*{}b", "a".repeat(100_000)), &"a".repeat(200_000), false);
    }
}
