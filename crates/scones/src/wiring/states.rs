//! State machines run functions.

use std::sync::Arc;

use async_trait::async_trait;
use scones_api::ApiError;
use scones_lambda::{Invoke, Lambda};
use scones_states::{InvocationType, LambdaCall, LambdaReply, TaskRunner};

/// Tasks that other services perform.
pub(crate) struct Tasks(pub(crate) Arc<Lambda>);

#[async_trait]
impl TaskRunner for Tasks {
    async fn invoke_function(&self, call: LambdaCall) -> Result<LambdaReply, ApiError> {
        let invoke = Invoke {
            function: &call.function,
            qualifier: call.qualifier.as_deref(),
            payload: call.payload.clone().into(),
            log_tail: false,
            client_context: call.client_context.as_deref(),
        };
        let invocation = match call.invocation {
            InvocationType::RequestResponse => self.0.invoke(invoke).await,
            InvocationType::Event => self.0.invoke_event(invoke).await,
            InvocationType::DryRun => self.0.invoke_dry_run(invoke).await,
        }?;
        Ok(LambdaReply {
            status_code: invocation.status_code,
            payload: String::from_utf8_lossy(&invocation.payload).into_owned(),
            function_error: invocation.function_error,
            executed_version: Some(invocation.executed_version),
            request_id: invocation.request_id,
        })
    }
}
