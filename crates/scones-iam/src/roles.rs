//! Roles.

use std::{collections::BTreeMap, sync::Arc};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use scones_api::{ApiError, Arn, Constraints, RequestContext, Timestamp};
use scones_store::{Collection, Error as StoreError, Store};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Iam,
    error::{check, limit_exceeded, no_such_role},
    input::{Paged, Paging, number},
    limits::{
        DESCRIPTION_MAX, PATH_MAX, ROLE_NAME_MAX, ROLE_SESSION_SECONDS_DEFAULT, ROLE_SESSION_SECONDS_MAX, ROLES_MAX,
        TAGS_MAX, TRUST_POLICY_MAX,
    },
    random,
};

/// The names of roles and sessions.
pub(crate) const NAME_PATTERN: &str = r"[\w+=,.@-]+";
const PATH_PATTERN: &str = r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)";
/// The roles that a fresh installation has, with their paths.
const DEFAULT_ROLES: [(&str, &str); 2] = [("/service-role/", "AmazonSageMaker-ExecutionRole"), ("/", "SconesRole")];
const DEFAULT_TRUST_POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":["sagemaker.amazonaws.com","lambda.amazonaws.com","states.amazonaws.com"]},"Action":"sts:AssumeRole"}]}"#;

/// A role, under its name in lower case: AWS does not tell case apart.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Role {
    pub(crate) role_name: String,
    pub(crate) role_id: String,
    pub(crate) path: String,
    pub(crate) created: Timestamp,
    pub(crate) trust_policy: String,
    pub(crate) description: Option<String>,
    pub(crate) max_session_duration: i64,
    pub(crate) tags: BTreeMap<String, String>,
    /// The ARNs of managed policies.
    pub(crate) attached_policies: Vec<String>,
    /// Inline policies by name.
    pub(crate) inline_policies: BTreeMap<String, String>,
}

impl Role {
    fn new(path: &str, name: &str, trust_policy: &str, created: Timestamp) -> Result<Self, Error> {
        Ok(Self {
            role_name: name.to_owned(),
            role_id: random::id::<17>("AROA")?,
            path: path.to_owned(),
            created,
            trust_policy: trust_policy.to_owned(),
            description: None,
            max_session_duration: ROLE_SESSION_SECONDS_DEFAULT,
            tags: BTreeMap::new(),
            attached_policies: Vec::new(),
            inline_policies: BTreeMap::new(),
        })
    }
}

/// A role as clients see it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RoleDescription {
    path: String,
    role_name: String,
    role_id: String,
    arn: String,
    create_date: String,
    assume_role_policy_document: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    max_session_duration: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateRole {
    path: Option<String>,
    role_name: String,
    assume_role_policy_document: String,
    description: Option<String>,
    #[serde(default, deserialize_with = "number")]
    max_session_duration: Option<i64>,
    permissions_boundary: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RoleName {
    role_name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OneRole {
    role: RoleDescription,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListRoles {
    path_prefix: Option<String>,
    #[serde(flatten)]
    paging: Paging,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Roles {
    roles: Vec<RoleDescription>,
    #[serde(flatten)]
    paged: Paged,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateAssumeRolePolicy {
    role_name: String,
    policy_document: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TagRole {
    role_name: String,
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UntagRole {
    role_name: String,
    tag_keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListRoleTags {
    role_name: String,
    #[serde(flatten)]
    paging: Paging,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RoleTags {
    tags: Vec<Tag>,
    #[serde(flatten)]
    paged: Paged,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct InstanceProfiles {
    instance_profiles: [(); 0],
    is_truncated: bool,
}

impl Iam {
    /// The roles of a fresh installation are made once; whoever deletes them
    /// is rid of them.
    pub(crate) async fn create_default_roles(&self, store: Arc<dyn Store>) -> Result<(), Error> {
        const KEY: &str = "default-roles";
        let done = Collection::<bool>::new(store, "iam.setup");
        if done.get(KEY).await?.is_some() {
            return Ok(());
        }
        for (path, name) in DEFAULT_ROLES {
            let role = Role::new(path, name, DEFAULT_TRUST_POLICY, self.clock.now())?;
            match self.roles.create(&key(name), &role).await {
                Ok(_) | Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        done.put(KEY, &true).await?;
        Ok(())
    }

    pub(crate) async fn create_role(&self, input: CreateRole, _: &RequestContext) -> Result<OneRole, ApiError> {
        let path = input.path.as_deref().unwrap_or("/");
        let duration = input.max_session_duration.unwrap_or(ROLE_SESSION_SECONDS_DEFAULT);
        check(
            Constraints::new()
                .length("roleName", &input.role_name, 1, ROLE_NAME_MAX)
                .pattern("roleName", &input.role_name, NAME_PATTERN, is_name)
                .length("path", path, 1, PATH_MAX)
                .pattern("path", path, PATH_PATTERN, is_path)
                .length(
                    "description",
                    input.description.as_deref().unwrap_or(""),
                    0,
                    DESCRIPTION_MAX,
                )
                .range(
                    "maxSessionDuration",
                    duration,
                    ROLE_SESSION_SECONDS_DEFAULT,
                    ROLE_SESSION_SECONDS_MAX,
                ),
        )?;
        if input.permissions_boundary.is_some() {
            return Err(ApiError::not_implemented("CreateRole with PermissionsBoundary"));
        }
        check_trust_policy(&input.assume_role_policy_document)?;
        let mut role = Role::new(
            path,
            &input.role_name,
            &input.assume_role_policy_document,
            self.clock.now(),
        )?;
        role.description = input.description;
        role.max_session_duration = duration;
        add_tags(&mut role, input.tags)?;
        if self.roles.all("").await?.len() >= ROLES_MAX {
            return Err(limit_exceeded("RolesPerAccount", ROLES_MAX));
        }
        match self.roles.create(&key(&role.role_name), &role).await {
            Ok(_) => Ok(OneRole {
                role: self.describe(role),
            }),
            Err(StoreError::Conflict { .. }) => {
                let message = format!("Role with name {} already exists.", role.role_name);
                Err(ApiError::new(409, "EntityAlreadyExists", message))
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn get_role(&self, input: RoleName, _: &RequestContext) -> Result<OneRole, ApiError> {
        let role = self.role(&input.role_name).await?;
        Ok(OneRole {
            role: self.describe(role),
        })
    }

    pub(crate) async fn list_roles(&self, input: ListRoles, _: &RequestContext) -> Result<Roles, ApiError> {
        let prefix = input.path_prefix.unwrap_or_else(|| "/".to_owned());
        let mut roles = self.roles.all("").await?;
        roles.retain(|(_, role)| role.path.starts_with(&prefix));
        let scope = format!("ListRoles {prefix}");
        let (roles, paged) = input.paging.page(&scope, roles, |(key, _)| key)?;
        Ok(Roles {
            roles: roles.into_iter().map(|(_, role)| self.describe(role)).collect(),
            paged,
        })
    }

    pub(crate) async fn update_assume_role_policy(
        &self,
        input: UpdateAssumeRolePolicy,
        _: &RequestContext,
    ) -> Result<(), ApiError> {
        check_trust_policy(&input.policy_document)?;
        let replace = |role: &mut Role| {
            role.trust_policy.clone_from(&input.policy_document);
            Ok(())
        };
        self.change_role(&input.role_name, replace).await
    }

    pub(crate) async fn delete_role(&self, input: RoleName, _: &RequestContext) -> Result<(), ApiError> {
        let conflict = |message: &str| Err(ApiError::new(409, "DeleteConflict", message));
        loop {
            let found = self.roles.get(&key(&input.role_name)).await?;
            let found = found.ok_or_else(|| no_such_role(&input.role_name))?;
            if !found.value.attached_policies.is_empty() {
                return conflict("Cannot delete entity, must detach all policies first.");
            }
            if !found.value.inline_policies.is_empty() {
                return conflict("Cannot delete entity, must delete policies first.");
            }
            match self.roles.delete_at(&key(&input.role_name), found.revision).await {
                Ok(()) => return Ok(()),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(crate) async fn tag_role(&self, input: TagRole, _: &RequestContext) -> Result<(), ApiError> {
        self.change_role(&input.role_name, |role| add_tags(role, input.tags.clone()))
            .await
    }

    pub(crate) async fn untag_role(&self, input: UntagRole, _: &RequestContext) -> Result<(), ApiError> {
        let remove = |role: &mut Role| {
            role.tags.retain(|key, _| !input.tag_keys.contains(key));
            Ok(())
        };
        self.change_role(&input.role_name, remove).await
    }

    pub(crate) async fn list_role_tags(&self, input: ListRoleTags, _: &RequestContext) -> Result<RoleTags, ApiError> {
        let role = self.role(&input.role_name).await?;
        let scope = format!("ListRoleTags {}", role.role_id);
        let (tags, paged) = input.paging.page(&scope, tags(role.tags), |tag| &tag.key)?;
        Ok(RoleTags { tags, paged })
    }

    /// A role has no instance profiles, because there are no instances.
    pub(crate) async fn list_instance_profiles_for_role(
        &self,
        input: RoleName,
        _: &RequestContext,
    ) -> Result<InstanceProfiles, ApiError> {
        self.role(&input.role_name).await?;
        Ok(InstanceProfiles {
            instance_profiles: [],
            is_truncated: false,
        })
    }

    /// The role of that name.
    pub(crate) async fn role(&self, name: &str) -> Result<Role, ApiError> {
        let found = self.roles.get(&key(name)).await?;
        found.map(|found| found.value).ok_or_else(|| no_such_role(name))
    }

    /// The role of that ARN, if there is one.
    pub(crate) async fn role_of_arn(&self, arn: &str) -> Result<Option<Role>, ApiError> {
        let Some((_, name)) = arn.rsplit_once('/') else {
            return Ok(None);
        };
        let found = self.roles.get(&key(name)).await?;
        Ok(found
            .map(|found| found.value)
            .filter(|role| self.arn(role).to_string() == arn))
    }

    /// Changes a role that exists.
    pub(crate) async fn change_role(
        &self,
        name: &str,
        change: impl FnMut(&mut Role) -> Result<(), ApiError> + Send,
    ) -> Result<(), ApiError> {
        let changed = self.roles.update(&key(name), change).await?;
        changed.map(drop).ok_or_else(|| no_such_role(name))
    }

    fn arn(&self, role: &Role) -> Arn {
        Arn::global("iam", &self.owner, format!("role{}{}", role.path, role.role_name))
    }

    fn describe(&self, role: Role) -> RoleDescription {
        RoleDescription {
            arn: self.arn(&role).to_string(),
            path: role.path,
            role_name: role.role_name,
            role_id: role.role_id,
            create_date: role.created.to_iso8601(),
            assume_role_policy_document: encode_document(&role.trust_policy),
            description: role.description,
            max_session_duration: role.max_session_duration,
            tags: tags(role.tags),
        }
    }
}

/// IAM gives policies back in percent encoding (RFC 3986).
pub(crate) fn encode_document(document: &str) -> String {
    const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(document, &RESERVED).to_string()
}

/// A policy is a JSON object; what it says is not looked at.
pub(crate) fn check_document(document: &str) -> Result<(), ApiError> {
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(document) {
        Ok(_) => Ok(()),
        Err(_) => Err(ApiError::bad_request(
            "MalformedPolicyDocument",
            "This policy contains invalid Json",
        )),
    }
}

pub(crate) fn is_name(name: &str) -> bool {
    name.chars()
        .all(|character| character.is_ascii_alphanumeric() || "_+=,.@-".contains(character))
}

fn check_trust_policy(document: &str) -> Result<(), ApiError> {
    if document.chars().filter(|character| !character.is_whitespace()).count() > TRUST_POLICY_MAX {
        return Err(limit_exceeded("ACLSizePerRole", TRUST_POLICY_MAX));
    }
    check_document(document)
}

fn is_path(path: &str) -> bool {
    path == "/"
        || (path.len() > 2
            && path.starts_with('/')
            && path.ends_with('/')
            && path.bytes().all(|byte| byte.is_ascii_graphic()))
}

fn key(name: &str) -> String {
    name.to_ascii_lowercase()
}

fn tags(tags: BTreeMap<String, String>) -> Vec<Tag> {
    tags.into_iter().map(|(key, value)| Tag { key, value }).collect()
}

fn add_tags(role: &mut Role, tags: Vec<Tag>) -> Result<(), ApiError> {
    role.tags.extend(tags.into_iter().map(|tag| (tag.key, tag.value)));
    if role.tags.len() > TAGS_MAX {
        return Err(limit_exceeded("TagsPerRole", TAGS_MAX));
    }
    Ok(())
}
