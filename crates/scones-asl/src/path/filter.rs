//! Filter expressions: `[?(@.price < 10 && @.name =~ /a.*/)]`.

use std::cmp::Ordering;

use regex::Regex;
use serde_json::{Number, Value};

use super::evaluate::query;
use super::{Path, Root};
use crate::json;

/// A condition on one element.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    Not(Box<Filter>),
    Exists(Path),
    Compare(Operand, Comparison, Operand),
}

/// One side of a comparison.
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    Path(Path),
    Literal(Value),
    Pattern(Regex),
}

/// How two operands are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Matches,
    AtMost,
    AtLeast,
    Less,
    Greater,
    In,
    NotIn,
    Contains,
    Size,
    Empty,
    SubsetOf,
    AnyOf,
    NoneOf,
}

impl Comparison {
    /// The operators, longer ones before those that begin them.
    pub(super) const ALL: &'static [(&'static str, Self)] = &[
        ("===", Self::Equal),
        ("!==", Self::NotEqual),
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
        ("=~", Self::Matches),
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("<", Self::Less),
        (">", Self::Greater),
        ("in ", Self::In),
        ("nin ", Self::NotIn),
        ("contains ", Self::Contains),
        ("size ", Self::Size),
        ("empty ", Self::Empty),
        ("subsetof ", Self::SubsetOf),
        ("anyof ", Self::AnyOf),
        ("noneof ", Self::NoneOf),
    ];

    fn holds(self, left: Option<&Value>, right: Option<&Value>) -> bool {
        let ordered = |accept: fn(Ordering) -> bool| {
            left.zip(right)
                .and_then(|(left, right)| order(left, right))
                .is_some_and(accept)
        };
        match self {
            Self::Equal => equal(left, right),
            Self::NotEqual => !equal(left, right),
            Self::AtMost => ordered(Ordering::is_le),
            Self::AtLeast => ordered(Ordering::is_ge),
            Self::Less => ordered(Ordering::is_lt),
            Self::Greater => ordered(Ordering::is_gt),
            Self::In => member(left, right),
            Self::NotIn => !member(left, right),
            Self::Contains => match (left, right) {
                (Some(Value::String(text)), Some(Value::String(part))) => text.contains(part),
                _ => member(right, left),
            },
            Self::Size => left.and_then(size) == right.and_then(Value::as_u64),
            Self::Empty => left.and_then(size).map(|size| size == 0) == right.and_then(Value::as_bool),
            Self::SubsetOf => elements(left).is_some_and(|left| left.iter().all(|e| member(Some(e), right))),
            Self::AnyOf => elements(left).is_some_and(|left| left.iter().any(|e| member(Some(e), right))),
            Self::NoneOf => elements(left).is_some_and(|left| !left.iter().any(|e| member(Some(e), right))),
            Self::Matches => false,
        }
    }
}

impl Filter {
    pub(super) fn accepts(&self, current: &Value, root: &Value) -> bool {
        match self {
            Self::And(left, right) => left.accepts(current, root) && right.accepts(current, root),
            Self::Or(left, right) => left.accepts(current, root) || right.accepts(current, root),
            Self::Not(inner) => !inner.accepts(current, root),
            Self::Exists(path) => exists(path, current, root),
            Self::Compare(left, Comparison::Matches, right) => matches(left, right, current, root),
            Self::Compare(left, comparison, right) => {
                let (left, right) = (left.value(current, root), right.value(current, root));
                comparison.holds(left.as_ref(), right.as_ref())
            }
        }
    }
}

impl Operand {
    fn value(&self, current: &Value, root: &Value) -> Option<Value> {
        match self {
            Self::Path(path) => read(path, current, root),
            Self::Literal(value) => Some(value.clone()),
            Self::Pattern(_) => None,
        }
    }
}

fn read(path: &Path, current: &Value, root: &Value) -> Option<Value> {
    let document = if path.root == Root::Current { current } else { root };
    query(path, document, root).ok()
}

/// Whether a path leads anywhere. As in Jayway, the list of matches that an
/// indefinite path gives is there even when it is empty.
fn exists(path: &Path, current: &Value, root: &Value) -> bool {
    read(path, current, root).is_some()
}

fn matches(left: &Operand, right: &Operand, current: &Value, root: &Value) -> bool {
    let (pattern, operand) = match (left, right) {
        (Operand::Pattern(pattern), other) | (other, Operand::Pattern(pattern)) => (pattern, other),
        _ => return false,
    };
    match operand.value(current, root) {
        Some(Value::String(text)) => pattern.is_match(&text),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => pattern.is_match(&value.to_string()),
        _ => false,
    }
}

/// Jayway's equality: a number and a text are equal when they read alike.
fn equal(left: Option<&Value>, right: Option<&Value>) -> bool {
    match (left, right) {
        (Some(Value::Number(number)), Some(Value::String(text))) => text
            .parse::<Number>()
            .is_ok_and(|other| json::compare_numbers(number, &other).is_eq()),
        (Some(Value::String(text)), Some(Value::Number(number))) => *text == number.to_string(),
        (Some(left), Some(right)) => json::equal(left, right),
        (None, None) => true,
        _ => false,
    }
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => Some(json::compare_numbers(left, right)),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn member(element: Option<&Value>, list: Option<&Value>) -> bool {
    elements(list).is_some_and(|list| list.iter().any(|item| equal(element, Some(item))))
}

fn elements(value: Option<&Value>) -> Option<&Vec<Value>> {
    value.and_then(Value::as_array)
}

fn size(value: &Value) -> Option<u64> {
    let size = match value {
        Value::Array(elements) => elements.len(),
        Value::Object(fields) => fields.len(),
        Value::String(text) => text.chars().count(),
        _ => return None,
    };
    u64::try_from(size).ok()
}
