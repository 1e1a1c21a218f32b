//! Executions: start, describe, stop.

use std::collections::{BTreeMap, BTreeSet};

use scones_api::{ApiError, Constraints, RequestContext, Timestamp};
use scones_asl::{Outcome, Timestamp as Instant};
use serde::{Deserialize, Serialize};

use super::{
    encryption::Encryption,
    included_data::{self, NO_DEFINITION},
    machines::Resolved,
};
use crate::{
    States,
    catalog::{Logging, MachineType, Tracing},
    engine::{Answer, Command, Origin, Refusal, Started, Status},
    fault, limits,
    names::{self, ExecutionName, MachineName},
};

/// Longest token of a redrive, in characters.
const CLIENT_TOKEN_CHARS_MAX: usize = 64;
/// Longest trace header, in characters.
const TRACE_HEADER_CHARS_MAX: usize = 256;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StartExecution {
    state_machine_arn: String,
    name: Option<String>,
    input: Option<String>,
    trace_header: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StartSyncExecution {
    #[serde(flatten)]
    start: StartExecution,
    included_data: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StartedExecution {
    execution_arn: String,
    start_date: Timestamp,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeExecution {
    execution_arn: String,
    included_data: Option<String>,
}

/// Whether data that was asked for is there.
#[derive(Debug, Serialize)]
pub(crate) struct DataDetails {
    included: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribedExecution {
    execution_arn: String,
    state_machine_arn: String,
    name: String,
    status: Status,
    start_date: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_date: Option<Timestamp>,
    #[serde(flatten)]
    data: Data,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_header: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_machine_version_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_machine_alias_arn: Option<String>,
    redrive_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    redrive_date: Option<Timestamp>,
    redrive_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    redrive_status_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    map_run_arn: Option<String>,
}

/// An execution's payloads. What was not asked for is left out with its details.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_details: Option<DataDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_details: Option<DataDetails>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StopExecution {
    execution_arn: String,
    error: Option<String>,
    cause: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoppedExecution {
    stop_date: Timestamp,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RedriveExecution {
    execution_arn: String,
    client_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RedrivenExecution {
    redrive_date: Timestamp,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SyncExecution {
    execution_arn: String,
    state_machine_arn: String,
    name: String,
    start_date: Timestamp,
    stop_date: Timestamp,
    status: Status,
    #[serde(flatten)]
    data: Data,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_header: Option<String>,
    billing_details: BillingDetails,
}

/// What AWS would bill: its smallest amount of memory, and whole 100 ms.
#[derive(Debug, Serialize)]
struct BillingDetails {
    #[serde(rename = "billedMemoryUsedInMB")]
    billed_memory_used_in_mb: u64,
    #[serde(rename = "billedDurationInMilliseconds")]
    billed_duration_in_milliseconds: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StateMachineForExecution {
    state_machine_arn: String,
    name: String,
    definition: String,
    role_arn: String,
    update_date: Timestamp,
    logging_configuration: Logging,
    tracing_configuration: Tracing,
    encryption_configuration: Encryption,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    map_run_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    variable_references: BTreeMap<String, BTreeSet<String>>,
}

impl States {
    pub(crate) async fn start_execution(
        &self,
        input: StartExecution,
        _: &RequestContext,
    ) -> Result<StartedExecution, ApiError> {
        let named = input.name.is_some();
        let found = self.prepared(&input).await?;
        let definition = self.catalog.definition(&found.revision.definition).await?;
        let machine = definition.machine.clone();
        if found.machine.machine_type == MachineType::Express {
            let origin = self.origin(found, input, true);
            let started = self.started(&origin);
            drop(self.engine.run_express(origin, machine).await?);
            return Ok(started);
        }
        let origin = self.origin(found, input, false);
        let (started, wanted) = (self.started(&origin), origin.input.clone());
        match self.engine.begin(origin, machine, named).await? {
            Started::New => Ok(started),
            // AWS gives a running execution again if it has the same input.
            Started::Existing(there) if there.ending.is_none() && there.origin.input == wanted => {
                Ok(self.started(&there.origin))
            }
            Started::Existing(_) => Err(fault::execution_exists(started.execution_arn)),
        }
    }

    pub(crate) async fn start_sync_execution(
        &self,
        input: StartSyncExecution,
        _: &RequestContext,
    ) -> Result<SyncExecution, ApiError> {
        let all = included_data::all(input.included_data.as_deref())?;
        let input = input.start;
        let found = self.prepared(&input).await?;
        if found.machine.machine_type != MachineType::Express {
            return Err(fault::type_not_supported());
        }
        let definition = self.catalog.definition(&found.revision.definition).await?;
        let origin = Origin {
            synchronous: true,
            ..self.origin(found, input, true)
        };
        let started = self.started(&origin);
        let (state_machine_arn, name) = (origin.machine_arn.clone(), origin.name.clone());
        let (given, trace_header) = (origin.input.clone(), origin.trace_header.clone());
        let ended = self.engine.run_express(origin, definition.machine.clone()).await?;
        let ended = ended.await.map_err(|_| fault::unavailable())?;
        let took = u64::try_from(ended.stopped.since(started.start_date).as_millis()).unwrap_or(u64::MAX);
        let (error, cause) = failure(&ended.outcome);
        Ok(SyncExecution {
            execution_arn: started.execution_arn,
            state_machine_arn,
            name,
            start_date: started.start_date,
            stop_date: ended.stopped,
            status: Status::of(Some(&ended.outcome)),
            data: Data::of(given, Some(&ended.outcome), all),
            error,
            cause,
            trace_header,
            billing_details: BillingDetails {
                billed_memory_used_in_mb: 64,
                billed_duration_in_milliseconds: took.div_ceil(100).max(1) * 100,
            },
        })
    }

    pub(crate) async fn describe_execution(
        &self,
        input: DescribeExecution,
        _: &RequestContext,
    ) -> Result<DescribedExecution, ApiError> {
        let all = included_data::all(input.included_data.as_deref())?;
        let there = self.found(&input.execution_arn).await?;
        if there.ending.is_some() {
            self.engine.settled(&input.execution_arn).await;
        }
        let redrive = there.redrive;
        let kind = Redrivable::of(&there.origin);
        let (outcome, stop_date) = there.ending.unzip();
        let status = Status::of(outcome.as_ref());
        let (error, cause) = outcome.as_ref().map(failure).unwrap_or_default();
        let (redrive_status, redrive_status_reason) = redrive_status(status, kind);
        Ok(DescribedExecution {
            execution_arn: input.execution_arn,
            state_machine_version_arn: there.origin.version_arn(),
            state_machine_alias_arn: there.origin.alias_arn(),
            state_machine_arn: there.origin.machine_arn,
            name: there.origin.name,
            map_run_arn: there.origin.child_of.map(|child| child.map_run_arn),
            status,
            start_date: timestamp(there.origin.started),
            stop_date,
            data: Data::of(there.origin.input, outcome.as_ref(), all),
            trace_header: there.origin.trace_header,
            error,
            cause,
            redrive_count: redrive.as_ref().map_or(0, |redrive| redrive.count),
            redrive_date: redrive.map(|redrive| redrive.date),
            redrive_status,
            redrive_status_reason,
        })
    }

    pub(crate) async fn stop_execution(
        &self,
        input: StopExecution,
        _: &RequestContext,
    ) -> Result<StoppedExecution, ApiError> {
        limits::failure_length(input.error.as_deref(), input.cause.as_deref())?;
        self.execution_name(&input.execution_arn)?;
        let command = Command::Stop {
            error: input.error,
            cause: input.cause,
        };
        match self.engine.deliver(&input.execution_arn, command).await {
            Ok(Answer::Done(stop_date)) => {
                self.engine.settled(&input.execution_arn).await;
                Ok(StoppedExecution { stop_date })
            }
            // What has ended stays as it ended; AWS answers when.
            Err(Refusal::Ended) => {
                let ending = self.found(&input.execution_arn).await?.ending;
                ending
                    .map(|(_, stop_date)| StoppedExecution { stop_date })
                    .ok_or_else(fault::unavailable)
            }
            Err(Refusal::Missing) => Err(fault::no_execution(&input.execution_arn)),
            Ok(Answer::Task(_)) | Err(Refusal::NotWaiting | Refusal::Unavailable) => Err(fault::unavailable()),
        }
    }

    pub(crate) async fn redrive_execution(
        &self,
        input: RedriveExecution,
        _: &RequestContext,
    ) -> Result<RedrivenExecution, ApiError> {
        if let Some(token) = &input.client_token {
            Constraints::new()
                .length("clientToken", token, 1, CLIENT_TOKEN_CHARS_MAX)
                .pattern("clientToken", token, r"[!-~]+", |text| {
                    text.chars().all(|character| character.is_ascii_graphic())
                })
                .check()?;
        }
        let arn = &input.execution_arn;
        if self.execution_name(arn)?.machine.contains('/') {
            return Err(fault::redriven_by_map_run(arn));
        }
        let redrive_date = self.engine.redrive(arn, input.client_token.as_deref()).await?;
        Ok(RedrivenExecution { redrive_date })
    }

    pub(crate) async fn describe_state_machine_for_execution(
        &self,
        input: DescribeExecution,
        _: &RequestContext,
    ) -> Result<StateMachineForExecution, ApiError> {
        let all = included_data::all(input.included_data.as_deref())?;
        let origin = self.found(&input.execution_arn).await?.origin;
        let definition = match all {
            true => self.catalog.definition(&origin.revision.definition).await?.text.clone(),
            false => NO_DEFINITION.to_owned(),
        };
        let label = origin.machine.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(StateMachineForExecution {
            state_machine_arn: origin.machine_arn,
            name: origin.machine,
            variable_references: scones_asl::variable_references(&definition),
            definition,
            role_arn: origin.revision.role_arn,
            update_date: origin.revision.date,
            logging_configuration: origin.revision.logging,
            tracing_configuration: origin.revision.tracing,
            encryption_configuration: Encryption::owned(),
            revision_id: origin.revision.id,
            label: origin.child_of.is_some().then_some(label),
            map_run_arn: origin.child_of.map(|child| child.map_run_arn),
        })
    }

    /// Checks a start and finds what it starts.
    async fn prepared(&self, input: &StartExecution) -> Result<Resolved, ApiError> {
        let (arn, test_case) = test_case_of(&input.state_machine_arn);
        let name: MachineName = names::parse_machine(&self.owner, "stateMachineArn", arn)?;
        if let Some(case) = test_case {
            let mocks = &self.engine.shared.options.mocks;
            mocks.check(&name.machine, case).map_err(fault::invalid_arn)?;
        }
        if let Some(name) = &input.name {
            names::check("name", name)?;
        }
        if let Some(header) = &input.trace_header {
            Constraints::new()
                .length("traceHeader", header, 0, TRACE_HEADER_CHARS_MAX)
                .pattern("traceHeader", header, r"\p{ASCII}*", str::is_ascii)
                .check()?;
        }
        limits::payload_length("input", input.input.as_deref(), limits::PAYLOAD_BYTES_MAX)?;
        if let Some(text) = &input.input {
            serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(fault::invalid_input)?;
        }
        self.resolve(&name).await
    }

    fn origin(&self, found: Resolved, input: StartExecution, express: bool) -> Origin {
        let machine = found.machine.name;
        let (_, test_case) = test_case_of(&input.state_machine_arn);
        let test_case = test_case.map(str::to_owned);
        let name = input.name.unwrap_or_else(|| self.ids.id().to_string());
        let id = express.then(|| self.ids.id().to_string());
        let execution = ExecutionName {
            machine: machine.clone(),
            name: name.clone(),
            express: id,
        };
        Origin {
            execution_arn: names::arn(&self.owner, &execution),
            name,
            machine_arn: names::machine_arn(&self.owner, &machine),
            machine,
            input: input.input.unwrap_or_else(|| "{}".to_owned()),
            started: Instant(self.clock.now().as_millis()),
            seed: self.ids.seed(),
            revision: found.revision,
            version: found.version,
            alias: found.alias,
            trace_header: input.trace_header,
            express,
            synchronous: false,
            child_of: None,
            test_case,
        }
    }

    fn started(&self, origin: &Origin) -> StartedExecution {
        StartedExecution {
            execution_arn: origin.execution_arn.clone(),
            start_date: timestamp(origin.started),
        }
    }

    /// The execution that an ARN names.
    pub(crate) async fn found(&self, arn: &str) -> Result<crate::engine::Description, ApiError> {
        names::parse_any_execution(&self.owner, arn)?;
        self.engine.describe(arn).await?.ok_or_else(|| fault::no_execution(arn))
    }

    /// Checks that `arn` names an execution of this owner that a request may change.
    pub(crate) fn execution_name(&self, arn: &str) -> Result<ExecutionName, ApiError> {
        names::parse_execution(&self.owner, arn)
    }
}

impl Data {
    /// The payloads, if they are asked for.
    fn of(input: String, outcome: Option<&Outcome>, asked: bool) -> Self {
        if !asked {
            return Self::default();
        }
        let output = match outcome {
            Some(Outcome::Succeeded { output }) => Some(output.to_string()),
            _ => None,
        };
        Self {
            input: Some(input),
            input_details: Some(DataDetails { included: true }),
            output_details: output.as_ref().map(|_| DataDetails { included: true }),
            output,
        }
    }
}

/// What may redrive an execution that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Redrivable {
    /// A request.
    Itself,
    /// The redrive of the execution whose map run it is a child of.
    ByMapRun,
    /// Nothing: an Express execution leaves nothing to go on with.
    Never,
}

impl Redrivable {
    fn of(origin: &Origin) -> Self {
        match (&origin.child_of, origin.express) {
            (Some(_), _) => Self::ByMapRun,
            (None, true) => Self::Never,
            (None, false) => Self::Itself,
        }
    }
}

/// Whether an execution can be redriven, as the API says it, and why not.
pub(crate) fn redrive_status(status: Status, redrivable: Redrivable) -> (&'static str, Option<String>) {
    let never = |reason: String| ("NOT_REDRIVABLE", Some(reason));
    match (status, redrivable) {
        (Status::Running | Status::Succeeded, _) => {
            never(format!("Execution is {} and cannot be redriven", status.as_str()))
        }
        (_, Redrivable::Never) => never("Express executions cannot be redriven".to_owned()),
        (_, Redrivable::ByMapRun) => ("REDRIVABLE_BY_MAP_RUN", None),
        (_, Redrivable::Itself) => ("REDRIVABLE", None),
    }
}

/// `ARN#TestCase` in its parts.
fn test_case_of(arn: &str) -> (&str, Option<&str>) {
    match arn.split_once('#') {
        Some((arn, case)) => (arn, Some(case)),
        None => (arn, None),
    }
}

fn failure(outcome: &Outcome) -> (Option<String>, Option<String>) {
    match outcome {
        Outcome::Failed { error, cause } | Outcome::Aborted { error, cause } => (error.clone(), cause.clone()),
        Outcome::Succeeded { .. } | Outcome::TimedOut => (None, None),
    }
}

pub(crate) fn timestamp(instant: Instant) -> Timestamp {
    Timestamp::from_millis(instant.0)
}
