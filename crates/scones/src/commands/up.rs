//! `scones up`: the server, until it is told to stop.

use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::{cli::UpArgs, server::Instance, terminal};

pub(crate) fn run(arguments: &UpArgs) -> anyhow::Result<ExitCode> {
    super::log_to_stderr();
    super::runtime()?.block_on(serve(arguments))
}

async fn serve(arguments: &UpArgs) -> anyhow::Result<ExitCode> {
    let mut stopped = Stopped::new()?;
    let instance = tokio::select! {
        started = Instance::start(&arguments.server) => started?,
        () = stopped.wait() => return Ok(ExitCode::SUCCESS),
    };
    let directory = arguments.server.data.directory()?;
    if arguments.json {
        let ready = json!({"endpoint": instance.endpoint, "dataDirectory": directory, "pid": std::process::id()});
        terminal::print(ready);
    } else {
        terminal::print(format_args!("Scones is ready at {}", instance.endpoint));
        terminal::print(format_args!("Data is kept in {}", directory.display()));
        let option = arguments.server.data.option();
        terminal::print(format_args!(
            "In another terminal: eval \"$({} env{option})\" && aws s3 ls",
            terminal::program()
        ));
    }
    stopped.wait().await;
    terminal::say("stopping");
    tokio::select! {
        () = instance.stop() => Ok(ExitCode::SUCCESS),
        // Whoever asks twice wants it now; what is durable stays so.
        () = stopped.wait() => Ok(ExitCode::from(130)),
    }
}

/// Ctrl-C and SIGTERM.
pub(crate) struct Stopped {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Stopped {
    /// Listens from now on.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// The next request to stop.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
