//! JSON that is carried as text and read only when something looks inside.

use std::cell::OnceCell;
use std::sync::Arc;

use serde_json::Value;

use crate::error::EvaluationError;

/// A JSON value with its text; whichever is missing is made on demand.
pub(crate) struct Payload {
    text: OnceCell<Arc<str>>,
    value: OnceCell<Value>,
}

impl Payload {
    pub(crate) fn from_text(text: Arc<str>) -> Self {
        Self {
            text: OnceCell::from(text),
            value: OnceCell::new(),
        }
    }

    pub(crate) fn text(&self) -> Arc<str> {
        self.text
            .get_or_init(|| self.value.get().map(Value::to_string).unwrap_or_default().into())
            .clone()
    }

    /// The value; `null` for a text that is not JSON, which callers refuse
    /// before they make a payload.
    pub(crate) fn value(&self) -> &Value {
        self.value.get_or_init(|| {
            self.text
                .get()
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_default()
        })
    }

    pub(crate) fn into_value(self) -> Value {
        self.value();
        self.value.into_inner().unwrap_or_default()
    }
}

impl From<Value> for Payload {
    fn from(value: Value) -> Self {
        Self {
            text: OnceCell::new(),
            value: OnceCell::from(value),
        }
    }
}

/// Whether a text is JSON.
pub(crate) fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// The evaluated form of a fallible field.
pub(crate) type Evaluated<T> = Result<T, EvaluationError>;
