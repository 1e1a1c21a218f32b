//! Amazon Resource Names.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Owner;

/// A text that is not an ARN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an ARN: arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE is expected")]
pub struct ArnError(pub String);

/// An Amazon Resource Name, `arn:partition:service:region:account:resource`
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>).
/// The resource may itself hold colons and slashes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Arn {
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub partition: String,
    /// The service's name in ARNs, for example `states`.
    pub service: String,
    /// Empty for global services.
    pub region: String,
    /// Empty for S3 and for AWS's own resources.
    pub account: String,
    /// Everything after the fifth colon.
    pub resource: String,
}

impl Arn {
    /// The ARN of `resource`, owned by `owner`, in the partition `aws`.
    pub fn new(service: &str, owner: &Owner, resource: impl Into<String>) -> Self {
        Self {
            partition: "aws".to_owned(),
            service: service.to_owned(),
            region: owner.region.to_string(),
            account: owner.account.to_string(),
            resource: resource.into(),
        }
    }

    /// The ARN of a resource of a service that has no regions, such as IAM.
    pub fn global(service: &str, owner: &Owner, resource: impl Into<String>) -> Self {
        Self {
            region: String::new(),
            ..Self::new(service, owner, resource)
        }
    }

    /// What follows `kind` and its separator (`:` or `/`) in the resource, so
    /// `strip("role")` of `role/service/Name` is `service/Name`.
    pub fn strip(&self, kind: &str) -> Option<&str> {
        let rest = self.resource.strip_prefix(kind)?;
        rest.strip_prefix(':').or_else(|| rest.strip_prefix('/'))
    }
}

impl FromStr for Arn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let mut parts = text.splitn(6, ':');
        let mut next = || parts.next().ok_or_else(|| ArnError(text.to_owned()));
        if next()? != "arn" {
            return Err(ArnError(text.to_owned()));
        }
        let arn = Self {
            partition: next()?.to_owned(),
            service: next()?.to_owned(),
            region: next()?.to_owned(),
            account: next()?.to_owned(),
            resource: next()?.to_owned(),
        };
        if arn.partition.is_empty() || arn.service.is_empty() || arn.resource.is_empty() {
            return Err(ArnError(text.to_owned()));
        }
        Ok(arn)
    }
}

impl TryFrom<String> for Arn {
    type Error = ArnError;

    fn try_from(text: String) -> Result<Self, ArnError> {
        text.parse()
    }
}

impl From<Arn> for String {
    fn from(arn: Arn) -> Self {
        arn.to_string()
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            partition,
            service,
            region,
            account,
            resource,
        } = self;
        write!(formatter, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_survives_parsing_and_printing() {
        for text in [
            "arn:aws:states:us-east-1:000000000000:execution:m:e",
            "arn:aws:s3:::bucket/key:with:colons",
            "arn:aws:iam::000000000000:role/path/Name",
        ] {
            assert_eq!(text.parse::<Arn>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_not_an_arn_is_refused() {
        for text in [
            "",
            "arn",
            "arn:aws:states:us-east-1:0",
            "urn:aws:s3:::x",
            "arn::s3:::x",
            "arn:aws:s3:::",
        ] {
            assert_eq!(text.parse::<Arn>(), Err(ArnError(text.to_owned())));
        }
    }

    #[test]
    fn the_kind_is_stripped_with_either_separator() {
        let role: Arn = "arn:aws:iam::0:role/service/Name".parse().unwrap();
        assert_eq!(role.strip("role"), Some("service/Name"));
        assert_eq!(role.strip("rol"), None);
        let function: Arn = "arn:aws:lambda:r:0:function:name:1".parse().unwrap();
        assert_eq!(function.strip("function"), Some("name:1"));
    }
}
