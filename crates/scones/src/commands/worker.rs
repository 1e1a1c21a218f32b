//! The processes that the server starts for itself.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context as _, bail};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setpgid, setrlimit};

use scones_api::SystemClock;
use scones_sagemaker::worker::{Surroundings, run_training_worker};
use signal_hook::consts::SIGTERM;

use crate::{client::Client, terminal};

/// `scones worker train DIR`.
pub(crate) fn train(directory: &Path) -> anyhow::Result<ExitCode> {
    let stopped = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGTERM, Arc::clone(&stopped)).context("cannot listen for SIGTERM")?;
    let surroundings = Surroundings {
        is_stopped: &|| stopped.load(Ordering::Relaxed),
        print: &mut |line| terminal::print(line),
        clock: &SystemClock,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let code = run_training_worker(directory, surroundings)
        .with_context(|| format!("cannot write the outcome to {}", directory.display()))?;
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// `scones function NAME`.
pub(crate) fn function(name: &str) -> anyhow::Result<ExitCode> {
    if !scones_functions::NAMES.contains(&name) {
        bail!(
            "there is no function {name}; there are {}",
            scones_functions::NAMES.join(", ")
        );
    }
    scones_functions::run(name, &Client::from_environment()?)?;
    Ok(ExitCode::SUCCESS)
}

/// `scones worker exec PROGRAM ARGS`: gives up what a function's process does
/// not need, then becomes the program.
pub(crate) fn exec(command: &[OsString]) -> anyhow::Result<ExitCode> {
    let Some((program, arguments)) = command.split_first() else {
        bail!("no program is named")
    };
    // A group of its own, so that the server can stop the program with all its children.
    setpgid(None, None).context("cannot make a process group")?;
    #[cfg(target_os = "linux")]
    {
        super::log_to_stderr();
        if let Err(error) = super::own_tmp::enter(Path::new(program)) {
            tracing::debug!(
                reason = format!("{error:#}"),
                "/tmp is the machine's, shared with others"
            );
        }
        // The program ends with the server, even if the server is killed.
        set_parent_process_death_signal(Some(Signal::KILL)).context("cannot tie the program to its parent")?;
        rustix::thread::set_no_new_privs(true).context("cannot give up gaining privileges")?;
    }
    // No core files: they would hold the environment's keys.
    limit(Resource::Core, 0)?;
    let error = std::process::Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", Path::new(program).display()))
}

/// Lowers a limit; never raises one.
fn limit(resource: Resource, value: u64) -> anyhow::Result<()> {
    let value = getrlimit(resource).maximum.map_or(value, |maximum| maximum.min(value));
    setrlimit(
        resource,
        Rlimit {
            current: Some(value),
            maximum: Some(value),
        },
    )
    .with_context(|| format!("cannot limit {resource:?}"))
}
