//! The Lambda Runtime API for one worker, on a loopback port of its own
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>).
//!
//! It carries one invocation at a time from the worker's owner to the process
//! and the answer back. It knows nothing of processes or time.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt as _,
};
use bytes::Bytes;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::task::AbortOnDropHandle;

use crate::limits::RESPONSE_BYTES_MAX;

/// What the process does, in order.
#[derive(Debug)]
pub enum Event {
    /// It asked for an invocation: it has initialised, and answered the last.
    Ready,
    /// It was given the invocation.
    Taken,
    /// It answered the invocation.
    Answered(Answer),
    /// It could not initialise, and says why.
    InitFailed(Bytes),
}

/// The end of an invocation, as the process tells it.
#[derive(Debug)]
pub enum Answer {
    /// The function's result.
    Response(Bytes),
    /// The function's error, as JSON.
    Error(Bytes),
    /// A result larger than [`RESPONSE_BYTES_MAX`].
    TooLarge,
}

/// An invocation on its way to the process.
#[derive(Debug)]
pub struct Assignment {
    /// `Lambda-Runtime-Aws-Request-Id`.
    pub request_id: String,
    /// `Lambda-Runtime-Deadline-Ms`: milliseconds since the epoch.
    pub deadline_ms: i64,
    /// `Lambda-Runtime-Invoked-Function-Arn`.
    pub function_arn: String,
    /// `Lambda-Runtime-Trace-Id`.
    pub trace_id: String,
    /// `Lambda-Runtime-Client-Context`: JSON.
    pub client_context: Option<String>,
    /// The event.
    pub payload: Bytes,
}

/// The worker's side of the interface. Dropping it closes the port.
pub struct RuntimeApi {
    address: SocketAddr,
    assignments: mpsc::Sender<Assignment>,
    events: mpsc::Receiver<Event>,
    _server: AbortOnDropHandle<()>,
}

impl RuntimeApi {
    /// Opens the interface on a free port.
    ///
    /// # Errors
    /// The system's, if it has no port.
    pub async fn open() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (assignments, pending) = mpsc::channel(1);
        // A process that asks and asks is held up by what nobody reads.
        let (events, seen) = mpsc::channel(8);
        let desk = Arc::new(Desk {
            pending: tokio::sync::Mutex::new(pending),
            events,
            current: Mutex::new(None),
        });
        let routes = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(respond))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(fail))
            .route("/2018-06-01/runtime/init/error", post(fail_init))
            .with_state(desk);
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a runtime's connection stays with Nagle's algorithm");
            }
        });
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "a runtime's port failed");
            }
        });
        Ok(Self {
            address,
            assignments,
            events: seen,
            _server: AbortOnDropHandle::new(server),
        })
    }

    /// `AWS_LAMBDA_RUNTIME_API`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives the process an invocation, which it takes when it asks next.
    /// Whether there was room: there is, if the last one was answered.
    pub fn assign(&self, assignment: Assignment) -> bool {
        self.assignments.try_send(assignment).is_ok()
    }

    /// What the process does next. Safe to drop while it waits.
    pub async fn event(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

/// What the handlers share.
struct Desk {
    pending: tokio::sync::Mutex<mpsc::Receiver<Assignment>>,
    events: mpsc::Sender<Event>,
    /// The request id of the invocation that the process has.
    current: Mutex<Option<String>>,
}

impl Desk {
    /// Ends the current invocation if it is `id`.
    fn end(&self, id: &str) -> bool {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let is_current = current.as_deref() == Some(id);
        if is_current {
            *current = None;
        }
        is_current
    }

    async fn tell(&self, event: Event) {
        // Nobody listens once the worker is being stopped.
        let _nobody = self.events.send(event).await;
    }
}

async fn next(State(desk): State<Arc<Desk>>) -> Response {
    desk.tell(Event::Ready).await;
    let Some(assignment) = desk.pending.lock().await.recv().await else {
        return refusal(StatusCode::GONE, "Runtime.Stopped", "the worker is being stopped");
    };
    *desk.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(assignment.request_id.clone());
    desk.tell(Event::Taken).await;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut put = |name: &'static str, value: &str| {
        // Client context comes from a header and is checked before it gets here.
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            headers.insert(name, value);
        }
    };
    put("lambda-runtime-aws-request-id", &assignment.request_id);
    put("lambda-runtime-deadline-ms", &assignment.deadline_ms.to_string());
    put("lambda-runtime-invoked-function-arn", &assignment.function_arn);
    put("lambda-runtime-trace-id", &assignment.trace_id);
    if let Some(context) = &assignment.client_context {
        put("lambda-runtime-client-context", context);
    }
    (headers, assignment.payload).into_response()
}

async fn respond(State(desk): State<Arc<Desk>>, Path(id): Path<String>, headers: HeaderMap, body: Body) -> Response {
    if headers.contains_key("lambda-runtime-function-response-mode") {
        return refusal(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplemented",
            "Scones does not implement response streaming",
        );
    }
    let body = to_bytes(body, RESPONSE_BYTES_MAX).await;
    if !desk.end(&id) {
        return invalid_request_id();
    }
    match body {
        Ok(body) => {
            desk.tell(Event::Answered(Answer::Response(body))).await;
            accepted()
        }
        Err(_) => {
            desk.tell(Event::Answered(Answer::TooLarge)).await;
            refusal(
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestEntityTooLarge",
                &format!("Exceeded maximum allowed payload size ({RESPONSE_BYTES_MAX} bytes)."),
            )
        }
    }
}

async fn fail(State(desk): State<Arc<Desk>>, Path(id): Path<String>, headers: HeaderMap, body: Body) -> Response {
    let body = error_body(&headers, body).await;
    if !desk.end(&id) {
        return invalid_request_id();
    }
    desk.tell(Event::Answered(Answer::Error(body))).await;
    accepted()
}

async fn fail_init(State(desk): State<Arc<Desk>>, headers: HeaderMap, body: Body) -> Response {
    let body = error_body(&headers, body).await;
    desk.tell(Event::InitFailed(body)).await;
    accepted()
}

/// The error that a runtime reports: its body, or one made of the header that
/// names the type when the body is empty or too large.
async fn error_body(headers: &HeaderMap, body: Body) -> Bytes {
    match to_bytes(body, RESPONSE_BYTES_MAX).await {
        Ok(body) if !body.is_empty() => body,
        _ => {
            let kind = headers
                .get("lambda-runtime-function-error-type")
                .and_then(|value| value.to_str().ok())
                .unwrap_or("Runtime.Unknown");
            serde_json::json!({ "errorType": kind, "errorMessage": "" })
                .to_string()
                .into()
        }
    }
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, axum::Json(serde_json::json!({ "status": "OK" }))).into_response()
}

fn invalid_request_id() -> Response {
    refusal(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
}

fn refusal(status: StatusCode, kind: &str, message: &str) -> Response {
    let body = serde_json::json!({ "errorType": kind, "errorMessage": message });
    (status, axum::Json(body)).into_response()
}
