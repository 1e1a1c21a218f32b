//! What the store keeps of an endpoint: its deployments, and how far they are.

use scones_api::{Arn, Timestamp};
use serde::{Deserialize, Serialize};

use super::endpoint_config::DataCaptureConfig;
use crate::{limits, member::Tag};

/// `EndpointStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EndpointStatus {
    Creating,
    Updating,
    InService,
    Failed,
}

impl EndpointStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "Creating",
            Self::Updating => "Updating",
            Self::InService => "InService",
            Self::Failed => "Failed",
        }
    }

    pub fn is_in_progress(self) -> bool {
        matches!(self, Self::Creating | Self::Updating)
    }
}

/// A variant of a deployment: everything that serving it needs, so that configuration and model
/// may be deleted while it serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DeployedVariant {
    pub name: String,
    pub image: String,
    /// The S3 URI of the model's artefact.
    pub artefact: Option<String>,
    pub weight: f64,
    pub instance_count: i64,
    pub resolved: Timestamp,
}

/// What an endpoint serves, or is about to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Deployment {
    /// Names the folder with its copies of the artefacts; stays while only weights change.
    pub id: String,
    pub config_name: String,
    pub variants: Vec<DeployedVariant>,
    pub capture: Option<DataCaptureConfig>,
}

/// What the store keeps of an endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EndpointRecord {
    pub name: String,
    pub arn: Arn,
    pub status: EndpointStatus,
    /// What serves; none before the first success.
    pub current: Option<Deployment>,
    /// What is being loaded, while the status is Creating or Updating.
    pub pending: Option<Deployment>,
    pub failure_reason: Option<String>,
    pub created: Timestamp,
    pub modified: Timestamp,
    pub tags: Vec<Tag>,
}

impl EndpointRecord {
    pub fn shown(&self) -> Option<&Deployment> {
        self.current.as_ref().or(self.pending.as_ref())
    }

    pub fn update_to(&mut self, pending: Deployment, now: Timestamp) {
        self.pending = Some(pending);
        self.status = EndpointStatus::Updating;
        self.failure_reason = None;
        self.modified = now;
    }

    /// Nothing serves; what was to is kept as pending, for its description.
    pub fn fail(&mut self, reason: &str, now: Timestamp) {
        self.status = EndpointStatus::Failed;
        self.explain(reason, now);
    }

    pub fn explain(&mut self, failure: &str, now: Timestamp) {
        self.failure_reason = Some(failure.chars().take(limits::FAILURE_REASON_LENGTH_MAX).collect());
        self.modified = now;
    }
}
