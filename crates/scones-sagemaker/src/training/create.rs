//! CreateTrainingJob: the request, its validation, the new record.

use std::collections::HashSet;

use indexmap::IndexMap;
use scones_api::{ApiError, Arn, Constraints, Owner, RequestContext, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::{
    AlgorithmSpecification, Channel, DataType, JobStatus, OutputDataConfig, ResourceConfig, S3DataSource,
    SecondaryStatus, StoppingCondition, TrainingJobRecord, TrainingRequest,
};
use crate::{
    SageMaker, image_uri, limits,
    location::Location,
    member::{Members, Tag, no_key},
};

const INPUT_MODES: &[&str] = &["Pipe", "File", "FastFile"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateTrainingJobInput {
    training_job_name: Option<String>,
    hyper_parameters: Option<IndexMap<String, String>>,
    algorithm_specification: Option<AlgorithmSpecification>,
    role_arn: Option<String>,
    input_data_config: Option<Vec<Channel>>,
    output_data_config: Option<OutputDataConfig>,
    resource_config: Option<ResourceConfig>,
    stopping_condition: Option<StoppingCondition>,
    tags: Option<Vec<Tag>>,
    environment: Option<IndexMap<String, String>>,
    enable_network_isolation: Option<bool>,
    enable_inter_container_traffic_encryption: Option<bool>,
    enable_managed_spot_training: Option<bool>,
    vpc_config: Option<Value>,
    checkpoint_config: Option<Value>,
    debug_hook_config: Option<Value>,
    debug_rule_configurations: Option<Value>,
    tensor_board_output_config: Option<Value>,
    experiment_config: Option<Value>,
    profiler_config: Option<Value>,
    profiler_rule_configurations: Option<Value>,
    retry_strategy: Option<Value>,
    remote_debug_config: Option<Value>,
    infra_check_config: Option<Value>,
    serverless_job_config: Option<Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateTrainingJobOutput {
    training_job_arn: Arn,
}

impl CreateTrainingJobInput {
    fn into_record(mut self, owner: &Owner, now: Timestamp) -> Result<TrainingJobRecord, ApiError> {
        if self.serverless_job_config.is_some() {
            return Err(ApiError::not_implemented("serverless training (ServerlessJobConfig)"));
        }
        if self.checkpoint_config.is_some() {
            return Err(ApiError::not_implemented(
                "checkpoints (CheckpointConfig): leave it out, the job then trains from the start",
            ));
        }
        let mut constraints = Constraints::new();
        let name = constraints.required_text("trainingJobName", self.training_job_name.take(), Members::name);
        let role_arn = constraints.required_text("roleArn", self.role_arn.take(), Members::role);
        let algorithm = required(
            &mut constraints,
            "algorithmSpecification",
            self.algorithm_specification.take(),
            constrain_algorithm,
        );
        let channels = self.input_data_config.take().unwrap_or_default();
        constrain_channels(&channels, &mut constraints);
        let output = required(
            &mut constraints,
            "outputDataConfig",
            self.output_data_config.take(),
            constrain_output,
        );
        let resources = required(
            &mut constraints,
            "resourceConfig",
            self.resource_config.take(),
            constrain_resources,
        );
        let mut stopping = self.stopping_condition.take().unwrap_or_default();
        constrain_stopping(&mut stopping, &mut constraints);
        let hyper_parameters = self.hyper_parameters.take().unwrap_or_default();
        constrain_hyperparameters(&hyper_parameters, &mut constraints);
        let environment = self.environment.take();
        constrain_environment(
            environment.iter().flatten().map(|(key, _)| key.as_str()),
            &mut constraints,
        );
        let tags = self.tags.take().unwrap_or_default();
        constraints.tags("tags", &tags);
        constraints.check()?;
        check_algorithm(&algorithm)?;
        check_channels(&channels, &algorithm.training_input_mode)?;
        check_resources(&resources)?;
        no_key("OutputDataConfig.KmsKeyId", Some(&output.kms_key_id))?;
        Location::parse(&output.s3_output_path)?;
        let mut record = TrainingJobRecord {
            arn: Arn::new("sagemaker", owner, format!("training-job/{name}")),
            name,
            request: TrainingRequest {
                hyper_parameters,
                algorithm_specification: algorithm,
                role_arn,
                input_data_config: channels,
                output_data_config: output,
                resource_config: resources,
                stopping_condition: stopping,
                environment,
                enable_network_isolation: self.enable_network_isolation.unwrap_or(false),
                enable_inter_container_traffic_encryption: self
                    .enable_inter_container_traffic_encryption
                    .unwrap_or(false),
                enable_managed_spot_training: self.enable_managed_spot_training.unwrap_or(false),
                echoed: self.echoed(),
            },
            tags,
            status: JobStatus::InProgress,
            transitions: Vec::new(),
            failure_reason: None,
            metrics: Vec::new(),
            created: now,
            modified: now,
            started: None,
            ended: None,
            stop: None,
            attempt: 0,
            resumptions: 0,
            process: None,
            has_model: false,
        };
        record.enter(SecondaryStatus::Starting, now);
        Ok(record)
    }

    fn echoed(self) -> IndexMap<String, Value> {
        let members = [
            ("VpcConfig", self.vpc_config),
            ("DebugHookConfig", self.debug_hook_config),
            ("DebugRuleConfigurations", self.debug_rule_configurations),
            ("TensorBoardOutputConfig", self.tensor_board_output_config),
            ("ExperimentConfig", self.experiment_config),
            ("ProfilerConfig", self.profiler_config),
            ("ProfilerRuleConfigurations", self.profiler_rule_configurations),
            ("RetryStrategy", self.retry_strategy),
            ("RemoteDebugConfig", self.remote_debug_config),
            ("InfraCheckConfig", self.infra_check_config),
        ];
        members
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect()
    }
}

/// A required member, checked if it is there.
fn required<T: Default>(
    constraints: &mut Constraints,
    field: &str,
    value: Option<T>,
    check: fn(&T, &mut Constraints),
) -> T {
    constraints.required(field, value.as_ref());
    if let Some(value) = &value {
        check(value, constraints);
    }
    value.unwrap_or_default()
}

fn constrain_output(output: &OutputDataConfig, constraints: &mut Constraints) {
    let path = &output.s3_output_path;
    constraints.s3_uri("outputDataConfig.s3OutputPath", path, limits::S3_URI_LENGTH_MAX);
    if let Some(compression) = &output.compression_type {
        constraints.one_of("outputDataConfig.compressionType", compression, &["GZIP", "NONE"]);
    }
}

fn constrain_algorithm(algorithm: &AlgorithmSpecification, constraints: &mut Constraints) {
    let mode = &algorithm.training_input_mode;
    constraints.one_of("algorithmSpecification.trainingInputMode", mode, INPUT_MODES);
    if let Some(image) = &algorithm.training_image {
        constraints.length(
            "algorithmSpecification.trainingImage",
            image,
            0,
            limits::IMAGE_LENGTH_MAX,
        );
    }
}

fn constrain_channels(channels: &[Channel], constraints: &mut Constraints) {
    constraints.count("inputDataConfig", channels.len(), 0, limits::CHANNELS_MAX);
    for (at, channel) in channels.iter().enumerate() {
        let field = |member: &str| format!("inputDataConfig.{}.member.{member}", at + 1);
        constraints.channel_name(&field("channelName"), &channel.channel_name);
        if let Some(content_type) = &channel.content_type {
            constraints.length(&field("contentType"), content_type, 0, 256);
        }
        if let Some(compression) = &channel.compression_type {
            constraints.one_of(&field("compressionType"), compression, &["None", "Gzip"]);
        }
        if let Some(wrapper) = &channel.record_wrapper_type {
            constraints.one_of(&field("recordWrapperType"), wrapper, &["None", "RecordIO"]);
        }
        if let Some(mode) = &channel.input_mode {
            constraints.one_of(&field("inputMode"), mode, INPUT_MODES);
        }
        if let Some(source) = &channel.data_source.s3_data_source {
            let types = &["ManifestFile", "S3Prefix", "AugmentedManifestFile", "Converse"];
            constraints.one_of(
                &field("dataSource.s3DataSource.s3DataType"),
                &source.s3_data_type,
                types,
            );
            constraints.s3_uri(
                &field("dataSource.s3DataSource.s3Uri"),
                &source.s3_uri,
                limits::S3_URI_LENGTH_MAX,
            );
            if let Some(distribution) = &source.s3_data_distribution_type {
                let known = &["FullyReplicated", "ShardedByS3Key"];
                constraints.one_of(
                    &field("dataSource.s3DataSource.s3DataDistributionType"),
                    distribution,
                    known,
                );
            }
        }
    }
}

fn constrain_resources(resources: &ResourceConfig, constraints: &mut Constraints) {
    if resources.instance_groups.is_some() {
        return;
    }
    constraints.required("resourceConfig.instanceType", resources.instance_type.as_ref());
    if let Some(instance_type) = &resources.instance_type {
        let known = |value: &str| value.starts_with("ml.") && value.matches('.').count() == 2;
        let pattern = "ml\\.[a-z0-9-]+\\.[a-z0-9]+";
        constraints.pattern("resourceConfig.instanceType", instance_type, pattern, known);
    }
    let count = constraints.present("resourceConfig.instanceCount", resources.instance_count.or(Some(1)));
    constraints.range("resourceConfig.instanceCount", count, 1, i64::from(i32::MAX));
    if let Some(size) = resources.volume_size_in_gb {
        constraints.range("resourceConfig.volumeSizeInGB", size, 1, i64::from(i32::MAX));
    }
}

/// Fills in AWS's default.
fn constrain_stopping(stopping: &mut StoppingCondition, constraints: &mut Constraints) {
    let seconds = |duration: std::time::Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let runtime = *stopping
        .max_runtime_in_seconds
        .get_or_insert(seconds(limits::MAX_RUNTIME_DEFAULT));
    constraints.range(
        "stoppingCondition.maxRuntimeInSeconds",
        runtime,
        1,
        seconds(limits::MAX_RUNTIME_MAX),
    );
    if let Some(wait) = stopping.max_wait_time_in_seconds {
        constraints.range("stoppingCondition.maxWaitTimeInSeconds", wait, 1, i64::from(i32::MAX));
    }
}

fn constrain_hyperparameters(hyperparameters: &IndexMap<String, String>, constraints: &mut Constraints) {
    constraints.count("hyperParameters", hyperparameters.len(), 0, limits::HYPERPARAMETERS_MAX);
    for (key, value) in hyperparameters {
        constraints.length("hyperParameters.key", key, 0, limits::HYPERPARAMETER_KEY_LENGTH_MAX);
        let field = format!("hyperParameters.{key}.value");
        constraints.length(&field, value, 0, limits::HYPERPARAMETER_VALUE_LENGTH_MAX);
    }
}

fn constrain_environment<'a>(keys: impl Iterator<Item = &'a str>, constraints: &mut Constraints) {
    let mut count = 0;
    for key in keys {
        count += 1;
        constraints.environment_key("environment.key", key);
    }
    constraints.count("environment", count, 0, limits::ENVIRONMENT_MAX);
}

fn check_algorithm(algorithm: &AlgorithmSpecification) -> Result<(), ApiError> {
    if algorithm.algorithm_name.is_some() {
        return Err(ApiError::not_implemented(
            "algorithm resources (AlgorithmSpecification.AlgorithmName)",
        ));
    }
    let Some(image) = &algorithm.training_image else {
        return Err(ApiError::validation(
            "Either TrainingImage or AlgorithmName must be specified.",
        ));
    };
    image_uri::check(image)?;
    if algorithm
        .metric_definitions
        .as_ref()
        .is_some_and(|definitions| !definitions.is_empty())
    {
        return Err(ApiError::validation(
            "You can't override the metric definitions for Amazon SageMaker algorithms. Please retry the request \
             without specifying metric definitions.",
        ));
    }
    Ok(())
}

/// One machine trains, and its disk is not encrypted for the job.
fn check_resources(resources: &ResourceConfig) -> Result<(), ApiError> {
    if resources.instance_groups.is_some() {
        return Err(ApiError::not_implemented(
            "heterogeneous clusters (ResourceConfig.InstanceGroups); use InstanceType and InstanceCount 1",
        ));
    }
    if let Some(count @ 2..) = resources.instance_count {
        return Err(ApiError::not_implemented(format!(
            "training on {count} instances (ResourceConfig.InstanceCount): one machine trains; use 1"
        )));
    }
    no_key("ResourceConfig.VolumeKmsKeyId", resources.volume_kms_key_id.as_deref())
}

/// What this service cannot read is refused by name; what the algorithm asks of its channels is
/// checked by the algorithm, as on AWS.
fn check_channels(channels: &[Channel], input_mode: &str) -> Result<(), ApiError> {
    let mut names = HashSet::new();
    for channel in channels {
        let name = &channel.channel_name;
        if !names.insert(name) {
            return Err(ApiError::validation(format!(
                "Channel names must be unique: \"{name}\" is used twice."
            )));
        }
        let Some(source) = &channel.data_source.s3_data_source else {
            return Err(ApiError::not_implemented(format!(
                "channel {name}'s data source (only S3DataSource is read)"
            )));
        };
        Location::parse(&source.s3_uri)?;
        match source.data_type() {
            Some(DataType::AugmentedManifestFile) => check_augmented(channel, source, input_mode)?,
            Some(DataType::S3Prefix | DataType::ManifestFile) => {
                if channel.record_wrapper_type.as_deref() == Some("RecordIO") {
                    return Err(ApiError::not_implemented(format!(
                        "channel {name}'s RecordWrapperType RecordIO beside S3DataType {}; leave it out",
                        source.s3_data_type
                    )));
                }
            }
            None => {
                return Err(ApiError::not_implemented(format!(
                    "channel {name}'s S3DataType {}; use S3Prefix, ManifestFile or AugmentedManifestFile",
                    source.s3_data_type
                )));
            }
        }
        if channel.compression_type.as_deref() == Some("Gzip") {
            return Err(ApiError::not_implemented(format!(
                "channel {name}'s CompressionType Gzip"
            )));
        }
    }
    Ok(())
}

/// As on AWS, augmented manifests come through a pipe, in records.
/// <https://docs.aws.amazon.com/sagemaker/latest/dg/augmented-manifest.html>
fn check_augmented(channel: &Channel, source: &S3DataSource, input_mode: &str) -> Result<(), ApiError> {
    let name = &channel.channel_name;
    let needed = |what: &str| {
        Err(ApiError::validation(format!(
            "Channel {name} has the S3DataType AugmentedManifestFile, which needs {what}."
        )))
    };
    if channel.input_mode.as_deref().unwrap_or(input_mode) != "Pipe" {
        return needed("the input mode Pipe");
    }
    if source.attribute_names.as_ref().is_none_or(Vec::is_empty) {
        return needed("AttributeNames, such as [\"source-ref\", \"class\"]");
    }
    if channel.record_wrapper_type.as_deref() != Some("RecordIO") {
        return needed("the RecordWrapperType RecordIO");
    }
    Ok(())
}

impl SageMaker {
    pub(crate) async fn create_training_job(
        &self,
        input: CreateTrainingJobInput,
        _: &RequestContext,
    ) -> Result<CreateTrainingJobOutput, ApiError> {
        let record = input.into_record(&self.owner, self.clock.now())?;
        if self.training_jobs.get(&record.name).await?.is_some() {
            return Err(self.exists_already::<TrainingJobRecord>(&record.name));
        }
        self.check_channels_hold_objects(&record.request).await?;
        let in_progress = self.running_jobs();
        if in_progress >= limits::TRAINING_JOBS_IN_PROGRESS_MAX {
            let limit = limits::TRAINING_JOBS_IN_PROGRESS_MAX;
            return Err(ApiError::bad_request(
                "ResourceLimitExceeded",
                format!(
                    "The account-level service limit 'Number of instances across all training jobs' is {limit} \
                     Instances, with current utilization of {in_progress} Instances and a request delta of 1 \
                     Instances. Please contact AWS support to request an increase for this limit."
                ),
            ));
        }
        self.create(&record).await?;
        self.start_job(&record.name);
        Ok(CreateTrainingJobOutput {
            training_job_arn: record.arn,
        })
    }

    async fn check_channels_hold_objects(&self, request: &TrainingRequest) -> Result<(), ApiError> {
        for source in request
            .input_data_config
            .iter()
            .filter_map(|channel| channel.data_source.s3_data_source.as_ref())
        {
            let place = Location::parse(&source.s3_uri)?;
            let found = self.dependencies.objects.list(&place.bucket, &place.key, None, 1).await;
            let problem = match found {
                Ok(objects) if !objects.is_empty() => continue,
                Ok(_) => String::new(),
                Err(error) if error.is_server_fault() => return Err(error),
                Err(error) => format!(" Error message from S3: {}", error.message),
            };
            return Err(ApiError::validation(format!(
                "No S3 objects found under S3 URL \"{}\" given in input data source. Please ensure that the bucket \
                 exists in the selected region ({}), that objects exist under that S3 prefix, and that the role \"{}\" \
                 has \"s3:ListBucket\" permissions on bucket \"{}\".{problem}",
                source.s3_uri, self.owner.region, request.role_arn, place.bucket
            )));
        }
        Ok(())
    }
}
