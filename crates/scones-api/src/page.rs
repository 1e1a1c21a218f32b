//! Paging: opaque tokens and page sizes.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};

use crate::ApiError;

/// An opaque continuation token around any serialisable position. The scope
/// (an operation's name and whatever else must not change between pages) is
/// sealed in, so a token of one listing is refused by another.
pub struct PageToken;

impl PageToken {
    /// The token for `position` within `scope`.
    pub fn encode(scope: &str, position: &impl Serialize) -> Result<String, ApiError> {
        let json = serde_json::to_vec(&(scope, position)).map_err(ApiError::internal)?;
        Ok(URL_SAFE_NO_PAD.encode(json))
    }

    /// The position in `token`, or `None` if it is malformed or of another
    /// scope: each service words that error in its own way.
    pub fn decode<T: DeserializeOwned>(scope: &str, token: &str) -> Option<T> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (sealed, position): (String, T) = serde_json::from_slice(&bytes).ok()?;
        (sealed == scope).then_some(position)
    }
}

/// The page size for a client's wish: AWS treats an absent or zero wish as the
/// default in most listings, and `maximum` caps it.
pub fn page_limit(wished: Option<i64>, default: usize, maximum: usize) -> usize {
    match wished.and_then(|wish| usize::try_from(wish).ok()) {
        None | Some(0) => default,
        Some(wish) => wish.min(maximum),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_in_its_own_scope_only() {
        let token = PageToken::encode("ListX", &("a", 7)).unwrap();
        assert_eq!(
            PageToken::decode::<(String, u32)>("ListX", &token),
            Some(("a".to_owned(), 7))
        );
        assert_eq!(PageToken::decode::<(String, u32)>("ListY", &token), None);
        assert_eq!(PageToken::decode::<(String, u32)>("ListX", "not a token"), None);
    }

    #[test]
    fn a_page_is_never_larger_than_the_maximum() {
        assert_eq!(
            [None, Some(0), Some(-1), Some(5), Some(5000)].map(|wish| page_limit(wish, 100, 1000)),
            [100, 100, 100, 5, 1000]
        );
    }
}
