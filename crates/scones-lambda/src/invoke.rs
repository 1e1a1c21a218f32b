//! Invoke: from a request to an admitted execution.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use scones_api::ApiError;
use serde::de::IgnoredAny;
use uuid::Uuid;

use crate::{
    Lambda,
    execution::Request,
    limits::{EVENT_BYTES_MAX, REQUEST_BYTES_MAX},
    name::{FunctionReference, LATEST},
};

/// A request to run a function.
#[derive(Debug, Clone, Default)]
pub struct Invoke<'a> {
    /// A name, a partial or a full ARN, possibly with `:QUALIFIER`.
    pub function: &'a str,
    /// A version or alias, if it is not in `function`.
    pub qualifier: Option<&'a str>,
    /// The event, JSON; empty is `{}`.
    pub payload: Bytes,
    /// Whether the answer carries the log's last 4 KB.
    pub log_tail: bool,
    /// The client context as the client sends it: base64 of JSON.
    pub client_context: Option<&'a str>,
}

/// What Invoke answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// 200 when the function has run, 202 when it will, 204 when it could.
    pub status_code: u16,
    /// The function's result, or its error as JSON.
    pub payload: Bytes,
    /// `Unhandled` if the payload is an error.
    pub function_error: Option<String>,
    /// The last 4 KB of the log, as base64, if they were asked for.
    pub log_result: Option<String>,
    /// The version that ran: `$LATEST` or a number.
    pub executed_version: String,
    /// The invocation's id, which its log lines carry.
    pub request_id: String,
}

impl Lambda {
    /// Runs a function and waits for its answer. An invocation that was
    /// admitted runs to its end even if this future is dropped.
    ///
    /// # Errors
    /// AWS's `ResourceNotFoundException`, `RequestTooLargeException`,
    /// `InvalidRequestContentException`, `TooManyRequestsException`. An error
    /// of the function is an [`Invocation`] with `function_error`.
    pub async fn invoke(&self, invoke: Invoke<'_>) -> Result<Invocation, ApiError> {
        if invoke.payload.len() > REQUEST_BYTES_MAX {
            return Err(too_large(format!(
                "Request must be smaller than {REQUEST_BYTES_MAX} bytes for the InvokeFunction operation"
            )));
        }
        let request = self.request(&invoke, Uuid::new_v4().to_string()).await?;
        let log_tail = invoke.log_tail;
        let (executed_version, request_id) = (request.version.version.clone(), request.request_id.clone());
        let execution = self.run(request).await?;
        Ok(Invocation {
            status_code: 200,
            payload: execution.payload,
            function_error: execution.is_error.then(|| "Unhandled".to_owned()),
            log_result: log_tail.then_some(execution.log_tail),
            executed_version,
            request_id,
        })
    }

    /// Puts an invocation into the queue, from which it runs at least once and
    /// is tried again twice if it fails. It is durable when this answers.
    ///
    /// # Errors
    /// As [`invoke`](Self::invoke); the payload may have 1 MB.
    pub async fn invoke_event(&self, invoke: Invoke<'_>) -> Result<Invocation, ApiError> {
        let size = invoke.payload.len();
        if size > EVENT_BYTES_MAX {
            return Err(too_large(format!(
                "{size} byte payload is too large for the Event invocation type (limit {EVENT_BYTES_MAX} bytes)"
            )));
        }
        let request = self.request(&invoke, Uuid::new_v4().to_string()).await?;
        let request_id = request.request_id.clone();
        let executed_version = request.version.version.clone();
        self.enqueue(&invoke, request).await?;
        Ok(without_payload(202, executed_version, request_id))
    }

    /// Whether an invocation would be accepted; nothing runs.
    ///
    /// # Errors
    /// As [`invoke`](Self::invoke).
    pub async fn invoke_dry_run(&self, invoke: Invoke<'_>) -> Result<Invocation, ApiError> {
        let request = self.request(&invoke, Uuid::new_v4().to_string()).await?;
        Ok(without_payload(204, request.version.version, request.request_id))
    }

    /// Looks up what runs and checks what it is given.
    pub(crate) async fn request(&self, invoke: &Invoke<'_>, request_id: String) -> Result<Request, ApiError> {
        let payload = if invoke.payload.is_empty() {
            Bytes::from_static(b"{}")
        } else {
            invoke.payload.clone()
        };
        if let Err(error) = serde_json::from_slice::<IgnoredAny>(&payload) {
            return Err(ApiError::bad_request(
                "InvalidRequestContentException",
                format!("Could not parse request body into json: {error}"),
            ));
        }
        let client_context = invoke.client_context.map(read_client_context).transpose()?;
        let reference = FunctionReference::resolve(invoke.function, invoke.qualifier, &self.owner)?;
        let function = self.function(&reference.name, reference.qualifier.as_deref()).await?;
        let qualifier = reference.qualifier.as_deref();
        let version = function.version(qualifier, share(), &self.owner)?.clone();
        let shown = qualifier.filter(|qualifier| *qualifier != LATEST || invoke.function.contains(LATEST));
        Ok(Request {
            function_arn: function.arn(&self.owner, shown),
            queue: function.queue(),
            version,
            request_id,
            client_context,
            payload,
        })
    }
}

fn without_payload(status_code: u16, executed_version: String, request_id: String) -> Invocation {
    Invocation {
        status_code,
        payload: Bytes::new(),
        function_error: None,
        log_result: None,
        executed_version,
        request_id,
    }
}

fn too_large(message: String) -> ApiError {
    ApiError::new(413, "RequestTooLargeException", message)
}

/// The JSON of a client context, made fit for a header.
fn read_client_context(text: &str) -> Result<String, ApiError> {
    let read = || {
        let bytes = STANDARD.decode(text).ok()?;
        let value: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        Some(value.to_string())
    };
    read().ok_or_else(|| {
        ApiError::bad_request(
            "InvalidRequestContentException",
            "Client context must be a valid Base64-encoded JSON object.",
        )
    })
}

/// A number in `0.0..1.0` that picks among an alias's versions.
fn share() -> f64 {
    let (bits, _, _, _) = Uuid::new_v4().as_fields();
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}
