//! Accounts, regions and callers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value that is not an account number or a region name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not exactly twelve digits.
    #[error("`{0}` is not an AWS account number: twelve digits are expected, for example 000000000000")]
    Account(String),
    /// Not lower-case letters, digits and hyphens.
    #[error("`{0}` is not a region name: one like us-east-1 is expected")]
    Region(String),
}

/// An AWS account number: twelve digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Account(String);

impl Account {
    /// The account number as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The account that a fresh installation owns everything under.
impl Default for Account {
    fn default() -> Self {
        Self("000000000000".to_owned())
    }
}

impl TryFrom<String> for Account {
    type Error = IdentityError;

    fn try_from(text: String) -> Result<Self, IdentityError> {
        if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(text))
        } else {
            Err(IdentityError::Account(text))
        }
    }
}

impl From<Account> for String {
    fn from(account: Account) -> Self {
        account.0
    }
}

impl fmt::Display for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A region name such as `us-east-1`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region(String);

impl Region {
    /// The region's name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Region {
    fn default() -> Self {
        Self("us-east-1".to_owned())
    }
}

impl TryFrom<String> for Region {
    type Error = IdentityError;

    fn try_from(text: String) -> Result<Self, IdentityError> {
        let valid = (2..=32).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if valid {
            Ok(Self(text))
        } else {
            Err(IdentityError::Region(text))
        }
    }
}

impl From<Region> for String {
    fn from(region: Region) -> Self {
        region.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The account and region that a server's resources belong to. One server has
/// one owner; requests signed for another region still reach these resources,
/// as they would reach a local emulator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The account part of every ARN.
    pub account: Account,
    /// The region part of every ARN.
    pub region: Region,
}

/// Who signed a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The access key id of the signature.
    pub access_key_id: String,
    /// The user's ARN.
    pub arn: crate::Arn,
}
