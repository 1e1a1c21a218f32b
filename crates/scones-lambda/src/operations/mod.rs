//! The operations that take and give JSON, one module a family.

mod account;
mod aliases;
mod concurrency;
mod functions;
mod link;
mod permissions;
mod tags;
mod versions;

pub use link::{CodeLink, CodePackage};
use scones_api::{ApiError, PageToken, page_limit};
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{Lambda, configuration::invalid, limits::PAGE_MAX};

scones_api::operations! {
    Lambda {
        "AddPermission" => add_permission,
        "CreateAlias" => create_alias,
        "CreateFunction" => create_function,
        "DeleteAlias" => delete_alias,
        "DeleteFunction" => delete_function,
        "DeleteFunctionConcurrency" => delete_function_concurrency,
        "GetAccountSettings" => get_account_settings,
        "GetAlias" => get_alias,
        "GetFunction" => get_function,
        "GetFunctionConcurrency" => get_function_concurrency,
        "GetFunctionConfiguration" => get_function_configuration,
        "GetPolicy" => get_policy,
        "ListAliases" => list_aliases,
        "ListFunctions" => list_functions,
        "ListTags" => list_tags,
        "ListVersionsByFunction" => list_versions_by_function,
        "PublishVersion" => publish_version,
        "PutFunctionConcurrency" => put_function_concurrency,
        "RemovePermission" => remove_permission,
        "TagResource" => tag_resource,
        "UntagResource" => untag_resource,
        "UpdateAlias" => update_alias,
        "UpdateFunctionCode" => update_function_code,
        "UpdateFunctionConfiguration" => update_function_configuration,
    }
}

/// One JSON object read as two types: what serde's flattening would do, if it
/// could read numbers of arbitrary precision.
pub struct Both<A, B>(pub A, pub B);

impl<'de, A: DeserializeOwned, B: DeserializeOwned> Deserialize<'de> for Both<A, B> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let first = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
        let second = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
        Ok(Self(first, second))
    }
}

/// A function, and perhaps a version or alias of it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Qualified {
    function_name: String,
    #[serde(default)]
    qualifier: Option<String>,
}

/// One page of `items`, which are ordered by `key`, and the marker of the next.
fn page<T>(
    scope: &str,
    items: impl Iterator<Item = T>,
    key: impl Fn(&T) -> String,
    marker: Option<&str>,
    wished: Option<i64>,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let after: Option<String> = match marker.filter(|marker| !marker.is_empty()) {
        Some(marker) => Some(PageToken::decode(scope, marker).ok_or_else(|| invalid("The marker is not valid."))?),
        None => None,
    };
    let limit = page_limit(wished, PAGE_MAX, PAGE_MAX);
    let mut rest = items
        .filter(|item| after.as_ref().is_none_or(|after| key(item) > *after))
        .peekable();
    let found: Vec<T> = rest.by_ref().take(limit).collect();
    let next = match (rest.peek(), found.last()) {
        (Some(_), Some(last)) => Some(PageToken::encode(scope, &key(last))?),
        _ => None,
    };
    Ok((found, next))
}

/// A new revision id.
fn new_revision() -> String {
    Uuid::new_v4().to_string()
}

/// Whether the client's revision is the current one, if it names one.
fn check_revision(given: Option<&str>, current: &str) -> Result<(), ApiError> {
    match given {
        Some(given) if given != current => Err(ApiError::new(
            412,
            "PreconditionFailedException",
            "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to \
             retrieve the latest Revision Id",
        )),
        _ => Ok(()),
    }
}

/// AWS's answer for a thing that is there already.
fn conflict(message: impl Into<String>) -> ApiError {
    ApiError::new(409, "ResourceConflictException", message)
}

/// AWS's answer for a thing that is not there.
fn not_found(message: impl Into<String>) -> ApiError {
    ApiError::new(404, "ResourceNotFoundException", message)
}
