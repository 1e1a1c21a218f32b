//! Where Lambda's operations lie in the URL space, and how `Invoke` travels.
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Operations.html>

use bytes::Bytes;
use futures::TryStreamExt as _;
use http::{
    HeaderValue, Method, Response, Uri,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
    request::Parts,
};
use http_body_util::StreamBody;
use hyper::body::Frame;
use percent_encoding::percent_decode_str;
use scones_api::{ApiError, Constraints};
use scones_lambda::{CodeLink, Invocation, Invoke, Lambda};
use serde_json::Value;
use tokio_util::io::ReaderStream;

use crate::{
    protocol::{
        Body,
        body::streamed,
        json::answer,
        rest::{self, Route},
    },
    router::log,
};

const FUNCTION: &str = "/2015-03-31/functions/{FunctionName}";

/// Whether the request is an `Invoke`, whose payload is not this API's JSON.
pub(crate) fn is_invocation(parts: &Parts) -> bool {
    parts.method == Method::POST
        && parts.uri.path().starts_with("/2015-03-31/functions/")
        && parts.uri.path().trim_end_matches('/').ends_with("/invocations")
}

/// Whether a path has the form of Lambda's: a version of the API, which is a
/// date, and then a noun.
pub(crate) fn is_path(path: &str) -> bool {
    path.strip_prefix('/')
        .and_then(|path| path.split_once('/'))
        .is_some_and(|(date, _)| date.len() == 10 && date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'))
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
pub(crate) async fn invoke(lambda: &Lambda, parts: &Parts, payload: Bytes) -> Response<Body> {
    let result = run(lambda, parts, payload).await;
    log("Invoke", result.as_ref().err());
    match result {
        Ok(invocation) => respond(invocation),
        Err(error) => rest::refuse(&error),
    }
}

async fn run(lambda: &Lambda, parts: &Parts, payload: Bytes) -> Result<Invocation, ApiError> {
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
    let invocation_type = header("x-amz-invocation-type").unwrap_or("RequestResponse");
    let mut constraints = Constraints::new();
    constraints.one_of(
        "invocationType",
        invocation_type,
        &["Event", "RequestResponse", "DryRun"],
    );
    constraints.check()?;
    match invocation_type {
        "Event" => lambda.invoke_event(invoke).await,
        "DryRun" => lambda.invoke_dry_run(invoke).await,
        _ => lambda.invoke(invoke).await,
    }
}

/// The package that a link of `GetFunction` leads to.
pub(crate) async fn code(lambda: &Lambda, uri: &Uri) -> Response<Body> {
    let parameter = |name: &str| {
        let pairs = uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        let value = pairs.filter(|(found, _)| *found == name).map(|(_, value)| value).next();
        percent_decode_str(value.unwrap_or_default())
            .decode_utf8_lossy()
            .into_owned()
    };
    let link = CodeLink {
        function: parameter("Function"),
        version: parameter("Version"),
        // What is not a time has passed.
        expires: parameter("Expires").parse().unwrap_or(0),
        signature: parameter("Signature"),
    };
    match lambda.open_code(&link).await {
        Ok(package) => {
            let frames = ReaderStream::new(package.reader).map_ok(Frame::data);
            let mut response = Response::new(streamed(StreamBody::new(frames)));
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
            response.headers_mut().insert(CONTENT_LENGTH, package.size.into());
            response
        }
        Err(error) => rest::refuse(&error),
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
