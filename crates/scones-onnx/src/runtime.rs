//! ONNX Runtime: found, loaded, and set up once for the process.

use std::{
    error::Error as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ort::{
    environment::{Environment, GlobalThreadPoolOptions},
    logging::LogLevel,
};

use crate::Error;

/// The oldest ONNX Runtime that has the interface used here.
pub const RUNTIME_VERSION_MIN: &str = "1.18";
/// The environment variable that names the library, here as in other programs.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// What the library is called where the system's loader finds it: as its developers' packages
/// have it, and as its users' packages have it.
#[cfg(target_os = "macos")]
const LIBRARY_NAMES: [&str; 2] = ["libonnxruntime.dylib", "libonnxruntime.1.dylib"];
#[cfg(not(target_os = "macos"))]
const LIBRARY_NAMES: [&str; 2] = ["libonnxruntime.so", "libonnxruntime.so.1"];

/// ONNX Runtime takes one environment in a process's life, so it is kept here: this is the only
/// global state, and it is the library's. A failure to load is not kept: the next model tries again.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// Which ONNX Runtime runs models.
#[derive(Debug, Clone, Default)]
pub struct Runtime {
    library: Option<PathBuf>,
}

impl Runtime {
    /// The one in that file. Without a file, the one that the system's loader finds. The first that
    /// loads is the process's for good.
    #[must_use]
    pub fn new(library: Option<PathBuf>) -> Self {
        // An empty variable names no file.
        let library = library.filter(|path| !path.as_os_str().is_empty());
        Self { library }
    }

    /// Loads the library if that has not been done, and says which it is.
    ///
    /// # Errors
    /// [`Error::Runtime`].
    pub fn check(&self) -> Result<&'static str, Error> {
        self.environment().map(|_| ort::info())
    }

    pub(crate) fn environment(&self) -> Result<Environment, Error> {
        let mut environment = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(environment) = &*environment {
            return Ok(environment.clone());
        }
        let loaded = self.load().map_err(|why| Error::Runtime { why })?;
        Ok(environment.insert(loaded).clone())
    }

    fn load(&self) -> Result<Environment, String> {
        let tried = match &self.library {
            Some(library) => vec![library.as_path()],
            None => LIBRARY_NAMES.map(Path::new).to_vec(),
        };
        let mut problems = Vec::new();
        for library in tried {
            match ort::init_from(library) {
                Ok(_) => return environment().map_err(|error| error.to_string()),
                Err(error) => problems.push(told(&error)),
            }
        }
        Err(problems.join("; "))
    }
}

/// Why a library does not load, with what the system's loader says.
fn told(error: &ort::LoadDynamicError) -> String {
    match error {
        ort::LoadDynamicError::Dlopen { error, path } => {
            let said = error.source().map(ToString::to_string);
            format!(
                "{} cannot be loaded: {}",
                path.display(),
                said.unwrap_or_else(|| error.to_string())
            )
        }
        error => error.to_string(),
    }
}

/// One pool of threads for all models, as many as there are processors, which sleep when there is
/// nothing to do. No telemetry, and what the library has to say goes where the program's log goes.
fn environment() -> ort::Result<Environment> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let pool = GlobalThreadPoolOptions::default()
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_spin_control(false)?;
    let environment = ort::init()
        .with_name("scones")
        .with_telemetry(false)
        .with_global_thread_pool(pool)
        .with_logger(Arc::new(log))
        .build()?;
    environment.set_log_level(LogLevel::Warning);
    Ok(environment)
}

fn log(level: LogLevel, _: &str, model: &str, place: &str, message: &str) {
    match level {
        LogLevel::Verbose | LogLevel::Info => tracing::debug!(model, place, "ONNX Runtime: {message}"),
        LogLevel::Warning => tracing::warn!(model, place, "ONNX Runtime: {message}"),
        LogLevel::Error | LogLevel::Fatal => tracing::error!(model, place, "ONNX Runtime: {message}"),
    }
}
