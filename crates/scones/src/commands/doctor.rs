//! `scones doctor`: is everything here that Scones can use?

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use scones_store::{Condition, Error, SqliteStore};
use serde::Serialize;

use crate::{cli::DoctorArgs, client::Client, credentials, server, source, terminal};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// Something optional is missing.
    Note,
    /// Scones cannot work so.
    Problem,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    subject: &'static str,
    verdict: Verdict,
    finding: String,
}

impl Check {
    fn new(subject: &'static str, verdict: Verdict, finding: impl Into<String>) -> Self {
        Self {
            subject,
            verdict,
            finding: finding.into(),
        }
    }
}

pub(crate) fn run(arguments: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let directory = arguments.data.directory()?;
    let checks = [
        processor(),
        python(),
        data_directory(&directory),
        database(&directory),
        running_server(&directory, &arguments.data.option()),
        dataset(&arguments.data.downloads()?),
        onnx_runtime(&arguments.onnx.runtime()),
    ];
    if arguments.json {
        terminal::print(serde_json::to_string_pretty(&checks)?);
    } else {
        for Check {
            subject,
            verdict,
            finding,
        } in &checks
        {
            let mark = match verdict {
                Verdict::Ok => "ok     ",
                Verdict::Note => "note   ",
                Verdict::Problem => "PROBLEM",
            };
            terminal::print(format_args!("{mark} {subject}: {finding}"));
        }
    }
    let broken = checks.iter().any(|check| check.verdict == Verdict::Problem);
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn processor() -> Check {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    Check::new(
        "processors",
        Verdict::Ok,
        format!("{count}, used for training and inference"),
    )
}

fn python() -> Check {
    match Command::new("python3").arg("--version").output() {
        Ok(output) if output.status.success() => {
            let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            Check::new("python", Verdict::Ok, format!("python3.* functions run on {version}"))
        }
        _ => Check::new(
            "python",
            Verdict::Note,
            "there is no python3; functions with a python3.* runtime cannot run",
        ),
    }
}

fn data_directory(directory: &Path) -> Check {
    let subject = "data directory";
    let shown = directory.display();
    // What is not there yet is made below the nearest folder that is.
    let existing = directory
        .ancestors()
        .find(|folder| folder.exists())
        .unwrap_or(directory);
    match rustix::fs::access(existing, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
        Err(error) => {
            let finding = format!(
                "{shown} cannot be used: {} cannot be written to: {error}",
                existing.display()
            );
            Check::new(subject, Verdict::Problem, finding)
        }
        Ok(()) if existing == directory => Check::new(subject, Verdict::Ok, shown.to_string()),
        Ok(()) => Check::new(subject, Verdict::Ok, format!("{shown} will be made at the first start")),
    }
}

fn database(directory: &Path) -> Check {
    let subject = "database";
    if !directory.is_dir() {
        return Check::new(subject, Verdict::Ok, "none yet");
    }
    match SqliteStore::check(directory) {
        Ok(Condition::New) => Check::new(subject, Verdict::Ok, "none yet"),
        Ok(Condition::Sound) => Check::new(subject, Verdict::Ok, "can be read"),
        Err(error @ Error::InUse { .. }) => Check::new(
            subject,
            Verdict::Ok,
            format!("not looked into while it is open: {error}"),
        ),
        Err(error) => {
            let hint = server::store_hint(&error, directory).map(|hint| format!("; {hint}"));
            let finding = format!("{:#}{}", anyhow::Error::from(error), hint.unwrap_or_default());
            Check::new(subject, Verdict::Problem, finding)
        }
    }
}

fn running_server(directory: &Path, option: &str) -> Check {
    let subject = "server";
    let running = match server::find_running(directory) {
        Ok(Some(running)) => running,
        Ok(None) => {
            let program = terminal::program();
            let finding = format!("none runs on this data directory; start one with `{program} up{option}`");
            return Check::new(subject, Verdict::Note, finding);
        }
        Err(error) => return Check::new(subject, Verdict::Problem, format!("{error:#}")),
    };
    let finding = format!("process {} answers at {}", running.pid, running.endpoint);
    let key = match credentials::load(directory) {
        Ok(Some(key)) => key,
        Ok(None) => {
            let finding = format!(
                "{finding}, but {} is gone; start it again to have a new key made",
                credentials::path(directory).display()
            );
            return Check::new(subject, Verdict::Problem, finding);
        }
        Err(error) => return Check::new(subject, Verdict::Problem, format!("{finding}, but {error:#}")),
    };
    let client = Client::new(&running.endpoint, &key, running.owner.region.as_str());
    match client.list_objects("doctor", "") {
        Err(error) if error.code() != Some("NoSuchBucket") => {
            Check::new(subject, Verdict::Problem, format!("{finding}, but {error}"))
        }
        _ => Check::new(
            subject,
            Verdict::Ok,
            format!("{finding} and accepts the key of {}", directory.display()),
        ),
    }
}

fn dataset(downloads: &Path) -> Check {
    let archive = source::archive_in(downloads);
    if archive.exists() {
        Check::new("images", Verdict::Ok, format!("CIFAR-100 is in {}", archive.display()))
    } else {
        Check::new(
            "images",
            Verdict::Note,
            "CIFAR-100 has not been downloaded; the demo tries to, or draws images itself",
        )
    }
}

fn onnx_runtime(runtime: &scones_onnx::Runtime) -> Check {
    let subject = "ONNX Runtime";
    match runtime.check() {
        Ok(build) => Check::new(subject, Verdict::Ok, format!("models in ONNX run ({build})")),
        Err(error) => Check::new(subject, Verdict::Note, error.to_string()),
    }
}
