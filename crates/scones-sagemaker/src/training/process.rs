//! A training process: started so that it outlives this one, and known again by its number and
//! the moment that it began.

use std::{ffi::OsString, fs::OpenOptions, io, path::Path, process::Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};

use super::directory::JobDirectory;

/// Which process, for good: numbers are used again, but not together with the moment of the
/// process's beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessIdentity {
    pub pid: u32,
    /// The system's boot and the ticks since then, as the kernel writes them.
    pub began: String,
}

impl ProcessIdentity {
    /// The identity of a process that runs now.
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self {
            pid,
            began: beginning(pid)?,
        })
    }

    pub fn is_running(&self) -> bool {
        beginning(self.pid).is_some_and(|began| began == self.began)
    }

    /// Sends a signal to the process and all that it started, if it still runs.
    pub fn signal(&self, signal: Signal) {
        let group = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let Some(group) = group.filter(|_| self.is_running()) else {
            return;
        };
        if let Err(error) = kill_process_group(group, signal) {
            tracing::debug!(pid = self.pid, %error, "the training process could not be signalled");
        }
    }
}

/// When a running process began; `None` for one that has ended, also when it was not waited for.
#[cfg(target_os = "linux")]
fn beginning(pid: u32) -> Option<String> {
    // Field 2 is the program's name in parentheses, which may hold anything.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    // Field 22, counted from field 3 which was taken.
    let ticks = fields.nth(18)?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    (!matches!(state, "Z" | "X")).then(|| format!("{}/{ticks}", boot.trim()))
}

/// When a running process began, as `ps` tells it.
#[cfg(not(target_os = "linux"))]
fn beginning(pid: u32) -> Option<String> {
    let output = std::process::Command::new("ps")
        .args(["-o", "stat=,lstart=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let (state, began) = text.split_once(char::is_whitespace)?;
    (!state.starts_with('Z')).then(|| began.trim().to_owned())
}

/// What a training process takes over of the server's environment, in which there may be secrets
/// of its user.
const KEPT_VARIABLES: [&str; 3] = ["PATH", "TMPDIR", "RAYON_NUM_THREADS"];

/// A training process of this server, or of the one before.
pub(crate) enum TrainingProcess {
    /// Started by this server.
    Child(Child, ProcessIdentity),
    /// Found running after a restart.
    Adopted(ProcessIdentity),
}

impl TrainingProcess {
    /// Starts `command DIRECTORY` in a process group of its own, its output appended to the
    /// directory's log.
    pub fn start(command: &[OsString], directory: &JobDirectory, environment: &[(&str, &str)]) -> io::Result<Self> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(io::Error::other("no training command is configured"));
        };
        let log = open_log(&directory.log())?;
        let mut child = Command::new(program)
            .args(arguments)
            .arg(directory.path())
            .env_clear()
            .envs(
                KEPT_VARIABLES
                    .into_iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(false)
            .spawn()?;
        let identity = child.id().and_then(ProcessIdentity::of);
        // A process that has already ended still has a number until it is waited for.
        let identity = identity.or_else(|| {
            Some(ProcessIdentity {
                pid: child.id()?,
                began: String::new(),
            })
        });
        match identity {
            Some(identity) => Ok(Self::Child(child, identity)),
            None => {
                let status = child.try_wait()?;
                Err(io::Error::other(format!("it ended at once: {status:?}")))
            }
        }
    }

    pub fn identity(&self) -> &ProcessIdentity {
        match self {
            Self::Child(_, identity) | Self::Adopted(identity) => identity,
        }
    }

    /// How the process ended, if it has; in words for a failure reason.
    pub fn ended(&mut self) -> Option<String> {
        match self {
            Self::Child(child, _) => match child.try_wait() {
                Ok(None) => None,
                Ok(Some(status)) => Some(status.to_string()),
                Err(error) => Some(error.to_string()),
            },
            Self::Adopted(identity) => {
                (!identity.is_running()).then(|| "it was not a child of this server, which was restarted".to_owned())
            }
        }
    }
}

fn open_log(path: &Path) -> io::Result<std::fs::File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_running_and_no_other_is_it() {
        let this = ProcessIdentity::of(std::process::id()).unwrap();
        assert!(this.is_running());
        let other = ProcessIdentity {
            began: "another boot/1".to_owned(),
            ..this
        };
        assert!(!other.is_running());
        assert_eq!(ProcessIdentity::of(u32::MAX), None);
    }
}
