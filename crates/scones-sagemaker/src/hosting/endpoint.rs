//! The operations on endpoints.

use indexmap::IndexMap;
use scones_api::{ApiError, Arn, Constraints, RequestContext, Timestamp};
use scones_store::{Collection, Error as StoreError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{
    deployment::{DeployedVariant, Deployment, EndpointRecord, EndpointStatus},
    endpoint_config::{DataCaptureConfig, EndpointConfigRecord},
    model::ModelRecord,
};
use crate::{
    SageMaker,
    listing::{Direction, Facts, ListInput, ListOutput, Listing},
    member::{Members, Tag},
    resource::Resource,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateEndpointInput {
    endpoint_name: Option<String>,
    endpoint_config_name: Option<String>,
    deployment_config: Option<Value>,
    tags: Option<Vec<Tag>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EndpointArnOutput {
    endpoint_arn: Arn,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateEndpointInput {
    endpoint_name: Option<String>,
    endpoint_config_name: Option<String>,
    retain_all_variant_properties: Option<bool>,
    exclude_retained_variant_properties: Option<Vec<VariantProperty>>,
    deployment_config: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct VariantProperty {
    variant_property_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateWeightsInput {
    endpoint_name: Option<String>,
    desired_weights_and_capacities: Option<Vec<DesiredWeightAndCapacity>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DesiredWeightAndCapacity {
    variant_name: String,
    desired_weight: Option<f64>,
    desired_instance_count: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EndpointNameInput {
    endpoint_name: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeEndpointOutput {
    endpoint_name: String,
    endpoint_arn: Arn,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_config_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    production_variants: Option<Vec<VariantSummary>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_capture_config: Option<CaptureSummary>,
    endpoint_status: EndpointStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
    creation_time: Timestamp,
    last_modified_time: Timestamp,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct VariantSummary {
    variant_name: String,
    deployed_images: [DeployedImage; 1],
    current_weight: f64,
    desired_weight: f64,
    current_instance_count: i64,
    desired_instance_count: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DeployedImage {
    specified_image: String,
    resolved_image: String,
    resolution_time: Timestamp,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct CaptureSummary {
    enable_capture: bool,
    capture_status: &'static str,
    current_sampling_percentage: i64,
    destination_s3_uri: String,
    kms_key_id: String,
}

impl From<&DataCaptureConfig> for CaptureSummary {
    fn from(config: &DataCaptureConfig) -> Self {
        Self {
            enable_capture: config.is_enabled(),
            capture_status: if config.is_enabled() { "Started" } else { "Stopped" },
            current_sampling_percentage: config.initial_sampling_percentage,
            destination_s3_uri: config.destination_s3_uri.clone(),
            kms_key_id: config.kms_key_id.clone().unwrap_or_default(),
        }
    }
}

impl From<&DeployedVariant> for VariantSummary {
    fn from(variant: &DeployedVariant) -> Self {
        Self {
            variant_name: variant.name.clone(),
            deployed_images: [DeployedImage {
                specified_image: variant.image.clone(),
                resolved_image: variant.image.clone(),
                resolution_time: variant.resolved,
            }],
            current_weight: variant.weight,
            desired_weight: variant.weight,
            current_instance_count: variant.instance_count,
            desired_instance_count: variant.instance_count,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EndpointSummary {
    endpoint_name: String,
    endpoint_arn: Arn,
    creation_time: Timestamp,
    last_modified_time: Timestamp,
    endpoint_status: EndpointStatus,
}

/// The names of an endpoint and its configuration, checked together.
fn names(endpoint: Option<String>, config: Option<String>) -> Result<(String, String), ApiError> {
    let mut constraints = Constraints::new();
    let endpoint = constraints.required_text("endpointName", endpoint, Members::name);
    let config = constraints.required_text("endpointConfigName", config, Members::name);
    constraints.check().map(|()| (endpoint, config))
}

impl Resource for EndpointRecord {
    type Summary = EndpointSummary;

    const KIND: &'static str = "endpoint";
    const NOUN: &'static str = "endpoint";
    const NAME_FIELD: &'static str = "endpointName";
    const LISTING: Listing = Listing {
        operation: "ListEndpoints",
        member: "Endpoints",
        sort_keys: &["CreationTime", "Name", "Status"],
        default_order: Direction::Descending,
    };

    fn records(service: &SageMaker) -> &Collection<Self> {
        &service.endpoints
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

    fn summary(self) -> EndpointSummary {
        EndpointSummary {
            endpoint_name: self.name,
            endpoint_arn: self.arn,
            creation_time: self.created,
            last_modified_time: self.modified,
            endpoint_status: self.status,
        }
    }
}

impl SageMaker {
    /// The deployment that an endpoint configuration describes now.
    async fn resolve(&self, config_name: &str) -> Result<Deployment, ApiError> {
        let config: EndpointConfigRecord = self.get(config_name).await?;
        let mut variants = Vec::new();
        for variant in &config.production_variants {
            let model: ModelRecord = self.get(variant.model_name.as_deref().unwrap_or_default()).await?;
            let container = model.container();
            variants.push(DeployedVariant {
                name: variant.variant_name.clone(),
                image: container
                    .and_then(|container| container.image.clone())
                    .unwrap_or_default(),
                artefact: container.and_then(|container| container.artefact()).map(str::to_owned),
                weight: variant.weight(),
                instance_count: variant.initial_instance_count.unwrap_or(0),
                resolved: self.clock.now(),
            });
        }
        Ok(Deployment {
            id: Uuid::new_v4().to_string(),
            config_name: config.name,
            variants,
            capture: config.data_capture_config,
        })
    }

    pub(crate) async fn create_endpoint(
        &self,
        input: CreateEndpointInput,
        _: &RequestContext,
    ) -> Result<EndpointArnOutput, ApiError> {
        let tags = input.tags.unwrap_or_default();
        let mut constraints = Constraints::new();
        constraints.tags("tags", &tags);
        constraints.check()?;
        let (name, config_name) = names(input.endpoint_name, input.endpoint_config_name)?;
        no_deployment_config(input.deployment_config.as_ref())?;
        let now = self.clock.now();
        let record = EndpointRecord {
            arn: self.arn("endpoint", &name),
            name,
            status: EndpointStatus::Creating,
            current: None,
            pending: Some(self.resolve(&config_name).await?),
            failure_reason: None,
            created: now,
            modified: now,
            tags,
        };
        self.create(&record).await?;
        self.start_deployment(&record.name);
        Ok(EndpointArnOutput {
            endpoint_arn: record.arn,
        })
    }

    pub(crate) async fn describe_endpoint(
        &self,
        input: EndpointNameInput,
        _: &RequestContext,
    ) -> Result<DescribeEndpointOutput, ApiError> {
        let record: EndpointRecord = self.get(&EndpointRecord::name(input.endpoint_name)?).await?;
        let capture = record
            .shown()
            .and_then(|deployment| deployment.capture.as_ref())
            .map(CaptureSummary::from);
        let variants = record
            .current
            .as_ref()
            .map(|current| current.variants.iter().map(Into::into).collect());
        Ok(DescribeEndpointOutput {
            endpoint_config_name: record.shown().map(|deployment| deployment.config_name.clone()),
            endpoint_name: record.name,
            endpoint_arn: record.arn,
            production_variants: variants,
            data_capture_config: capture,
            endpoint_status: record.status,
            failure_reason: record.failure_reason,
            creation_time: record.created,
            last_modified_time: record.modified,
        })
    }

    pub(crate) async fn list_endpoints(
        &self,
        input: ListInput,
        _: &RequestContext,
    ) -> Result<ListOutput<EndpointSummary>, ApiError> {
        self.list::<EndpointRecord>(&input).await
    }

    pub(crate) async fn update_endpoint(
        &self,
        input: UpdateEndpointInput,
        _: &RequestContext,
    ) -> Result<EndpointArnOutput, ApiError> {
        let (name, config_name) = names(input.endpoint_name, input.endpoint_config_name)?;
        no_deployment_config(input.deployment_config.as_ref())?;
        self.get::<EndpointRecord>(&name).await?;
        let resolved = self.resolve(&config_name).await?;
        let retains = |property: &str| {
            let mut excluded = input.exclude_retained_variant_properties.iter().flatten();
            input.retain_all_variant_properties == Some(true)
                && !excluded.any(|excluded| excluded.variant_property_type == property)
        };
        let plan = |record: &EndpointRecord| {
            let mut pending = resolved.clone();
            if let Some(current) = &record.current {
                retain(
                    &mut pending,
                    current,
                    retains("DesiredWeight"),
                    retains("DesiredInstanceCount"),
                );
                if retains("DataCaptureConfig") {
                    pending.capture.clone_from(&current.capture);
                }
            }
            Ok(pending)
        };
        self.redeploy(&name, plan).await
    }

    pub(crate) async fn update_endpoint_weights_and_capacities(
        &self,
        input: UpdateWeightsInput,
        _: &RequestContext,
    ) -> Result<EndpointArnOutput, ApiError> {
        let mut constraints = Constraints::new();
        let desired = constraints.present("desiredWeightsAndCapacities", input.desired_weights_and_capacities);
        for (at, wish) in desired.iter().enumerate() {
            let field = |member: &str| format!("desiredWeightsAndCapacities.{}.member.{member}", at + 1);
            constraints.name(&field("variantName"), &wish.variant_name);
            #[expect(clippy::cast_possible_truncation, reason = "a cast from f64 saturates")]
            let whole = wish.desired_weight.unwrap_or(0.0).floor() as i64;
            constraints.range(&field("desiredWeight"), whole, 0, i64::MAX - 1);
            let count = wish.desired_instance_count.unwrap_or(1);
            constraints.range(&field("desiredInstanceCount"), count, 0, i64::from(i32::MAX));
        }
        constraints.check()?;
        let name = EndpointRecord::name(input.endpoint_name)?;
        let plan = |record: &EndpointRecord| {
            let Some(mut pending) = record.current.clone() else {
                return Err(ApiError::validation(format!(
                    "Cannot update failed endpoint \"{}\".",
                    record.arn
                )));
            };
            for wish in &desired {
                let variant = pending
                    .variants
                    .iter_mut()
                    .find(|variant| variant.name == wish.variant_name);
                let variant = variant.ok_or_else(|| {
                    ApiError::validation(format!(
                        "The variant name(s) \"{}\" is/are not present within endpoint configuration \"{}\".",
                        wish.variant_name, pending.config_name
                    ))
                })?;
                variant.weight = wish.desired_weight.unwrap_or(variant.weight);
                variant.instance_count = wish.desired_instance_count.unwrap_or(variant.instance_count);
            }
            Ok(pending)
        };
        self.redeploy(&name, plan).await
    }

    /// Begins to deploy what `plan` makes of an endpoint, unless it is changing already.
    async fn redeploy(
        &self,
        name: &str,
        plan: impl Fn(&EndpointRecord) -> Result<Deployment, ApiError> + Send + Sync,
    ) -> Result<EndpointArnOutput, ApiError> {
        let now = self.clock.now();
        let update = |record: &mut EndpointRecord| {
            not_in_progress(record)?;
            record.update_to(plan(record)?, now);
            Ok(())
        };
        let record = self.change(name, update).await?;
        self.start_deployment(name);
        Ok(EndpointArnOutput {
            endpoint_arn: record.arn,
        })
    }

    pub(crate) async fn delete_endpoint(&self, input: EndpointNameInput, _: &RequestContext) -> Result<(), ApiError> {
        let name = EndpointRecord::name(input.endpoint_name)?;
        // An update that begins meanwhile wins: what is being deployed is not deleted.
        while let Some(found) = self.endpoints.get(&name).await? {
            not_in_progress(&found.value)?;
            match self.endpoints.delete_at(&name, found.revision).await {
                Err(StoreError::Conflict { .. }) => continue,
                deleted => deleted?,
            }
            self.fleet.remove(&name);
            self.captures.flush().await;
            self.discard_unused_models().await;
            return Ok(());
        }
        Err(self.missing::<EndpointRecord>(&name))
    }
}

fn not_in_progress(record: &EndpointRecord) -> Result<(), ApiError> {
    if record.status.is_in_progress() {
        return Err(ApiError::validation(format!(
            "Cannot update in-progress endpoint \"{}\".",
            record.arn
        )));
    }
    Ok(())
}

/// Traffic moves to new models at once: nothing is shifted step by step or rolled back by alarms.
fn no_deployment_config(config: Option<&Value>) -> Result<(), ApiError> {
    match config {
        None => Ok(()),
        Some(_) => Err(ApiError::not_implemented("deployment guardrails (DeploymentConfig)")),
    }
}

/// Keeps the weights and counts that variants of the same name have now.
fn retain(pending: &mut Deployment, current: &Deployment, weights: bool, counts: bool) {
    let now: IndexMap<&str, &DeployedVariant> = current
        .variants
        .iter()
        .map(|variant| (variant.name.as_str(), variant))
        .collect();
    for variant in &mut pending.variants {
        let Some(now) = now.get(variant.name.as_str()) else {
            continue;
        };
        if weights {
            variant.weight = now.weight;
        }
        if counts {
            variant.instance_count = now.instance_count;
        }
    }
}
