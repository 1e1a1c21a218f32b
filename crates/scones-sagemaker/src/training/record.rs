//! What the store keeps of a training job, and the states that it goes through.

use indexmap::IndexMap;
use scones_api::{Arn, Timestamp};
use scones_vision::dataset::manifest::Attributes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{limits, member::Tag, training::process::ProcessIdentity};

/// `TrainingJobStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum JobStatus {
    InProgress,
    Stopping,
    Completed,
    Failed,
    Stopped,
}

impl JobStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Stopping => "Stopping",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Stopped => "Stopped",
        }
    }

    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Stopped)
    }
}

/// `SecondaryStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SecondaryStatus {
    Starting,
    Pending,
    Downloading,
    Training,
    Uploading,
    Stopping,
    Stopped,
    MaxRuntimeExceeded,
    Completed,
    Failed,
}

impl SecondaryStatus {
    /// AWS's words for each.
    fn message(self) -> &'static str {
        match self {
            Self::Starting => "Starting the training job",
            Self::Pending => "Training job waiting for capacity",
            Self::Downloading => "Downloading input data",
            Self::Training => "Training image download completed. Training in progress.",
            Self::Uploading => "Uploading generated training model",
            Self::Stopping => "Stopping the training job",
            Self::Stopped => "Training job stopped",
            Self::MaxRuntimeExceeded => "Training job runtime exceeded MaxRuntimeInSeconds provided",
            Self::Completed => "Training job completed",
            Self::Failed => "Training job failed",
        }
    }
}

/// One step in a job's life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Transition {
    pub status: SecondaryStatus,
    pub start_time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Timestamp>,
    pub status_message: String,
}

/// The last value of a metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MetricData {
    pub metric_name: String,
    pub value: f64,
    pub timestamp: Timestamp,
}

/// Why a job is being stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StopCause {
    Request,
    MaxRuntime,
    Shutdown,
}

/// A channel of input data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Channel {
    pub channel_name: String,
    pub data_source: DataSource,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_wrapper_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shuffle_config: Option<Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DataSource {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3_data_source: Option<S3DataSource>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_system_data_source: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct S3DataSource {
    pub s3_data_type: String,
    pub s3_uri: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3_data_distribution_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute_names: Option<Vec<String>>,
}

/// What a channel's S3 URI names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataType {
    /// All objects under it.
    S3Prefix,
    /// A list of objects.
    ManifestFile,
    /// A list of images with their labels.
    AugmentedManifestFile,
}

impl S3DataSource {
    /// Nothing for a type that is not read here.
    pub fn data_type(&self) -> Option<DataType> {
        match self.s3_data_type.as_str() {
            "S3Prefix" => Some(DataType::S3Prefix),
            "ManifestFile" => Some(DataType::ManifestFile),
            "AugmentedManifestFile" => Some(DataType::AugmentedManifestFile),
            _ => None,
        }
    }

    /// The two attributes that image classification takes of each line of an augmented manifest.
    pub fn attributes(&self) -> Option<Attributes> {
        match self.attribute_names.as_deref()? {
            [image, label] => Some(Attributes {
                image: image.clone(),
                label: label.clone(),
            }),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AlgorithmSpecification {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_image: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm_name: Option<String>,
    pub training_input_mode: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_definitions: Option<Vec<Value>>,
    #[serde(default)]
    pub enable_sage_maker_metrics_time_series: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OutputDataConfig {
    /// The SDK reads it unconditionally, so it is there even when it is empty.
    #[serde(default)]
    pub kms_key_id: String,
    pub s3_output_path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression_type: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ResourceConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_count: Option<i64>,
    #[serde(default, rename = "VolumeSizeInGB", skip_serializing_if = "Option::is_none")]
    pub volume_size_in_gb: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_kms_key_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive_period_in_seconds: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_groups: Option<Vec<Value>>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StoppingCondition {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_runtime_in_seconds: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_wait_time_in_seconds: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_pending_time_in_seconds: Option<i64>,
}

/// What was asked for, as DescribeTrainingJob gives it back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TrainingRequest {
    pub hyper_parameters: IndexMap<String, String>,
    pub algorithm_specification: AlgorithmSpecification,
    pub role_arn: String,
    pub input_data_config: Vec<Channel>,
    pub output_data_config: OutputDataConfig,
    pub resource_config: ResourceConfig,
    pub stopping_condition: StoppingCondition,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<IndexMap<String, String>>,
    pub enable_network_isolation: bool,
    pub enable_inter_container_traffic_encryption: bool,
    pub enable_managed_spot_training: bool,
    /// Members that change nothing here and are given back as they came:
    /// DebugHookConfig, ProfilerConfig, VpcConfig and the like.
    #[serde(default)]
    pub echoed: IndexMap<String, Value>,
}

impl TrainingRequest {
    /// The members that were asked for and change nothing here, for the job's log.
    pub fn without_effect(&self) -> Vec<&str> {
        let environment = self.environment.as_ref().is_some_and(|variables| !variables.is_empty());
        let members = [
            ("Environment", environment),
            ("EnableNetworkIsolation", self.enable_network_isolation),
            (
                "EnableInterContainerTrafficEncryption",
                self.enable_inter_container_traffic_encryption,
            ),
            ("EnableManagedSpotTraining", self.enable_managed_spot_training),
        ];
        let asked = members.into_iter().filter_map(|(name, asked)| asked.then_some(name));
        asked.chain(self.echoed.keys().map(String::as_str)).collect()
    }
}

/// A training job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrainingJobRecord {
    pub name: String,
    pub arn: Arn,
    pub request: TrainingRequest,
    pub tags: Vec<Tag>,
    pub status: JobStatus,
    pub transitions: Vec<Transition>,
    pub failure_reason: Option<String>,
    pub metrics: Vec<MetricData>,
    pub created: Timestamp,
    pub modified: Timestamp,
    /// When the data began to be downloaded.
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    /// Set once, by whoever stops the job first.
    pub stop: Option<StopCause>,
    /// Grows when a restarted server begins a job anew, so that no two
    /// processes ever share a directory.
    pub attempt: u32,
    /// The training process, from its start on.
    pub process: Option<ProcessIdentity>,
    /// How often a process went on from the checkpoint of one that was killed.
    #[serde(default)]
    pub resumptions: u32,
    /// Whether the job has left a model in S3.
    #[serde(default)]
    pub has_model: bool,
}

impl TrainingJobRecord {
    pub fn secondary(&self) -> SecondaryStatus {
        self.transitions
            .last()
            .map_or(SecondaryStatus::Starting, |transition| transition.status)
    }

    /// The job goes over to `status` at `now`; nothing happens if it is there.
    pub fn enter(&mut self, status: SecondaryStatus, now: Timestamp) {
        self.modified = now;
        if let Some(last) = self.transitions.last_mut() {
            if last.status == status {
                return;
            }
            last.end_time = Some(now);
        }
        self.transitions.push(Transition {
            status,
            start_time: now,
            end_time: None,
            status_message: status.message().to_owned(),
        });
    }

    /// The job ends in `status` at `now`.
    pub fn end(&mut self, status: JobStatus, now: Timestamp) {
        let secondary = match (status, self.stop) {
            (JobStatus::Completed, _) => SecondaryStatus::Completed,
            (JobStatus::Stopped, Some(StopCause::MaxRuntime)) => SecondaryStatus::MaxRuntimeExceeded,
            (JobStatus::Stopped, _) => SecondaryStatus::Stopped,
            _ => SecondaryStatus::Failed,
        };
        self.status = status;
        self.enter(secondary, now);
        if let Some(last) = self.transitions.last_mut() {
            last.end_time = Some(now);
            if self.stop == Some(StopCause::Shutdown) && status == JobStatus::Stopped {
                "Training job stopped: the server was shut down".clone_into(&mut last.status_message);
            }
        }
        if self.started.is_some() {
            self.ended = Some(now);
        }
        self.process = None;
    }

    /// The job fails with a reason, cut to AWS's length.
    pub fn fail(&mut self, reason: &str, now: Timestamp) {
        self.failure_reason = Some(reason.chars().take(limits::FAILURE_REASON_LENGTH_MAX).collect());
        self.end(JobStatus::Failed, now);
    }

    /// Whole seconds from start to end, at least one.
    pub fn training_seconds(&self) -> Option<u64> {
        Some(self.ended?.since(self.started?).as_secs().max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn record() -> TrainingJobRecord {
        TrainingJobRecord {
            name: "job".to_owned(),
            arn: "arn:aws:sagemaker:us-east-1:000000000000:training-job/job"
                .parse()
                .unwrap(),
            request: serde_json::from_value(serde_json::json!({
                "HyperParameters": {}, "AlgorithmSpecification": {"TrainingInputMode": "File"}, "RoleArn": "r",
                "InputDataConfig": [], "OutputDataConfig": {"S3OutputPath": "s3://b"}, "ResourceConfig": {},
                "StoppingCondition": {}, "EnableNetworkIsolation": false,
                "EnableInterContainerTrafficEncryption": false, "EnableManagedSpotTraining": false
            }))
            .unwrap(),
            tags: Vec::new(),
            status: JobStatus::InProgress,
            transitions: Vec::new(),
            failure_reason: None,
            metrics: Vec::new(),
            created: Timestamp::default(),
            modified: Timestamp::default(),
            started: Some(Timestamp::default()),
            ended: None,
            stop: None,
            attempt: 0,
            resumptions: 0,
            process: None,
            has_model: false,
        }
    }

    #[test]
    fn every_transition_ends_where_the_next_begins() {
        let mut job = record();
        for (millis, status) in [
            (1, SecondaryStatus::Starting),
            (2, SecondaryStatus::Downloading),
            (3, SecondaryStatus::Downloading),
            (4, SecondaryStatus::Training),
        ] {
            job.enter(status, Timestamp::from_millis(millis));
        }
        job.end(JobStatus::Completed, Timestamp::from_millis(2500));
        let shown: Vec<_> = job
            .transitions
            .iter()
            .map(|step| {
                (
                    step.status,
                    step.start_time.as_millis(),
                    step.end_time.map(Timestamp::as_millis),
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                (SecondaryStatus::Starting, 1, Some(2)),
                (SecondaryStatus::Downloading, 2, Some(4)),
                (SecondaryStatus::Training, 4, Some(2500)),
                (SecondaryStatus::Completed, 2500, Some(2500)),
            ]
        );
        assert_eq!(job.training_seconds(), Some(2));
    }

    #[test]
    fn a_reason_is_cut_to_the_limit() {
        let mut job = record();
        job.fail(&"é".repeat(2000), Timestamp::default());
        assert_eq!(job.failure_reason.unwrap().chars().count(), 1024);
    }
}
