//! The details of history events, field by field as AWS names them.

use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// Whether a payload was cut for the answer; the interpreter never cuts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truncation {
    /// Always false here.
    pub truncated: bool,
}

macro_rules! details {
    ($($(#[$attribute:meta])* $name:ident { $($(#[$field_attribute:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$attribute])*
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            #[serde(rename_all = "camelCase")]
            #[allow(missing_docs, reason = "the fields bear AWS's names")]
            pub struct $name { $($(#[$field_attribute])* pub $field: $type,)* }
        )*
    };
}

details! {
    /// The execution began.
    ExecutionStarted {
        input: Arc<str>,
        input_details: Truncation,
        role_arn: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state_machine_alias_arn: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state_machine_version_arn: Option<String>,
    }
    /// The execution was redriven.
    ExecutionRedriven {
        redrive_count: u64,
    }
    /// An error with its cause, both optional.
    Failure {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    }
    /// An output.
    Output {
        output: Arc<str>,
        output_details: Truncation,
    }
    /// A state was entered.
    StateEntered {
        name: String,
        input: Arc<str>,
        input_details: Truncation,
    }
    /// A state was left; `assigned_variables` holds JSON texts by name.
    StateExited {
        name: String,
        output: Arc<str>,
        output_details: Truncation,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        assigned_variables: Option<IndexMap<String, String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        assigned_variables_details: Option<Truncation>,
    }
    /// An expression failed.
    EvaluationFailed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        location: Option<String>,
        state: String,
    }
    /// Credentials that a task uses.
    TaskCredentials {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role_arn: Option<String>,
    }
    /// A service integration was scheduled.
    TaskScheduled {
        resource_type: String,
        resource: String,
        region: String,
        parameters: Arc<str>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_in_seconds: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        heartbeat_in_seconds: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task_credentials: Option<TaskCredentials>,
    }
    /// A service integration was started.
    TaskStarted {
        resource_type: String,
        resource: String,
    }
    /// A service integration gave a result, or its request was accepted.
    TaskOutput {
        resource_type: String,
        resource: String,
        output: Arc<str>,
        output_details: Truncation,
    }
    /// A service integration failed or timed out.
    TaskFailure {
        resource_type: String,
        resource: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    }
    /// A function was scheduled.
    LambdaScheduled {
        resource: String,
        input: Arc<str>,
        input_details: Truncation,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_in_seconds: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task_credentials: Option<TaskCredentials>,
    }
    /// An activity was scheduled.
    ActivityScheduled {
        resource: String,
        input: Arc<str>,
        input_details: Truncation,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout_in_seconds: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        heartbeat_in_seconds: Option<u64>,
    }
    /// A worker took an activity's task.
    ActivityStarted {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worker_name: Option<String>,
    }
    /// A map began with this many items.
    MapStateStarted {
        length: u64,
    }
    /// One iteration of a map.
    MapIteration {
        name: String,
        index: u64,
    }
    /// A distributed map began.
    MapRunStarted {
        map_run_arn: String,
    }
    /// A distributed map was redriven.
    MapRunRedriven {
        map_run_arn: String,
        redrive_count: u64,
    }
}
