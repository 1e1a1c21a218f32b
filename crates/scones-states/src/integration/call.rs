//! A service's operation as a task.

use scones_api::ApiError;
use scones_asl::TaskCall;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{
    Integrations,
    answer::{http_date, with_metadata},
    refused,
    service::{Service, Style, find},
    spelling,
};
use crate::runner::{ServiceCall, TaskFailure};

impl Integrations<'_> {
    pub(super) async fn call(&self, service: &str, action: &str, task: &TaskCall) -> Result<String, TaskFailure> {
        let unknown = || {
            refused(format!(
                "Scones has no integration with '{service}:{action}'; docs/reference/integrations.md lists those it has"
            ))
        };
        let (service, style) = find(service, action).ok_or_else(unknown)?;
        let operation = spelling::pascal(action);
        let mut input = spelling::input(service, &task.parameters)
            .map_err(|name| refused(format!("The field '{name}' is not supported by Step Functions")))?;
        if operation == "StartExecution" {
            let name = || Value::String(self.generated_name(task));
            input.entry("name").or_insert_with(name);
        }
        let response = self.ask(service, &operation, Value::Object(input)).await;
        let response = response.map_err(|error| service.failure(style, &operation, error, self.ids.id()))?;
        Ok(Value::Object(self.result(service, style, response)).to_string())
    }

    /// Calls an operation with its own spelling.
    pub(super) async fn ask(
        &self,
        service: &'static Service,
        operation: &str,
        input: Value,
    ) -> Result<Value, ApiError> {
        let call = ServiceCall {
            service: service.id,
            operation: operation.to_owned(),
            input,
            identity: self.identity.clone(),
        };
        self.runner.call_service(call).await
    }

    /// A response as the task's result.
    pub(super) fn result(&self, service: &Service, style: Style, response: Value) -> Map<String, Value> {
        let length = response.to_string().len();
        let mut result = spelling::output(service, style, response);
        if let (Style::Optimised, Some(integration)) = (style, &service.optimised) {
            let id = self.ids.id().to_string();
            let headers = vec![
                ("connection", "keep-alive".to_owned()),
                ("Content-Length", length.to_string()),
                ("Content-Type", integration.content_type.to_owned()),
                ("Date", http_date(self.clock.now())),
                ("x-amzn-RequestId", id.clone()),
            ];
            with_metadata(&mut result, 200, &id, headers);
            result.sort_keys();
        }
        result
    }

    /// A name for what the task starts, always the same for the same task: a
    /// start that is made again after a crash finds the first one.
    pub(super) fn generated_name(&self, task: &TaskCall) -> String {
        let digest = Sha256::new()
            .chain_update(self.identity.execution_arn.as_bytes())
            .chain_update(task.task.0.to_be_bytes())
            .finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }
}
