//! What the service needs from outside to run tasks.

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

/// A call of another service integration, such as `sagemaker` `createTrainingJob`.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceCall {
    /// `sagemaker`, `aws-sdk:s3`.
    pub service: String,
    /// `createTrainingJob`, without `.sync` or `.waitForTaskToken`.
    pub action: String,
    /// Whether the job that the call starts is to be waited for.
    pub wait_for_job: bool,
    /// The evaluated parameters.
    pub parameters: Value,
}

/// Runs tasks. A call may be dropped at any await when its execution is
/// stopped or its task times out, and it may be made again after a crash: at
/// least once.
#[async_trait]
pub trait TaskRunner: Send + Sync + 'static {
    /// Invokes a function. An error is Lambda's own (`ResourceNotFoundException`,
    /// `TooManyRequestsException`); a function that failed is a reply.
    async fn invoke_function(&self, call: LambdaCall) -> Result<LambdaReply, ApiError>;

    /// Calls another service, and gives its response as JSON text.
    async fn call_service(&self, call: ServiceCall) -> Result<String, TaskFailure> {
        let ServiceCall { service, action, .. } = call;
        Err(TaskFailure {
            error: "States.Runtime".to_owned(),
            cause: format!("Scones has no integration with '{service}:{action}'; docs/coverage.md lists those it has"),
        })
    }
}
