//! AWS's quotas and limits for functions
//! (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).

use std::time::Duration;

/// A deployment package sent inside a request, in bytes (50 MB).
pub const ZIPPED_BYTES_MAX: usize = 52_428_800;
/// The same as base64, as AWS words it: 4/3 of it, rounded.
pub const ZIPPED_BASE64_BYTES_MAX: usize = 69_905_067;
/// A deployment package read from S3, in bytes: what it may unpack to bounds it.
pub const ZIPPED_OBJECT_BYTES_MAX: u64 = UNZIPPED_BYTES_MAX;
/// What a deployment package may unpack to, in bytes (250 MB).
pub const UNZIPPED_BYTES_MAX: u64 = 262_144_000;
/// Files and folders in a deployment package. AWS names no number; this one
/// keeps a package from exhausting a file system's inodes.
pub const PACKAGE_ENTRIES_MAX: usize = 100_000;

/// An invocation's payload, request and synchronous, in bytes (6 MB).
pub const REQUEST_BYTES_MAX: usize = 6_291_456;
/// An invocation's payload for the Event invocation type, in bytes (1 MB).
pub const EVENT_BYTES_MAX: usize = 1_048_576;
/// A function's answer, in bytes: 6 MB and 100 bytes, as AWS enforces it.
pub const RESPONSE_BYTES_MAX: usize = 6_291_556;
/// The log tail that an invocation may ask for, in bytes (4 KB).
pub const LOG_TAIL_BYTES: usize = 4096;
/// One log event, in bytes (256 KB); longer lines are cut into several.
pub const LOG_LINE_BYTES_MAX: usize = 262_144;

/// The shortest and longest time-out, in seconds.
pub const TIMEOUT_SECONDS: (i64, i64) = (1, 900);
/// The time-out of a function that names none, in seconds.
pub const TIMEOUT_SECONDS_DEFAULT: i64 = 3;
/// The smallest and largest memory, in MB.
pub const MEMORY_MB: (i64, i64) = (128, 10_240);
/// The memory of a function that names none, in MB.
pub const MEMORY_MB_DEFAULT: i64 = 128;
/// The smallest and largest `/tmp`, in MB.
pub const STORAGE_MB: (i64, i64) = (512, 10_240);
/// All environment variables of a function as JSON, in bytes (4 KB).
pub const ENVIRONMENT_BYTES_MAX: usize = 4096;
/// A function's name, in characters.
pub const NAME_LENGTH_MAX: usize = 64;
/// A function's name or ARN as a parameter, in characters.
pub const REFERENCE_LENGTH_MAX: usize = 256;
/// A handler, in characters.
pub const HANDLER_LENGTH_MAX: usize = 128;
/// A description, in characters.
pub const DESCRIPTION_LENGTH_MAX: usize = 256;
/// A resource-based policy, in bytes (20 KB).
pub const POLICY_BYTES_MAX: usize = 20_480;
/// Tags of a function.
pub const TAGS_MAX: usize = 50;
/// The page of ListFunctions, ListVersionsByFunction and ListAliases; a client
/// may ask for fewer.
pub const PAGE_MAX: usize = 50;
/// Concurrent invocations of an account, unless configured.
pub const CONCURRENT_EXECUTIONS: u32 = 1000;
/// Concurrency that reservations must leave for everyone else.
pub const UNRESERVED_CONCURRENCY_MIN: u32 = 100;

/// How long a function may initialise before its first invocation's own
/// time-out begins to count.
pub const INIT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an asynchronous invocation is tried again after an error.
pub const EVENT_RETRIES: u32 = 2;
/// How long an asynchronous invocation is kept while it cannot run.
pub const EVENT_AGE_MAX: Duration = Duration::from_secs(6 * 3600);
/// How long a link to a deployment package works.
pub const CODE_LINK_LIFETIME: Duration = Duration::from_secs(600);
