//! Which operation is which function. What is not here answers 501.

use s3s::{S3Request, S3Response, S3Result, dto};

use scones_api::ApiError;

use super::{buckets, convert::s3_error, listing, multipart, objects, unconfigured};
use crate::S3;

/// The operations, as `s3s` calls them.
pub(super) struct Operations(pub(super) S3);

/// Whether there is an operation that AWS calls so.
pub(super) fn is_built(name: &str) -> bool {
    BUILT
        .iter()
        .any(|method| method.replace('_', "").eq_ignore_ascii_case(name))
}

macro_rules! operations {
    (
        functions { $($method:ident => $function:path: $input:ident -> $output:ident;)* }
        missing { $($absent:ident: $absent_input:ident -> $absent_output:ident = $code:literal $message:literal;)* }
        nothing { $($empty:ident: $empty_input:ident -> $empty_output:ident;)* }
    ) => {
        /// The operations that there are, in Rust's spelling.
        const BUILT: &[&str] = &[$(stringify!($method),)* $(stringify!($absent),)* $(stringify!($empty),)*];

        #[async_trait::async_trait]
        impl s3s::S3 for Operations {
            $(async fn $method(&self, request: S3Request<dto::$input>) -> S3Result<S3Response<dto::$output>> {
                Box::pin($function(&self.0, request)).await.map_err(s3_error)
            })*
            $(async fn $absent(
                &self,
                request: S3Request<dto::$absent_input>,
            ) -> S3Result<S3Response<dto::$absent_output>> {
                self.0.bucket(&request.input.bucket).await.map_err(s3_error)?;
                Err(s3_error(ApiError::new(404, $code, $message)))
            })*
            $(async fn $empty(
                &self,
                request: S3Request<dto::$empty_input>,
            ) -> S3Result<S3Response<dto::$empty_output>> {
                self.0.bucket(&request.input.bucket).await.map_err(s3_error)?;
                Ok(S3Response::new(dto::$empty_output::default()))
            })*
        }
    };
}

operations! {
    functions {
        create_bucket => buckets::create: CreateBucketInput -> CreateBucketOutput;
        delete_bucket => buckets::delete: DeleteBucketInput -> DeleteBucketOutput;
        get_bucket_location => buckets::location: GetBucketLocationInput -> GetBucketLocationOutput;
        get_bucket_versioning => buckets::versioning: GetBucketVersioningInput -> GetBucketVersioningOutput;
        head_bucket => buckets::head: HeadBucketInput -> HeadBucketOutput;
        list_buckets => buckets::list: ListBucketsInput -> ListBucketsOutput;
        put_bucket_versioning => buckets::put_versioning: PutBucketVersioningInput -> PutBucketVersioningOutput;

        copy_object => objects::copy: CopyObjectInput -> CopyObjectOutput;
        delete_object => objects::delete: DeleteObjectInput -> DeleteObjectOutput;
        delete_objects => objects::delete_many: DeleteObjectsInput -> DeleteObjectsOutput;
        get_object => objects::get: GetObjectInput -> GetObjectOutput;
        get_object_attributes => objects::attributes: GetObjectAttributesInput -> GetObjectAttributesOutput;
        head_object => objects::head: HeadObjectInput -> HeadObjectOutput;
        put_object => objects::put: PutObjectInput -> PutObjectOutput;

        list_objects => listing::version_1: ListObjectsInput -> ListObjectsOutput;
        list_objects_v2 => listing::version_2: ListObjectsV2Input -> ListObjectsV2Output;
        list_object_versions => listing::versions: ListObjectVersionsInput -> ListObjectVersionsOutput;

        abort_multipart_upload => multipart::abort: AbortMultipartUploadInput -> AbortMultipartUploadOutput;
        complete_multipart_upload => multipart::complete: CompleteMultipartUploadInput -> CompleteMultipartUploadOutput;
        create_multipart_upload => multipart::create: CreateMultipartUploadInput -> CreateMultipartUploadOutput;
        list_multipart_uploads => multipart::list: ListMultipartUploadsInput -> ListMultipartUploadsOutput;
        list_parts => multipart::list_parts: ListPartsInput -> ListPartsOutput;
        upload_part => multipart::upload_part: UploadPartInput -> UploadPartOutput;
        upload_part_copy => multipart::upload_part_copy: UploadPartCopyInput -> UploadPartCopyOutput;

        get_bucket_acl => unconfigured::bucket_acl: GetBucketAclInput -> GetBucketAclOutput;
        get_bucket_ownership_controls => unconfigured::ownership_controls:
            GetBucketOwnershipControlsInput -> GetBucketOwnershipControlsOutput;
        get_bucket_request_payment => unconfigured::request_payment:
            GetBucketRequestPaymentInput -> GetBucketRequestPaymentOutput;
        get_object_acl => unconfigured::object_acl: GetObjectAclInput -> GetObjectAclOutput;
        get_object_tagging => unconfigured::object_tagging: GetObjectTaggingInput -> GetObjectTaggingOutput;
    }

    // What a bucket does not have: AWS answers 404.
    missing {
        get_bucket_cors: GetBucketCorsInput -> GetBucketCorsOutput
            = "NoSuchCORSConfiguration" "The CORS configuration does not exist";
        get_bucket_encryption: GetBucketEncryptionInput -> GetBucketEncryptionOutput
            = "ServerSideEncryptionConfigurationNotFoundError"
              "The server side encryption configuration was not found";
        get_bucket_lifecycle_configuration:
            GetBucketLifecycleConfigurationInput -> GetBucketLifecycleConfigurationOutput
            = "NoSuchLifecycleConfiguration" "The lifecycle configuration does not exist";
        get_bucket_policy: GetBucketPolicyInput -> GetBucketPolicyOutput
            = "NoSuchBucketPolicy" "The bucket policy does not exist";
        get_bucket_policy_status: GetBucketPolicyStatusInput -> GetBucketPolicyStatusOutput
            = "NoSuchBucketPolicy" "The bucket policy does not exist";
        get_bucket_replication: GetBucketReplicationInput -> GetBucketReplicationOutput
            = "ReplicationConfigurationNotFoundError" "The replication configuration was not found";
        get_bucket_tagging: GetBucketTaggingInput -> GetBucketTaggingOutput
            = "NoSuchTagSet" "The TagSet does not exist";
        get_bucket_website: GetBucketWebsiteInput -> GetBucketWebsiteOutput
            = "NoSuchWebsiteConfiguration" "The specified bucket does not have a website configuration";
        get_object_lock_configuration: GetObjectLockConfigurationInput -> GetObjectLockConfigurationOutput
            = "ObjectLockConfigurationNotFoundError" "Object Lock configuration does not exist for this bucket";
        get_object_legal_hold: GetObjectLegalHoldInput -> GetObjectLegalHoldOutput
            = "NoSuchObjectLockConfiguration" "The specified object does not have a ObjectLock configuration";
        get_object_retention: GetObjectRetentionInput -> GetObjectRetentionOutput
            = "NoSuchObjectLockConfiguration" "The specified object does not have a ObjectLock configuration";
        get_public_access_block: GetPublicAccessBlockInput -> GetPublicAccessBlockOutput
            = "NoSuchPublicAccessBlockConfiguration" "The public access block configuration was not found";
    }

    // What a bucket does not have, where AWS answers with an empty document;
    // and deletions of what it does not have, which leave it as it is.
    nothing {
        get_bucket_accelerate_configuration:
            GetBucketAccelerateConfigurationInput -> GetBucketAccelerateConfigurationOutput;
        get_bucket_logging: GetBucketLoggingInput -> GetBucketLoggingOutput;
        get_bucket_notification_configuration:
            GetBucketNotificationConfigurationInput -> GetBucketNotificationConfigurationOutput;
        delete_bucket_cors: DeleteBucketCorsInput -> DeleteBucketCorsOutput;
        delete_bucket_lifecycle: DeleteBucketLifecycleInput -> DeleteBucketLifecycleOutput;
        delete_bucket_policy: DeleteBucketPolicyInput -> DeleteBucketPolicyOutput;
        delete_bucket_tagging: DeleteBucketTaggingInput -> DeleteBucketTaggingOutput;
        delete_bucket_website: DeleteBucketWebsiteInput -> DeleteBucketWebsiteOutput;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_known_by_awss_names() {
        let check = |name: &str, expect: bool| assert_eq!(is_built(name), expect, "{name}");
        check("GetObject", true);
        check("ListObjectsV2", true);
        check("GetBucketPolicy", true);
        check("PutBucketPolicy", false);
        check("SelectObjectContent", false);
    }

    #[test]
    fn all_of_them_can_be_called_with_json() {
        let called: Vec<_> = S3::operations().filter(|name| is_built(name)).collect();
        assert_eq!(called.len(), BUILT.len());
        assert_eq!(called.len(), S3::operations().count());
    }
}
