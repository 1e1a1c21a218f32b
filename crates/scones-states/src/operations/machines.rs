//! State machines: create, describe, update, delete, list.

use std::collections::{BTreeMap, BTreeSet};

use scones_api::{ApiError, Constraints, PageToken, RequestContext, Timestamp};
use scones_asl::Machine;
use scones_store::{Error as StoreError, ListQuery};
use serde::{Deserialize, Serialize};

use super::{
    encryption::Encryption,
    included_data::{self, NO_DEFINITION},
    tags::{self, Tag},
};
use crate::{
    States,
    catalog::{Logging, MachineType, Revision, StateMachine, Tracing},
    fault, limits,
    names::{self, MachineName, Qualifier},
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateStateMachine {
    name: String,
    definition: String,
    role_arn: String,
    #[serde(rename = "type")]
    machine_type: Option<String>,
    logging_configuration: Option<Logging>,
    tracing_configuration: Option<Tracing>,
    encryption_configuration: Option<Encryption>,
    tags: Option<Vec<Tag>>,
    #[serde(default)]
    publish: bool,
    version_description: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreatedStateMachine {
    state_machine_arn: String,
    creation_date: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_machine_version_arn: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateStateMachine {
    state_machine_arn: String,
    definition: Option<String>,
    role_arn: Option<String>,
    logging_configuration: Option<Logging>,
    tracing_configuration: Option<Tracing>,
    encryption_configuration: Option<Encryption>,
    #[serde(default)]
    publish: bool,
    version_description: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdatedStateMachine {
    update_date: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_machine_version_arn: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeStateMachine {
    state_machine_arn: String,
    included_data: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribedStateMachine {
    state_machine_arn: String,
    name: String,
    status: &'static str,
    definition: String,
    role_arn: String,
    #[serde(rename = "type")]
    machine_type: MachineType,
    creation_date: Timestamp,
    logging_configuration: Logging,
    tracing_configuration: Tracing,
    encryption_configuration: Encryption,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    variable_references: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListStateMachines {
    pub(crate) max_results: Option<i64>,
    pub(crate) next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StateMachineList {
    state_machines: Vec<ListedStateMachine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedStateMachine {
    state_machine_arn: String,
    name: String,
    #[serde(rename = "type")]
    machine_type: MachineType,
    creation_date: Timestamp,
}

/// An output without members.
#[derive(Debug, Serialize)]
pub(crate) struct Nothing {}

/// The state machine that an ARN leads to, with what of it is to be run.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) machine: StateMachine,
    pub(crate) revision: Revision,
    pub(crate) version: Option<u64>,
    pub(crate) alias: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) created: Timestamp,
}

impl States {
    pub(crate) async fn create_state_machine(
        &self,
        input: CreateStateMachine,
        _: &RequestContext,
    ) -> Result<CreatedStateMachine, ApiError> {
        names::check("name", &input.name)?;
        names::check_role(&input.role_arn)?;
        check_version_description(input.publish, input.version_description.as_deref())?;
        let machine_type = machine_type(input.machine_type.as_deref())?;
        Encryption::check(input.encryption_configuration.as_ref())?;
        let logging = self
            .checked_logging(input.logging_configuration.unwrap_or_default())
            .await?;
        let state_machine_arn = names::machine_arn(&self.owner, &input.name);
        let tags = tags::merged(BTreeMap::new(), input.tags.unwrap_or_default(), &state_machine_arn)?;
        let parsed = checked_definition(&input.definition, machine_type)?;
        let definition = self.catalog.keep_definition(&input.definition, parsed).await?;
        let now = self.clock.now();
        let machine = StateMachine {
            name: input.name.clone(),
            machine_type,
            created: now,
            revision: Revision {
                id: None,
                definition: definition.id.clone(),
                role_arn: input.role_arn,
                logging,
                tracing: input.tracing_configuration.unwrap_or_default(),
                date: now,
            },
            last_version: 0,
            tags,
        };
        let machine = match self.catalog.machines.create(&input.name, &machine).await {
            Ok(_) => machine,
            Err(StoreError::Conflict { .. }) => self.existing(&machine).await?,
            Err(error) => return Err(error.into()),
        };
        let version = match input.publish {
            true => Some(self.publish(&input.name, None, input.version_description).await?),
            false => None,
        };
        Ok(CreatedStateMachine {
            state_machine_version_arn: version.map(|it| names::qualified_arn(&self.owner, &input.name, it.number)),
            state_machine_arn,
            creation_date: machine.created,
        })
    }

    /// The state machine that is there already, if `wanted` is the same: AWS
    /// compares everything but the role and the tags.
    async fn existing(&self, wanted: &StateMachine) -> Result<StateMachine, ApiError> {
        let there = self.machine(&wanted.name, None).await?;
        let same = there.machine_type == wanted.machine_type
            && there.revision.definition == wanted.revision.definition
            && there.revision.logging == wanted.revision.logging
            && there.revision.tracing == wanted.revision.tracing;
        match same {
            true => Ok(there),
            false => Err(fault::state_machine_exists(names::machine_arn(
                &self.owner,
                &wanted.name,
            ))),
        }
    }

    pub(crate) async fn describe_state_machine(
        &self,
        input: DescribeStateMachine,
        _: &RequestContext,
    ) -> Result<DescribedStateMachine, ApiError> {
        let all = included_data::all(input.included_data.as_deref())?;
        let name = names::parse_machine(&self.owner, "stateMachineArn", &input.state_machine_arn)?;
        if let Some(Qualifier::Alias(_)) = name.qualifier {
            return Err(fault::no_state_machine(&input.state_machine_arn));
        }
        let found = self.resolve(&name).await?;
        let definition = match all {
            true => self.catalog.definition(&found.revision.definition).await?.text.clone(),
            false => NO_DEFINITION.to_owned(),
        };
        Ok(DescribedStateMachine {
            state_machine_arn: names::arn(&self.owner, &name),
            name: found.machine.name,
            status: "ACTIVE",
            variable_references: scones_asl::variable_references(&definition),
            definition,
            role_arn: found.revision.role_arn,
            machine_type: found.machine.machine_type,
            creation_date: found.created,
            logging_configuration: found.revision.logging,
            tracing_configuration: found.revision.tracing,
            encryption_configuration: Encryption::owned(),
            revision_id: found.revision.id,
            description: found.description,
        })
    }

    pub(crate) async fn update_state_machine(
        &self,
        input: UpdateStateMachine,
        _: &RequestContext,
    ) -> Result<UpdatedStateMachine, ApiError> {
        let name = self.unqualified(&input.state_machine_arn)?;
        let machine_type = self.machine(&name, Some(&input.state_machine_arn)).await?.machine_type;
        check_version_description(input.publish, input.version_description.as_deref())?;
        Encryption::check(input.encryption_configuration.as_ref())?;
        let changes = [
            input.definition.is_some(),
            input.role_arn.is_some(),
            input.logging_configuration.is_some(),
            input.tracing_configuration.is_some(),
            input.encryption_configuration.is_some(),
        ];
        if !changes.contains(&true) {
            return Err(ApiError::bad_request(
                "MissingRequiredParameter",
                "Either the definition, the role ARN, the LoggingConfiguration, \
                 or the TracingConfiguration must be specified",
            ));
        }
        input.role_arn.as_deref().map_or(Ok(()), names::check_role)?;
        let logging = match input.logging_configuration {
            None => None,
            Some(logging) => Some(self.checked_logging(logging).await?),
        };
        let definition = match &input.definition {
            None => None,
            Some(text) => {
                let parsed = checked_definition(text, machine_type)?;
                Some(self.catalog.keep_definition(text, parsed).await?.id.clone())
            }
        };
        let (now, id) = (self.clock.now(), self.ids.id().to_string());
        let change = |machine: &mut StateMachine| {
            let mut revision = machine.revision.clone();
            revision.definition = definition.clone().unwrap_or(revision.definition);
            revision.role_arn = input.role_arn.clone().unwrap_or(revision.role_arn);
            revision.logging = logging.clone().unwrap_or(revision.logging);
            revision.tracing = input.tracing_configuration.clone().unwrap_or(revision.tracing);
            if revision != machine.revision {
                machine.revision = Revision {
                    id: Some(id.clone()),
                    date: now,
                    ..revision
                };
            }
            Ok::<(), ApiError>(())
        };
        let updated = self.catalog.machines.update(&name, change).await?;
        let revision = updated
            .ok_or_else(|| fault::no_state_machine(&input.state_machine_arn))?
            .revision;
        let version = match input.publish {
            true => Some(
                self.publish(&name, revision.id.as_deref(), input.version_description)
                    .await?,
            ),
            false => None,
        };
        Ok(UpdatedStateMachine {
            update_date: now,
            revision_id: revision.id,
            state_machine_version_arn: version.map(|it| names::qualified_arn(&self.owner, &name, it.number)),
        })
    }

    /// Deletes at once; executions that run go on to their end, as they hold
    /// on to their definition.
    pub(crate) async fn delete_state_machine(
        &self,
        input: DescribeStateMachine,
        _: &RequestContext,
    ) -> Result<Nothing, ApiError> {
        let name = names::parse_machine(&self.owner, "stateMachineArn", &input.state_machine_arn)?;
        if name.qualifier.is_some() {
            return Err(ApiError::validation(format!(
                "'{}' is a version or an alias; use DeleteStateMachineVersion or DeleteStateMachineAlias",
                input.state_machine_arn
            )));
        }
        self.catalog.machines.delete(&name.machine).await?;
        let prefix = format!("{}/", name.machine);
        for (key, _) in self.catalog.aliases.all(&prefix).await? {
            self.catalog.aliases.delete(&key).await?;
        }
        for (key, _) in self.catalog.versions.all(&prefix).await? {
            self.catalog.versions.delete(&key).await?;
        }
        Ok(Nothing {})
    }

    pub(crate) async fn list_state_machines(
        &self,
        input: ListStateMachines,
        _: &RequestContext,
    ) -> Result<StateMachineList, ApiError> {
        const SCOPE: &str = "ListStateMachines";
        let limit = limits::page_size(input.max_results)?;
        let after = next_position(SCOPE, input.next_token.as_deref())?;
        let query = ListQuery {
            after,
            limit: limit + 1,
            ..ListQuery::default()
        };
        let mut page = self.catalog.machines.list(query).await?;
        let next_token = next_token(SCOPE, &mut page, limit)?;
        let listed = |(_, machine): (String, StateMachine)| ListedStateMachine {
            state_machine_arn: names::machine_arn(&self.owner, &machine.name),
            name: machine.name,
            machine_type: machine.machine_type,
            creation_date: machine.created,
        };
        Ok(StateMachineList {
            state_machines: page.into_iter().map(listed).collect(),
            next_token,
        })
    }

    /// A logging configuration whose log group is there.
    async fn checked_logging(&self, logging: Logging) -> Result<Logging, ApiError> {
        check_logging(&logging)?;
        if logging.destinations.as_deref().unwrap_or_default().is_empty() {
            return Ok(logging);
        }
        let found = match logging.group() {
            Some(group) => self.engine.shared.logs.has(group).await?,
            None => false,
        };
        match found {
            true => Ok(logging),
            false => Err(fault::invalid_logging("Log Destination not found.")),
        }
    }

    /// The state machine called `name`; `arn` is how the client called it.
    pub(crate) async fn machine(&self, name: &str, arn: Option<&str>) -> Result<StateMachine, ApiError> {
        let found = self.catalog.machines.get(name).await?;
        let missing = || match arn {
            Some(arn) => fault::no_state_machine(arn),
            None => fault::no_state_machine(names::machine_arn(&self.owner, name)),
        };
        Ok(found.ok_or_else(missing)?.value)
    }

    /// The name in an ARN that may not be a version's or an alias's.
    pub(crate) fn unqualified(&self, arn: &str) -> Result<String, ApiError> {
        let name = names::parse_machine(&self.owner, "stateMachineArn", arn)?;
        match name.qualifier {
            None => Ok(name.machine),
            Some(_) => Err(fault::no_state_machine(arn)),
        }
    }

    /// The revision that a state machine's, a version's or an alias's ARN
    /// leads to. An alias with two versions picks one by their weights.
    pub(crate) async fn resolve(&self, name: &MachineName) -> Result<Resolved, ApiError> {
        let arn = names::arn(&self.owner, name);
        let machine = self.machine(&name.machine, Some(&arn)).await?;
        let (version, alias) = match &name.qualifier {
            None => (None, None),
            Some(Qualifier::Version(number)) => (Some(*number), None),
            Some(Qualifier::Alias(alias)) => {
                let routes = self
                    .alias(&name.machine, alias)
                    .await?
                    .ok_or_else(|| fault::no_state_machine(&arn))?;
                (Some(routes.value.pick(self.ids.percent())), Some(alias.clone()))
            }
        };
        let (created, description, revision) = match version {
            None => (machine.created, None, machine.revision.clone()),
            Some(number) => {
                let version = self.version(&name.machine, number).await?;
                let version = version.ok_or_else(|| fault::no_state_machine(&arn))?;
                (version.created, version.description, version.revision)
            }
        };
        Ok(Resolved {
            machine,
            revision,
            version,
            alias,
            description,
            created,
        })
    }
}

/// Reads a definition for a state machine of the given type.
fn checked_definition(text: &str, machine_type: MachineType) -> Result<Machine, ApiError> {
    limits::definition_length(text)?;
    let problems = match Machine::parse(text) {
        Ok(machine) if machine_type == MachineType::Standard => return Ok(machine),
        Ok(machine) => match machine.express_problems() {
            none if none.is_empty() => return Ok(machine),
            problems => problems,
        },
        Err(problems) => problems,
    };
    Err(fault::refused_definition(text, &problems))
}

pub(crate) fn machine_type(text: Option<&str>) -> Result<MachineType, ApiError> {
    let text = text.unwrap_or("STANDARD");
    Constraints::new()
        .one_of("type", text, &["STANDARD", "EXPRESS"])
        .check()?;
    Ok(if text == "EXPRESS" {
        MachineType::Express
    } else {
        MachineType::Standard
    })
}

fn check_logging(logging: &Logging) -> Result<(), ApiError> {
    Constraints::new()
        .one_of(
            "loggingConfiguration.level",
            &logging.level,
            &["ALL", "ERROR", "FATAL", "OFF"],
        )
        .check()?;
    let destinations = logging.destinations.as_deref().unwrap_or_default().len();
    if destinations > 1 || (destinations == 0 && logging.level != "OFF") {
        return Err(fault::invalid_logging("Must specify exactly one Log Destination."));
    }
    if logging.group_arn().is_some_and(|arn| !arn.ends_with(":*")) {
        return Err(fault::invalid_logging(
            "Log Group ARN must be provided with '*' qualifier.",
        ));
    }
    Ok(())
}

fn check_version_description(publish: bool, description: Option<&str>) -> Result<(), ApiError> {
    let Some(description) = description else { return Ok(()) };
    if !publish {
        return Err(ApiError::validation(
            "Version description can only be set when publish is true",
        ));
    }
    Constraints::new()
        .length("versionDescription", description, 0, limits::DESCRIPTION_CHARS_MAX)
        .check()
}

/// The key that a page token continues after.
pub(crate) fn next_position(scope: &str, token: Option<&str>) -> Result<Option<String>, ApiError> {
    token
        .map(|token| PageToken::decode(scope, token).ok_or_else(fault::invalid_token))
        .transpose()
}

/// Cuts a page that was read one entry too far, and makes the token for the rest.
pub(crate) fn next_token<T>(
    scope: &str,
    page: &mut Vec<(String, T)>,
    limit: usize,
) -> Result<Option<String>, ApiError> {
    if page.len() <= limit {
        return Ok(None);
    }
    page.truncate(limit);
    page.last().map(|(key, _)| PageToken::encode(scope, key)).transpose()
}
