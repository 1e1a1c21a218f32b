//! How JSON flows through a state: reading paths, and `ResultPath`.

use serde_json::{Map, Value};

use crate::error::{EvaluationError, names};
use crate::machine::ResultPath;
use crate::path::{Path, Step};
use crate::payload::{Evaluated, Payload};
use crate::scope::Scope;

/// Reads a path for a field that is not part of a template.
pub(crate) fn read(path: &Path, scope: &Scope<'_>) -> Evaluated<Value> {
    scope
        .read(path)
        .map_err(|missing| EvaluationError::runtime(format_args!("Invalid path '{path}' : {missing}")))
}

/// Applies `ResultPath`: puts the result into the raw input.
pub(crate) fn apply_result_path(result_path: &ResultPath, raw_input: Payload, result: Payload) -> Evaluated<Payload> {
    match result_path {
        ResultPath::Replace => Ok(result),
        ResultPath::Discard => Ok(raw_input),
        ResultPath::Insert(path) => {
            let mut input = raw_input.into_value();
            if insert(&mut input, path.steps(), result.into_value()).is_none() {
                return Err(EvaluationError::named(
                    names::RESULT_PATH_MATCH_FAILURE,
                    format_args!("Unable to apply Reference Path '{path}' to the input '{input}'"),
                ));
            }
            Ok(input.into())
        }
    }
}

/// Puts a value at a reference path, making objects on the way.
fn insert(target: &mut Value, steps: &[Step], value: Value) -> Option<()> {
    let Some((step, rest)) = steps.split_first() else {
        *target = value;
        return Some(());
    };
    let child = match step {
        Step::Property(names) => target
            .as_object_mut()?
            .entry(names.first()?.clone())
            .or_insert_with(|| Value::Object(Map::new())),
        Step::Index(indexes) => {
            let index = usize::try_from(*indexes.first()?).ok()?;
            target.as_array_mut()?.get_mut(index)?
        }
        _ => return None,
    };
    insert(child, rest, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, input: &str, expect: Option<&str>) {
        let parse = |text| serde_json::from_str::<Value>(text).unwrap();
        let result_path = ResultPath::Insert(Path::parse(path).unwrap());
        let actual = apply_result_path(&result_path, parse(input).into(), parse("7").into())
            .ok()
            .map(|payload| payload.text().to_string());
        assert_eq!(actual.as_deref(), expect, "{path} {input}");
    }

    #[test]
    fn result_path_makes_what_is_missing() {
        check("$.a", "{\"b\":1}", Some("{\"b\":1,\"a\":7}"));
        check("$.a.b", "{}", Some("{\"a\":{\"b\":7}}"));
        check("$.a[1]", "{\"a\":[0,1]}", Some("{\"a\":[0,7]}"));
        check("$.a[2]", "{\"a\":[0,1]}", None);
        check("$.a.b", "{\"a\":1}", None);
        check("$.a", "[]", None);
    }
}
