//! Tags of functions.

use std::collections::BTreeMap;

use scones_api::{ApiError, Constraints, RequestContext};
use serde::{Deserialize, Serialize};

use crate::{Lambda, configuration::invalid, limits::TAGS_MAX};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tagged {
    resource: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagResource {
    resource: String,
    tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UntagResource {
    resource: String,
    tag_keys: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tags {
    tags: BTreeMap<String, String>,
}

impl Lambda {
    pub(super) async fn list_tags(&self, input: Tagged, _: &RequestContext) -> Result<Tags, ApiError> {
        let name = self.tagged(&input.resource)?;
        Ok(Tags {
            tags: self.function(&name, None).await?.tags,
        })
    }

    pub(super) async fn tag_resource(&self, input: TagResource, _: &RequestContext) -> Result<(), ApiError> {
        let name = self.tagged(&input.resource)?;
        self.change(&name, |function| {
            let mut tags = function.tags.clone();
            tags.extend(input.tags.clone());
            check_tags(&tags)?;
            function.tags = tags;
            Ok(())
        })
        .await?;
        Ok(())
    }

    pub(super) async fn untag_resource(&self, input: UntagResource, _: &RequestContext) -> Result<(), ApiError> {
        let name = self.tagged(&input.resource)?;
        self.change(&name, |function| {
            for key in &input.tag_keys {
                function.tags.remove(key);
            }
            Ok(())
        })
        .await?;
        Ok(())
    }

    /// The function of an ARN; only functions as a whole have tags.
    fn tagged(&self, resource: &str) -> Result<String, ApiError> {
        Constraints::new()
            .pattern(
                "resource",
                resource,
                "arn:(aws[a-zA-Z-]*)?:lambda:.*:function:[a-zA-Z0-9-_]+",
                |text| text.starts_with("arn:"),
            )
            .check()?;
        self.unqualified(resource)
    }
}

/// Whether a function may have these tags.
pub fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), ApiError> {
    if tags.len() > TAGS_MAX {
        return Err(invalid(format!(
            "Number of tags exceeds resource tag limit. ({TAGS_MAX})"
        )));
    }
    let mut constraints = Constraints::new();
    for (key, value) in tags {
        constraints.length("tags", key, 1, 128).length("tags", value, 0, 256);
    }
    constraints.check()
}
