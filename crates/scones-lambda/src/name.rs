//! How a request names a function: a name, a partial ARN or a full one, each
//! with or without a version or alias.

use std::fmt;

use scones_api::{ApiError, Arn, Constraints, Owner};

use crate::limits::{NAME_LENGTH_MAX, REFERENCE_LENGTH_MAX};

/// The version that every function has: the code as it was last updated.
pub const LATEST: &str = "$LATEST";

/// The regular expression that AWS's message shows for a function's name.
const PATTERN: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?";

/// A function as a request names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionReference {
    /// The function's name.
    pub name: String,
    /// The region, when the text is a full or nearly full ARN.
    pub region: Option<String>,
    /// The account, when the text is a partial or full ARN.
    pub account: Option<String>,
    /// A version number, `$LATEST`, or an alias.
    pub qualifier: Option<String>,
}

impl FunctionReference {
    /// Reads `NAME`, `ACCOUNT:function:NAME` or `arn:aws:lambda:REGION:ACCOUNT:function:NAME`,
    /// each with an optional `:QUALIFIER`. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        if let Some(after) = rest.strip_prefix("arn:") {
            let (partition, after) = after.split_once(':')?;
            if !(partition.is_empty() || partition.starts_with("aws")) {
                return None;
            }
            rest = after.strip_prefix("lambda:")?;
        }
        let mut take = |accept: fn(&str) -> bool| {
            let (head, tail) = rest.split_once(':')?;
            accept(head).then(|| {
                rest = tail;
                head.to_owned()
            })
        };
        let region = take(is_region);
        let account = take(is_account);
        // A function may itself be called `function`, so the word is a prefix
        // only where something follows that can be a name.
        let rest = match rest.strip_prefix("function:") {
            Some(after) if !after.starts_with('$') => after,
            _ => rest,
        };
        let (name, qualifier) = match rest.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier)),
            None => (rest, None),
        };
        let valid = is_name(name) && qualifier.is_none_or(is_qualifier);
        valid.then(|| Self {
            name: name.to_owned(),
            region,
            account,
            qualifier: qualifier.map(ToOwned::to_owned),
        })
    }

    /// Reads a request's `FunctionName` and `Qualifier` and checks that they
    /// mean a function of `owner`.
    ///
    /// # Errors
    /// AWS's `ValidationException` for a text that names no function,
    /// `InvalidParameterValueException` for two different qualifiers,
    /// `ResourceNotFoundException` for another region or account.
    pub fn resolve(text: &str, qualifier: Option<&str>, owner: &Owner) -> Result<Self, ApiError> {
        let mut constraints = Constraints::new();
        constraints.length("functionName", text, 1, REFERENCE_LENGTH_MAX);
        constraints.pattern("functionName", text, PATTERN, |text| Self::parse(text).is_some());
        if let Some(qualifier) = qualifier {
            constraints.length("qualifier", qualifier, 1, 128);
            constraints.pattern(
                "qualifier",
                qualifier,
                r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+",
                is_qualifier,
            );
        }
        constraints.check()?;
        let Some(mut reference) = Self::parse(text) else {
            return Err(ApiError::internal(
                "a function's name passed its pattern and cannot be read",
            ));
        };
        Constraints::new()
            .length("functionName", &reference.name, 1, NAME_LENGTH_MAX)
            .check()?;
        reference.check_owner(owner)?;
        match (qualifier, &reference.qualifier) {
            (Some(given), Some(own)) if given != own => Err(ApiError::bad_request(
                "InvalidParameterValueException",
                "The derived qualifier from the function name does not match the specified qualifier.",
            )),
            (given, _) => {
                reference.qualifier = given.map(ToOwned::to_owned).or(reference.qualifier);
                Ok(reference)
            }
        }
    }

    fn check_owner(&self, owner: &Owner) -> Result<(), ApiError> {
        match (&self.region, &self.account) {
            (Some(region), _) if region != owner.region.as_str() => Err(ApiError::new(
                404,
                "ResourceNotFoundException",
                format!(
                    "Functions from '{region}' are not reachable in this region ('{}')",
                    owner.region
                ),
            )),
            (_, Some(account)) if account != owner.account.as_str() => Err(ApiError::new(
                404,
                "ResourceNotFoundException",
                format!(
                    "Function not found: arn:aws:lambda:{}:{account}:function:{}",
                    owner.region, self.name
                ),
            )),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for FunctionReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(region), Some(account)) = (&self.region, &self.account) {
            write!(formatter, "arn:aws:lambda:{region}:{account}:function:")?;
        } else if let Some(account) = &self.account {
            write!(formatter, "{account}:function:")?;
        }
        formatter.write_str(&self.name)?;
        match &self.qualifier {
            Some(qualifier) => write!(formatter, ":{qualifier}"),
            None => Ok(()),
        }
    }
}

/// The ARN of a function, or of a version or alias of it.
pub fn function_arn(owner: &Owner, name: &str, qualifier: Option<&str>) -> String {
    let resource = match qualifier {
        Some(qualifier) => format!("function:{name}:{qualifier}"),
        None => format!("function:{name}"),
    };
    Arn::new("lambda", owner, resource).to_string()
}

/// AWS's answer for a function, version or alias that does not exist.
pub fn function_not_found(owner: &Owner, name: &str, qualifier: Option<&str>) -> ApiError {
    let arn = function_arn(owner, name, qualifier);
    ApiError::new(404, "ResourceNotFoundException", format!("Function not found: {arn}"))
}

/// Whether `text` is made of letters, digits, hyphens and underscores.
pub fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Whether `text` is a version number, as against an alias.
pub fn is_version_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_name(text: &str) -> bool {
    is_plain(text)
}

fn is_qualifier(text: &str) -> bool {
    text == LATEST || is_plain(text)
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `us-east-1`, `us-gov-west-1`, `eusc-de-east-1`: lower-case words, the last
/// a digit.
fn is_region(text: &str) -> bool {
    let words: Vec<&str> = text.split('-').collect();
    let [head @ .., number] = words.as_slice() else {
        return false;
    };
    (2..=4).contains(&head.len())
        && number.len() == 1
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && head
            .iter()
            .all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expect: Option<(&str, Option<&str>)>) {
        let parsed = FunctionReference::parse(text);
        let seen = parsed.as_ref().map(|it| (it.name.as_str(), it.qualifier.as_deref()));
        assert_eq!(seen, expect, "{text}");
    }

    #[test]
    fn functions_are_named_in_every_form_that_aws_accepts() {
        check("classify", Some(("classify", None)));
        check("classify:$LATEST", Some(("classify", Some("$LATEST"))));
        check("classify:7", Some(("classify", Some("7"))));
        check("function:classify", Some(("classify", None)));
        check("function", Some(("function", None)));
        check("function:$LATEST", Some(("function", Some("$LATEST"))));
        check("123456789012:function:classify:live", Some(("classify", Some("live"))));
        check("arn:aws:lambda:us-east-1:123456789012:function:f", Some(("f", None)));
        check(
            "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:f:1",
            Some(("f", Some("1"))),
        );
        check("us-east-1:123456789012:function:f", Some(("f", None)));
    }

    #[test]
    fn what_names_no_function_is_refused() {
        for text in [
            "",
            ":",
            "f:",
            ":f",
            "a b",
            "a.b",
            "ä",
            "a/b",
            "a:b:c:d",
            "f:$OLDEST",
            "arn:aws:s3:::b",
            "arn:gcp:lambda:f",
            "arn:aws:lambda:us-east-1:123456789012:layer:f:1:2",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn another_place_is_not_found() {
        let owner = Owner::default();
        let resolve = |text: &str, qualifier| {
            FunctionReference::resolve(text, qualifier, &owner)
                .map_err(|error| format!("{} {}", error.code, error.message))
        };
        assert!(resolve("arn:aws:lambda:us-east-1:000000000000:function:f", None).is_ok());
        assert_eq!(
            resolve("arn:aws:lambda:eu-west-1:000000000000:function:f", None).unwrap_err(),
            "ResourceNotFoundException Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"
        );
        assert_eq!(
            resolve("111111111111:function:f", None).unwrap_err(),
            "ResourceNotFoundException Function not found: arn:aws:lambda:us-east-1:111111111111:function:f"
        );
        assert!(resolve("f:1", Some("2")).unwrap_err().contains("does not match"));
        assert!(
            resolve(&"f".repeat(65), None)
                .unwrap_err()
                .contains("less than or equal to 64")
        );
    }

    proptest! {
        #[test]
        fn printing_and_parsing_agree(
            name in "[a-zA-Z0-9_-]{1,64}",
            account in proptest::option::of("[0-9]{12}"),
            full in any::<bool>(),
            qualifier in proptest::option::of("[a-zA-Z0-9_-]{1,20}|\\$LATEST"),
        ) {
            // Bare `function:x` is the prefix `function:` and the name `x`.
            prop_assume!(account.is_some() || (name != "function" && !is_account(&name) && !is_region(&name)));
            let reference = FunctionReference {
                region: (full && account.is_some()).then(|| "us-east-1".to_owned()),
                name,
                account,
                qualifier,
            };
            prop_assert_eq!(FunctionReference::parse(&reference.to_string()), Some(reference));
        }

        #[test]
        fn no_text_is_too_strange_to_read(text in "\\PC{0,80}") {
            if let Some(reference) = FunctionReference::parse(&text) {
                prop_assert!(is_plain(&reference.name));
            }
        }
    }
}
