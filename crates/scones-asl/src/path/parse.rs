//! Reads the text of a JSONPath.

use serde_json::Value;

use super::filter::{Comparison, Filter, Operand};
use super::{Function, Path, PathSyntaxError, Root, Step};
use crate::limits::EXPRESSION_DEPTH_MAX;

pub(super) fn parse(text: &str) -> Result<Path, PathSyntaxError> {
    let characters: Vec<char> = text.chars().collect();
    let mut parser = Parser {
        characters: &characters,
        at: 0,
        depth: 0,
    };
    let path = parser.path(false)?;
    if parser.at < characters.len() {
        return Err(parser.error("unexpected character"));
    }
    Ok(path)
}

struct Parser<'a> {
    characters: &'a [char],
    at: usize,
    depth: usize,
}

type Parsed<T> = Result<T, PathSyntaxError>;

impl Parser<'_> {
    fn error(&self, message: &str) -> PathSyntaxError {
        PathSyntaxError {
            message: message.to_owned(),
            at: self.at + 1,
        }
    }

    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn starts_with(&self, text: &str) -> bool {
        text.chars()
            .enumerate()
            .all(|(i, c)| self.characters.get(self.at + i) == Some(&c))
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.starts_with(text);
        if found {
            self.at += text.chars().count();
        }
        found
    }

    fn expect(&mut self, text: &str) -> Parsed<()> {
        if self.take(text) {
            Ok(())
        } else {
            Err(self.error(&format!("expected '{text}'")))
        }
    }

    fn blank(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn slice(&self, start: usize) -> String {
        self.characters[start..self.at].iter().collect()
    }

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= EXPRESSION_DEPTH_MAX {
            return Err(self.error("the path is nested too deeply"));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// A whole path; inside a filter it ends where an operator begins.
    fn path(&mut self, in_filter: bool) -> Parsed<Path> {
        let start = self.at;
        let root = self.root()?;
        let mut steps = Vec::new();
        while let Some(character) = self.peek() {
            match character {
                '[' => steps.push(self.bracket()?),
                '.' if self.take("..") => {
                    steps.push(Step::Descent);
                    steps.push(match self.peek() {
                        Some('[') => self.bracket()?,
                        _ => self.dotted(in_filter)?,
                    });
                }
                '.' => {
                    self.at += 1;
                    steps.push(match self.peek() {
                        Some('[') => self.bracket()?,
                        _ => self.dotted(in_filter)?,
                    });
                }
                _ if in_filter => break,
                _ => return Err(self.error("expected '.' or '['")),
            }
        }
        Ok(Path {
            root,
            steps,
            text: self.slice(start),
        })
    }

    fn root(&mut self) -> Parsed<Root> {
        if self.take("$$") {
            return Ok(Root::Context);
        }
        if self.take("@") {
            return Ok(Root::Current);
        }
        if !self.take("$") {
            return Err(self.error("a path begins with '$'"));
        }
        let start = self.at;
        while self.peek().is_some_and(|c| c == '_' || c.is_alphanumeric()) {
            self.at += 1;
        }
        let name = self.slice(start);
        match name.chars().next() {
            None => Ok(Root::Input),
            Some(first) if first.is_numeric() => Err(self.error("a variable name begins with a letter")),
            Some(_) => Ok(Root::Variable(name)),
        }
    }

    /// What follows a dot: a name, `*` or a function call.
    fn dotted(&mut self, in_filter: bool) -> Parsed<Step> {
        if self.take("*") {
            return Ok(Step::Wildcard);
        }
        let start = self.at;
        while let Some(character) = self.peek() {
            let ends = matches!(character, '.' | '[' | '(' | ' ')
                || in_filter && matches!(character, ')' | '=' | '<' | '>' | '!' | '~' | '&' | '|' | '/');
            if ends {
                break;
            }
            self.at += 1;
        }
        if start == self.at {
            return Err(self.error("expected a name"));
        }
        let name = self.slice(start);
        if self.take("(") {
            self.blank();
            self.expect(")")?;
            let function =
                Function::named(&name).ok_or_else(|| self.error(&format!("there is no function '{name}'")))?;
            return Ok(Step::Function(function));
        }
        Ok(Step::Property(vec![name]))
    }

    fn bracket(&mut self) -> Parsed<Step> {
        self.expect("[")?;
        self.blank();
        let step = match self.peek() {
            Some('*') => {
                self.at += 1;
                Step::Wildcard
            }
            Some('\'' | '"') => self.quoted_names()?,
            Some('?') => {
                self.at += 1;
                self.blank();
                self.expect("(")?;
                let filter = self.nested(Self::any)?;
                self.blank();
                self.expect(")")?;
                Step::Filter(Box::new(filter))
            }
            _ => self.indexes()?,
        };
        self.blank();
        self.expect("]")?;
        Ok(step)
    }

    fn quoted_names(&mut self) -> Parsed<Step> {
        let mut names = Vec::new();
        loop {
            self.blank();
            names.push(self.quoted()?);
            self.blank();
            if !self.take(",") {
                return Ok(Step::Property(names));
            }
        }
    }

    /// A text in single or double quotes with JSON's escapes.
    fn quoted(&mut self) -> Parsed<String> {
        let quote = match self.peek() {
            Some(quote @ ('\'' | '"')) => quote,
            _ => return Err(self.error("expected a quoted name")),
        };
        self.at += 1;
        let mut text = String::new();
        loop {
            let character = self.peek().ok_or_else(|| self.error("the quote is not closed"))?;
            self.at += 1;
            match character {
                '\\' => text.push(self.escape()?),
                _ if character == quote => return Ok(text),
                _ => text.push(character),
            }
        }
    }

    fn escape(&mut self) -> Parsed<char> {
        let character = self.peek().ok_or_else(|| self.error("the escape is not finished"))?;
        self.at += 1;
        Ok(match character {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let start = self.at;
                self.at = (self.at + 4).min(self.characters.len());
                u32::from_str_radix(&self.slice(start), 16)
                    .ok()
                    .and_then(char::from_u32)
                    .ok_or_else(|| self.error("the escape is not a character"))?
            }
            other => other,
        })
    }

    /// `0`, `0,1`, `1:`, `:2` or `1:2`, each an integer of 32 bits as in Jayway.
    fn indexes(&mut self) -> Parsed<Step> {
        let first = self.integer()?;
        self.blank();
        if self.take(":") {
            self.blank();
            let to = self.integer()?;
            self.blank();
            if self.take(":") {
                self.blank();
                self.integer()?;
            }
            if first.is_none() && to.is_none() {
                return Err(self.error("a slice needs a start or an end"));
            }
            return Ok(Step::Slice { from: first, to });
        }
        let mut indexes = vec![first.ok_or_else(|| self.error("expected an index or a quoted name"))?];
        while self.take(",") {
            self.blank();
            indexes.push(self.integer()?.ok_or_else(|| self.error("expected an index"))?);
            self.blank();
        }
        Ok(Step::Index(indexes))
    }

    fn integer(&mut self) -> Parsed<Option<i64>> {
        let start = self.at;
        self.take("-");
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
        if start == self.at {
            return Ok(None);
        }
        let number = self.slice(start).parse::<i32>();
        number
            .map(|number| Some(number.into()))
            .map_err(|_| self.error("not an index"))
    }

    fn any(&mut self) -> Parsed<Filter> {
        let mut left = self.all()?;
        loop {
            self.blank();
            if !self.take("||") {
                return Ok(left);
            }
            left = Filter::Or(Box::new(left), Box::new(self.all()?));
        }
    }

    fn all(&mut self) -> Parsed<Filter> {
        let mut left = self.negation()?;
        loop {
            self.blank();
            if !self.take("&&") {
                return Ok(left);
            }
            left = Filter::And(Box::new(left), Box::new(self.negation()?));
        }
    }

    fn negation(&mut self) -> Parsed<Filter> {
        self.blank();
        if self.take("!") {
            let inner = self.nested(Self::negation)?;
            return Ok(Filter::Not(Box::new(inner)));
        }
        if self.take("(") {
            let inner = self.nested(Self::any)?;
            self.blank();
            self.expect(")")?;
            return Ok(inner);
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Parsed<Filter> {
        let left = self.operand()?;
        self.blank();
        let Some(comparison) = self.operator() else {
            return match left {
                Operand::Path(path) => Ok(Filter::Exists(path)),
                _ => Err(self.error("expected a comparison")),
            };
        };
        self.blank();
        let right = self.operand()?;
        Ok(Filter::Compare(left, comparison, right))
    }

    fn operator(&mut self) -> Option<Comparison> {
        Comparison::ALL
            .iter()
            .find(|(text, _)| self.take(text))
            .map(|(_, comparison)| *comparison)
    }

    fn operand(&mut self) -> Parsed<Operand> {
        self.blank();
        match self.peek() {
            Some('@' | '$') => Ok(Operand::Path(self.nested(|parser| parser.path(true))?)),
            Some('\'' | '"') => Ok(Operand::Literal(Value::String(self.quoted()?))),
            Some('/') => self.pattern(),
            Some('[' | '{') => self.json(),
            _ => self.word(),
        }
    }

    fn pattern(&mut self) -> Parsed<Operand> {
        self.expect("/")?;
        let start = self.at;
        while self.peek().is_some_and(|c| c != '/') {
            self.at += if self.peek() == Some('\\') { 2 } else { 1 };
            self.at = self.at.min(self.characters.len());
        }
        let source = self.slice(start);
        self.expect("/")?;
        let flags = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_alphabetic()) {
            self.at += 1;
        }
        let flags: String = self.slice(flags).chars().filter(|c| "imsx".contains(*c)).collect();
        let flags = if flags.is_empty() { flags } else { format!("(?{flags})") };
        regex::Regex::new(&format!("{flags}^(?:{source})$"))
            .map(Operand::Pattern)
            .map_err(|_| self.error("not a regular expression"))
    }

    /// A JSON array or object; single quotes are allowed, as in Jayway.
    fn json(&mut self) -> Parsed<Operand> {
        let start = self.at;
        let (mut depth, mut quote) = (0usize, None);
        while let Some(character) = self.peek() {
            self.at += 1;
            match (character, quote) {
                ('\\', Some(_)) => self.at = (self.at + 1).min(self.characters.len()),
                (_, Some(open)) if character == open => quote = None,
                ('\'' | '"', None) => quote = Some(character),
                ('[' | '{', None) => depth += 1,
                (']' | '}', None) => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && quote.is_none() {
                break;
            }
        }
        let text = self.slice(start);
        serde_json::from_str(&text)
            .or_else(|_| serde_json::from_str(&text.replace('\'', "\"")))
            .map(Operand::Literal)
            .map_err(|_| self.error("not a JSON value"))
    }

    /// `true`, `false`, `null` or a number, leading zeros allowed. Step
    /// Functions takes any other word as a text: `[?(@.status == Done)]`.
    fn word(&mut self) -> Parsed<Operand> {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_alphanumeric() || "+-._".contains(c)) {
            self.at += 1;
        }
        let word = self.slice(start);
        let (sign, digits) = word.strip_prefix('-').map_or(("", word.as_str()), |rest| ("-", rest));
        let significant = digits.trim_start_matches('0');
        let needs_zero = !significant.starts_with(|c: char| c.is_ascii_digit());
        let number = format!("{sign}{}{significant}", if needs_zero { "0" } else { "" });
        let text = if digits.starts_with('0') { &number } else { &word };
        match serde_json::from_str(text) {
            Ok(value) if !word.is_empty() => Ok(Operand::Literal(value)),
            _ if word.starts_with(char::is_alphabetic) => Ok(Operand::Literal(Value::String(word))),
            _ => Err(self.error("expected a value")),
        }
    }
}
