//! A client of the wire protocols, for the commands that do a user's work
//! without an AWS client and for the functions of the story.

use std::{env, sync::Arc, time::Duration};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Method, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use scones_api::{Clock as _, SystemClock};
use scones_aws::sigv4::Signer;
use serde_json::{Value, json};

use crate::credentials::AccessKey;

const KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// How long an answer may take; creating and invoking are done in far less.
const TIMEOUT: Duration = Duration::from_secs(90);

/// The largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The server answered with an error.
    #[error("{operation} failed: {message} ({code}, status {status})")]
    Api {
        operation: String,
        code: String,
        message: String,
        status: u16,
    },
    /// The server did not answer.
    #[error("{operation} got no answer from {endpoint}")]
    Transport {
        operation: String,
        endpoint: String,
        source: Box<ureq::Error>,
    },
    /// The server answered something else than the protocol allows.
    #[error("the answer to {operation} cannot be read: {problem}")]
    Answer { operation: String, problem: String },
}

impl Error {
    /// AWS's error code, if the server gave one.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Api { code, .. } => Some(code),
            Self::Transport { .. } | Self::Answer { .. } => None,
        }
    }
}

/// A service that speaks AWS JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) enum JsonApi {
    SageMaker,
    States,
    Logs,
}

impl JsonApi {
    /// Signing name, target prefix and media type.
    fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::SageMaker => ("sagemaker", "SageMaker", "application/x-amz-json-1.1"),
            Self::States => ("states", "AWSStepFunctions", "application/x-amz-json-1.0"),
            Self::Logs => ("logs", "Logs_20140328", "application/x-amz-json-1.1"),
        }
    }
}

/// A request before it is signed.
struct Call<'a> {
    /// As the signature names it.
    service: &'a str,
    /// The first label of AWS's own host name.
    host: &'a str,
    operation: &'a str,
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: &'a [u8],
}

impl<'a> Call<'a> {
    /// A request without headers and body.
    fn new(service: &'a str, operation: &'a str, method: Method, path: impl Into<String>) -> Self {
        Self {
            service,
            host: service,
            operation,
            method,
            path: path.into(),
            headers: Vec::new(),
            body: &[],
        }
    }
}

/// A client; cheap to clone, usable from several threads.
#[derive(Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    /// Without one, each service's own host on AWS.
    endpoint: Option<Arc<str>>,
    signer: Arc<Signer>,
}

impl Client {
    /// A client of the server at `endpoint`.
    pub(crate) fn new(endpoint: &str, key: &AccessKey, region: &str) -> Self {
        let signer = Signer {
            access_key_id: key.id.clone(),
            secret_access_key: key.secret.clone(),
            session_token: None,
            region: region.to_owned(),
        };
        Self::signed_by(signer, Some(endpoint))
    }

    /// A client with what Lambda, here or on AWS, gives its functions in the
    /// environment: a key, a region, and here an endpoint.
    pub(crate) fn from_environment() -> anyhow::Result<Self> {
        let variable =
            |name: &str| env::var(name).with_context(|| format!("the environment variable {name} is not set"));
        let signer = Signer {
            access_key_id: variable("AWS_ACCESS_KEY_ID")?,
            secret_access_key: variable("AWS_SECRET_ACCESS_KEY")?,
            session_token: env::var("AWS_SESSION_TOKEN").ok(),
            region: variable("AWS_REGION")?,
        };
        let endpoint = env::var("AWS_ENDPOINT_URL").ok().filter(|url| !url.is_empty());
        Ok(Self::signed_by(signer, endpoint.as_deref()))
    }

    fn signed_by(signer: Signer, endpoint: Option<&str>) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .max_idle_connections_per_host(16)
            .max_idle_connections(16)
            .proxy(None)
            .build()
            .into();
        Self {
            agent,
            endpoint: endpoint.map(|url| url.trim_end_matches('/').into()),
            signer: Arc::new(signer),
        }
    }

    /// Calls an operation of a JSON service.
    pub(crate) fn json(&self, api: JsonApi, operation: &str, input: &Value) -> Result<Value, Error> {
        let (service, prefix, content_type) = api.names();
        let headers = vec![
            ("content-type", content_type.to_owned()),
            ("x-amz-target", format!("{prefix}.{operation}")),
        ];
        let body = input.to_string();
        let call = Call {
            headers,
            body: body.as_bytes(),
            ..Call::new(service, operation, Method::POST, "/")
        };
        parsed(operation, &self.send(call)?)
    }

    /// Calls a Lambda operation that takes a body of JSON, other than `Invoke`.
    pub(crate) fn lambda(&self, operation: &str, method: Method, path: &str, input: &Value) -> Result<Value, Error> {
        let body = input.to_string();
        let call = Call {
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.as_bytes(),
            ..Call::new("lambda", operation, method, path)
        };
        parsed(operation, &self.send(call)?)
    }

    /// Asks an endpoint what it makes of `body`.
    pub(crate) fn invoke_endpoint(&self, endpoint: &str, content_type: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
        let path = format!(
            "/endpoints/{}/invocations",
            utf8_percent_encode(endpoint, NON_ALPHANUMERIC)
        );
        self.send(Call {
            host: "runtime.sagemaker",
            headers: vec![("content-type", content_type.to_owned())],
            body,
            ..Call::new("sagemaker", "InvokeEndpoint", Method::POST, path)
        })
    }

    /// Makes a bucket; one that is there already is fine.
    pub(crate) fn create_bucket(&self, bucket: &str) -> Result<(), Error> {
        match self.send(Call::new("s3", "CreateBucket", Method::PUT, format!("/{bucket}"))) {
            Err(error) if error.code() == Some("BucketAlreadyOwnedByYou") => Ok(()),
            result => result.map(drop),
        }
    }

    /// Stores an object.
    pub(crate) fn put_object(&self, bucket: &str, key: &str, content_type: &str, body: &[u8]) -> Result<(), Error> {
        // Scones refuses what arrives damaged, as S3 does.
        let headers = vec![
            ("content-type", content_type.to_owned()),
            ("x-amz-checksum-sha256", sha256(body)),
        ];
        self.send(Call {
            headers,
            body,
            ..Call::new("s3", "PutObject", Method::PUT, object_path(bucket, key))
        })
        .map(drop)
    }

    /// Reads an object.
    pub(crate) fn get_object(&self, bucket: &str, key: &str) -> Result<Vec<u8>, Error> {
        self.send(Call::new("s3", "GetObject", Method::GET, object_path(bucket, key)))
    }

    /// The keys below `prefix`.
    pub(crate) fn list_objects(&self, bucket: &str, prefix: &str) -> Result<Vec<String>, Error> {
        const PAGE: usize = 1000;
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut keys: Vec<String> = Vec::new();
        loop {
            let after = keys.last().map(|key| encoded(key)).unwrap_or_default();
            let path = format!("/{bucket}?list-type=2&prefix={}&start-after={after}", encoded(prefix));
            let xml = self.send(Call::new("s3", "ListObjectsV2", Method::GET, path))?;
            let known = keys.len();
            let xml = String::from_utf8_lossy(&xml);
            let page = xml
                .split("<Key>")
                .skip(1)
                .filter_map(|rest| Some(rest.split_once("</Key>")?.0));
            keys.extend(page.map(|key| quick_xml::escape::unescape(key).map_or_else(|_| key.to_owned(), Into::into)));
            if keys.len() - known < PAGE {
                return Ok(keys);
            }
        }
    }

    fn send(&self, call: Call<'_>) -> Result<Vec<u8>, Error> {
        let operation = call.operation.to_owned();
        let endpoint = match &self.endpoint {
            Some(endpoint) => endpoint.to_string(),
            None => format!("https://{}.{}.amazonaws.com", call.host, self.signer.region),
        };
        let transport = |source: ureq::Error| Error::Transport {
            operation: operation.clone(),
            endpoint: endpoint.clone(),
            source: Box::new(source),
        };
        let request = self.signed(&endpoint, &call).map_err(|error| transport(error.into()))?;
        let mut response = self.agent.run(request).map_err(transport)?;
        let status = response.status().as_u16();
        let code = response
            .headers()
            .get("x-amzn-errortype")
            .and_then(|code| code.to_str().ok())
            .map(|code| code.split(':').next().unwrap_or(code).to_owned());
        let bytes = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_vec()
            .map_err(transport)?;
        if status < 300 {
            Ok(bytes)
        } else {
            Err(failed(operation, status, code, &bytes))
        }
    }

    fn signed<'a>(&self, endpoint: &str, call: &Call<'a>) -> Result<http::Request<&'a [u8]>, http::Error> {
        let uri: Uri = format!("{endpoint}{}", call.path).parse()?;
        let mut headers = HeaderMap::new();
        for (name, value) in &call.headers {
            headers.insert(*name, HeaderValue::from_str(value)?);
        }
        let mut signed = headers.clone();
        signed.insert(
            "host",
            HeaderValue::from_str(uri.authority().map_or("", http::uri::Authority::as_str))?,
        );
        let added = self.signer.sign(
            call.service,
            call.method.as_str(),
            &uri,
            &signed,
            call.body,
            SystemClock.now(),
        );
        let mut request = http::Request::new(call.body);
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = uri;
        for (name, value) in added {
            headers.insert(name, HeaderValue::from_str(&value)?);
        }
        *request.headers_mut() = headers;
        Ok(request)
    }
}

fn object_path(bucket: &str, key: &str) -> String {
    format!("/{bucket}/{}", utf8_percent_encode(key, KEY))
}

fn sha256(body: &[u8]) -> String {
    // The signature needs the same hash in hexadecimal.
    STANDARD.encode(hex::decode(scones_aws::sigv4::payload_hash(body)).unwrap_or_default())
}

fn parsed(operation: &str, bytes: &[u8]) -> Result<Value, Error> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| Error::Answer {
        operation: operation.to_owned(),
        problem: error.to_string(),
    })
}

/// The error in a JSON or XML answer.
fn failed(operation: String, status: u16, code: Option<String>, bytes: &[u8]) -> Error {
    let text = String::from_utf8_lossy(bytes);
    let body: Value = serde_json::from_slice(bytes).unwrap_or_else(|_| json!({}));
    let member = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let element = |name: &str| {
        let rest = text.split_once(&format!("<{name}>"))?.1;
        Some(rest.split_once(&format!("</{name}>"))?.0.to_owned())
    };
    let code = code
        .or_else(|| member("__type"))
        .or_else(|| element("Code"))
        .unwrap_or_else(|| "UnknownError".to_owned());
    let message = member("message")
        .or_else(|| member("Message"))
        .or_else(|| element("Message"))
        .unwrap_or_default();
    Error::Api {
        operation,
        code,
        message,
        status,
    }
}
