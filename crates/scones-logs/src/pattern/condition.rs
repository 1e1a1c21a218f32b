//! Conditions on JSON messages: `{ $.code >= 400 && $.who = "A*" }`.

use serde_json::Value;

use super::terms::phrase;

/// What a JSON message must be like.
#[derive(Debug, PartialEq)]
pub(crate) enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    /// The selected value is there and passes.
    Value(Selector, Test),
    NotExists(Selector),
}

#[derive(Debug, PartialEq)]
pub(crate) enum Test {
    Is(Value),
    Number(Comparison, f64),
    /// Equal to a text in which `*` stands for anything.
    Like(String),
    NotLike(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The way to a value: names and indices.
#[derive(Debug, PartialEq)]
pub(crate) struct Selector(Vec<Step>);

#[derive(Debug, PartialEq)]
enum Step {
    Name(String),
    Index(usize),
}

impl Condition {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { rest: text };
        let condition = parser.any()?;
        parser.skip_space();
        if parser.rest.is_empty() {
            Ok(condition)
        } else {
            Err(format!("`{}` is not expected", parser.rest))
        }
    }

    pub(super) fn matches(&self, message: &Value) -> bool {
        match self {
            Self::Any(conditions) => conditions.iter().any(|condition| condition.matches(message)),
            Self::All(conditions) => conditions.iter().all(|condition| condition.matches(message)),
            Self::Value(selector, test) => selector.select(message).is_some_and(|value| test.passes(value)),
            Self::NotExists(selector) => selector.select(message).is_none(),
        }
    }
}

impl Test {
    fn passes(&self, value: &Value) -> bool {
        match self {
            Self::Is(expected) => value == expected,
            Self::Number(comparison, right) => value.as_f64().is_some_and(|left| comparison.holds(left, *right)),
            Self::Like(wanted) => text(value).is_some_and(|text| like(wanted, &text)),
            Self::NotLike(wanted) => text(value).is_some_and(|text| !like(wanted, &text)),
        }
    }
}

impl Comparison {
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

impl Selector {
    fn select<'a>(&self, message: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(message, |value, step| match step {
            Step::Name(name) => value.get(name),
            Step::Index(index) => value.get(index),
        })
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// Whether `text` is `wanted`, where `*` stands for anything. Each part is
/// taken at its first occurrence, so the time is proportional to the product
/// of the lengths at worst.
fn like(wanted: &str, text: &str) -> bool {
    let Some((head, rest)) = wanted.split_once('*') else {
        return wanted == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(tail)
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<Condition, String> {
        let mut conditions = vec![self.all()?];
        while self.take("||") {
            conditions.push(self.all()?);
        }
        Ok(Condition::Any(conditions))
    }

    fn all(&mut self) -> Result<Condition, String> {
        let mut conditions = vec![self.one()?];
        while self.take("&&") {
            conditions.push(self.one()?);
        }
        Ok(Condition::All(conditions))
    }

    fn one(&mut self) -> Result<Condition, String> {
        if self.take("(") {
            let condition = self.any()?;
            return if self.take(")") {
                Ok(condition)
            } else {
                Err("a parenthesis is not closed".to_owned())
            };
        }
        let selector = self.selector()?;
        if self.take("NOT EXISTS") {
            return Ok(Condition::NotExists(selector));
        }
        let test = if self.take("IS") {
            self.is()?
        } else {
            self.comparison()?
        };
        Ok(Condition::Value(selector, test))
    }

    fn selector(&mut self) -> Result<Selector, String> {
        if !self.take("$") {
            return Err(format!("a selector such as $.name is expected at `{}`", self.rest));
        }
        let mut steps = Vec::new();
        loop {
            if let Some(rest) = self.rest.strip_prefix('.') {
                self.rest = rest;
                let name = self.while_(|character| character.is_alphanumeric() || "_-@".contains(character));
                if name.is_empty() {
                    return Err("a name is expected after `.`".to_owned());
                }
                steps.push(Step::Name(name.to_owned()));
            } else if let Some(rest) = self.rest.strip_prefix("[\"") {
                let (name, behind) = phrase(rest)?;
                self.rest = behind;
                steps.push(Step::Name(name));
                self.close_bracket()?;
            } else if let Some(rest) = self.rest.strip_prefix('[') {
                self.rest = rest;
                let digits = self.while_(|character| character.is_ascii_digit());
                let index = digits
                    .parse()
                    .map_err(|_| "an index or a quoted name is expected after `[`")?;
                steps.push(Step::Index(index));
                self.close_bracket()?;
            } else {
                return Ok(Selector(steps));
            }
        }
    }

    fn close_bracket(&mut self) -> Result<(), String> {
        if self.take("]") {
            Ok(())
        } else {
            Err("a bracket is not closed".to_owned())
        }
    }

    fn is(&mut self) -> Result<Test, String> {
        for (word, value) in [
            ("NULL", Value::Null),
            ("TRUE", Value::Bool(true)),
            ("FALSE", Value::Bool(false)),
        ] {
            if self.take(word) {
                return Ok(Test::Is(value));
            }
        }
        Err("IS must be followed by NULL, TRUE or FALSE".to_owned())
    }

    fn comparison(&mut self) -> Result<Test, String> {
        const COMPARISONS: [(&str, Comparison); 6] = [
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("=", Comparison::Equal),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let found = COMPARISONS.into_iter().find(|(sign, _)| self.take(sign));
        let Some((sign, comparison)) = found else {
            return Err(format!("one of = != < <= > >= is expected at `{}`", self.rest));
        };
        self.skip_space();
        let (word, quoted) = match self.rest.strip_prefix('"') {
            Some(rest) => {
                let (text, behind) = phrase(rest)?;
                self.rest = behind;
                (text, true)
            }
            None => {
                let word = self.while_(|character| !character.is_whitespace() && !"()&|\"".contains(character));
                (word.to_owned(), false)
            }
        };
        if word.is_empty() && !quoted {
            return Err(format!("a value is expected after `{sign}`"));
        }
        let number = word.parse::<f64>().ok().filter(|number| number.is_finite() && !quoted);
        match (comparison, number) {
            (comparison, Some(number)) => Ok(Test::Number(comparison, number)),
            (Comparison::Equal, None) => Ok(Test::Like(word)),
            (Comparison::NotEqual, None) => Ok(Test::NotLike(word)),
            _ => Err(format!("`{sign}` compares numbers, and `{word}` is none")),
        }
    }

    fn take(&mut self, token: &str) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(token);
        if let Some(rest) = rest {
            self.rest = rest;
        }
        rest.is_some()
    }

    fn while_(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self
            .rest
            .find(|character| !wanted(character))
            .unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }
}
