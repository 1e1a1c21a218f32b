//! Reads the notation of `responses.txt`, which says what it means.

use std::ops::RangeInclusive;

/// What a value may be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    Any,
    Boolean,
    /// Of so many characters.
    Text(RangeInclusive<usize>),
    Choice(Vec<String>),
    Number(RangeInclusive<f64>),
    List(Box<Shape>),
    Map(Box<Shape>),
    Structure(Vec<Member>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) required: bool,
    pub(super) shape: Shape,
}

/// The shape that `text` gives a key, or a name with `@`.
pub(super) fn find(text: &str, key: &str) -> Option<Shape> {
    let (_, shape) = entries(text).find(|(keys, _)| keys.split(',').any(|candidate| candidate.trim() == key))?;
    Reader { text, rest: shape }.shape()
}

/// Keys and shapes: an entry goes on in lines that are indented.
pub(super) fn entries(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let mut end = 0;
            for line in rest.split_inclusive('\n') {
                if end > 0 && !line.starts_with(' ') {
                    break;
                }
                end += line.len();
            }
            let (entry, after) = rest.split_at(end);
            rest = after;
            if !entry.starts_with('#')
                && let Some(entry) = entry.split_once(" = ")
            {
                return Some(entry);
            }
        }
        None
    })
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn skips(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn shape(&mut self) -> Option<Shape> {
        if self.skips("[") {
            let shape = self.shape()?;
            return self.skips("]").then(|| Shape::List(Box::new(shape)));
        }
        if self.skips("<") {
            let shape = self.shape()?;
            return self.skips(">").then(|| Shape::Map(Box::new(shape)));
        }
        if self.skips("{") {
            return self.members().map(Shape::Structure);
        }
        if self.skips("@") {
            let name = self.word();
            return find(self.text, &format!("@{name}"));
        }
        match self.word() {
            "any" => Some(Shape::Any),
            "boolean" => Some(Shape::Boolean),
            "object" => Some(Shape::Map(Box::new(Shape::Any))),
            "text" => self.text_shape(),
            "number" => {
                let (least, most) = self.bounds()?;
                let bound = |text: &str, default| {
                    if text.is_empty() {
                        Some(default)
                    } else {
                        text.parse().ok()
                    }
                };
                Some(Shape::Number(
                    bound(least, f64::NEG_INFINITY)?..=bound(most, f64::INFINITY)?,
                ))
            }
            _ => None,
        }
    }

    /// Members up to the closing brace; the members of a named structure may
    /// be among them.
    fn members(&mut self) -> Option<Vec<Member>> {
        let mut members = Vec::new();
        while !self.skips("}") {
            if self.skips("@") {
                let name = self.word();
                let Shape::Structure(more) = find(self.text, &format!("@{name}"))? else {
                    return None;
                };
                members.extend(more);
            } else {
                let name = self.word().to_owned();
                let required = self.skips("!");
                let shape = self.shape()?;
                members.push(Member { name, required, shape });
            }
            self.skips(",");
        }
        Some(members)
    }

    fn text_shape(&mut self) -> Option<Shape> {
        let inner = self.parentheses()?;
        if !inner.contains("..") && !inner.is_empty() {
            let choices = inner.split('|').map(|choice| choice.trim().to_owned());
            return Some(Shape::Choice(choices.collect()));
        }
        let (least, most) = inner.split_once("..").unwrap_or_default();
        let bound = |text: &str, default| {
            if text.is_empty() {
                Some(default)
            } else {
                text.parse().ok()
            }
        };
        Some(Shape::Text(bound(least, 0)?..=bound(most, usize::MAX)?))
    }

    fn bounds(&mut self) -> Option<(&'a str, &'a str)> {
        Some(self.parentheses()?.split_once("..").unwrap_or_default())
    }

    /// What stands in parentheses, if anything does; a range or choices
    /// follow their type at once.
    fn parentheses(&mut self) -> Option<&'a str> {
        let Some(rest) = self.rest.strip_prefix('(') else {
            return Some("");
        };
        let (inner, rest) = rest.split_once(')')?;
        self.rest = rest;
        Some(inner)
    }
}
