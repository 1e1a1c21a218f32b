//! Functions over numbers, and those that draw random ones.

use serde_json::Value;

use crate::json::double;
use crate::random::Random;
use crate::scope::Scope;

type Evaluated = Result<Value, String>;

/// The value as an integer; a fraction is rounded to the nearest one.
pub(super) fn integer(value: &Value) -> Result<i64, String> {
    let number = value
        .as_number()
        .ok_or_else(|| format!("expected a number but was {value}"))?;
    if let Some(integer) = number.as_i64() {
        return Ok(integer);
    }
    let rounded = (double(number) + 0.5).floor();
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    if rounded.abs() < 9.2e18 {
        Ok(rounded as i64)
    } else {
        Err(format!("{number} is not an integer of 64 bits"))
    }
}

/// Its arguments are integers of 32 bits.
pub(super) fn add(arguments: &[Value], _: &Scope<'_>) -> Evaluated {
    let term = |value: &Value| {
        let integer = integer(value)?;
        let small =
            i32::try_from(integer).map_err(|_| format!("{integer} is not between {} and {}", i32::MIN, i32::MAX))?;
        Ok::<i64, String>(small.into())
    };
    Ok(Value::from(term(&arguments[0])? + term(&arguments[1])?))
}

/// From the first number, included, to the second, excluded.
pub(super) fn random(arguments: &[Value], scope: &Scope<'_>) -> Evaluated {
    let (first, last) = (integer(&arguments[0])?, integer(&arguments[1])?);
    if first >= last {
        return Err("the start must be below the end".to_owned());
    }
    let seeded = match arguments.get(2) {
        Some(seed) => Some(Random::new(integer(seed)?.unsigned_abs())),
        None => None,
    };
    let source = seeded.as_ref().unwrap_or(scope.random);
    let offset = source.below(last.abs_diff(first));
    Ok(Value::from(first.wrapping_add_unsigned(offset)))
}

pub(super) fn uuid(_: &[Value], scope: &Scope<'_>) -> Evaluated {
    Ok(Value::String(scope.random.uuid()))
}
