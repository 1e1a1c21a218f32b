//! How much a client may send.

use std::time::Duration;

/// A request to one of the JSON services: a state machine's definition is at
/// most 1 MiB, and JSON escapes at most double what such texts hold.
pub(crate) const JSON_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A form of the query protocol.
pub(crate) const FORM_BYTES_MAX: usize = 1024 * 1024;

/// `CreateFunction` and `UpdateFunctionCode` with the code inside: AWS allows
/// a zip of 50 MB, which base64 makes a third longer.
pub(crate) const CODE_BODY_BYTES_MAX: usize = 70 * 1024 * 1024;

/// A function's payload. One byte more is read, so that the
/// service itself can refuse what is just too large.
pub(crate) const FUNCTION_BODY_BYTES_MAX: usize = 6 * 1024 * 1024 + 1;

/// Connections that are open at the same time; more wait to be accepted.
pub(crate) const CONNECTIONS_MAX: usize = 4096;

/// How long a client may take to send a request's head.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long requests in progress may go on when the server stops.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
