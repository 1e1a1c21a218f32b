//! How a worker's process is started: the program and its environment.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use tokio::sync::OnceCell;

use crate::{
    function::Version,
    options::{FunctionEnvironment, Options},
    runtime::Runtime,
};

/// The Python side of the Runtime API.
const BOOTSTRAP: &str = include_str!("bootstrap.py");

/// Asks a Python what it is; three lines.
const PROBE: &str = "import site, sys\n\
                     print(sys.executable)\n\
                     print('%d.%d.%d' % sys.version_info[:3])\n\
                     print(site.getuserbase())";

/// Starts processes for functions.
pub struct Launcher {
    options: Options,
    environment: FunctionEnvironment,
    python: OnceCell<Python>,
}

/// The machine's Python.
#[derive(Debug, Clone)]
struct Python {
    /// The interpreter itself: what `python3` names may be a script.
    executable: PathBuf,
    version: String,
    /// Where `pip install --user` puts packages. A function has another home.
    user_base: String,
    /// The file with [`BOOTSTRAP`].
    bootstrap: PathBuf,
}

/// What a worker's process is started with besides its function.
pub struct Surroundings<'a> {
    /// The unpacked package.
    pub code: &'a Path,
    /// The worker's own temporary folder.
    pub temporary: &'a Path,
    /// `AWS_LAMBDA_RUNTIME_API`.
    pub runtime_api: String,
    /// The log group.
    pub log_group: &'a str,
    /// The log stream.
    pub log_stream: &'a str,
}

/// Why there is nothing to start.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A `provided` package without a `bootstrap` that can be run.
    #[error("Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]")]
    NoBootstrap,
    /// No Python, or one that does not start.
    #[error("the machine's Python ({python}) cannot be run: {reason}")]
    NoPython {
        /// As it is configured.
        python: String,
        /// What the system says.
        reason: String,
    },
}

impl Launcher {
    /// Starts with `options`, and tells functions of `environment`.
    pub fn new(options: Options, environment: FunctionEnvironment) -> Self {
        Self {
            options,
            environment,
            python: OnceCell::new(),
        }
    }

    /// What runs a function of `runtime`, for its log.
    ///
    /// # Errors
    /// [`LaunchError::NoPython`].
    pub async fn describe(&self, runtime: Runtime) -> Result<String, LaunchError> {
        Ok(match runtime {
            Runtime::Python { minor } => {
                let python = self.python().await?;
                format!(
                    "INIT_START Runtime Version: python:{} ({}), for a function of python3.{minor}",
                    python.version,
                    python.executable.display()
                )
            }
            Runtime::Provided => "INIT_START Runtime Version: provided (the package's bootstrap)".to_owned(),
        })
    }

    /// The process for `version`, ready to be started.
    ///
    /// # Errors
    /// [`LaunchError`].
    pub async fn command(
        &self,
        version: &Version,
        runtime: Runtime,
        around: &Surroundings<'_>,
    ) -> Result<Command, LaunchError> {
        let (program, arguments, extra) = match runtime {
            Runtime::Python { .. } => self.python_program().await?,
            Runtime::Provided => self.provided_program(around)?,
        };
        let mut words = self.options.launcher.iter().cloned().chain([program]).chain(arguments);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).current_dir(around.code).env_clear();
        command.envs(self.open_variables(around)).envs(extra);
        command.envs(&version.environment);
        command.envs(self.fixed_variables(version, around));
        Ok(command)
    }

    async fn python_program(&self) -> Result<Program, LaunchError> {
        let python = self.python().await?;
        let extra: Vec<(&str, OsString)> = vec![
            ("PYTHONUSERBASE", python.user_base.clone().into()),
            ("PYTHONUNBUFFERED", "1".into()),
            // The code's own folder stays as it was unpacked, and a library is
            // compiled once for all functions.
            ("PYTHONPYCACHEPREFIX", self.options.bytecode_folder().into()),
        ];
        Ok((
            python.executable.clone().into(),
            vec![python.bootstrap.clone().into()],
            extra,
        ))
    }

    fn provided_program(&self, around: &Surroundings<'_>) -> Result<Program, LaunchError> {
        let bootstrap = around.code.join("bootstrap");
        if !is_executable(&bootstrap) {
            return Err(LaunchError::NoBootstrap);
        }
        let own = self.options.executable.as_ref();
        let extra = own
            .map(|path| ("SCONES_EXECUTABLE", path.clone().into()))
            .into_iter()
            .collect();
        Ok((bootstrap.into(), Vec::new(), extra))
    }

    /// Variables that a function may set otherwise.
    fn open_variables(&self, around: &Surroundings<'_>) -> Vec<(&'static str, OsString)> {
        let mut libraries = around.code.as_os_str().to_owned();
        libraries.push(":");
        libraries.push(around.code.join("lib"));
        if let Some(own) = env::var_os("LD_LIBRARY_PATH") {
            libraries.push(":");
            libraries.push(own);
        }
        vec![
            (
                "PATH",
                env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()),
            ),
            ("LANG", "en_US.UTF-8".into()),
            ("LD_LIBRARY_PATH", libraries),
            ("HOME", around.temporary.into()),
            ("TMPDIR", around.temporary.into()),
            ("AWS_ENDPOINT_URL", (&self.environment.endpoint_url).into()),
            // There is no metadata service to wait for, and no name for a
            // host with a prefix.
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
            ("AWS_DISABLE_HOST_PREFIX_INJECTION", "true".into()),
        ]
    }

    /// Variables that AWS reserves.
    fn fixed_variables(&self, version: &Version, around: &Surroundings<'_>) -> Vec<(&'static str, OsString)> {
        let environment = &self.environment;
        vec![
            ("_HANDLER", (&version.handler).into()),
            ("AWS_REGION", (&environment.region).into()),
            ("AWS_DEFAULT_REGION", (&environment.region).into()),
            ("AWS_ACCESS_KEY_ID", (&environment.access_key_id).into()),
            ("AWS_SECRET_ACCESS_KEY", (&environment.secret_access_key).into()),
            ("AWS_EXECUTION_ENV", format!("AWS_Lambda_{}", version.runtime).into()),
            ("AWS_LAMBDA_FUNCTION_NAME", (&version.name).into()),
            ("AWS_LAMBDA_FUNCTION_VERSION", (&version.version).into()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", version.memory_mb.to_string().into()),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".into()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", around.log_group.into()),
            ("AWS_LAMBDA_LOG_STREAM_NAME", around.log_stream.into()),
            ("AWS_LAMBDA_RUNTIME_API", (&around.runtime_api).into()),
            ("LAMBDA_TASK_ROOT", around.code.into()),
            ("LAMBDA_RUNTIME_DIR", self.options.directory.clone().into()),
            ("TZ", ":UTC".into()),
        ]
    }

    /// Finds the machine's Python, once it was found.
    async fn python(&self) -> Result<&Python, LaunchError> {
        let failed = |reason: String| LaunchError::NoPython {
            python: self.options.python.to_string_lossy().into_owned(),
            reason,
        };
        let find = || async {
            let probe = tokio::process::Command::new(&self.options.python)
                .args(["-c", PROBE])
                .stdin(std::process::Stdio::null())
                .kill_on_drop(true)
                .output()
                .await
                .map_err(|error| failed(error.to_string()))?;
            let text = String::from_utf8_lossy(&probe.stdout);
            let mut lines = text.lines();
            let (Some(executable), Some(version), Some(user_base)) = (lines.next(), lines.next(), lines.next()) else {
                return Err(failed(String::from_utf8_lossy(&probe.stderr).trim().to_owned()));
            };
            let bootstrap = self.options.directory.join("bootstrap.py");
            tokio::fs::create_dir_all(&self.options.directory)
                .await
                .map_err(|error| failed(error.to_string()))?;
            tokio::fs::write(&bootstrap, BOOTSTRAP)
                .await
                .map_err(|error| failed(error.to_string()))?;
            Ok(Python {
                executable: executable.into(),
                version: version.to_owned(),
                user_base: user_base.to_owned(),
                bootstrap,
            })
        };
        self.python.get_or_try_init(find).await
    }
}

/// A program, its arguments, and variables of its own.
type Program = (OsString, Vec<OsString>, Vec<(&'static str, OsString)>);

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}
