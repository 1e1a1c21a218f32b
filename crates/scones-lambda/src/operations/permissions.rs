//! Resource-based policies. They are kept and given back; on one machine with
//! one owner they grant what the owner may do anyway.

use scones_api::{ApiError, Constraints, RequestContext};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Qualified, check_revision, conflict, new_revision, not_found};
use crate::{Lambda, function::Policy, limits::POLICY_BYTES_MAX, name::is_plain};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AddPermission {
    function_name: String,
    #[serde(default)]
    qualifier: Option<String>,
    statement_id: String,
    action: String,
    principal: String,
    #[serde(default)]
    source_arn: Option<String>,
    #[serde(default)]
    source_account: Option<String>,
    #[serde(default)]
    event_source_token: Option<String>,
    #[serde(default, rename = "PrincipalOrgID")]
    principal_org_id: Option<String>,
    #[serde(default)]
    function_url_auth_type: Option<String>,
    #[serde(default)]
    revision_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AddedPermission {
    statement: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PolicyDocument {
    policy: String,
    revision_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RemovePermission {
    function_name: String,
    #[serde(default)]
    qualifier: Option<String>,
    statement_id: String,
    #[serde(default)]
    revision_id: Option<String>,
}

impl Lambda {
    pub(super) async fn add_permission(
        &self,
        input: AddPermission,
        _: &RequestContext,
    ) -> Result<AddedPermission, ApiError> {
        check_permission(&input)?;
        let reference = self.reference(&Qualified {
            function_name: input.function_name.clone(),
            qualifier: input.qualifier.clone(),
        })?;
        let qualifier = reference.qualifier.as_deref();
        let (mut text, revision) = (String::new(), new_revision());
        self.change(&reference.name, |function| {
            function.version(qualifier, 1.0, &self.owner)?;
            let statement = statement(&input, function.arn(&self.owner, qualifier));
            let policy = function
                .policies
                .entry(qualifier.unwrap_or_default().to_owned())
                .or_default();
            check_revision(input.revision_id.as_deref(), &policy.revision)?;
            if policy.statements.iter().any(|other| other["Sid"] == statement["Sid"]) {
                return Err(conflict(format!(
                    "The statement id ({}) provided already exists. Please provide a new statement id, or remove the \
                     existing statement.",
                    input.statement_id
                )));
            }
            text = statement.to_string();
            policy.statements.push(statement);
            policy.revision.clone_from(&revision);
            let size = document(policy).len();
            if size > POLICY_BYTES_MAX {
                return Err(ApiError::bad_request(
                    "PolicyLengthExceededException",
                    format!("The final policy size ({size}) is bigger than the limit ({POLICY_BYTES_MAX})."),
                ));
            }
            Ok(())
        })
        .await?;
        Ok(AddedPermission { statement: text })
    }

    pub(super) async fn get_policy(&self, input: Qualified, _: &RequestContext) -> Result<PolicyDocument, ApiError> {
        let reference = self.reference(&input)?;
        let function = self.function(&reference.name, reference.qualifier.as_deref()).await?;
        let policy = function
            .policies
            .get(reference.qualifier.as_deref().unwrap_or_default());
        let policy = policy.ok_or_else(|| not_found("The resource you requested does not exist."))?;
        Ok(PolicyDocument {
            policy: document(policy),
            revision_id: policy.revision.clone(),
        })
    }

    pub(super) async fn remove_permission(&self, input: RemovePermission, _: &RequestContext) -> Result<(), ApiError> {
        let reference = self.reference(&Qualified {
            function_name: input.function_name.clone(),
            qualifier: input.qualifier.clone(),
        })?;
        let key = reference.qualifier.unwrap_or_default();
        let revision = new_revision();
        self.change(&reference.name, |function| {
            let missing = || {
                not_found(format!(
                    "Statement {} is not found in resource policy.",
                    input.statement_id
                ))
            };
            let policy = function.policies.get_mut(&key).ok_or_else(missing)?;
            check_revision(input.revision_id.as_deref(), &policy.revision)?;
            let position = policy
                .statements
                .iter()
                .position(|other| other["Sid"] == input.statement_id.as_str());
            policy.statements.remove(position.ok_or_else(missing)?);
            policy.revision.clone_from(&revision);
            if policy.statements.is_empty() {
                function.policies.remove(&key);
            }
            Ok(())
        })
        .await?;
        Ok(())
    }
}

fn check_permission(input: &AddPermission) -> Result<(), ApiError> {
    Constraints::new()
        .length("statementId", &input.statement_id, 1, 100)
        .pattern("statementId", &input.statement_id, "([a-zA-Z0-9-_]+)", is_plain)
        .pattern("action", &input.action, "(lambda:[*]|lambda:[a-zA-Z]+|[*])", |text| {
            text == "*"
                || text.strip_prefix("lambda:").is_some_and(|name| {
                    name == "*" || (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic()))
                })
        })
        .pattern("principal", &input.principal, r"[^\s]+", |text| {
            !text.is_empty() && !text.chars().any(char::is_whitespace)
        })
        .check()
}

fn statement(input: &AddPermission, resource: String) -> Value {
    let principal = match input.principal.as_str() {
        "*" => json!("*"),
        account if account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()) => {
            json!({ "AWS": format!("arn:aws:iam::{account}:root") })
        }
        arn if arn.starts_with("arn:") => json!({ "AWS": arn }),
        service => json!({ "Service": service }),
    };
    let mut condition: Map<String, Value> = Map::new();
    let mut add = |operator: &str, key: &str, value: &Option<String>| {
        if let Some(value) = value {
            let keys = condition.entry(operator).or_insert_with(|| json!({}));
            keys[key] = json!(value);
        }
    };
    add("StringEquals", "AWS:SourceAccount", &input.source_account);
    add("StringEquals", "lambda:EventSourceToken", &input.event_source_token);
    add("StringEquals", "aws:PrincipalOrgID", &input.principal_org_id);
    add(
        "StringEquals",
        "lambda:FunctionUrlAuthType",
        &input.function_url_auth_type,
    );
    add("ArnLike", "AWS:SourceArn", &input.source_arn);
    let mut statement = json!({
        "Sid": input.statement_id,
        "Effect": "Allow",
        "Principal": principal,
        "Action": input.action,
        "Resource": resource,
    });
    if !condition.is_empty() {
        statement["Condition"] = Value::Object(condition);
    }
    statement
}

fn document(policy: &Policy) -> String {
    json!({ "Version": "2012-10-17", "Id": "default", "Statement": policy.statements }).to_string()
}
