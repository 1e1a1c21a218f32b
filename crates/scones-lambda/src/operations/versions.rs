//! Published versions.

use scones_api::{ApiError, Constraints, RequestContext, Timestamp};
use serde::{Deserialize, Serialize};

use super::{check_revision, new_revision, page};
use crate::{
    Lambda,
    configuration::{FunctionConfiguration, invalid},
    function::{Function, Version},
    limits::DESCRIPTION_LENGTH_MAX,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PublishVersion {
    function_name: String,
    #[serde(default)]
    code_sha256: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    revision_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListVersions {
    function_name: String,
    #[serde(default)]
    marker: Option<String>,
    #[serde(default)]
    max_items: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Versions {
    versions: Vec<FunctionConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

impl Function {
    /// Makes a version of `$LATEST`, or gives the newest one if nothing has
    /// changed since.
    pub(super) fn publish(&mut self, description: Option<String>, now: Timestamp, revision: String) -> Version {
        if let Some(newest) = self.versions.last().filter(|newest| same(newest, &self.latest)) {
            return newest.clone();
        }
        let version = Version {
            version: self.next_version.to_string(),
            description: description.unwrap_or_else(|| self.latest.description.clone()),
            modified: now,
            revision,
            ..self.latest.clone()
        };
        self.next_version += 1;
        self.versions.push(version.clone());
        version
    }
}

/// Whether a version runs what `$LATEST` runs. A version's description is its
/// own.
fn same(version: &Version, latest: &Version) -> bool {
    let as_latest = Version {
        version: latest.version.clone(),
        description: latest.description.clone(),
        modified: latest.modified,
        revision: latest.revision.clone(),
        ..version.clone()
    };
    as_latest == *latest
}

impl Lambda {
    pub(super) async fn publish_version(
        &self,
        input: PublishVersion,
        _: &RequestContext,
    ) -> Result<FunctionConfiguration, ApiError> {
        let name = self.unqualified(&input.function_name)?;
        if let Some(description) = &input.description {
            Constraints::new()
                .length("description", description, 0, DESCRIPTION_LENGTH_MAX)
                .check()?;
        }
        let (now, revision) = (self.clock.now(), new_revision());
        let mut published = None;
        let function = self
            .change(&name, |function| {
                check_revision(input.revision_id.as_deref(), &function.latest.revision)?;
                let current = &function.latest.code.sha256;
                if let Some(given) = input.code_sha256.as_ref().filter(|given| *given != current) {
                    return Err(invalid(format!(
                        "CodeSHA256 ({given}) is different from current CodeSHA256 in $LATEST ({current}). Please try \
                         again with the CodeSHA256 in $LATEST."
                    )));
                }
                published = Some(function.publish(input.description.clone(), now, revision.clone()));
                Ok(())
            })
            .await?;
        Ok(self.shown(published.as_ref().unwrap_or(&function.latest)))
    }

    pub(super) async fn list_versions_by_function(
        &self,
        input: ListVersions,
        _: &RequestContext,
    ) -> Result<Versions, ApiError> {
        let name = self.unqualified(&input.function_name)?;
        let function = self.function(&name, None).await?;
        let versions = std::iter::once(function.latest).chain(function.versions);
        let key = |version: &Version| format!("{:020}", version.version.parse::<u64>().unwrap_or(0));
        let scope = format!("ListVersionsByFunction {name}");
        let (found, next_marker) = page(&scope, versions, key, input.marker.as_deref(), input.max_items)?;
        let show = |version: &Version| FunctionConfiguration::new(version, Some(&version.version), &self.owner);
        Ok(Versions {
            versions: found.iter().map(show).collect(),
            next_marker,
        })
    }
}
