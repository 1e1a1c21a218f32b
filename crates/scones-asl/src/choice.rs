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

/// Matches greedily from the left, going back to the last star on a mismatch:
/// linear in memory, at worst quadratic in time.
fn matches(pattern: &str, text: &str) -> bool {
    let pattern = tokens(pattern);
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Some(character)) if *character == text[t] => {
                p += 1;
                t += 1;
            }
            Some(None) => {
                last_star = Some((p, t));
                p += 1;
            }
            _ => match last_star {
                Some((star, from)) => {
                    last_star = Some((star, from + 1));
                    p = star + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(Option::is_none)
}

/// The characters of a pattern; a star is nothing.
fn tokens(pattern: &str) -> Vec<Option<char>> {
    let mut tokens = Vec::new();
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        tokens.push(match character {
            '*' => None,
            '\\' if matches!(characters.peek(), Some('*' | '\\')) => characters.next(),
            other => Some(other),
        });
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_any_text() {
        let check = |pattern, text, expect| assert_eq!(matches(pattern, text), expect, "{pattern} {text}");
        check("log-*.txt", "log-2026.txt", true);
        check("log-*.txt", "log-.txt.old", false);
        check("*", "", true);
        check("a*b*c", "aXbYbZc", true);
        check("a\\*b", "a*b", true);
        check("a\\*b", "aXb", false);
        check("a\\\\*", "a\\rest", true);
        check("", "x", false);
        check(&"*a".repeat(50), &"a".repeat(2000), true);
    }
}
