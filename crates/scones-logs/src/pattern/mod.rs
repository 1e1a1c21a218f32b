//! Filter patterns
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html>):
//! terms, and conditions on JSON. Space-delimited and regular-expression
//! patterns are refused by name.

mod condition;
mod terms;

use scones_api::ApiError;

use self::{condition::Condition, terms::Terms};
use crate::{error::invalid, limits::PATTERN_CHARACTERS_MAX};

/// Which messages are wanted.
#[derive(Debug, PartialEq)]
pub(crate) enum Pattern {
    Terms(Terms),
    Json(Condition),
}

impl Pattern {
    /// Reads a pattern; an empty one matches everything.
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        if text.chars().count() > PATTERN_CHARACTERS_MAX {
            return Err(invalid(format!(
                "Invalid filter pattern: it is longer than {PATTERN_CHARACTERS_MAX} characters"
            )));
        }
        let text = text.trim();
        if text.starts_with('[') {
            return Err(ApiError::not_implemented(
                "filter patterns for space-delimited events, `[...]`",
            ));
        }
        if text.starts_with('%') {
            return Err(ApiError::not_implemented(
                "filter patterns with regular expressions, `%...%`",
            ));
        }
        let parsed = match text.strip_prefix('{') {
            Some(rest) => rest
                .strip_suffix('}')
                .ok_or_else(|| "it lacks its closing brace".to_owned())
                .and_then(Condition::parse)
                .map(Self::Json),
            None => Terms::parse(text).map(Self::Terms),
        };
        parsed.map_err(|wrong| invalid(format!("Invalid filter pattern: {wrong}")))
    }

    pub(crate) fn matches(&self, message: &str) -> bool {
        match self {
            Self::Terms(terms) => terms.matches(message),
            Self::Json(condition) => serde_json::from_str(message).is_ok_and(|value| condition.matches(&value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(pattern: &str, message: &str, expect: bool) {
        assert_eq!(
            Pattern::parse(pattern).unwrap().matches(message),
            expect,
            "{pattern} {message}"
        );
    }

    #[test]
    fn terms_are_searched_for() {
        let line = "[ERROR 404] page not found";
        check("", line, true);
        check("ERROR", line, true);
        check("error", line, false);
        check("ERROR found", line, true);
        check("ERROR lost", line, false);
        check(r#""page not""#, line, true);
        check(r#""not page""#, line, false);
        check("?lost ?found", line, true);
        check("?lost ?gone", line, false);
        check("ERROR -404", line, false);
        check("ERROR -405", line, true);
        check(r#"-"page not""#, line, false);
        check("-404", line, false);
        check("ERROR ?lost", line, true);
        check(r#""a \"b\"""#, r#"say a "b""#, true);
    }

    #[test]
    fn conditions_look_into_json() {
        let message = r#"{"level":"ERROR","code":404,"who":{"name":"Ann","roles":["x","y"]},"ok":false,"none":null}"#;
        check(r#"{ $.level = "ERROR" }"#, message, true);
        check("{ $.level = ERROR }", message, true);
        check(r#"{ $.level = "ERR*" }"#, message, true);
        check(r#"{ $.level = "*RR*R" }"#, message, true);
        check(r#"{ $.level = "*RRO" }"#, message, false);
        check(r#"{ $.level != "INFO" }"#, message, true);
        check("{ $.code = 404 }", message, true);
        check("{ $.code >= 400 && $.code < 500 }", message, true);
        check("{ $.code > 404 || $.code <= 403.5 }", message, false);
        check(
            "{ ($.code = 1 || $.code = 404) && $.who.name = \"Ann\" }",
            message,
            true,
        );
        check(r#"{ $.who["name"] = "Ann" }"#, message, true);
        check("{ $.who.roles[1] = y }", message, true);
        check("{ $.ok IS FALSE }", message, true);
        check("{ $.ok IS TRUE }", message, false);
        check("{ $.none IS NULL }", message, true);
        check("{ $.other NOT EXISTS }", message, true);
        check("{ $.none NOT EXISTS }", message, false);
        check("{ $.other = 1 }", message, false);
        check("{ $.level = ERROR }", "not JSON", false);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (pattern, code) in [
            ("\"open", "InvalidParameterException"),
            ("{ $.a = 1", "InvalidParameterException"),
            ("{ a = 1 }", "InvalidParameterException"),
            ("{ $.a ~ 1 }", "InvalidParameterException"),
            ("{ $.a > \"x\" }", "InvalidParameterException"),
            ("{ $.a = 1 extra }", "InvalidParameterException"),
            ("{ ($.a = 1 }", "InvalidParameterException"),
            ("{ }", "InvalidParameterException"),
            ("[a, b]", "NotImplemented"),
            ("%a+%", "NotImplemented"),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap_err().code, code, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in r#"[ -~🍰]{0,40}|\{[$.a-c()&|=<>!"*0-9 \[\]]{0,60}\}"#, message in ".{0,40}") {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                pattern.matches(&message);
            }
        }

        #[test]
        fn a_quoted_message_matches_itself(message in "[^\"\\\\]{1,40}") {
            let pattern = Pattern::parse(&format!("\"{message}\"")).unwrap();
            prop_assert!(pattern.matches(&message));
        }
    }
}
