//! The constraints of AWS's service models, with AWS's words.

use crate::ApiError;

/// Collects broken constraints and reports them in one `ValidationException`,
/// worded as AWS's request framework does:
/// `2 validation errors detected: Value 'x' at 'name' failed to satisfy
/// constraint: Member must have length less than or equal to 3; Value ...`.
#[derive(Debug, Default)]
pub struct Constraints {
    broken: Vec<String>,
}

impl Constraints {
    /// No constraint is broken yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The length of `value` in characters lies in `minimum..=maximum`.
    pub fn length(&mut self, field: &str, value: &str, minimum: usize, maximum: usize) -> &mut Self {
        let length = value.chars().count();
        if length < minimum {
            self.add(
                field,
                value,
                &format!("Member must have length greater than or equal to {minimum}"),
            );
        } else if length > maximum {
            self.add(
                field,
                value,
                &format!("Member must have length less than or equal to {maximum}"),
            );
        }
        self
    }

    /// `value` satisfies `matches`, which stands for the regular expression
    /// `pattern` that the message shows.
    pub fn pattern(
        &mut self,
        field: &str,
        value: &str,
        pattern: &str,
        matches: impl FnOnce(&str) -> bool,
    ) -> &mut Self {
        if !matches(value) {
            self.add(
                field,
                value,
                &format!("Member must satisfy regular expression pattern: {pattern}"),
            );
        }
        self
    }

    /// `value` lies in `minimum..=maximum`.
    pub fn range(&mut self, field: &str, value: i64, minimum: i64, maximum: i64) -> &mut Self {
        if value < minimum {
            self.add(
                field,
                &value.to_string(),
                &format!("Member must have value greater than or equal to {minimum}"),
            );
        } else if value > maximum {
            self.add(
                field,
                &value.to_string(),
                &format!("Member must have value less than or equal to {maximum}"),
            );
        }
        self
    }

    /// `value` is one of `allowed`.
    pub fn one_of(&mut self, field: &str, value: &str, allowed: &[&str]) -> &mut Self {
        if !allowed.contains(&value) {
            self.add(
                field,
                value,
                &format!("Member must satisfy enum value set: [{}]", allowed.join(", ")),
            );
        }
        self
    }

    /// A member that must be there is.
    pub fn required<T>(&mut self, field: &str, value: Option<&T>) -> &mut Self {
        if value.is_none() {
            self.broken.push(format!(
                "Value null at '{field}' failed to satisfy constraint: Member must not be null"
            ));
        }
        self
    }

    /// The refusal of a request without a member that must be there.
    pub(crate) fn missing(field: &str) -> ApiError {
        let mut constraints = Self::new();
        constraints.required::<()>(field, None);
        constraints.refusal()
    }

    fn add(&mut self, field: &str, value: &str, constraint: &str) {
        self.broken.push(format!(
            "Value '{value}' at '{field}' failed to satisfy constraint: {constraint}"
        ));
    }

    /// One `ValidationException` with every broken constraint, or nothing.
    pub fn check(&self) -> Result<(), ApiError> {
        if self.broken.is_empty() {
            return Ok(());
        }
        Err(self.refusal())
    }

    fn refusal(&self) -> ApiError {
        let count = self.broken.len();
        let errors = if count == 1 { "error" } else { "errors" };
        ApiError::validation(format!(
            "{count} validation {errors} detected: {}",
            self.broken.join("; ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_broken_is_no_error() {
        assert_eq!(
            Constraints::new()
                .length("name", "abc", 1, 3)
                .range("limit", 5, 1, 5)
                .check(),
            Ok(())
        );
    }

    #[test]
    fn every_broken_constraint_is_named() {
        let mut constraints = Constraints::new();
        constraints
            .length("name", "", 1, 3)
            .one_of("type", "X", &["A", "B"])
            .required::<u8>("role", None);
        assert_eq!(
            constraints.check().unwrap_err().message,
            "3 validation errors detected: \
             Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1; \
             Value 'X' at 'type' failed to satisfy constraint: Member must satisfy enum value set: [A, B]; \
             Value null at 'role' failed to satisfy constraint: Member must not be null"
        );
    }
}
