//! `http:invoke`: a request to any address.
//! <https://docs.aws.amazon.com/step-functions/latest/dg/call-https-apis.html>

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use scones_asl::TaskCall;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Integrations, refused};
use crate::{
    limits::PAYLOAD_BYTES_MAX,
    runner::{HttpCall, HttpReply, TaskFailure},
};

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];

/// Headers that the request itself decides.
const RESERVED: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Types of bodies that are no text.
const BINARY: [&str; 4] = ["application/octet-stream", "audio/", "image/", "video/"];

const FORM: &str = "application/x-www-form-urlencoded";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Parameters {
    api_endpoint: String,
    method: String,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    query_parameters: Map<String, Value>,
    request_body: Option<Value>,
    #[serde(default)]
    transform: Transform,
    authentication: Option<Value>,
    invocation_config: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Transform {
    #[serde(default)]
    request_body_encoding: BodyEncoding,
    #[serde(default)]
    request_encoding_options: EncodingOptions,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum BodyEncoding {
    #[default]
    None,
    UrlEncoded,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct EncodingOptions {
    #[serde(default)]
    array_format: ArrayFormat,
}

/// How a form names the items of an array.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum ArrayFormat {
    /// `a[0]=x&a[1]=y`
    #[default]
    Indices,
    /// `a=x&a=y`
    Repeat,
    /// `a=x,y`
    Commas,
    /// `a[]=x&a[]=y`
    Brackets,
}

impl Integrations<'_> {
    pub(super) async fn send(&self, task: &TaskCall) -> Result<String, TaskFailure> {
        let region = self.identity.execution_arn.split(':').nth(3).unwrap_or_default();
        let call = request(&task.parameters, region).map_err(refused)?;
        let reply = self.runner.send_http(call).await;
        result(reply.map_err(|cause| TaskFailure {
            error: "States.Http.Socket".to_owned(),
            cause,
        })?)
    }
}

/// The request that a task's parameters describe.
///
/// # Errors
/// What is wrong with them.
fn request(parameters: &Value, region: &str) -> Result<HttpCall, String> {
    let parameters: Parameters = serde_json::from_value(parameters.clone())
        .map_err(|error| format!("The parameters of http:invoke: {error}"))?;
    if let Some(connection) = parameters.authentication.or(parameters.invocation_config) {
        return Err(format!(
            "Scones has no EventBridge connections ({connection}): leave the connection away and give what \
             authenticates in 'Headers'"
        ));
    }
    if !METHODS.contains(&parameters.method.as_str()) {
        return Err(format!(
            "'{}' is not a Method: {}",
            parameters.method,
            METHODS.join(", ")
        ));
    }
    if !parameters.api_endpoint.starts_with("http://") && !parameters.api_endpoint.starts_with("https://") {
        return Err(format!(
            "'{}' is not an ApiEndpoint: a URL is expected",
            parameters.api_endpoint
        ));
    }
    let mut headers = headers(&parameters.headers)?;
    let content_type = |headers: &[(String, String)]| header(headers, "content-type").map(str::to_owned);
    let given = content_type(&headers);
    let body = match (&parameters.request_body, parameters.transform.request_body_encoding) {
        (None | Some(Value::Null), _) => None,
        (Some(body), BodyEncoding::UrlEncoded) => {
            set_default(&mut headers, "content-type", FORM);
            Some(form(body, parameters.transform.request_encoding_options.array_format))
        }
        // A text is sent as it is if it is said to be something else than JSON.
        (Some(Value::String(text)), BodyEncoding::None) if given.is_some_and(|it| !it.contains("json")) => {
            Some(text.clone())
        }
        (Some(body), BodyEncoding::None) => Some(body.to_string()),
    };
    set_default(&mut headers, "content-type", "application/json");
    set_default(&mut headers, "range", &format!("bytes=0-{PAYLOAD_BYTES_MAX}"));
    set_default(
        &mut headers,
        "user-agent",
        &format!("Amazon|StepFunctions|HttpInvoke|{region}"),
    );
    let query = form(&Value::Object(parameters.query_parameters), ArrayFormat::Repeat);
    let url = match (query.is_empty(), parameters.api_endpoint.contains('?')) {
        (true, _) => parameters.api_endpoint,
        (false, false) => format!("{}?{query}", parameters.api_endpoint),
        (false, true) => format!("{}&{query}", parameters.api_endpoint),
    };
    Ok(HttpCall {
        method: parameters.method,
        url,
        headers,
        body,
    })
}

fn headers(given: &Map<String, Value>) -> Result<Vec<(String, String)>, String> {
    let mut headers = Vec::new();
    for (name, value) in given {
        let name = name.to_ascii_lowercase();
        if RESERVED.contains(&name.as_str()) {
            return Err(format!("The header '{name}' cannot be set by 'Headers'"));
        }
        let values = match value {
            Value::Array(values) => values.iter().collect(),
            value => vec![value],
        };
        headers.extend(values.into_iter().map(|value| (name.clone(), plain(value))));
    }
    Ok(headers)
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.as_str())
}

fn set_default(headers: &mut Vec<(String, String)>, name: &str, value: &str) {
    if header(headers, name).is_none() {
        headers.push((name.to_owned(), value.to_owned()));
    }
}

/// A value outside of JSON: texts without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// What a form's names and values leave as it is.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*');

/// JSON as `a=1&b[c]=2`.
fn form(value: &Value, arrays: ArrayFormat) -> String {
    let mut pairs = Vec::new();
    if let Value::Object(members) = value {
        for (name, member) in members {
            add_pairs(&mut pairs, name, member, arrays);
        }
    }
    let encoded = |text: &str| utf8_percent_encode(text, &PLAIN).to_string().replace("%20", "+");
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
        .collect();
    pairs.join("&")
}

fn add_pairs(pairs: &mut Vec<(String, String)>, name: &str, value: &Value, arrays: ArrayFormat) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                add_pairs(pairs, &format!("{name}[{member}]"), value, arrays);
            }
        }
        Value::Array(items) if matches!(arrays, ArrayFormat::Commas) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            pairs.push((name.to_owned(), items.join(",")));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let name = match arrays {
                    ArrayFormat::Indices => format!("{name}[{index}]"),
                    ArrayFormat::Brackets => format!("{name}[]"),
                    ArrayFormat::Repeat | ArrayFormat::Commas => name.to_owned(),
                };
                add_pairs(pairs, &name, item, arrays);
            }
        }
        value => pairs.push((name.to_owned(), plain(value))),
    }
}

/// The task's result, or its failure, by the answer.
fn result(reply: HttpReply) -> Result<String, TaskFailure> {
    let content_type = header(&reply.headers, "content-type")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let text = match String::from_utf8(reply.body) {
        Ok(text) if !BINARY.iter().any(|kind| content_type.starts_with(kind)) => text,
        _ => {
            return Err(refused(format!(
                "The response is no text: its Content-Type is '{content_type}'"
            )));
        }
    };
    if !(200..300).contains(&reply.status) {
        return Err(TaskFailure {
            error: format!("States.Http.StatusCode.{}", reply.status),
            cause: text,
        });
    }
    let mut headers: Map<String, Value> = Map::new();
    for (name, value) in reply.headers {
        if let Value::Array(values) = headers.entry(name).or_insert_with(|| json!([])) {
            values.push(Value::String(value));
        }
    }
    let body = match serde_json::from_str(&text) {
        Ok(json) => json,
        Err(_) => Value::String(text),
    };
    Ok(json!({
        "Headers": headers,
        "ResponseBody": body,
        "StatusCode": reply.status,
        "StatusText": status_text(reply.status),
    })
    .to_string())
}

/// The reason that goes with a status (RFC 9110).
pub(crate) fn status_text(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(parameters: Value) -> Result<HttpCall, String> {
        let mut all = json!({"ApiEndpoint": "http://localhost/a", "Method": "POST"});
        let members = all.as_object_mut().unwrap();
        members.extend(parameters.as_object().unwrap().clone());
        request(&all, "us-east-1")
    }

    #[test]
    fn the_query_comes_from_its_parameters() {
        let check = |parameters: Value, url: &str| assert_eq!(sent(parameters).unwrap().url, url);
        check(json!({}), "http://localhost/a");
        check(
            json!({"QueryParameters": {"q": "a b&c", "n": [1, 2]}}),
            "http://localhost/a?q=a+b%26c&n=1&n=2",
        );
        check(
            json!({"ApiEndpoint": "http://localhost/a?x=1", "QueryParameters": {"y": true}}),
            "http://localhost/a?x=1&y=true",
        );
    }

    #[test]
    fn the_body_is_json_a_form_or_text() {
        let check = |parameters: Value, body: Option<&str>, content_type: &str| {
            let call = sent(parameters).unwrap();
            assert_eq!(call.body.as_deref(), body);
            assert_eq!(header(&call.headers, "content-type"), Some(content_type));
        };
        let form = |format: Value| {
            json!({"RequestBody": {"a": {"b": 1}, "c": ["x", "y z"]}, "Transform": {
                "RequestBodyEncoding": "URL_ENCODED", "RequestEncodingOptions": format}})
        };
        check(json!({}), None, "application/json");
        check(
            json!({"RequestBody": {"a": 1.5}}),
            Some(r#"{"a":1.5}"#),
            "application/json",
        );
        check(json!({"RequestBody": "text"}), Some(r#""text""#), "application/json");
        check(
            json!({"RequestBody": "text", "Headers": {"Content-Type": "text/plain"}}),
            Some("text"),
            "text/plain",
        );
        check(form(json!({})), Some("a%5Bb%5D=1&c%5B0%5D=x&c%5B1%5D=y+z"), FORM);
        check(
            form(json!({"ArrayFormat": "REPEAT"})),
            Some("a%5Bb%5D=1&c=x&c=y+z"),
            FORM,
        );
        check(
            form(json!({"ArrayFormat": "COMMAS"})),
            Some("a%5Bb%5D=1&c=x%2Cy+z"),
            FORM,
        );
        check(
            form(json!({"ArrayFormat": "BRACKETS"})),
            Some("a%5Bb%5D=1&c%5B%5D=x&c%5B%5D=y+z"),
            FORM,
        );
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let check = |parameters: Value, expect: &str| {
            let problem = sent(parameters).unwrap_err();
            assert!(problem.contains(expect), "{problem}");
        };
        check(json!({"Method": "get"}), "'get' is not a Method");
        check(json!({"ApiEndpoint": "localhost"}), "'localhost' is not an ApiEndpoint");
        check(json!({"Headers": {"Host": "x"}}), "header 'host'");
        check(
            json!({"Authentication": {"ConnectionArn": "arn:aws:events:r:0:connection/c/1"}}),
            "connection/c/1",
        );
        check(json!({"Body": 1}), "unknown field `Body`");
        check(json!({"Method": 1}), "invalid type");
    }

    fn answered(status: u16, content_type: &str, body: &[u8]) -> Result<String, TaskFailure> {
        result(HttpReply {
            status,
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            body: body.to_vec(),
        })
    }

    #[test]
    fn an_answer_is_a_result() {
        let check = |status: u16, content_type: &str, body: &str, expect: (Value, &str)| {
            let result: Value =
                serde_json::from_str(&answered(status, content_type, body.as_bytes()).unwrap()).unwrap();
            let (body, text) = expect;
            assert_eq!(
                result,
                json!({"Headers": {"content-type": [content_type]}, "ResponseBody": body, "StatusCode": status, "StatusText": text})
            );
        };
        check(200, "application/json", r#"{"a":1}"#, (json!({"a": 1}), "OK"));
        check(201, "text/plain", "hello", (json!("hello"), "Created"));
        check(204, "", "", (json!(""), "No Content"));
    }

    #[test]
    fn an_answer_is_a_failure() {
        let check = |status: u16, content_type: &str, body: &[u8], error: &str, cause: &str| {
            let failure = answered(status, content_type, body).unwrap_err();
            assert_eq!((failure.error.as_str(), failure.cause.as_str()), (error, cause));
        };
        check(404, "text/plain", b"not here", "States.Http.StatusCode.404", "not here");
        check(302, "", b"", "States.Http.StatusCode.302", "");
        let binary = "The response is no text: its Content-Type is 'image/png'";
        check(200, "image/png", b"x", "States.Runtime", binary);
        check(
            200,
            "text/plain",
            b"\xff",
            "States.Runtime",
            "The response is no text: its Content-Type is 'text/plain'",
        );
    }
}
