//! Which operation is which function. What is not here answers 501.

use s3s::{S3Request, S3Response, S3Result, dto};

use super::{buckets, convert::s3_error, listing, multipart, objects};
use crate::S3;

/// The operations, as `s3s` calls them.
pub(super) struct Operations(pub(super) S3);

macro_rules! operations {
    ($($method:ident => $function:path: $input:ident -> $output:ident;)*) => {
        #[async_trait::async_trait]
        impl s3s::S3 for Operations {
            $(async fn $method(&self, request: S3Request<dto::$input>) -> S3Result<S3Response<dto::$output>> {
                Box::pin($function(&self.0, request)).await.map_err(s3_error)
            })*
        }
    };
}

operations! {
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
}
