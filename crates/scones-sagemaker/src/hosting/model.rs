//! CreateModel, DescribeModel, ListModels, DeleteModel.

use indexmap::IndexMap;
use scones_api::{ApiError, Arn, Constraints, Owner, RequestContext, Timestamp};
use scones_store::Collection;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    SageMaker, image_uri, limits,
    listing::{Direction, Facts, ListInput, ListOutput, Listing},
    location::Location,
    member::{Members, Tag},
    resource::Resource,
};

/// A container of a model, as the client gave it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ContainerDefinition {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_hostname: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_config: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_data_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_data_source: Option<ModelDataSource>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<IndexMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_package_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_model_data_sources: Option<Vec<Value>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ModelDataSource {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3_data_source: Option<S3ModelDataSource>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct S3ModelDataSource {
    pub s3_uri: String,
    pub s3_data_type: String,
    pub compression_type: String,
}

impl ContainerDefinition {
    /// Where the artefact is.
    pub fn artefact(&self) -> Option<&str> {
        let source = self
            .model_data_source
            .as_ref()
            .and_then(|source| source.s3_data_source.as_ref());
        self.model_data_url
            .as_deref()
            .or(source.map(|source| source.s3_uri.as_str()))
    }

    fn constrain(&self, field: &str, constraints: &mut Constraints) {
        if let Some(hostname) = &self.container_hostname {
            constraints.name(&format!("{field}.containerHostname"), hostname);
        }
        if let Some(image) = &self.image {
            constraints.image(&format!("{field}.image"), image);
        }
        if let Some(mode) = &self.mode {
            constraints.one_of(&format!("{field}.mode"), mode, &["SingleModel", "MultiModel"]);
        }
        if let Some(url) = &self.model_data_url {
            constraints.s3_uri(&format!("{field}.modelDataUrl"), url, limits::S3_URI_LENGTH_MAX);
        }
        for (at, key) in self.environment.iter().flatten().map(|(key, _)| key).enumerate() {
            constraints.environment_key(&format!("{field}.environment.{}.member", at + 1), key);
        }
        let environment = self.environment.as_ref().map_or(0, IndexMap::len);
        constraints.count(&format!("{field}.environment"), environment, 0, limits::ENVIRONMENT_MAX);
    }

    /// Refuses by name what cannot be served here.
    fn check(&self) -> Result<(), ApiError> {
        if self.model_package_name.is_some() {
            return Err(ApiError::not_implemented(
                "models from model packages (ModelPackageName)",
            ));
        }
        if self.mode.as_deref() == Some("MultiModel") {
            return Err(ApiError::not_implemented("multi-model containers (Mode MultiModel)"));
        }
        if self
            .additional_model_data_sources
            .as_ref()
            .is_some_and(|sources| !sources.is_empty())
        {
            return Err(ApiError::not_implemented("AdditionalModelDataSources"));
        }
        if self.model_data_url.is_some() && self.model_data_source.is_some() {
            return Err(ApiError::validation(
                "Only one of ModelDataUrl or ModelDataSource can be specified for a container definition.",
            ));
        }
        let source = self
            .model_data_source
            .as_ref()
            .and_then(|source| source.s3_data_source.as_ref());
        let is_archive = |source: &S3ModelDataSource| {
            (source.s3_data_type.as_str(), source.compression_type.as_str()) == ("S3Object", "Gzip")
        };
        if !source.is_none_or(is_archive) {
            return Err(ApiError::not_implemented(
                "a ModelDataSource other than S3DataType S3Object with CompressionType Gzip",
            ));
        }
        let Some(image) = &self.image else {
            return Err(ApiError::validation(
                "One of Image or ModelPackageName must be specified for a container definition.",
            ));
        };
        image_uri::check(image)?;
        self.artefact().map_or(Ok(()), |uri| Location::parse(uri).map(drop))
    }
}

/// What the store keeps of a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ModelRecord {
    pub name: String,
    pub arn: Arn,
    pub primary_container: Option<ContainerDefinition>,
    pub containers: Option<Vec<ContainerDefinition>>,
    pub inference_execution_config: Option<Value>,
    pub execution_role_arn: Option<String>,
    pub vpc_config: Option<Value>,
    pub enable_network_isolation: bool,
    pub created: Timestamp,
    pub tags: Vec<Tag>,
}

impl ModelRecord {
    /// The only container: `check` admits no more than one.
    pub fn container(&self) -> Option<&ContainerDefinition> {
        self.primary_container
            .as_ref()
            .or(self.containers.as_ref().and_then(|list| list.first()))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateModelInput {
    model_name: Option<String>,
    primary_container: Option<ContainerDefinition>,
    containers: Option<Vec<ContainerDefinition>>,
    inference_execution_config: Option<Value>,
    execution_role_arn: Option<String>,
    tags: Option<Vec<Tag>>,
    vpc_config: Option<Value>,
    enable_network_isolation: Option<bool>,
}

impl CreateModelInput {
    fn into_record(self, owner: &Owner, created: Timestamp) -> Result<ModelRecord, ApiError> {
        let mut constraints = Constraints::new();
        let name = constraints.required_text("modelName", self.model_name, Members::model_name);
        if let Some(container) = &self.primary_container {
            container.constrain("primaryContainer", &mut constraints);
        }
        let containers = self.containers.as_deref().unwrap_or_default();
        constraints.count("containers", containers.len(), 0, limits::CONTAINERS_MAX);
        for (at, container) in containers.iter().enumerate() {
            container.constrain(&format!("containers.{}.member", at + 1), &mut constraints);
        }
        if let Some(role) = &self.execution_role_arn {
            constraints.role("executionRoleArn", role);
        }
        let tags = self.tags.unwrap_or_default();
        constraints.tags("tags", &tags);
        constraints.check()?;
        match (&self.primary_container, containers) {
            (Some(_), [_, ..]) => {
                return Err(ApiError::validation(
                    "You cannot specify both PrimaryContainer and Containers in the same request.",
                ));
            }
            (Some(container), []) | (None, [container]) => container.check()?,
            (None, []) => {
                return Err(ApiError::validation(
                    "At least one container definition must be provided for the model.",
                ));
            }
            (None, _) => {
                return Err(ApiError::not_implemented(
                    "inference pipelines (several Containers in a model)",
                ));
            }
        }
        Ok(ModelRecord {
            arn: Arn::new("sagemaker", owner, format!("model/{name}")),
            name,
            primary_container: self.primary_container,
            containers: self.containers.filter(|containers| !containers.is_empty()),
            inference_execution_config: self.inference_execution_config,
            execution_role_arn: self.execution_role_arn,
            vpc_config: self.vpc_config,
            enable_network_isolation: self.enable_network_isolation.unwrap_or(false),
            created,
            tags,
        })
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateModelOutput {
    model_arn: Arn,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ModelNameInput {
    model_name: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeModelOutput {
    model_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_container: Option<ContainerDefinition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    containers: Option<Vec<ContainerDefinition>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inference_execution_config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_role_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vpc_config: Option<Value>,
    creation_time: Timestamp,
    model_arn: Arn,
    enable_network_isolation: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ModelSummary {
    model_name: String,
    model_arn: Arn,
    creation_time: Timestamp,
}

impl Resource for ModelRecord {
    type Summary = ModelSummary;

    const KIND: &'static str = "model";
    const NOUN: &'static str = "model";
    const NAME_FIELD: &'static str = "modelName";
    const LISTING: Listing = Listing {
        operation: "ListModels",
        member: "Models",
        sort_keys: &["CreationTime", "Name"],
        default_order: Direction::Descending,
    };

    fn records(service: &SageMaker) -> &Collection<Self> {
        &service.models
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

    fn summary(self) -> ModelSummary {
        ModelSummary {
            model_name: self.name,
            model_arn: self.arn,
            creation_time: self.created,
        }
    }

    fn constrain_name(constraints: &mut Constraints, field: &str, name: &str) {
        constraints.model_name(field, name);
    }
}

impl SageMaker {
    pub(crate) async fn create_model(
        &self,
        input: CreateModelInput,
        _: &RequestContext,
    ) -> Result<CreateModelOutput, ApiError> {
        let record = input.into_record(&self.owner, self.clock.now())?;
        self.check_model_data(&record).await?;
        self.create(&record).await?;
        Ok(CreateModelOutput { model_arn: record.arn })
    }

    /// The artefact is there when the model is made; what becomes of it afterwards is seen when it is deployed.
    async fn check_model_data(&self, model: &ModelRecord) -> Result<(), ApiError> {
        let Some(uri) = model.container().and_then(ContainerDefinition::artefact) else {
            return Ok(());
        };
        let place = Location::parse(uri)?;
        match self.find_artefact(&place).await {
            Ok(Some(_)) => Ok(()),
            Err(error) if error.is_server_fault() => Err(error),
            Ok(None) | Err(_) => Err(ApiError::validation(format!("Could not find model data at {place}."))),
        }
    }

    pub(crate) async fn describe_model(
        &self,
        input: ModelNameInput,
        _: &RequestContext,
    ) -> Result<DescribeModelOutput, ApiError> {
        let record: ModelRecord = self.get(&ModelRecord::name(input.model_name)?).await?;
        Ok(DescribeModelOutput {
            model_name: record.name,
            primary_container: record.primary_container,
            containers: record.containers,
            inference_execution_config: record.inference_execution_config,
            execution_role_arn: record.execution_role_arn,
            vpc_config: record.vpc_config,
            creation_time: record.created,
            model_arn: record.arn,
            enable_network_isolation: record.enable_network_isolation,
        })
    }

    pub(crate) async fn list_models(
        &self,
        input: ListInput,
        _: &RequestContext,
    ) -> Result<ListOutput<ModelSummary>, ApiError> {
        self.list::<ModelRecord>(&input).await
    }

    pub(crate) async fn delete_model(&self, input: ModelNameInput, _: &RequestContext) -> Result<(), ApiError> {
        self.delete::<ModelRecord>(&ModelRecord::name(input.model_name)?).await
    }
}
