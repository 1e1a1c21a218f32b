//! Running programs from the workspace's root.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// A command in the workspace's root.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// Cargo, as it runs this program, with arguments that are separated by blanks.
pub(crate) fn cargo(arguments: &str) -> Command {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), &arguments)
}

/// What `cargo metadata` says, with more arguments or none.
pub(crate) fn metadata(arguments: &[&str]) -> anyhow::Result<Value> {
    let metadata = output(cargo("metadata --format-version 1 --locked").args(arguments))?;
    serde_json::from_slice(&metadata).context("cargo metadata is not JSON")
}

/// Where cargo puts what it builds, which the user's configuration decides.
pub(crate) fn target_directory() -> anyhow::Result<PathBuf> {
    let metadata = metadata(&["--no-deps"])?;
    let target = metadata["target_directory"].as_str();
    Ok(target.context("cargo metadata has no target directory")?.into())
}

/// Runs a command to its end; failing is an error that shows the command.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = show(command);
    say(format_args!("$ {shown}"));
    let status = command.status().with_context(|| format!("cannot run `{shown}`"))?;
    ensure!(status.success(), "`{shown}` failed ({status})");
    Ok(())
}

/// What a command prints.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let shown = show(command);
    let output = command.output().with_context(|| format!("cannot run `{shown}`"))?;
    ensure!(
        output.status.success(),
        "`{shown}` failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

/// Whether a command can be run and succeeds, quietly.
pub(crate) fn works(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// What must not be missing where `CI` is set is left out, and said, elsewhere.
pub(crate) fn skip(what: &str, why: &str) -> anyhow::Result<()> {
    ensure!(
        std::env::var_os("CI").is_none(),
        "{what} cannot run ({why}), and CI may leave nothing out"
    );
    say(format_args!("SKIPPED: {what}: {why}"));
    Ok(())
}

/// One line on stderr, in order with what commands print there.
#[expect(clippy::print_stderr, reason = "this is a command-line program")]
pub(crate) fn say(line: impl std::fmt::Display) {
    eprintln!("{line}");
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
