//! Conditional requests
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html>,
//! RFC 9110 section 13).

use scones_api::{ApiError, Timestamp};

use crate::{
    error::{no_such_key, precondition_failed},
    records::ObjectRecord,
};

/// What a header such as `If-Match` accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tag {
    /// `*`: anything that exists.
    Any,
    /// The object with this ETag, without quotes.
    Is(String),
}

impl Tag {
    fn matches(&self, object: &ObjectRecord) -> bool {
        match self {
            Self::Any => true,
            Self::Is(etag) => *etag == object.etag,
        }
    }
}

/// The conditions of a read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ReadConditions {
    pub(crate) if_match: Option<Tag>,
    pub(crate) if_none_match: Option<Tag>,
    pub(crate) if_modified_since: Option<Timestamp>,
    pub(crate) if_unmodified_since: Option<Timestamp>,
}

/// What the conditions of a read say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Proceed,
    NotModified,
    /// The header that does not hold.
    Failed(&'static str),
}

impl ReadConditions {
    /// Compares with the object as it is. `If-Match` and `If-None-Match` weigh
    /// more than the dates, which have no finer unit than a second.
    pub(crate) fn judge(&self, object: &ObjectRecord) -> Verdict {
        let modified = object.modified.as_millis().div_euclid(1000);
        let seconds = |time: Timestamp| time.as_millis().div_euclid(1000);
        match (&self.if_match, self.if_unmodified_since) {
            (Some(tag), _) if !tag.matches(object) => return Verdict::Failed("If-Match"),
            (None, Some(time)) if modified > seconds(time) => return Verdict::Failed("If-Unmodified-Since"),
            _ => {}
        }
        match (&self.if_none_match, self.if_modified_since) {
            (Some(tag), _) if tag.matches(object) => Verdict::NotModified,
            (None, Some(time)) if modified <= seconds(time) => Verdict::NotModified,
            _ => Verdict::Proceed,
        }
    }

    /// The same for the source of a copy, where every failure is a 412.
    ///
    /// # Errors
    /// `PreconditionFailed`.
    pub(crate) fn require(&self, object: &ObjectRecord) -> Result<(), ApiError> {
        match self.judge(object) {
            Verdict::Proceed => Ok(()),
            Verdict::NotModified => Err(precondition_failed("x-amz-copy-source-if-none-match")),
            Verdict::Failed(header) => Err(precondition_failed(header)),
        }
    }
}

/// The condition of a write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum WriteCondition {
    #[default]
    None,
    /// `If-None-Match: *`.
    Absent,
    /// `If-Match`.
    Matches(Tag),
}

impl WriteCondition {
    /// Compares with what is there.
    ///
    /// # Errors
    /// `PreconditionFailed`; `NoSuchKey` for an `If-Match` on nothing.
    pub(crate) fn check(&self, current: Option<&ObjectRecord>) -> Result<(), ApiError> {
        match (self, current) {
            (Self::Absent, Some(_)) => Err(precondition_failed("If-None-Match")),
            (Self::Matches(_), None) => Err(no_such_key()),
            (Self::Matches(tag), Some(object)) if !tag.matches(object) => Err(precondition_failed("If-Match")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::{Algorithm, Checksum, Kind};

    fn object(etag: &str, modified_ms: i64) -> ObjectRecord {
        ObjectRecord {
            size: 0,
            etag: etag.to_owned(),
            modified: Timestamp::from_millis(modified_ms),
            checksum: Checksum {
                algorithm: Algorithm::Crc32,
                value: String::new(),
                kind: Kind::FullObject,
            },
            headers: crate::records::Headers::default(),
            upload: None,
            pieces: Vec::new(),
        }
    }

    #[test]
    fn reads_are_judged_in_order() {
        let object = object("e", 10_500);
        let tag = |text: &str| match text {
            "" => None,
            "*" => Some(Tag::Any),
            etag => Some(Tag::Is(etag.to_owned())),
        };
        let time = |seconds: i64| (seconds != 0).then(|| Timestamp::from_millis(seconds * 1000));
        let check = |if_match, if_none_match, modified, unmodified, expect| {
            let conditions = ReadConditions {
                if_match: tag(if_match),
                if_none_match: tag(if_none_match),
                if_modified_since: time(modified),
                if_unmodified_since: time(unmodified),
            };
            assert_eq!(conditions.judge(&object), expect, "{conditions:?}");
        };
        check("", "", 0, 0, Verdict::Proceed);
        check("e", "", 0, 0, Verdict::Proceed);
        check("*", "", 0, 0, Verdict::Proceed);
        check("x", "", 0, 0, Verdict::Failed("If-Match"));
        check("", "e", 0, 0, Verdict::NotModified);
        check("", "*", 0, 0, Verdict::NotModified);
        check("", "x", 0, 0, Verdict::Proceed);
        check("", "", 9, 0, Verdict::Proceed);
        check("", "", 10, 0, Verdict::NotModified);
        check("", "", 0, 9, Verdict::Failed("If-Unmodified-Since"));
        check("", "", 0, 10, Verdict::Proceed);
        // A tag that holds outweighs a date that does not.
        check("e", "", 0, 9, Verdict::Proceed);
        check("", "x", 10, 0, Verdict::Proceed);
        check("", "e", 9, 0, Verdict::NotModified);
    }

    #[test]
    fn writes_fail_with_awss_codes() {
        let there = object("e", 0);
        let check = |condition: WriteCondition, current: Option<&ObjectRecord>, expect: Option<&str>| {
            let code = condition.check(current).err().map(|error| error.code);
            assert_eq!(code.as_deref(), expect, "{condition:?}");
        };
        check(WriteCondition::None, Some(&there), None);
        check(WriteCondition::Absent, None, None);
        check(WriteCondition::Absent, Some(&there), Some("PreconditionFailed"));
        check(WriteCondition::Matches(Tag::Is("e".to_owned())), Some(&there), None);
        check(
            WriteCondition::Matches(Tag::Is("x".to_owned())),
            Some(&there),
            Some("PreconditionFailed"),
        );
        check(WriteCondition::Matches(Tag::Any), None, Some("NoSuchKey"));
    }
}
