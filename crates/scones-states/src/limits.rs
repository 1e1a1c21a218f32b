//! Every limit of the service, with the value that AWS documents
//! (Step Functions Developer Guide, "Service quotas", and the API reference).
//! Limits of the language itself are in `scones-asl`.

use std::time::Duration;

use scones_api::{ApiError, Constraints};
pub use scones_asl::limits::{DEFINITION_BYTES_MAX, PAYLOAD_BYTES_MAX};

/// Longest name of a state machine, alias, activity, execution or worker, in characters.
pub const NAME_CHARS_MAX: usize = 80;
/// Longest ARN of anything but a map run, in characters.
pub const ARN_CHARS_MAX: usize = 256;
/// Longest description of a version or an alias, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 256;
/// Longest error name that a client may report, in characters.
pub const ERROR_CHARS_MAX: usize = 256;
/// Longest cause that a client may report, in characters.
pub const CAUSE_CHARS_MAX: usize = 32_768;
/// Longest task token, in characters.
pub const TOKEN_CHARS_MAX: usize = 2_048;
/// Most entries of a page.
pub const PAGE_MAX: usize = 1_000;
/// Entries of a page when the client names no number.
pub const PAGE_DEFAULT: usize = 100;
/// Most diagnostics that ValidateStateMachineDefinition gives, and how many it gives unasked.
pub const DIAGNOSTICS_MAX: usize = 100;
/// Most tags of a resource.
pub const TAGS_MAX: usize = 50;
/// Longest key of a tag, in characters.
pub const TAG_KEY_CHARS_MAX: usize = 128;
/// Longest value of a tag, in characters.
pub const TAG_VALUE_CHARS_MAX: usize = 256;
/// Most versions that a state machine has at a time.
pub const VERSIONS_MAX: usize = 1_000;
/// Most aliases of a state machine.
pub const ALIASES_MAX: usize = 100;
/// Seconds that GetActivityTask waits for a task.
pub const ACTIVITY_POLL_SECONDS: u64 = 60;
/// Seconds that an Express execution may take.
pub const EXPRESS_SECONDS_MAX: u64 = 300;
/// Longest time that an HTTP task takes.
pub const HTTP_TASK: Duration = Duration::from_secs(60);
/// Seconds that a state may take that TestState tries.
pub const TEST_STATE_SECONDS_MAX: u64 = 300;

/// Largest item of a dataset as it lies in its object, in bytes: a row, a
/// line, an element ("ItemReader": 8 MB). The input of a child, which
/// `ItemSelector` may make smaller, is bounded by [`PAYLOAD_BYTES_MAX`].
pub const ITEM_BYTES_MAX: usize = 8_388_608;
/// Most bytes of a JSON document before the array of items, and after it
/// (Scones's own bound).
pub const JSON_BESIDE_BYTES_MAX: usize = 16_777_216;
/// Largest manifest of an S3 inventory, in bytes (Scones's own bound).
pub const MANIFEST_BYTES_MAX: usize = 16_777_216;
/// Largest footer of a Parquet file, in bytes ("ItemReader": 5 MB).
pub const PARQUET_FOOTER_BYTES_MAX: u64 = 5_242_880;
/// Largest row group of a Parquet file, unpacked, in bytes ("ItemReader": 256 MB).
pub const PARQUET_ROW_GROUP_BYTES_MAX: usize = 268_435_456;
/// Largest page of a Parquet file, unpacked, in bytes (Scones's own bound:
/// writers make pages of about 1 MiB).
pub const PARQUET_PAGE_BYTES_MAX: usize = 67_108_864;
/// Most values of a nested column of a Parquet file that are read for one row,
/// with the rest of their page (Scones's own bound: a page of 1 MiB has no
/// more).
pub const PARQUET_LEVELS_MAX: usize = 8_388_608;
/// Objects in a page of a listing (ListObjectsV2).
pub const LISTED_OBJECTS_MAX: usize = 1_000;
/// Largest file of a map run's results, in bytes: further results go into
/// further files ("ResultWriter").
pub const RESULT_FILE_BYTES_MAX: u64 = 5_000_000_000;

/// Refuses a member whose content AWS never echoes (definitions, payloads), by
/// its length in UTF-8 bytes.
pub(crate) fn payload_length(member: &str, value: Option<&str>, maximum: usize) -> Result<(), ApiError> {
    at_most(member, value.map_or(0, str::len), maximum)
}

/// Refuses a definition that is empty or too long.
pub(crate) fn definition_length(definition: &str) -> Result<(), ApiError> {
    if definition.is_empty() {
        return Constraints::new()
            .length("definition", definition, 1, DEFINITION_BYTES_MAX)
            .check();
    }
    payload_length("definition", Some(definition), DEFINITION_BYTES_MAX)
}

/// Refuses an error or a cause of a client's, by its length in characters.
pub(crate) fn failure_length(error: Option<&str>, cause: Option<&str>) -> Result<(), ApiError> {
    let length = |text: Option<&str>| text.map_or(0, |text| text.chars().count());
    at_most("error", length(error), ERROR_CHARS_MAX)?;
    at_most("cause", length(cause), CAUSE_CHARS_MAX)
}

fn at_most(member: &str, length: usize, maximum: usize) -> Result<(), ApiError> {
    if length <= maximum {
        return Ok(());
    }
    Err(ApiError::validation(format!(
        "1 validation error detected: Value at '{member}' failed to satisfy constraint: \
         Member must have length less than or equal to {maximum}"
    )))
}

/// The page size for `maxResults`, which lies in `0..=1000`; 0 means the default.
pub(crate) fn page_size(wished: Option<i64>) -> Result<usize, ApiError> {
    let wish = wished.unwrap_or_default();
    Constraints::new().range("maxResults", wish, 0, 1_000).check()?;
    Ok(scones_api::page_limit(wished, PAGE_DEFAULT, PAGE_MAX))
}

/// The length of an optional name.
pub(crate) fn name_length(member: &str, name: Option<&str>) -> Result<(), ApiError> {
    match name {
        None => Ok(()),
        Some(name) => Constraints::new().length(member, name, 1, NAME_CHARS_MAX).check(),
    }
}
