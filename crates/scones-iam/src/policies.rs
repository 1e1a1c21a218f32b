//! The policies of roles: attached by ARN, or inline.

use scones_api::{ApiError, Arn, Constraints, RequestContext};
use serde::{Deserialize, Serialize};

use crate::{
    Iam,
    error::{check, limit_exceeded, no_such_entity},
    input::{Paged, Paging},
    limits::{ATTACHED_POLICIES_MAX, INLINE_POLICIES_MAX, POLICY_NAME_MAX},
    roles::{NAME_PATTERN, Role, check_document, encode_document, is_name},
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RoleAndArn {
    role_name: String,
    policy_arn: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RoleAndName {
    role_name: String,
    policy_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListPolicies {
    role_name: String,
    #[serde(flatten)]
    paging: Paging,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AttachedPolicies {
    attached_policies: Vec<AttachedPolicy>,
    #[serde(flatten)]
    paged: Paged,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AttachedPolicy {
    policy_name: String,
    policy_arn: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutRolePolicy {
    role_name: String,
    policy_name: String,
    policy_document: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RolePolicy {
    role_name: String,
    policy_name: String,
    policy_document: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PolicyNames {
    policy_names: Vec<String>,
    #[serde(flatten)]
    paged: Paged,
}

impl Iam {
    /// Only AWS's own policies can be attached: there are no others.
    pub(crate) async fn attach_role_policy(&self, input: RoleAndArn, _: &RequestContext) -> Result<(), ApiError> {
        let arn = parse_policy_arn(&input.policy_arn)?;
        if arn.account != "aws" {
            let message = format!("Policy {} does not exist or is not attachable.", input.policy_arn);
            return Err(no_such_entity(message));
        }
        let attach = |role: &mut Role| {
            if role.attached_policies.contains(&input.policy_arn) {
                return Ok(());
            }
            if role.attached_policies.len() >= ATTACHED_POLICIES_MAX {
                return Err(limit_exceeded("PoliciesPerRole", ATTACHED_POLICIES_MAX));
            }
            role.attached_policies.push(input.policy_arn.clone());
            role.attached_policies.sort();
            Ok(())
        };
        self.change_role(&input.role_name, attach).await
    }

    pub(crate) async fn detach_role_policy(&self, input: RoleAndArn, _: &RequestContext) -> Result<(), ApiError> {
        let detach = |role: &mut Role| {
            let before = role.attached_policies.len();
            role.attached_policies.retain(|arn| *arn != input.policy_arn);
            if role.attached_policies.len() == before {
                return Err(no_such_entity(format!("Policy {} was not found.", input.policy_arn)));
            }
            Ok(())
        };
        self.change_role(&input.role_name, detach).await
    }

    pub(crate) async fn list_attached_role_policies(
        &self,
        input: ListPolicies,
        _: &RequestContext,
    ) -> Result<AttachedPolicies, ApiError> {
        let role = self.role(&input.role_name).await?;
        let scope = format!("ListAttachedRolePolicies {}", role.role_id);
        let (arns, paged) = input.paging.page(&scope, role.attached_policies, |arn| arn)?;
        let describe = |policy_arn: String| AttachedPolicy {
            policy_name: policy_arn.rsplit('/').next().unwrap_or_default().to_owned(),
            policy_arn,
        };
        Ok(AttachedPolicies {
            attached_policies: arns.into_iter().map(describe).collect(),
            paged,
        })
    }

    pub(crate) async fn put_role_policy(&self, input: PutRolePolicy, _: &RequestContext) -> Result<(), ApiError> {
        check(
            Constraints::new()
                .length("policyName", &input.policy_name, 1, POLICY_NAME_MAX)
                .pattern("policyName", &input.policy_name, NAME_PATTERN, is_name),
        )?;
        check_document(&input.policy_document)?;
        let put = |role: &mut Role| {
            let (name, document) = (input.policy_name.clone(), input.policy_document.clone());
            role.inline_policies.insert(name, document);
            let characters = role.inline_policies.values().flat_map(|document| document.chars());
            if characters.filter(|character| !character.is_whitespace()).count() > INLINE_POLICIES_MAX {
                let message = format!(
                    "Maximum policy size of {INLINE_POLICIES_MAX} bytes exceeded for role {}",
                    role.role_name
                );
                return Err(ApiError::new(409, "LimitExceeded", message));
            }
            Ok(())
        };
        self.change_role(&input.role_name, put).await
    }

    pub(crate) async fn get_role_policy(&self, input: RoleAndName, _: &RequestContext) -> Result<RolePolicy, ApiError> {
        let mut role = self.role(&input.role_name).await?;
        let document = role.inline_policies.remove(&input.policy_name);
        let document = document.ok_or_else(|| no_such_policy(&input.policy_name))?;
        Ok(RolePolicy {
            role_name: role.role_name,
            policy_name: input.policy_name,
            policy_document: encode_document(&document),
        })
    }

    pub(crate) async fn list_role_policies(
        &self,
        input: ListPolicies,
        _: &RequestContext,
    ) -> Result<PolicyNames, ApiError> {
        let role = self.role(&input.role_name).await?;
        let scope = format!("ListRolePolicies {}", role.role_id);
        let names = role.inline_policies.into_keys().collect();
        let (policy_names, paged) = input.paging.page(&scope, names, |name: &String| name)?;
        Ok(PolicyNames { policy_names, paged })
    }

    pub(crate) async fn delete_role_policy(&self, input: RoleAndName, _: &RequestContext) -> Result<(), ApiError> {
        let delete = |role: &mut Role| match role.inline_policies.remove(&input.policy_name) {
            Some(_) => Ok(()),
            None => Err(no_such_policy(&input.policy_name)),
        };
        self.change_role(&input.role_name, delete).await
    }
}

fn no_such_policy(name: &str) -> ApiError {
    no_such_entity(format!("The role policy with name {name} cannot be found."))
}

fn parse_policy_arn(text: &str) -> Result<Arn, ApiError> {
    let arn = text.parse::<Arn>().ok();
    arn.filter(|arn| arn.service == "iam" && arn.strip("policy").is_some())
        .ok_or_else(|| ApiError::bad_request("InvalidInput", format!("ARN {text} is not valid.")))
}
