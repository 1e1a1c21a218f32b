//! Points in time and the ISO-8601 text form that the language uses.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since the Unix epoch.
///
/// The interpreter never reads a clock; every timestamp is handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The point that lies `seconds` later; saturates.
    #[must_use]
    pub fn plus_seconds(self, seconds: u64) -> Self {
        let milliseconds = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
        Self(self.0.saturating_add(milliseconds))
    }

    /// ISO-8601 in UTC with milliseconds, as the context object shows it.
    #[must_use]
    pub fn to_iso8601(self) -> String {
        DateTime::<Utc>::from_timestamp_millis(self.0)
            .unwrap_or_default()
            .to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

/// A parsed timestamp with nanoseconds, for comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant {
    seconds: i64,
    nanoseconds: u32,
}

impl Instant {
    /// Rounded up to the next millisecond, so that a wait never ends early.
    pub(crate) fn ceiling(self) -> Timestamp {
        let whole = self.seconds.saturating_mul(1000);
        Timestamp(whole.saturating_add(i64::from(self.nanoseconds.div_ceil(1_000_000))))
    }
}

/// Reads an ISO-8601 extended offset date-time: a capital `T`, and `Z` or an
/// offset, are required; seconds may be left out.
pub(crate) fn parse_instant(text: &str) -> Option<Instant> {
    let bytes = text.as_bytes();
    if bytes.get(10) != Some(&b'T') || text.contains(['z', 't']) {
        return None;
    }
    let without_seconds = bytes.len() > 16 && matches!(bytes[16], b'Z' | b'+' | b'-');
    let parsed = if without_seconds && text.is_char_boundary(16) {
        let (minutes, offset) = text.split_at(16);
        DateTime::parse_from_rfc3339(&format!("{minutes}:00{offset}"))
    } else {
        DateTime::parse_from_rfc3339(text)
    };
    let parsed = parsed.ok()?;
    Some(Instant {
        seconds: parsed.timestamp(),
        nanoseconds: parsed.timestamp_subsec_nanos(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<i64>) {
        let actual = parse_instant(text).map(|instant| instant.ceiling().0);
        assert_eq!(actual, expect, "{text}");
    }

    #[test]
    fn reads_offset_date_times_only() {
        check("1970-01-01T00:00:01Z", Some(1000));
        check("1970-01-01T00:00Z", Some(0));
        check("1970-01-01T01:00:00+01:00", Some(0));
        check("1970-01-01T00:00:00.0000001Z", Some(1));
        check("1970-01-01 00:00:00Z", None);
        check("1970-01-01T00:00:00", None);
        check("1970-01-01T25:00:00Z", None);
        check("1970-13-01T00:00:00Z", None);
        check("", None);
        check("ééééééééééé", None);
    }

    #[test]
    fn shows_milliseconds() {
        assert_eq!(Timestamp(1500).to_iso8601(), "1970-01-01T00:00:01.500Z");
        assert_eq!(Timestamp(0).plus_seconds(u64::MAX), Timestamp(i64::MAX));
    }
}
