//! DescribeTrainingJob, ListTrainingJobs, StopTrainingJob.

use indexmap::IndexMap;
use scones_api::{ApiError, Arn, Constraints, RequestContext, Timestamp};
use scones_store::Collection;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    log::metric_definitions,
    record::{
        AlgorithmSpecification, Channel, JobStatus, MetricData, OutputDataConfig, ResourceConfig, SecondaryStatus,
        StopCause, StoppingCondition, TrainingJobRecord, Transition,
    },
};
use crate::{
    SageMaker,
    listing::{Direction, Facts, ListInput, ListOutput, Listing},
    location::Location,
    member::Tag,
    resource::Resource,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TrainingJobNameInput {
    training_job_name: Option<String>,
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
            algorithm_specification: AlgorithmSpecification {
                metric_definitions: Some(metric_definitions()),
                ..request.algorithm_specification
            },
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

impl Resource for TrainingJobRecord {
    type Summary = TrainingJobSummary;

    const KIND: &'static str = "training-job";
    const NOUN: &'static str = "training job";
    const NAME_FIELD: &'static str = "trainingJobName";
    const LISTING: Listing = Listing {
        operation: "ListTrainingJobs",
        member: "TrainingJobSummaries",
        sort_keys: &["CreationTime", "Name", "Status"],
        default_order: Direction::Ascending,
    };

    fn records(service: &SageMaker) -> &Collection<Self> {
        &service.training_jobs
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            name: &self.name,
            created: self.created,
            state: Some((self.status.as_str(), self.modified)),
        }
    }

    fn tags(&mut self) -> &mut Vec<Tag> {
        &mut self.tags
    }

    fn summary(self) -> TrainingJobSummary {
        TrainingJobSummary {
            secondary_status: self.secondary(),
            training_job_name: self.name,
            training_job_arn: self.arn,
            creation_time: self.created,
            training_end_time: self.ended,
            last_modified_time: self.modified,
            training_job_status: self.status,
        }
    }

    fn missing(_: &Arn) -> ApiError {
        ApiError::validation("Requested resource not found.")
    }

    fn exists_already(arn: &Arn) -> ApiError {
        ApiError::bad_request(
            "ResourceInUse",
            format!(
                "Training job names must be unique within an AWS account and region, and a training job with this \
                 name already exists ({arn})"
            ),
        )
    }
}

impl SageMaker {
    pub(crate) async fn describe_training_job(
        &self,
        input: TrainingJobNameInput,
        _: &RequestContext,
    ) -> Result<DescribeTrainingJobOutput, ApiError> {
        let name = TrainingJobRecord::name(input.training_job_name)?;
        DescribeTrainingJobOutput::new(self.get(&name).await?)
    }

    pub(crate) async fn list_training_jobs(
        &self,
        input: ListInput,
        _: &RequestContext,
    ) -> Result<ListOutput<TrainingJobSummary>, ApiError> {
        if let Some(status) = &input.status_equals {
            let known = &["InProgress", "Completed", "Failed", "Stopping", "Stopped", "Deleting"];
            Constraints::new().one_of("statusEquals", status, known).check()?;
        }
        self.list::<TrainingJobRecord>(&input).await
    }

    pub(crate) async fn stop_training_job(
        &self,
        input: TrainingJobNameInput,
        _: &RequestContext,
    ) -> Result<(), ApiError> {
        let name = TrainingJobRecord::name(input.training_job_name)?;
        let now = self.clock.now();
        let stop = |job: &mut TrainingJobRecord| -> Result<(), ApiError> {
            if job.status != JobStatus::InProgress {
                return Err(ApiError::validation(format!(
                    "The request was rejected because the training job is in status {}",
                    job.status.as_str()
                )));
            }
            job.stop = Some(StopCause::Request);
            job.status = JobStatus::Stopping;
            job.enter(SecondaryStatus::Stopping, now);
            Ok(())
        };
        self.change(&name, stop).await?;
        self.tell_job_to_stop(&name);
        Ok(())
    }
}
