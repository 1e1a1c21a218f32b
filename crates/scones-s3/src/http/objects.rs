//! Object operations.

use std::ops::Range;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use s3s::{S3Request, S3Response, dto};
use scones_api::ApiError;

use super::{
    Status,
    blob::blob,
    convert::{etag, printable, s3_timestamp, set_checksum, size, tag, timestamp},
    headers::headers_of,
    upload::Upload,
};
use crate::{
    S3,
    checksum::Algorithm,
    conditions::{ReadConditions, Verdict, WriteCondition},
    error::{invalid_argument, invalid_request, precondition_failed},
    limits::DELETE_KEYS_MAX,
    records::{ObjectRecord, object_key},
};

type Answer<T> = Result<S3Response<T>, ApiError>;

pub(super) async fn put(s3: &S3, request: S3Request<dto::PutObjectInput>) -> Answer<dto::PutObjectOutput> {
    let mut input = request.input;
    s3.check_target(&input.bucket, &input.key).await?;
    let headers = headers_of!(input)?;
    let condition = write_condition(input.if_match, input.if_none_match)?;
    let current = s3.objects.get(&object_key(&input.bucket, &input.key)).await?;
    condition.check(current.as_ref().map(|found| &found.value))?;
    let upload = Upload {
        body: input.body,
        length: input.content_length,
        md5: input.content_md5,
        headers: request.headers,
        trailers: request.trailing_headers,
    };
    let (draft, algorithm) = upload.receive(s3, None).await?;
    let record = s3
        .keep_object(&input.bucket, &input.key, headers, algorithm, draft, condition)
        .await?;
    let mut output = dto::PutObjectOutput {
        e_tag: etag(&record.etag),
        checksum_type: Some(dto::ChecksumType::from_static(record.checksum.kind.name())),
        ..dto::PutObjectOutput::default()
    };
    set_checksum!(output, record.checksum.algorithm, record.checksum.value);
    Ok(S3Response::new(output))
}

pub(super) fn write_condition(
    if_match: Option<dto::IfMatch>,
    if_none_match: Option<dto::IfNoneMatch>,
) -> Result<WriteCondition, ApiError> {
    match (if_match, if_none_match) {
        (None, None) => Ok(WriteCondition::None),
        (Some(condition), None) => Ok(WriteCondition::Matches(tag(condition))),
        (None, Some(dto::ETagCondition::Any)) => Ok(WriteCondition::Absent),
        _ => Err(ApiError::not_implemented(
            "writes with If-None-Match other than `*`, or with both conditions",
        )),
    }
}

/// What GetObject and HeadObject choose of an object.
struct Chosen {
    bytes: Range<u64>,
    /// A `Content-Range`, unless it is the whole object.
    content_range: Option<String>,
    parts_count: Option<i32>,
    /// A part's own checksum, or the object's.
    checksum: Option<String>,
}

fn choose(object: &ObjectRecord, range: Option<dto::Range>, part: Option<i32>) -> Result<Chosen, ApiError> {
    let whole = Chosen {
        bytes: 0..object.size,
        content_range: None,
        parts_count: None,
        checksum: Some(object.checksum.value.clone()),
    };
    let content_range = |bytes: &Range<u64>| {
        let last = bytes.end.checked_sub(1).filter(|last| *last >= bytes.start)?;
        Some(format!("bytes {}-{last}/{}", bytes.start, object.size))
    };
    match (range, part) {
        (None, None) => Ok(whole),
        (Some(_), Some(_)) => Err(invalid_request(
            "Cannot specify both Range header and partNumber query parameter",
        )),
        (Some(range), None) => {
            let bytes = range.check(object.size).map_err(|_| {
                let message = format!(
                    "The requested range is not satisfiable: the object has {} bytes",
                    object.size
                );
                ApiError::new(416, "InvalidRange", message)
            })?;
            Ok(Chosen {
                content_range: content_range(&bytes),
                checksum: None,
                bytes,
                ..whole
            })
        }
        (None, Some(number)) => {
            let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
            let index = index
                .ok_or_else(|| invalid_argument("Part number must be an integer between 1 and 10000, inclusive"))?;
            let piece = object.pieces.get(index).ok_or_else(|| {
                ApiError::new(416, "InvalidPartNumber", "The requested partnumber is not satisfiable")
            })?;
            let Some((_, checksum)) = &piece.part else {
                return Ok(whole);
            };
            let start: u64 = object.pieces[..index].iter().map(|piece| piece.size).sum();
            let bytes = start..start + piece.size;
            Ok(Chosen {
                content_range: content_range(&bytes),
                bytes,
                parts_count: i32::try_from(object.pieces.len()).ok(),
                checksum: Some(checksum.clone()),
            })
        }
    }
}

/// The answer of a read whose client has the object already.
fn unmodified<T: Default>(object: &ObjectRecord) -> S3Response<T> {
    let mut response = S3Response::new(T::default());
    if let Ok(value) = HeaderValue::from_str(&format!("\"{}\"", object.etag)) {
        response.headers.insert(header::ETAG, value);
    }
    response.extensions.insert(Status(StatusCode::NOT_MODIFIED));
    response
}

fn read_conditions(
    if_match: Option<dto::IfMatch>,
    if_none_match: Option<dto::IfNoneMatch>,
    if_modified_since: Option<&dto::Timestamp>,
    if_unmodified_since: Option<&dto::Timestamp>,
) -> ReadConditions {
    ReadConditions {
        if_match: if_match.map(tag),
        if_none_match: if_none_match.map(tag),
        if_modified_since: if_modified_since.and_then(timestamp),
        if_unmodified_since: if_unmodified_since.and_then(timestamp),
    }
}

/// Fills the members that GetObjectOutput and HeadObjectOutput share.
macro_rules! describe {
    ($output:ident, $object:expr, $chosen:expr, $input:expr) => {{
        let (object, chosen): (&ObjectRecord, &Chosen) = ($object, $chosen);
        let headers = object.headers.clone();
        let output = dto::$output {
            accept_ranges: Some("bytes".to_owned()),
            cache_control: headers.cache_control,
            content_disposition: headers.content_disposition,
            content_encoding: headers.content_encoding,
            content_language: headers.content_language,
            content_length: Some(size(chosen.bytes.end - chosen.bytes.start)),
            content_range: chosen.content_range.clone(),
            content_type: Some(headers.content_type.unwrap_or_else(|| "binary/octet-stream".to_owned())),
            e_tag: etag(&object.etag),
            expires: headers.expires.map(s3_timestamp),
            last_modified: Some(s3_timestamp(object.modified)),
            metadata: Some(headers.metadata.into_iter().collect()),
            parts_count: chosen.parts_count,
            storage_class: headers.storage_class.map(dto::StorageClass::from),
            ..dto::$output::default()
        };
        let wanted = $input
            .checksum_mode
            .as_ref()
            .is_some_and(|mode| mode.as_str() == "ENABLED");
        match &chosen.checksum {
            Some(value) if wanted => {
                let mut output = output;
                output.checksum_type = Some(dto::ChecksumType::from_static(object.checksum.kind.name()));
                set_checksum!(output, object.checksum.algorithm, value.clone());
                output
            }
            _ => output,
        }
    }};
}

pub(super) async fn get(s3: &S3, request: S3Request<dto::GetObjectInput>) -> Answer<dto::GetObjectOutput> {
    let mut input = request.input;
    let conditions = read_conditions(
        input.if_match.take(),
        input.if_none_match.take(),
        input.if_modified_since.as_ref(),
        input.if_unmodified_since.as_ref(),
    );
    let (range, part) = (input.range, input.part_number);
    let opened = s3.open_object(&input.bucket, &input.key, |object| match conditions.judge(object) {
        Verdict::Proceed => Ok(choose(object, range, part)?.bytes),
        // Nothing is sent, so nothing needs to be read.
        Verdict::NotModified => Ok(0..0),
        Verdict::Failed(header) => Err(precondition_failed(header)),
    });
    let (object, reader) = opened.await?;
    if conditions.judge(&object) == Verdict::NotModified {
        return Ok(unmodified(&object));
    }
    let chosen = choose(&object, range, part)?;
    let mut output = describe!(GetObjectOutput, &object, &chosen, input);
    output.body = Some(blob(reader));
    Ok(S3Response::new(output))
}

pub(super) async fn head(s3: &S3, request: S3Request<dto::HeadObjectInput>) -> Answer<dto::HeadObjectOutput> {
    let mut input = request.input;
    let conditions = read_conditions(
        input.if_match.take(),
        input.if_none_match.take(),
        input.if_modified_since.as_ref(),
        input.if_unmodified_since.as_ref(),
    );
    let object = s3.object(&input.bucket, &input.key).await?;
    match conditions.judge(&object) {
        Verdict::Proceed => {}
        Verdict::NotModified => return Ok(unmodified(&object)),
        Verdict::Failed(header) => return Err(precondition_failed(header)),
    }
    let chosen = choose(&object, input.range, input.part_number)?;
    let output = describe!(HeadObjectOutput, &object, &chosen, input);
    let mut headers = HeaderMap::new();
    let overrides = [
        (header::CONTENT_TYPE, input.response_content_type),
        (header::CONTENT_LANGUAGE, input.response_content_language),
        (header::CACHE_CONTROL, input.response_cache_control),
        (header::CONTENT_DISPOSITION, input.response_content_disposition),
        (header::CONTENT_ENCODING, input.response_content_encoding),
    ];
    for (name, value) in overrides {
        if let Some(value) = value {
            let value = HeaderValue::from_str(&value)
                .map_err(|_| invalid_argument(format!("{name} is not a header's value")))?;
            headers.insert(name, value);
        }
    }
    let partial = output.content_range.is_some();
    let mut response = S3Response::with_headers(output, headers);
    if partial {
        response.extensions.insert(Status(StatusCode::PARTIAL_CONTENT));
    }
    Ok(response)
}

pub(super) async fn delete(s3: &S3, request: S3Request<dto::DeleteObjectInput>) -> Answer<dto::DeleteObjectOutput> {
    let input = request.input;
    if input.if_match_size.is_some() || input.if_match_last_modified_time.is_some() {
        return Err(ApiError::not_implemented(
            "DeleteObject with conditions other than If-Match",
        ));
    }
    s3.remove_object(&input.bucket, &input.key, input.if_match.map(tag))
        .await?;
    Ok(S3Response::new(dto::DeleteObjectOutput::default()))
}

pub(super) async fn delete_many(
    s3: &S3,
    request: S3Request<dto::DeleteObjectsInput>,
) -> Answer<dto::DeleteObjectsOutput> {
    let input = request.input;
    s3.bucket(&input.bucket).await?;
    if !(1..=DELETE_KEYS_MAX).contains(&input.delete.objects.len()) {
        return Err(ApiError::bad_request(
            "MalformedXML",
            format!(
                "The XML you provided was not well-formed or did not validate against our published schema: \
                 1 to {DELETE_KEYS_MAX} keys are expected"
            ),
        ));
    }
    let quiet = input.delete.quiet.unwrap_or(false);
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for object in input.delete.objects {
        let key = object.key;
        let removed = if object.version_id.as_deref().is_some_and(|version| version != "null") {
            Err(ApiError::new(
                404,
                "NoSuchVersion",
                "The specified version does not exist.",
            ))
        } else if object.size.is_some() || object.last_modified_time.is_some() {
            Err(ApiError::not_implemented(
                "DeleteObjects with conditions other than ETag",
            ))
        } else {
            let tag = object.e_tag.map(|etag| tag(dto::ETagCondition::ETag(etag)));
            s3.remove_object(&input.bucket, &key, tag).await
        };
        match removed {
            Ok(()) if quiet => {}
            Ok(()) => deleted.push(dto::DeletedObject {
                key: Some(printable(&key)),
                version_id: object.version_id,
                ..dto::DeletedObject::default()
            }),
            Err(error) => errors.push(dto::Error {
                code: Some(error.code),
                message: Some(printable(&error.message)),
                key: Some(printable(&key)),
                version_id: object.version_id,
            }),
        }
    }
    Ok(S3Response::new(dto::DeleteObjectsOutput {
        deleted: Some(deleted),
        errors: Some(errors),
        ..dto::DeleteObjectsOutput::default()
    }))
}

/// Where a copy comes from.
pub(super) fn copy_source(source: &dto::CopySource) -> Result<(&str, &str), ApiError> {
    match source {
        dto::CopySource::Bucket {
            bucket,
            key,
            version_id,
        } => match version_id.as_deref() {
            None | Some("null") => Ok((bucket, key)),
            Some(version) => Err(invalid_argument(format!("Invalid version id specified: {version}"))),
        },
        _ => Err(ApiError::not_implemented("copying from access points")),
    }
}

/// The conditions of a copy's source, out of an input that has them.
macro_rules! copy_conditions {
    ($input:expr) => {
        crate::conditions::ReadConditions {
            if_match: $input.copy_source_if_match.take().map(crate::http::convert::tag),
            if_none_match: $input.copy_source_if_none_match.take().map(crate::http::convert::tag),
            if_modified_since: $input
                .copy_source_if_modified_since
                .as_ref()
                .and_then(crate::http::convert::timestamp),
            if_unmodified_since: $input
                .copy_source_if_unmodified_since
                .as_ref()
                .and_then(crate::http::convert::timestamp),
        }
    };
}

pub(super) use copy_conditions;

pub(super) async fn copy(s3: &S3, request: S3Request<dto::CopyObjectInput>) -> Answer<dto::CopyObjectOutput> {
    let mut input = request.input;
    s3.check_target(&input.bucket, &input.key).await?;
    let conditions = copy_conditions!(input);
    let replace = match input.metadata_directive.as_ref().map(dto::MetadataDirective::as_str) {
        None | Some("COPY") => false,
        Some("REPLACE") => true,
        Some(other) => return Err(invalid_argument(format!("Unknown metadata directive: {other}"))),
    };
    if input
        .tagging_directive
        .as_ref()
        .is_some_and(|directive| directive.as_str() == "REPLACE")
    {
        return Err(ApiError::not_implemented("object tagging"));
    }
    let (bucket, key) = copy_source(&input.copy_source)?;
    let same = bucket == input.bucket && key == input.key;
    if same && !replace && input.storage_class.is_none() {
        return Err(invalid_request(
            "This copy request is illegal because it is trying to copy an object to itself without changing the \
             object's metadata, storage class, website redirect location or encryption attributes.",
        ));
    }
    let opened = s3.open_object(bucket, key, |object| {
        conditions.require(object).map(|()| 0..object.size)
    });
    let (source, reader) = opened.await?;
    let wished = input
        .checksum_algorithm
        .as_ref()
        .map(|name| Algorithm::parse(name.as_str()))
        .transpose()?;
    let algorithm = wished.unwrap_or(source.checksum.algorithm);
    let draft = s3.draft_copy(reader, 0..source.size, algorithm).await?;
    let given = headers_of!(input)?;
    let headers = if replace {
        given
    } else {
        crate::records::Headers {
            storage_class: given.storage_class,
            ..source.headers
        }
    };
    let copied = s3.keep_object(
        &input.bucket,
        &input.key,
        headers,
        algorithm,
        draft,
        WriteCondition::None,
    );
    let record = copied.await?;
    let mut result = dto::CopyObjectResult {
        e_tag: etag(&record.etag),
        last_modified: Some(s3_timestamp(record.modified)),
        checksum_type: Some(dto::ChecksumType::from_static(record.checksum.kind.name())),
        ..dto::CopyObjectResult::default()
    };
    set_checksum!(result, record.checksum.algorithm, record.checksum.value);
    Ok(S3Response::new(dto::CopyObjectOutput {
        copy_object_result: Some(result),
        ..dto::CopyObjectOutput::default()
    }))
}

pub(super) async fn attributes(
    s3: &S3,
    request: S3Request<dto::GetObjectAttributesInput>,
) -> Answer<dto::GetObjectAttributesOutput> {
    let input = request.input;
    let object = s3.object(&input.bucket, &input.key).await?;
    let wishes: Vec<_> = input
        .object_attributes
        .iter()
        .flat_map(|name| name.as_str().split(','))
        .map(|name| name.trim().to_owned())
        .collect();
    let wants = |name: &str| wishes.iter().any(|wish| wish == name);
    let mut output = dto::GetObjectAttributesOutput {
        last_modified: Some(s3_timestamp(object.modified)),
        ..dto::GetObjectAttributesOutput::default()
    };
    if wants("ETag") {
        output.e_tag = etag(&object.etag);
    }
    if wants("ObjectSize") {
        output.object_size = Some(size(object.size));
    }
    if wants("StorageClass") {
        let class = object
            .headers
            .storage_class
            .clone()
            .unwrap_or_else(|| "STANDARD".to_owned());
        output.storage_class = Some(dto::StorageClass::from(class));
    }
    if wants("Checksum") {
        let mut checksum = dto::Checksum {
            checksum_type: Some(dto::ChecksumType::from_static(object.checksum.kind.name())),
            ..dto::Checksum::default()
        };
        set_checksum!(checksum, object.checksum.algorithm, object.checksum.value.clone());
        output.checksum = Some(checksum);
    }
    if wants("ObjectParts") && object.upload.is_some() {
        let after = u32::try_from(input.part_number_marker.unwrap_or(0)).unwrap_or(0);
        let limit = super::convert::page_size(input.max_parts, crate::limits::PAGE_SIZE_MAX)?;
        output.object_parts = Some(parts(&object, after, limit));
    }
    Ok(S3Response::new(output))
}

fn parts(object: &ObjectRecord, after: u32, limit: usize) -> dto::GetObjectAttributesParts {
    let later = || {
        object
            .pieces
            .iter()
            .filter_map(|piece| Some((piece.size, piece.part.as_ref()?)))
    };
    let later = || later().filter(|(_, (number, _))| *number > after);
    let shown: Vec<_> = later()
        .take(limit)
        .map(|(bytes, (number, checksum))| {
            let mut part = dto::ObjectPart {
                part_number: i32::try_from(*number).ok(),
                size: Some(size(bytes)),
                ..dto::ObjectPart::default()
            };
            set_checksum!(part, object.checksum.algorithm, checksum.clone());
            part
        })
        .collect();
    dto::GetObjectAttributesParts {
        is_truncated: Some(later().count() > limit),
        max_parts: i32::try_from(limit).ok(),
        next_part_number_marker: shown.last().and_then(|part| part.part_number),
        part_number_marker: i32::try_from(after).ok(),
        total_parts_count: i32::try_from(object.pieces.len()).ok(),
        parts: Some(shown),
    }
}
