//! CreateEndpointConfig, DescribeEndpointConfig, ListEndpointConfigs, DeleteEndpointConfig.

use std::collections::HashSet;

use scones_api::{ApiError, Arn, Constraints, Owner, RequestContext, Timestamp};
use scones_store::Collection;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::model::ModelRecord;
use crate::{
    SageMaker, limits,
    listing::{Direction, Facts, ListInput, ListOutput, Listing},
    location::Location,
    member::{Members, Tag, no_key},
    resource::Resource,
};

/// A share of an endpoint's traffic and the model that answers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ProductionVariant {
    pub variant_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_instance_count: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_variant_weight: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core_dump_config: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serverless_config: Option<Value>,
    #[serde(default, rename = "VolumeSizeInGB", skip_serializing_if = "Option::is_none")]
    pub volume_size_in_gb: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_data_download_timeout_in_seconds: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_startup_health_check_timeout_in_seconds: Option<i64>,
    #[serde(default, rename = "EnableSSMAccess", skip_serializing_if = "Option::is_none")]
    pub enable_ssm_access: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing_config: Option<Value>,
}

impl ProductionVariant {
    /// AWS's default weight is 1.
    pub fn weight(&self) -> f64 {
        self.initial_variant_weight.unwrap_or(1.0)
    }

    fn constrain(&self, field: &str, constraints: &mut Constraints) {
        constraints.name(&format!("{field}.variantName"), &self.variant_name);
        if let Some(model) = &self.model_name {
            constraints.model_name(&format!("{field}.modelName"), model);
        }
        if let Some(count) = self.initial_instance_count {
            constraints.range(&format!("{field}.initialInstanceCount"), count, 1, i64::from(i32::MAX));
        }
        if let Some(weight) = self.initial_variant_weight {
            #[expect(clippy::cast_possible_truncation, reason = "a cast from f64 saturates")]
            let whole = weight.floor() as i64;
            constraints.range(&format!("{field}.initialVariantWeight"), whole, 0, i64::MAX - 1);
        }
        if let Some(instance_type) = &self.instance_type {
            let known = |value: &str| value.starts_with("ml.") && value.matches('.').count() == 2;
            constraints.pattern(
                &format!("{field}.instanceType"),
                instance_type,
                "ml\\.[a-z0-9-]+\\.[a-z0-9]+",
                known,
            );
        }
    }

    /// A variant's model, or why it has none that this service serves.
    fn check(&self) -> Result<&str, ApiError> {
        if self.accelerator_type.is_some() {
            return Err(ApiError::not_implemented("Elastic Inference (AcceleratorType)"));
        }
        if self.serverless_config.is_some() {
            return Err(ApiError::not_implemented(
                "serverless inference (ServerlessConfig); use InstanceType and InitialInstanceCount",
            ));
        }
        let Some(model) = &self.model_name else {
            return Err(ApiError::not_implemented(
                "inference components (a production variant without ModelName)",
            ));
        };
        if self.instance_type.is_none() || self.initial_instance_count.is_none() {
            return Err(ApiError::validation(format!(
                "Variant \"{}\" needs InstanceType and InitialInstanceCount.",
                self.variant_name
            )));
        }
        Ok(model)
    }
}

/// Which requests and answers are kept, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DataCaptureConfig {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_capture: Option<bool>,
    pub initial_sampling_percentage: i64,
    pub destination_s3_uri: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    pub capture_options: Vec<CaptureOption>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture_content_type_header: Option<CaptureContentTypeHeader>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CaptureOption {
    pub capture_mode: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CaptureContentTypeHeader {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csv_content_types: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_content_types: Option<Vec<String>>,
}

impl DataCaptureConfig {
    /// AWS captures unless it is told not to.
    pub fn is_enabled(&self) -> bool {
        self.enable_capture.unwrap_or(true)
    }

    fn constrain(&self, constraints: &mut Constraints) {
        const FIELD: &str = "dataCaptureConfig";
        constraints.range(
            &format!("{FIELD}.initialSamplingPercentage"),
            self.initial_sampling_percentage,
            0,
            100,
        );
        constraints.s3_uri(
            &format!("{FIELD}.destinationS3Uri"),
            &self.destination_s3_uri,
            limits::CAPTURE_URI_LENGTH_MAX,
        );
        constraints.count(&format!("{FIELD}.captureOptions"), self.capture_options.len(), 1, 32);
        for (at, option) in self.capture_options.iter().enumerate() {
            constraints.one_of(
                &format!("{FIELD}.captureOptions.{}.member.captureMode", at + 1),
                &option.capture_mode,
                &["Input", "Output", "InputAndOutput"],
            );
        }
        let header = self.capture_content_type_header.clone().unwrap_or_default();
        let kinds = [
            ("csvContentTypes", header.csv_content_types),
            ("jsonContentTypes", header.json_content_types),
        ];
        for (kind, types) in kinds {
            let Some(types) = types else { continue };
            let field = format!("{FIELD}.captureContentTypeHeader.{kind}");
            constraints.count(&field, types.len(), 1, limits::CAPTURE_CONTENT_TYPES_MAX);
            for (at, content_type) in types.iter().enumerate() {
                let pattern = "[a-zA-Z0-9](-*[a-zA-Z0-9])*\\/[a-zA-Z0-9](-*[a-zA-Z0-9.])*";
                constraints.pattern(
                    &format!("{field}.{}.member", at + 1),
                    content_type,
                    pattern,
                    is_content_type,
                );
            }
        }
    }
}

fn is_content_type(value: &str) -> bool {
    let Some((kind, subtype)) = value.split_once('/') else {
        return false;
    };
    let begins = |text: &str| text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let allowed = |text: &str, more: &[u8]| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    value.len() <= 256 && begins(kind) && begins(subtype) && allowed(kind, b"-") && allowed(subtype, b"-.")
}

/// What the store keeps of an endpoint configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EndpointConfigRecord {
    pub name: String,
    pub arn: Arn,
    pub production_variants: Vec<ProductionVariant>,
    pub data_capture_config: Option<DataCaptureConfig>,
    pub kms_key_id: Option<String>,
    pub execution_role_arn: Option<String>,
    pub vpc_config: Option<Value>,
    pub enable_network_isolation: Option<bool>,
    pub created: Timestamp,
    pub tags: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateEndpointConfigInput {
    endpoint_config_name: Option<String>,
    production_variants: Option<Vec<ProductionVariant>>,
    data_capture_config: Option<DataCaptureConfig>,
    tags: Option<Vec<Tag>>,
    kms_key_id: Option<String>,
    async_inference_config: Option<Value>,
    explainer_config: Option<Value>,
    shadow_production_variants: Option<Vec<Value>>,
    execution_role_arn: Option<String>,
    vpc_config: Option<Value>,
    enable_network_isolation: Option<bool>,
}

impl CreateEndpointConfigInput {
    fn into_record(self, owner: &Owner, created: Timestamp) -> Result<EndpointConfigRecord, ApiError> {
        let mut constraints = Constraints::new();
        let name = constraints.required_text("endpointConfigName", self.endpoint_config_name, Members::name);
        let variants = constraints.present("productionVariants", self.production_variants);
        constraints.count("productionVariants", variants.len(), 1, limits::VARIANTS_MAX);
        for (at, variant) in variants.iter().enumerate() {
            variant.constrain(&format!("productionVariants.{}.member", at + 1), &mut constraints);
        }
        if let Some(capture) = &self.data_capture_config {
            capture.constrain(&mut constraints);
        }
        if let Some(role) = &self.execution_role_arn {
            constraints.role("executionRoleArn", role);
        }
        let tags = self.tags.unwrap_or_default();
        constraints.tags("tags", &tags);
        constraints.check()?;
        if self.async_inference_config.is_some() {
            return Err(ApiError::not_implemented(
                "asynchronous inference (AsyncInferenceConfig)",
            ));
        }
        if self.explainer_config.is_some() {
            return Err(ApiError::not_implemented("explainers (ExplainerConfig)"));
        }
        if self
            .shadow_production_variants
            .is_some_and(|variants| !variants.is_empty())
        {
            return Err(ApiError::not_implemented("shadow variants (ShadowProductionVariants)"));
        }
        let mut names = HashSet::new();
        if let Some(twice) = variants.iter().find(|variant| !names.insert(&variant.variant_name)) {
            return Err(ApiError::validation(format!(
                "Production variant names must be unique within an endpoint configuration: \"{}\" is used twice.",
                twice.variant_name
            )));
        }
        no_key("KmsKeyId", self.kms_key_id.as_deref())?;
        if let Some(capture) = &self.data_capture_config {
            no_key("DataCaptureConfig.KmsKeyId", capture.kms_key_id.as_deref())?;
            Location::parse(&capture.destination_s3_uri)?;
        }
        Ok(EndpointConfigRecord {
            arn: Arn::new("sagemaker", owner, format!("endpoint-config/{name}")),
            name,
            production_variants: variants,
            data_capture_config: self.data_capture_config,
            kms_key_id: self.kms_key_id,
            execution_role_arn: self.execution_role_arn,
            vpc_config: self.vpc_config,
            enable_network_isolation: self.enable_network_isolation,
            created,
            tags,
        })
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateEndpointConfigOutput {
    endpoint_config_arn: Arn,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EndpointConfigNameInput {
    endpoint_config_name: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeEndpointConfigOutput {
    endpoint_config_name: String,
    endpoint_config_arn: Arn,
    production_variants: Vec<ProductionVariant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_capture_config: Option<DataCaptureConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kms_key_id: Option<String>,
    creation_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_role_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vpc_config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_network_isolation: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EndpointConfigSummary {
    endpoint_config_name: String,
    endpoint_config_arn: Arn,
    creation_time: Timestamp,
}

impl Resource for EndpointConfigRecord {
    type Summary = EndpointConfigSummary;

    const KIND: &'static str = "endpoint-config";
    const NOUN: &'static str = "endpoint configuration";
    const NAME_FIELD: &'static str = "endpointConfigName";
    const LISTING: Listing = Listing {
        operation: "ListEndpointConfigs",
        member: "EndpointConfigs",
        sort_keys: &["CreationTime", "Name"],
        default_order: Direction::Descending,
    };

    fn records(service: &SageMaker) -> &Collection<Self> {
        &service.endpoint_configs
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            name: &self.name,
            created: self.created,
            state: None,
        }
    }

    fn tags(&mut self) -> &mut Vec<Tag> {
        &mut self.tags
    }

    fn summary(self) -> EndpointConfigSummary {
        EndpointConfigSummary {
            endpoint_config_name: self.name,
            endpoint_config_arn: self.arn,
            creation_time: self.created,
        }
    }
}

impl SageMaker {
    pub(crate) async fn create_endpoint_config(
        &self,
        input: CreateEndpointConfigInput,
        _: &RequestContext,
    ) -> Result<CreateEndpointConfigOutput, ApiError> {
        let record = input.into_record(&self.owner, self.clock.now())?;
        for variant in &record.production_variants {
            self.get::<ModelRecord>(variant.check()?).await?;
        }
        self.create(&record).await?;
        Ok(CreateEndpointConfigOutput {
            endpoint_config_arn: record.arn,
        })
    }

    pub(crate) async fn describe_endpoint_config(
        &self,
        input: EndpointConfigNameInput,
        _: &RequestContext,
    ) -> Result<DescribeEndpointConfigOutput, ApiError> {
        let name = EndpointConfigRecord::name(input.endpoint_config_name)?;
        let record: EndpointConfigRecord = self.get(&name).await?;
        Ok(DescribeEndpointConfigOutput {
            endpoint_config_name: record.name,
            endpoint_config_arn: record.arn,
            production_variants: record.production_variants,
            data_capture_config: record.data_capture_config,
            kms_key_id: record.kms_key_id,
            creation_time: record.created,
            execution_role_arn: record.execution_role_arn,
            vpc_config: record.vpc_config,
            enable_network_isolation: record.enable_network_isolation,
        })
    }

    pub(crate) async fn list_endpoint_configs(
        &self,
        input: ListInput,
        _: &RequestContext,
    ) -> Result<ListOutput<EndpointConfigSummary>, ApiError> {
        self.list::<EndpointConfigRecord>(&input).await
    }

    pub(crate) async fn delete_endpoint_config(
        &self,
        input: EndpointConfigNameInput,
        _: &RequestContext,
    ) -> Result<(), ApiError> {
        let name = EndpointConfigRecord::name(input.endpoint_config_name)?;
        self.delete::<EndpointConfigRecord>(&name).await
    }
}
