//! `cargo xtask bench workflows`: `crates/scones/benches/workflows`.

use crate::command::{cargo, run as execute};

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let mut command = cargo("bench --package scones --bench workflows --locked --");
    execute(command.args(arguments))
}
