//! What inputs share: numbers that the query protocol sends as text, pages.

use scones_api::{ApiError, PageToken, page_limit};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::limits::{PAGE_DEFAULT, PAGE_MAX};

/// A number, or the text of one.
pub(crate) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Number(i64),
        Text(String),
    }
    match Option::<Number>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Number::Number(number)) => Ok(Some(number)),
        Some(Number::Text(text)) => text.parse().map(Some).map_err(D::Error::custom),
    }
}

/// The paging members of a listing's input.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Paging {
    marker: Option<String>,
    #[serde(default, deserialize_with = "number")]
    max_items: Option<i64>,
}

/// The paging members of a listing's output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Paged {
    is_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
}

impl Paging {
    /// The page of `items`, which are in the order of `key`, that the request
    /// asks for. `scope` names the listing.
    pub(crate) fn page<T>(
        &self,
        scope: &str,
        mut items: Vec<T>,
        key: impl Fn(&T) -> &str,
    ) -> Result<(Vec<T>, Paged), ApiError> {
        if let Some(marker) = &self.marker {
            let invalid = || ApiError::bad_request("ValidationError", "Invalid Marker.");
            let after: String = PageToken::decode(scope, marker).ok_or_else(invalid)?;
            items.retain(|item| *key(item) > *after);
        }
        let limit = page_limit(self.max_items, PAGE_DEFAULT, PAGE_MAX);
        let is_truncated = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| is_truncated);
        let marker = last.map(|item| PageToken::encode(scope, &key(item))).transpose()?;
        Ok((items, Paged { is_truncated, marker }))
    }
}
