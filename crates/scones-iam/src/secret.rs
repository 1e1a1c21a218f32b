//! Access keys and their secrets.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, random};

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Names the key; not a secret.
    pub access_key_id: String,
    /// Signs requests.
    pub secret_access_key: SecretKey,
}

impl Credentials {
    /// A key that somebody chose.
    ///
    /// # Errors
    /// [`Error::Key`] unless the id is 16 to 128 letters, digits and
    /// underscores, and the secret at least 8 printable characters without
    /// spaces.
    pub fn new(access_key_id: String, secret_access_key: SecretKey) -> Result<Self, Error> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !(16..=128).contains(&access_key_id.len()) || !access_key_id.bytes().all(word) {
            return Err(Error::Key(
                "an access key id must be 16 to 128 letters, digits and underscores",
            ));
        }
        let secret = secret_access_key.expose();
        if secret.len() < 8 || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Key(
                "a secret access key must be at least 8 printable ASCII characters without spaces",
            ));
        }
        Ok(Self {
            access_key_id,
            secret_access_key,
        })
    }

    /// A new lasting key in AWS's form: an id of 20 characters, a secret of 40.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn generate() -> Result<Self, Error> {
        Self::random("AKIA")
    }

    /// A new key in AWS's form. `prefix` is `AKIA` for a lasting key and
    /// `ASIA` for a temporary one.
    pub(crate) fn random(prefix: &str) -> Result<Self, Error> {
        Ok(Self {
            access_key_id: random::id::<16>(prefix)?,
            secret_access_key: SecretKey(random::secret::<40>()?),
        })
    }
}
