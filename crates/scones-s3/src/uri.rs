//! `s3://bucket/key`.

use std::{fmt, str::FromStr};

/// A text that is not an S3 URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an S3 URI: s3://BUCKET/KEY is expected")]
pub struct S3UriError(pub String);

/// A place in S3: a bucket and a key, or a prefix of keys, or neither (empty).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct S3Uri {
    /// The bucket.
    pub bucket: String,
    /// The key or prefix, without a leading slash; empty for the whole bucket.
    pub key: String,
}

impl S3Uri {
    /// The place `name` below this one, with one slash between.
    pub fn join(&self, name: &str) -> Self {
        let key = match self.key.as_str() {
            "" => name.to_owned(),
            key if key.ends_with('/') => format!("{key}{name}"),
            key => format!("{key}/{name}"),
        };
        Self {
            bucket: self.bucket.clone(),
            key,
        }
    }
}

impl FromStr for S3Uri {
    type Err = S3UriError;

    fn from_str(text: &str) -> Result<Self, S3UriError> {
        let rest = text.strip_prefix("s3://").ok_or_else(|| S3UriError(text.to_owned()))?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(S3UriError(text.to_owned()));
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        })
    }
}

impl fmt::Display for S3Uri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "s3://{}/{}", self.bucket, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_taken_apart() {
        let check = |text: &str, expect: Option<(&str, &str)>| {
            let parsed = text.parse::<S3Uri>().ok();
            let expect = expect.map(|(bucket, key)| S3Uri {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
            });
            assert_eq!(parsed, expect, "{text}");
        };
        check("s3://bucket/a/b.png", Some(("bucket", "a/b.png")));
        check("s3://bucket/", Some(("bucket", "")));
        check("s3://bucket", Some(("bucket", "")));
        check("s3://bucket//a", Some(("bucket", "/a")));
        check("s3:///a", None);
        check("S3://bucket/a", None);
        check("https://bucket/a", None);
        check("", None);
    }

    #[test]
    fn joining_puts_one_slash_between() {
        let check = |text: &str, expect: &str| {
            assert_eq!(text.parse::<S3Uri>().unwrap().join("x").to_string(), expect);
        };
        check("s3://b", "s3://b/x");
        check("s3://b/p", "s3://b/p/x");
        check("s3://b/p/", "s3://b/p/x");
    }
}
