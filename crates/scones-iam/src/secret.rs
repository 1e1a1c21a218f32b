//! Access keys and their secrets.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Options, random};

/// A secret that `Debug` does not show.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretKey(String);

impl SecretKey {
    /// The secret itself, for signing and for its owner.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `other` is this secret, in a time that does not tell where they
    /// differ.
    pub fn is(&self, other: &str) -> bool {
        let (own, other) = (self.0.as_bytes(), other.as_bytes());
        let difference = own.iter().zip(other).fold(0, |difference, (a, b)| difference | (a ^ b));
        own.len() == other.len() && std::hint::black_box(difference) == 0
    }
}

impl From<String> for SecretKey {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretKey(..)")
    }
}

/// An access key: what a client needs to sign requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// Names the key; not a secret.
    pub access_key_id: String,
    /// Signs requests.
    pub secret_access_key: SecretKey,
}

impl Credentials {
    /// A new key in AWS's form. `prefix` is `AKIA` for a lasting key and
    /// `ASIA` for a temporary one.
    pub(crate) fn random(prefix: &str) -> Result<Self, Error> {
        Ok(Self {
            access_key_id: random::id::<16>(prefix)?,
            secret_access_key: SecretKey(random::secret::<40>()?),
        })
    }
}

/// The key that the settings fix, if they do.
pub(crate) fn fixed(options: Options) -> Result<Option<Credentials>, Error> {
    let (access_key_id, secret_access_key) = match (options.access_key_id, options.secret_access_key) {
        (None, None) => return Ok(None),
        (Some(id), Some(secret)) => (id, secret),
        _ => {
            return Err(Error::Options(
                "access_key_id and secret_access_key must be set together",
            ));
        }
    };
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !(16..=128).contains(&access_key_id.len()) || !access_key_id.bytes().all(word) {
        return Err(Error::Options(
            "access_key_id must be 16 to 128 letters, digits and underscores",
        ));
    }
    let secret = secret_access_key.expose();
    if secret.len() < 8 || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::Options(
            "secret_access_key must be at least 8 printable ASCII characters without spaces",
        ));
    }
    Ok(Some(Credentials {
        access_key_id,
        secret_access_key,
    }))
}
