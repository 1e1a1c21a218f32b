//! Runs one task on a task of its own; dropping it cancels the call.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt as _;
use scones_api::Timestamp as ApiTimestamp;
use scones_asl::{Input, Pattern, TaskCall, Timestamp, map_run::MapRun};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    Engine, Shared,
    jobs::Mark,
    map_run,
    message::{Command, Message},
};
use crate::{
    integration::{Integrations, Job},
    limits::{CAUSE_CHARS_MAX, ERROR_CHARS_MAX},
    mock::MockedOutcome,
    runner::{TaskFailure, TaskIdentity, TaskRunner},
};

/// What a worker is given.
pub(crate) struct Assignment {
    pub(crate) call: Arc<TaskCall>,
    pub(crate) identity: TaskIdentity,
    /// What stands for the result, in an execution of a test case.
    pub(crate) mocked: Option<MockedOutcome>,
    /// The response of a request that was made before a crash.
    pub(crate) response: Option<Arc<str>>,
    /// When the task was scheduled.
    pub(crate) since: Timestamp,
    /// A crash may have interrupted its request.
    pub(crate) again: bool,
}

/// Somebody at work on a task; dropping it ends the work.
pub(crate) struct Worker {
    handle: AbortOnDropHandle<()>,
    works_on: WorksOn,
}

/// What remains when the work is given up.
enum WorksOn {
    /// Nothing.
    Call,
    /// A job, which is stopped by the worker when it is told so.
    Job(CancellationToken),
    /// A map run, whose children are stopped.
    MapRun(Arc<MapRun>),
}

impl Worker {
    /// Lets a worker begin with a task.
    pub(crate) fn start(
        shared: Arc<Shared>,
        assignment: Assignment,
        permit: Option<OwnedSemaphorePermit>,
        reports: mpsc::Sender<Message>,
    ) -> Self {
        let given_up = CancellationToken::new();
        if matches!(assignment.call.kind(), Pattern::Sync | Pattern::Sync2) {
            let tracker = shared.tracker.clone();
            let work = work(shared, assignment, permit, reports, given_up.clone());
            return Self {
                // Shutdown waits until the job is stopped, if it is to be stopped.
                handle: AbortOnDropHandle::new(tracker.spawn(work)),
                works_on: WorksOn::Job(given_up),
            };
        }
        Self {
            handle: AbortOnDropHandle::new(tokio::spawn(work(shared, assignment, permit, reports, given_up))),
            works_on: WorksOn::Call,
        }
    }

    /// Lets a map run's conductor begin.
    pub(crate) fn conduct(run: Arc<MapRun>, work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            handle: AbortOnDropHandle::new(tokio::spawn(work)),
            works_on: WorksOn::MapRun(run),
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Ends the work on a task that nobody waits for any more. What it has
    /// started is stopped in the background.
    pub(crate) fn give_up(self, shared: &Arc<Shared>) {
        match self.works_on {
            WorksOn::Call => {}
            WorksOn::Job(given_up) => {
                given_up.cancel();
                drop(self.handle.detach());
            }
            WorksOn::MapRun(run) => map_run::abort_later(shared, run),
        }
    }
}

/// Waits for its turn unless it has it already, makes the call, waits for the
/// job if that is what the task does, and reports.
async fn work(
    shared: Arc<Shared>,
    assignment: Assignment,
    permit: Option<OwnedSemaphorePermit>,
    reports: mpsc::Sender<Message>,
    given_up: CancellationToken,
) {
    let task = assignment.call.task;
    let report = async |input| {
        let message = Message {
            command: Box::new(Command::Report(input)),
            reply: None,
        };
        // If the actor is gone nobody wants to know.
        drop(reports.send(message).await);
    };
    let engine = Engine {
        shared: Arc::clone(&shared),
    };
    let integrations = Integrations {
        runner: &*shared.runner,
        identity: &assignment.identity,
        clock: &*shared.clock,
        ids: &shared.ids,
    };
    let call = &assignment.call;
    let since = ApiTimestamp::from_millis(assignment.since.0);
    let mark = |job: &Job| Mark::of(&assignment.identity, task, since, job);
    let expected = match call.kind() {
        Pattern::Sync | Pattern::Sync2 if assignment.mocked.is_none() => integrations.expected(call),
        _ => None,
    };
    let expected = expected.as_ref().map(mark);
    // What was given up before it began has no job, except one of an earlier server.
    let forget = async || match &expected {
        Some(expected) if assignment.again => engine.stop_job(expected).await,
        Some(expected) => engine.unmark_job(expected).await,
        None => {}
    };
    let permit = match permit {
        Some(permit) => permit,
        None => {
            let permit = tokio::select! {
                biased;
                permit = Arc::clone(&shared.permits).acquire_owned() => permit,
                () = given_up.cancelled() => return forget().await,
                () = shared.stopping.cancelled() => return,
            };
            let Ok(permit) = permit else { return };
            report(Input::TaskStarted {
                task,
                worker_name: None,
            })
            .await;
            permit
        }
    };
    if let (Some(expected), None) = (&expected, &assignment.response)
        && engine.mark_job(expected).await.is_err()
    {
        return;
    }
    if given_up.is_cancelled() {
        return forget().await;
    }
    let performed = match (&assignment.mocked, &assignment.response) {
        (Some(outcome), _) => {
            if is_accepted(call, outcome) {
                let output = "{}".to_owned();
                report(Input::TaskSubmitted { task, output }).await;
            }
            outcome.clone().into_result()
        }
        (None, Some(response)) => Ok(response.to_string()),
        (None, None) => guarded(call, begin(&integrations, &assignment)).await,
    };
    // Waiting takes no place: the job may be an execution that needs one.
    drop(permit);
    let job = match &performed {
        Ok(response) if assignment.mocked.is_none() => Job::of(call, response),
        _ => None,
    };
    let (Some(job), Ok(response)) = (job, &performed) else {
        if let Some(expected) = &expected {
            engine.unmark_job(expected).await;
        }
        let is_result = call.kind() != Pattern::WaitForTaskToken || assignment.mocked.is_some();
        return report(outcome(call, performed, is_result)).await;
    };
    if assignment.response.is_none() {
        let output = response.clone();
        report(Input::TaskSubmitted { task, output }).await;
    }
    let finished = async {
        // An execution tells its end; what cannot be waited for so is looked at.
        if let Some(arn) = job.execution_arn()
            && let Err(error) = engine.ended(arn).await
        {
            tracing::debug!(execution = arn, %error, "an execution's end is not told");
        }
        integrations.finished(&job).await
    };
    tokio::select! {
        biased;
        finished = guarded(call, finished) => {
            engine.unmark_job(&mark(&job)).await;
            report(outcome(call, finished, true)).await;
        }
        () = given_up.cancelled() => engine.stop_job(&mark(&job)).await,
        () = shared.stopping.cancelled() => {}
    }
}

/// The response of a task's request. One that is made again after a crash may
/// find that it was made already.
async fn begin(integrations: &Integrations<'_>, assignment: &Assignment) -> Result<String, TaskFailure> {
    let call = &assignment.call;
    let refusal = match integrations.perform(call).await {
        Ok(response) => return Ok(response),
        Err(refusal) => refusal,
    };
    if !assignment.again {
        return Err(refusal);
    }
    let since = ApiTimestamp::from_millis(assignment.since.0);
    integrations.adopted(call, &refusal, since).await.ok_or(refusal)
}

/// Whether the request of a mocked task was accepted before its outcome: it
/// waits for something, and does not fail with an error of the service.
fn is_accepted(call: &TaskCall, outcome: &MockedOutcome) -> bool {
    let is_refusal = match outcome {
        MockedOutcome::Return(_) => false,
        MockedOutcome::Throw { error, .. } => error
            .split_once('.')
            .is_some_and(|(service, kind)| service != "States" && kind.ends_with("Exception")),
    };
    call.kind() != Pattern::RequestResponse && !is_refusal
}

/// What a worker tells the interpreter. Without a result to come by token the
/// response is the result.
fn outcome(call: &TaskCall, performed: Result<String, TaskFailure>, is_result: bool) -> Input {
    let task = call.task;
    match performed {
        Ok(output) if is_result => Input::TaskSucceeded { task, output },
        Ok(output) => Input::TaskSubmitted { task, output },
        Err(failure) => {
            let TaskFailure { error, cause } = shortened(failure);
            Input::TaskFailed {
                task,
                error: Some(error),
                cause: Some(cause),
            }
        }
    }
}

impl Engine {
    /// Makes a call that belongs to no execution, when there is room for it.
    pub(crate) async fn call(
        &self,
        runner: &dyn TaskRunner,
        identity: &TaskIdentity,
        call: &TaskCall,
    ) -> Result<String, TaskFailure> {
        // The semaphore is never closed; without a permit the call is made all the same.
        let _permit = self.shared.permits.acquire().await;
        let integrations = Integrations {
            runner,
            identity,
            clock: &*self.shared.clock,
            ids: &self.shared.ids,
        };
        guarded(call, integrations.perform(call)).await.map_err(shortened)
    }
}

fn shortened(TaskFailure { error, cause }: TaskFailure) -> TaskFailure {
    TaskFailure {
        error: truncated(error, ERROR_CHARS_MAX),
        cause: truncated(cause, CAUSE_CHARS_MAX),
    }
}

fn truncated(mut text: String, characters: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(characters) {
        text.truncate(end);
    }
    text
}

/// The same, and a failure if it panics.
async fn guarded(
    call: &TaskCall,
    work: impl Future<Output = Result<String, TaskFailure>>,
) -> Result<String, TaskFailure> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(state = call.state_name, "the runner of a task panicked");
        Err(TaskFailure {
            error: "States.Runtime".to_owned(),
            cause: "the task's runner panicked".to_owned(),
        })
    })
}
