//! The operations on groups.

use std::collections::BTreeMap;

use scones_api::{ApiError, Constraints, PageToken, RequestContext, page_limit};
use scones_store::ListQuery;
use serde::{Deserialize, Serialize};

use crate::{
    Logs,
    error::{check, invalid, no_such_group},
    limits::{LISTING_PAGE_MAX, RETENTION_DAYS, TAGS_MAX},
    names::{constrain_group, group_arn},
    registry::{Group, LISTING},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateLogGroup {
    log_group_name: String,
    kms_key_id: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    log_group_class: Option<String>,
    #[serde(default)]
    deletion_protection_enabled: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GroupName {
    log_group_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PutRetentionPolicy {
    log_group_name: String,
    retention_in_days: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeLogGroups {
    log_group_name_prefix: Option<String>,
    log_group_name_pattern: Option<String>,
    log_group_class: Option<String>,
    next_token: Option<String>,
    limit: Option<i64>,
    log_group_identifiers: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogGroups {
    log_groups: Vec<LogGroup>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogGroup {
    log_group_name: String,
    creation_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_in_days: Option<u32>,
    metric_filter_count: u32,
    arn: String,
    log_group_arn: String,
    stored_bytes: u64,
    log_group_class: String,
}

impl Logs {
    pub(crate) async fn create_log_group(&self, input: CreateLogGroup, _: &RequestContext) -> Result<(), ApiError> {
        let class = input.log_group_class.unwrap_or_else(|| "STANDARD".to_owned());
        let mut constraints = Constraints::new();
        constrain_group(&mut constraints, "logGroupName", &input.log_group_name);
        constraints.one_of(
            "logGroupClass",
            &class,
            &["STANDARD", "INFREQUENT_ACCESS", "DELIVERY", "ESSENTIALS"],
        );
        check(&constraints)?;
        if input.kms_key_id.is_some() {
            return Err(ApiError::not_implemented("CreateLogGroup with kmsKeyId"));
        }
        if input.deletion_protection_enabled {
            return Err(ApiError::not_implemented(
                "CreateLogGroup with deletionProtectionEnabled",
            ));
        }
        if input.tags.len() > TAGS_MAX {
            return Err(invalid(format!("A log group can have at most {TAGS_MAX} tags.")));
        }
        let group = Group {
            class,
            tags: input.tags,
            ..Group::new(self.clock.now().as_millis())
        };
        self.registry.create_group(&input.log_group_name, &group).await
    }

    pub(crate) async fn delete_log_group(&self, input: GroupName, _: &RequestContext) -> Result<(), ApiError> {
        self.registry.delete_group(&input.log_group_name).await
    }

    pub(crate) async fn put_retention_policy(
        &self,
        input: PutRetentionPolicy,
        _: &RequestContext,
    ) -> Result<(), ApiError> {
        let days = u32::try_from(input.retention_in_days)
            .ok()
            .filter(|days| RETENTION_DAYS.contains(days));
        let Some(days) = days else {
            return Err(invalid(format!(
                "1 validation error detected: Value '{}' at 'retentionInDays' failed to satisfy constraint: \
                 Member must satisfy enum value set: {RETENTION_DAYS:?}",
                input.retention_in_days
            )));
        };
        self.set_retention(&input.log_group_name, Some(days)).await
    }

    pub(crate) async fn delete_retention_policy(&self, input: GroupName, _: &RequestContext) -> Result<(), ApiError> {
        self.set_retention(&input.log_group_name, None).await
    }

    async fn set_retention(&self, name: &str, days: Option<u32>) -> Result<(), ApiError> {
        let set = |group: &mut Group| {
            group.retention_days = days;
            Ok::<_, ApiError>(())
        };
        self.registry
            .groups
            .update(name, set)
            .await?
            .map(drop)
            .ok_or_else(no_such_group)
    }

    pub(crate) async fn describe_log_groups(
        &self,
        input: DescribeLogGroups,
        _: &RequestContext,
    ) -> Result<LogGroups, ApiError> {
        if input.log_group_identifiers.is_some() {
            return Err(ApiError::not_implemented("DescribeLogGroups with logGroupIdentifiers"));
        }
        if input.log_group_name_prefix.is_some() && input.log_group_name_pattern.is_some() {
            return Err(invalid(
                "Cannot use logGroupNamePrefix and logGroupNamePattern together.",
            ));
        }
        let limit = page_limit(input.limit, LISTING_PAGE_MAX, LISTING_PAGE_MAX);
        let prefix = input.log_group_name_prefix.unwrap_or_default();
        let pattern = input.log_group_name_pattern.unwrap_or_default();
        let matches = |name: &str, group: &Group| {
            name.contains(&pattern) && input.log_group_class.as_ref().is_none_or(|class| *class == group.class)
        };
        let scope = format!("DescribeLogGroups {prefix} {pattern}");
        let after = input
            .next_token
            .map(|token| PageToken::decode::<String>(&scope, &token));
        let mut after = after.map(|after| after.ok_or_else(invalid_token)).transpose()?;

        let mut log_groups = Vec::new();
        let mut next_token = None;
        'pages: loop {
            let query = ListQuery {
                prefix: prefix.clone(),
                after: after.take(),
                limit: LISTING,
                descending: false,
            };
            let page = self.registry.groups.list(query).await?;
            after = page
                .last()
                .filter(|_| page.len() == LISTING)
                .map(|(name, _)| name.clone());
            for (name, group) in page {
                if !matches(&name, &group) {
                    continue;
                }
                if log_groups.len() == limit {
                    let last = log_groups.last().map(|group: &LogGroup| &group.log_group_name);
                    next_token = Some(PageToken::encode(&scope, &last)?);
                    break 'pages;
                }
                log_groups.push(self.describe_group(name, group).await?);
            }
            if after.is_none() {
                break;
            }
        }
        Ok(LogGroups { log_groups, next_token })
    }

    async fn describe_group(&self, name: String, group: Group) -> Result<LogGroup, ApiError> {
        let streams = self.registry.all_streams(&group, "").await?;
        let summaries = self.registry.summaries(streams).await?;
        let stored_bytes = summaries
            .iter()
            .filter_map(|stream| stream.summary)
            .map(|summary| summary.bytes)
            .sum();
        let arn = group_arn(&self.owner, &name);
        Ok(LogGroup {
            log_group_name: name,
            creation_time: group.created,
            retention_in_days: group.retention_days,
            metric_filter_count: 0,
            arn: format!("{arn}:*"),
            log_group_arn: arn,
            stored_bytes,
            log_group_class: group.class,
        })
    }
}

pub(crate) fn invalid_token() -> ApiError {
    invalid("The specified nextToken is invalid.")
}
