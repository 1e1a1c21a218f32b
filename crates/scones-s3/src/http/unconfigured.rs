//! The answers of buckets and objects on which nothing is configured, because
//! nothing can be: the truth, in AWS's form.

use s3s::{S3Request, S3Response, dto};
use scones_api::ApiError;

use super::convert::owner;
use crate::S3;

type Answer<T> = Result<S3Response<T>, ApiError>;

/// The owner may do everything, nobody else anything.
fn grants(s3: &S3) -> Vec<dto::Grant> {
    vec![dto::Grant {
        grantee: Some(dto::Grantee {
            display_name: None,
            email_address: None,
            id: owner(s3.owner.account.as_str()).id,
            type_: dto::Type::from_static(dto::Type::CANONICAL_USER),
            uri: None,
        }),
        permission: Some(dto::Permission::from_static(dto::Permission::FULL_CONTROL)),
    }]
}

pub(super) async fn bucket_acl(s3: &S3, request: S3Request<dto::GetBucketAclInput>) -> Answer<dto::GetBucketAclOutput> {
    s3.bucket(&request.input.bucket).await?;
    Ok(S3Response::new(dto::GetBucketAclOutput {
        grants: Some(grants(s3)),
        owner: Some(owner(s3.owner.account.as_str())),
    }))
}

pub(super) async fn object_acl(s3: &S3, request: S3Request<dto::GetObjectAclInput>) -> Answer<dto::GetObjectAclOutput> {
    s3.object(&request.input.bucket, &request.input.key).await?;
    Ok(S3Response::new(dto::GetObjectAclOutput {
        grants: Some(grants(s3)),
        owner: Some(owner(s3.owner.account.as_str())),
        ..dto::GetObjectAclOutput::default()
    }))
}

pub(super) async fn object_tagging(
    s3: &S3,
    request: S3Request<dto::GetObjectTaggingInput>,
) -> Answer<dto::GetObjectTaggingOutput> {
    s3.object(&request.input.bucket, &request.input.key).await?;
    Ok(S3Response::new(dto::GetObjectTaggingOutput {
        tag_set: Vec::new(),
        version_id: None,
    }))
}

pub(super) async fn ownership_controls(
    s3: &S3,
    request: S3Request<dto::GetBucketOwnershipControlsInput>,
) -> Answer<dto::GetBucketOwnershipControlsOutput> {
    s3.bucket(&request.input.bucket).await?;
    let rule = dto::OwnershipControlsRule {
        object_ownership: dto::ObjectOwnership::from_static(dto::ObjectOwnership::BUCKET_OWNER_ENFORCED),
    };
    Ok(S3Response::new(dto::GetBucketOwnershipControlsOutput {
        ownership_controls: Some(dto::OwnershipControls { rules: vec![rule] }),
    }))
}

pub(super) async fn request_payment(
    s3: &S3,
    request: S3Request<dto::GetBucketRequestPaymentInput>,
) -> Answer<dto::GetBucketRequestPaymentOutput> {
    s3.bucket(&request.input.bucket).await?;
    Ok(S3Response::new(dto::GetBucketRequestPaymentOutput {
        payer: Some(dto::Payer::from_static(dto::Payer::BUCKET_OWNER)),
    }))
}
