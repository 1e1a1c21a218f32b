//! `cargo xtask pretrain`: `crates/scones-vision/examples/pretrain.rs`, whose result is in the tree.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::command::{cargo, root, run as execute};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// CIFAR-10 as a zip archive or folder of train/CLASS/*.jpg and test/CLASS/*.jpg
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Where the model goes
    #[arg(long, value_name = "DIR", default_value = "crates/scones-vision/backbone")]
    out: PathBuf,
    /// Where checkpoints are kept until it is done
    #[arg(long, value_name = "DIR", default_value = "target/pretrain")]
    work: PathBuf,
    /// Threads; another number gives slightly other weights
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let data = std::path::absolute(&arguments.data).context("cannot tell the working directory")?;
    let mut command = cargo("run --release --locked --package scones-vision --example pretrain --");
    command.arg("--data").arg(data);
    command.arg("--work").arg(root().join(&arguments.work));
    command.arg("--out").arg(root().join(&arguments.out));
    execute(command.args(["--threads", &arguments.threads.to_string()]))
}
