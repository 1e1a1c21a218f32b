//! Real AWS clients, from PyPI at pinned versions, against the real program.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::Value;

use crate::command::{cargo, command, output, root, run as execute, say, skip, works};

/// The pinned versions.
const REQUIREMENTS: &str = "tests/clients/requirements.txt";

pub(crate) fn run(pytest: &[String]) -> anyhow::Result<()> {
    if !works(&mut command("python3", &["-c", "import venv, ensurepip"])) {
        return skip("the tests with real clients", "python3 with venv is needed");
    }
    let environment = root().join(".venv");
    if let Err(error) = install(&environment) {
        return skip("the tests with real clients", &format!("{error:#}"));
    }
    execute(&mut cargo(&["build", "--package", "scones", "--locked"]))?;
    let python = environment.join("bin/python");
    let mut tests = command(python, &["-m", "pytest", "tests/clients"]);
    tests.args(pytest).env("SCONES_PROGRAM", program()?);
    // What the user's own shell is set up for must not reach a real account.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        tests.env_remove(name);
    }
    execute(&mut tests)
}

/// Where cargo puts the program, which the user's configuration decides.
fn program() -> anyhow::Result<PathBuf> {
    let metadata = output(&mut cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--locked",
    ]))?;
    let metadata: Value = serde_json::from_slice(&metadata).context("cargo metadata is not JSON")?;
    let target = metadata["target_directory"]
        .as_str()
        .context("cargo metadata has no target directory")?;
    Ok(Path::new(target).join("debug/scones"))
}

/// Makes the virtual environment, unless it is there with the same versions.
fn install(environment: &Path) -> anyhow::Result<()> {
    let wanted =
        fs::read_to_string(root().join(REQUIREMENTS)).with_context(|| format!("cannot read {REQUIREMENTS}"))?;
    let stamp = environment.join("installed-requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    say("installing the clients from PyPI");
    execute(command("python3", &["-m", "venv", "--clear"]).arg(environment))?;
    let python = environment.join("bin/python");
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
        REQUIREMENTS,
    ];
    execute(&mut command(&python, &pip)).context("PyPI cannot be reached or lacks a version")?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
}
