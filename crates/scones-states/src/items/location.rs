//! Buckets and keys, as a state's parameters name them.

use std::{fmt, sync::Arc};

use scones_api::ApiError;
use serde_json::Value;

/// An object, or the beginning of many objects' keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) bucket: String,
    pub(crate) key: String,
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "s3://{}/{}", self.bucket, self.key)
    }
}

impl Location {
    /// As the context object names where an item is from.
    pub(crate) fn source(&self) -> Arc<str> {
        format!("S3://{}/{}", self.bucket, self.key).into()
    }
}

/// The account in a map run's ARN.
pub(crate) fn account(map_run_arn: &str) -> &str {
    map_run_arn.split(':').nth(4).unwrap_or_default()
}

impl Location {
    /// `Bucket` and, under `name`, a `Key` or a `Prefix`, which may be absent.
    ///
    /// # Errors
    /// The cause: something is missing or not supported, or the bucket has
    /// another owner than `ExpectedBucketOwner`.
    pub(crate) fn named(parameters: &Value, name: &str, account: &str) -> Result<Self, String> {
        let unsupported = |other: &String| ![name, "Bucket", "ExpectedBucketOwner"].contains(&other.as_str());
        let mut names = parameters.as_object().into_iter().flat_map(serde_json::Map::keys);
        match names.find(|other| unsupported(other)).map(String::as_str) {
            None => {}
            Some("VersionId") => {
                return Err("Scones keeps one version of an object: 'VersionId' is not supported".into());
            }
            Some(other) => return Err(format!("Scones does not support the parameter '{other}' here")),
        }
        let text = |name: &str| match &parameters[name] {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text.clone())),
            other => Err(format!("The parameter '{name}' must be a string, but is {other}")),
        };
        let location = Self {
            bucket: required("Bucket", text("Bucket")?)?,
            key: match name {
                "Key" => required(name, text(name)?)?,
                _ => text(name)?.unwrap_or_default(),
            },
        };
        match text("ExpectedBucketOwner")? {
            Some(owner) if owner != account => {
                Err(location.refused(&ApiError::new(403, "AccessDenied", "Access Denied")))
            }
            _ => Ok(location),
        }
    }

    /// `s3://BUCKET/KEY`.
    pub(super) fn of_uri(uri: &str) -> Option<Self> {
        let (bucket, key) = uri.strip_prefix("s3://")?.split_once('/')?;
        Some(Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        })
    }

    /// What S3 said about it.
    pub(crate) fn refused(&self, error: &ApiError) -> String {
        let ApiError {
            code, message, status, ..
        } = error;
        let Self { bucket, key } = self;
        format!("{message} (Service: S3, Status Code: {status}, Error Code: {code}, Bucket: {bucket}, Key: {key})")
    }
}

fn required(name: &str, value: Option<String>) -> Result<String, String> {
    value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| format!("The field '{name}' is required but was missing"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters() {
        let check = |parameters: Value, name: &str, expect: Result<&str, &str>| {
            let found = Location::named(&parameters, name, "111122223333");
            match (&found, expect) {
                (Ok(location), Ok(expect)) => assert_eq!(location.to_string(), expect),
                (Err(cause), Err(expect)) => assert!(cause.contains(expect), "{cause}"),
                _ => panic!("{parameters}: {found:?}"),
            }
        };
        check(json!({"Bucket": "b", "Key": "k/l"}), "Key", Ok("s3://b/k/l"));
        check(json!({"Bucket": "b"}), "Prefix", Ok("s3://b/"));
        check(
            json!({"Bucket": "b", "Key": "k", "ExpectedBucketOwner": "111122223333"}),
            "Key",
            Ok("s3://b/k"),
        );
        check(
            json!({"Bucket": "b", "Key": "k", "ExpectedBucketOwner": "444455556666"}),
            "Key",
            Err("Access Denied (Service: S3, Status Code: 403"),
        );
        check(json!({"Bucket": "b"}), "Key", Err("'Key' is required"));
        check(json!({"Key": "k"}), "Key", Err("'Bucket' is required"));
        check(json!({"Bucket": "", "Key": "k"}), "Key", Err("'Bucket' is required"));
        check(json!({"Bucket": 1, "Key": "k"}), "Key", Err("must be a string"));
        check(
            json!({"Bucket": "b", "Key": "k", "VersionId": "v"}),
            "Key",
            Err("'VersionId'"),
        );
        check(json!({"Bucket": "b", "Key": "k"}), "Prefix", Err("'Key' here"));
    }

    #[test]
    fn uris() {
        let check = |uri, expect: Option<(&str, &str)>| {
            let found = Location::of_uri(uri).map(|location| (location.bucket, location.key));
            let expect = expect.map(|(bucket, key)| (bucket.to_owned(), key.to_owned()));
            assert_eq!(found, expect);
        };
        check("s3://b/k/l", Some(("b", "k/l")));
        check("s3://b", None);
        check("https://b/k", None);
    }
}
