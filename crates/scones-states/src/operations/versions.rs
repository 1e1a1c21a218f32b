//! Versions: numbered, unchangeable copies of a state machine's revision.

use scones_api::{ApiError, Constraints, RequestContext, Timestamp};
use scones_store::ListQuery;
use serde::{Deserialize, Serialize};

use super::machines::{Nothing, next_position, next_token};
use crate::{
    States,
    catalog::{StateMachine, Version, version_key},
    fault, limits,
    names::{self, Qualifier},
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PublishStateMachineVersion {
    state_machine_arn: String,
    revision_id: Option<String>,
    description: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PublishedVersion {
    creation_date: Timestamp,
    state_machine_version_arn: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListStateMachineVersions {
    state_machine_arn: String,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VersionList {
    state_machine_versions: Vec<PublishedVersion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeleteStateMachineVersion {
    state_machine_version_arn: String,
}

impl States {
    pub(crate) async fn publish_state_machine_version(
        &self,
        input: PublishStateMachineVersion,
        _: &RequestContext,
    ) -> Result<PublishedVersion, ApiError> {
        if let Some(description) = &input.description {
            Constraints::new()
                .length("description", description, 0, limits::DESCRIPTION_CHARS_MAX)
                .check()?;
        }
        let name = self.unqualified(&input.state_machine_arn)?;
        self.machine(&name, Some(&input.state_machine_arn)).await?;
        let version = self
            .publish(&name, input.revision_id.as_deref(), input.description)
            .await?;
        Ok(self.published(&name, &version))
    }

    pub(crate) async fn list_state_machine_versions(
        &self,
        input: ListStateMachineVersions,
        _: &RequestContext,
    ) -> Result<VersionList, ApiError> {
        let limit = limits::page_size(input.max_results)?;
        let name = self.unqualified(&input.state_machine_arn)?;
        let scope = format!("ListStateMachineVersions/{name}");
        let after = next_position(&scope, input.next_token.as_deref())?;
        let query = ListQuery {
            prefix: format!("{name}/"),
            after,
            limit: limit + 1,
            descending: true,
        };
        let mut page = self.catalog.versions.list(query).await?;
        let next_token = next_token(&scope, &mut page, limit)?;
        let state_machine_versions = page.iter().map(|(_, version)| self.published(&name, version)).collect();
        Ok(VersionList {
            state_machine_versions,
            next_token,
        })
    }

    pub(crate) async fn delete_state_machine_version(
        &self,
        input: DeleteStateMachineVersion,
        _: &RequestContext,
    ) -> Result<Nothing, ApiError> {
        let arn = &input.state_machine_version_arn;
        let name = names::parse_machine(&self.owner, "stateMachineVersionArn", arn)?;
        let Some(Qualifier::Version(number)) = name.qualifier else {
            return Err(ApiError::validation(format!(
                "'{arn}' is not the ARN of a state machine version"
            )));
        };
        let aliases = self.catalog.aliases.all(&format!("{}/", name.machine)).await?;
        let users: Vec<String> = aliases
            .into_iter()
            .filter(|(_, alias)| alias.leads_to(number))
            .map(|(_, alias)| alias.name)
            .collect();
        if !users.is_empty() {
            return Err(fault::conflict(format!(
                "Version to be deleted must not be referenced by an alias. \
                 Current list of aliases referencing this version: [{}]",
                users.join(", ")
            )));
        }
        self.catalog
            .versions
            .delete(&version_key(&name.machine, number))
            .await?;
        Ok(Nothing {})
    }

    fn published(&self, machine: &str, version: &Version) -> PublishedVersion {
        PublishedVersion {
            creation_date: version.created,
            state_machine_version_arn: names::qualified_arn(&self.owner, machine, version.number),
        }
    }

    pub(crate) async fn version(&self, machine: &str, number: u64) -> Result<Option<Version>, ApiError> {
        let found = self.catalog.versions.get(&version_key(machine, number)).await?;
        Ok(found.map(|version| version.value))
    }

    /// Publishes the current revision, which must be `revision` if one is
    /// named. Publishing a revision twice gives its version again.
    ///
    /// The number is taken in the state machine's record before the version is
    /// written, so that two publishers never share one.
    pub(crate) async fn publish(
        &self,
        machine: &str,
        revision: Option<&str>,
        description: Option<String>,
    ) -> Result<Version, ApiError> {
        let current = self.machine(machine, None).await?;
        check_revision(&current, revision)?;
        if let Some(last) = self.version(machine, current.last_version).await?
            && last.revision == current.revision
        {
            return Ok(last);
        }
        let prefix = format!("{machine}/");
        let query = ListQuery {
            prefix,
            limit: limits::VERSIONS_MAX,
            ..ListQuery::default()
        };
        if self.catalog.versions.list(query).await?.len() >= limits::VERSIONS_MAX {
            return Err(fault::quota(format!(
                "Number of versions for the state machine exceeds the limit of {}",
                limits::VERSIONS_MAX
            )));
        }
        let numbered = self
            .catalog
            .machines
            .update(machine, |there| {
                check_revision(there, revision)?;
                there.last_version += 1;
                Ok::<(), ApiError>(())
            })
            .await?
            .ok_or_else(|| fault::no_state_machine(names::machine_arn(&self.owner, machine)))?;
        let version = Version {
            number: numbered.last_version,
            description,
            created: self.clock.now(),
            revision: numbered.revision,
        };
        self.catalog
            .versions
            .put(&version_key(machine, version.number), &version)
            .await?;
        Ok(version)
    }
}

fn check_revision(machine: &StateMachine, wanted: Option<&str>) -> Result<(), ApiError> {
    let current = machine.revision.id.as_deref();
    match wanted {
        Some(wanted) if current != Some(wanted) => Err(fault::conflict(format!(
            "Failed to publish the State Machine version for revision {wanted}. \
             The current State Machine revision is {}.",
            current.unwrap_or("INITIAL")
        ))),
        _ => Ok(()),
    }
}
