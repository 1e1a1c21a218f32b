//! S3's errors, with AWS's codes and words
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>).

use std::fmt;

use scones_api::ApiError;

pub(crate) fn no_such_bucket() -> ApiError {
    ApiError::new(404, "NoSuchBucket", "The specified bucket does not exist")
}

pub(crate) fn no_such_key() -> ApiError {
    ApiError::new(404, "NoSuchKey", "The specified key does not exist.")
}

pub(crate) fn no_such_upload() -> ApiError {
    ApiError::new(
        404,
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
    )
}

pub(crate) fn precondition_failed(condition: &str) -> ApiError {
    ApiError::new(
        412,
        "PreconditionFailed",
        format!("At least one of the pre-conditions you specified did not hold: {condition}"),
    )
}

pub(crate) fn invalid_argument(message: impl Into<String>) -> ApiError {
    ApiError::bad_request("InvalidArgument", message)
}

pub(crate) fn invalid_request(message: impl Into<String>) -> ApiError {
    ApiError::bad_request("InvalidRequest", message)
}

pub(crate) fn bad_digest(what: impl fmt::Display) -> ApiError {
    ApiError::bad_request(
        "BadDigest",
        format!("The {what} you specified did not match the calculated checksum."),
    )
}

pub(crate) fn incomplete_body() -> ApiError {
    ApiError::bad_request(
        "IncompleteBody",
        "The request body terminated unexpectedly or did not have the number of bytes specified by its headers",
    )
}

pub(crate) fn entity_too_large() -> ApiError {
    ApiError::bad_request(
        "EntityTooLarge",
        "Your proposed upload exceeds the maximum allowed size",
    )
}
