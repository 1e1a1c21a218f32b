//! How the service is set up.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::limits;

/// Settings of the service. All have defaults but the two that only the
/// program itself knows: its own command and the data directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The command that a training job's directory is appended to, for example
    /// `["/usr/bin/scones", "worker", "train"]`, with the launcher's words
    /// before it where there is one. The launcher must let the child outlive
    /// this process: a training job survives the server's death. At a shutdown
    /// it is told to stop. Default: none; training jobs then fail and say so.
    pub training_command: Vec<OsString>,
    /// Where training jobs have their working directories, `jobs`, and
    /// endpoints their copies of models, `models`. Default: a folder
    /// `scones-sagemaker` in the system's folder for temporary files.
    pub directory: PathBuf,
    /// How many training jobs run at once; others wait. Default: 1, since one
    /// job uses every processor.
    pub training_jobs_at_once: usize,
    /// Seconds that a stopped training job has to save its model so far before
    /// it is killed. Default: 120, as on AWS.
    pub stop_grace_seconds: u64,
    /// The same at the server's own shutdown. Default: 10.
    pub shutdown_grace_seconds: u64,
    /// How many inferences run at once; others wait. Default: the number of
    /// processors.
    pub inferences_at_once: usize,
    /// How many inferences may wait before more are answered with
    /// `ServiceUnavailable`. Default: 1000.
    pub inferences_waiting_max: usize,
    /// The seed of the streams that choose variants and captured requests.
    /// Default: 0.
    pub seed: u64,
    /// How captured inferences become files.
    pub capture: CaptureOptions,
}

/// How captured inferences become files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CaptureOptions {
    /// Records that a file holds at most. Default: 100.
    pub records_per_file_max: usize,
    /// Milliseconds that a record waits for others before its file is written.
    /// Default: 3000.
    pub flush_milliseconds: u64,
    /// Bytes of captured bodies that may wait in memory; what comes beyond is
    /// dropped and counted. Default: 64 MiB.
    pub queue_bytes_max: usize,
}

impl Default for CaptureOptions {
    fn default() -> Self {
        Self {
            records_per_file_max: 100,
            flush_milliseconds: 3000,
            queue_bytes_max: 64 << 20,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            training_command: Vec::new(),
            directory: std::env::temp_dir().join("scones-sagemaker"),
            training_jobs_at_once: 1,
            stop_grace_seconds: limits::STOP_GRACE.as_secs(),
            shutdown_grace_seconds: 10,
            inferences_at_once: std::thread::available_parallelism().map_or(1, usize::from),
            inferences_waiting_max: 1000,
            seed: 0,
            capture: CaptureOptions::default(),
        }
    }
}

impl Options {
    pub(crate) fn stop_grace(&self) -> Duration {
        Duration::from_secs(self.stop_grace_seconds)
    }

    pub(crate) fn shutdown_grace(&self) -> Duration {
        Duration::from_secs(self.shutdown_grace_seconds)
    }
}
