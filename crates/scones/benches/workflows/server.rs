//! The program under load.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use scones_aws::sigv4::Signer;
use serde_json::Value;

/// A running `scones up`; killed when dropped.
pub(crate) struct Server {
    process: Child,
    directory: PathBuf,
    /// Host and port.
    pub(crate) address: String,
    pub(crate) signer: Signer,
    /// From the start of the process to the line that says it is ready.
    pub(crate) ready_after: Duration,
}

impl Server {
    /// Starts a server on `directory` and waits until it is ready.
    pub(crate) async fn start(directory: &Path) -> anyhow::Result<Self> {
        let directory = directory.to_owned();
        tokio::task::spawn_blocking(move || Self::start_blocking(directory)).await?
    }

    fn start_blocking(directory: PathBuf) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let mut process = scones(&["up", "--listen", "127.0.0.1:0", "--json"], &directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start scones")?;
        let mut line = String::new();
        let output = process.stdout.take().context("scones has no output")?;
        BufReader::new(output).read_line(&mut line)?;
        let ready_after = begun.elapsed();
        let ready: Value = serde_json::from_str(&line).context("scones did not get ready")?;
        let environment = scones(&["env", "--json"], &directory).output()?;
        let environment: Value = serde_json::from_slice(&environment.stdout).context("scones env failed")?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("a name is missing");
        Ok(Self {
            process,
            directory,
            address: text(&ready["endpoint"])?.trim_start_matches("http://").to_owned(),
            signer: Signer {
                access_key_id: text(&environment["AWS_ACCESS_KEY_ID"])?,
                secret_access_key: text(&environment["AWS_SECRET_ACCESS_KEY"])?,
                session_token: None,
                region: text(&environment["AWS_REGION"])?,
            },
            ready_after,
        })
    }

    /// Ends it as a power cut would and starts another on its directory.
    pub(crate) async fn kill_and_restart(mut self) -> anyhow::Result<Self> {
        self.kill();
        let directory = self.directory.clone();
        Self::start(&directory).await
    }

    /// Memory that the process holds, bytes; where the system tells.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        let id = self.process.id().to_string();
        let output = Command::new("ps").args(["-o", "rss=", "-p", &id]).output()?;
        ensure!(output.status.success(), "ps does not know process {id}");
        let kibibytes: u64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
        Ok(kibibytes * 1024)
    }

    fn kill(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn scones(arguments: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scones"));
    command.args(arguments).arg("--data-dir").arg(directory);
    command
}
