//! The fields that several types of state share: data flow and transitions.

use serde_json::Value;

use super::fields::Fields;
use super::parse::Names;
use super::retry;
use super::{Outcome, QueryLanguage, ResultPath, Selection, Transition, WholeNumber};
use crate::path::Root;

/// `InputPath` or `OutputPath`.
pub(super) fn selection(fields: &Fields<'_>, name: &str) -> Option<Selection> {
    match fields.get(name) {
        None => Some(Selection::Whole),
        Some(Value::Null) => Some(Selection::Nothing),
        Some(_) => fields.path(name).map(|path| {
            if path.is_root() && path.root == Root::Input {
                Selection::Whole
            } else {
                Selection::Path(path)
            }
        }),
    }
}

/// `ResultPath`: a reference path into the input.
pub(super) fn result_path(fields: &Fields<'_>) -> Option<ResultPath> {
    match fields.get("ResultPath") {
        None => Some(ResultPath::Replace),
        Some(Value::Null) => Some(ResultPath::Discard),
        Some(_) => {
            let path = fields.path("ResultPath")?;
            if path.root != Root::Input || !path.is_reference() {
                fields.not_a_reference("ResultPath");
                return None;
            }
            Some(if path.is_root() {
                ResultPath::Replace
            } else {
                ResultPath::Insert(path)
            })
        }
    }
}

/// `Next` or `End`, of which exactly one must be there.
pub(super) fn transition(fields: &Fields<'_>, names: &Names<'_>) -> Option<Transition> {
    let ends = fields.boolean("End");
    match (fields.get("Next"), ends) {
        (Some(_), Some(true)) => {
            fields.at_most_one(&["Next", "End"]);
            None
        }
        (Some(_), _) => names.resolve(fields.text("Next")?).map(Transition::Next),
        (None, Some(true)) => Some(Transition::End),
        (None, _) => {
            fields.wrong_here("The state must have either 'Next' or 'End': true");
            None
        }
    }
}

/// A whole number (seconds or a count), or the path or expression that leads
/// to one; absent is fine.
pub(super) fn whole_number(
    fields: &Fields<'_>,
    name: &str,
    range: std::ops::RangeInclusive<u64>,
) -> Option<Option<WholeNumber>> {
    let path_name = format!("{name}Path");
    fields.exclusive(name, &path_name);
    if fields.language == QueryLanguage::Jsonata && fields.get(name).is_some_and(Value::is_string) {
        return fields
            .template(name)
            .map(|template| Some(WholeNumber::Template(template)));
    }
    if fields.has(name) {
        return fields
            .integer(name, range)
            .map(|number| Some(WholeNumber::Literal(number)));
    }
    if fields.has(&path_name) {
        return fields
            .definite_path(&path_name)
            .map(|path| Some(WholeNumber::Path(path)));
    }
    Some(None)
}

/// What Task, Parallel and Map states do afterwards. Everything is read before
/// anything is given up, so that every mistake is reported.
pub(super) fn outcome(fields: &Fields<'_>, names: &Names<'_>) -> Option<Outcome> {
    let result_selector = payload(fields, "ResultSelector");
    let result_path = result_path(fields);
    let retry = retry::retriers(fields);
    let catch = retry::catchers(fields, names);
    let transition = transition(fields, names);
    Some(Outcome {
        result_selector: result_selector?,
        result_path: result_path?,
        retry: retry?,
        catch: catch?,
        transition: transition?,
    })
}

/// The field that holds what is handed to a task, to branches, or to a reader.
pub(super) fn arguments(fields: &Fields<'_>) -> &'static str {
    match fields.language {
        QueryLanguage::JsonPath => "Parameters",
        QueryLanguage::Jsonata => "Arguments",
    }
}

/// A payload template that may be absent.
pub(super) fn payload(fields: &Fields<'_>, name: &str) -> Option<Option<crate::template::Template>> {
    if fields.has(name) {
        fields.template(name).map(Some)
    } else {
        Some(None)
    }
}

/// `Assign`: an object of variables.
pub(super) fn assign(fields: &Fields<'_>) -> Option<Option<crate::template::Template>> {
    if !fields.has("Assign") {
        return Some(None);
    }
    let variables = fields.object("Assign")?;
    let mut valid = true;
    for name in variables.names() {
        let plain = name.strip_suffix(".$").unwrap_or(name);
        let starts = plain.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let continues = plain.chars().all(|c| c.is_alphanumeric() || c == '_');
        let length = plain.chars().count() <= crate::limits::VARIABLE_NAME_CHARS_MAX;
        if !(starts && continues && length) || plain == "states" {
            variables.wrong(name, format!("'{plain}' is not a valid variable name"));
            valid = false;
        }
    }
    let template = fields.template("Assign")?;
    valid.then_some(Some(template))
}
