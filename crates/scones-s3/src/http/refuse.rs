//! What is refused before an operation begins: requests without a signature,
//! and whatever asks for something that is not built. AWS would do it; ignoring
//! it would be a lie.

use std::sync::Arc;

use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use s3s::{
    S3Error, S3ErrorCode, S3Result,
    access::{S3Access, S3AccessContext},
};
use scones_api::ApiError;

use super::{CredentialSource, convert::s3_error, operations::is_built, range::Admission};
use crate::{
    error::{invalid_argument, invalid_request},
    limits::PRESIGNED_SECONDS_MAX,
};

/// The access check.
pub(super) struct Guard {
    pub(super) credentials: Arc<dyn CredentialSource>,
    /// The owner of every bucket.
    pub(super) account: String,
}

#[async_trait::async_trait]
impl S3Access for Guard {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Some(credentials) = context.credentials() else {
            return Err(S3Error::with_message(S3ErrorCode::AccessDenied, "Access Denied"));
        };
        let query = context.uri().query().unwrap_or_default();
        self.check_token(&credentials.access_key, context.headers(), query)
            .map_err(s3_error)?;
        check_signature_form(context.headers(), query)
            .and_then(|()| check_signed_headers(context.headers(), query))
            .and_then(|()| check_request(context, &self.account))
            .map_err(s3_error)?;
        let reads_object = matches!(context.s3_op().name(), "GetObject" | "HeadObject");
        if let Some(admission) = context.extensions_mut().get::<Admission>().filter(|_| reads_object) {
            admission.grant();
        }
        Ok(())
    }
}

impl Guard {
    fn check_token(&self, access_key: &str, headers: &HeaderMap, query: &str) -> Result<(), ApiError> {
        let in_header = headers
            .get("x-amz-security-token")
            .and_then(|token| token.to_str().ok());
        let in_query = parameters(query).find(|(name, _)| name.eq_ignore_ascii_case("x-amz-security-token"));
        let token = in_header.map(str::to_owned).or(in_query.map(|(_, token)| token));
        if self.credentials.accepts_token(access_key, token.as_deref()) {
            return Ok(());
        }
        Err(ApiError::bad_request(
            "InvalidToken",
            "The provided token is malformed or otherwise invalid.",
        ))
    }
}

/// What a request is refused for whoever sends it, where every bucket is
/// `account`'s.
pub(super) fn check_request(context: &S3AccessContext<'_>, account: &str) -> Result<(), ApiError> {
    let operation = context.s3_op().name();
    check_owner(context.headers(), account)?;
    check_operation(operation)?;
    check_headers(operation, context.headers())?;
    check_query(context.method(), operation, context.uri().query().unwrap_or_default())
}

fn check_owner(headers: &HeaderMap, account: &str) -> Result<(), ApiError> {
    for name in ["x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"] {
        if headers.get(name).is_some_and(|owner| owner != account) {
            return Err(ApiError::new(403, "AccessDenied", "Access Denied"));
        }
    }
    Ok(())
}

/// SigV2 is accepted in presigned URLs only, and no URL lives longer than AWS
/// lets it.
fn check_signature_form(headers: &HeaderMap, query: &str) -> Result<(), ApiError> {
    let authorization = headers.get("authorization").map_or(&b""[..], |value| value.as_bytes());
    if authorization.starts_with(b"AWS ") {
        return Err(invalid_request(
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
        ));
    }
    let expires = parameters(query).find(|(name, _)| name == "X-Amz-Expires");
    if let Some((_, seconds)) = expires
        && seconds
            .parse::<u64>()
            .map_or(true, |seconds| seconds > PRESIGNED_SECONDS_MAX)
    {
        return Err(ApiError::bad_request(
            "AuthorizationQueryParametersError",
            format!(
                "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than {PRESIGNED_SECONDS_MAX} seconds"
            ),
        ));
    }
    Ok(())
}

fn check_operation(name: &str) -> Result<(), ApiError> {
    match name {
        "PutBucketAcl" | "PutObjectAcl" => Err(no_acl()),
        name if !is_built(name) => Err(ApiError::not_implemented(name)),
        _ => Ok(()),
    }
}

fn no_acl() -> ApiError {
    ApiError::bad_request("AccessControlListNotSupported", "The bucket does not allow ACLs")
}

/// Every `x-amz-` header and the host must be signed: somebody between could
/// have added others.
fn check_signed_headers(headers: &HeaderMap, query: &str) -> Result<(), ApiError> {
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
    let in_header = authorization.and_then(|text| text.split("SignedHeaders=").nth(1)?.split(',').next());
    let in_query = parameters(query)
        .find(|(name, _)| name == "X-Amz-SignedHeaders")
        .map(|(_, value)| value);
    let Some(signed) = in_header.map(str::to_owned).or(in_query) else {
        // A SigV2 URL signs all of them.
        return Ok(());
    };
    let signed: Vec<_> = signed.trim().split(';').map(str::to_ascii_lowercase).collect();
    let is_signed = |name: &str| signed.iter().any(|other| other == name);
    let mut needed = headers
        .keys()
        .map(http::HeaderName::as_str)
        .filter(|name| name.starts_with("x-amz-"));
    match needed.find(|name| !is_signed(name)) {
        None if is_signed("host") => Ok(()),
        unsigned => Err(ApiError::new(
            403,
            "AccessDenied",
            format!(
                "There were headers present in the request which were not signed: {}",
                unsigned.unwrap_or("host")
            ),
        )),
    }
}

/// Headers that ask for what is not built, and what each asks for.
const HEADERS: [(&str, &str); 11] = [
    ("x-amz-server-side-encryption", "server-side encryption"),
    ("x-amz-copy-source-server-side-encryption", "server-side encryption"),
    ("x-amz-tagging", "object tagging"),
    ("x-amz-object-lock-", "object lock"),
    ("x-amz-bucket-object-lock-enabled", "object lock"),
    ("x-amz-website-redirect-location", "website redirects"),
    ("x-amz-write-offset-bytes", "appending to objects"),
    ("x-amz-rename-source", "RenameObject"),
    ("x-amz-mfa", "MFA delete"),
    (
        "x-amz-object-ownership",
        "object ownership other than BucketOwnerEnforced",
    ),
    ("x-amz-grant-", "access control lists"),
];

fn check_headers(operation: &str, headers: &HeaderMap) -> Result<(), ApiError> {
    for (name, value) in headers {
        let name = name.as_str();
        if name == "x-amz-object-ownership" && value == "BucketOwnerEnforced" {
            continue;
        }
        if name == "x-amz-bucket-object-lock-enabled" && value == "false" {
            continue;
        }
        if name == "x-amz-tagging-directive" {
            continue;
        }
        // Clients ask for it by habit, and AWS does it without being asked. No
        // answer says that it was done.
        if name == "x-amz-server-side-encryption" && value == "AES256" {
            continue;
        }
        if name == "x-amz-acl" || name.starts_with("x-amz-grant-") {
            check_acl(operation, name, value.as_bytes())?;
        } else if let Some((_, what)) = HEADERS.iter().find(|(prefix, _)| name.starts_with(prefix)) {
            return Err(ApiError::not_implemented(format_args!("{what} (header {name})")));
        }
    }
    Ok(())
}

/// Every bucket has the object ownership that AWS's new buckets have,
/// BucketOwnerEnforced: only lists that change nothing are accepted.
fn check_acl(operation: &str, name: &str, value: &[u8]) -> Result<(), ApiError> {
    let harmless = match operation {
        "CreateBucket" => name == "x-amz-acl" && value == b"private",
        _ => name == "x-amz-acl" && value == b"bucket-owner-full-control",
    };
    if harmless {
        return Ok(());
    }
    match operation {
        "CreateBucket" => Err(ApiError::bad_request(
            "InvalidBucketAclWithObjectOwnership",
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        )),
        _ => Err(no_acl()),
    }
}

/// The query parameters that some operation knows, besides those of a
/// signature and those that begin with `response-`.
const PARAMETERS: [&str; 66] = [
    "accelerate",
    "acl",
    "allow-unordered",
    "analytics",
    "attributes",
    "bucket-region",
    "continuation-token",
    "cors",
    "delete",
    "delimiter",
    "encoding-type",
    "encryption",
    "fetch-owner",
    "id",
    "intelligent-tiering",
    "inventory",
    "key-marker",
    "legal-hold",
    "lifecycle",
    "list-type",
    "location",
    "logging",
    "marker",
    "max-buckets",
    "max-keys",
    "max-parts",
    "max-uploads",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "part-number-marker",
    "partNumber",
    "policy",
    "policyStatus",
    "prefix",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "select-type",
    "session",
    "start-after",
    "tagging",
    "torrent",
    "upload-id-marker",
    "uploadId",
    "uploads",
    "version-id-marker",
    "versionId",
    "versioning",
    "versions",
    "website",
    "x-id",
    "AWSAccessKeyId",
    "Expires",
    "Signature",
    "x-amz-checksum-mode",
    "x-amz-checksum-crc32",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-request-payer",
    "x-amz-expected-bucket-owner",
    "x-amz-security-token",
];

fn check_query(method: &Method, operation: &str, query: &str) -> Result<(), ApiError> {
    for (name, value) in parameters(query) {
        let known = PARAMETERS.contains(&name.as_str()) || name.starts_with("X-Amz-") || name.starts_with("response-");
        // AWS ignores unknown parameters; but one without a value names a
        // subresource, and a write must not become another write.
        let reads = method == Method::GET || method == Method::HEAD;
        if !known && (value.is_empty() || !reads) {
            return Err(ApiError::not_implemented(format_args!(
                "{operation} with the parameter `{name}`"
            )));
        }
        if name == "versionId" && value != "null" {
            return Err(invalid_argument(format!("Invalid version id specified: {value}")));
        }
    }
    Ok(())
}

/// The names and values of a query.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

/// A name or a value of a query.
pub(super) fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
