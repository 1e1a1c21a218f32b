//! Jobs that tasks with `.sync` start, wait for, and stop.

use std::time::Duration;

use scones_api::{ApiError, Timestamp};
use scones_asl::{Pattern, Resource, TaskCall};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Integrations,
    service::{Service, Style, find},
    spelling,
};
use crate::runner::TaskFailure;

/// Pause after the first look at a job that has not ended.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// Longest pause between two looks.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What names a job, also to a server that did not start it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct JobName {
    /// As the SDK calls it.
    service: String,
    /// That starts it.
    action: String,
    /// What names it to the service.
    id: String,
}

/// What the integrations know of one kind of job.
#[derive(Debug)]
struct Kind {
    /// The service's id, and the action that starts the job.
    id: &'static str,
    action: &'static str,
    /// The operations that look at a job and stop it; both take `member`.
    describe: &'static str,
    stop: &'static str,
    member: &'static str,
    /// Members of the description.
    status: &'static str,
    created: &'static str,
    running: &'static [&'static str],
    succeeded: &'static str,
    /// The error of a start whose name is taken, without its prefix.
    exists: &'static str,
}

const KINDS: [Kind; 2] = [
    Kind {
        id: "sfn",
        action: "startExecution",
        describe: "DescribeExecution",
        stop: "StopExecution",
        member: "executionArn",
        status: "status",
        created: "startDate",
        running: &["RUNNING", "PENDING_REDRIVE"],
        succeeded: "SUCCEEDED",
        exists: ".ExecutionAlreadyExistsException",
    },
    Kind {
        id: "sagemaker",
        action: "createTrainingJob",
        describe: "DescribeTrainingJob",
        stop: "StopTrainingJob",
        member: "TrainingJobName",
        status: "TrainingJobStatus",
        created: "CreationTime",
        running: &["InProgress", "Stopping"],
        succeeded: "Completed",
        exists: ".ResourceInUseException",
    },
];

/// Whether tasks can wait for what an optimised integration starts. A job that
/// is not built can be waited for, too: its start says so.
pub(super) fn is_job(service: &str, action: &str) -> bool {
    const UNBUILT: [&str; 4] = [
        "createHyperParameterTuningJob",
        "createLabelingJob",
        "createProcessingJob",
        "createTransformJob",
    ];
    match find(service, action) {
        Some((service, Style::Optimised)) => {
            kind(service, action).is_some() || (service.id == "sagemaker" && UNBUILT.contains(&action))
        }
        _ => false,
    }
}

fn kind(service: &Service, action: &str) -> Option<&'static Kind> {
    const TABLE: &[Kind] = &KINDS;
    TABLE.iter().find(|kind| kind.id == service.id && kind.action == action)
}

/// A job that was started.
#[derive(Debug)]
pub(crate) struct Job {
    kind: &'static Kind,
    service: &'static Service,
    style: Style,
    /// What names it to the service.
    id: String,
    /// `.sync:2`: JSON in its description is given as JSON.
    parsed: bool,
}

impl Job {
    /// The job that a task started, by the response that it got; nothing for
    /// a task that does not wait for one.
    pub(crate) fn of(task: &TaskCall, response: &str) -> Option<Self> {
        if !matches!(task.kind(), Pattern::Sync | Pattern::Sync2) {
            return None;
        }
        let response: Value = serde_json::from_str(response).unwrap_or_default();
        Self::with(task, |kind| {
            match kind.id {
                "sfn" => response.get("ExecutionArn"),
                _ => task.parameters.get(kind.member),
            }
            .and_then(Value::as_str)
            .map(str::to_owned)
        })
    }

    fn with(task: &TaskCall, id: impl FnOnce(&Kind) -> Option<String>) -> Option<Self> {
        let Resource::Service { service, action, .. } = &task.resource else {
            return None;
        };
        let (service, style) = find(service, action)?;
        let kind = kind(service, action)?;
        Some(Self {
            kind,
            service,
            style,
            id: id(kind)?,
            parsed: task.kind() == Pattern::Sync2,
        })
    }

    /// The job of that name, if it is of a kind that is known here.
    pub(crate) fn named(name: &JobName) -> Option<Self> {
        let (service, style) = find(&format!("aws-sdk:{}", name.service), &name.action)?;
        Some(Self {
            kind: kind(service, &name.action)?,
            service,
            style,
            id: name.id.clone(),
            parsed: false,
        })
    }

    pub(crate) fn name(&self) -> JobName {
        JobName {
            service: self.service.id.to_owned(),
            action: self.kind.action.to_owned(),
            id: self.id.clone(),
        }
    }

    /// Whether the job's description says that it is no older than `since`.
    fn is_since(&self, since: Timestamp, description: &Value) -> bool {
        let created = description.get(self.kind.created).cloned();
        let created = created.and_then(|created| serde_json::from_value::<Timestamp>(created).ok());
        created.is_some_and(|created| created >= since)
    }

    fn is_running(&self, description: &Value) -> bool {
        self.kind.running.contains(&self.status(description))
    }

    fn status<'a>(&self, description: &'a Value) -> &'a str {
        let status = description.get(self.kind.status).and_then(Value::as_str);
        status.unwrap_or_default()
    }

    /// The execution's ARN, if it is one.
    pub(crate) fn execution_arn(&self) -> Option<&str> {
        (self.kind.id == "sfn").then_some(&self.id)
    }

    fn input(&self) -> Value {
        json!({ self.kind.member: self.id })
    }
}

impl Integrations<'_> {
    /// The job that a task starts, by the task's parameters.
    pub(crate) fn expected(&self, task: &TaskCall) -> Option<Job> {
        let text = |member: &str| task.parameters.get(member).and_then(Value::as_str);
        Job::with(task, |kind| match kind.id {
            "sfn" => {
                let machine: Vec<&str> = text("StateMachineArn")?.split(':').collect();
                let [arn, partition, states, region, account, "stateMachine", machine, ..] = machine.as_slice() else {
                    return None;
                };
                let name = text("Name").map_or_else(|| self.generated_name(task), str::to_owned);
                Some([*arn, partition, states, region, account, "execution", machine, &name].join(":"))
            }
            _ => text(kind.member).map(str::to_owned),
        })
    }

    /// The response of a start that was made before a crash: where the start
    /// that is made again finds its name taken by a job that is no older than
    /// the task, that job is the task's.
    pub(crate) async fn adopted(&self, task: &TaskCall, refusal: &TaskFailure, since: Timestamp) -> Option<String> {
        let job = self
            .expected(task)
            .filter(|job| refusal.error.ends_with(job.kind.exists))?;
        let description = self.ask(job.service, job.kind.describe, job.input()).await.ok()?;
        if !job.is_since(since, &description) {
            return None;
        }
        let members: &[&str] = match job.kind.id {
            "sfn" => &["executionArn", "startDate"],
            _ => &["TrainingJobArn"],
        };
        let response = members
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), description.get(name)?.clone())))
            .collect();
        Some(Value::Object(self.result(job.service, job.style, response)).to_string())
    }

    /// Waits for a job's end and gives its description. Looks again after
    /// pauses that grow with the time that the job takes.
    pub(crate) async fn finished(&self, job: &Job) -> Result<String, TaskFailure> {
        let mut pause = PAUSE_MIN;
        loop {
            match self.ask(job.service, job.kind.describe, job.input()).await {
                Ok(description) if job.is_running(&description) => {}
                Ok(description) => {
                    let succeeded = job.status(&description) == job.kind.succeeded;
                    let result = self.described(job, description);
                    return match succeeded {
                        true => Ok(result),
                        false => Err(TaskFailure {
                            error: "States.TaskFailed".to_owned(),
                            cause: result,
                        }),
                    };
                }
                // The service will be there again; the job goes on meanwhile.
                Err(error) if error.is_server_fault() => tracing::warn!(job = job.id, %error, "a job is not seen"),
                Err(error) => return Err(job.service.optimised_failure(error, self.ids.id())),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 5 / 4).min(PAUSE_MAX);
        }
    }

    fn described(&self, job: &Job, description: Value) -> String {
        let mut result = spelling::output(job.service, Style::Optimised, description);
        if job.parsed {
            for name in ["Input", "Output"] {
                if let Some(Value::String(text)) = result.get(name)
                    && let Ok(value) = serde_json::from_str(text)
                {
                    result.insert(name.to_owned(), value);
                }
            }
        }
        result.sort_keys();
        Value::Object(result).to_string()
    }

    /// Stops a job if it runs. One that is older than `since` only has the
    /// name of the task's own job, which was never started.
    ///
    /// # Errors
    /// The service's.
    pub(crate) async fn stop(&self, job: &Job, since: Timestamp) -> Result<(), ApiError> {
        let description = self.ask(job.service, job.kind.describe, job.input()).await?;
        if job.is_running(&description) && job.is_since(since, &description) {
            self.ask(job.service, job.kind.stop, job.input()).await?;
        }
        Ok(())
    }
}
