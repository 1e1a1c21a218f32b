//! A function as the store keeps it: one record holds the function, its
//! versions, aliases, policies and tags, so that every change is one write.

use std::collections::BTreeMap;

use scones_api::{ApiError, Owner, Timestamp};
use scones_store::BlobId;
use serde::{Deserialize, Serialize};

use crate::name::{LATEST, function_arn, function_not_found, is_version_number};

/// A function with everything that belongs to it. It has no `Debug`, because
/// environment variables hold secrets.
#[derive(Clone, Serialize, Deserialize)]
pub struct Function {
    /// Tells this function from others that had its name before it was
    /// created, and will have after it is deleted.
    pub id: String,
    /// `$LATEST`.
    pub latest: Version,
    /// Published versions, oldest first.
    pub versions: Vec<Version>,
    /// The number of the next published version; numbers are never used again.
    pub next_version: u64,
    /// Aliases by name.
    pub aliases: BTreeMap<String, Alias>,
    /// Resource-based policies: of the function (empty key) and of qualifiers.
    pub policies: BTreeMap<String, Policy>,
    /// Concurrency set aside for this function.
    pub reserved_concurrency: Option<u32>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// What runs: code and configuration at one time. No `Debug`, as [`Function`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The function's name.
    pub name: String,
    /// `$LATEST` or a number.
    pub version: String,
    /// The runtime's name, as given.
    pub runtime: String,
    /// The handler, as given.
    pub handler: String,
    /// The execution role's ARN.
    pub role: String,
    /// A description, possibly empty.
    pub description: String,
    /// Time-out in seconds.
    pub timeout_seconds: u32,
    /// Memory in MB.
    pub memory_mb: u32,
    /// The size of `/tmp` in MB.
    pub storage_mb: u32,
    /// `x86_64` or `arm64`, as given.
    pub architecture: String,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// `PassThrough` or `Active`.
    pub tracing_mode: String,
    /// The log group, when it is not the function's own.
    pub log_group: Option<String>,
    /// The code.
    pub code: Code,
    /// When code or configuration changed.
    pub modified: Timestamp,
    /// Changes with every change.
    pub revision: String,
}

impl Version {
    /// The group that this function logs to.
    pub fn log_group(&self) -> String {
        match &self.log_group {
            Some(group) => group.clone(),
            None => format!("/aws/lambda/{}", self.name),
        }
    }
}

/// A deployment package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// Where the store keeps it. The function's record is its owner.
    pub blob: BlobId,
    /// Its SHA-256, as base64.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A name for a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alias {
    /// The version that it stands for.
    pub version: String,
    /// A description, possibly empty.
    pub description: String,
    /// Other versions with the share of invocations that each gets.
    pub weights: BTreeMap<String, f64>,
    /// Changes with every change.
    pub revision: String,
}

/// A resource-based policy.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Policy {
    /// Statements, in the order in which they were added.
    pub statements: Vec<serde_json::Value>,
    /// Changes with every change.
    pub revision: String,
}

impl Function {
    /// The version that `qualifier` stands for; `share` in `0.0..1.0` picks one
    /// of an alias with weights.
    ///
    /// # Errors
    /// AWS's `ResourceNotFoundException`.
    pub fn version(&self, qualifier: Option<&str>, share: f64, owner: &Owner) -> Result<&Version, ApiError> {
        let found = match qualifier {
            None | Some(LATEST) => Some(&self.latest),
            Some(number) if is_version_number(number) => self.published(number),
            Some(alias) => self.aliases.get(alias).and_then(|alias| match pick(alias, share) {
                LATEST => Some(&self.latest),
                number => self.published(number),
            }),
        };
        found.ok_or_else(|| function_not_found(owner, &self.latest.name, qualifier))
    }

    /// The published version `number`.
    pub fn published(&self, number: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.version == number)
    }

    /// Whether any version runs `code`.
    pub fn uses(&self, code: &Code) -> bool {
        self.codes().any(|own| own.blob == code.blob)
    }

    /// The code of every version.
    pub fn codes(&self) -> impl Iterator<Item = &Code> {
        std::iter::once(&self.latest)
            .chain(&self.versions)
            .map(|version| &version.code)
    }

    /// The queue of this function's events.
    pub fn queue(&self) -> String {
        format!("lambda.events.{}.{}", self.latest.name, self.id)
    }

    /// The ARN of the function, or of `qualifier`.
    pub fn arn(&self, owner: &Owner, qualifier: Option<&str>) -> String {
        function_arn(owner, &self.latest.name, qualifier)
    }
}

/// The version of an alias that an invocation at `share` goes to.
fn pick(alias: &Alias, share: f64) -> &str {
    let mut reached = 0.0;
    for (version, weight) in &alias.weights {
        reached += weight;
        if share < reached {
            return version;
        }
    }
    &alias.version
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_without_an_id_is_no_function() {
        let read = serde_json::from_str::<Function>("{}").map(|function| function.id);
        assert!(read.unwrap_err().to_string().starts_with("missing field `id`"));
    }

    #[test]
    fn weights_share_out_an_alias() {
        let alias = Alias {
            version: "2".to_owned(),
            description: String::new(),
            weights: [("1".to_owned(), 0.25)].into(),
            revision: String::new(),
        };
        assert_eq!(
            [0.0, 0.2, 0.25, 0.9].map(|share| pick(&alias, share)),
            ["1", "1", "2", "2"]
        );
    }
}
