//! Reads the text of an intrinsic function call.

use serde_json::Value;

use super::{Argument, Call, ExpressionError, Function};
use crate::limits::INTRINSIC_CALLS_MAX;
use crate::path::Path;

pub(super) fn call(text: &str) -> Result<Call, ExpressionError> {
    let mut parser = Parser { text, at: 0, calls: 0 };
    let call = parser.call()?;
    parser.blank();
    if parser.at < text.len() {
        return Err(parser.error("unexpected text after the call"));
    }
    Ok(call)
}

/// Resolves `\'`, `\{`, `\}` and `\\`.
pub(super) fn unescape(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => result.extend(characters.next()),
            _ => result.push(character),
        }
    }
    result
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    calls: usize,
}

impl<'a> Parser<'a> {
    fn error(&self, message: &str) -> ExpressionError {
        let character = self.text[..self.at].chars().count() + 1;
        ExpressionError::Call(format!("{message} at character {character}"))
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn blank(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn take(&mut self, token: char) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len_utf8();
        }
        found
    }

    fn call(&mut self) -> Result<Call, ExpressionError> {
        let start = self.at;
        let function = self.function()?;
        self.calls += 1;
        if self.calls > INTRINSIC_CALLS_MAX {
            return Err(self.error(&format!("a field may have {INTRINSIC_CALLS_MAX} calls at most")));
        }
        let mut arguments = Vec::new();
        self.blank();
        if !self.take('(') {
            return Err(self.error("expected '('"));
        }
        self.blank();
        while !self.take(')') {
            if !arguments.is_empty() && !self.take(',') {
                return Err(self.error("expected ',' or ')'"));
            }
            self.blank();
            arguments.push(self.argument()?);
            self.blank();
        }
        let (least, most) = function.arity();
        if !(least..=most).contains(&arguments.len()) {
            return Err(self.error(&format!(
                "States.{function:?} takes {least} to {most} arguments but has {}",
                arguments.len()
            )));
        }
        Ok(Call {
            function,
            arguments,
            text: self.text[start..self.at].to_owned(),
        })
    }

    fn function(&mut self) -> Result<Function, ExpressionError> {
        let name = self
            .rest()
            .strip_prefix("States.")
            .ok_or_else(|| self.error("expected a path or an intrinsic function"))?;
        let end = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
        let function = Function::named(&name[..end])
            .ok_or_else(|| self.error(&format!("there is no function 'States.{}'", &name[..end])))?;
        self.at += "States.".len() + end;
        Ok(function)
    }

    fn argument(&mut self) -> Result<Argument, ExpressionError> {
        match self.rest().chars().next() {
            Some('\'') => self.quoted().map(Argument::Text),
            Some('$') => self.path().map(Argument::Path),
            Some('S') => self.call().map(Argument::Call),
            _ => self.literal().map(Argument::Literal),
        }
    }

    fn quoted(&mut self) -> Result<String, ExpressionError> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        for (offset, character) in self.rest().char_indices() {
            match character {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '\'' => {
                    let text = &self.text[start..start + offset];
                    self.at = start + offset + 1;
                    return Ok(text.to_owned());
                }
                _ => {}
            }
        }
        Err(self.error("the quote is not closed"))
    }

    /// A path ends at the first comma or parenthesis outside its brackets.
    fn path(&mut self) -> Result<Path, ExpressionError> {
        let (mut brackets, mut parentheses, mut quote) = (0usize, 0usize, None);
        let mut end = self.rest().len();
        let mut escaped = false;
        for (offset, character) in self.rest().char_indices() {
            match (character, quote) {
                _ if escaped => escaped = false,
                ('\\', Some(_)) => escaped = true,
                (_, Some(open)) if open == character => quote = None,
                (_, Some(_)) => {}
                ('\'' | '"', None) if brackets > 0 => quote = Some(character),
                ('[', None) => brackets += 1,
                (']', None) => brackets = brackets.saturating_sub(1),
                ('(', None) => parentheses += 1,
                (')', None) if parentheses > 0 => parentheses -= 1,
                (',' | ')', None) if brackets == 0 => {
                    end = offset;
                    break;
                }
                _ => {}
            }
        }
        let text = self.rest()[..end].trim_end();
        self.at += end;
        Ok(Path::parse(text)?)
    }

    fn literal(&mut self) -> Result<Value, ExpressionError> {
        let end = self.rest().find([',', ')']).unwrap_or(self.rest().len());
        let text = self.rest()[..end].trim_end();
        match serde_json::from_str(text) {
            Ok(value @ (Value::Null | Value::Bool(_) | Value::Number(_))) => {
                self.at += end;
                Ok(value)
            }
            _ => Err(self.error("expected an argument")),
        }
    }
}
