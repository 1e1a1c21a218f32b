//! `cargo xtask bench`: measurements, built in release.

mod nn;
mod workflows;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Training and inference against PyTorch and ONNX Runtime
    Nn(nn::Arguments),
    /// State machines over the wire: rates, latencies, restart, memory
    Workflows {
        /// Arguments for the measurement, such as `--rounds 3`, `--json` or `--help`
        #[arg(last = true)]
        arguments: Vec<String>,
    },
}

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    match bench {
        Bench::Nn(arguments) => nn::run(arguments),
        Bench::Workflows { arguments } => workflows::run(arguments),
    }
}
