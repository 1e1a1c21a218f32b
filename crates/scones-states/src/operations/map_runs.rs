//! Map runs: describe, list, update.

use scones_api::{ApiError, Constraints, RequestContext, Timestamp};
use serde::{Deserialize, Serialize};

use super::machines::{Nothing, next_position, next_token};
use crate::{
    States,
    engine::{Counts, MapRunRecord, MapRunStatus, map_run_key},
    fault, limits, names,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeMapRun {
    map_run_arn: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribedMapRun {
    map_run_arn: String,
    execution_arn: String,
    status: MapRunStatus,
    start_date: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_date: Option<Timestamp>,
    max_concurrency: u64,
    tolerated_failure_percentage: f64,
    tolerated_failure_count: u64,
    item_counts: Counts,
    execution_counts: Counts,
    redrive_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    redrive_date: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListMapRuns {
    execution_arn: String,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MapRunList {
    map_runs: Vec<ListedMapRun>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedMapRun {
    execution_arn: String,
    map_run_arn: String,
    state_machine_arn: String,
    start_date: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_date: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateMapRun {
    map_run_arn: String,
    max_concurrency: Option<i64>,
    tolerated_failure_percentage: Option<f64>,
    tolerated_failure_count: Option<i64>,
}

impl States {
    pub(crate) async fn describe_map_run(
        &self,
        input: DescribeMapRun,
        _: &RequestContext,
    ) -> Result<DescribedMapRun, ApiError> {
        let record = self.map_run(&input.map_run_arn).await?;
        let conducted = self.engine.shared.conducted(&record.arn);
        let tally = conducted.map_or(record.tally, |live| live.tally());
        Ok(DescribedMapRun {
            map_run_arn: record.arn,
            execution_arn: record.execution_arn,
            status: record.status,
            start_date: record.started,
            stop_date: record.stopped,
            max_concurrency: record.settings.max_concurrency,
            tolerated_failure_percentage: record.settings.tolerated_failure_percentage.unwrap_or_default(),
            tolerated_failure_count: record.settings.tolerated_failure_count.unwrap_or_default(),
            item_counts: tally.items,
            execution_counts: tally.executions,
            redrive_count: record.redrive_count,
            redrive_date: record.redriven,
        })
    }

    pub(crate) async fn list_map_runs(&self, input: ListMapRuns, _: &RequestContext) -> Result<MapRunList, ApiError> {
        let limit = limits::page_size(input.max_results)?;
        let arn = &input.execution_arn;
        self.found(arn).await?;
        let scope = format!("ListMapRuns/{arn}");
        let after = next_position(&scope, input.next_token.as_deref())?;
        let mut page = self.engine.shared.map_runs.of_execution(arn, after, limit + 1).await?;
        let next_token = next_token(&scope, &mut page, limit)?;
        let mut map_runs = Vec::with_capacity(page.len());
        for (_, map_run_arn) in page {
            // A beginning that was interrupted may have left its name alone.
            let Some(record) = self.engine.shared.map_runs.all.get(map_run_key(&map_run_arn)).await? else {
                continue;
            };
            let record = record.value;
            let machine = map_run_key(&map_run_arn)
                .rsplit_once(':')
                .map_or("", |(machine, _)| machine);
            map_runs.push(ListedMapRun {
                execution_arn: record.execution_arn,
                state_machine_arn: names::machine_arn(&self.owner, machine),
                map_run_arn,
                start_date: record.started,
                stop_date: record.stopped,
            });
        }
        Ok(MapRunList { map_runs, next_token })
    }

    /// Changes a run's limits: durable, and in force at once.
    pub(crate) async fn update_map_run(&self, input: UpdateMapRun, _: &RequestContext) -> Result<Nothing, ApiError> {
        let arn = &input.map_run_arn;
        let most = i64::MAX;
        let mut constraints = Constraints::new();
        constraints.range("maxConcurrency", input.max_concurrency.unwrap_or_default(), 0, most);
        constraints.range(
            "toleratedFailureCount",
            input.tolerated_failure_count.unwrap_or_default(),
            0,
            most,
        );
        constraints.check()?;
        if input
            .tolerated_failure_percentage
            .is_some_and(|percentage| !(0.0..=100.0).contains(&percentage))
        {
            return Err(ApiError::validation(
                "1 validation error detected: Value at 'toleratedFailurePercentage' failed to satisfy constraint: \
                 Member must be between 0 and 100, inclusive",
            ));
        }
        self.map_run(arn).await?;
        // Two updates take effect in the order in which they are kept.
        let _held = self.engine.shared.run_lock(arn).lock().await;
        let changed = self
            .engine
            .shared
            .map_runs
            .all
            .update(map_run_key(arn), |record| {
                if record.status != MapRunStatus::Running {
                    return Err(ApiError::validation(format!("Map Run is not running: '{arn}'")));
                }
                let settings = &mut record.settings;
                let number = |given: Option<i64>| given.and_then(|number| u64::try_from(number).ok());
                settings.max_concurrency = number(input.max_concurrency).unwrap_or(settings.max_concurrency);
                settings.tolerated_failure_count =
                    number(input.tolerated_failure_count).or(settings.tolerated_failure_count);
                settings.tolerated_failure_percentage = input
                    .tolerated_failure_percentage
                    .or(settings.tolerated_failure_percentage);
                Ok(())
            })
            .await?
            .ok_or_else(|| fault::no_resource(arn))?;
        if let Some(live) = self.engine.shared.conducted(arn) {
            live.change(changed.settings);
        }
        Ok(Nothing {})
    }

    /// The map run that `arn` names.
    pub(crate) async fn map_run(&self, arn: &str) -> Result<MapRunRecord, ApiError> {
        names::check_map_run(&self.owner, arn)?;
        let found = self.engine.shared.map_runs.all.get(map_run_key(arn)).await?;
        found.map(|found| found.value).ok_or_else(|| fault::no_resource(arn))
    }
}
