//! Checking a signature.

use std::time::Duration;

use chrono::NaiveDateTime;
use http::{HeaderMap, Uri, request::Parts};
use percent_encoding::percent_decode_str;
use scones_api::Timestamp;
use sha2::{Digest, Sha256};

use super::{
    ALGORITHM, PRESIGNED_SECONDS_MAX, SKEW_MAX, Scope,
    canonical::{PathEncoding, Request},
    sign::signature,
};

/// Why a request is not authenticated. `scones-aws` words it in the protocol
/// of the service that was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// No signature at all.
    #[error("Missing Authentication Token")]
    Missing,
    /// A signature that lacks a part.
    #[error("{0}")]
    Incomplete(String),
    /// A key that this server did not make, or a wrong session token.
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    /// The session of a temporary key is over.
    #[error("The security token included in the request is expired")]
    ExpiredToken,
    /// Signed too long ago.
    #[error("Signature expired: {signed} is now earlier than {bound} ({now} - {} min.)", SKEW_MAX.as_secs() / 60)]
    Expired {
        /// When it was signed.
        signed: String,
        /// The earliest time that is accepted.
        bound: String,
        /// The server's time.
        now: String,
    },
    /// Signed in the future.
    #[error("Signature not yet current: {signed} is still later than {bound} ({now} + {} min.)", SKEW_MAX.as_secs() / 60)]
    NotYetCurrent {
        /// When it was signed.
        signed: String,
        /// The latest time that is accepted.
        bound: String,
        /// The server's time.
        now: String,
    },
    /// The signature is another one.
    #[error(
        "The request signature we calculated does not match the signature you provided. \
         Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
    )]
    Mismatch,
}

/// A time as signatures have it.
const BASIC_TIME: &str = "20261231T235959Z";

/// A signature as a request presents it, not yet checked. It has no `Debug`:
/// its session token is a secret.
#[derive(Clone)]
pub struct Presented {
    /// Whose key, which day, region and service.
    pub scope: Scope,
    /// The session token, for temporary keys.
    pub session_token: Option<String>,
    signed_headers: Vec<String>,
    signature: String,
    time: String,
    /// Only for presigned requests: how long they are valid.
    valid: Option<Duration>,
}

impl Presented {
    /// Finds the signature in the headers or in the query.
    ///
    /// # Errors
    /// [`SignatureError::Missing`] and [`SignatureError::Incomplete`].
    pub fn find(parts: &Parts) -> Result<Self, SignatureError> {
        match text(&parts.headers, "authorization") {
            Some(authorization) => Self::in_header(&authorization, &parts.headers),
            None => Self::in_query(&parts.uri),
        }
    }

    fn in_header(authorization: &str, headers: &HeaderMap) -> Result<Self, SignatureError> {
        let incomplete = |what: &str| {
            SignatureError::Incomplete(format!(
                "Authorization header requires {what}. (Authorization={ALGORITHM} ...)"
            ))
        };
        let fields = authorization.strip_prefix(ALGORITHM).ok_or_else(|| {
            SignatureError::Incomplete(format!("Unsupported AWS 'algorithm': {ALGORITHM} is expected"))
        })?;
        let field = |name: &str| {
            fields
                .split(',')
                .filter_map(|field| field.trim().split_once('='))
                .find_map(|(found, value)| (found == name).then(|| value.to_owned()))
        };
        let time = text(headers, "x-amz-date")
            .ok_or_else(|| incomplete("existence of either a 'X-Amz-Date' or a 'Date' header"))?;
        Self::of(
            &field("Credential").ok_or_else(|| incomplete("'Credential' parameter"))?,
            &field("SignedHeaders").ok_or_else(|| incomplete("'SignedHeaders' parameter"))?,
            field("Signature").ok_or_else(|| incomplete("'Signature' parameter"))?,
            time,
            text(headers, "x-amz-security-token"),
            None,
        )
    }

    fn in_query(uri: &Uri) -> Result<Self, SignatureError> {
        let query = uri.query().unwrap_or_default();
        let parameter = |name: &str| {
            query
                .split('&')
                .filter_map(|parameter| parameter.split_once('='))
                .find_map(|(found, value)| {
                    (found == name).then(|| percent_decode_str(value).decode_utf8_lossy().into_owned())
                })
        };
        if parameter("X-Amz-Algorithm").as_deref() != Some(ALGORITHM) {
            return Err(SignatureError::Missing);
        }
        let required = |name: &str| {
            parameter(name).ok_or_else(|| {
                SignatureError::Incomplete(format!("AWS query-string parameters must include '{name}'."))
            })
        };
        let seconds = required("X-Amz-Expires")?
            .parse::<u32>()
            .ok()
            .filter(|&seconds| seconds <= PRESIGNED_SECONDS_MAX);
        let seconds = seconds.ok_or_else(|| {
            SignatureError::Incomplete(format!(
                "X-Amz-Expires must be a number between 0 and {PRESIGNED_SECONDS_MAX}"
            ))
        })?;
        Self::of(
            &required("X-Amz-Credential")?,
            &required("X-Amz-SignedHeaders")?,
            required("X-Amz-Signature")?,
            required("X-Amz-Date")?,
            parameter("X-Amz-Security-Token"),
            Some(Duration::from_secs(u64::from(seconds))),
        )
    }

    fn of(
        credential: &str,
        signed_headers: &str,
        signature: String,
        time: String,
        session_token: Option<String>,
        valid: Option<Duration>,
    ) -> Result<Self, SignatureError> {
        let scope: Scope = credential.parse().map_err(|()| {
            SignatureError::Incomplete(
                "Credential must have exactly 5 slash-delimited elements: keyid/date/region/service/aws4_request"
                    .to_owned(),
            )
        })?;
        let signed_headers = signed_headers.split(';').map(str::to_ascii_lowercase).collect();
        Ok(Self {
            scope,
            session_token,
            signed_headers,
            signature,
            time,
            valid,
        })
    }

    fn signed_at(&self) -> Result<Timestamp, SignatureError> {
        let incomplete = |message: String| SignatureError::Incomplete(message);
        // Checked by hand first: a date parser also takes spaces and digits of other scripts.
        let basic = self.time.len() == BASIC_TIME.len()
            && self
                .time
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'T' || byte == b'Z');
        let time = NaiveDateTime::parse_from_str(&self.time, "%Y%m%dT%H%M%SZ")
            .ok()
            .filter(|_| basic);
        let time =
            time.ok_or_else(|| incomplete(format!("Date must be in ISO-8601 'basic format'. Got '{}'.", self.time)))?;
        if !self.time.starts_with(&self.scope.date) {
            let message = "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP";
            return Err(incomplete(message.to_owned()));
        }
        Ok(Timestamp::from_millis(time.and_utc().timestamp_millis()))
    }

    /// Checks what needs neither key nor body: that the headers that matter are
    /// signed, and that the signature is of now.
    ///
    /// # Errors
    /// [`SignatureError::Incomplete`], [`SignatureError::Expired`],
    /// [`SignatureError::NotYetCurrent`].
    pub fn check(&self, headers: &HeaderMap, now: Timestamp) -> Result<(), SignatureError> {
        self.check_headers(headers)?;
        self.check_time(now)
    }

    /// The time lies within the skew, or within what a presigned request asked
    /// for.
    fn check_time(&self, now: Timestamp) -> Result<(), SignatureError> {
        let signed = self.signed_at()?;
        let basic = |time: Timestamp| time.to_utc().format("%Y%m%dT%H%M%SZ").to_string();
        let last = signed + self.valid.unwrap_or(SKEW_MAX);
        if now > last {
            let bound = Timestamp::from_millis(now.as_millis() - (last.as_millis() - signed.as_millis()));
            return Err(SignatureError::Expired {
                signed: basic(signed),
                bound: basic(bound),
                now: basic(now),
            });
        }
        let bound = now + SKEW_MAX;
        if signed > bound {
            return Err(SignatureError::NotYetCurrent {
                signed: basic(signed),
                bound: basic(bound),
                now: basic(now),
            });
        }
        Ok(())
    }

    /// The host and every `x-amz-` header are signed: else somebody between
    /// could change them.
    fn check_headers(&self, headers: &HeaderMap) -> Result<(), SignatureError> {
        let named = headers
            .keys()
            .map(http::HeaderName::as_str)
            .filter(|name| name.starts_with("x-amz-"));
        match std::iter::once("host")
            .chain(named)
            .find(|name| !self.signed_headers.iter().any(|signed| signed == name))
        {
            None => Ok(()),
            Some(name) => Err(SignatureError::Incomplete(format!(
                "'{name}' must be a 'SignedHeader' in the AWS Authorization."
            ))),
        }
    }
}

/// Checks that `presented` is what `secret` makes of the request, whose body
/// has the hash `payload_hash`. Its headers and time are
/// [checked](Presented::check) apart. The comparison takes the same time
/// wherever the signatures differ.
///
/// # Errors
/// [`SignatureError::Mismatch`].
pub fn verify(presented: &Presented, parts: &Parts, payload_hash: &str, secret: &str) -> Result<(), SignatureError> {
    let canonical = Request {
        method: parts.method.as_str(),
        uri: &parts.uri,
        headers: &parts.headers,
        signed_headers: &presented.signed_headers,
        payload_hash,
        path_encoding: PathEncoding::of(&presented.scope.service),
    };
    let expected = signature(secret, &presented.scope, &presented.time, &canonical.text());
    // Comparing hashes of both sides hides where they differ, without a crate for it.
    if Sha256::digest(hex::encode(expected)) == Sha256::digest(&presented.signature) {
        Ok(())
    } else {
        Err(SignatureError::Mismatch)
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method};

    use super::*;
    use crate::sigv4::{Signer, payload_hash};

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn signer() -> Signer {
        Signer {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: None,
            region: "us-east-1".to_owned(),
        }
    }

    fn signed(path: &str, body: &[u8]) -> Parts {
        let uri: Uri = path.parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("127.0.0.1:4566"));
        headers.insert("x-amz-target", HeaderValue::from_static("A.B"));
        let added = signer().sign("states", "POST", &uri, &headers, body, NOW);
        let mut parts = http::Request::new(()).into_parts().0;
        (parts.method, parts.uri, parts.headers) = (Method::POST, uri, headers);
        for (name, value) in added {
            parts.headers.insert(name, HeaderValue::from_str(&value).unwrap());
        }
        parts
    }

    fn check(parts: &Parts, body: &[u8], secret: &str, now: Timestamp) -> Result<(), SignatureError> {
        let presented = Presented::find(parts)?;
        presented.check(&parts.headers, now)?;
        verify(&presented, parts, &payload_hash(body), secret)
    }

    /// The example of AWS's documentation, "Create a signed AWS API request".
    #[test]
    fn the_signature_is_that_of_the_documentation() {
        let scope: Scope = "AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request".parse().unwrap();
        let canonical = "GET\n/\nAction=ListUsers&Version=2010-05-08\ncontent-type:application/x-www-form-urlencoded; charset=utf-8\nhost:iam.amazonaws.com\nx-amz-date:20150830T123600Z\n\ncontent-type;host;x-amz-date\ne3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(
            hex::encode(signature(
                "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                &scope,
                "20150830T123600Z",
                canonical
            )),
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }

    #[test]
    fn what_was_signed_verifies_and_nothing_else_does() {
        let secret = signer().secret_access_key;
        let parts = signed("/a%20b/?y=1&x=%2F", b"{}");
        assert_eq!(check(&parts, b"{}", &secret, NOW), Ok(()));
        assert_eq!(check(&parts, b"{ }", &secret, NOW), Err(SignatureError::Mismatch));
        assert_eq!(check(&parts, b"{}", "another", NOW), Err(SignatureError::Mismatch));
        let mut other = parts.clone();
        other.headers.insert("x-amz-target", HeaderValue::from_static("A.C"));
        assert_eq!(check(&other, b"{}", &secret, NOW), Err(SignatureError::Mismatch));
        let mut other = parts.clone();
        other.uri = "/a%20b/?y=2&x=%2F".parse().unwrap();
        assert_eq!(check(&other, b"{}", &secret, NOW), Err(SignatureError::Mismatch));
    }

    #[test]
    fn an_unsigned_amz_header_is_refused() {
        let mut parts = signed("/", b"");
        parts.headers.insert("x-amz-more", HeaderValue::from_static("1"));
        let error = check(&parts, b"", &signer().secret_access_key, NOW).unwrap_err();
        assert_eq!(
            error.to_string(),
            "'x-amz-more' must be a 'SignedHeader' in the AWS Authorization."
        );
    }

    #[test]
    fn a_clock_may_be_five_minutes_off() {
        let parts = signed("/", b"");
        let at = |seconds: i64| {
            check(
                &parts,
                b"",
                &signer().secret_access_key,
                Timestamp::from_millis(NOW.as_millis() + seconds * 1000),
            )
        };
        assert_eq!((at(300), at(-300)), (Ok(()), Ok(())));
        assert!(matches!(at(301), Err(SignatureError::Expired { .. })));
        assert!(matches!(at(-301), Err(SignatureError::NotYetCurrent { .. })));
        insta::assert_snapshot!(at(600).unwrap_err(), @"Signature expired: 20270115T080000Z is now earlier than 20270115T080500Z (20270115T081000Z - 5 min.)");
    }

    #[test]
    fn an_incomplete_signature_says_what_it_lacks() {
        let find = |authorization: &'static str| {
            let mut parts = http::Request::new(()).into_parts().0;
            parts
                .headers
                .insert("authorization", HeaderValue::from_static(authorization));
            parts
                .headers
                .insert("x-amz-date", HeaderValue::from_static("20270115T080000Z"));
            Presented::find(&parts).err().unwrap().to_string()
        };
        assert!(find("Basic x").contains("algorithm"));
        assert!(find("AWS4-HMAC-SHA256 SignedHeaders=host, Signature=1").contains("'Credential'"));
        assert!(find("AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, Signature=1").contains("'SignedHeaders'"));
        assert!(find("AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=1").contains("5 slash"));
        assert_eq!(
            Presented::find(&http::Request::new(()).into_parts().0).err(),
            Some(SignatureError::Missing)
        );
    }

    #[test]
    fn a_time_that_is_none_is_refused() {
        let at = |time: &str| {
            let mut parts = signed("/", b"");
            parts.uri = format!(
                "/?X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential=k%2F20261231%2Fr%2Fstates%2Faws4_request\
                 &X-Amz-SignedHeaders=host&X-Amz-Expires=60&X-Amz-Signature=0&X-Amz-Date={time}"
            )
            .parse()
            .unwrap();
            parts.headers = HeaderMap::new();
            Presented::find(&parts).unwrap().check(&parts.headers, NOW).unwrap_err()
        };
        for time in [
            "202612%E3%80%801T101010Z",
            "",
            "2026",
            "20261231T",
            "2026-12-31T10:10:10Z",
            "20261399T101010Z",
            "%FF",
        ] {
            assert!(matches!(at(time), SignatureError::Incomplete(_)), "{time}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_time_panics(time in ".{0,20}") {
            let mut parts = signed("/", b"");
            if let Ok(value) = HeaderValue::from_str(&time) {
                parts.headers.insert("x-amz-date", value);
            }
            let _ = Presented::find(&parts).and_then(|presented| presented.check(&parts.headers, NOW));
        }
    }
}
