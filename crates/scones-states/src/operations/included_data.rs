//! `includedData`: whether an answer has the user's data, or only what
//! describes it.

use scones_api::{ApiError, Constraints};

/// A definition that is left out: the member is required, and may not be empty.
pub(crate) const NO_DEFINITION: &str = "{}";

/// Whether all data is wanted, which it is unless the client says otherwise.
pub(crate) fn all(wanted: Option<&str>) -> Result<bool, ApiError> {
    let wanted = wanted.unwrap_or("ALL_DATA");
    Constraints::new()
        .one_of("includedData", wanted, &["ALL_DATA", "METADATA_ONLY"])
        .check()?;
    Ok(wanted == "ALL_DATA")
}
