//! DescribeTrainingJob, ListTrainingJobs, StopTrainingJob.

use indexmap::IndexMap;
use scones_api::{ApiError, Arn, Constraints, RequestContext, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::{
    AlgorithmSpecification, Channel, JobStatus, MetricData, OutputDataConfig, ResourceConfig, SecondaryStatus,
    StopCause, StoppingCondition, TrainingJobRecord, Transition,
};
use crate::{
    SageMaker,
    listing::{self, Direction, Facts, Filter, Query},
    location::Location,
    member::Members,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TrainingJobNameInput {
    training_job_name: Option<String>,
}

impl TrainingJobNameInput {
    fn name(self) -> Result<String, ApiError> {
        let mut constraints = Constraints::new();
        let name = constraints.required_text("trainingJobName", self.training_job_name, Members::name);
        constraints.check().map(|()| name)
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ModelArtifacts {
    s3_model_artifacts: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeTrainingJobOutput {
    training_job_name: String,
    training_job_arn: Arn,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_artifacts: Option<ModelArtifacts>,
    training_job_status: JobStatus,
    secondary_status: SecondaryStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
    hyper_parameters: IndexMap<String, String>,
    algorithm_specification: AlgorithmSpecification,
    role_arn: String,
    input_data_config: Vec<Channel>,
    output_data_config: OutputDataConfig,
    resource_config: ResourceConfig,
    stopping_condition: StoppingCondition,
    creation_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    training_start_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    training_end_time: Option<Timestamp>,
    last_modified_time: Timestamp,
    secondary_status_transitions: Vec<Transition>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    final_metric_data_list: Vec<MetricData>,
    enable_network_isolation: bool,
    enable_inter_container_traffic_encryption: bool,
    enable_managed_spot_training: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    training_time_in_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    billable_time_in_seconds: Option<u64>,
    profiling_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<IndexMap<String, String>>,
    #[serde(flatten)]
    echoed: IndexMap<String, Value>,
}

impl DescribeTrainingJobOutput {
    fn new(job: TrainingJobRecord) -> Result<Self, ApiError> {
        let model_artifacts = if job.has_model {
            let s3_model_artifacts = artefact(&job)?.to_string();
            Some(ModelArtifacts { s3_model_artifacts })
        } else {
            None
        };
        let (training_time, secondary) = (job.training_seconds(), job.secondary());
        let request = job.request;
        Ok(Self {
            training_job_name: job.name,
            training_job_arn: job.arn,
            model_artifacts,
            training_job_status: job.status,
            secondary_status: secondary,
            failure_reason: job.failure_reason,
            hyper_parameters: request.hyper_parameters,
            algorithm_specification: request.algorithm_specification,
            role_arn: request.role_arn,
            input_data_config: request.input_data_config,
            output_data_config: request.output_data_config,
            resource_config: request.resource_config,
            stopping_condition: request.stopping_condition,
            creation_time: job.created,
            training_start_time: job.started,
            training_end_time: job.ended,
            last_modified_time: job.modified,
            secondary_status_transitions: job.transitions,
            final_metric_data_list: job.metrics,
            enable_network_isolation: request.enable_network_isolation,
            enable_inter_container_traffic_encryption: request.enable_inter_container_traffic_encryption,
            enable_managed_spot_training: request.enable_managed_spot_training,
            training_time_in_seconds: training_time,
            billable_time_in_seconds: training_time,
            // No profiler runs here, whatever ProfilerConfig says.
            profiling_status: "Disabled",
            environment: request.environment,
            echoed: request.echoed,
        })
    }
}

/// Where the job's artefact goes: `S3OutputPath/JOB/output/model.tar.gz`, or the folder `model/`
/// there when the job asks for no compression.
pub(crate) fn artefact(job: &TrainingJobRecord) -> Result<Location, ApiError> {
    let output = &job.request.output_data_config;
    let name = if output.compression_type.as_deref() == Some("NONE") {
        "model/"
    } else {
        "model.tar.gz"
    };
    Ok(Location::parse(&output.s3_output_path)?.below(&format!("{}/output/{name}", job.name)))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListTrainingJobsInput {
    next_token: Option<String>,
    max_results: Option<i64>,
    creation_time_after: Option<Timestamp>,
    creation_time_before: Option<Timestamp>,
    last_modified_time_after: Option<Timestamp>,
    last_modified_time_before: Option<Timestamp>,
    name_contains: Option<String>,
    status_equals: Option<String>,
    sort_by: Option<String>,
    sort_order: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListTrainingJobsOutput {
    training_job_summaries: Vec<TrainingJobSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TrainingJobSummary {
    training_job_name: String,
    training_job_arn: Arn,
    creation_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    training_end_time: Option<Timestamp>,
    last_modified_time: Timestamp,
    training_job_status: JobStatus,
    secondary_status: SecondaryStatus,
}

impl SageMaker {
    pub(crate) async fn describe_training_job(
        &self,
        input: TrainingJobNameInput,
        _: &RequestContext,
    ) -> Result<DescribeTrainingJobOutput, ApiError> {
        let job = self.training_jobs.get(&input.name()?).await?.ok_or_else(no_such_job)?;
        DescribeTrainingJobOutput::new(job.value)
    }

    pub(crate) async fn list_training_jobs(
        &self,
        input: ListTrainingJobsInput,
        _: &RequestContext,
    ) -> Result<ListTrainingJobsOutput, ApiError> {
        if let Some(status) = &input.status_equals {
            let known = &["InProgress", "Completed", "Failed", "Stopping", "Stopped", "Deleting"];
            Constraints::new().one_of("statusEquals", status, known).check()?;
        }
        let query = Query {
            operation: "ListTrainingJobs",
            sort_by: input.sort_by.as_deref(),
            sort_keys: &["CreationTime", "Name", "Status"],
            sort_order: input.sort_order.as_deref(),
            default_order: Direction::Ascending,
            next_token: input.next_token.as_deref(),
            max_results: input.max_results,
        };
        let filter = Filter {
            name_contains: input.name_contains.as_deref(),
            status_equals: input.status_equals.as_deref(),
            created_after: input.creation_time_after,
            created_before: input.creation_time_before,
            modified_after: input.last_modified_time_after,
            modified_before: input.last_modified_time_before,
        };
        let facts = |(name, job): &(String, TrainingJobRecord)| Facts {
            name: name.clone(),
            status: format!("{:?}", job.status),
            created: job.created,
            modified: job.modified,
        };
        let (page, next_token) = listing::page(self.training_jobs.all("").await?, &query, &filter, facts)?;
        let summary = |(training_job_name, job): (String, TrainingJobRecord)| TrainingJobSummary {
            training_job_name,
            creation_time: job.created,
            training_end_time: job.ended,
            last_modified_time: job.modified,
            training_job_status: job.status,
            secondary_status: job.secondary(),
            training_job_arn: job.arn,
        };
        Ok(ListTrainingJobsOutput {
            training_job_summaries: page.into_iter().map(summary).collect(),
            next_token,
        })
    }

    pub(crate) async fn stop_training_job(
        &self,
        input: TrainingJobNameInput,
        _: &RequestContext,
    ) -> Result<(), ApiError> {
        let name = input.name()?;
        let now = self.clock.now();
        let stop = |job: &mut TrainingJobRecord| -> Result<(), ApiError> {
            if job.status != JobStatus::InProgress {
                return Err(ApiError::validation(format!(
                    "The request was rejected because the training job is in status {:?}",
                    job.status
                )));
            }
            job.stop = Some(StopCause::Request);
            job.status = JobStatus::Stopping;
            job.enter(SecondaryStatus::Stopping, now);
            Ok(())
        };
        self.training_jobs.update(&name, stop).await?.ok_or_else(no_such_job)?;
        self.tell_job_to_stop(&name);
        Ok(())
    }
}

fn no_such_job() -> ApiError {
    ApiError::validation("Requested resource not found.")
}
