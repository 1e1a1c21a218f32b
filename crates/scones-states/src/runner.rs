//! What the service needs from outside to run tasks.

use std::sync::Arc;

use async_trait::async_trait;
use scones_api::ApiError;
use serde_json::Value;

/// How a task failed, as the state machine's `Retry` and `Catch` see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFailure {
    /// The error's name.
    pub error: String,
    /// More about it, for people or as JSON text.
    pub cause: String,
}

/// Whom a task's calls are made as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskIdentity {
    /// The state machine's role, or the one that the task's `Credentials` name.
    pub role_arn: Arc<str>,
    /// The execution that the task belongs to.
    pub execution_arn: Arc<str>,
}

/// How a function is invoked, by Lambda's names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InvocationType {
    /// Wait for the result.
    #[default]
    RequestResponse,
    /// Put it into the function's queue.
    Event,
    /// Only check.
    DryRun,
}

/// An invocation of a function.
#[derive(Debug, Clone, PartialEq)]
pub struct LambdaCall {
    /// Name, partial ARN or ARN, with a qualifier if it has one.
    pub function: String,
    /// A qualifier that was given apart.
    pub qualifier: Option<String>,
    /// JSON text.
    pub payload: String,
    /// How it is invoked.
    pub invocation: InvocationType,
    /// Base64 text that the function's context shows.
    pub client_context: Option<String>,
}

/// What an invocation gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LambdaReply {
    /// 200, 202 (Event) or 204 (DryRun).
    pub status_code: u16,
    /// What the function answered: JSON text, or an error's JSON text.
    pub payload: String,
    /// There if the function failed.
    pub function_error: Option<String>,
    /// The version that ran.
    pub executed_version: Option<String>,
    /// The invocation's id.
    pub request_id: String,
}

/// A call of an operation of another service, or of this one.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceCall {
    /// As AWS's SDK integrations call it: `s3`, `sagemaker`, `sfn`.
    pub service: &'static str,
    /// By its name in the API: `CreateTrainingJob`.
    pub operation: String,
    /// The operation's input, in the API's own spelling. What is bytes in the
    /// API is text here.
    pub input: Value,
    /// Who calls.
    pub identity: TaskIdentity,
}

/// A request to an address outside of AWS's services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCall {
    /// `GET`.
    pub method: String,
    /// With its query.
    pub url: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// What to send.
    pub body: Option<String>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpReply {
    /// The status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// At most one byte more than a result may have; the rest is not read.
    pub body: Vec<u8>,
}

/// Runs tasks. A call may be dropped at any await when its execution is
/// stopped or its task times out, and it may be made again after a crash: at
/// least once.
#[async_trait]
pub trait TaskRunner: Send + Sync + 'static {
    /// Invokes a function. An error is Lambda's own (`ResourceNotFoundException`,
    /// `TooManyRequestsException`); a function that failed is a reply.
    async fn invoke_function(&self, call: LambdaCall) -> Result<LambdaReply, ApiError>;

    /// Calls a service, and gives its response in the API's own spelling. An
    /// error is the service's own; `NotImplemented` says what is not built. A
    /// code that begins with `States.` is the task's error as it is.
    async fn call_service(&self, call: ServiceCall) -> Result<Value, ApiError> {
        let ServiceCall { service, operation, .. } = call;
        Err(ApiError::not_implemented(format_args!("{service}:{operation}")))
    }

    /// Sends a request and waits for the answer, at most
    /// [`HTTP_TASK`](crate::limits::HTTP_TASK). An error says, for people,
    /// why there is no answer.
    async fn send_http(&self, call: HttpCall) -> Result<HttpReply, String> {
        Err(format!("{} cannot be reached from here", call.url))
    }
}
