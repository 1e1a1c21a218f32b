//! The scope that a signing key is good for.

use std::{fmt, str::FromStr};

/// `ACCESS_KEY_ID/20261231/us-east-1/states/aws4_request`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Whose key signed.
    pub access_key_id: String,
    /// The day, `YYYYMMDD`.
    pub date: String,
    /// The region that the client believes in.
    pub region: String,
    /// The service's signing name.
    pub service: String,
}

impl Scope {
    /// The scope without the key id, as the string to sign has it.
    pub fn without_key(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.date, self.region, self.service)
    }
}

impl FromStr for Scope {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts[..] {
            [access_key_id, date, region, service, "aws4_request"] if parts.iter().all(|part| !part.is_empty()) => {
                Ok(Self {
                    access_key_id: access_key_id.to_owned(),
                    date: date.to_owned(),
                    region: region.to_owned(),
                    service: service.to_owned(),
                })
            }
            _ => Err(()),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.access_key_id, self.without_key())
    }
}
