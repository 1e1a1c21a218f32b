//! Operations that are no JSON on the wire.

use scones_api::{ApiError, RequestContext};
use scones_lambda::Invoke;
use scones_s3::S3;
use scones_sagemaker::{InvokeEndpoint, InvokeError, ModelError, SageMaker};
use serde_json::{Map, Value, json};

use super::{Tasks, ask};

fn text<'a>(input: &'a Value, member: &str) -> Option<&'a str> {
    input.get(member).and_then(Value::as_str)
}

fn required<'a>(input: &'a Value, member: &str) -> Result<&'a str, ApiError> {
    text(input, member).ok_or_else(|| ApiError::validation(format!("{member} is required")))
}

/// Lambda's `Invoke`: a failed function is a response, as for any client.
pub(super) async fn invoke_function(tasks: &Tasks, input: &Value) -> Result<Value, ApiError> {
    let invoke = Invoke {
        function: required(input, "FunctionName")?,
        qualifier: text(input, "Qualifier"),
        payload: text(input, "Payload").unwrap_or("{}").to_owned().into(),
        log_tail: text(input, "LogType") == Some("Tail"),
        client_context: text(input, "ClientContext"),
    };
    let invocation = match text(input, "InvocationType") {
        None | Some("RequestResponse") => tasks.lambda.invoke(invoke).await,
        Some("Event") => tasks.lambda.invoke_event(invoke).await,
        Some("DryRun") => tasks.lambda.invoke_dry_run(invoke).await,
        Some(other) => Err(ApiError::bad_request(
            "InvalidParameterValueException",
            format!("'{other}' is not an InvocationType"),
        )),
    }?;
    let mut response = Map::new();
    response.insert("ExecutedVersion".to_owned(), invocation.executed_version.into());
    if let Some(error) = invocation.function_error {
        response.insert("FunctionError".to_owned(), error.into());
    }
    if let Some(log) = invocation.log_result {
        response.insert("LogResult".to_owned(), log.into());
    }
    let payload = String::from_utf8_lossy(&invocation.payload).into_owned();
    response.insert("Payload".to_owned(), payload.into());
    response.insert("StatusCode".to_owned(), invocation.status_code.into());
    Ok(Value::Object(response))
}

/// The SageMaker runtime's `InvokeEndpoint`. A task's body is text.
pub(super) async fn invoke_endpoint(sagemaker: &SageMaker, input: &Value) -> Result<Value, ApiError> {
    let member = |name: &str| text(input, name).map(str::to_owned);
    let call = InvokeEndpoint {
        endpoint_name: required(input, "EndpointName")?.to_owned(),
        content_type: member("ContentType"),
        accept: member("Accept"),
        target_variant: member("TargetVariant"),
        target_model: member("TargetModel"),
        inference_id: member("InferenceId"),
        custom_attributes: member("CustomAttributes"),
        body: member("Body").unwrap_or_default().into(),
    };
    match sagemaker.invoke_endpoint(call).await {
        Ok(inference) => Ok(json!({
            "Body": String::from_utf8_lossy(&inference.body),
            "ContentType": inference.content_type,
            "InvokedProductionVariant": inference.invoked_variant,
        })),
        Err(InvokeError::Api(error)) => Err(error),
        Err(InvokeError::Model(error)) => Err(ApiError::new(ModelError::STATUS, ModelError::CODE, error.message)),
    }
}

/// S3's operations in JSON. An object that a state cannot hold is the state's
/// error, not S3's.
pub(super) async fn call_s3(
    s3: &S3,
    operation: &str,
    input: &Value,
    context: &RequestContext,
) -> Result<Value, ApiError> {
    ask(s3, operation, input, context).await.map_err(|error| {
        if operation == "GetObject" && error.code == "EntityTooLarge" {
            let message = "The state/task 'aws-sdk:s3' returned a result with a size exceeding the maximum number \
                           of bytes service limit.";
            return ApiError::bad_request("States.DataLimitExceeded", message);
        }
        error
    })
}
