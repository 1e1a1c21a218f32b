//! The folder that a training process works in, laid out as SageMaker lays out `/opt/ml`.
//! <https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html>

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::record::TrainingJobRecord;

/// The paths of one training job's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobDirectory(PathBuf);

/// What the training process says of its own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExitRecord {
    /// 0 for success.
    pub code: i32,
    /// Whether it ended early because it was told to.
    pub stopped: bool,
}

impl JobDirectory {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where the folders of all jobs are, below the service's folder.
    pub fn all(root: &Path) -> PathBuf {
        root.join("jobs")
    }

    /// The folder of a job's present attempt below the service's folder.
    pub fn of(root: &Path, job: &TrainingJobRecord) -> Self {
        Self(Self::all(root).join(format!("{}.{}", job.name, job.attempt)))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn config(&self, name: &str) -> PathBuf {
        self.0.join("input/config").join(name)
    }

    pub fn channel(&self, name: &str) -> PathBuf {
        self.0.join("input/data").join(name)
    }

    /// The manifest that lists a channel's objects, where one does.
    pub fn manifest(&self, channel: &str) -> PathBuf {
        self.config(&format!("{channel}.manifest"))
    }

    pub fn model(&self) -> PathBuf {
        self.0.join("model")
    }

    pub fn output(&self) -> PathBuf {
        self.0.join("output")
    }

    /// Where the process stood after an epoch, for the one that takes its place.
    pub fn checkpoint(&self) -> PathBuf {
        self.0.join("checkpoints/last.safetensors")
    }

    /// What the process prints.
    pub fn log(&self) -> PathBuf {
        self.output().join("log")
    }

    /// How much of the log has become log events: a number of bytes.
    pub fn log_position(&self) -> PathBuf {
        self.output().join("log.position")
    }

    /// Why the process failed, in words for the user.
    pub fn failure(&self) -> PathBuf {
        self.output().join("failure")
    }

    pub fn exit(&self) -> PathBuf {
        self.output().join("exit.json")
    }

    /// Where the artefact is packed before it is uploaded.
    pub fn artefact(&self) -> PathBuf {
        self.0.join("model.tar.gz")
    }

    /// Makes the folder anew, with its configuration files.
    pub fn create(&self, job: &TrainingJobRecord) -> io::Result<()> {
        self.remove()?;
        for folder in ["input/config", "input/data", "model", "checkpoints", "output"] {
            std::fs::create_dir_all(self.0.join(folder))?;
        }
        let request = &job.request;
        let channels: serde_json::Map<String, serde_json::Value> = request
            .input_data_config
            .iter()
            .map(|channel| {
                let mut settings = json!({
                    "ContentType": channel.content_type,
                    "TrainingInputMode": "File",
                    "S3DistributionType": "FullyReplicated",
                    "RecordWrapperType": "None",
                });
                let source = channel.data_source.s3_data_source.as_ref();
                if let Some(names) = source.and_then(|source| source.attribute_names.as_ref()) {
                    settings["AttributeNames"] = json!(names);
                }
                (channel.channel_name.clone(), settings)
            })
            .collect();
        let resources = json!({
            "current_host": "algo-1",
            "hosts": ["algo-1"],
            "network_interface_name": "lo",
        });
        let write = |name: &str, value: &serde_json::Value| std::fs::write(self.config(name), value.to_string());
        write("hyperparameters.json", &json!(request.hyper_parameters))?;
        write("inputdataconfig.json", &serde_json::Value::Object(channels))?;
        write("resourceconfig.json", &resources)?;
        let idle = request.without_effect();
        if !idle.is_empty() {
            let line = format!("Accepted without effect on this machine: {}\n", idle.join(", "));
            std::fs::write(self.log(), line)?;
        }
        Ok(())
    }

    /// Removes the folder, if there is one.
    pub fn remove(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes everything but the log and the reason of the failure.
    pub fn keep_log_only(&self) -> io::Result<()> {
        for folder in ["input", "model", "checkpoints"] {
            let removed = std::fs::remove_dir_all(self.0.join(folder));
            if let Err(error) = removed
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// The process's own record of its end, once it is there.
    pub fn read_exit(&self) -> Option<ExitRecord> {
        let bytes = std::fs::read(self.exit()).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Writes the record of the end: whole or not at all.
    pub fn write_exit(&self, exit: ExitRecord) -> io::Result<()> {
        let draft = self.output().join("exit.json.draft");
        std::fs::write(&draft, serde_json::to_vec(&exit).map_err(io::Error::other)?)?;
        std::fs::File::open(&draft)?.sync_all()?;
        std::fs::rename(draft, self.exit())
    }

    /// The reason of the failure, if the process left one.
    pub fn read_failure(&self) -> Option<String> {
        let text = std::fs::read(self.failure()).ok()?;
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }
}
