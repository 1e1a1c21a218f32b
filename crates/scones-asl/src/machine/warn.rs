//! What is allowed and probably not meant: paths where a text is expected.

use serde_json::Value;

use super::QueryLanguage;
use super::diagnostic::{Code, Severity};
use super::fields::Fields;
use crate::json::{element, join};

/// Whether a text looks like a path or an intrinsic function.
fn looks_like_path(text: &str) -> bool {
    text == "$"
        || text == "$$"
        || ["$.", "$$.", "$[", "States."]
            .iter()
            .any(|start| text.starts_with(start))
}

/// Warns of paths in a payload template under names without `.$`.
pub(super) fn no_dollar(fields: &Fields<'_>, name: &str, template: &Value) {
    if fields.language == QueryLanguage::JsonPath {
        let message = "No .$ on a field that appears to be a JSONPath or Intrinsic Function.";
        each_path(template, &fields.at(name), &mut |location, field| {
            if field.is_some_and(|field| field.ends_with(".$")) {
                return;
            }
            let hint = field.map(|field| format!("name it `{field}.$` to evaluate it"));
            fields.report(Severity::Warning, Code::NoDollar, location, message, hint);
        });
    }
}

/// Warns of a path in a field that does not evaluate it.
pub(super) fn no_path(fields: &Fields<'_>, name: &str) {
    if fields.language == QueryLanguage::JsonPath
        && fields.get(name).and_then(Value::as_str).is_some_and(looks_like_path)
    {
        let message = "Field value looks like a path, but field name does not end with 'Path'.";
        let hint = Some(format!("name it `{name}Path` to evaluate it"));
        fields.report(Severity::Warning, Code::NoPath, &fields.at(name), message, hint);
    }
}

/// Warns of paths in the `Result` of a Pass state.
pub(super) fn pass_result(fields: &Fields<'_>) {
    let Some(result) = fields.get("Result") else { return };
    each_path(result, &fields.at("Result"), &mut |location, _| {
        let message = "Attempt to use a path in the result of a pass state.";
        let hint = Some("use `Parameters` to evaluate it".to_owned());
        fields.report(Severity::Warning, Code::PassResultIsStatic, location, message, hint);
    });
}

/// Calls `found` with the location, and the field's name where it has one, of
/// every text that looks like a path.
fn each_path(value: &Value, location: &str, found: &mut impl FnMut(&str, Option<&str>)) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let here = join(location, name);
                match value.as_str() {
                    Some(text) if looks_like_path(text) => found(&here, Some(name)),
                    _ => each_path(value, &here, found),
                }
            }
        }
        Value::Array(elements) => {
            for (index, value) in elements.iter().enumerate() {
                let here = element(location, index);
                match value.as_str() {
                    Some(text) if looks_like_path(text) => found(&here, None),
                    _ => each_path(value, &here, found),
                }
            }
        }
        _ => {}
    }
}
