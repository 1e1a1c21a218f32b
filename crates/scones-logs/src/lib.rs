//! CloudWatch Logs: groups, streams and events, over any store.
//!
//! A stream's events are one history of the store, so an acknowledged
//! `PutLogEvents` is on disk as a whole. Services in the same process write
//! through [`Logs::append`], which makes groups and streams as it needs them.
//!
//! It never runs queries (Logs Insights), subscriptions or metric filters, and
//! events beyond a group's retention are hidden rather than deleted.

mod error;
mod events;
mod filter;
mod get;
mod groups;
mod journal;
mod limits;
mod names;
mod pattern;
mod put;
mod registry;
mod streams;
mod tags;

use std::sync::Arc;

use scones_api::{Clock, Owner};
use scones_store::Store;

pub use error::Error;
pub use events::LogEvent;
use registry::Registry;

/// The service.
pub struct Logs {
    owner: Owner,
    clock: Arc<dyn Clock>,
    registry: Registry,
}

impl Logs {
    /// Starts the service over `store` and finishes the deletions that a crash
    /// interrupted.
    pub async fn start(store: Arc<dyn Store>, owner: Owner, clock: Arc<dyn Clock>) -> Result<Arc<Self>, Error> {
        let registry = Registry::new(store);
        registry.finish_deletions().await?;
        Ok(Arc::new(Self { owner, clock, registry }))
    }
}

scones_api::operations! {
    Logs, constraints: "InvalidParameterException" {
        "CreateLogGroup" => create_log_group,
        "DeleteLogGroup" => delete_log_group,
        "DescribeLogGroups" => describe_log_groups,
        "PutRetentionPolicy" => put_retention_policy,
        "DeleteRetentionPolicy" => delete_retention_policy,
        "CreateLogStream" => create_log_stream,
        "DeleteLogStream" => delete_log_stream,
        "DescribeLogStreams" => describe_log_streams,
        "PutLogEvents" => put_log_events,
        "GetLogEvents" => get_log_events,
        "FilterLogEvents" => filter_log_events,
        "TagResource" => tag_resource,
        "UntagResource" => untag_resource,
        "ListTagsForResource" => list_tags_for_resource,
    }
}
