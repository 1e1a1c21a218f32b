//! AddTags, ListTags, DeleteTags for every resource of the service.

use scones_api::{ApiError, Arn, Constraints, RequestContext};
use scones_store::Collection;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    SageMaker, limits,
    member::{Members as _, Tag},
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AddTagsInput {
    resource_arn: Option<String>,
    tags: Option<Vec<Tag>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AddTagsOutput {
    tags: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListTagsInput {
    resource_arn: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListTagsOutput {
    tags: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeleteTagsInput {
    resource_arn: Option<String>,
    tag_keys: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct DeleteTagsOutput {}

/// Changes a resource's tags, or only looks at them.
type Change<'a> = &'a (dyn Fn(&mut Vec<Tag>) -> Result<(), ApiError> + Send + Sync);

impl SageMaker {
    pub(crate) async fn add_tags(&self, input: AddTagsInput, _: &RequestContext) -> Result<AddTagsOutput, ApiError> {
        let mut constraints = Constraints::new();
        let arn = constraints.present("resourceArn", input.resource_arn);
        let added = constraints.present("tags", input.tags);
        constraints.tags("tags", &added);
        constraints.check()?;
        let add = |tags: &mut Vec<Tag>| {
            for tag in &added {
                match tags.iter_mut().find(|known| known.key == tag.key) {
                    Some(known) => known.value.clone_from(&tag.value),
                    None => tags.push(tag.clone()),
                }
            }
            let count = tags.len();
            if count > limits::TAGS_MAX {
                let maximum = limits::TAGS_MAX;
                return Err(ApiError::bad_request(
                    "ResourceLimitExceeded",
                    format!("A resource has at most {maximum} tags; this request would make {count}."),
                ));
            }
            Ok(())
        };
        Ok(AddTagsOutput {
            tags: self.change_tags(&arn, &add).await?,
        })
    }

    /// All tags at once: a resource has no more than 50, which is a page.
    pub(crate) async fn list_tags(&self, input: ListTagsInput, _: &RequestContext) -> Result<ListTagsOutput, ApiError> {
        let mut constraints = Constraints::new();
        let arn = constraints.present("resourceArn", input.resource_arn);
        constraints.check()?;
        let (kind, name) = self.resource(&arn)?;
        let tags = match kind.as_str() {
            "training-job" => self.training_jobs.get(&name).await?.map(|found| found.value.tags),
            "model" => self.models.get(&name).await?.map(|found| found.value.tags),
            "endpoint-config" => self.endpoint_configs.get(&name).await?.map(|found| found.value.tags),
            _ => self.endpoints.get(&name).await?.map(|found| found.value.tags),
        };
        Ok(ListTagsOutput {
            tags: tags.ok_or_else(|| no_such_resource(&arn))?,
        })
    }

    pub(crate) async fn delete_tags(
        &self,
        input: DeleteTagsInput,
        _: &RequestContext,
    ) -> Result<DeleteTagsOutput, ApiError> {
        let mut constraints = Constraints::new();
        let arn = constraints.present("resourceArn", input.resource_arn);
        let keys = constraints.present("tagKeys", input.tag_keys);
        constraints.count("tagKeys", keys.len(), 1, limits::TAGS_MAX);
        constraints.check()?;
        let delete = |tags: &mut Vec<Tag>| {
            tags.retain(|tag| !keys.contains(&tag.key));
            Ok(())
        };
        self.change_tags(&arn, &delete).await?;
        Ok(DeleteTagsOutput {})
    }

    async fn change_tags(&self, arn: &str, change: Change<'_>) -> Result<Vec<Tag>, ApiError> {
        let (kind, name) = self.resource(arn)?;
        let tags = match kind.as_str() {
            "training-job" => update(&self.training_jobs, &name, change, |job| &mut job.tags).await?,
            "model" => update(&self.models, &name, change, |model| &mut model.tags).await?,
            "endpoint-config" => update(&self.endpoint_configs, &name, change, |config| &mut config.tags).await?,
            _ => update(&self.endpoints, &name, change, |endpoint| &mut endpoint.tags).await?,
        };
        tags.ok_or_else(|| no_such_resource(arn))
    }

    /// The kind and name of a resource that this service may have.
    fn resource(&self, text: &str) -> Result<(String, String), ApiError> {
        let invalid = || {
            ApiError::validation(format!(
                "Invalid ARN: \"{text}\" is not the ARN of a SageMaker resource."
            ))
        };
        let arn: Arn = text.parse().map_err(|_| invalid())?;
        if arn.service != "sagemaker" || arn.account != self.owner.account.as_str() {
            return Err(invalid());
        }
        let (kind, name) = arn.resource.split_once('/').ok_or_else(invalid)?;
        match kind {
            "training-job" | "model" | "endpoint-config" | "endpoint" => Ok((kind.to_owned(), name.to_owned())),
            _ => Err(no_such_resource(text)),
        }
    }
}

async fn update<T: Serialize + DeserializeOwned>(
    collection: &Collection<T>,
    name: &str,
    change: Change<'_>,
    tags: fn(&mut T) -> &mut Vec<Tag>,
) -> Result<Option<Vec<Tag>>, ApiError> {
    let mut changed = None;
    let updated = collection
        .update(name, |record| {
            let tags = tags(record);
            change(tags)?;
            changed = Some(tags.clone());
            Ok::<(), ApiError>(())
        })
        .await?;
    Ok(updated.and(changed))
}

fn no_such_resource(arn: &str) -> ApiError {
    ApiError::validation(format!("Could not find resource \"{arn}\"."))
}
