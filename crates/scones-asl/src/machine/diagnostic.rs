//! Problems of a definition, in AWS's words and with their place in the text.

use std::fmt;

use crate::json::{Positions, Span};
use crate::limits::{DIAGNOSTICS_MAX, SUGGESTED_CHARS_MAX, SUGGESTIONS_MAX};

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

/// The kind of a problem, as the API reference lists them
/// (`ValidateStateMachineDefinitionDiagnostic`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The text is not JSON.
    InvalidJsonDescription,
    /// A field is missing, of the wrong type, or has a value that is not allowed.
    SchemaValidationFailed,
    /// A JSONata expression that cannot be parsed.
    InvalidJsonataExpression,
    /// A JSONata expression that refers to something that is not there.
    UnsupportedJsonataExpression,
    /// A name that no state may have.
    InvalidStateName,
    /// Two states of one machine share a name.
    DuplicateStateName,
    /// A transition names no state, or no transition leads to a state.
    MissingTransitionTarget,
    /// No state of a workflow ends it.
    MissingEndState,
    /// Workflows inside workflows, beyond the limit.
    TooDeeplyNested,
    /// A label that no distributed map may have.
    InvalidLabelName,
    /// Two distributed maps of one machine share a label.
    DuplicateLabelName,
    /// A warning: a text looks like a path, but its field's name lacks `.$`.
    NoDollar,
    /// A warning: a text looks like a path, but its field's name lacks `Path`.
    NoPath,
    /// A warning: a path in the `Result` of a Pass state stays a text.
    PassResultIsStatic,
}

impl Code {
    /// As AWS writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJsonDescription => "INVALID_JSON_DESCRIPTION",
            Self::SchemaValidationFailed => "SCHEMA_VALIDATION_FAILED",
            Self::InvalidJsonataExpression => "INVALID_JSONATA_EXPRESSION",
            Self::UnsupportedJsonataExpression => "UNSUPPORTED_JSONATA_EXPRESSION",
            Self::InvalidStateName => "INVALID_STATE_NAME",
            Self::DuplicateStateName => "DUPLICATE_STATE_NAME",
            Self::MissingTransitionTarget => "MISSING_TRANSITION_TARGET",
            Self::MissingEndState => "MISSING_END_STATE",
            Self::TooDeeplyNested => "TOO_DEEPLY_NESTED",
            Self::InvalidLabelName => "INVALID_LABEL_NAME",
            Self::DuplicateLabelName => "DUPLICATE_LABEL_NAME",
            Self::NoDollar => "NO_DOLLAR",
            Self::NoPath => "NO_PATH",
            Self::PassResultIsStatic => "PASS_RESULT_IS_STATIC",
        }
    }

    /// AWS reports what is wrong with the graph after what is wrong with the fields.
    fn is_of_the_graph(self) -> bool {
        matches!(
            self,
            Self::DuplicateStateName | Self::MissingTransitionTarget | Self::MissingEndState
        )
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
    /// Where, as AWS writes it: `/States/Work/Catch[0]/Next`. Absent where AWS gives none.
    pub location: Option<String>,
    /// Where in the source text; absent when the text could not be read at all.
    pub span: Option<Span>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    /// `CODE: message at /location`, the form that CreateStateMachine returns;
    /// a problem without a location is `at null` there.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let location = self.location.as_deref().unwrap_or("null");
        write!(formatter, "{}: {} at {location}", self.code.as_str(), self.message)
    }
}

/// A problem that has been found, and where to show it.
pub(super) struct Problem<'p> {
    pub(super) severity: Severity,
    pub(super) code: Code,
    pub(super) location: Option<&'p str>,
    pub(super) place: Place<'p>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// What is underlined in the source text.
#[derive(Clone, Copy)]
pub(super) enum Place<'p> {
    Value(&'p str),
    /// The key before a value that would be many lines.
    Key(&'p str),
}

impl<'p> Problem<'p> {
    /// A `SCHEMA_VALIDATION_FAILED` error at a value.
    pub(super) fn schema(location: &'p str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code: Code::SchemaValidationFailed,
            location: Some(location),
            place: Place::Value(location),
            message: message.into(),
            hint: None,
        }
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

    /// How many problems of a severity there are.
    fn count(&self, severity: Severity) -> usize {
        self.diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity == severity)
            .count()
    }

    /// Looks for the name that is meant by a misspelt one; not for the many
    /// mistakes of a text that is no definition, where that takes too long.
    pub(super) fn meant<'n>(&self, name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
        (self.diagnostics.len() < SUGGESTIONS_MAX)
            .then(|| nearest(name, names))
            .flatten()
    }

    /// Keeps a problem, unless there are more than anyone reads.
    pub(super) fn report(&mut self, problem: Problem<'_>) {
        if self.count(problem.severity) >= DIAGNOSTICS_MAX {
            return;
        }
        let span = match problem.place {
            Place::Value(location) => self.positions.value_span(location),
            Place::Key(location) => self.positions.key_span(location),
        };
        let root = |location: &str| if location.is_empty() { "/" } else { location }.to_owned();
        self.diagnostics.push(Diagnostic {
            severity: problem.severity,
            code: problem.code,
            message: problem.message,
            location: problem.location.map(root),
            span,
            hint: problem.hint,
        });
    }

    /// All problems: errors before warnings, fields before the graph.
    pub(super) fn finish(&mut self) -> Vec<Diagnostic> {
        let mut diagnostics = std::mem::take(&mut self.diagnostics);
        diagnostics.sort_by_key(|diagnostic| (diagnostic.severity, diagnostic.code.is_of_the_graph()));
        diagnostics
    }
}

/// The name that is meant by a misspelt one, if any is near enough.
fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let length = name.chars().count();
    let allowed = (length / 3).max(1);
    names
        .filter(|candidate| length <= SUGGESTED_CHARS_MAX && candidate.chars().count().abs_diff(length) <= allowed)
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
