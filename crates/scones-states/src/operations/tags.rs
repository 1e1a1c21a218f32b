//! Tags of state machines and activities.

use std::collections::BTreeMap;

use scones_api::{ApiError, Constraints, RequestContext};
use serde::{Deserialize, Serialize};

use super::machines::Nothing;
use crate::{
    States, fault, limits,
    names::{self, MachineName, Resource},
};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Tag {
    #[serde(default)]
    key: String,
    #[serde(default)]
    value: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TagResource {
    resource_arn: String,
    tags: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UntagResource {
    resource_arn: String,
    tag_keys: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListTagsForResource {
    resource_arn: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct TagList {
    tags: Vec<Tag>,
}

/// What no key of a user's begins with, in any case (Tag Editor User Guide,
/// "Service quotas").
const RESERVED_PREFIX: &str = "aws:";

type Tags = BTreeMap<String, String>;

impl States {
    pub(crate) async fn tag_resource(&self, input: TagResource, _: &RequestContext) -> Result<Nothing, ApiError> {
        let added = merged(Tags::new(), input.tags, &input.resource_arn)?;
        self.change_tags(&input.resource_arn, |tags| {
            tags.extend(added.clone());
            match tags.len() > limits::TAGS_MAX {
                true => Err(fault::too_many_tags(&input.resource_arn)),
                false => Ok(()),
            }
        })
        .await
        .map(|_| Nothing {})
    }

    pub(crate) async fn untag_resource(&self, input: UntagResource, _: &RequestContext) -> Result<Nothing, ApiError> {
        self.change_tags(&input.resource_arn, |tags| {
            tags.retain(|key, _| !input.tag_keys.contains(key));
            Ok(())
        })
        .await
        .map(|_| Nothing {})
    }

    pub(crate) async fn list_tags_for_resource(
        &self,
        input: ListTagsForResource,
        _: &RequestContext,
    ) -> Result<TagList, ApiError> {
        let arn = &input.resource_arn;
        let tags = match names::parse_tagged(&self.owner, arn)? {
            Resource::Machine(MachineName {
                machine,
                qualifier: None,
            }) => self.catalog.machines.get(&machine).await?.map(|found| found.value.tags),
            Resource::Activity(name) => self.catalog.activities.get(&name).await?.map(|found| found.value.tags),
            _ => None,
        };
        let tags = tags.ok_or_else(|| fault::no_resource(arn))?;
        Ok(TagList {
            tags: tags.into_iter().map(|(key, value)| Tag { key, value }).collect(),
        })
    }

    async fn change_tags(
        &self,
        arn: &str,
        mut change: impl FnMut(&mut Tags) -> Result<(), ApiError> + Send,
    ) -> Result<(), ApiError> {
        let changed = match names::parse_tagged(&self.owner, arn)? {
            Resource::Machine(MachineName {
                machine,
                qualifier: None,
            }) => self
                .catalog
                .machines
                .update(&machine, |there| change(&mut there.tags))
                .await?
                .is_some(),
            Resource::Activity(name) => self
                .catalog
                .activities
                .update(&name, |there| change(&mut there.tags))
                .await?
                .is_some(),
            _ => false,
        };
        if changed { Ok(()) } else { Err(fault::no_resource(arn)) }
    }
}

/// `tags` with `added` checked and put in.
pub(crate) fn merged(mut tags: Tags, added: Vec<Tag>, arn: &str) -> Result<Tags, ApiError> {
    let mut constraints = Constraints::new();
    for (index, Tag { key, value }) in added.into_iter().enumerate() {
        let prefix = key.get(..RESERVED_PREFIX.len());
        if prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(RESERVED_PREFIX)) {
            return Err(ApiError::validation(format!(
                "The tag key '{key}' begins with '{RESERVED_PREFIX}', which is reserved for AWS: choose another"
            )));
        }
        constraints
            .length(
                &format!("tags.{}.member.key", index + 1),
                &key,
                1,
                limits::TAG_KEY_CHARS_MAX,
            )
            .length(
                &format!("tags.{}.member.value", index + 1),
                &value,
                0,
                limits::TAG_VALUE_CHARS_MAX,
            );
        tags.insert(key, value);
    }
    constraints.check()?;
    if tags.len() > limits::TAGS_MAX {
        return Err(fault::too_many_tags(arn));
    }
    Ok(tags)
}
