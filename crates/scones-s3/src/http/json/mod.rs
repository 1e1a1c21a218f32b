//! The operations as JSON, as state machines call them: each is the request that
//! an SDK would send, less the signature, and so does what the REST protocol
//! does. Bodies are text, dates too.

mod answer;
mod notation;
mod request;
mod xml;

use http::StatusCode;
use s3s::{
    S3Error, S3ErrorCode, S3Result,
    access::{S3Access, S3AccessContext},
    auth::{S3Auth, SecretKey},
};
use scones_api::{ApiError, JsonService, RequestContext};
use serde_json::{Map, Value};

use self::request::serialization;
use super::{convert::s3_error, range, refuse};
use crate::S3;

impl S3 {
    /// The operations that can be called with JSON, which are all that there are.
    pub fn operations() -> impl Iterator<Item = &'static str> {
        notation::names()
    }
}

#[async_trait::async_trait]
impl JsonService for S3 {
    async fn call(&self, operation: &str, input: &[u8], _: &RequestContext) -> Result<Vec<u8>, ApiError> {
        let found = notation::find(operation).ok_or_else(|| ApiError::not_implemented(operation))?;
        let input: Map<String, Value> = match input {
            [] => Map::new(),
            json => serde_json::from_slice(json).map_err(|error| serialization(error.to_string()))?,
        };
        let request = request::request(&found, input)?;
        let request = range::mended(&request).unwrap_or(request);
        let mut service = self.service_builder();
        service.set_auth(NoKeys);
        service.set_access(Inside {
            operation: found.name,
            account: self.owner.account.to_string(),
        });
        let response = service.build().call(request).await;
        let response = response.map_err(|error| ApiError::internal(format!("{error:?}")))?;
        let output = answer::output(&found.output, response).await?;
        serde_json::to_vec(&output).map_err(ApiError::internal)
    }
}

/// Requests from inside are not signed.
struct NoKeys;

#[async_trait::async_trait]
impl S3Auth for NoKeys {
    async fn get_secret_key(&self, _: &str) -> S3Result<SecretKey> {
        Err(S3ErrorCode::InvalidAccessKeyId.into())
    }
}

/// Checks what every request is checked for, and that `s3s` takes the request for
/// what it is.
struct Inside {
    operation: &'static str,
    account: String,
}

#[async_trait::async_trait]
impl S3Access for Inside {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        if context.s3_op().name() != self.operation {
            let message = format!("{} was taken for {}", self.operation, context.s3_op().name());
            let mut error = S3Error::with_message(S3ErrorCode::InternalError, message);
            error.set_status_code(StatusCode::INTERNAL_SERVER_ERROR);
            return Err(error);
        }
        refuse::check_request(context, &self.account).map_err(s3_error)
    }
}
