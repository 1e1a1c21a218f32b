//! CloudWatch Logs's limits
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>
//! and each operation's own page).

use std::time::Duration;

/// Characters in the name of a group or a stream.
pub(crate) const NAME_CHARACTERS_MAX: usize = 512;
/// Groups or streams on one page of a listing.
pub(crate) const LISTING_PAGE_MAX: usize = 50;
/// Events in one `PutLogEvents`.
pub(crate) const BATCH_EVENTS_MAX: usize = 10_000;
/// Bytes in one `PutLogEvents`, [`EVENT_OVERHEAD_BYTES`] for each event included.
pub(crate) const BATCH_BYTES_MAX: usize = 1_048_576;
/// What an event counts beside its message.
pub(crate) const EVENT_OVERHEAD_BYTES: usize = 26;
/// Bytes in one message, so that it fits a batch.
pub(crate) const MESSAGE_BYTES_MAX: usize = BATCH_BYTES_MAX - EVENT_OVERHEAD_BYTES;
/// From the first to the last event of one `PutLogEvents`.
pub(crate) const BATCH_SPAN_MAX: Duration = Duration::from_secs(24 * 3600);
/// How far an event may lie in the future.
pub(crate) const FUTURE_MAX: Duration = Duration::from_secs(2 * 3600);
/// How far an event may lie in the past.
pub(crate) const PAST_MAX: Duration = Duration::from_secs(14 * 24 * 3600);
/// Events on one page of `GetLogEvents` and `FilterLogEvents`.
pub(crate) const PAGE_EVENTS_MAX: usize = 10_000;
/// Bytes of messages on one page.
pub(crate) const PAGE_BYTES_MAX: usize = 1_048_576;
/// Streams that one `FilterLogEvents` may name.
pub(crate) const FILTER_STREAMS_MAX: usize = 100;
/// Events that one `FilterLogEvents` looks at before it answers with a token.
/// AWS does not publish its own number.
pub(crate) const FILTER_SCAN_MAX: usize = 100_000;
/// Characters in a filter pattern.
pub(crate) const PATTERN_CHARACTERS_MAX: usize = 1024;
/// Tags on one group.
pub(crate) const TAGS_MAX: usize = 50;
/// The retention periods that there are, in days.
pub(crate) const RETENTION_DAYS: [u32; 22] = [
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];
