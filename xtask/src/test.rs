//! `cargo xtask test`: Rust's tests, then real clients.

use anyhow::bail;

use crate::{
    clients,
    command::{cargo, run as execute, works},
};

pub(crate) fn run(rust_only: bool, clients_only: bool, pytest: &[String]) -> anyhow::Result<()> {
    let rust = if clients_only { Ok(()) } else { rust() };
    // A failure there says nothing about the clients.
    let clients = if rust_only { Ok(()) } else { clients::run(pytest) };
    match (rust, clients) {
        (Err(rust), Err(clients)) => bail!("{rust:#}, and {clients:#}"),
        (rust, clients) => rust.and(clients),
    }
}

fn rust() -> anyhow::Result<()> {
    // Tests of the wiring start the program itself.
    execute(&mut cargo("build --package scones --locked"))?;
    if works(&mut cargo("nextest --version")) {
        execute(&mut cargo("nextest run --workspace --locked --no-fail-fast"))?;
    } else {
        execute(&mut cargo("test --workspace --all-targets --locked --no-fail-fast"))?;
    }
    execute(&mut cargo("test --workspace --doc --locked"))
}
