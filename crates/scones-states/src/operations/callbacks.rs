//! SendTaskSuccess, SendTaskFailure, SendTaskHeartbeat.

use scones_api::{ApiError, Constraints, RequestContext};
use scones_asl::{Input, TaskId, TaskToken};
use serde::Deserialize;

use super::machines::Nothing;
use crate::{
    States,
    engine::{Command, Refusal},
    fault, limits,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SendTaskSuccess {
    task_token: String,
    output: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SendTaskFailure {
    task_token: String,
    error: Option<String>,
    cause: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SendTaskHeartbeat {
    task_token: String,
}

impl States {
    pub(crate) async fn send_task_success(
        &self,
        input: SendTaskSuccess,
        _: &RequestContext,
    ) -> Result<Nothing, ApiError> {
        limits::payload_length("output", Some(&input.output), limits::PAYLOAD_BYTES_MAX)?;
        serde_json::from_str::<serde::de::IgnoredAny>(&input.output).map_err(fault::invalid_output)?;
        self.call_back(input.task_token, |task| Input::TaskSucceeded {
            task,
            output: input.output,
        })
        .await
    }

    pub(crate) async fn send_task_failure(
        &self,
        input: SendTaskFailure,
        _: &RequestContext,
    ) -> Result<Nothing, ApiError> {
        limits::failure_length(input.error.as_deref(), input.cause.as_deref())?;
        let failed = |task| Input::TaskFailed {
            task,
            error: input.error,
            cause: input.cause,
        };
        self.call_back(input.task_token, failed).await
    }

    pub(crate) async fn send_task_heartbeat(
        &self,
        input: SendTaskHeartbeat,
        _: &RequestContext,
    ) -> Result<Nothing, ApiError> {
        self.call_back(input.task_token, |task| Input::TaskHeartbeat { task })
            .await
    }

    async fn call_back(&self, token: String, input: impl FnOnce(TaskId) -> Input) -> Result<Nothing, ApiError> {
        Constraints::new()
            .length("taskToken", &token, 1, limits::TOKEN_CHARS_MAX)
            .check()?;
        let TaskToken {
            execution_arn, task, ..
        } = TaskToken::decode(&token).ok_or_else(fault::invalid_token)?;
        self.execution_name(&execution_arn)
            .map_err(|_| fault::invalid_token())?;
        let command = Command::Callback {
            task,
            token,
            input: input(task),
        };
        match self.engine.deliver(&execution_arn, command).await {
            Ok(_) => Ok(Nothing {}),
            Err(Refusal::Missing) => Err(fault::no_task()),
            Err(Refusal::Ended | Refusal::NotWaiting) => Err(fault::task_timed_out()),
            Err(Refusal::Unavailable) => Err(fault::unavailable()),
        }
    }
}
