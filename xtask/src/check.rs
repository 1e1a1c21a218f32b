//! `cargo xtask check`: everything about the code but its behaviour.

use crate::{
    command::{cargo, run as execute, say, skip, works},
    rings,
};

pub(crate) fn run() -> anyhow::Result<()> {
    execute(&mut cargo("fmt --all --check"))?;
    execute(&mut cargo(
        "clippy --workspace --all-targets --locked -- --deny warnings",
    ))?;
    execute(cargo("doc --workspace --no-deps --locked").env("RUSTDOCFLAGS", "--deny warnings"))?;
    rings::check()?;
    deny()?;
    say("all checks passed");
    Ok(())
}

/// Licences, sources and banned crates, as `deny.toml` says. Advisories need
/// a database from the network and are left to a scheduled run.
fn deny() -> anyhow::Result<()> {
    if works(&mut cargo("deny --version")) {
        return execute(&mut cargo("deny --workspace --locked check bans licenses sources"));
    }
    skip("cargo deny", "install it with `cargo install --locked cargo-deny`")
}
