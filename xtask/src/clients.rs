//! Real AWS clients, from PyPI at pinned versions, against the real program.

use crate::command::{cargo, command, run as execute, skip, target_directory};
use crate::python::Environment;

const CLIENTS: Environment = Environment {
    folder: ".venv",
    requirements: "tests/clients/requirements.txt",
    what: "the clients",
    options: &[],
};

pub(crate) fn run(pytest: &[String]) -> anyhow::Result<()> {
    let python = match CLIENTS.install() {
        Ok(python) => python,
        Err(error) => return skip("the tests with real clients", &format!("{error:#}")),
    };
    execute(&mut cargo("build --package scones --locked"))?;
    let mut tests = command(python, &["-m", "pytest", "tests/clients"]);
    tests
        .args(pytest)
        .env("SCONES_PROGRAM", target_directory()?.join("debug/scones"));
    // What the user's own shell is set up for must not reach a real account.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        tests.env_remove(name);
    }
    execute(&mut tests)
}
