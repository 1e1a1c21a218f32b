//! Bucket operations.

use s3s::{S3Request, S3Response, dto};
use scones_api::{ApiError, PageToken};

use super::convert::{owner, s3_timestamp};
use crate::{S3, error::invalid_argument, limits::BUCKETS_MAX};

type Answer<T> = Result<S3Response<T>, ApiError>;

pub(super) async fn create(s3: &S3, request: S3Request<dto::CreateBucketInput>) -> Answer<dto::CreateBucketOutput> {
    let input = request.input;
    let configuration = input.create_bucket_configuration.unwrap_or_default();
    if configuration.bucket.is_some() || configuration.location.is_some() {
        return Err(ApiError::not_implemented("directory buckets"));
    }
    let location = configuration
        .location_constraint
        .as_ref()
        .map(dto::BucketLocationConstraint::as_str);
    s3.create_bucket(&input.bucket, location).await?;
    Ok(S3Response::new(dto::CreateBucketOutput {
        location: Some(format!("/{}", input.bucket)),
    }))
}

pub(super) async fn delete(s3: &S3, request: S3Request<dto::DeleteBucketInput>) -> Answer<dto::DeleteBucketOutput> {
    s3.delete_bucket(&request.input.bucket).await?;
    Ok(S3Response::new(dto::DeleteBucketOutput::default()))
}

pub(super) async fn head(s3: &S3, request: S3Request<dto::HeadBucketInput>) -> Answer<dto::HeadBucketOutput> {
    let bucket = s3.bucket(&request.input.bucket).await?;
    Ok(S3Response::new(dto::HeadBucketOutput {
        bucket_region: Some(bucket.region),
        ..dto::HeadBucketOutput::default()
    }))
}

pub(super) async fn location(
    s3: &S3,
    request: S3Request<dto::GetBucketLocationInput>,
) -> Answer<dto::GetBucketLocationOutput> {
    let bucket = s3.bucket(&request.input.bucket).await?;
    // AWS's oldest region has no name here.
    let constraint = (bucket.region != "us-east-1").then(|| dto::BucketLocationConstraint::from(bucket.region));
    Ok(S3Response::new(dto::GetBucketLocationOutput {
        location_constraint: constraint,
    }))
}

pub(super) async fn list(s3: &S3, request: S3Request<dto::ListBucketsInput>) -> Answer<dto::ListBucketsOutput> {
    const SCOPE: &str = "ListBuckets";
    let input = request.input;
    let limit = match input.max_buckets.map(usize::try_from) {
        None => BUCKETS_MAX,
        Some(Ok(limit)) if (1..=BUCKETS_MAX).contains(&limit) => limit,
        Some(_) => {
            return Err(invalid_argument(
                "Argument max-buckets must be an integer between 1 and 10000",
            ));
        }
    };
    let after = match &input.continuation_token {
        None => None,
        Some(token) => Some(PageToken::decode::<String>(SCOPE, token).ok_or_else(wrong_token)?),
    };
    let prefix = input.prefix.clone().unwrap_or_default();
    let mut found = s3.list_buckets(&prefix, after, limit + 1).await?;
    let mut token = None;
    if found.len() > limit {
        found.truncate(limit);
        token = match found.last() {
            Some((name, _)) => Some(PageToken::encode(SCOPE, name)?),
            None => None,
        };
    }
    let buckets = found.into_iter().filter(|(_, record)| {
        input
            .bucket_region
            .as_ref()
            .is_none_or(|region| *region == record.region)
    });
    Ok(S3Response::new(dto::ListBucketsOutput {
        buckets: Some(
            buckets
                .map(|(name, record)| dto::Bucket {
                    bucket_region: Some(record.region),
                    creation_date: Some(s3_timestamp(record.created)),
                    name: Some(name),
                })
                .collect(),
        ),
        continuation_token: token,
        owner: Some(owner(s3.owner.account.as_str())),
        prefix: input.prefix,
    }))
}

pub(super) fn wrong_token() -> ApiError {
    invalid_argument("The continuation token provided is incorrect")
}

/// A bucket never has versions. AWS says so by leaving the status out, until
/// somebody suspends them.
pub(super) async fn versioning(
    s3: &S3,
    request: S3Request<dto::GetBucketVersioningInput>,
) -> Answer<dto::GetBucketVersioningOutput> {
    let bucket = s3.bucket(&request.input.bucket).await?;
    let suspended = dto::BucketVersioningStatus::from_static(dto::BucketVersioningStatus::SUSPENDED);
    Ok(S3Response::new(dto::GetBucketVersioningOutput {
        status: bucket.versioning_suspended.then_some(suspended),
        ..dto::GetBucketVersioningOutput::default()
    }))
}

/// Suspending what was never enabled changes nothing in the objects, and is
/// remembered.
pub(super) async fn put_versioning(
    s3: &S3,
    request: S3Request<dto::PutBucketVersioningInput>,
) -> Answer<dto::PutBucketVersioningOutput> {
    s3.bucket(&request.input.bucket).await?;
    let configuration = request.input.versioning_configuration;
    match configuration.status.as_ref().map(dto::BucketVersioningStatus::as_str) {
        Some("Suspended") if configuration.mfa_delete.is_none() => {
            s3.suspend_versioning(&request.input.bucket).await?;
            Ok(S3Response::new(dto::PutBucketVersioningOutput::default()))
        }
        Some("Enabled") => Err(ApiError::not_implemented("PutBucketVersioning with Status Enabled")),
        _ => Err(ApiError::bad_request(
            "IllegalVersioningConfigurationException",
            "The Versioning element must be specified",
        )),
    }
}
