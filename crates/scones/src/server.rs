//! The services, wired together behind one port.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use scones_api::{Clock, Owner, SystemClock};
use scones_aws::{IamSecrets, Router, Server, Services};
use scones_iam::{Credentials, Iam};
use scones_lambda::Lambda;
use scones_logs::Logs;
use scones_s3::S3;
use scones_sagemaker::{SageMaker, VisionLoader};
use scones_states::{Mocks, Outside, States, SystemRandom, TaskRunner};
use scones_store::{SqliteStore, Store};
use tokio::{sync::SetOnce, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{self, Running, ServerArgs},
    credentials::{self, AccessKey},
    failure::WithHint as _,
    wiring::{Datasets, FunctionLogs, HttpClient, JobLogs, Objects, Packages, Tasks},
};

/// A running server.
pub(crate) struct Instance {
    /// Its address for clients on this machine.
    pub(crate) endpoint: String,
    /// The key that clients sign with.
    pub(crate) key: AccessKey,
    /// The account and region in its ARNs.
    pub(crate) owner: Owner,
    directory: PathBuf,
    store: Arc<SqliteStore>,
    services: Stoppable,
    stop: CancellationToken,
    port: JoinHandle<()>,
}

/// The services that have something to stop.
struct Stoppable {
    function_logs: Arc<FunctionLogs>,
    s3: Arc<S3>,
    lambda: Arc<Lambda>,
    sagemaker: Arc<SageMaker>,
    states: Arc<States>,
}

impl Instance {
    /// Binds the port, opens the data directory, starts the services in the
    /// order in which they need one another, and serves.
    pub(crate) async fn start(arguments: &ServerArgs) -> anyhow::Result<Self> {
        let mocks = arguments.mocks()?;
        let directory = arguments.data.directory()?;
        // First what leaves nothing behind when it fails.
        let port = match Server::bind(arguments.listen).await {
            Ok(port) => port,
            Err(error) => {
                let hint = bind_hint(&error);
                return Err(error)
                    .with_context(|| format!("cannot listen on {}", arguments.listen))
                    .hint(hint);
            }
        };
        if !port.address().ip().is_loopback() {
            tracing::warn!(address = %port.address(), "listening beyond this machine: whoever has the key can run code here");
        }
        let endpoint = config::endpoint(port.address());
        config::create_private(&directory)?;
        let key = credentials::load_or_create(&directory)?;
        let store = open(&directory)?;
        let owner = arguments.owner(&directory)?;
        let base = Base {
            directory: directory.clone(),
            executable: std::env::current_exe().context("cannot tell the path of this program")?,
            owner: owner.clone(),
            store: Arc::clone(&store) as Arc<dyn Store>,
            clock: Arc::new(SystemClock),
            mocks: Arc::new(mocks),
            onnx_runtime: arguments.onnx.runtime(),
        };
        let (services, router) = base
            .services(&endpoint, &key)
            .await
            .context("cannot start the services")
            .hint(damage_hint(&directory))?;
        let stop = CancellationToken::new();
        let serving = tokio::spawn(port.serve(Arc::new(router), stop.clone()));
        Running {
            endpoint: endpoint.clone(),
            pid: std::process::id(),
            owner: owner.clone(),
        }
        .write(&directory)?;
        Ok(Self {
            endpoint,
            key,
            owner,
            directory,
            store,
            services,
            stop,
            port: serving,
        })
    }

    /// Lets requests in progress end, stops what the services have running,
    /// and closes the store.
    pub(crate) async fn stop(self) {
        Running::remove(&self.directory);
        self.stop.cancel();
        if let Err(error) = self.port.await {
            tracing::error!(%error, "the port has ended badly");
        }
        let Stoppable {
            function_logs,
            s3,
            lambda,
            sagemaker,
            states,
        } = self.services;
        states.shutdown().await;
        tokio::join!(lambda.shutdown(), sagemaker.shutdown());
        function_logs.shutdown().await;
        s3.shutdown().await;
        self.store.close().await;
    }
}

/// What to do when an address cannot be listened on.
fn bind_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another server may run there; choose another address with --listen, or --listen 127.0.0.1:0 for a free port"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; choose another with --listen, 0.0.0.0 for all that it has"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 are kept for root; choose a higher one with --listen",
        _ => "choose another address with --listen",
    }
}

fn open(directory: &Path) -> anyhow::Result<Arc<SqliteStore>> {
    SqliteStore::open(directory).or_else(|error| {
        let hint = store_hint(&error, directory);
        let failed = Err(error).with_context(|| format!("cannot open the data directory {}", directory.display()));
        match hint {
            Some(hint) => failed.hint(hint),
            None => failed,
        }
    })
}

/// What to do about an error of the store that does not say so itself.
pub(crate) fn store_hint(error: &scones_store::Error, directory: &Path) -> Option<String> {
    use scones_store::Error::{Damaged, Database, DatabaseGone};
    matches!(error, Damaged(_) | Database(_) | DatabaseGone { .. }).then(|| damage_hint(directory))
}

/// What to do when the database may be damaged, or is gone.
fn damage_hint(directory: &Path) -> String {
    format!(
        "if {} is damaged, restore the directory from a copy, choose another with --data-dir, or delete the directory to start anew",
        directory.join("scones.db").display()
    )
}

/// What every service is started with.
struct Base {
    directory: PathBuf,
    executable: PathBuf,
    owner: Owner,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    mocks: Arc<Mocks>,
    onnx_runtime: scones_onnx::Runtime,
}

impl Base {
    fn owner(&self) -> Owner {
        self.owner.clone()
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// This program with arguments.
    fn program(&self, arguments: &[&str]) -> Vec<OsString> {
        let arguments = arguments.iter().map(OsString::from);
        std::iter::once(self.executable.clone().into_os_string())
            .chain(arguments)
            .collect()
    }

    async fn services(&self, endpoint: &str, key: &AccessKey) -> anyhow::Result<(Stoppable, Router)> {
        let iam = self.iam(key).await?;
        let logs = Logs::start(self.store(), self.owner(), self.clock()).await?;
        let s3 = S3::start(self.store(), self.owner(), self.clock()).await?;
        let function_logs = FunctionLogs::start(Arc::clone(&logs));
        let lambda = self.lambda(endpoint, key, &s3, &function_logs).await?;
        let sagemaker = self.sagemaker(&s3, &logs).await?;
        let sts = Arc::new(iam.sts());
        let tasks = Arc::new(Tasks {
            lambda: Arc::clone(&lambda),
            sagemaker: Arc::clone(&sagemaker),
            s3: Arc::clone(&s3),
            logs: Arc::clone(&logs),
            iam: Arc::clone(&iam),
            sts: Arc::clone(&sts),
            http: HttpClient::new(),
            states: SetOnce::new(),
        });
        let states = self.states(&tasks, &s3).await?;
        let services = Services {
            logs,
            states: Arc::clone(&states) as _,
            sagemaker: Arc::clone(&sagemaker),
            lambda: Arc::clone(&lambda),
            sts,
            s3: s3.http_service(Arc::new(IamSecrets(Arc::clone(&iam)))),
            iam,
        };
        let router = Router::new(services, self.clock());
        Ok((
            Stoppable {
                function_logs,
                s3,
                lambda,
                sagemaker,
                states,
            },
            router,
        ))
    }

    async fn states(&self, tasks: &Arc<Tasks>, s3: &Arc<S3>) -> anyhow::Result<Arc<States>> {
        let options = scones_states::Options {
            mocks: Arc::clone(&self.mocks),
            ..Default::default()
        };
        let runner = Arc::clone(tasks) as Arc<dyn TaskRunner>;
        let outside = Outside {
            runner,
            objects: Arc::new(Datasets(Arc::clone(s3))),
            logs: Arc::new(JobLogs(Arc::clone(&tasks.logs))),
            random: Arc::new(SystemRandom),
        };
        let states = States::start(options, self.owner(), self.store(), self.clock(), outside).await?;
        tasks.connect(&states);
        Ok(states)
    }

    async fn iam(&self, key: &AccessKey) -> anyhow::Result<Arc<Iam>> {
        let credentials = Credentials::new(key.id.clone(), key.secret.clone().into())?;
        Ok(Iam::start(credentials, self.owner(), self.store(), self.clock()).await?)
    }

    async fn lambda(
        &self,
        endpoint: &str,
        key: &AccessKey,
        s3: &Arc<S3>,
        logs: &Arc<FunctionLogs>,
    ) -> anyhow::Result<Arc<Lambda>> {
        let dependencies = scones_lambda::Dependencies {
            store: self.store(),
            clock: self.clock(),
            logs: Arc::clone(logs) as Arc<dyn scones_lambda::LogSink>,
            objects: Arc::new(Packages(Arc::clone(s3))),
            environment: scones_lambda::FunctionEnvironment {
                endpoint_url: endpoint.to_owned(),
                access_key_id: key.id.clone(),
                secret_access_key: key.secret.clone(),
                region: self.owner.region.to_string(),
            },
        };
        let options = scones_lambda::Options {
            directory: self.directory.join("functions"),
            launcher: self.program(&["worker", "exec", "--"]),
            executable: Some(self.executable.clone()),
            ..Default::default()
        };
        Ok(Lambda::start(options, self.owner(), dependencies).await?)
    }

    async fn sagemaker(&self, s3: &Arc<S3>, logs: &Arc<Logs>) -> anyhow::Result<Arc<SageMaker>> {
        let dependencies = scones_sagemaker::Dependencies {
            objects: Arc::new(Objects(Arc::clone(s3))),
            logs: Arc::new(JobLogs(Arc::clone(logs))),
            loader: Arc::new(VisionLoader {
                runtime: self.onnx_runtime.clone(),
            }),
        };
        let options = scones_sagemaker::Options {
            training_command: self.program(&["worker", "train"]),
            directory: self.directory.join("training"),
            ..Default::default()
        };
        Ok(SageMaker::start(options, self.owner(), self.store(), self.clock(), dependencies).await?)
    }
}

/// The address of a server that answers on a data directory, if one does.
pub(crate) fn find_running(directory: &Path) -> anyhow::Result<Option<Running>> {
    let Some(running) = Running::read(directory)? else {
        return Ok(None);
    };
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(std::time::Duration::from_secs(2)))
        .proxy(None)
        .build()
        .into();
    let answers = agent
        .get(format!("{}{}", running.endpoint, scones_aws::HEALTH_PATH))
        .call()
        .is_ok();
    Ok(answers.then_some(running))
}
