//! Training jobs.
//!
//! - [`create`]: CreateTrainingJob and its validation.
//! - [`describe`]: DescribeTrainingJob, ListTrainingJobs, StopTrainingJob.
//! - [`record`]: what the store keeps of a job, and its states.
//! - [`run`]: a job from its creation, or from a restart of the server, to its end.
//! - [`directory`]: the folder that a job's process works in.
//! - [`download`] and [`upload`]: data in, artefacts out.
//! - [`process`]: a child process that outlives the server.
//! - [`log`]: its log file to log events and metrics.

pub(crate) mod create;
pub(crate) mod describe;
pub(crate) mod directory;
pub(crate) mod download;
pub(crate) mod log;
pub(crate) mod process;
pub(crate) mod record;
pub(crate) mod run;
pub(crate) mod upload;
