//! Retriers and catchers.

use super::fields::Fields;
use super::flow;
use super::parse::Names;
use super::{Code, QueryLanguage, ResultPath, Severity};
use crate::error::names;
use crate::limits::{
    RETRY_ATTEMPTS_DEFAULT, RETRY_ATTEMPTS_MAX, RETRY_BACKOFF_DEFAULT, RETRY_INTERVAL_SECONDS_DEFAULT,
    RETRY_MAX_DELAY_SECONDS_MAX, SECONDS_MAX,
};
use crate::template::Template;

/// How long a retry waits within its interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Jitter {
    /// The whole interval.
    None,
    /// A random part of it.
    Full,
}

/// One entry of `Retry`.
#[derive(Debug)]
pub(crate) struct Retrier {
    pub(crate) error_equals: Vec<String>,
    pub(crate) interval_seconds: u64,
    pub(crate) max_attempts: u32,
    pub(crate) backoff_rate: f64,
    pub(crate) max_delay_seconds: Option<u64>,
    pub(crate) jitter: Jitter,
}

/// One entry of `Catch`.
#[derive(Debug)]
pub(crate) struct Catcher {
    pub(crate) error_equals: Vec<String>,
    pub(crate) next: usize,
    pub(crate) result_path: ResultPath,
    pub(crate) assign: Option<Template>,
    /// `Output` of a JSONata state's catcher.
    pub(crate) output: Option<Template>,
}

const RESERVED: &[&str] = &[
    names::ALL,
    names::TIMEOUT,
    names::HEARTBEAT_TIMEOUT,
    names::TASK_FAILED,
    names::RUNTIME,
    names::DATA_LIMIT_EXCEEDED,
    names::NO_CHOICE_MATCHED,
    names::INTRINSIC_FAILURE,
    names::RESULT_PATH_MATCH_FAILURE,
    "States.Permissions",
    "States.ParameterPathFailure",
    "States.BranchFailed",
    "States.ExceedToleratedFailureThreshold",
    "States.ItemReaderFailed",
    "States.ResultWriterFailed",
    names::QUERY_EVALUATION_ERROR,
    "States.Http.Socket",
];

pub(super) fn retriers(fields: &Fields<'_>) -> Option<Vec<Retrier>> {
    if !fields.has("Retry") {
        return Some(Vec::new());
    }
    let entries = fields.objects("Retry");
    let count = fields.list("Retry")?.len();
    let read: Vec<_> = entries
        .iter()
        .enumerate()
        .filter_map(|(index, entry)| retrier(entry, index + 1 == count))
        .collect();
    (read.len() == count).then_some(read)
}

fn retrier(entry: &Fields<'_>, last: bool) -> Option<Retrier> {
    entry.allow_only(&[
        "Comment",
        "ErrorEquals",
        "IntervalSeconds",
        "MaxAttempts",
        "BackoffRate",
        "MaxDelaySeconds",
        "JitterStrategy",
    ]);
    entry.require("ErrorEquals");
    let error_equals = error_equals(entry, last);
    let given = |name: &str, valid: bool| !entry.has(name) || valid;
    let interval = entry.integer("IntervalSeconds", 1..=SECONDS_MAX);
    let attempts = entry.integer("MaxAttempts", 0..=RETRY_ATTEMPTS_MAX);
    let delay = entry.integer("MaxDelaySeconds", 1..=RETRY_MAX_DELAY_SECONDS_MAX);
    let backoff = entry.number("BackoffRate");
    if let Some(rate) = backoff {
        entry.within("BackoffRate", &rate, &1.0, &f64::MAX);
    }
    let jitter = entry.one_of_or("JitterStrategy", &[("FULL", Jitter::Full), ("NONE", Jitter::None)]);
    let valid = given("IntervalSeconds", interval.is_some())
        && given("MaxAttempts", attempts.is_some())
        && given("MaxDelaySeconds", delay.is_some())
        && given("BackoffRate", backoff.is_some());
    valid.then_some(())?;
    Some(Retrier {
        error_equals: error_equals?,
        interval_seconds: interval.unwrap_or(RETRY_INTERVAL_SECONDS_DEFAULT),
        max_attempts: attempts.map_or(RETRY_ATTEMPTS_DEFAULT, |n| u32::try_from(n).unwrap_or(u32::MAX)),
        backoff_rate: backoff.unwrap_or(RETRY_BACKOFF_DEFAULT),
        max_delay_seconds: delay,
        jitter: jitter?.unwrap_or(Jitter::None),
    })
}

pub(super) fn catchers(fields: &Fields<'_>, names: &Names<'_>) -> Option<Vec<Catcher>> {
    if !fields.has("Catch") {
        return Some(Vec::new());
    }
    let entries = fields.objects("Catch");
    let count = fields.list("Catch")?.len();
    let read: Vec<_> = entries
        .iter()
        .enumerate()
        .filter_map(|(index, entry)| catcher(entry, index + 1 == count, names))
        .collect();
    (read.len() == count).then_some(read)
}

fn catcher(entry: &Fields<'_>, last: bool, names: &Names<'_>) -> Option<Catcher> {
    let entry = &entry.in_catcher();
    let output_field = match entry.language {
        QueryLanguage::JsonPath => "ResultPath",
        QueryLanguage::Jsonata => "Output",
    };
    entry.allow_only(&["Comment", "ErrorEquals", "Next", "Assign", output_field]);
    let output = if output_field == "Output" {
        flow::payload(entry, "Output")
    } else {
        Some(None)
    };
    entry.require_all(&["ErrorEquals", "Next"]);
    let error_equals = error_equals(entry, last);
    let result_path = flow::result_path(entry);
    let assign = flow::assign(entry);
    let next = entry.text("Next").and_then(|next| names.resolve(next));
    Some(Catcher {
        error_equals: error_equals?,
        next: next?,
        result_path: result_path?,
        assign: assign?,
        output: output?,
    })
}

fn error_equals(entry: &Fields<'_>, last: bool) -> Option<Vec<String>> {
    let errors = entry.texts("ErrorEquals");
    let all = errors.iter().any(|error| error == names::ALL);
    if all && errors.len() > 1 {
        entry.wrong("ErrorEquals", format!("'{}' must appear alone", names::ALL));
        return None;
    }
    if all && !last {
        entry.wrong("ErrorEquals", format!("'{}' must be in the last entry", names::ALL));
        return None;
    }
    for error in errors.iter().filter(|error| error.starts_with("States.")) {
        if !RESERVED.contains(&error.as_str()) {
            let message = format!("'{error}' is not an error name that the language reserves");
            entry.report(
                Severity::Warning,
                Code::SchemaValidationFailed,
                &entry.at("ErrorEquals"),
                message,
                None,
            );
        }
    }
    (!errors.is_empty()).then_some(errors)
}
