//! The service: what it is made of, how it starts and stops.

use std::{io, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use scones_api::{ApiError, Clock, Owner};
use scones_store::{Collection, Store, Versioned};
use tokio::sync::OnceCell;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    FunctionEnvironment, LogSink, Options,
    code::CodeStore,
    concurrency::Concurrency,
    events::EventQueues,
    execution::{Execution, Executor, Request, stopping},
    function::{Code, Function},
    launch::Launcher,
    name::function_not_found,
    pool::Pool,
};

/// How often idle workers are looked over, at most.
const REAP_INTERVAL_MAX: Duration = Duration::from_secs(30);

/// The objects of S3, as far as functions need them.
#[async_trait]
pub trait ObjectSource: Send + Sync + 'static {
    /// A whole object, if it has no more than `limit` bytes.
    ///
    /// # Errors
    /// S3's own.
    async fn read_object(&self, bucket: &str, key: &str, limit: u64) -> Result<Bytes, ApiError>;
}

/// What the service needs of others.
pub struct Dependencies {
    /// Where functions are kept.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where functions log to.
    pub logs: Arc<dyn LogSink>,
    /// Where packages may come from.
    pub objects: Arc<dyn ObjectSource>,
    /// What functions are told of this server.
    pub environment: FunctionEnvironment,
}

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder for code and workers cannot be used.
    #[error("the folder `{folder}` for functions cannot be used")]
    Folder {
        /// The folder.
        folder: String,
        /// What the system says.
        source: io::Error,
    },
    /// The store refused.
    #[error("the functions cannot be read from the store")]
    Store(#[from] scones_store::Error),
}

/// AWS Lambda, of one owner.
pub struct Lambda {
    pub(crate) owner: Owner,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) functions: Collection<Function>,
    pub(crate) code: Arc<CodeStore>,
    pub(crate) objects: Arc<dyn ObjectSource>,
    pub(crate) environment: FunctionEnvironment,
    pub(crate) executor: Arc<Executor>,
    pub(crate) events: EventQueues,
    pub(crate) tasks: TaskTracker,
    pub(crate) retry_pauses: [Duration; 2],
}

impl Lambda {
    /// Starts the service: sweeps what a crash left on the disk, and goes on
    /// with the events that were accepted before.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn start(options: Options, owner: Owner, dependencies: Dependencies) -> Result<Arc<Self>, Error> {
        let Dependencies {
            store,
            clock,
            logs,
            objects,
            environment,
        } = dependencies;
        let functions: Collection<Function> = Collection::new(Arc::clone(&store), "lambda.functions");
        let code = Arc::new(CodeStore::new(Arc::clone(&store), &options));
        let workers_folder = options.directory.join("workers");
        let concurrency = Concurrency::new(options.concurrent_executions);
        let known = functions.all("").await?;
        for (name, function) in &known {
            concurrency.reserve(name, function.reserved_concurrency);
        }
        let folder_error = |source| Error::Folder {
            folder: options.directory.display().to_string(),
            source,
        };
        fresh_folder(&workers_folder).await.map_err(folder_error)?;
        let codes: Vec<&Code> = known.iter().flat_map(|(_, function)| function.codes()).collect();
        code.sweep_blobs(&codes).await?;
        code.sweep_folders(&codes).await.map_err(folder_error)?;

        let patience = Duration::from_secs(options.patience_seconds);
        let idle_limit = Duration::from_secs(options.idle_seconds);
        let executor = Arc::new(Executor {
            concurrency,
            pool: Pool::new(options.workers, patience),
            code: Arc::clone(&code),
            logs,
            clock: Arc::clone(&clock),
            workers_folder,
            stopping: CancellationToken::new(),
            tmp_told: OnceCell::new(),
            launcher: Launcher::new(options.clone(), environment.clone()),
        });
        let lambda = Arc::new(Self {
            owner,
            clock,
            store,
            functions,
            code,
            objects,
            environment,
            executor,
            events: EventQueues::default(),
            tasks: TaskTracker::new(),
            retry_pauses: options.retry_seconds.map(Duration::from_secs),
        });
        for (name, _) in &known {
            lambda.expect_events(name);
        }
        lambda.tasks.spawn(Arc::clone(&lambda).run_events());
        lambda.tasks.spawn(reap(Arc::clone(&lambda.executor), idle_limit));
        Ok(lambda)
    }

    /// Stops the service and waits until no process of it is left.
    /// Invocations that run are ended; events among them run again after the
    /// next start.
    pub async fn shutdown(&self) {
        self.executor.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.executor.pool.close().await;
    }

    /// Admits an invocation and runs it to its end, whoever waits for it.
    pub(crate) async fn run(&self, request: Request) -> Result<Execution, ApiError> {
        if self.executor.stopping.is_cancelled() {
            return Err(stopping());
        }
        let admission = self.executor.concurrency.admit(&request.version.name)?;
        let executor = Arc::clone(&self.executor);
        let task = self.tasks.spawn(async move {
            let _admission = admission;
            executor.execute(request).await
        });
        task.await.map_err(ApiError::internal)?
    }

    /// The function `name`; `qualifier` only words the error.
    pub(crate) async fn function(&self, name: &str, qualifier: Option<&str>) -> Result<Function, ApiError> {
        let found = self.functions.get(name).await?;
        match found {
            Some(Versioned { value, .. }) => Ok(value),
            None => Err(function_not_found(&self.owner, name, qualifier)),
        }
    }

    /// Changes a function in one write and gives what it has become.
    pub(crate) async fn change(
        &self,
        name: &str,
        mut change: impl FnMut(&mut Function) -> Result<(), ApiError> + Send,
    ) -> Result<Function, ApiError> {
        let changed = self.functions.update(name, |function| change(function)).await?;
        changed.ok_or_else(|| function_not_found(&self.owner, name, None))
    }
}

/// An empty folder: what a crash left there belongs to nobody.
async fn fresh_folder(folder: &std::path::Path) -> io::Result<()> {
    match tokio::fs::remove_dir_all(folder).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    tokio::fs::create_dir_all(folder).await
}

/// Stops workers that have had nothing to do for `limit`.
async fn reap(executor: Arc<Executor>, limit: Duration) {
    let interval = (limit / 4).clamp(Duration::from_millis(100), REAP_INTERVAL_MAX);
    loop {
        tokio::select! {
            () = executor.stopping.cancelled() => return,
            () = tokio::time::sleep(interval) => executor.pool.retire_idle(limit),
        }
    }
}
