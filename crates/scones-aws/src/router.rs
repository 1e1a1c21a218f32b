//! One port for all services: the signature's scope says which is meant.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::CONNECTION, request::Parts};
use hyper::body::Incoming;
use scones_api::{ApiError, Clock, JsonService, RequestContext};
use scones_iam::Iam;
use scones_lambda::Lambda;
use scones_s3::S3Http;
use scones_sagemaker::{SageMaker, oversize_body};
use serde_json::json;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{
    auth::{Dialect, authenticate, identify, refusal},
    lambda,
    lambda_unbuilt::UNBUILT,
    limits::{CODE_BODY_BYTES_MAX, FORM_BYTES_MAX, FUNCTION_BODY_BYTES_MAX, JSON_BODY_BYTES_MAX},
    protocol::{
        Body,
        body::{self, Watched, streamed},
        json::{self, Version, answer},
        query, rest,
    },
    sagemaker_runtime,
    sigv4::{Presented, SignatureError},
};

/// The path that says that the server is there, to anybody.
pub const HEALTH_PATH: &str = "/_scones/health";

/// Where links to function packages lead; they carry a signature of their own.
const CODE_PATH: &str = "/_scones/lambda/code";

/// The services behind the port.
pub struct Services {
    /// CloudWatch Logs.
    pub logs: Arc<dyn JsonService>,
    /// Step Functions.
    pub states: Arc<dyn JsonService>,
    /// SageMaker, its endpoints included.
    pub sagemaker: Arc<SageMaker>,
    /// Lambda, its invocations included.
    pub lambda: Arc<Lambda>,
    /// Security tokens.
    pub sts: Arc<dyn JsonService>,
    /// Roles, and whose keys the requests are signed with.
    pub iam: Arc<Iam>,
    /// The object store, which reads, checks and answers requests itself: its
    /// bodies are streams and its signatures have rules of their own.
    pub s3: S3Http,
}

/// Routes requests to services.
pub struct Router {
    services: Services,
    clock: Arc<dyn Clock>,
}

/// What a signing name stands for.
enum Target {
    Json {
        service: Arc<dyn JsonService>,
        prefix: &'static str,
        version: Version,
    },
    Query {
        service: Arc<dyn JsonService>,
        namespace: &'static str,
    },
    Lambda,
    SageMakerRuntime,
    S3,
    Unknown {
        name: String,
    },
}

impl Router {
    /// A router over `services`.
    pub fn new(services: Services, clock: Arc<dyn Clock>) -> Self {
        Self { services, clock }
    }

    /// Answers any request.
    pub async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        match request.uri().path() {
            HEALTH_PATH => {
                let body = json!({"status": "ready"}).to_string();
                return answer(200, HeaderValue::from_static("application/json"), body);
            }
            CODE_PATH => return lambda::code(&self.services.lambda, request.uri()).await,
            _ => {}
        }
        let request_id = Uuid::new_v4().to_string();
        let span =
            tracing::debug_span!("request", id = %request_id, method = %request.method(), path = request.uri().path());
        let (parts, body) = request.into_parts();
        let (body, is_read) = Watched::new(body);
        let mut response = self.route(parts, body, &request_id).instrument(span).await;
        if !is_read.load(Ordering::Relaxed) {
            // What follows on the connection may be the rest of the body or, from a client that
            // waited for leave to send it, the next request: nobody can tell.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        if let Ok(id) = HeaderValue::from_str(&request_id) {
            // Each family of SDKs looks for the id under a name of its own; S3 has set its own already.
            response.headers_mut().entry("x-amzn-requestid").or_insert(id);
        }
        response
    }

    async fn route(&self, parts: Parts, body: Watched, request_id: &str) -> Response<Body> {
        let presented = Presented::find(&parts);
        let unchecked = Unchecked {
            router: self,
            parts,
            body,
            presented,
            request_id,
        };
        match self.target(&unchecked.parts, unchecked.presented.as_ref().ok()) {
            Target::S3 => {
                let request = Request::from_parts(unchecked.parts, unchecked.body);
                self.services.s3.respond(request).await.map(streamed)
            }
            Target::Json {
                service,
                prefix,
                version,
            } => unchecked.json(service, prefix, version).await,
            Target::Query { service, namespace } => unchecked.query(service, namespace).await,
            Target::Lambda => unchecked.lambda(Arc::clone(&self.services.lambda)).await,
            Target::SageMakerRuntime => unchecked.sagemaker_runtime(&self.services.sagemaker).await,
            Target::Unknown { name } => {
                let refused = Err(ApiError::not_implemented(format_args!("the service `{name}`")));
                match is_form(&unchecked.parts) {
                    true => query::respond("https://scones.invalid/", "", request_id, refused),
                    false => json::respond(Version::V1_1, refused),
                }
            }
        }
    }

    fn target(&self, parts: &Parts, presented: Option<&Presented>) -> Target {
        let services = &self.services;
        let path = parts.uri.path();
        let name = presented.map_or_else(|| unsigned_service(parts), |presented| presented.scope.service.clone());
        match name.as_str() {
            "s3" => Target::S3,
            "states" => Target::Json {
                service: Arc::clone(&services.states) as _,
                prefix: "AWSStepFunctions",
                version: Version::V1_0,
            },
            "logs" => Target::Json {
                service: Arc::clone(&services.logs) as _,
                prefix: "Logs_20140328",
                version: Version::V1_1,
            },
            "sagemaker" if path.starts_with("/endpoints/") => Target::SageMakerRuntime,
            "sagemaker" => Target::Json {
                service: Arc::clone(&services.sagemaker) as _,
                prefix: "SageMaker",
                version: Version::V1_1,
            },
            "lambda" => Target::Lambda,
            "sts" => Target::Query {
                service: Arc::clone(&services.sts) as _,
                namespace: "https://sts.amazonaws.com/doc/2011-06-15/",
            },
            "iam" => Target::Query {
                service: Arc::clone(&services.iam) as _,
                namespace: "https://iam.amazonaws.com/doc/2010-05-08/",
            },
            _ => Target::Unknown { name },
        }
    }
}

/// Which service refuses a request that has no signature of version 4: the one
/// whose form it has, and S3 otherwise, which knows version 2 as well.
fn unsigned_service(parts: &Parts) -> String {
    let target = parts
        .headers
        .get("x-amz-target")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let path = parts.uri.path();
    let service = match target.split('.').next() {
        Some("AWSStepFunctions") => "states",
        Some("Logs_20140328") => "logs",
        Some("SageMaker") => "sagemaker",
        _ if lambda::is_path(path) => "lambda",
        _ if path.starts_with("/endpoints/") => "sagemaker",
        _ if is_form(parts) && path == "/" => "sts",
        _ => "s3",
    };
    service.to_owned()
}

/// Whether the request is of the query protocol.
fn is_form(parts: &Parts) -> bool {
    let content_type = parts.headers.get("content-type");
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/x-www-form-urlencoded"))
}

/// A request whose signature has been found but not checked.
struct Unchecked<'a> {
    router: &'a Router,
    parts: Parts,
    body: Watched,
    presented: Result<Presented, SignatureError>,
    request_id: &'a str,
}

/// A request whose sender is known.
struct Checked {
    parts: Parts,
    body: Bytes,
    context: RequestContext,
}

impl Unchecked<'_> {
    /// Reads the body and checks the signature over it.
    async fn check(self, dialect: Dialect, limit: usize) -> Result<Checked, ApiError> {
        let Self {
            router,
            parts,
            body,
            presented,
            request_id,
        } = self;
        let refused = |error: SignatureError| {
            tracing::info!(%error, "a request was refused");
            refusal(dialect, &error)
        };
        let presented = presented.map_err(refused)?;
        let identity = identify(&router.services.iam, &presented, &parts, router.clock.now()).map_err(refused)?;
        let body = body::read(body, limit).await?;
        let caller = authenticate(identity, &presented, &parts, &body).map_err(refused)?;
        let context = RequestContext {
            caller,
            request_id: request_id.to_owned(),
        };
        Ok(Checked { parts, body, context })
    }

    async fn json(self, service: Arc<dyn JsonService>, prefix: &str, version: Version) -> Response<Body> {
        let result = match self.check(Dialect::Json, JSON_BODY_BYTES_MAX).await {
            Ok(checked) => match json::operation(&checked.parts.headers, prefix) {
                Ok(operation) => call(service, operation, checked.body, checked.context).await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        json::respond(version, result)
    }

    async fn query(self, service: Arc<dyn JsonService>, namespace: &str) -> Response<Body> {
        let request_id = self.request_id.to_owned();
        let checked = match self.check(Dialect::Query, FORM_BYTES_MAX).await {
            Ok(checked) => checked,
            Err(error) => return query::respond(namespace, "", &request_id, Err(error)),
        };
        // A GET carries the form in its query.
        let form = if checked.body.is_empty() {
            checked.parts.uri.query().unwrap_or_default().as_bytes()
        } else {
            &checked.body
        };
        match query::request(form) {
            Ok((operation, input)) => {
                let result = call(service, &operation, input.to_string().into(), checked.context).await;
                query::respond(namespace, &operation, &request_id, result)
            }
            Err(error) => query::respond(namespace, "", &request_id, Err(error)),
        }
    }

    async fn lambda(self, service: Arc<Lambda>) -> Response<Body> {
        if lambda::is_invocation(&self.parts) {
            return match self.check(Dialect::Rest, FUNCTION_BODY_BYTES_MAX).await {
                Ok(Checked { parts, body, .. }) => lambda::invoke(&service, &parts, body).await,
                Err(error) => rest::refuse(&error),
            };
        }
        let find = |routes| rest::find(routes, &self.parts.method, &self.parts.uri);
        let Some((route, input)) = find(lambda::ROUTES).or_else(|| find(UNBUILT)) else {
            let what = format!("the Lambda operation {} {}", self.parts.method, self.parts.uri.path());
            return rest::refuse(&ApiError::not_implemented(what));
        };
        let result = match self.check(Dialect::Rest, CODE_BODY_BYTES_MAX).await {
            Ok(checked) => match rest::merged(&checked.body, input) {
                Ok(input) => call(service, route.operation, input.into(), checked.context).await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        rest::respond(route.status, result)
    }

    async fn sagemaker_runtime(self, service: &SageMaker) -> Response<Body> {
        match self
            .check(Dialect::Rest, scones_sagemaker::limits::INVOKE_BODY_BYTES_MAX)
            .await
        {
            Ok(Checked { parts, body, .. }) => sagemaker_runtime::invoke(service, &parts, body).await,
            Err(error) if error.status == 413 => rest::refuse(&oversize_body()),
            Err(error) => rest::refuse(&error),
        }
    }
}

/// Calls an operation and logs how it came out. It goes on to its end even if
/// the client breaks off: half an operation is worse than one unheard.
async fn call(
    service: Arc<dyn JsonService>,
    operation: &str,
    input: Bytes,
    context: RequestContext,
) -> Result<Vec<u8>, ApiError> {
    let operation = operation.to_owned();
    let task = async move {
        let result = service.call(&operation, &input, &context).await;
        log(&operation, result.as_ref().err());
        result
    };
    let ended = tokio::spawn(task.in_current_span()).await;
    ended.unwrap_or_else(|panic| Err(ApiError::internal(panic)))
}

/// Logs how an operation came out: its own faults loudly, the sender's quietly.
pub(crate) fn log(operation: &str, error: Option<&ApiError>) {
    match error {
        Some(error) if error.is_server_fault() && error.status != 501 => {
            tracing::error!(operation, %error, detail = error.detail, "an operation failed");
        }
        Some(error) => tracing::debug!(operation, %error, "an operation was refused"),
        None => tracing::debug!(operation, "an operation succeeded"),
    }
}
