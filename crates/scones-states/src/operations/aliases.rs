//! Aliases: names for one or two versions, with weights.

use scones_api::{ApiError, Constraints, RequestContext, Timestamp};
use scones_store::{Error as StoreError, ListQuery, Versioned};
use serde::{Deserialize, Serialize};

use super::machines::{Nothing, next_position, next_token};
use crate::{
    States,
    catalog::{Alias, alias_key},
    fault, limits,
    names::{self, MachineName, Qualifier},
};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Route {
    state_machine_version_arn: String,
    weight: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateStateMachineAlias {
    name: String,
    description: Option<String>,
    routing_configuration: Vec<Route>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListedAlias {
    state_machine_alias_arn: String,
    creation_date: Timestamp,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AliasReference {
    state_machine_alias_arn: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribedAlias {
    state_machine_alias_arn: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    routing_configuration: Vec<Route>,
    creation_date: Timestamp,
    update_date: Timestamp,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateStateMachineAlias {
    state_machine_alias_arn: String,
    description: Option<String>,
    routing_configuration: Option<Vec<Route>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdatedAlias {
    update_date: Timestamp,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListStateMachineAliases {
    state_machine_arn: String,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AliasList {
    state_machine_aliases: Vec<ListedAlias>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Alias {
    /// The version for a number drawn uniformly from `0..100`.
    pub(crate) fn pick(&self, draw: u8) -> u64 {
        let mut bound = 0;
        let hit = self.routes.iter().find(|(_, weight)| {
            bound += weight;
            draw < bound
        });
        hit.or(self.routes.first()).map_or(0, |(version, _)| *version)
    }

    /// Whether the alias names a version.
    pub(crate) fn leads_to(&self, version: u64) -> bool {
        self.routes.iter().any(|(number, _)| *number == version)
    }
}

impl States {
    pub(crate) async fn create_state_machine_alias(
        &self,
        input: CreateStateMachineAlias,
        _: &RequestContext,
    ) -> Result<ListedAlias, ApiError> {
        names::check_alias(&input.name)?;
        check_description(input.description.as_deref())?;
        let (machine, routes) = self.checked_routes(&input.routing_configuration).await?;
        let now = self.clock.now();
        let wanted = Alias {
            name: input.name,
            description: input.description,
            routes,
            created: now,
            updated: now,
        };
        let state_machine_alias_arn = names::qualified_arn(&self.owner, &machine, &wanted.name);
        if let Some(there) = self.alias(&machine, &wanted.name).await? {
            let same = there.value.routes == wanted.routes && there.value.description == wanted.description;
            return match same {
                true => Ok(ListedAlias {
                    state_machine_alias_arn,
                    creation_date: there.value.created,
                }),
                false => Err(alias_exists()),
            };
        }
        if self.catalog.aliases.all(&format!("{machine}/")).await?.len() >= limits::ALIASES_MAX {
            return Err(fault::quota(format!(
                "Number of aliases for the state machine exceeds the limit of {}",
                limits::ALIASES_MAX
            )));
        }
        match self
            .catalog
            .aliases
            .create(&alias_key(&machine, &wanted.name), &wanted)
            .await
        {
            Ok(_) => Ok(ListedAlias {
                state_machine_alias_arn,
                creation_date: now,
            }),
            Err(StoreError::Conflict { .. }) => Err(alias_exists()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn describe_state_machine_alias(
        &self,
        input: AliasReference,
        _: &RequestContext,
    ) -> Result<DescribedAlias, ApiError> {
        let (machine, alias) = self.alias_name(&input.state_machine_alias_arn)?;
        let alias = self
            .alias(&machine, &alias)
            .await?
            .ok_or_else(fault::no_referenced_resource)?
            .value;
        let route = |(version, weight): &(u64, u8)| Route {
            state_machine_version_arn: names::qualified_arn(&self.owner, &machine, version),
            weight: i64::from(*weight),
        };
        Ok(DescribedAlias {
            state_machine_alias_arn: names::qualified_arn(&self.owner, &machine, &alias.name),
            routing_configuration: alias.routes.iter().map(route).collect(),
            name: alias.name,
            description: alias.description,
            creation_date: alias.created,
            update_date: alias.updated,
        })
    }

    pub(crate) async fn update_state_machine_alias(
        &self,
        input: UpdateStateMachineAlias,
        _: &RequestContext,
    ) -> Result<UpdatedAlias, ApiError> {
        let (machine, alias) = self.alias_name(&input.state_machine_alias_arn)?;
        check_description(input.description.as_deref())?;
        if input.description.is_none() && input.routing_configuration.is_none() {
            return Err(ApiError::validation(
                "Either the description or the routing configuration must be specified",
            ));
        }
        if self.alias(&machine, &alias).await?.is_none() {
            return Err(fault::no_referenced_resource());
        }
        let routes = match &input.routing_configuration {
            None => None,
            Some(routes) => {
                let (owner, routes) = self.checked_routes(routes).await?;
                if owner != machine {
                    return Err(ApiError::validation(
                        "The versions must belong to the alias's own state machine",
                    ));
                }
                Some(routes)
            }
        };
        let now = self.clock.now();
        let change = |alias: &mut Alias| {
            alias.description = input.description.clone().or(alias.description.take());
            alias.routes = routes.clone().unwrap_or_else(|| alias.routes.clone());
            alias.updated = now;
            Ok::<(), ApiError>(())
        };
        let updated = self
            .catalog
            .aliases
            .update(&alias_key(&machine, &alias), change)
            .await?;
        updated
            .map(|_| UpdatedAlias { update_date: now })
            .ok_or_else(fault::no_referenced_resource)
    }

    pub(crate) async fn delete_state_machine_alias(
        &self,
        input: AliasReference,
        _: &RequestContext,
    ) -> Result<Nothing, ApiError> {
        let (machine, alias) = self.alias_name(&input.state_machine_alias_arn)?;
        match self.catalog.aliases.delete(&alias_key(&machine, &alias)).await? {
            true => Ok(Nothing {}),
            false => Err(fault::no_referenced_resource()),
        }
    }

    pub(crate) async fn list_state_machine_aliases(
        &self,
        input: ListStateMachineAliases,
        _: &RequestContext,
    ) -> Result<AliasList, ApiError> {
        let limit = limits::page_size(input.max_results)?;
        let name = names::parse_machine(&self.owner, "stateMachineArn", &input.state_machine_arn)?;
        self.machine(&name.machine, Some(&input.state_machine_arn)).await?;
        let scope = format!("ListStateMachineAliases/{}", name.machine);
        let after = next_position(&scope, input.next_token.as_deref())?;
        let query = ListQuery {
            prefix: format!("{}/", name.machine),
            after,
            limit: limit + 1,
            descending: false,
        };
        let mut page = self.catalog.aliases.list(query).await?;
        let next_token = next_token(&scope, &mut page, limit)?;
        if let Some(Qualifier::Version(number)) = name.qualifier {
            page.retain(|(_, alias)| alias.leads_to(number));
        }
        let listed = |(_, alias): (String, Alias)| ListedAlias {
            state_machine_alias_arn: names::qualified_arn(&self.owner, &name.machine, &alias.name),
            creation_date: alias.created,
        };
        Ok(AliasList {
            state_machine_aliases: page.into_iter().map(listed).collect(),
            next_token,
        })
    }

    pub(crate) async fn alias(&self, machine: &str, alias: &str) -> Result<Option<Versioned<Alias>>, ApiError> {
        Ok(self.catalog.aliases.get(&alias_key(machine, alias)).await?)
    }

    /// The state machine and the version numbers of a routing configuration:
    /// one or two existing versions of one state machine, weighing 100 together.
    async fn checked_routes(&self, routes: &[Route]) -> Result<(String, Vec<(u64, u8)>), ApiError> {
        if !(1..=2).contains(&routes.len()) {
            return Err(ApiError::validation(format!(
                "Routing configuration must name one or two versions. Received: {}",
                routes.len()
            )));
        }
        let arns: Vec<&str> = routes
            .iter()
            .map(|route| route.state_machine_version_arn.as_str())
            .collect();
        let mut machines = Vec::new();
        let mut numbers = Vec::new();
        for route in routes {
            let name = names::parse_machine(&self.owner, "stateMachineVersionArn", &route.state_machine_version_arn)?;
            let MachineName {
                machine,
                qualifier: Some(Qualifier::Version(number)),
            } = name
            else {
                return Err(ApiError::validation(format!(
                    "Routing configuration must contain state machine version ARNs. Received: [{}]",
                    arns.join(", ")
                )));
            };
            if self.version(&machine, number).await?.is_none() {
                return Err(fault::no_referenced_resource());
            }
            let weight = u8::try_from(route.weight).ok().filter(|weight| *weight <= 100);
            let weight = weight.ok_or_else(|| ApiError::validation("Weights must be between 0 and 100"))?;
            machines.push(machine);
            numbers.push((number, weight));
        }
        let sum: u32 = numbers.iter().map(|(_, weight)| u32::from(*weight)).sum();
        if sum != 100 {
            return Err(ApiError::validation(
                "Sum of routing configuration weights must equal 100",
            ));
        }
        let first = machines.swap_remove(0);
        let distinct =
            machines.iter().all(|machine| *machine == first) && (numbers.len() == 1 || numbers[0].0 != numbers[1].0);
        match distinct {
            true => Ok((first, numbers)),
            false => Err(ApiError::validation(format!(
                "Routing configuration must name different versions of the same state machine. Received: [{}]",
                arns.join(", ")
            ))),
        }
    }

    fn alias_name(&self, arn: &str) -> Result<(String, String), ApiError> {
        match names::parse_machine(&self.owner, "stateMachineAliasArn", arn)? {
            MachineName {
                machine,
                qualifier: Some(Qualifier::Alias(alias)),
            } => Ok((machine, alias)),
            _ => Err(fault::invalid_arn(format_args!("'{arn}' is not the ARN of an alias"))),
        }
    }
}

fn alias_exists() -> ApiError {
    fault::conflict(
        "Failed to create alias because an alias with the same name and \
         a different routing configuration already exists.",
    )
}

fn check_description(description: Option<&str>) -> Result<(), ApiError> {
    match description {
        None => Ok(()),
        Some(text) => Constraints::new()
            .length("description", text, 0, limits::DESCRIPTION_CHARS_MAX)
            .check(),
    }
}
