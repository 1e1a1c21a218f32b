//! Marks of the jobs that tasks with `.sync` start. A mark is there before its
//! job and goes after it, so that a job is stopped that nobody waits for any
//! more, also if the server ended between the two.

use std::sync::Arc;

use futures::{StreamExt as _, stream};
use scones_api::{ApiError, Timestamp};
use scones_asl::TaskId;
use scones_store::{Collection, Store};
use serde::{Deserialize, Serialize};

use super::{Command, Engine, Refusal};
use crate::{
    Error,
    integration::{Job, JobName},
    runner::TaskIdentity,
};

/// Jobs that are looked at at the same time.
const AT_ONCE: usize = 64;

/// That a task has started a job, or is about to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Mark {
    execution_arn: String,
    task: TaskId,
    /// When the task was scheduled: a job of that name that is older belongs to
    /// somebody else.
    since: Timestamp,
    role_arn: String,
    job: JobName,
}

impl Mark {
    pub(crate) fn of(identity: &TaskIdentity, task: TaskId, since: Timestamp, job: &Job) -> Self {
        Self {
            execution_arn: identity.execution_arn.to_string(),
            task,
            since,
            role_arn: identity.role_arn.to_string(),
            job: job.name(),
        }
    }

    fn key(&self) -> String {
        format!("{}/{:012}", self.execution_arn, self.task.0)
    }
}

/// The marks.
pub(crate) fn marks(store: &Arc<dyn Store>) -> Collection<Mark> {
    Collection::new(Arc::clone(store), "states.jobs")
}

impl Engine {
    /// Marks a job that is about to be started.
    ///
    /// # Errors
    /// If the server stops.
    pub(super) async fn mark_job(&self, mark: &Mark) -> Result<(), Error> {
        let put = || async { Ok(self.shared.jobs.put(&mark.key(), mark).await?) };
        self.shared.patiently("a job is to be marked", put).await.map(drop)
    }

    /// Forgets a job that is over or never began. A mark that stays is looked
    /// at by the next start.
    pub(super) async fn unmark_job(&self, mark: &Mark) {
        if let Err(error) = self.shared.jobs.delete(&mark.key()).await {
            tracing::debug!(execution = mark.execution_arn, %error, "a job's mark stays");
        }
    }

    /// Stops a job that nobody waits for any more. What cannot be stopped goes
    /// on, as on AWS.
    pub(super) async fn stop_job(&self, mark: &Mark) {
        let stop = || async {
            match self.try_to_stop(mark).await {
                Err(error) if error.is_server_fault() => Err(Error::Unavailable),
                Err(error) => {
                    tracing::warn!(job = ?mark.job, %error, "a job whose task is over could not be stopped");
                    Ok(())
                }
                Ok(()) => Ok(()),
            }
        };
        // Otherwise the server stops, and the next one finds the mark.
        if self.shared.patiently("a job is to be stopped", stop).await.is_ok() {
            self.unmark_job(mark).await;
        }
    }

    async fn try_to_stop(&self, mark: &Mark) -> Result<(), ApiError> {
        let Some(job) = Job::named(&mark.job) else {
            return Ok(());
        };
        let identity = TaskIdentity {
            role_arn: mark.role_arn.as_str().into(),
            execution_arn: mark.execution_arn.as_str().into(),
        };
        self.shared.integrations(&identity).stop(&job, mark.since).await
    }

    /// Stops the jobs that their executions do not wait for, and that a server
    /// that ended did not stop.
    pub(super) async fn stop_orphaned_jobs(&self) -> Result<(), Error> {
        let look = || async { Ok(self.shared.jobs.all("").await?) };
        let marks = self.shared.patiently("jobs are looked for", look).await?;
        stream::iter(marks)
            .for_each_concurrent(AT_ONCE, |(_, mark)| async move {
                let look = || self.is_awaited(&mark);
                // An error: the server stops, and the next one finds the mark.
                if let Ok(false) = self.shared.patiently("a job's execution is looked for", look).await {
                    self.stop_job(&mark).await;
                }
            })
            .await;
        Ok(())
    }

    async fn is_awaited(&self, mark: &Mark) -> Result<bool, Error> {
        match self.deliver(&mark.execution_arn, Command::Awaits(mark.task)).await {
            Ok(_) => Ok(true),
            Err(Refusal::Missing | Refusal::Ended | Refusal::NotWaiting) => Ok(false),
            Err(Refusal::Unavailable) => Err(Error::Unavailable),
        }
    }
}
