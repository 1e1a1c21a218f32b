//! State machines over the wire: the program itself, on a data directory of
//! its own on this machine's disk, under load from signed keep-alive
//! connections in another process.
//!
//! `cargo xtask bench workflows` builds both in release and runs this. The
//! rows take turns, so that a slow minute of the machine touches all of them;
//! a row's figure is the median of its rounds, with the lowest and the highest.
//! Durable writes wait for the disk, so its time for one is printed beside.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

mod client;
mod disk;
mod load;
mod report;
mod scenarios;
mod server;

use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;

use report::Report;
use server::Server;

/// Measures state machines over the wire
#[derive(Debug, Parser)]
struct Cli {
    /// Rounds of each load; the median is reported
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each round
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Waiting executions in the server that is killed and started again
    #[arg(long, default_value_t = 10_000)]
    waiting: usize,
    /// One JSON document instead of a table
    #[arg(long)]
    json: bool,
    /// Given by `cargo bench`; without it, as in `cargo test`, nothing is measured
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if !cli.bench {
        println!("nothing is measured; use `cargo xtask bench workflows`");
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the client's threads")?;
    let report = runtime.block_on(measure(&cli))?;
    println!("{}", if cli.json { report.json() } else { report.table() });
    Ok(())
}

async fn measure(cli: &Cli) -> anyhow::Result<Report> {
    // On the disk that builds are on, not in a file system in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).context("cannot make a data directory")?;
    let mut report = Report::new(disk::sync_time(folder.path())?);

    let server = Server::start(&folder.path().join("load")).await?;
    let mut loads = scenarios::loads(&server).await?;
    for round in 1..=cli.rounds {
        for load in &mut loads {
            say(&format!("round {round} of {}: {}", cli.rounds, load.name));
            let measured = load.run(&server, Duration::from_secs(cli.seconds)).await?;
            report.add_load(load, &measured);
        }
    }
    drop(server);

    say(&format!("{} executions that wait, a kill and a restart", cli.waiting));
    let restart = scenarios::restart(&folder.path().join("restart"), cli.waiting).await?;
    report.add_restart(&restart);
    Ok(report)
}

#[expect(clippy::print_stderr, reason = "progress, for people")]
fn say(line: &str) {
    eprintln!("{line}");
}
