//! Places in S3, as SageMaker's members write them: `s3://BUCKET/KEY` or S3's `https` URLs.

use scones_api::ApiError;

/// A bucket and a key, or a prefix of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    pub bucket: String,
    /// Without a leading slash; empty for the whole bucket.
    pub key: String,
}

impl Location {
    /// Reads `s3://BUCKET/KEY`, `https://s3.REGION.amazonaws.com/BUCKET/KEY` or
    /// `https://BUCKET.s3.REGION.amazonaws.com/KEY`.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let invalid = || {
            ApiError::validation(format!(
                "The S3 URI \"{text}\" is not valid: s3://BUCKET/KEY is expected"
            ))
        };
        let split = |rest: &str| -> Option<(String, String)> {
            let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
            (!bucket.is_empty()).then(|| (bucket.to_owned(), key.to_owned()))
        };
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, key) = split(rest).ok_or_else(invalid)?;
            return Ok(Self { bucket, key });
        }
        let rest = text.strip_prefix("https://").ok_or_else(invalid)?;
        let (host, path) = split(rest).ok_or_else(invalid)?;
        let (bucket, key) = match host.split_once(".s3") {
            Some((bucket, _)) => (bucket.to_owned(), path),
            None if host.starts_with("s3") => split(&path).ok_or_else(invalid)?,
            None => return Err(invalid()),
        };
        Ok(Self { bucket, key })
    }

    /// The place `name` below this one: a slash stands between them exactly once.
    pub fn below(&self, name: &str) -> Self {
        let key = match self.key.trim_end_matches('/') {
            "" => name.to_owned(),
            parent => format!("{parent}/{name}"),
        };
        Self {
            bucket: self.bucket.clone(),
            key,
        }
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "s3://{}/{}", self.bucket, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let shown = Location::parse(text).map_or("invalid".to_owned(), |place| place.below("x").to_string());
        assert_eq!(shown, expect);
    }

    #[test]
    fn places_are_read_and_extended() {
        check("s3://bucket", "s3://bucket/x");
        check("s3://bucket/", "s3://bucket/x");
        check("s3://bucket/a/b/", "s3://bucket/a/b/x");
        check("https://s3.us-east-1.amazonaws.com/bucket/a", "s3://bucket/a/x");
        check("https://bucket.s3.us-east-1.amazonaws.com/a", "s3://bucket/a/x");
        check("s3://", "invalid");
        check("bucket/a", "invalid");
        check("https://example.com/a", "invalid");
    }
}
