//! Functions over arrays.

use std::collections::HashSet;

use serde_json::Value;

use super::math::integer;
use crate::json;
use crate::limits::ARRAY_RANGE_ELEMENTS_MAX;
use crate::scope::Scope;

type Evaluated = Result<Value, String>;

fn elements(value: &Value) -> Result<&[Value], String> {
    value
        .as_array()
        .map(Vec::as_slice)
        .ok_or_else(|| format!("expected an array but was {value}"))
}

fn arity(arguments: &[Value], count: usize) -> Result<(), String> {
    if arguments.len() == count {
        return Ok(());
    }
    Err(format!("expected {count} arguments but there are {}", arguments.len()))
}

pub(super) fn array(arguments: &[Value], _: &Scope<'_>) -> Evaluated {
    Ok(Value::Array(arguments.to_vec()))
}

pub(super) fn contains(arguments: &[Value], _: &Scope<'_>) -> Evaluated {
    let found = elements(&arguments[0])?
        .iter()
        .any(|element| json::equal(element, &arguments[1]));
    Ok(Value::Bool(found))
}

pub(super) fn get_item(arguments: &[Value], _: &Scope<'_>) -> Evaluated {
    let (array, index) = (elements(&arguments[0])?, integer(&arguments[1])?);
    usize::try_from(index)
        .ok()
        .and_then(|index| array.get(index))
        .cloned()
        .ok_or_else(|| format!("index {index} is outside the array of {} elements", array.len()))
}

pub(super) fn length(arguments: &[Value], _: &Scope<'_>) -> Evaluated {
    Ok(elements(&arguments[0])?.len().into())
}

pub(crate) fn partition(arguments: &[Value]) -> Evaluated {
    arity(arguments, 2)?;
    let array = elements(&arguments[0])?;
    let size = usize::try_from(integer(&arguments[1])?)
        .ok()
        .filter(|size| *size > 0)
        .ok_or("the chunk size must be a positive integer")?;
    Ok(array.chunks(size).map(|chunk| Value::Array(chunk.to_vec())).collect())
}

/// From the first to the last number, both included.
pub(crate) fn range(arguments: &[Value]) -> Evaluated {
    arity(arguments, 3)?;
    let (first, last) = (integer(&arguments[0])?, integer(&arguments[1])?);
    let step = integer(&arguments[2])?;
    if step == 0 {
        return Err("the step must not be 0".to_owned());
    }
    let distance = i128::from(last) - i128::from(first);
    let count = distance / i128::from(step) + 1;
    if distance.signum() * i128::from(step.signum()) < 0 {
        return Ok(Value::Array(Vec::new()));
    }
    if count > ARRAY_RANGE_ELEMENTS_MAX.into() {
        return Err(format!(
            "the range may have {ARRAY_RANGE_ELEMENTS_MAX} elements at most"
        ));
    }
    // Every element lies between first and last, but the products need not fit in 64 bits.
    let element = |index: i128| i64::try_from(i128::from(first) + index * i128::from(step)).unwrap_or_default();
    Ok((0..count).map(|index| Value::from(element(index))).collect())
}

pub(super) fn unique(arguments: &[Value], _: &Scope<'_>) -> Evaluated {
    let mut seen = HashSet::new();
    let elements = elements(&arguments[0])?.iter();
    Ok(elements
        .filter(|element| seen.insert(json::canonical(element)))
        .cloned()
        .collect())
}
