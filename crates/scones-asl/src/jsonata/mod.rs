//! JSONata expressions: texts between `{%` and `%}`.
//!
//! The language itself comes from the crate `jsonata-core`; this module gives
//! it AWS's surroundings (`$states`, variables, seven more functions), takes
//! away what is not pure (the clock, its own random numbers, `$eval`), and
//! words its failures as AWS does. Its values stay within one evaluation.

mod check;
mod functions;
mod value;

use jsonata_core::ast::AstNode;
use jsonata_core::evaluator::{Context, Evaluator, EvaluatorError, EvaluatorOptions};
use jsonata_core::parser;
use jsonata_core::value::JValue;
use serde_json::{Map, Value};

use crate::error::EvaluationError;
use crate::limits::{JSONATA_DEPTH_MAX, JSONATA_MILLISECONDS_MAX, JSONATA_SEQUENCE_MAX};
use crate::scope::Scope;
use crate::time::Timestamp;

/// A parsed expression.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    source: String,
    ast: AstNode,
    /// The field it stands in, as AWS's texts name it: `Output/result`.
    location: String,
}

/// Why a definition with an expression is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is not JSONata.
    Invalid(String),
    /// It refers to something that Step Functions does not have.
    Unsupported(String),
}

/// What `$states` has besides `input` and `context`, where an expression stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Available {
    /// `result`, which the states without one may name too.
    Result,
    /// `errorOutput`, in a catcher.
    ErrorOutput,
}

const UNCLOSED: &str = "A JSONata expression must begin with '{%' and end with '%}'";

/// The message of JSONata's parser as AWS shows it, without the code before it.
fn without_code(message: &str) -> String {
    let coded = |code: &str| code.len() == 5 && code[1..].bytes().all(|byte| byte.is_ascii_digit());
    match message.split_once(": ") {
        Some((code, text)) if code.is_ascii() && coded(code) => text.to_owned(),
        _ => message.to_owned(),
    }
}

/// What every expression of one template sees, converted once.
pub(crate) struct Session {
    bindings: Vec<(String, JValue)>,
}

impl Expression {
    /// Reads a field's text; nothing where it is no expression.
    ///
    /// # Errors
    /// Everything that is wrong with the expression.
    pub(crate) fn parse(text: &str, location: &str, available: Available) -> Result<Option<Self>, Vec<Refusal>> {
        let Some(source) = text.strip_prefix("{%").and_then(|text| text.strip_suffix("%}")) else {
            // With a blank in front or behind it is a plain text.
            return if text.starts_with("{%") || text.ends_with("%}") {
                Err(vec![Refusal::Invalid(UNCLOSED.to_owned())])
            } else {
                Ok(None)
            };
        };
        let source = source.trim().to_owned();
        let ast = parser::parse(&source).map_err(|error| vec![Refusal::Invalid(without_code(&error.to_string()))])?;
        let refused = check::references(&ast, available);
        if !refused.is_empty() {
            return Err(refused.into_iter().map(Refusal::Unsupported).collect());
        }
        Ok(Some(Self {
            source,
            ast,
            location: location.to_owned(),
        }))
    }

    /// Evaluates to a JSON value.
    pub(crate) fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        let session = scope.session.get_or_init(|| Session::of(scope));
        let result = run(
            &self.ast,
            &JValue::Undefined,
            &session.bindings,
            scope.now,
            scope.random.bits(),
        );
        match value::from_jsonata(&result.map_err(|error| self.threw(error.message()))?) {
            Some(value) => Ok(value),
            None => Err(self.failed("returned nothing (undefined).")),
        }
    }

    fn threw(&self, message: &str) -> EvaluationError {
        self.failed(&format!("threw an error during evaluation. {message}"))
    }

    fn failed(&self, what: &str) -> EvaluationError {
        EvaluationError::query(
            format_args!(
                "The JSONata expression '{}' specified for the field '{}' {what}",
                self.source, self.location
            ),
            Some(self.location.clone()),
        )
    }

    /// The failure of an expression whose value has the wrong type.
    pub(crate) fn unexpected(&self, expected: &str, value: &Value) -> EvaluationError {
        self.failed(&format!(
            "returned an unexpected result type. Expected '{expected}', but was '{}' for value: {value}",
            type_name(value)
        ))
    }
}

/// Evaluates one JSONata expression over a document, outside any state: `$` is
/// the document, and every binding is a variable. `undefined` gives nothing.
///
/// # Errors
/// The text is no expression, or its evaluation fails.
pub fn evaluate_jsonata(
    expression: &str,
    document: Option<&Value>,
    bindings: &Map<String, Value>,
    now: Timestamp,
    seed: u64,
) -> Result<Option<Value>, JsonataError> {
    let ast = parser::parse(expression).map_err(|error| JsonataError(error.to_string()))?;
    let document = document.map_or(JValue::Undefined, value::to_jsonata);
    let bindings: Vec<_> = bindings
        .iter()
        .map(|(name, value)| (name.clone(), value::to_jsonata(value)))
        .collect();
    let result = run(&ast, &document, &bindings, now, seed);
    result
        .map(|value| value::from_jsonata(&value))
        .map_err(|error| JsonataError(error.message().to_owned()))
}

/// Why an expression gave no value; the text begins with JSONata's code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonataError(pub String);

fn run(
    ast: &AstNode,
    document: &JValue,
    bindings: &[(String, JValue)],
    now: Timestamp,
    seed: u64,
) -> Result<JValue, EvaluatorError> {
    let mut context = Context::new();
    for (name, value) in bindings {
        context.bind(name.clone(), value.clone());
    }
    let mut evaluator = Evaluator::with_options(context, options());
    functions::register(&mut evaluator, now, seed)?;
    evaluator.evaluate(ast, document)
}

/// Bounds that stop a runaway expression. The time limit is the one thing here
/// that reads a clock; an expression within the other bounds never meets it.
fn options() -> EvaluatorOptions {
    EvaluatorOptions {
        timeout_ms: Some(JSONATA_MILLISECONDS_MAX),
        max_stack_depth: Some(JSONATA_DEPTH_MAX),
        max_sequence_length: Some(JSONATA_SEQUENCE_MAX),
        ..EvaluatorOptions::default()
    }
}

impl Session {
    fn of(scope: &Scope<'_>) -> Self {
        let mut states = indexmap::IndexMap::new();
        let mut put = |name: &str, value: Option<&Value>| {
            if let Some(value) = value {
                states.insert(name.to_owned(), value::to_jsonata(value));
            }
        };
        put("input", Some(scope.input));
        put("context", Some(scope.context));
        put("result", scope.result);
        put("errorOutput", scope.error_output);
        let mut bindings = vec![("states".to_owned(), JValue::object(states))];
        bindings.extend(
            scope
                .variables
                .iter()
                .map(|(name, value)| (name.clone(), value::to_jsonata(value))),
        );
        Self { bindings }
    }
}

/// The type of a JSON value as AWS's texts name it.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
