//! Functions: a task whose resource is a function's ARN gives the function its
//! input and has its answer; `lambda:invoke` has parameters and a response.

use scones_asl::TaskCall;
use serde_json::{Map, Value};

use super::{
    Integrations,
    answer::{http_date, with_metadata},
    refused,
    service::LAMBDA,
};
use crate::runner::{InvocationType, LambdaCall, LambdaReply, TaskFailure};

impl Integrations<'_> {
    pub(super) async fn invoke_by_arn(&self, arn: &str, task: &TaskCall) -> Result<String, TaskFailure> {
        let call = LambdaCall {
            function: arn.to_owned(),
            qualifier: None,
            payload: task.input.to_string(),
            invocation: InvocationType::RequestResponse,
            client_context: None,
        };
        let reply = self.invoke(call).await?;
        succeeded(reply).map(|reply| reply.payload)
    }

    pub(super) async fn invoke_by_name(&self, task: &TaskCall) -> Result<String, TaskFailure> {
        let call = lambda_call(&task.parameters)?;
        let reply = self.invoke(call).await?;
        let date = http_date(self.clock.now());
        Ok(lambda_response(succeeded(reply)?, date).to_string())
    }

    /// Invokes a function; Lambda's refusal comes in the words of its integration.
    async fn invoke(&self, call: LambdaCall) -> Result<LambdaReply, TaskFailure> {
        let reply = self.runner.invoke_function(call).await;
        reply.map_err(|error| LAMBDA.optimised_failure(error, self.ids.id()))
    }
}

/// The invocation that the parameters of `lambda:invoke` describe.
fn lambda_call(parameters: &Value) -> Result<LambdaCall, TaskFailure> {
    let text = |member: &str| parameters.get(member).and_then(Value::as_str).map(str::to_owned);
    let function =
        text("FunctionName").ok_or_else(|| refused("The field 'FunctionName' is required but was missing"))?;
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
            .filter(|payload| !payload.is_null())
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

/// The result of `lambda:invoke`. The payload stays what the function gave:
/// JSON where it is JSON, else text.
fn lambda_response(reply: LambdaReply, date: String) -> Value {
    let length = reply.payload.len().to_string();
    let payload = match reply.payload.is_empty() {
        true => None,
        false => Some(serde_json::from_str(&reply.payload).unwrap_or(Value::String(reply.payload))),
    };
    let mut headers = vec![
        ("Connection", "keep-alive".to_owned()),
        ("Content-Length", length),
        ("Content-Type", "application/json".to_owned()),
        ("Date", date),
    ];
    let mut response = Map::new();
    if let Some(version) = reply.executed_version {
        headers.push(("X-Amz-Executed-Version", version.clone()));
        response.insert("ExecutedVersion".to_owned(), Value::String(version));
    }
    headers.push(("x-amzn-Remapped-Content-Length", "0".to_owned()));
    headers.push(("x-amzn-RequestId", reply.request_id.clone()));
    if let Some(payload) = payload {
        response.insert("Payload".to_owned(), payload);
    }
    with_metadata(&mut response, reply.status_code, &reply.request_id, headers);
    response.insert("StatusCode".to_owned(), reply.status_code.into());
    Value::Object(response)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
                lambda_response(reply(payload, None), "date".to_owned()).get("Payload"),
                expect.as_ref(),
                "{payload}"
            );
        };
        check("{\"a\":1.50}", Some(serde_json::from_str("{\"a\":1.50}").unwrap()));
        check("text", Some(json!("text")));
        check("", None);
        insta::assert_snapshot!(lambda_response(reply("5", None), "date".to_owned()), @r#"{"ExecutedVersion":"$LATEST","Payload":5,"SdkHttpMetadata":{"AllHttpHeaders":{"Connection":["keep-alive"],"Content-Length":["1"],"Content-Type":["application/json"],"Date":["date"],"X-Amz-Executed-Version":["$LATEST"],"x-amzn-Remapped-Content-Length":["0"],"x-amzn-RequestId":["r"]},"HttpHeaders":{"Connection":"keep-alive","Content-Length":"1","Content-Type":"application/json","Date":"date","X-Amz-Executed-Version":"$LATEST","x-amzn-Remapped-Content-Length":"0","x-amzn-RequestId":"r"},"HttpStatusCode":200},"SdkResponseMetadata":{"RequestId":"r"},"StatusCode":200}"#);
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
