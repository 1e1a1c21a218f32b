//! Payload templates: JSON in which every field whose name ends in `.$` is
//! replaced by the value of a path or an intrinsic function.

use serde_json::{Map, Value};

use crate::error::EvaluationError;
use crate::intrinsic::{Expression, ExpressionError};
use crate::json::{element, join};
use crate::jsonata::{self, Available};
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
    /// The field's own name.
    pub(crate) field: String,
    pub(crate) problem: TemplateProblem,
}

/// What is wrong with a field of a template.
pub(crate) enum TemplateProblem {
    Expression(ExpressionError),
    /// The field is there both with and without `.$`.
    Twice,
    Jsonata(jsonata::Refusal),
}

impl Template {
    /// Compiles the payload template of a JSONPath state.
    pub(crate) fn compile(value: &Value) -> Result<Self, Vec<TemplateError>> {
        let mut errors = Vec::new();
        let template = Self::json_path(value, "", &mut errors);
        if errors.is_empty() { Ok(template) } else { Err(errors) }
    }

    fn json_path(value: &Value, location: &str, errors: &mut Vec<TemplateError>) -> Self {
        match value {
            Value::Object(fields) if has_expression(value) => {
                Self::distinct(fields, location, errors);
                let mut compiled = Vec::with_capacity(fields.len());
                for (name, value) in fields {
                    compiled.push(Self::field(name, value, &join(location, name), errors));
                }
                Self::Object(compiled)
            }
            Value::Array(elements) if has_expression(value) => {
                let elements = elements.iter().enumerate();
                Self::Array(
                    elements
                        .map(|(index, value)| Self::json_path(value, &element(location, index), errors))
                        .collect(),
                )
            }
            literal => Self::Literal(literal.clone()),
        }
    }

    /// Compiles the template of a JSONata state; `field` is the name of the
    /// field that holds it, `available` what `$states` has there.
    pub(crate) fn compile_jsonata(
        value: &Value,
        field: &str,
        available: Available,
    ) -> Result<Self, Vec<TemplateError>> {
        let mut errors = Vec::new();
        let template = Self::jsonata(value, field, available, &mut errors);
        if errors.is_empty() {
            return Ok(template);
        }
        for error in &mut errors {
            error.location.drain(..field.len());
        }
        Err(errors)
    }

    fn jsonata(value: &Value, location: &str, available: Available, errors: &mut Vec<TemplateError>) -> Self {
        match value {
            Value::String(text) => match jsonata::Expression::parse(text, location, available) {
                Ok(Some(expression)) => Self::Jsonata(Box::new(expression)),
                Ok(None) => Self::Literal(value.clone()),
                Err(refusals) => {
                    errors.extend(refusals.into_iter().map(|refusal| TemplateError {
                        location: location.to_owned(),
                        field: location.to_owned(),
                        problem: TemplateProblem::Jsonata(refusal),
                    }));
                    Self::Literal(Value::Null)
                }
            },
            Value::Object(fields) => Self::Object(
                fields
                    .iter()
                    .map(|(name, value)| {
                        let compiled = Self::jsonata(value, &join(location, name), available, errors);
                        (name.clone(), compiled)
                    })
                    .collect(),
            ),
            Value::Array(elements) => {
                let elements = elements.iter().enumerate();
                Self::Array(
                    elements
                        .map(|(index, value)| Self::jsonata(value, &element(location, index), available, errors))
                        .collect(),
                )
            }
            literal => Self::Literal(literal.clone()),
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

    /// Reports the fields that are there both with and without `.$`.
    fn distinct(fields: &Map<String, Value>, location: &str, errors: &mut Vec<TemplateError>) {
        for name in fields.keys().filter(|name| fields.contains_key(&format!("{name}.$"))) {
            errors.push(TemplateError {
                location: format!("{}.$", join(location, name)),
                field: name.clone(),
                problem: TemplateProblem::Twice,
            });
        }
    }

    fn field(name: &str, value: &Value, location: &str, errors: &mut Vec<TemplateError>) -> (String, Self) {
        let Some(plain) = name.strip_suffix(".$") else {
            return (name.to_owned(), Self::json_path(value, location, errors));
        };
        let text = value.as_str().ok_or(ExpressionError::NotText);
        let compiled = match text.and_then(Expression::parse) {
            Ok(expression) => Self::Expression {
                field: name.to_owned(),
                expression,
            },
            Err(error) => {
                errors.push(TemplateError {
                    location: location.to_owned(),
                    field: name.to_owned(),
                    problem: TemplateProblem::Expression(error),
                });
                Self::Literal(Value::Null)
            }
        };
        (plain.to_owned(), compiled)
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

fn has_expression(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| name.ends_with(".$") || has_expression(value)),
        Value::Array(elements) => elements.iter().any(has_expression),
        _ => false,
    }
}
