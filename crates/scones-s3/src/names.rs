//! What buckets and keys may be called.

use std::net::Ipv4Addr;

use scones_api::ApiError;

use crate::limits::KEY_BYTES_MAX;

/// Checks the name of a bucket that is to be made
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>).
///
/// # Errors
/// `InvalidBucketName`.
pub(crate) fn check_bucket(name: &str) -> Result<(), ApiError> {
    const PREFIXES: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
    const SUFFIXES: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    let valid = (3..=63).contains(&bytes.len())
        && bytes
            .iter()
            .all(|&byte| alphanumeric(byte) || byte == b'-' || byte == b'.')
        && bytes.first().copied().is_some_and(alphanumeric)
        && bytes.last().copied().is_some_and(alphanumeric)
        && !name.contains("..")
        && name.parse::<Ipv4Addr>().is_err()
        && !PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        && !SUFFIXES.iter().any(|suffix| name.ends_with(suffix));
    if valid {
        Ok(())
    } else {
        Err(ApiError::bad_request(
            "InvalidBucketName",
            format!("The specified bucket is not valid: {name}"),
        ))
    }
}

/// Checks an object's key: 1 to 1024 bytes.
///
/// # Errors
/// `KeyTooLongError`, or `InvalidArgument` for an empty key.
pub(crate) fn check_key(key: &str) -> Result<(), ApiError> {
    if key.is_empty() {
        return Err(crate::error::invalid_argument("A key cannot be empty"));
    }
    if key.len() > KEY_BYTES_MAX {
        return Err(ApiError::bad_request(
            "KeyTooLongError",
            format!(
                "Your key is too long: {} bytes, at most {KEY_BYTES_MAX} are allowed",
                key.len()
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_follow_the_rules() {
        let check = |name: &str, expect: bool| assert_eq!(check_bucket(name).is_ok(), expect, "{name}");
        check("abc", true);
        check("my.bucket-1", true);
        check("1bucket", true);
        check(&"a".repeat(63), true);
        check(&"a".repeat(64), false);
        check("ab", false);
        check("", false);
        check("Bucket", false);
        check("under_score", false);
        check("-abc", false);
        check("abc-", false);
        check("a..b", false);
        check("192.168.5.4", false);
        check("xn--abc", false);
        check("sthree-abc", false);
        check("abc-s3alias", false);
        check("abc--ol-s3", false);
        check("a/b", false);
        check("bücket", false);
    }

    #[test]
    fn keys_have_1_to_1024_bytes() {
        assert!(check_key(&"k".repeat(1024)).is_ok());
        assert_eq!(check_key(&"k".repeat(1025)).unwrap_err().code, "KeyTooLongError");
        assert_eq!(check_key(&"é".repeat(513)).unwrap_err().code, "KeyTooLongError");
        assert_eq!(check_key("").unwrap_err().code, "InvalidArgument");
    }
}
