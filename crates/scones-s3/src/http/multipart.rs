//! Multipart operations.

use s3s::{S3Request, S3Response, dto};
use scones_api::ApiError;

use super::{
    convert::{Encoding, etag, get_checksum, owner, page_size, printable, s3_timestamp, set_checksum, size},
    headers::headers_of,
    objects::{copy_conditions, copy_source, write_condition},
    upload::{Declared, Upload},
};
use crate::{
    S3,
    checksum::{Algorithm, Kind},
    error::{invalid_argument, invalid_request},
    limits::PAGE_SIZE_MAX,
    multipart::{Completion, NamedPart, check_part_number},
    records::UploadRecord,
};

type Answer<T> = Result<S3Response<T>, ApiError>;

pub(super) async fn create(
    s3: &S3,
    request: S3Request<dto::CreateMultipartUploadInput>,
) -> Answer<dto::CreateMultipartUploadOutput> {
    let mut input = request.input;
    let headers = headers_of!(input)?;
    let algorithm = input
        .checksum_algorithm
        .as_ref()
        .map(|name| Algorithm::parse(name.as_str()))
        .transpose()?;
    let kind = input
        .checksum_type
        .as_ref()
        .map(|name| Kind::parse(name.as_str()))
        .transpose()?;
    if kind.is_some() && algorithm.is_none() {
        return Err(invalid_request(
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
        ));
    }
    let (id, record) = s3
        .begin_upload(&input.bucket, &input.key, headers, algorithm, kind)
        .await?;
    Ok(S3Response::new(dto::CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(printable(&input.key)),
        upload_id: Some(id),
        checksum_algorithm: chosen_algorithm(&record),
        checksum_type: chosen_kind(&record),
        ..dto::CreateMultipartUploadOutput::default()
    }))
}

fn chosen_algorithm(record: &UploadRecord) -> Option<dto::ChecksumAlgorithm> {
    record
        .algorithm_chosen
        .then(|| dto::ChecksumAlgorithm::from_static(record.algorithm.name()))
}

fn chosen_kind(record: &UploadRecord) -> Option<dto::ChecksumType> {
    record
        .algorithm_chosen
        .then(|| dto::ChecksumType::from_static(record.kind.name()))
}

pub(super) async fn upload_part(s3: &S3, request: S3Request<dto::UploadPartInput>) -> Answer<dto::UploadPartOutput> {
    let input = request.input;
    let number = check_part_number(input.part_number.into())?;
    let record = s3.upload(&input.bucket, &input.key, &input.upload_id).await?;
    let declared = Declared::of(&request.headers)?.algorithm();
    if let Some(declared) = declared
        && record.algorithm_chosen
        && declared != record.algorithm
    {
        return Err(invalid_request(format!(
            "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
            record.algorithm.name().to_ascii_lowercase(),
            declared.name().to_ascii_lowercase()
        )));
    }
    let upload = Upload {
        body: input.body,
        length: input.content_length,
        md5: input.content_md5,
        headers: request.headers,
        trailers: request.trailing_headers,
    };
    let (draft, algorithm) = upload.receive(s3, Some(record.algorithm)).await?;
    let echo = declared.map(|declared| (declared, draft.checksum_of(declared)));
    let part = s3
        .keep_part(&input.bucket, &input.key, &input.upload_id, number, draft)
        .await?;
    let mut output = dto::UploadPartOutput {
        e_tag: etag(&part.etag),
        ..dto::UploadPartOutput::default()
    };
    let (algorithm, value) = echo.unwrap_or((algorithm, part.checksum));
    set_checksum!(output, algorithm, value);
    Ok(S3Response::new(output))
}

pub(super) async fn upload_part_copy(
    s3: &S3,
    request: S3Request<dto::UploadPartCopyInput>,
) -> Answer<dto::UploadPartCopyOutput> {
    let mut input = request.input;
    let number = check_part_number(input.part_number.into())?;
    let record = s3.upload(&input.bucket, &input.key, &input.upload_id).await?;
    let conditions = copy_conditions!(input);
    let (bucket, key) = copy_source(&input.copy_source)?;
    let range = input.copy_source_range.as_deref().map(parse_copy_range).transpose()?;
    let choose = |object: &crate::records::ObjectRecord| {
        conditions.require(object)?;
        match &range {
            None => Ok(0..object.size),
            Some(range) if range.end <= object.size => Ok(range.clone()),
            Some(_) => Err(invalid_argument(format!(
                "Range specified is not valid for source object of size: {}",
                object.size
            ))),
        }
    };
    let (source, reader) = s3.open_object(bucket, key, choose).await?;
    let range = choose(&source)?;
    let draft = s3.draft_copy(reader, range, record.algorithm).await?;
    let part = s3
        .keep_part(&input.bucket, &input.key, &input.upload_id, number, draft)
        .await?;
    let mut result = dto::CopyPartResult {
        e_tag: etag(&part.etag),
        last_modified: Some(s3_timestamp(part.modified)),
        ..dto::CopyPartResult::default()
    };
    set_checksum!(result, record.algorithm, part.checksum);
    Ok(S3Response::new(dto::UploadPartCopyOutput {
        copy_part_result: Some(result),
        ..dto::UploadPartCopyOutput::default()
    }))
}

/// `bytes=first-last`, the only form that a copy knows.
fn parse_copy_range(text: &str) -> Result<std::ops::Range<u64>, ApiError> {
    let parsed = text.strip_prefix("bytes=").and_then(|range| {
        let (first, last) = range.split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last && last < u64::MAX).then(|| first..last + 1)
    });
    parsed.ok_or_else(|| {
        invalid_argument("The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy")
    })
}

pub(super) async fn complete(
    s3: &S3,
    request: S3Request<dto::CompleteMultipartUploadInput>,
) -> Answer<dto::CompleteMultipartUploadOutput> {
    let input = request.input;
    let mut parts = Vec::new();
    for part in input
        .multipart_upload
        .as_ref()
        .and_then(|upload| upload.parts.as_ref())
        .into_iter()
        .flatten()
    {
        parts.push(NamedPart {
            number: check_part_number(part.part_number.unwrap_or(0).into())?,
            etag: part.e_tag.clone().map(dto::ETag::into_value).unwrap_or_default(),
            checksum: get_checksum!(part),
        });
    }
    let completion = Completion {
        parts,
        checksum: get_checksum!(input),
        kind: input
            .checksum_type
            .as_ref()
            .map(|name| Kind::parse(name.as_str()))
            .transpose()?,
        size: input.mpu_object_size.and_then(|size| u64::try_from(size).ok()),
        condition: write_condition(input.if_match, input.if_none_match)?,
    };
    let object = s3
        .complete_upload(&input.bucket, &input.key, &input.upload_id, completion)
        .await?;
    // A call from inside has no host.
    let host = request.headers.get("host").and_then(|host| host.to_str().ok());
    let origin = host.map_or(String::new(), |host| format!("http://{host}"));
    let key = printable(&input.key);
    let mut output = dto::CompleteMultipartUploadOutput {
        location: Some(format!("{origin}/{}/{key}", input.bucket)),
        bucket: Some(input.bucket),
        key: Some(key),
        e_tag: etag(&object.etag),
        checksum_type: Some(dto::ChecksumType::from_static(object.checksum.kind.name())),
        ..dto::CompleteMultipartUploadOutput::default()
    };
    set_checksum!(output, object.checksum.algorithm, object.checksum.value);
    Ok(S3Response::new(output))
}

pub(super) async fn abort(
    s3: &S3,
    request: S3Request<dto::AbortMultipartUploadInput>,
) -> Answer<dto::AbortMultipartUploadOutput> {
    let input = request.input;
    if input.if_match_initiated_time.is_some() {
        return Err(ApiError::not_implemented(
            "AbortMultipartUpload with x-amz-if-match-initiated-time",
        ));
    }
    s3.bucket(&input.bucket).await?;
    s3.abort_upload(&input.bucket, &input.key, &input.upload_id).await?;
    Ok(S3Response::new(dto::AbortMultipartUploadOutput::default()))
}

pub(super) async fn list_parts(s3: &S3, request: S3Request<dto::ListPartsInput>) -> Answer<dto::ListPartsOutput> {
    let input = request.input;
    let record = s3.upload(&input.bucket, &input.key, &input.upload_id).await?;
    let limit = page_size(input.max_parts, PAGE_SIZE_MAX)?;
    let after = u32::try_from(input.part_number_marker.unwrap_or(0)).unwrap_or(0);
    let mut found = s3.list_parts(&input.upload_id, after, limit + 1).await?;
    let truncated = limit > 0 && found.len() > limit;
    found.truncate(limit);
    let next = found.last().map(|(number, _)| *number).unwrap_or(0);
    let parts = found.into_iter().map(|(number, part)| {
        let mut output = dto::Part {
            e_tag: etag(&part.etag),
            last_modified: Some(s3_timestamp(part.modified)),
            part_number: i32::try_from(number).ok(),
            size: Some(size(part.size)),
            ..dto::Part::default()
        };
        if record.algorithm_chosen {
            set_checksum!(output, record.algorithm, part.checksum);
        }
        output
    });
    let account = owner(s3.owner.account.as_str());
    Ok(S3Response::new(dto::ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(printable(&input.key)),
        upload_id: Some(input.upload_id),
        checksum_algorithm: chosen_algorithm(&record),
        checksum_type: chosen_kind(&record),
        initiator: Some(dto::Initiator {
            display_name: None,
            id: account.id.clone(),
        }),
        owner: Some(account),
        is_truncated: Some(truncated),
        max_parts: i32::try_from(limit).ok(),
        next_part_number_marker: i32::try_from(next).ok(),
        part_number_marker: i32::try_from(after).ok(),
        parts: Some(parts.collect()),
        storage_class: Some(dto::StorageClass::from(
            record
                .headers
                .storage_class
                .clone()
                .unwrap_or_else(|| "STANDARD".to_owned()),
        )),
        ..dto::ListPartsOutput::default()
    }))
}

pub(super) async fn list(
    s3: &S3,
    request: S3Request<dto::ListMultipartUploadsInput>,
) -> Answer<dto::ListMultipartUploadsOutput> {
    let input = request.input;
    s3.bucket(&input.bucket).await?;
    let encoding = Encoding::new(input.encoding_type.as_ref().map(dto::EncodingType::as_str))?;
    let limit = page_size(input.max_uploads, PAGE_SIZE_MAX)?;
    let prefix = input.prefix.unwrap_or_default();
    let delimiter = input.delimiter.unwrap_or_default();
    let key_marker = input.key_marker.unwrap_or_default();
    let id_marker = input.upload_id_marker.unwrap_or_default();
    let (mut uploads, mut prefixes) = (Vec::new(), Vec::<String>::new());
    let (mut truncated, mut last) = (false, (String::new(), String::new()));
    for (key, id, record) in s3.list_uploads(&input.bucket, &prefix).await? {
        let rest = &key[prefix.len()..];
        let common = rest.find(&delimiter).filter(|_| !delimiter.is_empty());
        let common = common.map(|end| key[..prefix.len() + end + delimiter.len()].to_owned());
        let name = common.as_deref().unwrap_or(&key);
        let seen = name < key_marker.as_str()
            || name == key_marker && (common.is_some() || id_marker.is_empty() || id <= id_marker)
            || common.is_some() && common.as_ref() == prefixes.last();
        if seen {
            continue;
        }
        if uploads.len() + prefixes.len() == limit {
            truncated = limit > 0;
            break;
        }
        last = (
            name.to_owned(),
            if common.is_some() { String::new() } else { id.clone() },
        );
        match common {
            Some(common) => prefixes.push(common),
            None => uploads.push(upload(encoding.encode(&key), id, &record, s3.owner.account.as_str())),
        }
    }
    let common_prefixes = prefixes.iter().map(|prefix| dto::CommonPrefix {
        prefix: Some(encoding.encode(prefix)),
    });
    Ok(S3Response::new(dto::ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        common_prefixes: Some(common_prefixes.collect()),
        delimiter: (!delimiter.is_empty()).then(|| encoding.encode(&delimiter)),
        encoding_type: input.encoding_type,
        is_truncated: Some(truncated),
        key_marker: Some(encoding.encode(&key_marker)),
        max_uploads: i32::try_from(limit).ok(),
        next_key_marker: truncated.then(|| encoding.encode(&last.0)),
        next_upload_id_marker: truncated.then_some(last.1),
        prefix: Some(encoding.encode(&prefix)),
        upload_id_marker: Some(id_marker),
        uploads: Some(uploads),
        ..dto::ListMultipartUploadsOutput::default()
    }))
}

fn upload(key: String, id: String, record: &UploadRecord, account: &str) -> dto::MultipartUpload {
    let class = record
        .headers
        .storage_class
        .clone()
        .unwrap_or_else(|| "STANDARD".to_owned());
    dto::MultipartUpload {
        checksum_algorithm: chosen_algorithm(record),
        checksum_type: chosen_kind(record),
        initiated: Some(s3_timestamp(record.initiated)),
        initiator: Some(dto::Initiator {
            display_name: None,
            id: Some(account.to_owned()),
        }),
        key: Some(key),
        owner: Some(owner(account)),
        storage_class: Some(dto::StorageClass::from(class)),
        upload_id: Some(id),
    }
}
