//! Problems of a definition, in AWS's words and with their place in the text.

use std::fmt::{self, Write as _};

use crate::json::{Positions, Span};

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The definition cannot be used.
    Error,
    /// The definition works, but probably not as meant.
    Warning,
}

impl Severity {
    /// As ValidateStateMachineDefinition writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
        }
    }
}

/// The kind of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The text is not JSON.
    InvalidJsonDescription,
    /// A field is missing, of the wrong type, or has a value that is not allowed.
    SchemaValidationFailed,
    /// A transition names no state, or no transition leads to a state.
    MissingTransitionTarget,
    /// No state of a workflow ends it.
    MissingEndState,
    /// Two states of one machine share a name.
    DuplicateStateName,
    /// A field that the language does not define.
    UnknownField,
}

impl Code {
    /// As AWS writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJsonDescription => "INVALID_JSON_DESCRIPTION",
            Self::SchemaValidationFailed => "SCHEMA_VALIDATION_FAILED",
            Self::MissingTransitionTarget => "MISSING_TRANSITION_TARGET",
            Self::MissingEndState => "MISSING_END_STATE",
            Self::DuplicateStateName => "DUPLICATE_STATE_NAME",
            Self::UnknownField => "UNKNOWN_FIELD",
        }
    }
}

/// One problem of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Its kind.
    pub code: Code,
    /// What is wrong, without the place.
    pub message: String,
    /// Where, as AWS writes it: `/States/Work/Next`. Absent where AWS gives none.
    pub location: Option<String>,
    /// Where in the source text; absent when the text could not be read at all.
    pub span: Option<Span>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    /// `CODE: message at /location`, the form that CreateStateMachine returns.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code.as_str(), self.message)?;
        match &self.location {
            Some(location) => write!(formatter, " at {location}"),
            None => Ok(()),
        }
    }
}

impl Diagnostic {
    /// The problem with its source line underlined, as a compiler shows it:
    ///
    /// ```text
    /// error[MISSING_TRANSITION_TARGET]: Missing 'Next' target: Gone
    ///   --> order.asl.json:4:12
    ///    |
    ///  4 |   "Next": "Gone"
    ///    |           ^^^^^^
    ///    = hint: no state is called `Gone`
    /// ```
    ///
    /// `source` is the definition that was parsed, `file` its name.
    #[must_use]
    pub fn render(&self, source: &str, file: &str) -> String {
        let severity = self.severity.as_str().to_lowercase();
        let mut text = format!("{severity}[{}]: {}\n", self.code.as_str(), self.message);
        if let Some(span) = self.span {
            let line = source.lines().nth(span.line - 1).unwrap_or_default();
            // A value of several lines is underlined to the end of its first.
            let end = if span.end_line == span.line {
                span.end_column
            } else {
                line.chars().count() + 1
            };
            let marks = "^".repeat(end.saturating_sub(span.column).max(1));
            let number = span.line.to_string();
            let (margin, indent) = (" ".repeat(number.len()), " ".repeat(span.column - 1));
            let _ = writeln!(text, " {margin}--> {file}:{}:{}", span.line, span.column);
            let _ = writeln!(text, " {margin} |\n {number} | {line}\n {margin} | {indent}{marks}");
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "   = hint: {hint}");
        }
        text
    }
}

/// Gathers the problems of one definition.
pub(super) struct Collector<'a> {
    positions: Positions<'a>,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Collector<'a> {
    pub(super) fn new(definition: &'a str) -> Self {
        Self {
            positions: Positions::scan(definition),
            diagnostics: Vec::new(),
        }
    }

    pub(super) fn duplicates(&self) -> Vec<String> {
        self.positions.duplicates.clone()
    }

    /// A `SCHEMA_VALIDATION_FAILED` error.
    pub(super) fn schema(&mut self, location: &str, message: impl Into<String>) {
        self.report(Severity::Error, Code::SchemaValidationFailed, location, message, None);
    }

    pub(super) fn report(
        &mut self,
        severity: Severity,
        code: Code,
        location: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.diagnostics.push(Diagnostic {
            severity,
            code,
            message: message.into(),
            location: Some(if location.is_empty() { "/" } else { location }.to_owned()),
            span: self.positions.span(location),
            hint,
        });
    }

    /// All problems, errors before warnings.
    pub(super) fn finish(&mut self) -> Vec<Diagnostic> {
        let mut diagnostics = std::mem::take(&mut self.diagnostics);
        diagnostics.sort_by_key(|diagnostic| diagnostic.severity);
        diagnostics
    }
}

/// The name that is meant by a misspelt one, if any is near enough.
pub(super) fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let allowed = (name.chars().count() / 3).max(1);
    names
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance, ignoring case.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_near_names_only() {
        let names = ["Classify", "Store", "Done"];
        let check = |name, expect| assert_eq!(nearest(name, names.into_iter()), expect, "{name}");
        check("Clasify", Some("Classify"));
        check("done", Some("Done"));
        check("Unrelated", None);
    }
}
