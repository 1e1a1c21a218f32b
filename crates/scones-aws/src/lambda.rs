//! Where Lambda's operations lie in the URL space, and how `Invoke` travels.
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html>

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method, Response, request::Parts};
use scones_api::{ApiError, Constraints, RequestContext};
use scones_lambda::{Invocation, Invoke, Lambda};
use serde_json::Value;

use crate::{
    RawService,
    protocol::{
        Body,
        json::answer,
        rest::{self, Route},
    },
};

const FUNCTION: &str = "/2015-03-31/functions/{FunctionName}";

/// Whether the request is an `Invoke`, whose payload is not this API's JSON.
pub(crate) fn is_invocation(parts: &Parts) -> bool {
    parts.method == Method::POST
        && parts.uri.path().starts_with("/2015-03-31/functions/")
        && parts.uri.path().trim_end_matches('/').ends_with("/invocations")
}

/// Every operation but `Invoke`.
pub(crate) const ROUTES: &[Route] = &[
    Route::new(Method::POST, "/2015-03-31/functions", "CreateFunction", 201),
    Route::new(Method::GET, "/2015-03-31/functions", "ListFunctions", 200),
    Route::new(Method::GET, FUNCTION, "GetFunction", 200),
    Route::new(Method::DELETE, FUNCTION, "DeleteFunction", 204),
    Route::new(
        Method::GET,
        "/2015-03-31/functions/{FunctionName}/configuration",
        "GetFunctionConfiguration",
        200,
    ),
    Route::new(
        Method::PUT,
        "/2015-03-31/functions/{FunctionName}/configuration",
        "UpdateFunctionConfiguration",
        200,
    ),
    Route::new(
        Method::PUT,
        "/2015-03-31/functions/{FunctionName}/code",
        "UpdateFunctionCode",
        200,
    ),
    Route::new(
        Method::POST,
        "/2015-03-31/functions/{FunctionName}/versions",
        "PublishVersion",
        201,
    ),
    Route::new(
        Method::GET,
        "/2015-03-31/functions/{FunctionName}/versions",
        "ListVersionsByFunction",
        200,
    ),
    Route::new(
        Method::POST,
        "/2015-03-31/functions/{FunctionName}/aliases",
        "CreateAlias",
        201,
    ),
    Route::new(
        Method::GET,
        "/2015-03-31/functions/{FunctionName}/aliases",
        "ListAliases",
        200,
    ),
    Route::new(
        Method::GET,
        "/2015-03-31/functions/{FunctionName}/aliases/{Name}",
        "GetAlias",
        200,
    ),
    Route::new(
        Method::PUT,
        "/2015-03-31/functions/{FunctionName}/aliases/{Name}",
        "UpdateAlias",
        200,
    ),
    Route::new(
        Method::DELETE,
        "/2015-03-31/functions/{FunctionName}/aliases/{Name}",
        "DeleteAlias",
        204,
    ),
    Route::new(
        Method::POST,
        "/2015-03-31/functions/{FunctionName}/policy",
        "AddPermission",
        201,
    ),
    Route::new(
        Method::GET,
        "/2015-03-31/functions/{FunctionName}/policy",
        "GetPolicy",
        200,
    ),
    Route::new(
        Method::DELETE,
        "/2015-03-31/functions/{FunctionName}/policy/{StatementId}",
        "RemovePermission",
        204,
    ),
    Route::new(
        Method::PUT,
        "/2017-10-31/functions/{FunctionName}/concurrency",
        "PutFunctionConcurrency",
        200,
    ),
    Route::new(
        Method::GET,
        "/2019-09-30/functions/{FunctionName}/concurrency",
        "GetFunctionConcurrency",
        200,
    ),
    Route::new(
        Method::DELETE,
        "/2017-10-31/functions/{FunctionName}/concurrency",
        "DeleteFunctionConcurrency",
        204,
    ),
    Route::new(Method::GET, "/2017-03-31/tags/{Resource}", "ListTags", 200),
    Route::new(Method::POST, "/2017-03-31/tags/{Resource}", "TagResource", 204),
    Route::new(Method::DELETE, "/2017-03-31/tags/{Resource}", "UntagResource", 204),
    Route::new(Method::GET, "/2016-08-19/account-settings", "GetAccountSettings", 200),
];

/// `Invoke`: the payload is the body, everything else is in headers.
/// <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>
pub struct InvokeFunction(pub Arc<Lambda>);

#[async_trait]
impl RawService for InvokeFunction {
    async fn call(&self, parts: Parts, body: Bytes, _: &RequestContext) -> Response<Body> {
        match self.invoke(&parts, body).await {
            Ok(invocation) => respond(invocation),
            Err(error) => rest::refuse(&error),
        }
    }
}

impl InvokeFunction {
    async fn invoke(&self, parts: &Parts, payload: Bytes) -> Result<Invocation, ApiError> {
        let (_, input) = rest::find(INVOKE, &parts.method, &parts.uri)
            .ok_or_else(|| ApiError::not_implemented(format_args!("the path {}", parts.uri.path())))?;
        let member = |name: &str| input.get(name).and_then(Value::as_str);
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let invoke = Invoke {
            function: member("FunctionName").unwrap_or_default(),
            qualifier: member("Qualifier"),
            payload,
            log_tail: header("x-amz-log-type") == Some("Tail"),
            client_context: header("x-amz-client-context"),
        };
        match header("x-amz-invocation-type") {
            None | Some("RequestResponse") => self.0.invoke(invoke).await,
            Some("Event") => self.0.invoke_event(invoke).await,
            Some("DryRun") => self.0.invoke_dry_run(invoke).await,
            Some(other) => {
                let mut constraints = Constraints::new();
                constraints.one_of("invocationType", other, &["Event", "RequestResponse", "DryRun"]);
                Err(constraints
                    .check()
                    .err()
                    .unwrap_or_else(|| ApiError::internal("an unknown invocation type")))
            }
        }
    }
}

const INVOKE: &[Route] = &[Route::new(
    Method::POST,
    "/2015-03-31/functions/{FunctionName}/invocations",
    "Invoke",
    200,
)];

fn respond(invocation: Invocation) -> Response<Body> {
    let mut response = answer(
        invocation.status_code,
        HeaderValue::from_static("application/json"),
        invocation.payload,
    );
    let headers = [
        ("x-amz-function-error", invocation.function_error),
        ("x-amz-log-result", invocation.log_result),
        ("x-amz-executed-version", Some(invocation.executed_version)),
        ("x-amzn-requestid", Some(invocation.request_id)),
    ];
    for (name, value) in headers {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
