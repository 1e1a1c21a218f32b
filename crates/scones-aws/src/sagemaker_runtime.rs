//! `InvokeEndpoint`: raw bytes both ways, everything else in headers.
//! <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html>

use bytes::Bytes;
use http::{HeaderValue, Method, Response, request::Parts};
use scones_api::ApiError;
use scones_sagemaker::{Inference, InvokeEndpoint, InvokeError, ModelError, SageMaker};
use serde_json::{Value, json};

use crate::{
    protocol::{
        Body,
        json::answer,
        rest::{self, Route},
    },
    router::log,
};

const INVOKE: &[Route] = &[Route::new(
    Method::POST,
    "/endpoints/{EndpointName}/invocations",
    "InvokeEndpoint",
    200,
)];

/// Answers whatever is asked of the runtime.
pub(crate) async fn invoke(sagemaker: &SageMaker, parts: &Parts, body: Bytes) -> Response<Body> {
    let Some((_, input)) = rest::find(INVOKE, &parts.method, &parts.uri) else {
        let what = format!("the runtime operation {} {}", parts.method, parts.uri.path());
        return rest::refuse(&ApiError::not_implemented(what));
    };
    let header = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let input = InvokeEndpoint {
        endpoint_name: input
            .get("EndpointName")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        content_type: header("content-type"),
        accept: header("accept"),
        target_variant: header("x-amzn-sagemaker-target-variant"),
        target_model: header("x-amzn-sagemaker-target-model"),
        inference_id: header("x-amzn-sagemaker-inference-id"),
        custom_attributes: header("x-amzn-sagemaker-custom-attributes"),
        body,
    };
    match sagemaker.invoke_endpoint(input).await {
        Ok(inference) => respond(inference),
        Err(InvokeError::Api(error)) => {
            log("InvokeEndpoint", Some(&error));
            rest::refuse(&error)
        }
        Err(InvokeError::Model(error)) => refuse(&error),
    }
}

fn respond(inference: Inference) -> Response<Body> {
    let mut response = answer(200, HeaderValue::from_static(inference.content_type), inference.body);
    if let Ok(variant) = HeaderValue::from_str(&inference.invoked_variant) {
        response
            .headers_mut()
            .insert("x-amzn-invoked-production-variant", variant);
    }
    response
}

fn refuse(error: &ModelError) -> Response<Body> {
    let body = json!({
        "ErrorCode": error.error_code(),
        "LogStreamArn": error.log_stream_arn,
        "Message": error.message,
        "message": error.message,
        "OriginalMessage": error.original_message,
        "OriginalStatusCode": error.original_status_code,
    });
    let mut response = answer(
        ModelError::STATUS,
        HeaderValue::from_static("application/json"),
        body.to_string(),
    );
    response
        .headers_mut()
        .insert("x-amzn-errortype", HeaderValue::from_static(ModelError::CODE));
    response
}
