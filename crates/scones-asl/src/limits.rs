//! Every limit of the language, with the value that AWS documents
//! (Step Functions Developer Guide, "Service quotas" and "Intrinsic functions").

/// Largest input, output or result of a state, in UTF-8 bytes (256 KiB).
pub const PAYLOAD_BYTES_MAX: usize = 262_144;
/// Largest size of the variables that one `Assign` sets, in UTF-8 bytes (256 KiB).
pub const ASSIGN_BYTES_MAX: usize = 262_144;
/// Largest size of all the variables of a workflow, in UTF-8 bytes (10 MiB).
pub const VARIABLES_BYTES_MAX: usize = 10_485_760;
/// Largest definition, in UTF-8 bytes (1 MiB).
pub const DEFINITION_BYTES_MAX: usize = 1_048_576;
/// Events that one standard execution may write.
pub const HISTORY_EVENTS_MAX: u64 = 25_000;
/// Longest state name, in characters.
pub const STATE_NAME_CHARS_MAX: usize = 80;
/// Longest variable name, in characters.
pub const VARIABLE_NAME_CHARS_MAX: usize = 80;
/// Largest number of seconds a timeout, heartbeat or wait may name.
pub const SECONDS_MAX: u64 = 99_999_999;
/// Concurrent iterations of an inline map that names no `MaxConcurrency`.
pub const MAP_CONCURRENCY_DEFAULT: usize = 40;
/// Most bytes that the inputs of an inline map's iterations take together.
pub const MAP_INPUTS_BYTES_MAX: usize = 64 << 20;
/// Retry attempts when a retrier names none.
pub const RETRY_ATTEMPTS_DEFAULT: u32 = 3;
/// Largest `MaxAttempts` of a retrier.
pub const RETRY_ATTEMPTS_MAX: u64 = 99_999_999;
/// Seconds before the first retry when a retrier names none.
pub const RETRY_INTERVAL_SECONDS_DEFAULT: u64 = 1;
/// Growth of the retry interval when a retrier names none.
pub const RETRY_BACKOFF_DEFAULT: f64 = 2.0;
/// Largest `MaxDelaySeconds` of a retrier (one year).
pub const RETRY_MAX_DELAY_SECONDS_MAX: u64 = 31_622_400;
/// Most intrinsic function calls in one field, the nested ones included.
pub const INTRINSIC_CALLS_MAX: usize = 10;
/// Longest text that the Base64 and hash functions accept, in characters.
pub const INTRINSIC_TEXT_CHARS_MAX: usize = 10_000;
/// Most elements that `States.ArrayRange` may make.
pub const ARRAY_RANGE_ELEMENTS_MAX: i64 = 1_000;
/// Deepest nesting of one JSONata evaluation.
pub const JSONATA_DEPTH_MAX: usize = 1_000;
/// Longest sequence that a JSONata expression may make.
pub const JSONATA_SEQUENCE_MAX: usize = 1_000_000;
/// Milliseconds after which a JSONata evaluation is given up.
pub const JSONATA_MILLISECONDS_MAX: u64 = 10_000;
/// Problems of one severity that are kept of one definition. AWS returns 100.
pub const DIAGNOSTICS_MAX: usize = 200;
/// Problems after which misspelt names get no suggestion any more.
pub const SUGGESTIONS_MAX: usize = 50;
/// Longest name that is looked for among others, in characters (Scones's own
/// bound: comparing two takes the product of their lengths).
pub const SUGGESTED_CHARS_MAX: usize = 200;
/// Deepest nesting of workflows (maps and parallels) that a definition may have:
/// each takes four levels of the 127 that JSON may have.
pub const WORKFLOW_DEPTH_MAX: usize = 30;
/// Deepest nesting of JSON values, states and Boolean choice expressions.
pub const EXPRESSION_DEPTH_MAX: usize = 64;
/// Longest label of a distributed map, in characters.
pub const LABEL_CHARS_MAX: usize = 40;
/// Largest header of a CSV file that is read for a distributed map, in bytes.
pub const READER_CSV_HEADER_BYTES_MAX: usize = 10_240;
/// Most items that a distributed map may read.
pub const READER_ITEMS_MAX: u64 = 100_000_000;
