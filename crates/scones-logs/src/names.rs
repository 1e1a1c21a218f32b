//! How groups and streams may be called and how requests name them.

use scones_api::{ApiError, Arn, Constraints, Owner};

use crate::{
    error::{check, invalid},
    limits::NAME_CHARACTERS_MAX,
};

const GROUP_PATTERN: &str = r"[\.\-_/#A-Za-z0-9]+";
const STREAM_PATTERN: &str = "[^:*]*";

/// Adds what a group's name must be.
pub(crate) fn constrain_group(constraints: &mut Constraints, field: &str, name: &str) {
    let valid = |name: &str| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_/#".contains(&byte))
    };
    constraints
        .length(field, name, 1, NAME_CHARACTERS_MAX)
        .pattern(field, name, GROUP_PATTERN, valid);
}

/// Adds what a stream's name must be.
pub(crate) fn constrain_stream(constraints: &mut Constraints, field: &str, name: &str) {
    constraints
        .length(field, name, 1, NAME_CHARACTERS_MAX)
        .pattern(field, name, STREAM_PATTERN, |name| !name.contains([':', '*']));
}

/// The group that a request means: by name, or by name or ARN.
pub(crate) fn group_name(name: Option<String>, identifier: Option<String>) -> Result<String, ApiError> {
    let (field, name) = match (name, identifier) {
        (Some(name), None) => ("logGroupName", name),
        (None, Some(identifier)) => ("logGroupIdentifier", name_of_identifier(&identifier)),
        _ => {
            return Err(invalid(
                "Exactly one of logGroupName and logGroupIdentifier must be specified.",
            ));
        }
    };
    let mut constraints = Constraints::new();
    constrain_group(&mut constraints, field, &name);
    check(&constraints)?;
    Ok(name)
}

/// The group's name in its ARN, with or without `:*`; anything else is a name.
pub(crate) fn name_of_identifier(identifier: &str) -> String {
    let name = identifier.parse::<Arn>().ok().and_then(|arn| {
        let name = arn.strip("log-group")?;
        Some(name.strip_suffix(":*").unwrap_or(name).to_owned())
    });
    name.unwrap_or_else(|| identifier.to_owned())
}

/// The ARN of a group, without `:*`.
pub(crate) fn group_arn(owner: &Owner, name: &str) -> String {
    Arn::new("logs", owner, format!("log-group:{name}")).to_string()
}

/// The ARN of a stream.
pub(crate) fn stream_arn(owner: &Owner, group: &str, name: &str) -> String {
    Arn::new("logs", owner, format!("log-group:{group}:log-stream:{name}")).to_string()
}
