//! The tags of groups.

use std::collections::BTreeMap;

use scones_api::{ApiError, RequestContext};
use serde::{Deserialize, Serialize};

use crate::{Logs, error::no_such_group, limits::TAGS_MAX, names::name_of_identifier, registry::Group};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TagResource {
    resource_arn: String,
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UntagResource {
    resource_arn: String,
    tag_keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListTagsForResource {
    resource_arn: String,
}

#[derive(Serialize)]
pub(crate) struct Tags {
    tags: BTreeMap<String, String>,
}

impl Logs {
    pub(crate) async fn tag_resource(&self, input: TagResource, _: &RequestContext) -> Result<(), ApiError> {
        let add = |group: &mut Group| {
            group.tags.extend(input.tags.clone());
            if group.tags.len() > TAGS_MAX {
                let message = format!("A log group can have at most {TAGS_MAX} tags.");
                return Err(ApiError::bad_request("TooManyTagsException", message));
            }
            Ok(())
        };
        self.change_tags(&input.resource_arn, add).await
    }

    pub(crate) async fn untag_resource(&self, input: UntagResource, _: &RequestContext) -> Result<(), ApiError> {
        let remove = |group: &mut Group| {
            group.tags.retain(|key, _| !input.tag_keys.contains(key));
            Ok(())
        };
        self.change_tags(&input.resource_arn, remove).await
    }

    pub(crate) async fn list_tags_for_resource(
        &self,
        input: ListTagsForResource,
        _: &RequestContext,
    ) -> Result<Tags, ApiError> {
        let group = self.registry.group(&name_of_identifier(&input.resource_arn)).await?;
        Ok(Tags { tags: group.tags })
    }

    async fn change_tags(
        &self,
        arn: &str,
        change: impl FnMut(&mut Group) -> Result<(), ApiError> + Send,
    ) -> Result<(), ApiError> {
        let name = name_of_identifier(arn);
        let changed = self.registry.groups.update(&name, change).await?;
        changed.map(drop).ok_or_else(no_such_group)
    }
}
