//! Functions at the end of a path: `$.prices.sum()`.

use serde_json::{Number, Value};

use crate::json::double;

/// A function over the value that a path has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Length,
    Sum,
    Minimum,
    Maximum,
    Average,
    Deviation,
    Keys,
    First,
    Last,
}

impl Function {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "length" | "size" => Self::Length,
            "sum" => Self::Sum,
            "min" => Self::Minimum,
            "max" => Self::Maximum,
            "avg" => Self::Average,
            "stddev" => Self::Deviation,
            "keys" => Self::Keys,
            "first" => Self::First,
            "last" => Self::Last,
            _ => return None,
        })
    }

    /// The result, or nothing where the value is of the wrong kind.
    pub(super) fn apply(self, value: &Value) -> Option<Value> {
        match (self, value) {
            (Self::Length, Value::Array(elements)) => Some(elements.len().into()),
            (Self::Length, Value::Object(fields)) => Some(fields.len().into()),
            (Self::Length, Value::String(text)) => Some(text.chars().count().into()),
            (Self::Keys, Value::Object(fields)) => Some(fields.keys().cloned().collect()),
            (Self::First, Value::Array(elements)) => elements.first().cloned(),
            (Self::Last, Value::Array(elements)) => elements.last().cloned(),
            (_, Value::Array(elements)) => self.aggregate(elements),
            _ => None,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of elements is far below 2^53")]
    fn aggregate(self, elements: &[Value]) -> Option<Value> {
        let numbers: Vec<f64> = elements.iter().filter_map(Value::as_number).map(double).collect();
        if numbers.is_empty() {
            return None;
        }
        let (sum, count) = (numbers.iter().sum::<f64>(), numbers.len() as f64);
        let mean = sum / count;
        Number::from_f64(match self {
            Self::Sum => sum,
            Self::Minimum => numbers.iter().copied().fold(f64::INFINITY, f64::min),
            Self::Maximum => numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Self::Average => mean,
            Self::Deviation => (numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / count).sqrt(),
            _ => return None,
        })
        .map(Value::Number)
    }
}
