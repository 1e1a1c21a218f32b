//! ListExecutions.

use scones_api::{ApiError, Constraints, PageToken, RequestContext, Timestamp};
use scones_store::ListQuery;
use serde::{Deserialize, Serialize};

use crate::{
    States,
    catalog::MachineType,
    engine::{Status, Summary, child_prefix},
    fault, limits,
    names::{self, Qualifier},
};

/// Executions that one call looks through for those that its filter lets
/// pass; a page may then be short and still have a next one.
const SCANNED_MAX: usize = 10_000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListExecutions {
    state_machine_arn: Option<String>,
    map_run_arn: Option<String>,
    status_filter: Option<String>,
    redrive_filter: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExecutionList {
    executions: Vec<ListedExecution>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedExecution {
    execution_arn: String,
    state_machine_arn: String,
    name: String,
    status: Status,
    start_date: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_date: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_machine_version_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_machine_alias_arn: Option<String>,
    redrive_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    redrive_date: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    map_run_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item_count: Option<u64>,
}

/// What a listing lets pass.
struct Filter<'a> {
    status: Option<&'a str>,
    qualifier: Option<Qualifier>,
    /// Whether it has to have been redriven, or not to.
    redriven: Option<bool>,
}

impl Filter<'_> {
    fn passes(&self, summary: &Summary) -> bool {
        let qualified = match &self.qualifier {
            None => true,
            Some(Qualifier::Version(number)) => summary.version == Some(*number),
            Some(Qualifier::Alias(alias)) => summary.alias.as_ref() == Some(alias),
        };
        let redriven = self
            .redriven
            .is_none_or(|redriven| redriven == summary.redrive.is_some());
        qualified && redriven && self.status.is_none_or(|status| status == summary.status.as_str())
    }
}

impl States {
    pub(crate) async fn list_executions(
        &self,
        input: ListExecutions,
        _: &RequestContext,
    ) -> Result<ExecutionList, ApiError> {
        let limit = limits::page_size(input.max_results)?;
        check_filters(&input)?;
        let (arn, group, qualifier) = match (&input.state_machine_arn, &input.map_run_arn) {
            (Some(arn), None) => {
                let name = names::parse_machine(&self.owner, "stateMachineArn", arn)?;
                if self.machine(&name.machine, Some(arn)).await?.machine_type == MachineType::Express {
                    return Err(fault::type_not_supported());
                }
                (arn, name.machine, name.qualifier)
            }
            (None, Some(arn)) => {
                self.map_run(arn).await?;
                (arn, child_prefix(arn), None)
            }
            _ => {
                return Err(ApiError::validation(
                    "Exactly one of stateMachineArn and mapRunArn must be specified",
                ));
            }
        };
        let scope = format!(
            "ListExecutions/{arn}/{:?}/{:?}",
            input.status_filter, input.redrive_filter
        );
        let after = match &input.next_token {
            None => None,
            Some(token) => Some(PageToken::decode::<String>(&scope, token).ok_or_else(fault::invalid_token)?),
        };
        let filter = Filter {
            status: input.status_filter.as_deref(),
            qualifier,
            redriven: input.redrive_filter.as_deref().map(|filter| filter == "REDRIVEN"),
        };
        let (page, next) = self.page(&group, &filter, after, limit).await?;
        let next_token = next.map(|key| PageToken::encode(&scope, &key)).transpose()?;
        Ok(ExecutionList {
            executions: page.into_iter().map(|summary| self.listed(summary)).collect(),
            next_token,
        })
    }

    /// Up to `limit` executions of a group (see [`Summary::key`]), newest first,
    /// and where the next page begins.
    async fn page(
        &self,
        group: &str,
        filter: &Filter<'_>,
        mut after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<Summary>, Option<String>), ApiError> {
        let index = &self.engine.shared.index;
        let (mut page, mut scanned) = (Vec::new(), 0);
        loop {
            let query = ListQuery {
                prefix: format!("{group}/"),
                after: after.clone(),
                limit: limit + 1,
                descending: true,
            };
            let found = match filter.status {
                Some("RUNNING") => index.open(query).await?,
                _ => index.all(query).await?,
            };
            let last = found.len() <= limit;
            for (key, summary) in found {
                if page.len() == limit || scanned == SCANNED_MAX {
                    return Ok((page, after));
                }
                scanned += 1;
                if filter.passes(&summary) {
                    page.push(summary);
                }
                after = Some(key);
            }
            if last {
                return Ok((page, None));
            }
        }
    }

    fn listed(&self, summary: Summary) -> ListedExecution {
        let qualified = |qualifier: String| names::qualified_arn(&self.owner, &summary.machine, qualifier);
        ListedExecution {
            state_machine_version_arn: summary.version.map(|number| qualified(number.to_string())),
            state_machine_alias_arn: summary.alias.clone().map(qualified),
            state_machine_arn: names::machine_arn(&self.owner, &summary.machine),
            execution_arn: summary.arn,
            name: summary.name,
            status: summary.status,
            start_date: summary.started,
            stop_date: summary.stopped,
            redrive_count: summary.redrive.as_ref().map_or(0, |redrive| redrive.count),
            redrive_date: summary.redrive.map(|redrive| redrive.date),
            item_count: summary.child_of.as_ref().map(|child| child.items),
            map_run_arn: summary.child_of.map(|child| child.map_run_arn),
        }
    }
}

fn check_filters(input: &ListExecutions) -> Result<(), ApiError> {
    const STATUSES: [&str; 6] = [
        "RUNNING",
        "SUCCEEDED",
        "FAILED",
        "TIMED_OUT",
        "ABORTED",
        "PENDING_REDRIVE",
    ];
    let mut constraints = Constraints::new();
    if let Some(status) = &input.status_filter {
        constraints.one_of("statusFilter", status, &STATUSES);
    }
    if let Some(redrive) = &input.redrive_filter {
        constraints.one_of("redriveFilter", redrive, &["REDRIVEN", "NOT_REDRIVEN"]);
    }
    constraints.check()
}
