//! Functions over texts and JSON.

use serde_json::Value;

use crate::scope::Scope;

type Evaluated = Result<Value, String>;

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("expected a text but was {value}"))
}

/// Replaces each `{}` by the next argument; `\{` and `\}` are braces.
pub(super) fn format(arguments: &[Value], _: &Scope<'_>) -> Evaluated {
    let (template, values) = (text(&arguments[0])?, &arguments[1..]);
    let mut remaining = values.iter();
    let mut result = String::new();
    let mut characters = template.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => result.extend(characters.next()),
            '{' if characters.as_str().starts_with('}') => {
                characters.next();
                match remaining.next() {
                    Some(Value::String(text)) => result.push_str(text),
                    Some(value) => result.push_str(&value.to_string()),
                    None => return Err(mismatch(template, values.len())),
                }
            }
            '{' | '}' => return Err("a brace must be escaped".to_owned()),
            _ => result.push(character),
        }
    }
    if remaining.next().is_some() {
        return Err(mismatch(template, values.len()));
    }
    Ok(Value::String(result))
}

/// A part of the context object as AWS formats it: objects and arrays are not
/// shown as JSON but as `{Id=..., Name=...}`.
pub(super) fn shown(value: Value) -> Value {
    match value {
        Value::Object(_) | Value::Array(_) => Value::String(plain(&value)),
        other => other,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(plain).collect();
            format!("[{}]", elements.join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{name}={}", plain(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

fn mismatch(template: &str, arguments: usize) -> String {
    format!("the number of '{{}}' in '{template}' is not the number of arguments, {arguments}")
}

/// Shallow merge, the second object winning.
pub(super) fn json_merge(arguments: &[Value], _: &Scope<'_>) -> Evaluated {
    if arguments[2] != Value::Bool(false) {
        return Err("only the shallow merge is supported: the third argument must be false".to_owned());
    }
    match (&arguments[0], &arguments[1]) {
        (Value::Object(first), Value::Object(second)) => {
            let mut merged = first.clone();
            merged.extend(second.iter().map(|(key, value)| (key.clone(), value.clone())));
            Ok(Value::Object(merged))
        }
        _ => Err("expected two objects".to_owned()),
    }
}

pub(super) fn json_to_string(arguments: &[Value], _: &Scope<'_>) -> Evaluated {
    Ok(Value::String(arguments[0].to_string()))
}

pub(super) fn string_to_json(arguments: &[Value], _: &Scope<'_>) -> Evaluated {
    let text = text(&arguments[0])?;
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// Splits at every character of the second text; empty parts are left out.
pub(super) fn split(arguments: &[Value], _: &Scope<'_>) -> Evaluated {
    let (whole, delimiters) = (text(&arguments[0])?, text(&arguments[1])?);
    Ok(whole
        .split(|character| delimiters.contains(character))
        .filter(|part| !part.is_empty())
        .map(|part| Value::String(part.to_owned()))
        .collect())
}
