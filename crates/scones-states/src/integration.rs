//! From a task's resource and parameters to a call, and back to its result.

use scones_api::ApiError;
use scones_asl::{Pattern, Resource, TaskCall};
use serde_json::{Map, Value, json};

use crate::runner::{InvocationType, LambdaCall, LambdaReply, ServiceCall, TaskFailure, TaskRunner};

/// Performs a task's call and gives its result, or for `.waitForTaskToken` the
/// response of its request, as JSON text.
pub(crate) async fn perform(runner: &dyn TaskRunner, task: &TaskCall) -> Result<String, TaskFailure> {
    match &task.resource {
        Resource::Lambda { arn } => {
            let call = LambdaCall {
                function: arn.clone(),
                qualifier: None,
                payload: task.input.to_string(),
                invocation: InvocationType::RequestResponse,
                client_context: None,
            };
            let reply = runner.invoke_function(call).await.map_err(lambda_refusal)?;
            succeeded(reply).map(|reply| reply.payload)
        }
        Resource::Service {
            service,
            action,
            pattern,
            ..
        } if service == "lambda" && action == "invoke" => {
            let reply = runner
                .invoke_function(lambda_call(&task.parameters)?)
                .await
                .map_err(lambda_refusal)?;
            let reply = succeeded(reply)?;
            match pattern {
                Pattern::Sync | Pattern::Sync2 => Err(refused("'lambda:invoke' has no '.sync' form".to_owned())),
                Pattern::RequestResponse | Pattern::WaitForTaskToken => Ok(lambda_response(reply).to_string()),
            }
        }
        Resource::Service {
            service,
            action,
            pattern,
            ..
        } => {
            let call = ServiceCall {
                service: service.clone(),
                action: action.clone(),
                wait_for_job: matches!(pattern, Pattern::Sync | Pattern::Sync2),
                parameters: task.parameters.clone(),
            };
            runner.call_service(call).await
        }
        Resource::Activity { arn } => Err(refused(format!("activity '{arn}' is not called but polled for"))),
    }
}

fn refused(cause: String) -> TaskFailure {
    TaskFailure {
        error: "States.Runtime".to_owned(),
        cause,
    }
}

/// The invocation that the parameters of `lambda:invoke` describe.
fn lambda_call(parameters: &Value) -> Result<LambdaCall, TaskFailure> {
    let text = |member: &str| parameters.get(member).and_then(Value::as_str).map(str::to_owned);
    let function = text("FunctionName")
        .ok_or_else(|| refused("The field 'FunctionName' is required but was missing".to_owned()))?;
    let invocation = match text("InvocationType").as_deref() {
        None | Some("RequestResponse") => InvocationType::RequestResponse,
        Some("Event") => InvocationType::Event,
        Some("DryRun") => InvocationType::DryRun,
        Some(other) => return Err(refused(format!("'{other}' is not an InvocationType"))),
    };
    Ok(LambdaCall {
        function,
        qualifier: text("Qualifier"),
        payload: parameters
            .get("Payload")
            .map_or_else(|| "{}".to_owned(), Value::to_string),
        invocation,
        client_context: text("ClientContext"),
    })
}

/// A reply of a function that did not fail.
fn succeeded(reply: LambdaReply) -> Result<LambdaReply, TaskFailure> {
    if reply.function_error.is_none() {
        return Ok(reply);
    }
    let error_type = serde_json::from_str::<Value>(&reply.payload)
        .ok()
        .and_then(|payload| Some(payload.get("errorType")?.as_str()?.to_owned()));
    Err(match error_type {
        Some(error) => TaskFailure {
            error,
            cause: reply.payload,
        },
        None => TaskFailure {
            error: "Lambda.Unknown".to_owned(),
            cause: format!(
                "The cause could not be determined because Lambda did not return an error type. Returned payload: {}",
                reply.payload
            ),
        },
    })
}

/// Lambda's refusal of an invocation in the words of its integration.
fn lambda_refusal(error: ApiError) -> TaskFailure {
    TaskFailure {
        cause: format!(
            "{} (Service: AWSLambda; Status Code: {}; Error Code: {}; Request ID: {}; Proxy: null)",
            error.message,
            error.status,
            error.code,
            uuid::Uuid::new_v4()
        ),
        error: format!("Lambda.{}", error.code),
    }
}

/// The result of `lambda:invoke`. The payload stays what the function gave:
/// JSON where it is JSON, else text.
fn lambda_response(reply: LambdaReply) -> Value {
    let length = reply.payload.len().to_string();
    let payload = match reply.payload.is_empty() {
        true => None,
        false => Some(serde_json::from_str(&reply.payload).unwrap_or(Value::String(reply.payload))),
    };
    let mut headers = Map::new();
    if let Some(version) = &reply.executed_version {
        headers.insert("X-Amz-Executed-Version".to_owned(), json!(version));
    }
    headers.insert("Connection".to_owned(), json!("keep-alive"));
    headers.insert("x-amzn-RequestId".to_owned(), json!(reply.request_id));
    headers.insert("Content-Length".to_owned(), json!(length));
    headers.insert("Content-Type".to_owned(), json!("application/json"));
    let all: Map<String, Value> = headers
        .iter()
        .map(|(name, value)| (name.clone(), json!([value])))
        .collect();
    let mut response = Map::new();
    if let Some(version) = reply.executed_version {
        response.insert("ExecutedVersion".to_owned(), Value::String(version));
    }
    if let Some(payload) = payload {
        response.insert("Payload".to_owned(), payload);
    }
    let metadata = json!({"AllHttpHeaders": all, "HttpHeaders": headers, "HttpStatusCode": reply.status_code});
    response.insert("SdkHttpMetadata".to_owned(), metadata);
    response.insert("SdkResponseMetadata".to_owned(), json!({"RequestId": reply.request_id}));
    response.insert("StatusCode".to_owned(), json!(reply.status_code));
    Value::Object(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(payload: &str, function_error: Option<&str>) -> LambdaReply {
        LambdaReply {
            status_code: 200,
            payload: payload.to_owned(),
            function_error: function_error.map(str::to_owned),
            executed_version: Some("$LATEST".to_owned()),
            request_id: "r".to_owned(),
        }
    }

    #[test]
    fn a_failed_function_is_named_by_its_error_type() {
        let check = |payload: &str, error: &str| {
            assert_eq!(succeeded(reply(payload, Some("Unhandled"))).unwrap_err().error, error);
        };
        check(r#"{"errorMessage":"m","errorType":"ValueError"}"#, "ValueError");
        check(r#"{"errorMessage":"m"}"#, "Lambda.Unknown");
        check("not JSON", "Lambda.Unknown");
    }

    #[test]
    fn the_response_holds_the_payload_as_json() {
        let check = |payload: &str, expect: Option<Value>| {
            assert_eq!(
                lambda_response(reply(payload, None)).get("Payload"),
                expect.as_ref(),
                "{payload}"
            );
        };
        check("{\"a\":1.50}", Some(serde_json::from_str("{\"a\":1.50}").unwrap()));
        check("text", Some(json!("text")));
        check("", None);
        insta::assert_snapshot!(lambda_response(reply("5", None)), @r#"{"ExecutedVersion":"$LATEST","Payload":5,"SdkHttpMetadata":{"AllHttpHeaders":{"X-Amz-Executed-Version":["$LATEST"],"Connection":["keep-alive"],"x-amzn-RequestId":["r"],"Content-Length":["1"],"Content-Type":["application/json"]},"HttpHeaders":{"X-Amz-Executed-Version":"$LATEST","Connection":"keep-alive","x-amzn-RequestId":"r","Content-Length":"1","Content-Type":"application/json"},"HttpStatusCode":200},"SdkResponseMetadata":{"RequestId":"r"},"StatusCode":200}"#);
    }

    #[test]
    fn parameters_are_decoded() {
        let call =
            lambda_call(&json!({"FunctionName": "f", "Payload": {"a": [1]}, "InvocationType": "Event"})).unwrap();
        assert_eq!((call.function.as_str(), call.payload.as_str()), ("f", r#"{"a":[1]}"#));
        assert_eq!(call.invocation, InvocationType::Event);
        assert!(lambda_call(&json!({})).is_err());
        assert!(lambda_call(&json!({"FunctionName": "f", "InvocationType": "Later"})).is_err());
    }
}
