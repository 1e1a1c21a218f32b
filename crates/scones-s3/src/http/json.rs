//! The operations that state machines call, as JSON: members by their names in
//! the API, bodies as text, dates as text. Members that are not listed here
//! are refused by name.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{TryStreamExt as _, stream};
use http::{Extensions, HeaderMap, Method, Uri};
use s3s::{
    S3Request,
    dto::{self, ETagCondition, StreamingBlob, Timestamp as S3Timestamp},
};
use scones_api::{ApiError, RequestContext};
use serde::{Deserialize, Serialize};

use super::{buckets, convert::timestamp, listing, objects};
use crate::{
    S3,
    error::{entity_too_large, invalid_argument},
    limits::JSON_BODY_BYTES_MAX,
};

/// A request without a client.
fn request<T>(input: T) -> S3Request<T> {
    S3Request {
        input,
        method: Method::POST,
        uri: Uri::default(),
        headers: HeaderMap::new(),
        extensions: Extensions::new(),
        credentials: None,
        region: None,
        service: None,
        trailing_headers: None,
    }
}

fn incomplete(error: impl std::fmt::Display) -> ApiError {
    invalid_argument(format!("The request is not complete: {error}"))
}

fn condition(text: Option<String>) -> Result<Option<ETagCondition>, ApiError> {
    text.map(|text| ETagCondition::parse_http_header(text.as_bytes()))
        .transpose()
        .map_err(|error| invalid_argument(error.to_string()))
}

fn range(text: Option<String>) -> Result<Option<dto::Range>, ApiError> {
    text.map(|text| dto::Range::parse(&text))
        .transpose()
        .map_err(|_| invalid_argument("The Range is not valid"))
}

/// Objects have no versions, so there is one that can be asked for.
fn check_version(version: Option<&str>) -> Result<(), ApiError> {
    match version {
        None | Some("null") => Ok(()),
        Some(version) => Err(invalid_argument(format!("Invalid version id specified: {version}"))),
    }
}

fn quoted(etag: Option<&dto::ETag>) -> Option<String> {
    etag.map(|etag| format!("\"{}\"", etag.value()))
}

/// `2026-11-23T08:14:29Z`.
fn date(time: Option<&S3Timestamp>) -> Option<String> {
    let time = timestamp(time?)?;
    Some(time.to_utc().format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ObjectInput {
    bucket: String,
    key: String,
    range: Option<String>,
    if_match: Option<String>,
    version_id: Option<String>,
    expected_bucket_owner: Option<String>,
}

/// An object, without its body where only that is asked for.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Object {
    accept_ranges: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_disposition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_language: Option<String>,
    content_length: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_range: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(rename = "ETag")]
    etag: Option<String>,
    last_modified: Option<String>,
    metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

macro_rules! object {
    ($output:expr, $body:expr) => {
        Object {
            accept_ranges: "bytes",
            cache_control: $output.cache_control,
            content_disposition: $output.content_disposition,
            content_encoding: $output.content_encoding,
            content_language: $output.content_language,
            content_length: $output.content_length.unwrap_or_default(),
            content_range: $output.content_range,
            content_type: $output.content_type.map(|kind| kind.to_string()),
            etag: quoted($output.e_tag.as_ref()),
            last_modified: date($output.last_modified.as_ref()),
            metadata: $output.metadata.unwrap_or_default().into_iter().collect(),
            storage_class: $output.storage_class.map(|class| class.as_str().to_owned()),
            body: $body,
        }
    };
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct PutObject {
    bucket: String,
    key: String,
    #[serde(default)]
    body: String,
    cache_control: Option<String>,
    content_disposition: Option<String>,
    content_encoding: Option<String>,
    content_language: Option<String>,
    content_type: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
    storage_class: Option<String>,
    if_match: Option<String>,
    if_none_match: Option<String>,
    expected_bucket_owner: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stored {
    #[serde(rename = "ETag")]
    etag: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CopyObject {
    bucket: String,
    key: String,
    copy_source: String,
    content_type: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
    metadata_directive: Option<String>,
    storage_class: Option<String>,
    copy_source_if_match: Option<String>,
    copy_source_if_none_match: Option<String>,
    expected_bucket_owner: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Copied {
    copy_object_result: CopyResult,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CopyResult {
    #[serde(rename = "ETag")]
    etag: Option<String>,
    last_modified: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteObject {
    bucket: String,
    key: String,
    if_match: Option<String>,
    version_id: Option<String>,
    expected_bucket_owner: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct DeleteObjects {
    bucket: String,
    delete: Deletion,
    expected_bucket_owner: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Deletion {
    objects: Vec<Deleted>,
    #[serde(default)]
    quiet: bool,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Deleted {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Deletions {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deleted: Vec<Deleted>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<DeletionError>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DeletionError {
    key: Option<String>,
    code: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListObjects {
    bucket: String,
    prefix: Option<String>,
    delimiter: Option<String>,
    start_after: Option<String>,
    continuation_token: Option<String>,
    max_keys: Option<i32>,
    encoding_type: Option<String>,
    expected_bucket_owner: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    #[serde(skip_serializing_if = "Option::is_none")]
    common_prefixes: Option<Vec<CommonPrefix>>,
    contents: Vec<Listed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    continuation_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delimiter: Option<String>,
    is_truncated: bool,
    key_count: Option<i32>,
    max_keys: Option<i32>,
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_continuation_token: Option<String>,
    prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_after: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CommonPrefix {
    prefix: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(rename = "ETag")]
    etag: Option<String>,
    key: Option<String>,
    last_modified: Option<String>,
    size: Option<i64>,
    storage_class: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListBuckets {
    prefix: Option<String>,
    max_buckets: Option<i32>,
    continuation_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Buckets {
    buckets: Vec<Bucket>,
    #[serde(skip_serializing_if = "Option::is_none")]
    continuation_token: Option<String>,
    owner: Owner,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Bucket {
    creation_date: Option<String>,
    name: Option<String>,
}

#[derive(Serialize)]
struct Owner {
    #[serde(rename = "ID")]
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CreateBucket {
    bucket: String,
    create_bucket_configuration: Option<BucketConfiguration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct BucketConfiguration {
    location_constraint: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreatedBucket {
    location: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct BucketInput {
    bucket: String,
    expected_bucket_owner: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct FoundBucket {
    bucket_region: Option<String>,
}

/// An output without members.
#[derive(Serialize)]
struct Nothing {}

impl S3 {
    fn check_owner(&self, expected: Option<&str>) -> Result<(), ApiError> {
        match expected {
            Some(owner) if owner != self.owner.account.as_str() => {
                Err(ApiError::new(403, "AccessDenied", "Access Denied"))
            }
            _ => Ok(()),
        }
    }

    async fn json_get_object(&self, input: ObjectInput, _: &RequestContext) -> Result<Object, ApiError> {
        self.check_owner(input.expected_bucket_owner.as_deref())?;
        check_version(input.version_id.as_deref())?;
        let get = dto::GetObjectInput::builder()
            .bucket(input.bucket)
            .key(input.key)
            .range(range(input.range)?)
            .if_match(condition(input.if_match)?)
            .build()
            .map_err(incomplete)?;
        let mut output = objects::get(self, request(get)).await?.output;
        let length = usize::try_from(output.content_length.unwrap_or_default()).unwrap_or(usize::MAX);
        if length > JSON_BODY_BYTES_MAX {
            return Err(entity_too_large());
        }
        let mut body = Vec::with_capacity(length);
        if let Some(mut blob) = output.body.take() {
            while let Some(bytes) = blob.try_next().await.map_err(ApiError::internal)? {
                body.extend_from_slice(&bytes);
            }
        }
        Ok(object!(output, Some(String::from_utf8_lossy(&body).into_owned())))
    }

    async fn json_head_object(&self, input: ObjectInput, _: &RequestContext) -> Result<Object, ApiError> {
        self.check_owner(input.expected_bucket_owner.as_deref())?;
        check_version(input.version_id.as_deref())?;
        let head = dto::HeadObjectInput::builder()
            .bucket(input.bucket)
            .key(input.key)
            .range(range(input.range)?)
            .if_match(condition(input.if_match)?)
            .build()
            .map_err(incomplete)?;
        let output = objects::head(self, request(head)).await?.output;
        Ok(object!(output, None))
    }

    async fn json_put_object(&self, input: PutObject, _: &RequestContext) -> Result<Stored, ApiError> {
        self.check_owner(input.expected_bucket_owner.as_deref())?;
        let body = Bytes::from(input.body);
        let length = i64::try_from(body.len()).ok();
        let blob = StreamingBlob::wrap(stream::iter([Ok::<_, std::io::Error>(body)]));
        let put = dto::PutObjectInput::builder()
            .bucket(input.bucket)
            .key(input.key)
            .body(Some(blob))
            .content_length(length)
            .cache_control(input.cache_control)
            .content_disposition(input.content_disposition)
            .content_encoding(input.content_encoding)
            .content_language(input.content_language)
            .content_type(input.content_type)
            .metadata(input.metadata.map(|metadata| metadata.into_iter().collect()))
            .storage_class(input.storage_class.map(dto::StorageClass::from))
            .if_match(condition(input.if_match)?)
            .if_none_match(condition(input.if_none_match)?)
            .build()
            .map_err(incomplete)?;
        let output = objects::put(self, request(put)).await?.output;
        Ok(Stored {
            etag: quoted(output.e_tag.as_ref()),
        })
    }

    async fn json_copy_object(&self, input: CopyObject, _: &RequestContext) -> Result<Copied, ApiError> {
        self.check_owner(input.expected_bucket_owner.as_deref())?;
        let source = dto::CopySource::parse(&input.copy_source).map_err(|_| {
            invalid_argument("Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
        })?;
        let copy = dto::CopyObjectInput::builder()
            .bucket(input.bucket)
            .key(input.key)
            .copy_source(source)
            .content_type(input.content_type)
            .metadata(input.metadata.map(|metadata| metadata.into_iter().collect()))
            .metadata_directive(input.metadata_directive.map(dto::MetadataDirective::from))
            .storage_class(input.storage_class.map(dto::StorageClass::from))
            .copy_source_if_match(condition(input.copy_source_if_match)?)
            .copy_source_if_none_match(condition(input.copy_source_if_none_match)?)
            .build()
            .map_err(incomplete)?;
        let result = objects::copy(self, request(copy))
            .await?
            .output
            .copy_object_result
            .unwrap_or_default();
        Ok(Copied {
            copy_object_result: CopyResult {
                etag: quoted(result.e_tag.as_ref()),
                last_modified: date(result.last_modified.as_ref()),
            },
        })
    }

    async fn json_delete_object(&self, input: DeleteObject, _: &RequestContext) -> Result<Nothing, ApiError> {
        self.check_owner(input.expected_bucket_owner.as_deref())?;
        check_version(input.version_id.as_deref())?;
        let delete = dto::DeleteObjectInput::builder()
            .bucket(input.bucket)
            .key(input.key)
            .if_match(condition(input.if_match)?)
            .build()
            .map_err(incomplete)?;
        objects::delete(self, request(delete)).await?;
        Ok(Nothing {})
    }

    async fn json_delete_objects(&self, input: DeleteObjects, _: &RequestContext) -> Result<Deletions, ApiError> {
        self.check_owner(input.expected_bucket_owner.as_deref())?;
        let identifiers = input.delete.objects.into_iter().map(|object| dto::ObjectIdentifier {
            key: object.key,
            version_id: object.version_id,
            ..dto::ObjectIdentifier::default()
        });
        let delete = dto::DeleteObjectsInput::builder()
            .bucket(input.bucket)
            .delete(dto::Delete {
                objects: identifiers.collect(),
                quiet: Some(input.delete.quiet),
            })
            .build()
            .map_err(incomplete)?;
        let output = objects::delete_many(self, request(delete)).await?.output;
        let deleted = output.deleted.unwrap_or_default().into_iter().map(|object| Deleted {
            key: object.key.unwrap_or_default(),
            version_id: object.version_id,
        });
        let errors = output
            .errors
            .unwrap_or_default()
            .into_iter()
            .map(|error| DeletionError {
                key: error.key,
                code: error.code,
                message: error.message,
            });
        Ok(Deletions {
            deleted: deleted.collect(),
            errors: errors.collect(),
        })
    }

    async fn json_list_objects(&self, input: ListObjects, _: &RequestContext) -> Result<Listing, ApiError> {
        self.check_owner(input.expected_bucket_owner.as_deref())?;
        let list = dto::ListObjectsV2Input::builder()
            .bucket(input.bucket)
            .prefix(input.prefix)
            .delimiter(input.delimiter)
            .start_after(input.start_after)
            .continuation_token(input.continuation_token)
            .max_keys(input.max_keys)
            .encoding_type(input.encoding_type.map(dto::EncodingType::from))
            .build()
            .map_err(incomplete)?;
        let output = listing::version_2(self, request(list)).await?.output;
        let contents = output.contents.unwrap_or_default().into_iter().map(|object| Listed {
            etag: quoted(object.e_tag.as_ref()),
            key: object.key,
            last_modified: date(object.last_modified.as_ref()),
            size: object.size,
            storage_class: object.storage_class.map(|class| class.as_str().to_owned()),
        });
        let prefixes = output.common_prefixes.filter(|prefixes| !prefixes.is_empty());
        Ok(Listing {
            common_prefixes: prefixes.map(|prefixes| {
                prefixes
                    .into_iter()
                    .map(|prefix| CommonPrefix { prefix: prefix.prefix })
                    .collect()
            }),
            contents: contents.collect(),
            continuation_token: output.continuation_token,
            delimiter: output.delimiter,
            is_truncated: output.is_truncated.unwrap_or_default(),
            key_count: output.key_count,
            max_keys: output.max_keys,
            name: output.name,
            next_continuation_token: output.next_continuation_token,
            prefix: output.prefix,
            start_after: output.start_after,
        })
    }

    async fn json_list_buckets(&self, input: ListBuckets, _: &RequestContext) -> Result<Buckets, ApiError> {
        let list = dto::ListBucketsInput {
            prefix: input.prefix,
            max_buckets: input.max_buckets,
            continuation_token: input.continuation_token,
            ..dto::ListBucketsInput::default()
        };
        let output = buckets::list(self, request(list)).await?.output;
        let found = output.buckets.unwrap_or_default().into_iter().map(|bucket| Bucket {
            creation_date: date(bucket.creation_date.as_ref()),
            name: bucket.name,
        });
        Ok(Buckets {
            buckets: found.collect(),
            continuation_token: output.continuation_token,
            owner: Owner {
                id: self.owner.account.to_string(),
            },
        })
    }

    async fn json_create_bucket(&self, input: CreateBucket, _: &RequestContext) -> Result<CreatedBucket, ApiError> {
        let location = input.create_bucket_configuration.and_then(|it| it.location_constraint);
        let create = dto::CreateBucketInput::builder()
            .bucket(input.bucket)
            .create_bucket_configuration(Some(dto::CreateBucketConfiguration {
                location_constraint: location.map(dto::BucketLocationConstraint::from),
                ..dto::CreateBucketConfiguration::default()
            }))
            .build()
            .map_err(incomplete)?;
        let output = buckets::create(self, request(create)).await?.output;
        Ok(CreatedBucket {
            location: output.location,
        })
    }

    async fn json_delete_bucket(&self, input: BucketInput, _: &RequestContext) -> Result<Nothing, ApiError> {
        self.check_owner(input.expected_bucket_owner.as_deref())?;
        self.delete_bucket(&input.bucket).await?;
        Ok(Nothing {})
    }

    async fn json_head_bucket(&self, input: BucketInput, _: &RequestContext) -> Result<FoundBucket, ApiError> {
        self.check_owner(input.expected_bucket_owner.as_deref())?;
        let bucket = self.bucket(&input.bucket).await?;
        Ok(FoundBucket {
            bucket_region: Some(bucket.region),
        })
    }
}

scones_api::operations! {
    S3 {
        "CopyObject" => json_copy_object,
        "CreateBucket" => json_create_bucket,
        "DeleteBucket" => json_delete_bucket,
        "DeleteObject" => json_delete_object,
        "DeleteObjects" => json_delete_objects,
        "GetObject" => json_get_object,
        "HeadBucket" => json_head_bucket,
        "HeadObject" => json_head_object,
        "ListBuckets" => json_list_buckets,
        "ListObjectsV2" => json_list_objects,
        "PutObject" => json_put_object,
    }
}
