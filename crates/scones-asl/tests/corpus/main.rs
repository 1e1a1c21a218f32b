//! Runs recorded Step Functions cases against the interpreter, in process and
//! under virtual time, and keeps the score from falling.
//!
//! The cases do not ship. They are read from the folder that
//! `SCONES_ASL_CORPUS` names (default: `../shared/corpus/asl` beside the
//! workspace); without it every test says so and passes.
//! `SCONES_ASL_SHOW=text` prints the failures of the cases whose id holds the
//! text; `SCONES_ASL_RAISE=1` writes a better score into `score.json`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking and print their score"
)]

mod compare;
mod execution;
mod jsonata;
mod jsonpath;
mod score;
mod validity;

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder of one suite, if the corpus is there.
fn suite(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SCONES_ASL_CORPUS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/asl"),
        PathBuf::from,
    );
    let folder = root.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: there is no {}; set SCONES_ASL_CORPUS", folder.display());
    None
}

/// Every JSON file below a folder, in order of name.
fn cases(folder: &Path) -> Vec<Value> {
    let mut found = Vec::new();
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            found.extend(cases(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "json") {
            let text = std::fs::read_to_string(&entry).unwrap();
            found.push(serde_json::from_str(&text).unwrap());
        }
    }
    found
}

/// Whether the failures of a case are to be printed.
fn shown(id: &str) -> bool {
    std::env::var("SCONES_ASL_SHOW").is_ok_and(|part| id.contains(&part))
}
