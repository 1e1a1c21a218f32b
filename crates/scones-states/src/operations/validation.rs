//! ValidateStateMachineDefinition.

use scones_api::{ApiError, Constraints, RequestContext};
use scones_asl::{Diagnostic, Machine, Severity};
use serde::{Deserialize, Serialize};

use super::machines::machine_type;
use crate::{States, catalog::MachineType, limits};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ValidateStateMachineDefinition {
    definition: String,
    #[serde(rename = "type")]
    machine_type: Option<String>,
    severity: Option<String>,
    max_results: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Validation {
    result: &'static str,
    diagnostics: Vec<Problem>,
    truncated: bool,
}

#[derive(Debug, Serialize)]
struct Problem {
    severity: &'static str,
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
}

impl States {
    pub(crate) async fn validate_state_machine_definition(
        &self,
        input: ValidateStateMachineDefinition,
        _: &RequestContext,
    ) -> Result<Validation, ApiError> {
        let severity = input.severity.as_deref().unwrap_or("ERROR");
        let wished = input.max_results.unwrap_or_default();
        Constraints::new()
            .one_of("severity", severity, &["ERROR", "WARNING"])
            .range("maxResults", wished, 0, 100)
            .check()?;
        let machine_type = machine_type(input.machine_type.as_deref())?;
        limits::definition_length(&input.definition)?;
        let mut problems = Machine::check(&input.definition, machine_type == MachineType::Express);
        let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
        if severity == "ERROR" {
            problems.retain(|problem| problem.severity == Severity::Error);
        }
        let limit = scones_api::page_limit(input.max_results, limits::DIAGNOSTICS_MAX, limits::DIAGNOSTICS_MAX);
        let truncated = problems.len() > limit;
        problems.truncate(limit);
        Ok(Validation {
            result: if failed { "FAIL" } else { "OK" },
            diagnostics: problems.into_iter().map(Problem::from).collect(),
            truncated,
        })
    }
}

impl From<Diagnostic> for Problem {
    fn from(diagnostic: Diagnostic) -> Self {
        Self {
            severity: diagnostic.severity.as_str(),
            code: diagnostic.code.as_str(),
            message: diagnostic.message,
            location: diagnostic.location,
        }
    }
}
