//! The configuration of a function on the wire: what clients send, how it is
//! checked, what they read.

use std::collections::BTreeMap;

use scones_api::{ApiError, Constraints, Owner, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    function::Version,
    limits::{
        DESCRIPTION_LENGTH_MAX, ENVIRONMENT_BYTES_MAX, HANDLER_LENGTH_MAX, MEMORY_MB, MEMORY_MB_DEFAULT, STORAGE_MB,
        TIMEOUT_SECONDS, TIMEOUT_SECONDS_DEFAULT,
    },
    name::{LATEST, function_arn},
    runtime::Runtime,
};

/// Environment variables that AWS sets itself and refuses to have set
/// (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>).
const RESERVED_KEYS: &[&str] = &[
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "TZ",
];

/// The settings that CreateFunction and UpdateFunctionConfiguration share. An
/// absent one keeps what is there.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Settings {
    runtime: Option<String>,
    role: Option<String>,
    handler: Option<String>,
    description: Option<String>,
    timeout: Option<i64>,
    memory_size: Option<i64>,
    environment: Option<Environment>,
    ephemeral_storage: Option<EphemeralStorage>,
    tracing_config: Option<TracingConfig>,
    logging_config: Option<LoggingConfig>,
    accelerator_config: Option<Value>,
    capacity_provider_config: Option<Value>,
    code_signing_config_arn: Option<Value>,
    dead_letter_config: Option<Value>,
    durable_config: Option<Value>,
    file_system_configs: Option<Value>,
    image_config: Option<Value>,
    #[serde(rename = "KMSKeyArn")]
    kms_key_arn: Option<Value>,
    layers: Option<Value>,
    snap_start: Option<Value>,
    tenancy_config: Option<Value>,
    vpc_config: Option<Value>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
struct Environment {
    variables: BTreeMap<String, String>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EphemeralStorage {
    size: i64,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TracingConfig {
    mode: String,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
struct LoggingConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    log_format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_group: Option<String>,
}

impl Settings {
    /// Whether these can be the settings of a new function.
    ///
    /// # Errors
    /// AWS's `InvalidParameterValueException` without a runtime or handler,
    /// `ValidationException` without a role.
    pub fn check_complete(&self) -> Result<(), ApiError> {
        Constraints::new().required("role", self.role.as_ref()).check()?;
        if self.runtime.is_none() || self.handler.is_none() {
            return Err(invalid(
                "Runtime and Handler are mandatory parameters for functions created with deployment packages.",
            ));
        }
        Ok(())
    }

    /// Checks each setting and writes it into `version`, or writes nothing.
    ///
    /// # Errors
    /// AWS's `ValidationException` and `InvalidParameterValueException`;
    /// `NotImplemented` for settings that this server does not have.
    pub fn apply(&self, version: &mut Version) -> Result<(), ApiError> {
        self.check()?;
        let set = |target: &mut String, value: &Option<String>| {
            if let Some(value) = value {
                target.clone_from(value);
            }
        };
        set(&mut version.runtime, &self.runtime);
        set(&mut version.role, &self.role);
        set(&mut version.handler, &self.handler);
        set(&mut version.description, &self.description);
        set(
            &mut version.tracing_mode,
            &self.tracing_config.as_ref().map(|tracing| tracing.mode.clone()),
        );
        let number = |target: &mut u32, value: Option<i64>| {
            if let Some(value) = value.and_then(|value| u32::try_from(value).ok()) {
                *target = value;
            }
        };
        number(&mut version.timeout_seconds, self.timeout);
        number(&mut version.memory_mb, self.memory_size);
        number(
            &mut version.storage_mb,
            self.ephemeral_storage.as_ref().map(|storage| storage.size),
        );
        if let Some(environment) = &self.environment {
            version.environment.clone_from(&environment.variables);
        }
        if let Some(logging) = &self.logging_config {
            version.log_group = logging
                .log_group
                .clone()
                .filter(|group| *group != format!("/aws/lambda/{}", version.name));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), ApiError> {
        let mut constraints = Constraints::new();
        if let Some(role) = &self.role {
            constraints.pattern(
                "role",
                role,
                r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+",
                is_role,
            );
        }
        if let Some(handler) = &self.handler {
            constraints.length("handler", handler, 0, HANDLER_LENGTH_MAX);
            constraints.pattern("handler", handler, r"[^\s]+", |text| {
                !text.is_empty() && !text.chars().any(char::is_whitespace)
            });
        }
        if let Some(description) = &self.description {
            constraints.length("description", description, 0, DESCRIPTION_LENGTH_MAX);
        }
        if let Some(timeout) = self.timeout {
            constraints.range("timeout", timeout, TIMEOUT_SECONDS.0, TIMEOUT_SECONDS.1);
        }
        if let Some(memory) = self.memory_size {
            constraints.range("memorySize", memory, MEMORY_MB.0, MEMORY_MB.1);
        }
        if let Some(storage) = &self.ephemeral_storage {
            constraints.range("ephemeralStorage.size", storage.size, STORAGE_MB.0, STORAGE_MB.1);
        }
        if let Some(tracing) = &self.tracing_config {
            constraints.one_of("tracingConfig.mode", &tracing.mode, &["Active", "PassThrough"]);
        }
        constraints.check()?;
        if let Some(runtime) = &self.runtime {
            Runtime::parse(runtime)?;
        }
        if let Some(environment) = &self.environment {
            check_environment(environment)?;
        }
        if let Some(logging) = &self.logging_config {
            check_logging(logging)?;
        }
        self.check_absent()
    }

    /// Settings that this server does not have: a value other than "none" is
    /// refused by name.
    fn check_absent(&self) -> Result<(), ApiError> {
        let absent = [
            ("AcceleratorConfig", &self.accelerator_config),
            ("CapacityProviderConfig", &self.capacity_provider_config),
            ("CodeSigningConfigArn", &self.code_signing_config_arn),
            ("DeadLetterConfig", &self.dead_letter_config),
            ("DurableConfig", &self.durable_config),
            ("FileSystemConfigs", &self.file_system_configs),
            ("ImageConfig", &self.image_config),
            ("KMSKeyArn", &self.kms_key_arn),
            ("Layers", &self.layers),
            ("SnapStart", &self.snap_start),
            ("TenancyConfig", &self.tenancy_config),
            ("VpcConfig", &self.vpc_config),
        ];
        let is_set = |value: &Option<Value>| value.as_ref().is_some_and(|value| !says_nothing(value));
        match absent.iter().find(|(_, value)| is_set(value)) {
            Some((name, _)) => Err(ApiError::not_implemented(format_args!("a function's {name}"))),
            None => Ok(()),
        }
    }
}

fn check_environment(environment: &Environment) -> Result<(), ApiError> {
    let is_key = |key: &String| {
        key.len() > 1
            && key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let variables = &environment.variables;
    let reserved: Vec<&str> = variables
        .keys()
        .map(String::as_str)
        .filter(|key| RESERVED_KEYS.contains(key))
        .collect();
    if !reserved.is_empty() {
        return Err(invalid(format!(
            "Lambda was unable to configure your environment variables because the environment variables you have \
             provided contains reserved keys that are currently not supported for modification. Reserved keys used in \
             this request: {}",
            reserved.join(", ")
        )));
    }
    if !variables.keys().all(is_key) || variables.keys().any(|key| key.starts_with('_')) {
        return Err(ApiError::validation(
            "1 validation error detected: Value at 'environment.variables' failed to satisfy constraint: Map keys must \
             satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]",
        ));
    }
    if let Some(key) = variables
        .iter()
        .find_map(|(key, value)| value.contains('\0').then_some(key))
    {
        return Err(invalid(format!(
            "the value of the environment variable {key} holds a zero byte"
        )));
    }
    let json = serde_json::to_string(variables).map_err(ApiError::internal)?;
    if json.len() > ENVIRONMENT_BYTES_MAX {
        return Err(invalid(
            "Lambda was unable to configure your environment variables because the environment variables you have \
             provided exceeded the 4KB limit.",
        ));
    }
    Ok(())
}

fn check_logging(logging: &LoggingConfig) -> Result<(), ApiError> {
    if logging.log_format.as_deref().is_some_and(|format| format != "Text") {
        return Err(ApiError::not_implemented(
            "LoggingConfig with a LogFormat other than Text",
        ));
    }
    let group = logging.log_group.as_deref().unwrap_or("default");
    Constraints::new()
        .length("loggingConfig.logGroup", group, 1, 512)
        .pattern("loggingConfig.logGroup", group, r"[\.\-_/#A-Za-z0-9]+", |text| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_/#".contains(&byte))
        })
        .check()
}

/// Whether a setting holds only what means "none": nothing, emptiness, or
/// SnapStart's `None`.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(_) => false,
        Value::String(text) => text.is_empty() || text == "None",
        Value::Array(items) => items.iter().all(says_nothing),
        Value::Object(members) => members.values().all(says_nothing),
    }
}

fn is_role(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("arn:") else {
        return false;
    };
    let Some((partition, rest)) = rest.split_once(":iam::") else {
        return false;
    };
    let Some((account, name)) = rest.split_once(":role") else {
        return false;
    };
    (partition.is_empty() || partition.starts_with("aws"))
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-/".contains(&byte))
}

/// AWS's `InvalidParameterValueException`.
pub fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::bad_request("InvalidParameterValueException", message)
}

/// A version that has every setting's default; the rest is the caller's.
pub fn default_version(name: &str, code: crate::function::Code, now: Timestamp, revision: String) -> Version {
    let number = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
    Version {
        name: name.to_owned(),
        version: LATEST.to_owned(),
        runtime: String::new(),
        handler: String::new(),
        role: String::new(),
        description: String::new(),
        timeout_seconds: number(TIMEOUT_SECONDS_DEFAULT),
        memory_mb: number(MEMORY_MB_DEFAULT),
        storage_mb: number(STORAGE_MB.0),
        architecture: "x86_64".to_owned(),
        environment: BTreeMap::new(),
        tracing_mode: "PassThrough".to_owned(),
        log_group: None,
        code,
        modified: now,
        revision,
    }
}

/// AWS's `FunctionConfiguration`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FunctionConfiguration {
    function_name: String,
    function_arn: String,
    runtime: String,
    role: String,
    handler: String,
    code_size: u64,
    description: String,
    timeout: u32,
    memory_size: u32,
    last_modified: String,
    code_sha256: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<Environment>,
    tracing_config: TracingConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    master_arn: Option<String>,
    revision_id: String,
    state: &'static str,
    last_update_status: &'static str,
    package_type: &'static str,
    architectures: [String; 1],
    ephemeral_storage: EphemeralStorage,
    snap_start: SnapStart,
    logging_config: LoggingConfig,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SnapStart {
    apply_on: &'static str,
    optimization_status: &'static str,
}

impl FunctionConfiguration {
    /// What a client reads of `version`, under the ARN with `qualifier`. A
    /// function here is active as soon as it is stored.
    pub fn new(version: &Version, qualifier: Option<&str>, owner: &Owner) -> Self {
        let published = version.version != LATEST;
        Self {
            function_name: version.name.clone(),
            function_arn: function_arn(owner, &version.name, qualifier),
            runtime: version.runtime.clone(),
            role: version.role.clone(),
            handler: version.handler.clone(),
            code_size: version.code.size,
            description: version.description.clone(),
            timeout: version.timeout_seconds,
            memory_size: version.memory_mb,
            last_modified: version
                .modified
                .to_utc()
                .format("%Y-%m-%dT%H:%M:%S%.3f+0000")
                .to_string(),
            code_sha256: version.code.sha256.clone(),
            version: version.version.clone(),
            environment: (!version.environment.is_empty()).then(|| Environment {
                variables: version.environment.clone(),
            }),
            tracing_config: TracingConfig {
                mode: version.tracing_mode.clone(),
            },
            master_arn: published.then(|| function_arn(owner, &version.name, Some(LATEST))),
            revision_id: version.revision.clone(),
            state: "Active",
            last_update_status: "Successful",
            package_type: "Zip",
            architectures: [version.architecture.clone()],
            ephemeral_storage: EphemeralStorage {
                size: i64::from(version.storage_mb),
            },
            snap_start: SnapStart {
                apply_on: "None",
                optimization_status: "Off",
            },
            logging_config: LoggingConfig {
                log_format: Some("Text".to_owned()),
                log_group: Some(version.log_group()),
            },
        }
    }
}
