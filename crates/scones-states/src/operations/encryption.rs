//! What AWS lets a client choose about encryption. Everything here lies as
//! the store keeps it, which is what AWS calls a key that it owns itself.

use scones_api::{ApiError, Constraints};
use serde::{Deserialize, Serialize};

const OWNED: &str = "AWS_OWNED_KEY";

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Encryption {
    #[serde(rename = "type")]
    kind: String,
}

impl Encryption {
    /// The only kind that there is.
    pub(crate) fn owned() -> Self {
        Self { kind: OWNED.to_owned() }
    }

    /// Refuses keys of the client's: a promise that would not be kept.
    pub(crate) fn check(wanted: Option<&Self>) -> Result<(), ApiError> {
        let Some(Self { kind }) = wanted else { return Ok(()) };
        Constraints::new()
            .one_of(
                "encryptionConfiguration.type",
                kind,
                &[OWNED, "CUSTOMER_MANAGED_KMS_KEY"],
            )
            .check()?;
        match kind.as_str() {
            OWNED => Ok(()),
            _ => Err(ApiError::not_implemented("encryption with a customer managed key")),
        }
    }
}
