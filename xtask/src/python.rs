//! Virtual environments with pinned packages from PyPI.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, ensure};

use crate::command::{command, root, run as execute, say, works};

/// A virtual environment in the workspace's root.
pub(crate) struct Environment {
    pub(crate) folder: &'static str,
    /// The file of the packages.
    pub(crate) requirements: &'static str,
    /// What is in it, for people.
    pub(crate) what: &'static str,
    /// Options of `pip install` beside the usual ones.
    pub(crate) options: &'static [&'static str],
}

impl Environment {
    /// Makes it, unless it is there with the same versions; gives its interpreter.
    pub(crate) fn install(&self) -> anyhow::Result<PathBuf> {
        ensure!(
            works(&mut command("python3", &["-c", "import venv, ensurepip"])),
            "python3 with venv is needed"
        );
        let folder = root().join(self.folder);
        let python = folder.join("bin/python");
        let wanted = fs::read_to_string(root().join(self.requirements))
            .with_context(|| format!("cannot read {}", self.requirements))?;
        let stamp = folder.join("installed-requirements.txt");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(python);
        }
        say(format_args!("installing {} from PyPI", self.what));
        execute(command("python3", &["-m", "venv", "--clear"]).arg(&folder))?;
        let mut pip = command(
            &python,
            &["-m", "pip", "install", "--quiet", "--disable-pip-version-check"],
        );
        execute(pip.args(self.options).args(["--requirement", self.requirements]))
            .context("PyPI cannot be reached or lacks a version")?;
        fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
        Ok(python)
    }
}
