//! How functions run, and what the server tells its functions.

use std::{ffi::OsString, path::PathBuf};

use crate::limits::CONCURRENT_EXECUTIONS;

/// How functions run on this machine.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where packages are unpacked and workers keep their temporary files. It
    /// may be deleted while the server is stopped.
    pub directory: PathBuf,
    /// The Python that runs `python3.*` functions, by name or path.
    pub python: OsString,
    /// A program and arguments that are put before a worker's own, to give it
    /// limits and a death signal; empty for none.
    pub launcher: Vec<OsString>,
    /// This program, for functions whose bootstrap runs it:
    /// `SCONES_EXECUTABLE` in `provided.*` functions.
    pub executable: Option<PathBuf>,
    /// Invocations at a time, over all functions; more are answered with
    /// TooManyRequestsException. AWS's account quota.
    pub concurrent_executions: u32,
    /// Worker processes at a time, over all functions; invocations beyond it
    /// wait for one.
    pub workers: usize,
    /// How long an invocation waits for a worker before it is answered with
    /// TooManyRequestsException, in seconds.
    pub patience_seconds: u64,
    /// How long a worker is kept without work, in seconds.
    pub idle_seconds: u64,
    /// The pauses before the first and second retry of an asynchronous
    /// invocation, in seconds.
    pub retry_seconds: [u64; 2],
}

impl Default for Options {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            directory: std::env::temp_dir().join("scones-lambda"),
            python: "python3".into(),
            launcher: Vec::new(),
            executable: std::env::current_exe().ok(),
            concurrent_executions: CONCURRENT_EXECUTIONS,
            workers: (processors * 4).clamp(16, 256),
            patience_seconds: 30,
            idle_seconds: 300,
            retry_seconds: [60, 120],
        }
    }
}

impl Options {
    /// Where packages are unpacked.
    pub(crate) fn code_folder(&self) -> PathBuf {
        self.directory.join("code")
    }

    /// Where Python keeps the modules that it compiled, under the full path of
    /// each module's own folder.
    pub(crate) fn bytecode_folder(&self) -> PathBuf {
        self.directory.join("bytecode")
    }
}

/// What every function's environment tells it about this server, so that an
/// AWS client inside a function reaches it.
#[derive(Clone)]
pub struct FunctionEnvironment {
    /// `AWS_ENDPOINT_URL`.
    pub endpoint_url: String,
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: String,
    /// `AWS_REGION` and `AWS_DEFAULT_REGION`.
    pub region: String,
}

/// The secret is not for logs.
impl std::fmt::Debug for FunctionEnvironment {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("FunctionEnvironment")
            .field("endpoint_url", &self.endpoint_url)
            .field("access_key_id", &self.access_key_id)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}
