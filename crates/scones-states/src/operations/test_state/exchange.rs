//! The HTTP exchange of an HTTP task, as inspection level TRACE shows it.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use scones_api::ApiError;
use serde_json::Value;

use super::response::present;
use crate::{
    integration::status_text,
    runner::{HttpCall, HttpReply, LambdaCall, LambdaReply, ServiceCall, TaskRunner},
};

/// A request and the response, if there was one, in the form of `inspectionData`.
#[derive(Debug, PartialEq)]
pub(super) struct Exchange {
    pub(super) request: Value,
    pub(super) response: Option<Value>,
}

/// Passes every call on, and keeps the last HTTP exchange.
pub(super) struct Recorder {
    runner: Arc<dyn TaskRunner>,
    last: Mutex<Option<Exchange>>,
}

impl Recorder {
    pub(super) fn of(runner: &Arc<dyn TaskRunner>) -> Self {
        Self {
            runner: Arc::clone(runner),
            last: Mutex::new(None),
        }
    }

    pub(super) fn exchange(self) -> Option<Exchange> {
        self.last.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, exchange: Exchange) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(exchange);
    }
}

#[async_trait]
impl TaskRunner for Recorder {
    async fn invoke_function(&self, call: LambdaCall) -> Result<LambdaReply, ApiError> {
        self.runner.invoke_function(call).await
    }

    async fn call_service(&self, call: ServiceCall) -> Result<Value, ApiError> {
        self.runner.call_service(call).await
    }

    async fn send_http(&self, call: HttpCall) -> Result<HttpReply, String> {
        let protocol = call.url.split_once("://").map(|(protocol, _)| protocol.to_owned());
        let request = request(&call, protocol.as_deref());
        // The request is shown even if the wait for its answer is given up.
        self.keep(Exchange {
            request: request.clone(),
            response: None,
        });
        let reply = self.runner.send_http(call).await?;
        let response = Some(response(&reply, protocol.as_deref()));
        self.keep(Exchange { request, response });
        Ok(reply)
    }
}

fn request(call: &HttpCall, protocol: Option<&str>) -> Value {
    Value::Object(present([
        ("protocol", protocol.map(Value::from)),
        ("method", Some(call.method.as_str().into())),
        ("url", Some(call.url.as_str().into())),
        ("headers", Some(headers(&call.headers).into())),
        ("body", call.body.as_deref().map(Value::from)),
    ]))
}

fn response(reply: &HttpReply, protocol: Option<&str>) -> Value {
    let reason = Some(status_text(reply.status)).filter(|reason| !reason.is_empty());
    Value::Object(present([
        ("protocol", protocol.map(Value::from)),
        ("statusCode", Some(reply.status.to_string().into())),
        ("statusMessage", reason.map(Value::from)),
        ("headers", Some(headers(&reply.headers).into())),
        ("body", Some(String::from_utf8_lossy(&reply.body).into())),
    ]))
}

/// Headers in AWS's form: `[name: [value], other: [value, value]]`.
fn headers(headers: &[(String, String)]) -> String {
    let mut grouped: Vec<(&str, Vec<&str>)> = Vec::new();
    for (name, value) in headers {
        match grouped.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value),
            None => grouped.push((name, vec![value])),
        }
    }
    let shown: Vec<String> = grouped
        .into_iter()
        .map(|(name, values)| format!("{name}: [{}]", values.join(", ")))
        .collect();
    format!("[{}]", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Answers every request with a page of two headers by the same name.
    struct Site;

    #[async_trait]
    impl TaskRunner for Site {
        async fn invoke_function(&self, _: LambdaCall) -> Result<LambdaReply, ApiError> {
            Err(ApiError::internal("there are no functions"))
        }

        async fn send_http(&self, call: HttpCall) -> Result<HttpReply, String> {
            match call.method.as_str() {
                "GET" => Ok(HttpReply {
                    status: 200,
                    headers: vec![
                        ("a".into(), "1".into()),
                        ("b".into(), "2".into()),
                        ("a".into(), "3".into()),
                    ],
                    body: b"page".to_vec(),
                }),
                _ => Err("no answer".to_owned()),
            }
        }
    }

    #[tokio::test]
    async fn exchanges() {
        let check = async |method: &str, body: Option<&str>, expect: Value| {
            let recorder = Recorder::of(&(Arc::new(Site) as Arc<dyn TaskRunner>));
            let call = HttpCall {
                method: method.to_owned(),
                url: "http://localhost/a?q=1".to_owned(),
                headers: vec![("accept".to_owned(), "text/plain".to_owned())],
                body: body.map(str::to_owned),
            };
            drop(recorder.send_http(call).await);
            let Exchange { request, response } = recorder.exchange().unwrap();
            assert_eq!(json!([request, response]), expect);
        };
        let request = |method: &str| json!({"protocol": "http", "method": method, "url": "http://localhost/a?q=1", "headers": "[accept: [text/plain]]"});
        let response = json!({"protocol": "http", "statusCode": "200", "statusMessage": "OK", "headers": "[a: [1, 3], b: [2]]", "body": "page"});
        check("GET", None, json!([request("GET"), response])).await;
        let mut post = request("POST");
        post["body"] = json!("{}");
        check("POST", Some("{}"), json!([post, null])).await;
        let silent = Recorder::of(&(Arc::new(Site) as Arc<dyn TaskRunner>));
        assert_eq!(silent.exchange(), None);
    }
}
