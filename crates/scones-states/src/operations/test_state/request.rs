//! What a TestState request may say.

use scones_api::{ApiError, Constraints};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{fault, limits};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TestState {
    pub(super) definition: String,
    pub(super) role_arn: Option<String>,
    pub(super) input: Option<String>,
    inspection_level: Option<String>,
    reveal_secrets: Option<bool>,
    variables: Option<String>,
    pub(super) state_name: Option<String>,
    pub(super) mock: Option<MockInput>,
    pub(super) context: Option<String>,
    pub(super) state_configuration: Option<StateConfiguration>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MockInput {
    pub(super) result: Option<String>,
    pub(super) error_output: Option<ErrorOutput>,
    pub(super) field_validation_mode: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ErrorOutput {
    pub(super) error: Option<String>,
    pub(super) cause: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StateConfiguration {
    pub(super) retrier_retry_count: Option<u32>,
    pub(super) error_caused_by_state: Option<String>,
    pub(super) map_iteration_failure_count: Option<u32>,
    pub(super) map_item_reader_data: Option<String>,
}

/// How much of the way of the data is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Info,
    Debug,
    /// The HTTP exchange, too.
    Trace,
}

impl TestState {
    /// Checks everything that can be checked without reading the definition.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        let mut constraints = Constraints::new();
        if let Some(level) = &self.inspection_level {
            constraints.one_of("inspectionLevel", level, &["INFO", "DEBUG", "TRACE"]);
        }
        if let Some(mode) = self.mock.as_ref().and_then(|mock| mock.field_validation_mode.as_ref()) {
            constraints.one_of("mock.fieldValidationMode", mode, &["STRICT", "PRESENT", "NONE"]);
        }
        if self.definition.is_empty() {
            constraints.length("definition", "", 1, limits::DEFINITION_BYTES_MAX);
        }
        if let Some(output) = self.mock.as_ref().and_then(|mock| mock.error_output.as_ref()) {
            constraints.required("mock.errorOutput.error", output.error.as_ref());
        }
        constraints.check()?;
        limits::name_length("stateName", self.state_name.as_deref())?;
        limits::payload_length("definition", Some(&self.definition), limits::DEFINITION_BYTES_MAX)?;
        for (member, text) in self.payloads() {
            limits::payload_length(member, text, limits::PAYLOAD_BYTES_MAX)?;
        }
        if let Some(output) = self.mock.as_ref().and_then(|mock| mock.error_output.as_ref()) {
            limits::payload_length(
                "mock.errorOutput.error",
                output.error.as_deref(),
                limits::ERROR_CHARS_MAX,
            )?;
            limits::payload_length(
                "mock.errorOutput.cause",
                output.cause.as_deref(),
                limits::CAUSE_CHARS_MAX,
            )?;
        }
        if let Some(role) = &self.role_arn {
            crate::names::check_role(role)?;
        }
        if let Some(input) = &self.input {
            serde_json::from_str::<serde::de::IgnoredAny>(input).map_err(fault::invalid_input)?;
        }
        self.check_combination()
    }

    fn payloads(&self) -> [(&'static str, Option<&str>); 5] {
        let configuration = self.state_configuration.as_ref();
        let reader_data = configuration.and_then(|given| given.map_item_reader_data.as_deref());
        let result = self.mock.as_ref().and_then(|mock| mock.result.as_deref());
        [
            ("input", self.input.as_deref()),
            ("variables", self.variables.as_deref()),
            ("context", self.context.as_deref()),
            ("mock.result", result),
            ("stateConfiguration.mapItemReaderData", reader_data),
        ]
    }

    /// Members that do not go together.
    fn check_combination(&self) -> Result<(), ApiError> {
        let refused = |message: &str| Err(ApiError::validation(message));
        let mocked = self.mock.is_some();
        if mocked && self.reveal_secrets == Some(true) {
            return refused("TestState does not support RevealSecrets when a mock is specified.");
        }
        if !mocked && self.context.is_some() {
            return refused("TestState only supports a Context object when a mock is specified.");
        }
        Ok(())
    }

    pub(super) fn level(&self) -> Level {
        match self.inspection_level.as_deref() {
            Some("DEBUG") => Level::Debug,
            Some("TRACE") => Level::Trace,
            _ => Level::Info,
        }
    }

    pub(super) fn variables(&self) -> Result<Map<String, Value>, ApiError> {
        let Some(text) = &self.variables else {
            return Ok(Map::new());
        };
        match serde_json::from_str(text) {
            Ok(Value::Object(variables)) => Ok(variables),
            _ => Err(ApiError::validation("Variables must be a JSON object.")),
        }
    }

    pub(super) fn failed_iterations(&self) -> u64 {
        let configuration = self.state_configuration.as_ref();
        let failed = configuration.and_then(|given| given.map_iteration_failure_count);
        u64::from(failed.unwrap_or_default())
    }
}
