//! Measurements against what users could pick instead.

mod nn;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Training and inference against PyTorch and ONNX Runtime
    Nn(nn::Arguments),
}

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    match bench {
        Bench::Nn(arguments) => nn::run(arguments),
    }
}
