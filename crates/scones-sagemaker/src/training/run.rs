//! A training job from its creation, or from a restart of the server, to its end.

use std::{sync::Arc, time::Duration};

use rustix::process::Signal;
use scones_api::Timestamp;
use scones_store::Error as StoreError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    describe::artefact,
    directory::{ExitRecord, JobDirectory},
    download::{self, Downloader},
    log::LogFollower,
    process::TrainingProcess,
    record::{JobStatus, SecondaryStatus, StopCause, TrainingJobRecord},
    upload,
};
use crate::SageMaker;

/// The log group of all training jobs.
pub const LOG_GROUP: &str = "/aws/sagemaker/TrainingJobs";
/// How often a killed training process is replaced: what kills it, such as a lack of memory, may
/// do so each time.
const RESUMPTIONS_MAX: u32 = 3;
/// How often a training process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often the end of a log is offered to the log service before it is given up.
const LOG_ATTEMPTS: u32 = 3;

impl SageMaker {
    /// How many jobs have not ended.
    pub(crate) fn running_jobs(&self) -> usize {
        self.jobs().len()
    }

    pub(crate) fn tell_job_to_stop(&self, name: &str) {
        if let Some(stop) = self.jobs().get(name) {
            stop.cancel();
        }
    }

    /// Begins or goes on with a job in the background.
    pub(crate) fn start_job(&self, name: &str) {
        let Some(service) = self.me.upgrade() else { return };
        let stop = CancellationToken::new();
        if self.jobs().insert(name.to_owned(), stop.clone()).is_some() {
            return;
        }
        let run = JobRun {
            service,
            name: name.to_owned(),
            stop,
        };
        self.tasks.spawn(async move {
            if let Err(error) = run.to_the_end().await {
                let error = &error as &dyn std::error::Error;
                tracing::error!(
                    job = run.name,
                    error,
                    "the training job waits for the next start of the server"
                );
            }
            run.service.jobs().remove(&run.name);
        });
    }

    /// Goes on with the jobs that a server before this one did not finish.
    pub(crate) async fn recover_jobs(&self) -> Result<(), StoreError> {
        let jobs = self.training_jobs.all("").await?;
        let root = self.options.directory.clone();
        let kept: Vec<_> = jobs
            .iter()
            .filter(|(_, job)| !job.status.is_final() || job.status == JobStatus::Failed)
            .map(|(_, job)| JobDirectory::of(&root, job))
            .collect();
        let removal = tokio::task::spawn_blocking(move || remove_strangers(&JobDirectory::all(&root), &kept));
        removal
            .await
            .map_err(|error| StoreError::Io(std::io::Error::other(error)))??;
        for (name, _) in jobs.into_iter().filter(|(_, job)| !job.status.is_final()) {
            self.start_job(&name);
        }
        Ok(())
    }
}

/// Removes job folders that no job needs any more.
fn remove_strangers(folder: &std::path::Path, kept: &[JobDirectory]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if !kept.iter().any(|directory| directory.path() == path) {
            JobDirectory::new(path).remove()?;
        }
    }
    Ok(())
}

/// Why a job does not go on for now.
enum Interruption {
    /// It was told to stop.
    Stopped,
    /// The server is going down: the next one begins the job anew.
    Shutdown,
    /// It cannot go on.
    Failed(String),
}

/// A process that has ended.
struct Ended {
    /// What it left on record.
    exit: Option<ExitRecord>,
    /// How the system says that it ended.
    how: String,
    failure: Option<String>,
}

struct JobRun {
    service: Arc<SageMaker>,
    name: String,
    stop: CancellationToken,
}

impl JobRun {
    async fn to_the_end(&self) -> Result<(), StoreError> {
        let Some(job) = self.service.training_jobs.get(&self.name).await? else {
            return Ok(());
        };
        let job = job.value;
        if job.status.is_final() {
            return Ok(());
        }
        if job.process.is_none() && job.stop.is_some() {
            return self.interrupted(Interruption::Stopped).await;
        }
        if let Some(identity) = job.process.clone() {
            // It has its place already, whatever the others do.
            let _place = self.service.training_places.try_acquire();
            return self.attend(job, TrainingProcess::Adopted(identity)).await;
        }
        let place = match self.wait_for_a_place().await? {
            Ok(place) => place,
            Err(interruption) => return self.interrupted(interruption).await,
        };
        let begun = match self.begin().await? {
            Ok(begun) => begun,
            Err(interruption) => return self.interrupted(interruption).await,
        };
        let (job, process) = begun;
        self.attend(job, process).await?;
        drop(place);
        Ok(())
    }

    async fn change(
        &self,
        mut change: impl FnMut(&mut TrainingJobRecord) + Send,
    ) -> Result<TrainingJobRecord, StoreError> {
        let changed = self
            .service
            .training_jobs
            .update(&self.name, |job| -> Result<(), StoreError> {
                change(job);
                Ok(())
            })
            .await?;
        // Training jobs cannot be deleted.
        changed.ok_or(StoreError::Closed)
    }

    fn now(&self) -> Timestamp {
        self.service.clock.now()
    }

    async fn wait_for_a_place(&self) -> Result<Result<tokio::sync::SemaphorePermit<'_>, Interruption>, StoreError> {
        let places = &self.service.training_places;
        if let Ok(place) = places.try_acquire() {
            return Ok(Ok(place));
        }
        self.change(|job| {
            if job.stop.is_none() {
                job.enter(SecondaryStatus::Pending, self.now());
            }
        })
        .await?;
        Ok(tokio::select! {
            place = places.acquire() => place.map_err(|_| Interruption::Shutdown),
            () = self.stop.cancelled() => Err(Interruption::Stopped),
            () = self.service.shutdown.cancelled() => Err(Interruption::Shutdown),
        })
    }

    /// Downloads the data and starts the process.
    async fn begin(&self) -> Result<Result<(TrainingJobRecord, TrainingProcess), Interruption>, StoreError> {
        let job = self
            .change(|job| {
                let now = self.now();
                job.attempt += 1;
                job.started = Some(now);
                if job.stop.is_none() {
                    job.enter(SecondaryStatus::Downloading, now);
                }
            })
            .await?;
        if job.stop.is_some() {
            return Ok(Err(Interruption::Stopped));
        }
        let directory = JobDirectory::of(&self.service.options.directory, &job);
        let ready = tokio::select! {
            ready = self.prepare(&job, &directory) => ready.map_err(Interruption::Failed),
            () = self.stop.cancelled() => Err(Interruption::Stopped),
            () = self.service.shutdown.cancelled() => Err(Interruption::Shutdown),
        };
        if let Err(interruption) = ready {
            return Ok(Err(interruption));
        }
        match self.start_process(&job, &directory) {
            Ok(process) => Ok(Ok((self.record_process(&process).await?, process))),
            Err(error) => Ok(Err(Interruption::Failed(format!(
                "InternalServerError: the training process could not be started: {error}"
            )))),
        }
    }

    fn start_process(&self, job: &TrainingJobRecord, directory: &JobDirectory) -> std::io::Result<TrainingProcess> {
        let arn = job.arn.to_string();
        let region = self.service.owner.region.to_string();
        let environment = [
            ("TRAINING_JOB_NAME", job.name.as_str()),
            ("TRAINING_JOB_ARN", &arn),
            ("AWS_REGION", &region),
        ];
        let process = TrainingProcess::start(&self.service.options.training_command, directory, &environment)?;
        tracing::info!(job = self.name, pid = process.identity().pid, "training started");
        Ok(process)
    }

    /// Keeps which process trains the job, so that a server after this one finds it.
    async fn record_process(&self, process: &TrainingProcess) -> Result<TrainingJobRecord, StoreError> {
        let recorded = self
            .change(|job| {
                job.process = Some(process.identity().clone());
                if job.stop.is_none() {
                    job.enter(SecondaryStatus::Training, self.now());
                }
            })
            .await;
        if recorded.is_err() {
            // Nobody would find it again.
            process.identity().signal(Signal::KILL);
        }
        recorded
    }

    async fn prepare(&self, job: &TrainingJobRecord, directory: &JobDirectory) -> Result<(), String> {
        let (folder, request) = (directory.clone(), job.clone());
        let made = tokio::task::spawn_blocking(move || folder.create(&request)).await;
        made.map_err(std::io::Error::other).flatten().map_err(|error| {
            let path = directory.path().display();
            format!("InternalServerError: the job's folder {path} could not be made: {error}")
        })?;
        self.check_output(job).await?;
        let mut downloader = Downloader {
            objects: &*self.service.dependencies.objects,
            directory,
            space: download::volume_bytes(job.request.resource_config.volume_size_in_gb),
        };
        for channel in &job.request.input_data_config {
            let count = downloader.channel(channel).await?;
            tracing::debug!(
                job = self.name,
                channel = channel.channel_name,
                count,
                "channel downloaded"
            );
        }
        Ok(())
    }

    /// Whether the model will have somewhere to go: better known before the training than after it.
    async fn check_output(&self, job: &TrainingJobRecord) -> Result<(), String> {
        let failed =
            |error: scones_api::ApiError| format!("ClientError: the output path cannot be written to: {error}");
        let place = artefact(job).map_err(failed)?;
        let objects = &self.service.dependencies.objects;
        let listed = objects.list(&place.bucket, &place.key, None, 1).await;
        listed.map(drop).map_err(|error| {
            let reason = failed(error);
            format!(
                "{reason} (s3://{}); create the bucket or change S3OutputPath",
                place.bucket
            )
        })
    }

    async fn interrupted(&self, interruption: Interruption) -> Result<(), StoreError> {
        let job = match interruption {
            Interruption::Shutdown => return Ok(()),
            Interruption::Stopped => self.change(|job| job.end(JobStatus::Stopped, self.now())).await?,
            Interruption::Failed(reason) => {
                let stopped_or_failed = |job: &mut TrainingJobRecord| match job.stop {
                    Some(_) => job.end(JobStatus::Stopped, self.now()),
                    None => job.fail(&reason, self.now()),
                };
                self.change(stopped_or_failed).await?
            }
        };
        self.clear(&job).await;
        Ok(())
    }

    /// Watches a process until it ends, puts another in its place if it was killed after a
    /// checkpoint, and ends the job.
    async fn attend(&self, mut job: TrainingJobRecord, mut process: TrainingProcess) -> Result<(), StoreError> {
        let directory = JobDirectory::of(&self.service.options.directory, &job);
        let mut follower = self.follower(&directory).await;
        loop {
            let ended = self.watch(&job, &directory, process, &mut follower).await?;
            match self.resume(&directory, &ended).await? {
                Some(resumed) => (job, process) = resumed,
                None => return self.finish(&directory, ended, &follower).await,
            }
        }
    }

    /// Another process that goes on where one was killed, if there is a checkpoint.
    async fn resume(
        &self,
        directory: &JobDirectory,
        ended: &Ended,
    ) -> Result<Option<(TrainingJobRecord, TrainingProcess)>, StoreError> {
        let checkpoint = directory.checkpoint();
        let was_killed = ended.exit.is_none() && ended.failure.is_none();
        if !was_killed || !tokio::fs::try_exists(checkpoint).await.unwrap_or(false) {
            return Ok(None);
        }
        let job = self.change(|job| job.resumptions += 1).await?;
        if job.stop.is_some() || job.resumptions > RESUMPTIONS_MAX {
            return Ok(None);
        }
        tracing::warn!(job = self.name, how = ended.how, "training goes on from its checkpoint");
        match self.start_process(&job, directory) {
            Ok(process) => Ok(Some((self.record_process(&process).await?, process))),
            Err(error) => {
                tracing::error!(job = self.name, %error, "the training process could not be started again");
                Ok(None)
            }
        }
    }

    async fn follower(&self, directory: &JobDirectory) -> LogFollower {
        let (directory, now) = (directory.clone(), self.now());
        let fallback = directory.clone();
        let opened = tokio::task::spawn_blocking(move || LogFollower::open(&directory, now)).await;
        opened.unwrap_or_else(|_| LogFollower::open(&fallback, now))
    }

    async fn watch(
        &self,
        job: &TrainingJobRecord,
        directory: &JobDirectory,
        mut process: TrainingProcess,
        follower: &mut LogFollower,
    ) -> Result<Ended, StoreError> {
        let started = job.started.unwrap_or(job.created);
        let runtime = job
            .request
            .stopping_condition
            .max_runtime_in_seconds
            .and_then(|value| u64::try_from(value).ok());
        let mut stopping: Option<StopCause> = None;
        let mut kill_at: Option<Instant> = None;
        let mut hurried = false;
        let stream = log_stream(job);
        loop {
            let how = process.ended();
            self.forward_log(&stream, follower, how.is_some()).await;
            if let Some(how) = how {
                return Ok(self.ended(directory, how).await);
            }
            let overdue = runtime.is_some_and(|limit| self.now().since(started) > Duration::from_secs(limit));
            let cause = if self.stop.is_cancelled() || job.stop.is_some() {
                Some(job.stop.unwrap_or(StopCause::Request))
            } else if self.service.shutdown.is_cancelled() {
                Some(StopCause::Shutdown)
            } else {
                overdue.then_some(StopCause::MaxRuntime)
            };
            if let (Some(cause), None) = (cause, stopping) {
                self.record_stop(cause).await?;
                process.identity().signal(Signal::TERM);
                stopping = Some(cause);
                kill_at = Some(Instant::now() + self.service.options.stop_grace());
            }
            if self.service.shutdown.is_cancelled() && !hurried {
                hurried = true;
                let soon = Instant::now() + self.service.options.shutdown_grace();
                kill_at = kill_at.map(|at| at.min(soon));
            }
            if kill_at.is_some_and(|at| Instant::now() >= at) {
                process.identity().signal(Signal::KILL);
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.stop.cancelled(), if stopping.is_none() => {}
                () = self.service.shutdown.cancelled(), if stopping.is_none() => {}
            }
        }
    }

    async fn ended(&self, directory: &JobDirectory, how: String) -> Ended {
        let directory = directory.clone();
        let left = tokio::task::spawn_blocking(move || (directory.read_exit(), directory.read_failure())).await;
        let (exit, failure) = left.unwrap_or_default();
        Ended { exit, how, failure }
    }

    async fn record_stop(&self, cause: StopCause) -> Result<(), StoreError> {
        tracing::info!(job = self.name, ?cause, "stopping the training process");
        let record = |job: &mut TrainingJobRecord| {
            job.stop.get_or_insert(cause);
            job.status = JobStatus::Stopping;
            job.enter(SecondaryStatus::Stopping, self.now());
        };
        self.change(record).await.map(drop)
    }

    /// Hands new lines to the log service. With `ended`, all of them.
    async fn forward_log(&self, stream: &str, follower: &mut LogFollower, ended: bool) {
        let mut attempts = 0;
        loop {
            let read = match follower.read(ended).await {
                Ok(read) if read.lines.is_empty() => {
                    follower.take(&read, self.now());
                    return;
                }
                Ok(read) => read,
                Err(error) => {
                    tracing::warn!(job = self.name, %error, "the training log cannot be read");
                    return;
                }
            };
            let now = self.now();
            let lines = read.lines.iter().map(|line| (now, line.clone())).collect();
            match self.service.dependencies.logs.append(LOG_GROUP, stream, lines).await {
                Ok(()) => {
                    follower.take(&read, now);
                    if let Err(error) = follower.remember() {
                        tracing::warn!(job = self.name, %error, "the log's position cannot be kept");
                    }
                }
                Err(error) => {
                    attempts += 1;
                    tracing::warn!(job = self.name, %error, attempts, "training log lines are not accepted");
                    if !ended || attempts >= LOG_ATTEMPTS {
                        return;
                    }
                }
            }
        }
    }

    async fn finish(&self, directory: &JobDirectory, ended: Ended, follower: &LogFollower) -> Result<(), StoreError> {
        let succeeded = ended.exit.is_some_and(|exit| exit.code == 0);
        let metrics = follower.metrics().to_vec();
        let job = self.change(|job| job.metrics.clone_from(&metrics)).await?;
        let told = job.stop.is_some();
        let stopped_itself = ended.exit.is_some_and(|exit| exit.stopped);
        let outcome = if succeeded && (told || !stopped_itself) {
            self.upload(directory, told).await?
        } else if told {
            Ok(false)
        } else {
            Err(reason(&ended))
        };
        let job = self
            .change(|job| {
                job.has_model = outcome == Ok(true);
                match (&outcome, job.stop) {
                    (Err(reason), _) => job.fail(reason, self.now()),
                    (Ok(_), Some(_)) => job.end(JobStatus::Stopped, self.now()),
                    (Ok(_), None) => job.end(JobStatus::Completed, self.now()),
                }
            })
            .await?;
        tracing::info!(job = self.name, status = ?job.status, reason = job.failure_reason, "training ended");
        self.clear(&job).await;
        Ok(())
    }

    /// The model's way to S3, and whether there was one: a job that was told to stop may have none yet.
    async fn upload(&self, directory: &JobDirectory, told: bool) -> Result<Result<bool, String>, StoreError> {
        let uploading = |job: &mut TrainingJobRecord| {
            if job.stop.is_none() {
                job.enter(SecondaryStatus::Uploading, self.now());
            }
        };
        let job = self.change(uploading).await?;
        let place = match artefact(&job) {
            Ok(place) => place,
            Err(error) => return Ok(Err(format!("ClientError: Artifact upload failed: {}", error.message))),
        };
        let uploaded = upload::model(&*self.service.dependencies.objects, directory, &place).await;
        Ok(match uploaded {
            Ok(false) if !told => Err("AlgorithmError: the training process left no model".to_owned()),
            uploaded => uploaded,
        })
    }

    /// Removes the job's folder; the log of a failed job stays.
    async fn clear(&self, job: &TrainingJobRecord) {
        let directory = JobDirectory::of(&self.service.options.directory, job);
        let failed = job.status == JobStatus::Failed;
        let clear = move || {
            if failed {
                directory.keep_log_only()
            } else {
                directory.remove()
            }
        };
        match tokio::task::spawn_blocking(clear).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(job = self.name, %error, "the job's folder could not be removed"),
            Err(error) => tracing::warn!(job = self.name, %error, "the job's folder could not be removed"),
        }
    }
}

/// `JOB/algo-1-SECONDS`, as AWS names it.
fn log_stream(job: &TrainingJobRecord) -> String {
    let seconds = job.started.unwrap_or(job.created).as_millis() / 1000;
    format!("{}/algo-1-{seconds}", job.name)
}

/// Why a process that was not told to stop has no model.
fn reason(ended: &Ended) -> String {
    let classes = ["ClientError:", "AlgorithmError:", "InternalServerError:"];
    match (&ended.failure, ended.exit) {
        (Some(failure), _) if classes.iter().any(|class| failure.starts_with(class)) => failure.clone(),
        (Some(failure), _) => format!("AlgorithmError: {failure}"),
        (None, Some(exit)) if exit.stopped => {
            "AlgorithmError: the training process was told to stop, but not by the training service".to_owned()
        }
        (None, Some(exit)) => format!(
            "AlgorithmError: the training process ended with exit code {}",
            exit.code
        ),
        (None, None) => format!(
            "InternalServerError: the training process was lost: it ended without a result ({}). If the machine ran \
             out of memory, use a smaller mini_batch_size or image_shape",
            ended.how
        ),
    }
}
