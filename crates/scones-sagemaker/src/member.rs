//! The members that several operations share: names, roles, URIs, tags, and their constraints.

use scones_api::{ApiError, Constraints};
use serde::{Deserialize, Serialize};

use crate::limits;

const NAME_PATTERN: &str = "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}";
const MODEL_NAME_PATTERN: &str = "[a-zA-Z0-9]([\\-a-zA-Z0-9]*[a-zA-Z0-9])?";
const ROLE_PATTERN: &str = "arn:aws[a-z\\-]*:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+";
const S3_URI_PATTERN: &str = "(https|s3)://([^/]+)/?(.*)";
const CHANNEL_PATTERN: &str = "[A-Za-z0-9\\.\\-_]+";
const IMAGE_PATTERN: &str = "[\\S]+";
const TAG_PATTERN: &str = "([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)";
const ENVIRONMENT_KEY_PATTERN: &str = "[a-zA-Z_][a-zA-Z0-9_]*";
const ROLE_LENGTH_MAX: usize = 2048;

/// A tag of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Tag {
    pub key: String,
    pub value: String,
}

/// [`Constraints`] in the words of this service's model.
pub(crate) trait Members {
    /// The value of a required member; a null one breaks a constraint and becomes the default.
    fn present<T: Default>(&mut self, field: &str, value: Option<T>) -> T;
    /// The value of a required member that is a text, checked if it is there.
    fn required_text(&mut self, field: &str, value: Option<String>, check: fn(&mut Self, &str, &str)) -> String;
    /// The name of a training job, endpoint, endpoint configuration or variant.
    fn name(&mut self, field: &str, value: &str);
    /// The name of a model.
    fn model_name(&mut self, field: &str, value: &str);
    /// The name of a training job's channel.
    fn channel_name(&mut self, field: &str, value: &str);
    /// An IAM role's ARN.
    fn role(&mut self, field: &str, value: &str);
    /// An S3 URI of at most `length_max` characters.
    fn s3_uri(&mut self, field: &str, value: &str, length_max: usize);
    /// A container image's URI.
    fn image(&mut self, field: &str, value: &str);
    /// The tags of a new resource.
    fn tags(&mut self, field: &str, tags: &[Tag]);
    /// The name of an environment variable.
    fn environment_key(&mut self, field: &str, value: &str);
    /// A list or map has no more than `maximum` members.
    fn count(&mut self, field: &str, count: usize, minimum: usize, maximum: usize);
}

impl Members for Constraints {
    fn present<T: Default>(&mut self, field: &str, value: Option<T>) -> T {
        self.required(field, value.as_ref());
        value.unwrap_or_default()
    }

    fn required_text(&mut self, field: &str, value: Option<String>, check: fn(&mut Self, &str, &str)) -> String {
        self.required(field, value.as_ref());
        if let Some(value) = &value {
            check(self, field, value);
        }
        value.unwrap_or_default()
    }

    fn name(&mut self, field: &str, value: &str) {
        self.length(field, value, 1, limits::NAME_LENGTH_MAX);
        self.pattern(field, value, NAME_PATTERN, is_name);
    }

    fn model_name(&mut self, field: &str, value: &str) {
        self.length(field, value, 1, limits::NAME_LENGTH_MAX);
        self.pattern(field, value, MODEL_NAME_PATTERN, is_name);
    }

    fn channel_name(&mut self, field: &str, value: &str) {
        const LENGTH_MAX: usize = 64;
        self.length(field, value, 1, LENGTH_MAX);
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        let plain = |value: &str| value.bytes().all(allowed) && !value.is_empty() && value != "." && value != "..";
        self.pattern(field, value, CHANNEL_PATTERN, plain);
    }

    fn role(&mut self, field: &str, value: &str) {
        const LENGTH_MIN: usize = 20;
        self.length(field, value, LENGTH_MIN, ROLE_LENGTH_MAX);
        self.pattern(field, value, ROLE_PATTERN, is_role);
    }

    fn s3_uri(&mut self, field: &str, value: &str, length_max: usize) {
        self.length(field, value, 0, length_max);
        self.pattern(field, value, S3_URI_PATTERN, |value| {
            let rest = value.strip_prefix("s3://").or_else(|| value.strip_prefix("https://"));
            rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        });
    }

    fn image(&mut self, field: &str, value: &str) {
        self.length(field, value, 0, limits::IMAGE_LENGTH_MAX);
        let solid = |value: &str| !value.is_empty() && !value.contains(char::is_whitespace);
        self.pattern(field, value, IMAGE_PATTERN, solid);
    }

    fn tags(&mut self, field: &str, tags: &[Tag]) {
        self.count(field, tags.len(), 0, limits::TAGS_MAX);
        for (at, tag) in tags.iter().enumerate() {
            let key = format!("{field}.{}.member.key", at + 1);
            self.length(&key, &tag.key, 1, limits::TAG_KEY_LENGTH_MAX);
            self.pattern(&key, &tag.key, TAG_PATTERN, is_tag_text);
            let value = format!("{field}.{}.member.value", at + 1);
            self.length(&value, &tag.value, 0, limits::TAG_VALUE_LENGTH_MAX);
            self.pattern(&value, &tag.value, TAG_PATTERN, is_tag_text);
        }
    }

    fn environment_key(&mut self, field: &str, value: &str) {
        self.pattern(field, value, ENVIRONMENT_KEY_PATTERN, |value| {
            let mut bytes = value.bytes();
            let first = bytes
                .next()
                .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
            first && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        });
    }

    fn count(&mut self, field: &str, count: usize, minimum: usize, maximum: usize) {
        let [count, minimum, maximum] =
            [count, minimum, maximum].map(|number| i64::try_from(number).unwrap_or(i64::MAX));
        self.range(&format!("{field}.length"), count, minimum, maximum);
    }
}

/// Nothing is encrypted here, so a key of the customer's is refused. Clients send "" for none.
pub(crate) fn no_key(field: &str, key: Option<&str>) -> Result<(), ApiError> {
    match key {
        None | Some("") => Ok(()),
        Some(_) => Err(ApiError::not_implemented(format!("customer keys ({field})"))),
    }
}

/// `[a-zA-Z0-9](-*[a-zA-Z0-9])*`.
pub(crate) fn is_name(value: &str) -> bool {
    let alphanumeric = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    alphanumeric(value.bytes().next())
        && alphanumeric(value.bytes().next_back())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_role(value: &str) -> bool {
    let Some((partition, rest)) = value.strip_prefix("arn:aws").and_then(|rest| rest.split_once(":iam::")) else {
        return false;
    };
    let Some((account, name)) = rest.split_once(":role") else {
        return false;
    };
    let name = name.strip_prefix('/').unwrap_or(name);
    partition.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-/".contains(&byte))
}

fn is_tag_text(value: &str) -> bool {
    value
        .chars()
        .all(|letter| letter.is_alphanumeric() || letter.is_whitespace() || "_.:/=+-@".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_pattern() {
        for (value, valid) in [
            ("a", true),
            ("a--b-1", true),
            ("", false),
            ("-a", false),
            ("a-", false),
            ("a_b", false),
            ("é", false),
        ] {
            assert_eq!(is_name(value), valid, "{value}");
        }
    }

    #[test]
    fn roles_follow_the_pattern() {
        for (value, valid) in [
            ("arn:aws:iam::000000000000:role/Scones", true),
            ("arn:aws-cn:iam::000000000000:role/service-role/A.b@c", true),
            ("arn:aws:iam::0000:role/Scones", false),
            ("arn:aws:iam::000000000000:user/Scones", false),
            ("Scones", false),
        ] {
            assert_eq!(is_role(value), valid, "{value}");
        }
    }
}
