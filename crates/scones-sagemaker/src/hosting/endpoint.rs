//! The operations on endpoints, and what the store keeps of one.

use indexmap::IndexMap;
use scones_api::{ApiError, Arn, Constraints, RequestContext, Timestamp};
use scones_store::Error as StoreError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::endpoint_config::DataCaptureConfig;
use crate::{
    SageMaker,
    listing::{self, Direction, Facts, Filter, Query},
    member::{Members, Tag},
};

/// `EndpointStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EndpointStatus {
    Creating,
    Updating,
    InService,
    Failed,
}

impl EndpointStatus {
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
    fn shown(&self) -> Option<&Deployment> {
        self.current.as_ref().or(self.pending.as_ref())
    }
}

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

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListEndpointsInput {
    sort_by: Option<String>,
    sort_order: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
    name_contains: Option<String>,
    creation_time_before: Option<Timestamp>,
    creation_time_after: Option<Timestamp>,
    last_modified_time_before: Option<Timestamp>,
    last_modified_time_after: Option<Timestamp>,
    status_equals: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListEndpointsOutput {
    endpoints: Vec<EndpointSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
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

/// The required names of an input, checked together.
fn names<const COUNT: usize>(given: [(&str, Option<String>); COUNT]) -> Result<[String; COUNT], ApiError> {
    let mut constraints = Constraints::new();
    let names = given.map(|(field, value)| constraints.required_text(field, value, Members::name));
    constraints.check().map(|()| names)
}

impl SageMaker {
    pub(crate) fn no_such_endpoint(&self, name: &str) -> ApiError {
        ApiError::validation(format!("Could not find endpoint \"{}\".", self.arn("endpoint", name)))
    }

    /// The deployment that an endpoint configuration describes now.
    async fn resolve(&self, config_name: &str) -> Result<Deployment, ApiError> {
        let found = self.endpoint_configs.get(config_name).await?;
        let config = found.ok_or_else(|| self.no_such_endpoint_config(config_name))?.value;
        let mut variants = Vec::new();
        for variant in &config.production_variants {
            let model_name = variant.model_name.as_deref().unwrap_or_default();
            let model = self
                .models
                .get(model_name)
                .await?
                .ok_or_else(|| self.no_such_model(model_name))?
                .value;
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
        let [name, config_name] = names([
            ("endpointName", input.endpoint_name),
            ("endpointConfigName", input.endpoint_config_name),
        ])?;
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
        match self.endpoints.create(&record.name, &record).await {
            Ok(_) => {}
            Err(StoreError::Conflict { .. }) => {
                return Err(ApiError::validation(format!(
                    "Cannot create already existing endpoint \"{}\".",
                    record.arn
                )));
            }
            Err(error) => return Err(error.into()),
        }
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
        let [name] = names([("endpointName", input.endpoint_name)])?;
        let record = self
            .endpoints
            .get(&name)
            .await?
            .ok_or_else(|| self.no_such_endpoint(&name))?
            .value;
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
        input: ListEndpointsInput,
        _: &RequestContext,
    ) -> Result<ListEndpointsOutput, ApiError> {
        let query = Query {
            operation: "ListEndpoints",
            sort_by: input.sort_by.as_deref(),
            sort_keys: &["CreationTime", "Name", "Status"],
            sort_order: input.sort_order.as_deref(),
            default_order: Direction::Descending,
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
        let facts = |(name, record): &(String, EndpointRecord)| Facts {
            name: name.clone(),
            status: format!("{:?}", record.status),
            created: record.created,
            modified: record.modified,
        };
        let (page, next_token) = listing::page(self.endpoints.all("").await?, &query, &filter, facts)?;
        let summary = |(endpoint_name, record): (String, EndpointRecord)| EndpointSummary {
            endpoint_name,
            endpoint_arn: record.arn,
            creation_time: record.created,
            last_modified_time: record.modified,
            endpoint_status: record.status,
        };
        Ok(ListEndpointsOutput {
            endpoints: page.into_iter().map(summary).collect(),
            next_token,
        })
    }

    pub(crate) async fn update_endpoint(
        &self,
        input: UpdateEndpointInput,
        _: &RequestContext,
    ) -> Result<EndpointArnOutput, ApiError> {
        let [name, config_name] = names([
            ("endpointName", input.endpoint_name),
            ("endpointConfigName", input.endpoint_config_name),
        ])?;
        no_deployment_config(input.deployment_config.as_ref())?;
        if self.endpoints.get(&name).await?.is_none() {
            return Err(self.no_such_endpoint(&name));
        }
        let resolved = self.resolve(&config_name).await?;
        let retains = |property: &str| {
            let mut excluded = input.exclude_retained_variant_properties.iter().flatten();
            input.retain_all_variant_properties == Some(true)
                && !excluded.any(|excluded| excluded.variant_property_type == property)
        };
        let now = self.clock.now();
        let update = |record: &mut EndpointRecord| -> Result<(), ApiError> {
            self.not_in_progress(record)?;
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
            record.pending = Some(pending);
            record.status = EndpointStatus::Updating;
            record.failure_reason = None;
            record.modified = now;
            Ok(())
        };
        let updated = self.endpoints.update(&name, update).await?;
        let record = updated.ok_or_else(|| self.no_such_endpoint(&name))?;
        self.start_deployment(&name);
        Ok(EndpointArnOutput {
            endpoint_arn: record.arn,
        })
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
        let [name] = names([("endpointName", input.endpoint_name)])?;
        let now = self.clock.now();
        let update = |record: &mut EndpointRecord| -> Result<(), ApiError> {
            self.not_in_progress(record)?;
            let Some(current) = record.current.as_mut() else {
                return Err(ApiError::validation(format!(
                    "Cannot update failed endpoint \"{}\".",
                    record.arn
                )));
            };
            for wish in &desired {
                let variant = current
                    .variants
                    .iter_mut()
                    .find(|variant| variant.name == wish.variant_name);
                let variant = variant.ok_or_else(|| {
                    ApiError::validation(format!(
                        "The variant name(s) \"{}\" is/are not present within endpoint configuration \"{}\".",
                        wish.variant_name, current.config_name
                    ))
                })?;
                variant.weight = wish.desired_weight.unwrap_or(variant.weight);
                variant.instance_count = wish.desired_instance_count.unwrap_or(variant.instance_count);
            }
            record.modified = now;
            Ok(())
        };
        let updated = self.endpoints.update(&name, update).await?;
        let record = updated.ok_or_else(|| self.no_such_endpoint(&name))?;
        self.reweigh(&record);
        Ok(EndpointArnOutput {
            endpoint_arn: record.arn,
        })
    }

    pub(crate) async fn delete_endpoint(&self, input: EndpointNameInput, _: &RequestContext) -> Result<(), ApiError> {
        let [name] = names([("endpointName", input.endpoint_name)])?;
        let found = self
            .endpoints
            .get(&name)
            .await?
            .ok_or_else(|| self.no_such_endpoint(&name))?;
        self.not_in_progress(&found.value)?;
        let deleted = self.endpoints.delete(&name).await?;
        self.fleet.remove(&name);
        self.captures.flush().await;
        if deleted {
            Ok(())
        } else {
            Err(self.no_such_endpoint(&name))
        }
    }

    fn not_in_progress(&self, record: &EndpointRecord) -> Result<(), ApiError> {
        if record.status.is_in_progress() {
            return Err(ApiError::validation(format!(
                "Cannot update in-progress endpoint \"{}\".",
                record.arn
            )));
        }
        Ok(())
    }
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
