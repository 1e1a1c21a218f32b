//! The project's chores: `cargo xtask check`, `test`, `bench` and `pretrain`.

mod bench;
mod check;
mod clients;
mod command;
mod pretrain;
mod python;
mod rings;
mod test;

use clap::{Parser, Subcommand};

/// The project's chores
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Format, lints, documentation, licences and the direction of dependencies
    Check,
    /// Every test: Rust's, then real AWS clients against the real program
    Test {
        /// Only the Rust tests
        #[arg(long)]
        rust_only: bool,
        /// Only the real clients; arguments after `--` go to pytest
        #[arg(long, conflicts_with = "rust_only")]
        clients_only: bool,
        /// Arguments for pytest
        #[arg(last = true)]
        pytest: Vec<String>,
    },
    /// Measurements; not tests, and not run by CI
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Train the network that ships inside the program; goes on where it was interrupted
    Pretrain(pretrain::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().verb {
        Verb::Check => check::run(),
        Verb::Test {
            rust_only,
            clients_only,
            pytest,
        } => test::run(rust_only, clients_only, &pytest),
        Verb::Bench(bench) => bench::run(&bench),
        Verb::Pretrain(arguments) => pretrain::run(&arguments),
    }
}
