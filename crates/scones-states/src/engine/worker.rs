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
        let has_job = matches!(assignment.call.kind(), Pattern::Sync | Pattern::Sync2);
        let (tracker, given_up) = (shared.tracker.clone(), CancellationToken::new());
        let work = Work {
            shared,
            assignment,
            reports,
            given_up: given_up.clone(),
        };
        if has_job {
            return Self {
                // Shutdown waits until the job is stopped, if it is to be stopped.
                handle: AbortOnDropHandle::new(tracker.spawn(work.run(permit))),
                works_on: WorksOn::Job(given_up),
            };
        }
        Self {
            handle: AbortOnDropHandle::new(tokio::spawn(work.run(permit))),
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

/// What a worker has to do, and whom it tells.
struct Work {
    shared: Arc<Shared>,
    assignment: Assignment,
    reports: mpsc::Sender<Message>,
    /// Nobody waits for the task any more.
    given_up: CancellationToken,
}

/// Why a call was not made.
enum Unmade {
    GivenUp,
    /// The server stops.
    Stopping,
}

impl Work {
    /// Makes the call, waits for the job if that is what the task does, and reports.
    async fn run(self, permit: Option<OwnedSemaphorePermit>) {
        let expected = self.expected();
        match self.call_in_turn(permit, expected.as_ref()).await {
            Ok(performed) => self.follow(performed, expected.as_ref()).await,
            Err(Unmade::GivenUp) => self.forget(expected.as_ref()).await,
            Err(Unmade::Stopping) => {}
        }
    }

    /// The mark of the job that the call is about to start.
    fn expected(&self) -> Option<Mark> {
        let call = &self.assignment.call;
        let starts_job = matches!(call.kind(), Pattern::Sync | Pattern::Sync2) && self.assignment.mocked.is_none();
        let job = starts_job.then(|| self.integrations().expected(call)).flatten()?;
        Some(self.mark(&job))
    }

    /// Marks the job, if there is to be one, and makes the call when it is its
    /// turn. The place is free again when this answers: what the task waits for
    /// after its call may be an execution that needs one.
    async fn call_in_turn(
        &self,
        permit: Option<OwnedSemaphorePermit>,
        expected: Option<&Mark>,
    ) -> Result<Result<String, TaskFailure>, Unmade> {
        let _permit = match permit {
            Some(permit) => permit,
            None => self.turn().await?,
        };
        if let (Some(expected), None) = (expected, &self.assignment.response) {
            let marked = self.engine().mark_job(expected).await;
            marked.map_err(|_| Unmade::Stopping)?;
        }
        if self.given_up.is_cancelled() {
            return Err(Unmade::GivenUp);
        }
        Ok(self.perform().await)
    }

    /// Waits for a place, and reports that the task is started.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, Unmade> {
        let permit = tokio::select! {
            biased;
            permit = Arc::clone(&self.shared.permits).acquire_owned() => permit,
            () = self.given_up.cancelled() => return Err(Unmade::GivenUp),
            () = self.shared.stopping.cancelled() => return Err(Unmade::Stopping),
        };
        let permit = permit.map_err(|_| Unmade::Stopping)?;
        self.report(Input::TaskStarted {
            task: self.assignment.call.task,
            worker_name: None,
        })
        .await;
        Ok(permit)
    }

    /// The call's response: what stands for it, the one that came before a
    /// crash, or a service's.
    async fn perform(&self) -> Result<String, TaskFailure> {
        let Assignment {
            call, mocked, response, ..
        } = &self.assignment;
        match (mocked, response) {
            (Some(outcome), _) => {
                if is_accepted(call, outcome) {
                    self.report_accepted("{}".to_owned()).await;
                }
                outcome.clone().into_result()
            }
            (None, Some(response)) => Ok(response.to_string()),
            (None, None) => guarded(call, self.request()).await,
        }
    }

    /// Makes the request. One that is made again after a crash may find that
    /// it was made already.
    async fn request(&self) -> Result<String, TaskFailure> {
        let integrations = self.integrations();
        let call = &self.assignment.call;
        let refusal = match integrations.perform(call).await {
            Ok(response) => return Ok(response),
            Err(refusal) => refusal,
        };
        if !self.assignment.again {
            return Err(refusal);
        }
        integrations.adopted(call, &refusal, self.since()).await.ok_or(refusal)
    }

    /// Reports what the call gave, or waits for the job that it has started.
    async fn follow(&self, performed: Result<String, TaskFailure>, expected: Option<&Mark>) {
        let Assignment {
            call, mocked, response, ..
        } = &self.assignment;
        if let (Ok(given), None) = (&performed, mocked)
            && let Some(job) = Job::of(call, given)
        {
            if response.is_none() {
                self.report_accepted(given.clone()).await;
            }
            return self.await_job(&job).await;
        }
        if let Some(expected) = expected {
            self.engine().unmark_job(expected).await;
        }
        let is_result = call.kind() != Pattern::WaitForTaskToken || mocked.is_some();
        self.report(outcome(call, performed, is_result)).await;
    }

    /// Waits for a job's end and reports it, or stops the job when it is given up.
    async fn await_job(&self, job: &Job) {
        let (call, engine) = (&self.assignment.call, self.engine());
        let finished = async {
            // An execution tells its end; what cannot be waited for so is looked at.
            if let Some(arn) = job.execution_arn()
                && let Err(error) = engine.ended(arn).await
            {
                tracing::debug!(execution = arn, %error, "an execution's end is not told");
            }
            self.integrations().finished(job).await
        };
        tokio::select! {
            biased;
            finished = guarded(call, finished) => {
                engine.unmark_job(&self.mark(job)).await;
                self.report(outcome(call, finished, true)).await;
            }
            () = self.given_up.cancelled() => engine.stop_job(&self.mark(job)).await,
            () = self.shared.stopping.cancelled() => {}
        }
    }

    /// What was given up before it began has no job, except one of an earlier server.
    async fn forget(&self, expected: Option<&Mark>) {
        match expected {
            Some(expected) if self.assignment.again => self.engine().stop_job(expected).await,
            Some(expected) => self.engine().unmark_job(expected).await,
            None => {}
        }
    }

    /// Reports that a request was accepted whose result comes later.
    async fn report_accepted(&self, output: String) {
        let task = self.assignment.call.task;
        self.report(Input::TaskSubmitted { task, output }).await;
    }

    async fn report(&self, input: Input) {
        let message = Message {
            command: Box::new(Command::Report(input)),
            reply: None,
        };
        // If the actor is gone nobody wants to know.
        drop(self.reports.send(message).await);
    }

    fn engine(&self) -> Engine {
        Engine {
            shared: Arc::clone(&self.shared),
        }
    }

    fn integrations(&self) -> Integrations<'_> {
        self.shared.integrations(&self.assignment.identity)
    }

    fn mark(&self, job: &Job) -> Mark {
        Mark::of(&self.assignment.identity, self.assignment.call.task, self.since(), job)
    }

    /// When the task was scheduled.
    fn since(&self) -> ApiTimestamp {
        ApiTimestamp::from_millis(self.assignment.since.0)
    }
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

impl Shared {
    /// What calls are made with as `identity`.
    pub(super) fn integrations<'a>(&'a self, identity: &'a TaskIdentity) -> Integrations<'a> {
        Integrations {
            runner: &*self.runner,
            identity,
            clock: &*self.clock,
            ids: &self.ids,
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
            ..self.shared.integrations(identity)
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
