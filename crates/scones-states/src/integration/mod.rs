//! From a task's resource and parameters to a call, and back to its result.
//!
//! - `lambda`: functions, by ARN and by `lambda:invoke`
//! - `service`: the other services, with their names, errors and spelling
//! - `call`: a service's operation as a task
//! - `spelling`, `answer`: members and dates as the integrations spell them
//! - `job`: what `.sync` waits for
//! - `http`: `http:invoke`

mod answer;
mod call;
mod http;
mod job;
mod lambda;
mod service;
mod spelling;

use std::borrow::Cow;

use scones_api::Clock;
use scones_asl::{Pattern, Resource, TaskCall};
use serde_json::Value;

pub(crate) use self::{
    http::status_text,
    job::{Job, JobName},
};
use crate::{
    random::Ids,
    runner::{TaskFailure, TaskIdentity, TaskRunner},
};

/// What a task's calls are made with.
#[derive(Clone, Copy)]
pub(crate) struct Integrations<'a> {
    pub(crate) runner: &'a dyn TaskRunner,
    pub(crate) identity: &'a TaskIdentity,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) ids: &'a Ids,
}

impl Integrations<'_> {
    /// Performs a task's call and gives its result as JSON text; for `.sync`
    /// and `.waitForTaskToken` that is the response of the request.
    pub(crate) async fn perform(&self, task: &TaskCall) -> Result<String, TaskFailure> {
        if let Some(problem) = parameter_problem(task) {
            return Err(refused(problem));
        }
        let task = &*spelt(task);
        match &task.resource {
            Resource::Lambda { arn } => self.invoke_by_arn(arn, task).await,
            Resource::Activity { arn } => Err(refused(format!("activity '{arn}' is not called but polled for"))),
            Resource::Service {
                service,
                action,
                pattern,
                ..
            } => {
                let waits_for_job = matches!(pattern, Pattern::Sync | Pattern::Sync2);
                if waits_for_job && !job::is_job(service, action) {
                    return Err(refused(format!("'{service}:{action}' has no '.sync' form")));
                }
                match (service.as_str(), action.as_str()) {
                    ("lambda", "invoke") => self.invoke_by_name(task).await,
                    ("http", "invoke") => self.send(task).await,
                    _ => self.call(service, action, task).await,
                }
            }
        }
    }
}

/// The first parameter that the task's operation does not take or lacks.
fn parameter_problem(task: &TaskCall) -> Option<String> {
    let given = task.parameters.as_object()?;
    let names: Vec<&str> = given
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, _)| name.as_str())
        .collect();
    let problems = task.resource.parameter_problems(&names);
    problems.first().map(ToString::to_string)
}

/// The task with its parameters' names as the API spells them.
fn spelt(task: &TaskCall) -> Cow<'_, TaskCall> {
    let name = |name: &String| task.resource.parameter_name(name).to_owned();
    match &task.parameters {
        Value::Object(given) if given.keys().any(|key| name(key) != *key) => {
            let parameters = given.iter().map(|(key, value)| (name(key), value.clone())).collect();
            Cow::Owned(TaskCall {
                parameters: Value::Object(parameters),
                ..task.clone()
            })
        }
        _ => Cow::Borrowed(task),
    }
}

/// A task that cannot be run as it stands. Neither `Retry` nor `Catch` of
/// `States.ALL` sees it.
fn refused(cause: impl Into<String>) -> TaskFailure {
    TaskFailure {
        error: "States.Runtime".to_owned(),
        cause: cause.into(),
    }
}
