//! Activities and their workers' side of tasks.

use std::time::Duration;

use scones_api::{ApiError, RequestContext, Timestamp};
use scones_store::{Error as StoreError, ListQuery};
use serde::{Deserialize, Serialize};

use super::{
    encryption::Encryption,
    machines::{ListStateMachines as Paging, Nothing, next_position, next_token},
    tags::{self, Tag},
};
use crate::{States, catalog::Activity, fault, limits, names};

#[derive(Debug, Deserialize)]
pub(crate) struct CreateActivity {
    name: String,
    tags: Option<Vec<Tag>>,
    #[serde(rename = "encryptionConfiguration")]
    encryption: Option<Encryption>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreatedActivity {
    activity_arn: String,
    creation_date: Timestamp,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ActivityReference {
    activity_arn: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribedActivity {
    activity_arn: String,
    name: String,
    creation_date: Timestamp,
    encryption_configuration: Encryption,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ActivityList {
    activities: Vec<ListedActivity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedActivity {
    activity_arn: String,
    name: String,
    creation_date: Timestamp,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GetActivityTask {
    activity_arn: String,
    worker_name: Option<String>,
}

/// Empty when no task came in time; AWS then sends a null token.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ActivityTask {
    task_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<String>,
}

impl States {
    pub(crate) async fn create_activity(
        &self,
        input: CreateActivity,
        _: &RequestContext,
    ) -> Result<CreatedActivity, ApiError> {
        names::check("name", &input.name)?;
        Encryption::check(input.encryption.as_ref())?;
        let activity_arn = names::activity_arn(&self.owner, &input.name);
        let tags = tags::merged(Default::default(), input.tags.unwrap_or_default(), &activity_arn)?;
        let activity = Activity {
            name: input.name,
            created: self.clock.now(),
            tags,
        };
        let creation_date = match self.catalog.activities.create(&activity.name, &activity).await {
            Ok(_) => activity.created,
            Err(StoreError::Conflict { .. }) => self.activity(&activity_arn).await?.created,
            Err(error) => return Err(error.into()),
        };
        Ok(CreatedActivity {
            activity_arn,
            creation_date,
        })
    }

    pub(crate) async fn describe_activity(
        &self,
        input: ActivityReference,
        _: &RequestContext,
    ) -> Result<DescribedActivity, ApiError> {
        let activity = self.activity(&input.activity_arn).await?;
        Ok(DescribedActivity {
            activity_arn: input.activity_arn,
            name: activity.name,
            creation_date: activity.created,
            encryption_configuration: Encryption::owned(),
        })
    }

    pub(crate) async fn delete_activity(
        &self,
        input: ActivityReference,
        _: &RequestContext,
    ) -> Result<Nothing, ApiError> {
        let name = names::parse_activity(&self.owner, &input.activity_arn)?;
        if self.catalog.activities.delete(&name).await? {
            self.engine.forget_activity(&input.activity_arn).await?;
        }
        Ok(Nothing {})
    }

    pub(crate) async fn list_activities(&self, input: Paging, _: &RequestContext) -> Result<ActivityList, ApiError> {
        const SCOPE: &str = "ListActivities";
        let limit = limits::page_size(input.max_results)?;
        let after = next_position(SCOPE, input.next_token.as_deref())?;
        let query = ListQuery {
            after,
            limit: limit + 1,
            ..ListQuery::default()
        };
        let mut page = self.catalog.activities.list(query).await?;
        let next_token = next_token(SCOPE, &mut page, limit)?;
        let listed = |(_, activity): (String, Activity)| ListedActivity {
            activity_arn: names::activity_arn(&self.owner, &activity.name),
            name: activity.name,
            creation_date: activity.created,
        };
        Ok(ActivityList {
            activities: page.into_iter().map(listed).collect(),
            next_token,
        })
    }

    pub(crate) async fn get_activity_task(
        &self,
        input: GetActivityTask,
        _: &RequestContext,
    ) -> Result<ActivityTask, ApiError> {
        limits::name_length("workerName", input.worker_name.as_deref())?;
        let name = self.activity(&input.activity_arn).await?.name;
        let activity_arn = names::activity_arn(&self.owner, &name);
        let patience = Duration::from_secs(limits::ACTIVITY_POLL_SECONDS);
        let task = self
            .engine
            .poll(&activity_arn, input.worker_name.as_deref(), patience)
            .await?;
        Ok(match task {
            None => ActivityTask::default(),
            Some(call) => ActivityTask {
                task_token: call.token.clone(),
                input: Some(call.input.to_string()),
            },
        })
    }

    async fn activity(&self, arn: &str) -> Result<Activity, ApiError> {
        let name = names::parse_activity(&self.owner, arn)?;
        let found = self.catalog.activities.get(&name).await?;
        found.map(|found| found.value).ok_or_else(|| fault::no_activity(arn))
    }
}
