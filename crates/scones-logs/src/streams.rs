//! The operations on streams.

use scones_api::{ApiError, Constraints, PageToken, RequestContext, page_limit};
use serde::{Deserialize, Serialize};

use crate::{
    Logs,
    error::{check, invalid},
    groups::invalid_token,
    limits::LISTING_PAGE_MAX,
    names::{constrain_stream, group_name, stream_arn},
    put::sequence_token,
    registry::{Group, Summarised},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamName {
    log_group_name: String,
    log_stream_name: String,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default)]
enum OrderBy {
    #[default]
    LogStreamName,
    LastEventTime,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeLogStreams {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_name_prefix: Option<String>,
    order_by: Option<OrderBy>,
    #[serde(default)]
    descending: bool,
    next_token: Option<String>,
    limit: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogStreams {
    log_streams: Vec<LogStream>,
    /// Absent on the last page: some clients ask until it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogStream {
    log_stream_name: String,
    creation_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_event_timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_event_timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_ingestion_time: Option<i64>,
    upload_sequence_token: String,
    arn: String,
    /// Always zero, as AWS has answered since 2019.
    stored_bytes: u64,
}

impl Logs {
    pub(crate) async fn create_log_stream(&self, input: StreamName, _: &RequestContext) -> Result<(), ApiError> {
        let mut constraints = Constraints::new();
        constrain_stream(&mut constraints, "logStreamName", &input.log_stream_name);
        check(&constraints)?;
        let group = self.registry.group(&input.log_group_name).await?;
        let now = self.clock.now().as_millis();
        self.registry
            .create_stream(&group, &input.log_stream_name, now)
            .await
            .map(drop)
    }

    pub(crate) async fn delete_log_stream(&self, input: StreamName, _: &RequestContext) -> Result<(), ApiError> {
        let group = self.registry.group(&input.log_group_name).await?;
        self.registry.delete_stream(&group, &input.log_stream_name).await
    }

    pub(crate) async fn describe_log_streams(
        &self,
        input: DescribeLogStreams,
        _: &RequestContext,
    ) -> Result<LogStreams, ApiError> {
        let order = input.order_by.unwrap_or_default();
        if order == OrderBy::LastEventTime && input.log_stream_name_prefix.is_some() {
            return Err(invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
        }
        let name = group_name(input.log_group_name, input.log_group_identifier)?;
        let group = self.registry.group(&name).await?;
        let listing = Listing {
            scope: format!("DescribeLogStreams {} {}", group.id, input.descending),
            prefix: input.log_stream_name_prefix.unwrap_or_default(),
            descending: input.descending,
            limit: page_limit(input.limit, LISTING_PAGE_MAX, LISTING_PAGE_MAX),
            token: input.next_token,
        };
        let (streams, next_token) = match order {
            OrderBy::LogStreamName => self.streams_by_name(&group, listing).await?,
            OrderBy::LastEventTime => self.streams_by_time(&group, listing).await?,
        };
        let describe = |stream| self.describe_stream(&name, stream);
        Ok(LogStreams {
            log_streams: streams.into_iter().map(describe).collect(),
            next_token,
        })
    }

    async fn streams_by_name(&self, group: &Group, listing: Listing) -> Result<Page, ApiError> {
        let after: Option<String> = listing.position()?;
        let limit = listing.limit + 1;
        let mut found = self
            .registry
            .list_streams(group, &listing.prefix, after.as_deref(), limit, listing.descending)
            .await?;
        let more = found.len() > listing.limit;
        found.truncate(listing.limit);
        let last = found.last().map(|(name, _)| name);
        let next_token = listing.token_if(more, &last)?;
        Ok((self.registry.summaries(found).await?, next_token))
    }

    async fn streams_by_time(&self, group: &Group, listing: Listing) -> Result<Page, ApiError> {
        let after: Option<(i64, String)> = listing.position()?;
        let streams = self.registry.all_streams(group, "").await?;
        let mut streams = self.registry.summaries(streams).await?;
        // A stream without events is older than any other.
        let key = |stream: &Summarised| {
            let last = stream.summary.map_or(0, |summary| summary.last);
            (last, stream.name.clone())
        };
        streams.sort_by_cached_key(key);
        if listing.descending {
            streams.reverse();
        }
        streams.retain(|stream| match &after {
            None => true,
            Some(after) if listing.descending => key(stream) < *after,
            Some(after) => key(stream) > *after,
        });
        let more = streams.len() > listing.limit;
        streams.truncate(listing.limit);
        let next_token = listing.token_if(more, &streams.last().map(key))?;
        Ok((streams, next_token))
    }

    fn describe_stream(&self, group: &str, found: Summarised) -> LogStream {
        let Summarised { name, stream, summary } = found;
        LogStream {
            arn: stream_arn(&self.owner, group, &name),
            log_stream_name: name,
            creation_time: stream.created,
            first_event_timestamp: summary.map(|summary| summary.first),
            last_event_timestamp: summary.map(|summary| summary.last),
            last_ingestion_time: summary.map(|summary| summary.ingested),
            upload_sequence_token: sequence_token(summary),
            stored_bytes: 0,
        }
    }
}

type Page = (Vec<Summarised>, Option<String>);

struct Listing {
    scope: String,
    prefix: String,
    descending: bool,
    limit: usize,
    token: Option<String>,
}

impl Listing {
    fn position<T: serde::de::DeserializeOwned>(&self) -> Result<Option<T>, ApiError> {
        let decode = |token: &String| PageToken::decode(&self.scope, token).ok_or_else(invalid_token);
        self.token.as_ref().map(decode).transpose()
    }

    fn token_if(&self, more: bool, position: &impl Serialize) -> Result<Option<String>, ApiError> {
        more.then(|| PageToken::encode(&self.scope, position)).transpose()
    }
}
