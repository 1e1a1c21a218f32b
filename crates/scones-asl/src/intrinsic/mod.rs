//! Intrinsic functions: `States.Format('{} is {}', $.name, $.age)`.

mod array;
mod encode;
mod math;
mod parse;
mod text;

use serde_json::Value;

use crate::error::{EvaluationError, names};
use crate::path::{Path, PathSyntaxError, Root};
use crate::scope::Scope;

/// A path or an intrinsic function call, as a `.$` field holds it.
#[derive(Clone, Debug)]
pub(crate) enum Expression {
    Path(Path),
    Call(Call),
}

/// A call with its arguments and its source text.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    function: Function,
    pub(crate) arguments: Vec<Argument>,
    text: String,
}

/// One argument of a call.
#[derive(Clone, Debug)]
pub(crate) enum Argument {
    Literal(Value),
    /// A quoted text with its escapes still in place.
    Text(String),
    Path(Path),
    Call(Call),
}

/// Why the text of a `.$` field is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExpressionError {
    #[error("the value must be a text")]
    NotText,
    #[error(transparent)]
    Path(#[from] PathSyntaxError),
    #[error("{0}")]
    Call(String),
}

/// A function that needs its arguments alone.
pub(crate) type Pure = fn(&[Value]) -> Result<Value, String>;

pub(crate) use array::{partition, range};
pub(crate) use encode::hash;

macro_rules! functions {
    ($($name:ident($least:literal..=$most:literal) = $body:path;)*) => {
        /// The intrinsic functions of the language.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(clippy::upper_case_acronyms, reason = "the variants bear the functions' names")]
        pub(crate) enum Function { $($name),* }

        impl Function {
            pub(crate) fn named(name: &str) -> Option<Self> {
                match name { $(stringify!($name) => Some(Self::$name),)* _ => None }
            }

            /// The fewest and the most arguments.
            pub(crate) fn arity(self) -> (usize, usize) {
                match self { $(Self::$name => ($least, $most)),* }
            }

            fn apply(self, arguments: &[Value], scope: &Scope<'_>) -> Result<Value, String> {
                match self { $(Self::$name => $body(arguments, scope)),* }
            }
        }
    };
}

functions! {
    Array(0..=1000) = array::array;
    ArrayContains(2..=2) = array::contains;
    ArrayGetItem(2..=2) = array::get_item;
    ArrayLength(1..=1) = array::length;
    ArrayPartition(2..=2) = pure_partition;
    ArrayRange(3..=3) = pure_range;
    ArrayUnique(1..=1) = array::unique;
    Base64Decode(1..=1) = encode::base64_decode;
    Base64Encode(1..=1) = encode::base64_encode;
    Format(1..=1000) = text::format;
    Hash(2..=2) = pure_hash;
    JsonMerge(3..=3) = text::json_merge;
    JsonToString(1..=1) = text::json_to_string;
    MathAdd(2..=2) = math::add;
    MathRandom(2..=3) = math::random;
    StringSplit(2..=2) = text::split;
    StringToJson(1..=1) = text::string_to_json;
    UUID(0..=0) = math::uuid;
}

fn pure_partition(arguments: &[Value], _: &Scope<'_>) -> Result<Value, String> {
    partition(arguments)
}

fn pure_range(arguments: &[Value], _: &Scope<'_>) -> Result<Value, String> {
    range(arguments)
}

fn pure_hash(arguments: &[Value], _: &Scope<'_>) -> Result<Value, String> {
    hash(arguments)
}

impl Expression {
    /// Reads a path (`$...`) or a call (`States.Name(...)`).
    pub(crate) fn parse(text: &str) -> Result<Self, ExpressionError> {
        if text.starts_with('$') {
            return Ok(Self::Path(Path::parse(text)?));
        }
        parse::call(text).map(Self::Call)
    }

    /// Evaluates for a field, whose name stands in the error text.
    pub(crate) fn evaluate(&self, field: &str, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        match self {
            Self::Path(path) => scope.read(path).map_err(|_| {
                EvaluationError::runtime(format_args!(
                    "The JSONPath '{path}' specified for the field '{field}' \
                     could not be found in the input '{}'",
                    scope.input
                ))
            }),
            Self::Call(call) => call.evaluate(scope),
        }
    }
}

impl Call {
    fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        let mut values = Vec::with_capacity(self.arguments.len());
        for (index, argument) in self.arguments.iter().enumerate() {
            values.push(match argument {
                Argument::Literal(value) => value.clone(),
                // Format reads the escapes of its template itself.
                Argument::Text(text) if self.function == Function::Format && index == 0 => Value::String(text.clone()),
                Argument::Text(text) => Value::String(parse::unescape(text)),
                Argument::Path(path) => {
                    let value = scope.read(path).map_err(|_| {
                        EvaluationError::runtime(format_args!(
                            "The function '{}' had the following error: The JsonPath argument \
                         for the field '{path}' could not be found in the input '{}'",
                            self.text, scope.input
                        ))
                    })?;
                    if self.function == Function::Format && path.root == Root::Context {
                        text::shown(value)
                    } else {
                        value
                    }
                }
                Argument::Call(call) => call.evaluate(scope)?,
            });
        }
        self.function.apply(&values, scope).map_err(|message| {
            EvaluationError::named(
                names::INTRINSIC_FAILURE,
                format_args!("The function '{}' had the following error: {message}", self.text),
            )
        })
    }
}
