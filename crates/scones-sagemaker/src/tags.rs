//! AddTags, ListTags, DeleteTags for every resource of the service.

use scones_api::{ApiError, Arn, Constraints, RequestContext};
use serde::{Deserialize, Serialize};

use crate::{
    SageMaker,
    hosting::{deployment::EndpointRecord, endpoint_config::EndpointConfigRecord, model::ModelRecord},
    limits,
    member::{Members as _, Tag},
    resource::Resource,
    training::record::TrainingJobRecord,
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

/// What becomes of a resource's tags.
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
            tags: self.tags(&arn, Some(&add)).await?,
        })
    }

    /// All tags at once: a resource has no more than 50, which is a page.
    pub(crate) async fn list_tags(&self, input: ListTagsInput, _: &RequestContext) -> Result<ListTagsOutput, ApiError> {
        let mut constraints = Constraints::new();
        let arn = constraints.present("resourceArn", input.resource_arn);
        constraints.check()?;
        Ok(ListTagsOutput {
            tags: self.tags(&arn, None).await?,
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
        self.tags(&arn, Some(&delete)).await?;
        Ok(DeleteTagsOutput {})
    }

    /// A resource's tags, changed if there is a `change`.
    async fn tags(&self, text: &str, change: Option<Change<'_>>) -> Result<Vec<Tag>, ApiError> {
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
        let tags = match kind {
            TrainingJobRecord::KIND => self.tags_of::<TrainingJobRecord>(name, change).await?,
            ModelRecord::KIND => self.tags_of::<ModelRecord>(name, change).await?,
            EndpointConfigRecord::KIND => self.tags_of::<EndpointConfigRecord>(name, change).await?,
            EndpointRecord::KIND => self.tags_of::<EndpointRecord>(name, change).await?,
            _ => None,
        };
        tags.ok_or_else(|| ApiError::validation(format!("Could not find resource \"{text}\".")))
    }

    async fn tags_of<R: Resource>(&self, name: &str, change: Option<Change<'_>>) -> Result<Option<Vec<Tag>>, ApiError> {
        let records = R::records(self);
        let record = match change {
            Some(change) => records.update(name, |record| change(record.tags())).await?,
            None => records.get(name).await?.map(|found| found.value),
        };
        Ok(record.map(|mut record| std::mem::take(record.tags())))
    }
}
