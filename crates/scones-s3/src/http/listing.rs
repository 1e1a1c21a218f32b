//! Listings of objects, in their three forms.

use s3s::{S3Request, S3Response, dto};
use scones_api::{ApiError, PageToken};

use super::{
    buckets::wrong_token,
    convert::{Encoding, etag, owner, page_size, s3_timestamp, size},
};
use crate::{
    S3,
    limits::PAGE_SIZE_MAX,
    listing::{Entry, Listing, Page},
    records::ObjectRecord,
};

type Answer<T> = Result<S3Response<T>, ApiError>;

pub(super) async fn version_1(s3: &S3, request: S3Request<dto::ListObjectsInput>) -> Answer<dto::ListObjectsOutput> {
    let input = request.input;
    let encoding = Encoding::new(input.encoding_type.as_ref().map(dto::EncodingType::as_str))?;
    let listing = Listing {
        prefix: input.prefix.unwrap_or_default(),
        delimiter: input.delimiter.unwrap_or_default(),
        after: input.marker.unwrap_or_default(),
        limit: page_size(input.max_keys, PAGE_SIZE_MAX)?,
    };
    let page = s3.list(&input.bucket, &listing).await?;
    // Without a delimiter a client goes on from the last key.
    let next = page
        .entries
        .last()
        .filter(|_| page.truncated && !listing.delimiter.is_empty());
    let next = next.map(|entry| encoding.encode(entry.name()));
    let account = Some(s3.owner.account.as_str());
    let (contents, common_prefixes) = split(page.entries, encoding, account);
    Ok(S3Response::new(dto::ListObjectsOutput {
        name: Some(input.bucket),
        prefix: Some(encoding.encode(&listing.prefix)),
        marker: Some(encoding.encode(&listing.after)),
        max_keys: i32::try_from(listing.limit).ok(),
        is_truncated: Some(page.truncated),
        contents: Some(contents),
        common_prefixes: Some(common_prefixes),
        delimiter: (!listing.delimiter.is_empty()).then(|| encoding.encode(&listing.delimiter)),
        next_marker: next,
        encoding_type: input.encoding_type,
        ..dto::ListObjectsOutput::default()
    }))
}

pub(super) async fn version_2(
    s3: &S3,
    request: S3Request<dto::ListObjectsV2Input>,
) -> Answer<dto::ListObjectsV2Output> {
    let input = request.input;
    let encoding = Encoding::new(input.encoding_type.as_ref().map(dto::EncodingType::as_str))?;
    let scope = format!("ListObjectsV2 {}", input.bucket);
    let token = match &input.continuation_token {
        Some(token) => Some(PageToken::decode::<String>(&scope, token).ok_or_else(wrong_token)?),
        None => None,
    };
    let listing = Listing {
        prefix: input.prefix.unwrap_or_default(),
        delimiter: input.delimiter.unwrap_or_default(),
        after: token.or_else(|| input.start_after.clone()).unwrap_or_default(),
        limit: page_size(input.max_keys, PAGE_SIZE_MAX)?,
    };
    let page = s3.list(&input.bucket, &listing).await?;
    let Page { entries, truncated } = page;
    let next = match entries.last().filter(|_| truncated) {
        Some(last) => Some(PageToken::encode(&scope, &last.name())?),
        None => None,
    };
    let count = i32::try_from(entries.len()).ok();
    let account = input.fetch_owner.unwrap_or(false).then_some(s3.owner.account.as_str());
    let (contents, common_prefixes) = split(entries, encoding, account);
    Ok(S3Response::new(dto::ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(encoding.encode(&listing.prefix)),
        max_keys: i32::try_from(listing.limit).ok(),
        key_count: count,
        continuation_token: input.continuation_token,
        is_truncated: Some(truncated),
        next_continuation_token: next,
        contents: Some(contents),
        common_prefixes: Some(common_prefixes),
        delimiter: (!listing.delimiter.is_empty()).then(|| encoding.encode(&listing.delimiter)),
        encoding_type: input.encoding_type,
        start_after: input.start_after.map(|start| encoding.encode(&start)),
        ..dto::ListObjectsV2Output::default()
    }))
}

/// A bucket without versions: every object is the only version of its key, and
/// the version's id is `null`.
pub(super) async fn versions(
    s3: &S3,
    request: S3Request<dto::ListObjectVersionsInput>,
) -> Answer<dto::ListObjectVersionsOutput> {
    let input = request.input;
    let encoding = Encoding::new(input.encoding_type.as_ref().map(dto::EncodingType::as_str))?;
    let listing = Listing {
        prefix: input.prefix.unwrap_or_default(),
        delimiter: input.delimiter.unwrap_or_default(),
        after: input.key_marker.clone().unwrap_or_default(),
        limit: page_size(input.max_keys, PAGE_SIZE_MAX)?,
    };
    let page = s3.list(&input.bucket, &listing).await?;
    let next = page.entries.last().filter(|_| page.truncated);
    let next_key_marker = next.map(|entry| encoding.encode(entry.name()));
    let next_version_id_marker = match next {
        Some(Entry::Object(..)) => Some("null".to_owned()),
        _ => None,
    };
    let account = Some(s3.owner.account.as_str());
    let (contents, common_prefixes) = split(page.entries, encoding, account);
    let versions = contents.into_iter().map(|object| dto::ObjectVersion {
        checksum_algorithm: object.checksum_algorithm,
        checksum_type: object.checksum_type,
        e_tag: object.e_tag,
        is_latest: Some(true),
        key: object.key,
        last_modified: object.last_modified,
        owner: object.owner,
        size: object.size,
        storage_class: object
            .storage_class
            .map(|class| dto::ObjectVersionStorageClass::from(class.as_str().to_owned())),
        version_id: Some("null".to_owned()),
        ..dto::ObjectVersion::default()
    });
    Ok(S3Response::new(dto::ListObjectVersionsOutput {
        common_prefixes: Some(common_prefixes),
        delimiter: (!listing.delimiter.is_empty()).then(|| encoding.encode(&listing.delimiter)),
        encoding_type: input.encoding_type,
        is_truncated: Some(page.truncated),
        key_marker: Some(encoding.encode(&listing.after)),
        max_keys: i32::try_from(listing.limit).ok(),
        name: Some(input.bucket),
        next_key_marker,
        next_version_id_marker,
        prefix: Some(encoding.encode(&listing.prefix)),
        version_id_marker: input.version_id_marker.or_else(|| Some(String::new())),
        versions: Some(versions.collect()),
        ..dto::ListObjectVersionsOutput::default()
    }))
}

/// Entries as S3's XML has them: objects and common prefixes apart. Objects
/// say their owner if an account is given.
fn split(entries: Vec<Entry>, encoding: Encoding, account: Option<&str>) -> (Vec<dto::Object>, Vec<dto::CommonPrefix>) {
    let (mut objects, mut prefixes) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Entry::Object(key, record) => objects.push(object(encoding.encode(&key), &record, account)),
            Entry::Prefix(prefix) => prefixes.push(dto::CommonPrefix {
                prefix: Some(encoding.encode(&prefix)),
            }),
        }
    }
    (objects, prefixes)
}

fn object(key: String, record: &ObjectRecord, account: Option<&str>) -> dto::Object {
    let class = record
        .headers
        .storage_class
        .clone()
        .unwrap_or_else(|| "STANDARD".to_owned());
    dto::Object {
        checksum_algorithm: Some(vec![dto::ChecksumAlgorithm::from_static(
            record.checksum.algorithm.name(),
        )]),
        checksum_type: Some(dto::ChecksumType::from_static(record.checksum.kind.name())),
        e_tag: etag(&record.etag),
        key: Some(key),
        last_modified: Some(s3_timestamp(record.modified)),
        owner: account.map(owner),
        size: Some(size(record.size)),
        storage_class: Some(dto::ObjectStorageClass::from(class)),
        ..dto::Object::default()
    }
}
