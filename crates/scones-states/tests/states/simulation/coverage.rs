//! What the servers of a simulation came to: kinds of events, steps by their
//! causes, steps that an execution was brought back after, and writes that a
//! server died at. `reached.txt` lists what the standing seeds have come to;
//! it may grow and must not shrink. Deaths are printed only: each server dies
//! at one write of thousands, and any change of the engine moves it to another.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::Value;

use crate::common::{memory::Disk, text};

#[derive(Default)]
pub struct Coverage(BTreeMap<String, u64>);

impl Coverage {
    fn count(&mut self, what: String) {
        *self.0.entry(what).or_default() += 1;
    }

    pub fn add(&mut self, disk: &Disk) {
        for history in disk.histories() {
            let entries = history.iter().map(|entry| serde_json::from_slice(entry).unwrap());
            let entries: Vec<Value> = entries.collect();
            for entry in &entries {
                self.count(format!("step {}", cause(entry)));
                for event in entry["events"].as_array().unwrap() {
                    self.count(format!("event {}", text(&event["type"])));
                }
            }
            for pair in entries.windows(2) {
                if pair[0]["writer"] != pair[1]["writer"] {
                    self.count(format!("back after {}", cause(&pair[0])));
                }
            }
        }
        for write in disk.deaths() {
            self.count(format!("death at {write}"));
        }
    }

    pub fn print(&self) {
        for (what, count) in &self.0 {
            println!("{what:<40} {count:>7}");
        }
    }

    /// Fails if something, deaths aside, that `reached.txt` lists was not come to.
    pub fn check(&self) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/states/simulation/reached.txt");
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        let before: BTreeSet<&str> = before.lines().collect();
        let now: BTreeSet<&str> = self.0.keys().map(String::as_str).collect();
        let now: BTreeSet<&str> = now.into_iter().filter(|what| !what.starts_with("death")).collect();
        let lost: Vec<&&str> = before.difference(&now).collect();
        assert!(lost.is_empty(), "no seed comes to these any more: {lost:#?}");
        let new: Vec<&&str> = now.difference(&before).collect();
        if std::env::var_os("SCONES_SIMULATION_RAISE").is_some() {
            let lines: Vec<&str> = now.into_iter().collect();
            std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        } else if !new.is_empty() {
            println!("new, to be added with SCONES_SIMULATION_RAISE=1: {new:#?}");
        }
    }
}

/// `Start`, `TaskSucceeded`, `TimerFired`.
fn cause(entry: &Value) -> String {
    let name = |value: &Value| match value {
        Value::String(name) => name.clone(),
        Value::Object(members) => members.keys().next().unwrap().clone(),
        other => panic!("{other} is no cause"),
    };
    match entry["cause"].get("Input") {
        Some(input) => name(input),
        None => name(&entry["cause"]),
    }
}
