//! Where the recorded cases are, and how they are read. Shared with the tests
//! of the service, as are `compare` and `score`.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder of one suite, if the corpus is there.
pub(crate) fn suite(name: &str) -> Option<PathBuf> {
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
pub(crate) fn cases(folder: &Path) -> Vec<Value> {
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
pub(crate) fn shown(id: &str) -> bool {
    std::env::var("SCONES_ASL_SHOW").is_ok_and(|part| id.contains(&part))
}
