//! Aliases: names for versions.

use std::collections::BTreeMap;

use scones_api::{ApiError, Constraints, RequestContext};
use serde::{Deserialize, Serialize};

use super::{check_revision, conflict, new_revision, not_found, page};
use crate::{
    Lambda,
    configuration::invalid,
    function::{Alias, Function},
    limits::DESCRIPTION_LENGTH_MAX,
    name::{LATEST, function_arn, function_not_found, is_plain, is_version_number},
};

/// CreateAlias and UpdateAlias; what an update does not name stays.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AliasInput {
    function_name: String,
    name: String,
    #[serde(default)]
    function_version: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    routing_config: Option<Routing>,
    #[serde(default)]
    revision_id: Option<String>,
}

#[derive(Deserialize, Serialize, Default, Clone)]
#[serde(rename_all = "PascalCase", default)]
struct Routing {
    additional_version_weights: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OneAlias {
    function_name: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListAliases {
    function_name: String,
    #[serde(default)]
    function_version: Option<String>,
    #[serde(default)]
    marker: Option<String>,
    #[serde(default)]
    max_items: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AliasConfiguration {
    alias_arn: String,
    name: String,
    function_version: String,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    routing_config: Option<Routing>,
    revision_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Aliases {
    aliases: Vec<AliasConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

impl Lambda {
    pub(super) async fn create_alias(
        &self,
        input: AliasInput,
        _: &RequestContext,
    ) -> Result<AliasConfiguration, ApiError> {
        let function_name = self.unqualified(&input.function_name)?;
        check_input(&input)?;
        Constraints::new()
            .required("functionVersion", input.function_version.as_ref())
            .check()?;
        let alias = Alias {
            version: input.function_version.clone().unwrap_or_default(),
            description: input.description.clone().unwrap_or_default(),
            weights: weights(&input),
            revision: new_revision(),
        };
        self.change(&function_name, |function| {
            if function.aliases.contains_key(&input.name) {
                let arn = function_arn(&self.owner, &function_name, Some(&input.name));
                return Err(conflict(format!("Alias already exists: {arn}")));
            }
            self.check_target(function, &alias)?;
            function.aliases.insert(input.name.clone(), alias.clone());
            Ok(())
        })
        .await?;
        Ok(self.shown_alias(&function_name, &input.name, &alias))
    }

    pub(super) async fn update_alias(
        &self,
        input: AliasInput,
        _: &RequestContext,
    ) -> Result<AliasConfiguration, ApiError> {
        let function_name = self.unqualified(&input.function_name)?;
        check_input(&input)?;
        let revision = new_revision();
        let function = self
            .change(&function_name, |function| {
                let mut alias = self.find_alias(function, &input.name)?.clone();
                check_revision(input.revision_id.as_deref(), &alias.revision)?;
                if let Some(version) = &input.function_version {
                    alias.version.clone_from(version);
                }
                if let Some(description) = &input.description {
                    alias.description.clone_from(description);
                }
                if input.routing_config.is_some() {
                    alias.weights = weights(&input);
                }
                alias.revision.clone_from(&revision);
                self.check_target(function, &alias)?;
                function.aliases.insert(input.name.clone(), alias);
                Ok(())
            })
            .await?;
        let alias = self.find_alias(&function, &input.name)?;
        Ok(self.shown_alias(&function_name, &input.name, alias))
    }

    pub(super) async fn get_alias(&self, input: OneAlias, _: &RequestContext) -> Result<AliasConfiguration, ApiError> {
        let function_name = self.unqualified(&input.function_name)?;
        let function = self.function(&function_name, None).await?;
        let alias = self.find_alias(&function, &input.name)?;
        Ok(self.shown_alias(&function_name, &input.name, alias))
    }

    pub(super) async fn delete_alias(&self, input: OneAlias, _: &RequestContext) -> Result<(), ApiError> {
        let function_name = self.unqualified(&input.function_name)?;
        self.change(&function_name, |function| {
            function.aliases.remove(&input.name);
            function.policies.remove(&input.name);
            Ok(())
        })
        .await?;
        Ok(())
    }

    pub(super) async fn list_aliases(&self, input: ListAliases, _: &RequestContext) -> Result<Aliases, ApiError> {
        let function_name = self.unqualified(&input.function_name)?;
        let function = self.function(&function_name, None).await?;
        let wanted = |alias: &Alias| {
            input
                .function_version
                .as_ref()
                .is_none_or(|version| alias.version == *version)
        };
        let aliases = function.aliases.iter().filter(|(_, alias)| wanted(alias));
        let scope = format!("ListAliases {function_name}");
        let (found, next_marker) = page(
            &scope,
            aliases,
            |(name, _)| (*name).clone(),
            input.marker.as_deref(),
            input.max_items,
        )?;
        Ok(Aliases {
            aliases: found
                .into_iter()
                .map(|(name, alias)| self.shown_alias(&function_name, name, alias))
                .collect(),
            next_marker,
        })
    }

    fn find_alias<'a>(&self, function: &'a Function, name: &str) -> Result<&'a Alias, ApiError> {
        function.aliases.get(name).ok_or_else(|| {
            let arn = function.arn(&self.owner, Some(name));
            not_found(format!("Cannot find alias arn: {arn}"))
        })
    }

    /// Whether the versions that an alias names are there.
    fn check_target(&self, function: &Function, alias: &Alias) -> Result<(), ApiError> {
        for version in std::iter::once(&alias.version).chain(alias.weights.keys()) {
            let exists = version == LATEST || function.published(version).is_some();
            if !exists {
                return Err(function_not_found(&self.owner, &function.latest.name, Some(version)));
            }
        }
        let total: f64 = alias.weights.values().sum();
        let shares = alias.weights.values().all(|weight| (0.0..=1.0).contains(weight)) && total <= 1.0;
        if !shares || (!alias.weights.is_empty() && alias.version == LATEST) || alias.weights.contains_key(LATEST) {
            return Err(invalid(
                "The weights of an alias lie between 0 and 1, add up to at most 1, and share between published versions.",
            ));
        }
        Ok(())
    }

    fn shown_alias(&self, function_name: &str, name: &str, alias: &Alias) -> AliasConfiguration {
        AliasConfiguration {
            alias_arn: function_arn(&self.owner, function_name, Some(name)),
            name: name.to_owned(),
            function_version: alias.version.clone(),
            description: alias.description.clone(),
            routing_config: (!alias.weights.is_empty()).then(|| Routing {
                additional_version_weights: alias.weights.clone(),
            }),
            revision_id: alias.revision.clone(),
        }
    }
}

fn check_input(input: &AliasInput) -> Result<(), ApiError> {
    let mut constraints = Constraints::new();
    constraints.length("name", &input.name, 1, 128).pattern(
        "name",
        &input.name,
        "(?!^[0-9]+$)([a-zA-Z0-9-_]+)",
        |text| is_plain(text) && !is_version_number(text),
    );
    if let Some(version) = &input.function_version {
        constraints.pattern("functionVersion", version, r"(\$LATEST(\.PUBLISHED)?|[0-9]+)", |text| {
            text == LATEST || is_version_number(text)
        });
    }
    if let Some(description) = &input.description {
        constraints.length("description", description, 0, DESCRIPTION_LENGTH_MAX);
    }
    constraints.check()
}

fn weights(input: &AliasInput) -> BTreeMap<String, f64> {
    let routing = input.routing_config.clone().unwrap_or_default();
    routing.additional_version_weights
}
