//! Texts that are not JSON, in the words of the parser that AWS uses.

use std::ops::Range;

use super::diagnostic::{Code, Diagnostic, Severity};
use crate::json::Span;

/// Characters of a definition that AWS repeats in its message.
const SOURCE_CHARS_MAX: usize = 500;

/// The problem of a text that serde_json cannot read.
pub(super) fn problem(definition: &str, error: &serde_json::Error) -> Diagnostic {
    let (range, message) = match unrecognised(definition) {
        Some(token) => (
            0..token.len(),
            format!(
                "Unrecognized token '{token}': was expecting (JSON String, Number, Array, Object \
                 or token 'null', 'true' or 'false')"
            ),
        ),
        None => (place(definition, error), without_place(error)),
    };
    let span = Span::of(definition, range);
    // AWS counts the column behind what it could not read.
    let source = format!(
        "[Source: (String){}; line: {}, column: {}]",
        excerpt(definition),
        span.end_line,
        span.end_column
    );
    Diagnostic {
        severity: Severity::Error,
        code: Code::InvalidJsonDescription,
        message: format!("{message}\n at {source}"),
        location: Some(source),
        span: Some(span),
        hint: None,
    }
}

/// The word that a text without any JSON begins with.
fn unrecognised(definition: &str) -> Option<&str> {
    let end = definition
        .find(|c: char| !c.is_alphanumeric())
        .unwrap_or(definition.len());
    let word = &definition[..end];
    let known = matches!(word, "null" | "true" | "false");
    (word.starts_with(char::is_alphabetic) && !known).then_some(word)
}

/// The character that could not be read; serde_json counts columns in bytes.
fn place(definition: &str, error: &serde_json::Error) -> Range<usize> {
    let lines = definition.split_inclusive('\n').take(error.line().saturating_sub(1));
    let offset = lines.map(str::len).sum::<usize>() + error.column().saturating_sub(1);
    let start = (0..=offset.min(definition.len()))
        .rev()
        .find(|offset| definition.is_char_boundary(*offset))
        .unwrap_or_default();
    let length = definition[start..].chars().next().map_or(0, char::len_utf8);
    start..start + length
}

/// serde_json's message, which ends with its own line and column.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

fn excerpt(definition: &str) -> String {
    match definition.char_indices().nth(SOURCE_CHARS_MAX) {
        Some((end, _)) => {
            let left = definition[end..].chars().count();
            format!("\"{}\"[truncated {left} chars]", &definition[..end])
        }
        None => format!("\"{definition}\""),
    }
}
