//! The services, wired together behind one port.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use scones_api::{Clock, Owner, SystemClock};
use scones_aws::{IamSecrets, Router, Server, Services};
use scones_iam::Iam;
use scones_lambda::Lambda;
use scones_logs::Logs;
use scones_s3::S3;
use scones_sagemaker::{SageMaker, VisionLoader};
use scones_states::States;
use scones_store::{SqliteStore, Store};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{self, Running, ServerArgs},
    credentials::{self, AccessKey},
    failure::WithHint as _,
    wiring::{FunctionLogs, JobLogs, Objects, Packages, Tasks},
};

/// A running server.
pub(crate) struct Instance {
    /// Its address for clients on this machine.
    pub(crate) endpoint: String,
    /// The key that clients sign with.
    pub(crate) key: AccessKey,
    directory: PathBuf,
    store: Arc<SqliteStore>,
    services: Parts,
    stop: CancellationToken,
    port: JoinHandle<()>,
}

/// The services that have something to stop.
struct Parts {
    logs: Arc<Logs>,
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
        let directory = arguments.data.directory()?;
        config::create_private(&directory)?;
        let key = credentials::load_or_create(&directory)?;
        let port = Server::bind(arguments.listen)
            .await
            .with_context(|| format!("cannot listen on {}", arguments.listen))
            .hint("another server may run there; choose another address with --listen, or --listen 127.0.0.1:0 for a free port")?;
        if !port.address().ip().is_loopback() {
            tracing::warn!(address = %port.address(), "listening beyond this machine: whoever has the key can run code here");
        }
        let endpoint = config::endpoint(port.address());
        let store = SqliteStore::open(&directory)
            .with_context(|| format!("cannot open the data directory {}", directory.display()))?;
        let owner = arguments.owner();
        let started = start_services(
            &directory,
            &owner,
            &endpoint,
            &key,
            Arc::clone(&store) as Arc<dyn Store>,
        );
        let (services, router) = started.await.context("cannot start the services")?;
        let stop = CancellationToken::new();
        let serving = tokio::spawn(port.serve(Arc::new(router), stop.clone()));
        Running {
            endpoint: endpoint.clone(),
            pid: std::process::id(),
            owner,
        }
        .write(&directory)?;
        Ok(Self {
            endpoint,
            key,
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
        let Parts {
            logs,
            function_logs,
            s3,
            lambda,
            sagemaker,
            states,
        } = self.services;
        states.shutdown().await;
        tokio::join!(lambda.shutdown(), sagemaker.shutdown());
        function_logs.shutdown().await;
        logs.shutdown().await;
        s3.shutdown().await;
        self.store.close().await;
    }
}

async fn start_services(
    directory: &Path,
    owner: &Owner,
    endpoint: &str,
    key: &AccessKey,
    store: Arc<dyn Store>,
) -> anyhow::Result<(Parts, Router)> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let executable = std::env::current_exe().context("cannot tell the path of this program")?;
    let share = || (Arc::clone(&store), owner.clone(), Arc::clone(&clock));

    let (of_iam, owner_of_iam, clock_of_iam) = share();
    let options = scones_iam::Options {
        access_key_id: Some(key.id.clone()),
        secret_access_key: Some(key.secret.clone().into()),
    };
    let iam = Iam::start(options, owner_of_iam, of_iam, clock_of_iam).await?;
    let (of_logs, owner_of_logs, clock_of_logs) = share();
    let logs = Logs::start(of_logs, owner_of_logs, clock_of_logs).await?;
    let (of_s3, owner_of_s3, clock_of_s3) = share();
    let s3 = S3::start(of_s3, owner_of_s3, clock_of_s3).await?;

    let function_logs = FunctionLogs::start(Arc::clone(&logs));
    let dependencies = scones_lambda::Dependencies {
        store: Arc::clone(&store),
        clock: Arc::clone(&clock),
        logs: Arc::clone(&function_logs) as Arc<dyn scones_lambda::LogSink>,
        objects: Arc::new(Packages(Arc::clone(&s3))),
        environment: scones_lambda::FunctionEnvironment {
            endpoint_url: endpoint.to_owned(),
            access_key_id: key.id.clone(),
            secret_access_key: key.secret.clone(),
            region: owner.region.to_string(),
        },
    };
    let options = scones_lambda::Options {
        directory: directory.join("functions"),
        launcher: [
            executable.as_os_str(),
            "worker".as_ref(),
            "exec".as_ref(),
            "--".as_ref(),
        ]
        .map(OsString::from)
        .to_vec(),
        executable: Some(executable.clone()),
        ..Default::default()
    };
    let lambda = Lambda::start(options, owner.clone(), dependencies).await?;

    let dependencies = scones_sagemaker::Dependencies {
        objects: Arc::new(Objects(Arc::clone(&s3))),
        logs: Arc::new(JobLogs(Arc::clone(&logs))),
        loader: Arc::new(VisionLoader),
    };
    let options = scones_sagemaker::Options {
        training_command: [executable.as_os_str(), "worker".as_ref(), "train".as_ref()]
            .map(OsString::from)
            .to_vec(),
        directory: directory.join("training"),
        ..Default::default()
    };
    let (of_sagemaker, owner_of_sagemaker, clock_of_sagemaker) = share();
    let sagemaker = SageMaker::start(
        options,
        owner_of_sagemaker,
        of_sagemaker,
        clock_of_sagemaker,
        dependencies,
    )
    .await?;

    let (of_states, owner_of_states, clock_of_states) = share();
    let tasks = Arc::new(Tasks(Arc::clone(&lambda)));
    let options = scones_states::Options::default();
    let states = States::start(options, owner_of_states, of_states, clock_of_states, tasks).await?;

    let services = Services {
        logs: Arc::clone(&logs) as _,
        states: Arc::clone(&states) as _,
        sagemaker: Arc::clone(&sagemaker),
        lambda: Arc::clone(&lambda),
        sts: Arc::new(iam.sts()),
        s3: s3.http_service(Arc::new(IamSecrets(Arc::clone(&iam)))),
        iam,
    };
    let router = Router::new(services, clock);
    Ok((
        Parts {
            logs,
            function_logs,
            s3,
            lambda,
            sagemaker,
            states,
        },
        router,
    ))
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
