//! `SimulatePrincipalPolicy`: clients ask it whether a role may do what they
//! are about to do with it.

use scones_api::{ApiError, Arn, Constraints, RequestContext};
use serde::{Deserialize, Serialize};

use crate::{
    Iam,
    error::{check, no_such_entity},
    limits::SIMULATIONS_MAX,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SimulatePrincipalPolicy {
    policy_source_arn: String,
    action_names: Vec<String>,
    #[serde(default)]
    resource_arns: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Simulation {
    evaluation_results: Vec<EvaluationResult>,
    is_truncated: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EvaluationResult {
    eval_action_name: String,
    eval_resource_name: String,
    eval_decision: &'static str,
    matched_statements: [(); 0],
    missing_context_values: [(); 0],
}

impl Iam {
    /// Everything is allowed to whoever exists, because no policy is enforced.
    pub(crate) async fn simulate_principal_policy(
        &self,
        mut input: SimulatePrincipalPolicy,
        _: &RequestContext,
    ) -> Result<Simulation, ApiError> {
        if input.resource_arns.is_empty() {
            input.resource_arns.push("*".to_owned());
        }
        let mut constraints = Constraints::new();
        for action in &input.action_names {
            constraints.length("actionNames", action, 3, 128);
        }
        let simulations = input.action_names.len().saturating_mul(input.resource_arns.len());
        constraints.range(
            "actionNames",
            i64::try_from(simulations).unwrap_or(i64::MAX),
            1,
            SIMULATIONS_MAX as i64,
        );
        check(&constraints)?;
        self.check_principal(&input.policy_source_arn).await?;
        let evaluate = |action: &String, resource: &String| EvaluationResult {
            eval_action_name: action.clone(),
            eval_resource_name: resource.clone(),
            eval_decision: "allowed",
            matched_statements: [],
            missing_context_values: [],
        };
        let (actions, resources) = (&input.action_names, &input.resource_arns);
        let all = actions
            .iter()
            .flat_map(|action| resources.iter().map(move |resource| evaluate(action, resource)));
        Ok(Simulation {
            evaluation_results: all.collect(),
            is_truncated: false,
        })
    }

    /// `arn` is a role that exists, or the account's root.
    async fn check_principal(&self, arn: &str) -> Result<(), ApiError> {
        if arn == self.root().to_string() || self.role_of_arn(arn).await?.is_some() {
            return Ok(());
        }
        if arn.parse::<Arn>().is_err() {
            return Err(ApiError::bad_request(
                "InvalidInput",
                format!("Invalid Entity Arn: {arn}"),
            ));
        }
        Err(no_such_entity(format!("The entity with ARN {arn} cannot be found.")))
    }
}
