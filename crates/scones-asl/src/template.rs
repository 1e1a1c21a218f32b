//! Payload templates: JSON in which every field whose name ends in `.$` is
//! replaced by the value of a path or an intrinsic function.

use serde_json::{Map, Value};

use crate::error::EvaluationError;
use crate::intrinsic::{Expression, ExpressionError};
use crate::jsonata;
use crate::scope::Scope;

/// A compiled payload template.
#[derive(Clone, Debug)]
pub(crate) enum Template {
    Literal(Value),
    Object(Vec<(String, Template)>),
    Array(Vec<Template>),
    /// An expression of a JSONata state.
    Jsonata(Box<jsonata::Expression>),
    /// The field's own name, with `.$`, is kept for error texts.
    Expression {
        field: String,
        expression: Expression,
    },
}

/// A field of a template that does not compile.
pub(crate) struct TemplateError {
    /// Location below the template: `/field/inner.$`.
    pub(crate) location: String,
    pub(crate) field: String,
    pub(crate) error: ExpressionError,
}

impl Template {
    pub(crate) fn compile(value: &Value) -> Result<Self, TemplateError> {
        match value {
            Value::Object(fields) if has_expression(value) => {
                Self::distinct(fields)?;
                fields
                    .iter()
                    .map(|(name, value)| Self::field(name, value))
                    .collect::<Result<_, _>>()
                    .map(Self::Object)
            }
            Value::Array(elements) if has_expression(value) => elements
                .iter()
                .enumerate()
                .map(|(index, element)| Self::compile(element).map_err(|error| error.below(&index.to_string())))
                .collect::<Result<_, _>>()
                .map(Self::Array),
            literal => Ok(Self::Literal(literal.clone())),
        }
    }

    /// Compiles the template of a JSONata state; `location` is the field's name.
    pub(crate) fn compile_jsonata(value: &Value, location: &str) -> Result<Self, TemplateError> {
        match value {
            Value::String(text) => match jsonata::Expression::parse(text, location) {
                Ok(Some(expression)) => Ok(Self::Jsonata(Box::new(expression))),
                Ok(None) => Ok(Self::Literal(value.clone())),
                Err(message) => Err(TemplateError {
                    location: String::new(),
                    field: location.to_owned(),
                    error: ExpressionError::Call(message),
                }),
            },
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| {
                    let compiled = Self::compile_jsonata(value, &format!("{location}/{name}"));
                    Ok((name.clone(), compiled.map_err(|error| error.below(name))?))
                })
                .collect::<Result<_, _>>()
                .map(Self::Object),
            Value::Array(elements) => elements
                .iter()
                .enumerate()
                .map(|(index, element)| {
                    Self::compile_jsonata(element, &format!("{location}[{index}]"))
                        .map_err(|error| error.below(&index.to_string()))
                })
                .collect::<Result<_, _>>()
                .map(Self::Array),
            literal => Ok(Self::Literal(literal.clone())),
        }
    }

    /// The value if it has the type that the field needs.
    pub(crate) fn evaluate_as<T>(
        &self,
        scope: &Scope<'_>,
        expected: &str,
        convert: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<T, EvaluationError> {
        let value = self.evaluate(scope)?;
        convert(&value).ok_or_else(|| match self {
            Self::Jsonata(expression) => expression.unexpected(expected, &value),
            _ => EvaluationError::query(
                format_args!("Expected a value of type {expected} but was: {value}"),
                None,
            ),
        })
    }

    /// A field may not be there both with and without `.$`.
    fn distinct(fields: &Map<String, Value>) -> Result<(), TemplateError> {
        match fields.keys().find(|name| fields.contains_key(&format!("{name}.$"))) {
            None => Ok(()),
            Some(name) => Err(TemplateError {
                location: format!("/{name}.$"),
                field: format!("{name}.$"),
                error: ExpressionError::Call(format!("the field '{name}' is there twice")),
            }),
        }
    }

    fn field(name: &str, value: &Value) -> Result<(String, Self), TemplateError> {
        let Some(plain) = name.strip_suffix(".$") else {
            return Ok((
                name.to_owned(),
                Self::compile(value).map_err(|error| error.below(name))?,
            ));
        };
        let text = value.as_str().ok_or(ExpressionError::NotText);
        let expression = text.and_then(Expression::parse).map_err(|error| TemplateError {
            location: format!("/{name}"),
            field: name.to_owned(),
            error,
        })?;
        Ok((
            plain.to_owned(),
            Self::Expression {
                field: name.to_owned(),
                expression,
            },
        ))
    }

    pub(crate) fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Object(fields) => {
                let mut object = Map::new();
                for (name, template) in fields {
                    object.insert(name.clone(), template.evaluate(scope)?);
                }
                Ok(Value::Object(object))
            }
            Self::Array(elements) => elements.iter().map(|element| element.evaluate(scope)).collect(),
            Self::Jsonata(expression) => expression.evaluate(scope),
            Self::Expression { field, expression } => expression.evaluate(field, scope),
        }
    }

    /// The names of an object's fields, without `.$`.
    pub(crate) fn fields(&self) -> Vec<String> {
        match self {
            Self::Object(fields) => fields.iter().map(|(name, _)| name.clone()).collect(),
            Self::Literal(Value::Object(fields)) => fields.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }
}

impl TemplateError {
    fn below(self, segment: &str) -> Self {
        Self {
            location: format!("/{segment}{}", self.location),
            ..self
        }
    }
}

fn has_expression(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| name.ends_with(".$") || has_expression(value)),
        Value::Array(elements) => elements.iter().any(has_expression),
        _ => false,
    }
}
