//! One invocation from its admission to its answer.

use std::{
    path::PathBuf,
    process::ExitStatus,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use scones_api::{ApiError, Clock};
use serde_json::json;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    code::CodeStore,
    concurrency::{Concurrency, too_many_requests},
    function::Version,
    launch::{LaunchError, Launcher, Surroundings},
    limits::{INIT_TIMEOUT, RESPONSE_BYTES_MAX},
    log::{LogSink, WorkerLog},
    pool::{Place, Pool, Seat, Seated, WorkerKey},
    runtime::Runtime,
    runtime_api::{Answer, Assignment, RuntimeApi},
    scratch::Scratch,
    worker::{Failure, Worker},
};

/// How often an invocation is given to another worker because the one that it
/// was given to had ended in its sleep.
const WORKERS_TRIED_MAX: usize = 3;

/// What runs invocations.
pub struct Executor {
    /// Quotas.
    pub concurrency: Concurrency,
    /// Workers.
    pub pool: Pool,
    /// Packages.
    pub code: Arc<CodeStore>,
    /// Processes.
    pub launcher: Launcher,
    /// Where log lines go.
    pub logs: Arc<dyn LogSink>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where workers' temporary folders are.
    pub workers_folder: PathBuf,
    /// Ends every invocation.
    pub stopping: CancellationToken,
    /// Whether the first worker's `/tmp` was looked at.
    pub tmp_told: OnceCell<()>,
}

/// An invocation to be run.
#[derive(Clone)]
pub struct Request {
    /// What runs.
    pub version: Version,
    /// The queue of its function's events.
    pub queue: String,
    /// The ARN that the caller used.
    pub function_arn: String,
    /// The invocation's id.
    pub request_id: String,
    /// JSON.
    pub client_context: Option<String>,
    /// The event: JSON.
    pub payload: Bytes,
}

/// How an invocation ended.
#[derive(Debug, Clone)]
pub struct Execution {
    /// The function's result, or its error as JSON.
    pub payload: Bytes,
    /// Whether it is an error.
    pub is_error: bool,
    /// The last 4 KB of the log, as base64.
    pub log_tail: String,
}

impl Executor {
    /// Runs an invocation that was admitted.
    ///
    /// # Errors
    /// `TooManyRequestsException` if no worker comes free, internal failures.
    /// An error of the function is no error here.
    pub async fn execute(&self, request: Request) -> Result<Execution, ApiError> {
        let key = WorkerKey {
            name: request.version.name.clone(),
            version: request.version.version.clone(),
            revision: request.version.revision.clone(),
        };
        for _ in 0..WORKERS_TRIED_MAX {
            // Invocations that end are not held up by their log, so that those
            // that begin have to be.
            let seat = async {
                self.logs.room().await;
                self.pool.seat(&key).await
            };
            let seat = tokio::select! {
                seat = seat => seat.ok_or_else(too_many_requests)?,
                () = self.stopping.cancelled() => return Err(stopping()),
            };
            let begun = match seat {
                Seat::Warm(seated) => Begun::Ready(seated, None),
                Seat::Cold(place) => self.begin(&request, place).await?,
            };
            let (seated, init) = match begun {
                Begun::Ready(seated, init) => (*seated, init),
                Begun::Failed(execution) => return Ok(execution),
            };
            if let Some(execution) = self.run(&request, &key, seated, init).await? {
                return Ok(execution);
            }
        }
        Err(ApiError::internal(
            "workers ended before they could take the invocation",
        ))
    }

    /// Starts a worker and initialises it.
    async fn begin(&self, request: &Request, place: Place) -> Result<Begun, ApiError> {
        let version = &request.version;
        let runtime = Runtime::parse(&version.runtime)?;
        let code = self.code.folder(&version.code).await?;
        let scratch = Scratch::create(&self.workers_folder)
            .await
            .map_err(ApiError::internal)?;
        let api = RuntimeApi::open().await.map_err(ApiError::internal)?;
        let mut log = WorkerLog::new(
            Arc::clone(&self.logs),
            Arc::clone(&self.clock),
            version.log_group(),
            &version.version,
        );
        let around = Surroundings {
            code: code.path(),
            temporary: scratch.path(),
            runtime_api: api.address().to_string(),
            log_group: log.group(),
            log_stream: log.stream(),
        };
        let launched = async {
            let line = self.launcher.describe(runtime).await?;
            Ok((line, self.launcher.command(version, runtime, &around).await?))
        };
        let (line, command) = match launched.await {
            Ok(launched) => launched,
            Err(error) => {
                let error = describe_launch(&request.request_id, &error);
                return Ok(Begun::Failed(self.report_failed_start(request, &mut log, error)));
            }
        };
        log.line(&line);
        // What a worker may hold is AWS's memory; the interpreter is part of it.
        let memory_mb = u64::from(version.memory_mb);
        let stream = log.stream().to_owned();
        let mut worker = match Worker::start(command, api, log, memory_mb, (scratch, code)) {
            Ok(worker) => worker,
            Err(error) => return Err(ApiError::internal(format_args!("a worker cannot be started: {error}"))),
        };
        tracing::debug!(
            function = version.name,
            version = version.version,
            stream,
            "a worker starts"
        );
        let limit = INIT_TIMEOUT + timeout(version);
        let begin = Instant::now();
        let end = tokio::select! {
            end = worker.initialise(limit) => end,
            () = self.stopping.cancelled() => Err(Failure::Stopped),
        };
        match end {
            Ok(init) => {
                self.tmp_told.get_or_init(|| tell_of_tmp(&worker)).await;
                Ok(Begun::Ready(Box::new(Seated { worker, place }), Some(init)))
            }
            Err(failure) => {
                worker.log.line(&start_line(request));
                if matches!(failure, Failure::TimedOut) {
                    worker.log.line(&advise_timeout(request, limit));
                }
                let execution = self.end(request, &mut worker, Err(failure), begin.elapsed(), None);
                worker.stop().await;
                execution.map(Begun::Failed)
            }
        }
    }

    /// Runs an invocation in a worker; `None` if the worker had ended already.
    async fn run(
        &self,
        request: &Request,
        key: &WorkerKey,
        mut seated: Seated,
        init: Option<Duration>,
    ) -> Result<Option<Execution>, ApiError> {
        let worker = &mut seated.worker;
        let limit = timeout(&request.version);
        if init.is_none() {
            worker.log.begin_tail();
        }
        worker.log.line(&start_line(request));
        let assignment = Assignment {
            request_id: request.request_id.clone(),
            deadline_ms: (self.clock.now() + limit).as_millis(),
            function_arn: request.function_arn.clone(),
            trace_id: trace_id(self.clock.as_ref()),
            client_context: request.client_context.clone(),
            payload: request.payload.clone(),
        };
        let begin = Instant::now();
        let end = tokio::select! {
            end = worker.invoke(assignment, limit) => end,
            () = self.stopping.cancelled() => Err(Failure::Stopped),
        };
        if matches!(end, Err(Failure::Untouched)) {
            return Ok(None);
        }
        let usable = end.is_ok();
        let execution = self.end(request, worker, end, begin.elapsed(), init);
        if usable {
            self.pool.give_back(key.clone(), seated);
        } else {
            seated.worker.stop().await;
        }
        execution.map(Some)
    }

    /// Logs the end of an invocation and makes its answer.
    fn end(
        &self,
        request: &Request,
        worker: &mut Worker,
        end: Result<Answer, Failure>,
        duration: Duration,
        init: Option<Duration>,
    ) -> Result<Execution, ApiError> {
        let id = &request.request_id;
        let (payload, status) = match end {
            Ok(Answer::Response(body)) => (Ok(body), Status::Success),
            Ok(Answer::Error(body)) => (Err(body), Status::Success),
            Ok(Answer::TooLarge) => (Err(response_too_large()), Status::Success),
            Err(Failure::Init(body)) => (Err(body), Status::Error("Runtime.InitError".to_owned())),
            Err(Failure::TimedOut) => {
                let seconds = timeout(&request.version).as_secs_f64();
                let now = worker.log.now();
                worker
                    .log
                    .line(&format!("{now} {id} Task timed out after {seconds:.2} seconds"));
                worker.log.line("");
                let message = format!("Task timed out after {seconds:.2} seconds");
                (Err(error_body("Sandbox.Timedout", id, &message)), Status::Timeout)
            }
            Err(Failure::Exited(status)) => {
                let message = describe_exit(status);
                (
                    Err(error_body("Runtime.ExitError", id, &message)),
                    Status::Error("Runtime.ExitError".to_owned()),
                )
            }
            Err(Failure::OutOfMemory(held)) => {
                worker.log.line(&format!(
                    "RequestId: {id} Error: the function held {held} MB of its {} MB and was killed",
                    request.version.memory_mb
                ));
                let message = "Runtime exited with error: signal: killed";
                (
                    Err(error_body("Runtime.ExitError", id, message)),
                    Status::Error("Runtime.ExitError".to_owned()),
                )
            }
            Err(Failure::Stopped | Failure::Untouched) => return Err(stopping()),
        };
        let memory = worker.memory_peak_mb();
        worker.log.line(&format!("END RequestId: {id}"));
        worker.log.line(&report_line(request, duration, init, memory, &status));
        let log_tail = worker.log.tail();
        let (payload, is_error) = match payload {
            Ok(payload) => (payload, false),
            Err(payload) => (payload, true),
        };
        Ok(Execution {
            payload,
            is_error,
            log_tail,
        })
    }

    /// The answer when there was nothing to start.
    fn report_failed_start(&self, request: &Request, log: &mut WorkerLog, payload: Bytes) -> Execution {
        let id = &request.request_id;
        log.line(&start_line(request));
        log.line(&String::from_utf8_lossy(&payload));
        log.line(&format!("END RequestId: {id}"));
        let status = Status::Error("Runtime.InvalidEntrypoint".to_owned());
        log.line(&report_line(request, Duration::ZERO, None, 0, &status));
        Execution {
            payload,
            is_error: true,
            log_tail: log.tail(),
        }
    }
}

/// How the start of a worker ended.
enum Begun {
    /// It waits for an invocation, after this long.
    Ready(Box<Seated>, Option<Duration>),
    /// The invocation has failed with it.
    Failed(Execution),
}

/// How REPORT names the end.
enum Status {
    Success,
    Timeout,
    Error(String),
}

/// A function's time-out.
pub fn timeout(version: &Version) -> Duration {
    Duration::from_secs(u64::from(version.timeout_seconds))
}

fn start_line(request: &Request) -> String {
    format!(
        "START RequestId: {} Version: {}",
        request.request_id, request.version.version
    )
}

/// What to do about an initialisation that did not end within `limit`.
fn advise_timeout(request: &Request, limit: Duration) -> String {
    format!(
        "RequestId: {} The function was still initialising (its imports, say) after {} seconds: {} and its Timeout of {}. \
         Raise its Timeout with UpdateFunctionConfiguration.",
        request.request_id,
        limit.as_secs(),
        INIT_TIMEOUT.as_secs(),
        request.version.timeout_seconds,
    )
}

/// Says so if functions have no `/tmp` of their own.
async fn tell_of_tmp(worker: &Worker) {
    if !worker.has_own_tmp().await {
        tracing::info!(
            "functions see this machine's /tmp, which all workers share; TMPDIR is each worker's own. A function with \
             SCONES_LOG=debug in its environment is told why in its log"
        );
    }
}

/// AWS's REPORT line; the billed duration counts the initialisation.
fn report_line(
    request: &Request,
    duration: Duration,
    init: Option<Duration>,
    memory_peak_mb: u64,
    status: &Status,
) -> String {
    let millis = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let billed = millis(duration + init.unwrap_or_default()).ceil();
    let mut line = format!(
        "REPORT RequestId: {}\tDuration: {:.2} ms\tBilled Duration: {billed:.0} ms\tMemory Size: {} MB\tMax Memory Used: \
         {memory_peak_mb} MB\t",
        request.request_id,
        millis(duration),
        request.version.memory_mb,
    );
    if let Some(init) = init {
        line.push_str(&format!("Init Duration: {:.2} ms\t", millis(init)));
    }
    match status {
        Status::Success => {}
        Status::Timeout => line.push_str("Status: timeout"),
        Status::Error(kind) => line.push_str(&format!("Status: error\tError Type: {kind}")),
    }
    line
}

fn error_body(kind: &str, request_id: &str, message: &str) -> Bytes {
    let body = json!({
        "errorType": kind,
        "errorMessage": format!("RequestId: {request_id} Error: {message}"),
    });
    body.to_string().into()
}

fn response_too_large() -> Bytes {
    let body = json!({
        "errorMessage": format!("Response payload size exceeded maximum allowed payload size ({RESPONSE_BYTES_MAX} bytes)."),
        "errorType": "Function.ResponseSizeTooLarge",
    });
    body.to_string().into()
}

fn describe_launch(request_id: &str, error: &LaunchError) -> Bytes {
    error_body("Runtime.InvalidEntrypoint", request_id, &error.to_string())
}

fn describe_exit(status: Option<ExitStatus>) -> String {
    #[cfg(unix)]
    if let Some(signal) = status.as_ref().and_then(std::os::unix::process::ExitStatusExt::signal) {
        let name = match signal {
            6 => "aborted".to_owned(),
            9 => "killed".to_owned(),
            11 => "segmentation fault".to_owned(),
            15 => "terminated".to_owned(),
            other => format!("signal {other}"),
        };
        return format!("Runtime exited with error: signal: {name}");
    }
    match status.and_then(|status| status.code()) {
        None | Some(0) => "Runtime exited without providing a reason".to_owned(),
        Some(code) => format!("Runtime exited with error: exit status {code}"),
    }
}

/// The answer to an invocation that the server's end interrupts.
pub fn stopping() -> ApiError {
    ApiError::new(503, "ServiceException", "the server is stopping")
}

/// An X-Ray trace header of AWS's form; nothing samples it.
fn trace_id(clock: &dyn Clock) -> String {
    let id = Uuid::new_v4().simple().to_string();
    let parent = Uuid::new_v4().simple().to_string();
    let seconds = clock.now().as_millis() / 1000;
    format!("Root=1-{seconds:08x}-{};Parent={};Sampled=0", &id[..24], &parent[..16])
}
