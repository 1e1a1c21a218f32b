//! Compares an expectation with placeholders against an actual value.

use std::collections::HashMap;

use regex::Regex;
use serde_json::{Number, Value};

const ANY: &[&str] = &[
    "timestamp",
    "datetime",
    "date",
    "<datetime>",
    "<timestamp>",
    "RequestId",
    "X-Amzn-Trace-Id",
    "x-amz-crc32",
    "x-amzn-RequestId",
    "x-amzn-requestid",
    "start-date",
    "stop-date",
    "creation-date",
    "request-id",
    "time",
    "log-stream-name",
    "json-input",
    "json-body",
];
const IGNORED_KEYS: &[&str] = &["ResponseMetadata", "SdkHttpMetadata", "SdkResponseMetadata"];

/// Members that AWS answers since a day: older recordings cannot have them.
const ADDED: &[(&str, &[&str])] = &[
    (
        "2023-11-15",
        &[
            "redriveCount",
            "redriveStatus",
            "redriveStatusReason",
            "redriveDate",
            "RedriveCount",
        ],
    ),
    ("2024-11-01", &["encryptionConfiguration"]),
];

/// Numbers are compared by value, but a whole one reads `5`, not `5.0`.
fn same_number(left: &Number, right: &Number) -> bool {
    left.as_f64() == right.as_f64() && left.is_f64() == right.is_f64()
}

/// The rules and bindings of one case.
pub(crate) struct Matcher {
    any: Vec<String>,
    tokens: Vec<(String, String)>,
    replacements: Vec<(Regex, String)>,
    bindings: HashMap<String, String>,
    /// Members that are younger than the recording.
    younger: Vec<&'static str>,
}

/// The day of a recording as it sorts, of `day-month-year, time`.
fn day(case: &Value) -> Option<String> {
    let recorded = case["source"]["recorded"].as_str()?;
    let mut parts = recorded.split(',').next()?.split('-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    Some(format!("{year}-{month}-{day}"))
}

impl Matcher {
    pub(crate) fn of(case: &Value) -> Self {
        let list = |name: &str| case[name].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut any: Vec<String> = ANY.iter().map(|any| (*any).to_owned()).collect();
        any.extend(
            list("placeholders")
                .iter()
                .map(|placeholder| text(&placeholder["placeholder"])),
        );
        let mut tokens: Vec<(String, String)> = case["tokens"]
            .as_object()
            .map(|tokens| {
                tokens
                    .iter()
                    .map(|(token, value)| (token.clone(), text(value)))
                    .collect()
            })
            .unwrap_or_default();
        tokens.sort_by_key(|(token, _)| std::cmp::Reverse(token.len()));
        let replacements = list("actual_regex_replacements")
            .iter()
            .filter_map(|rule| {
                // Python reads a hyphen after a range as a character.
                let pattern = text(&rule["pattern"]).replace("0-9-", "0-9\\-");
                Some((Regex::new(&pattern).ok()?, text(&rule["replace"])))
            })
            .collect();
        Self {
            any,
            tokens,
            replacements,
            bindings: HashMap::new(),
            younger: day(case).map_or_else(Vec::new, |day| {
                let later = ADDED.iter().filter(|(since, _)| day.as_str() < *since);
                later.flat_map(|(_, members)| members.iter().copied()).collect()
            }),
        }
    }

    /// The first difference, or nothing.
    pub(crate) fn difference(&mut self, expected: &Value, actual: &Value) -> Option<String> {
        let mut differences = Vec::new();
        self.compare(expected, actual, "$", &mut differences);
        differences.into_iter().next()
    }

    fn compare(&mut self, expected: &Value, actual: &Value, path: &str, found: &mut Vec<String>) {
        let difference = || format!("{path}: expected {expected} but was {actual}");
        match (expected, actual) {
            (Value::Object(_) | Value::Array(_), Value::String(text)) => match serde_json::from_str(text) {
                Ok(actual) => self.compare_parsed(expected, &actual, path, found),
                Err(_) => found.push(difference()),
            },
            (Value::Object(_) | Value::Array(_), _) => self.compare_parsed(expected, actual, path, found),
            (Value::Number(left), Value::Number(right)) => {
                if !same_number(left, right) {
                    found.push(difference());
                }
            }
            (Value::String(expected), actual) => {
                if !self.text(expected, actual, path, found) {
                    found.push(difference());
                }
            }
            _ => {
                if expected != actual {
                    found.push(difference());
                }
            }
        }
    }

    fn compare_parsed(&mut self, expected: &Value, actual: &Value, path: &str, found: &mut Vec<String>) {
        match (expected, actual) {
            (Value::Object(expected), Value::Object(actual)) => {
                for (key, value) in expected.iter().filter(|(key, _)| !IGNORED_KEYS.contains(&key.as_str())) {
                    match actual.get(key) {
                        Some(actual) => self.compare(value, actual, &format!("{path}.{key}"), found),
                        None => found.push(format!("{path}.{key}: missing, expected {value}")),
                    }
                }
                for (key, value) in actual {
                    let ignored = IGNORED_KEYS.contains(&key.as_str()) || self.younger.contains(&key.as_str());
                    if !expected.contains_key(key) && !ignored {
                        found.push(format!("{path}.{key}: not expected, was {value}"));
                    }
                }
            }
            (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
                for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                    self.compare(expected, actual, &format!("{path}[{index}]"), found);
                }
            }
            _ => found.push(format!("{path}: expected {expected} but was {actual}")),
        }
    }

    fn text(&mut self, expected: &str, actual: &Value, path: &str, found: &mut Vec<String>) -> bool {
        if self.any.iter().any(|any| any == expected) || expected.starts_with("<timestamp:") {
            return true;
        }
        if actual.is_null() || actual.is_boolean() {
            return false;
        }
        let mut actual = actual.as_str().map_or_else(|| actual.to_string(), str::to_owned);
        for (pattern, replacement) in &self.replacements {
            actual = pattern.replace_all(&actual, replacement.as_str()).into_owned();
        }
        let mut resolved = expected.to_owned();
        for (token, value) in &self.tokens {
            resolved = resolved.replace(token, value);
        }
        if expected == actual || resolved == actual {
            return true;
        }
        if let (Ok(left), Ok(right)) = (
            serde_json::from_str::<Value>(&resolved),
            serde_json::from_str::<Value>(&actual),
        ) {
            if left.is_object() || left.is_array() {
                self.compare_parsed(&left, &right, path, found);
                return true;
            }
            if left == right {
                return true;
            }
            if let (Value::Number(left), Value::Number(right)) = (&left, &right) {
                return same_number(left, right);
            }
        }
        self.wildcards(&resolved, &actual)
    }

    /// Placeholders in angle brackets stand for any text; numbered ones stand
    /// for the same text throughout the case.
    fn wildcards(&mut self, expected: &str, actual: &str) -> bool {
        let placeholder = Regex::new(r"<[A-Za-z][A-Za-z0-9_.\-]*(?::[^<>]*)?>").unwrap();
        let (mut pattern, mut names, mut at) = ("(?s)^".to_owned(), Vec::new(), 0);
        for found in placeholder.find_iter(expected) {
            pattern.push_str(&regex::escape(&expected[at..found.start()]));
            at = found.end();
            match found.as_str() {
                "<region>" => pattern.push_str(r"[a-z]{2}-[a-z]+-\d"),
                "<partition>" => pattern.push_str("aws(?:-[a-z-]+)?"),
                name => {
                    names.push(name.to_owned());
                    pattern.push_str("(.+?)");
                }
            }
        }
        pattern.push_str(&regex::escape(&expected[at..]));
        pattern.push('$');
        let Some(captures) = Regex::new(&pattern).unwrap().captures(actual) else {
            return false;
        };
        let mut local: HashMap<String, String> = HashMap::new();
        for (index, name) in names.iter().enumerate() {
            let value = captures[index + 1].to_owned();
            if *local.entry(name.clone()).or_insert_with(|| value.clone()) != value {
                return false;
            }
            let numbered = name.contains(':') || name.contains("idx");
            if numbered && *self.bindings.entry(name.clone()).or_insert_with(|| value.clone()) != value {
                return false;
            }
        }
        true
    }
}
