//! State machines run functions, call services, send requests, and read and
//! write objects.

mod datasets;
mod http;
mod special;

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use scones_api::{ApiError, Arn, Caller, JsonService, RequestContext};
use scones_iam::{Iam, Sts};
use scones_lambda::{Invoke, Lambda};
use scones_logs::Logs;
use scones_s3::S3;
use scones_sagemaker::SageMaker;
use scones_states::{
    HttpCall, HttpReply, InvocationType, LambdaCall, LambdaReply, ServiceCall, States, TaskIdentity, TaskRunner,
};
use serde_json::{Map, Value};
use tokio::sync::SetOnce;
use uuid::Uuid;

pub(crate) use self::{datasets::Datasets, http::HttpClient};

/// Tasks that other services perform, in the process.
pub(crate) struct Tasks {
    pub(crate) lambda: Arc<Lambda>,
    pub(crate) sagemaker: Arc<SageMaker>,
    pub(crate) s3: Arc<S3>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) iam: Arc<Iam>,
    pub(crate) sts: Arc<Sts>,
    pub(crate) http: HttpClient,
    /// State machines start executions; the service starts after its tasks.
    pub(crate) states: SetOnce<Weak<States>>,
}

impl Tasks {
    /// Lets tasks call the service whose tasks they are.
    pub(crate) fn connect(&self, states: &Arc<States>) {
        // A second time would be the same service.
        drop(self.states.set(Arc::downgrade(states)));
    }

    async fn states(&self) -> Result<Arc<States>, ApiError> {
        let stopped = || ApiError::new(503, "ServiceUnavailable", "the server is stopping");
        self.states.wait().await.upgrade().ok_or_else(stopped)
    }
}

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
            InvocationType::RequestResponse => self.lambda.invoke(invoke).await,
            InvocationType::Event => self.lambda.invoke_event(invoke).await,
            InvocationType::DryRun => self.lambda.invoke_dry_run(invoke).await,
        }?;
        Ok(LambdaReply {
            status_code: invocation.status_code,
            payload: String::from_utf8_lossy(&invocation.payload).into_owned(),
            function_error: invocation.function_error,
            executed_version: Some(invocation.executed_version),
            request_id: invocation.request_id,
        })
    }

    async fn call_service(&self, call: ServiceCall) -> Result<Value, ApiError> {
        let ServiceCall {
            service,
            operation,
            input,
            identity,
        } = call;
        let states;
        let service: &dyn JsonService = match (service, operation.as_str()) {
            ("lambda", "Invoke") => return special::invoke_function(self, &input).await,
            ("sagemakerruntime", "InvokeEndpoint") => return special::invoke_endpoint(&self.sagemaker, &input).await,
            ("s3", _) => return special::call_s3(&self.s3, &operation, &input, &context(&identity)?).await,
            ("lambda", _) => &*self.lambda,
            ("sagemaker", _) => &*self.sagemaker,
            ("cloudwatchlogs", _) => &*self.logs,
            ("iam", _) => &*self.iam,
            ("sts", _) => &*self.sts,
            ("sfn", _) => {
                states = self.states().await?;
                &*states
            }
            (service, operation) => return Err(ApiError::not_implemented(format_args!("{service}:{operation}"))),
        };
        ask(service, &operation, &input, &context(&identity)?).await
    }

    async fn send_http(&self, call: HttpCall) -> Result<HttpReply, String> {
        self.http.send(call).await
    }
}

/// Calls an operation with JSON and gives JSON.
async fn ask(
    service: &dyn JsonService,
    operation: &str,
    input: &Value,
    context: &RequestContext,
) -> Result<Value, ApiError> {
    let response = service.call(operation, input.to_string().as_bytes(), context).await?;
    match response.as_slice() {
        [] => Ok(Value::Object(Map::new())),
        json => serde_json::from_slice(json).map_err(ApiError::internal),
    }
}

/// A request of the state machine's role, in a session named after the execution.
fn context(identity: &TaskIdentity) -> Result<RequestContext, ApiError> {
    let role: Arn = identity.role_arn.parse().map_err(ApiError::internal)?;
    let path = role.strip("role").unwrap_or(&role.resource);
    let name = path.rsplit('/').next().unwrap_or(path);
    let session = identity.execution_arn.rsplit(':').next().unwrap_or_default();
    let arn = format!("arn:aws:sts::{}:assumed-role/{name}/{session}", role.account);
    let caller = Caller {
        access_key_id: "states".to_owned(),
        arn: arn.parse().map_err(ApiError::internal)?,
    };
    Ok(RequestContext {
        caller: Arc::new(caller),
        request_id: Uuid::new_v4().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_called_as_a_session_of_the_role() {
        let check = |role: &str, expect: &str| {
            let identity = TaskIdentity {
                role_arn: role.into(),
                execution_arn: "arn:aws:states:us-east-1:000000000000:execution:orders:run-1".into(),
            };
            assert_eq!(context(&identity).unwrap().caller.arn.to_string(), expect);
        };
        check(
            "arn:aws:iam::000000000000:role/workflows",
            "arn:aws:sts::000000000000:assumed-role/workflows/run-1",
        );
        check(
            "arn:aws:iam::123456789012:role/service-role/states",
            "arn:aws:sts::123456789012:assumed-role/states/run-1",
        );
    }
}
