//! One module a command.

mod asl;
mod data;
mod demo;
mod doctor;
mod env;
mod evaluate;
#[cfg(target_os = "linux")]
mod own_tmp;
mod predict;
mod train;
mod up;
mod worker;

use std::{io::IsTerminal as _, process::ExitCode};

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::cli::{AslCommand, Command, DataCommand, WorkerCommand};

/// Runs a command to its end.
pub(crate) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Up(arguments) => up::run(&arguments),
        Command::Env(arguments) => env::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Data {
            command: DataCommand::Import(arguments),
        } => data::import(&arguments),
        Command::Train(arguments) => train::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Evaluate(arguments) => evaluate::run(&arguments),
        Command::Asl {
            command: AslCommand::Check(arguments),
        } => asl::check(&arguments),
        Command::Function { name } => worker::function(&name),
        Command::Worker {
            command: WorkerCommand::Train { directory },
        } => worker::train(&directory),
        Command::Worker {
            command: WorkerCommand::Exec { program },
        } => worker::exec(&program),
    }
}

/// The runtime of commands that serve.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// Warnings and errors go to stderr; `SCONES_LOG` asks for more, for example
/// `SCONES_LOG=debug`. s3s calls every refused request an error; it stays silent.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("SCONES_LOG").unwrap_or_else(|_| EnvFilter::new("warn,s3s=off"));
    let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        // Its own complaints about a closed stderr would go to stderr, and panic.
        .log_internal_errors(false)
        .init();
}
