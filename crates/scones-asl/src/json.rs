//! JSON helpers: where a value stands in its source text, duplicate keys,
//! and numbers compared by value while their digits are kept.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;

use serde_json::{Number, Value};

/// A range of a source text: in bytes, and as one-based lines and columns. The
/// end is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte, from 0.
    pub start: usize,
    /// Offset of the byte after the last.
    pub end: usize,
    /// Line of the first character, from 1.
    pub line: usize,
    /// Column of the first character, from 1, in characters.
    pub column: usize,
    /// Line of the character after the last.
    pub end_line: usize,
    /// Column of the character after the last.
    pub end_column: usize,
}

/// Byte positions of every value and key of a JSON text, by location: `/a/b[0]/c`.
pub(crate) struct Positions<'a> {
    text: &'a str,
    values: HashMap<String, Range<usize>>,
    keys: HashMap<String, Range<usize>>,
    /// Locations of keys that an object holds twice.
    pub(crate) duplicates: Vec<String>,
}

impl<'a> Positions<'a> {
    /// Scans a text that is already known to be valid JSON.
    pub(crate) fn scan(text: &'a str) -> Self {
        let mut scanner = Scanner {
            bytes: text.as_bytes(),
            at: 0,
            values: HashMap::new(),
            keys: HashMap::new(),
            duplicates: Vec::new(),
        };
        scanner.value(String::new());
        Self {
            text,
            values: scanner.values,
            keys: scanner.keys,
            duplicates: scanner.duplicates,
        }
    }

    /// Where the value at `location`, or its nearest enclosing value, stands.
    pub(crate) fn value_span(&self, location: &str) -> Option<Span> {
        let mut location = if location == "/" { "" } else { location };
        loop {
            if let Some(range) = self.values.get(location) {
                return Some(self.span(range));
            }
            location = &location[..location.rfind(['/', '['])?];
        }
    }

    /// Where the key of the value at `location` stands; an element of an array
    /// has none, so its value is given.
    pub(crate) fn key_span(&self, location: &str) -> Option<Span> {
        match self.keys.get(location) {
            Some(range) => Some(self.span(range)),
            None => self.value_span(location),
        }
    }

    fn span(&self, range: &Range<usize>) -> Span {
        Span::of(self.text, range.clone())
    }
}

impl Span {
    /// The range of a text, which must begin and end between characters.
    pub(crate) fn of(text: &str, range: Range<usize>) -> Self {
        let (line, column) = line_and_column(text, range.start);
        let (end_line, end_column) = line_and_column(text, range.end);
        Self {
            start: range.start,
            end: range.end,
            line,
            column,
            end_line,
            end_column,
        }
    }
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    values: HashMap<String, Range<usize>>,
    keys: HashMap<String, Range<usize>>,
    duplicates: Vec<String>,
}

impl Scanner<'_> {
    fn blank(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn value(&mut self, location: String) {
        self.blank();
        let start = self.at;
        match self.bytes.get(self.at) {
            Some(b'{') => self.object(&location),
            Some(b'[') => self.array(&location),
            Some(b'"') => drop(self.string()),
            _ => {
                while self
                    .bytes
                    .get(self.at)
                    .is_some_and(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b',' | b'}' | b']'))
                {
                    self.at += 1;
                }
            }
        }
        self.values.insert(location, start..self.at);
    }

    fn object(&mut self, location: &str) {
        self.at += 1;
        loop {
            self.blank();
            match self.bytes.get(self.at) {
                Some(b'"') => {}
                Some(b',') => {
                    self.at += 1;
                    continue;
                }
                _ => break,
            }
            let start = self.at;
            let key = self.string();
            let child = join(location, &key);
            let within = |outer: &String| {
                child
                    .strip_prefix(outer.as_str())
                    .is_some_and(|rest| rest.starts_with('/'))
            };
            if self.keys.insert(child.clone(), start..self.at).is_some() && !self.duplicates.last().is_some_and(within)
            {
                self.duplicates.push(child.clone());
            }
            self.blank();
            self.at += 1;
            self.value(child);
        }
        self.at += 1;
    }

    fn array(&mut self, location: &str) {
        self.at += 1;
        for index in 0usize.. {
            self.blank();
            if self.bytes.get(self.at) == Some(&b',') {
                self.at += 1;
            }
            self.blank();
            if matches!(self.bytes.get(self.at), Some(b']') | None) {
                break;
            }
            self.value(element(location, index));
        }
        self.at += 1;
    }

    fn string(&mut self) -> String {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'\\' => self.at += 2,
                b'"' => break,
                _ => self.at += 1,
            }
        }
        self.at = (self.at + 1).min(self.bytes.len());
        serde_json::from_slice(&self.bytes[start..self.at]).unwrap_or_default()
    }
}

/// The location of a field: `/States/Work`. AWS writes names as they are, so
/// nothing is escaped.
pub(crate) fn join(location: &str, field: &str) -> String {
    format!("{location}/{field}")
}

/// The location of an array's element, as AWS writes it: `/States/Work/Catch[0]`.
pub(crate) fn element(location: &str, index: usize) -> String {
    format!("{location}[{index}]")
}

/// Compares two numbers by value: exact for integers, otherwise as doubles.
pub(crate) fn compare_numbers(left: &Number, right: &Number) -> Ordering {
    match (integer(left), integer(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => double(left).total_cmp(&double(right)),
    }
}

/// The number as a double; the nearest one where it has more digits.
pub(crate) fn double(number: &Number) -> f64 {
    let value = number.as_f64().unwrap_or(f64::NAN);
    if value == 0.0 { 0.0 } else { value }
}

fn integer(number: &Number) -> Option<i128> {
    number.to_string().parse().ok()
}

/// A text that two values share exactly when they are equal by value.
pub(crate) fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) => match (integer(number), double(number)) {
            (Some(integer), _) => integer.to_string(),
            (None, double) => double.to_string(),
        },
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(canonical).collect();
            format!("[{}]", elements.join(","))
        }
        Value::Object(fields) => {
            let mut fields: Vec<String> = fields
                .iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)))
                .collect();
            fields.sort_unstable();
            format!("{{{}}}", fields.join(","))
        }
        other => other.to_string(),
    }
}

/// Equality by value: `5` equals `5.0`, and the order of keys is ignored.
pub(crate) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => compare_numbers(left, right).is_eq(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, value)| right.get(key).is_some_and(|other| equal(value, other)))
        }
        _ => left == right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_lines_and_columns() {
        let text = "{\n  \"a\": [1, \"é\", {\"b\": true}],\n  \"a\": 2}";
        let positions = Positions::scan(text);
        let span = positions.value_span("/a[2]/b").unwrap();
        assert_eq!((span.line, span.column, span.end_column), (2, 23, 27));
        let span = positions.key_span("/a[2]/b").unwrap();
        assert_eq!((span.line, span.column, span.end_column), (2, 18, 21));
        assert_eq!(positions.duplicates, ["/a"]);
        assert_eq!(positions.value_span("/nowhere").unwrap().line, 1);
        assert_eq!(positions.key_span("/a[1]").unwrap().column, 12);
    }

    #[test]
    fn compares_numbers_by_value() {
        let check = |left: &str, right: &str, expect: bool| {
            let parse = |text| serde_json::from_str::<Value>(text).unwrap();
            assert_eq!(equal(&parse(left), &parse(right)), expect, "{left} {right}");
            assert_eq!(
                canonical(&parse(left)) == canonical(&parse(right)),
                expect,
                "{left} {right}"
            );
        };
        check("5", "5.0", true);
        check("9007199254740993", "9007199254740992", false);
        check("[1,{\"a\":1,\"b\":2}]", "[1.0,{\"b\":2,\"a\":1}]", true);
        check("1", "\"1\"", false);
    }
}
