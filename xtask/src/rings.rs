//! Dependencies point inwards: core, then services, then edges.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::command::{metadata, say};

/// Decisions and arithmetic.
const CORE: &[&str] = &["scones-api", "scones-asl", "scones-nn", "scones-vision"];

/// What services stand on.
const STORE: &str = "scones-store";

/// What calls a library of the machine's.
const ONNX: &str = "scones-onnx";

/// One crate a service; none needs another.
const SERVICES: &[&str] = &[
    "scones-logs",
    "scones-iam",
    "scones-s3",
    "scones-lambda",
    "scones-states",
    "scones-sagemaker",
];

/// What is above them.
const EDGES: &[&str] = &["scones-aws", "scones-functions", "scones"];

/// What no core crate may need: it would bring a runtime, a disk or a network.
const FORBIDDEN_IN_CORE: &[&str] = &["tokio", "hyper", "axum", "rusqlite", "s3s", "ureq", "ort", STORE];

/// A crate that edges alone may need.
const FOR_EDGES: &str = "clap";

type Graph = BTreeMap<String, BTreeSet<String>>;

/// Fails and names the way if a crate reaches one that it must not.
pub(crate) fn check() -> anyhow::Result<()> {
    let graph = graph(&metadata(&[])?)?;
    let outwards = [EDGES, &[FOR_EDGES]].concat();
    let from_store = [SERVICES, &outwards].concat();
    let core = CORE.iter().map(|name| (*name, FORBIDDEN_IN_CORE.to_vec()));
    let store = [STORE, ONNX].map(|name| (name, from_store.clone()));
    // A crate is on no way from itself, so a service may be among what is forbidden to it.
    let services = SERVICES.iter().map(|name| (*name, from_store.clone()));
    for (name, forbidden) in core.chain(store).chain(services) {
        ensure!(graph.contains_key(name), "{name} is in a ring but not in the workspace");
        let way = way_to(&graph, name, &forbidden);
        ensure!(
            way.is_none(),
            "{name} depends on what its ring may not: {}",
            way.unwrap_or_default().join(" -> ")
        );
    }
    say("dependencies point inwards");
    Ok(())
}

/// Which crates each crate needs to run, by name. Build and test dependencies
/// do not count.
fn graph(metadata: &Value) -> anyhow::Result<Graph> {
    let nodes = metadata
        .pointer("/resolve/nodes")
        .and_then(Value::as_array)
        .context("cargo metadata has no graph")?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata has no packages")?;
    let names: BTreeMap<&str, &str> = packages
        .iter()
        .filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?)))
        .collect();
    let mut graph = Graph::new();
    for node in nodes {
        let Some(name) = node["id"].as_str().and_then(|id| names.get(id)) else {
            continue;
        };
        let needed = graph.entry((*name).to_owned()).or_default();
        for dependency in node["deps"].as_array().into_iter().flatten() {
            let kinds = dependency["dep_kinds"].as_array();
            let runs = kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()));
            if let Some(name) = dependency["pkg"].as_str().and_then(|id| names.get(id)).filter(|_| runs) {
                needed.insert((*name).to_owned());
            }
        }
    }
    Ok(graph)
}

/// The shortest way from a crate to a forbidden one.
fn way_to(graph: &Graph, from: &str, forbidden: &[&str]) -> Option<Vec<String>> {
    let mut ways = std::collections::VecDeque::from([vec![from.to_owned()]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        let last = way.last()?;
        if way.len() > 1 && forbidden.contains(&last.as_str()) {
            return Some(way);
        }
        for next in graph
            .get(last)
            .into_iter()
            .flatten()
            .filter(|next| seen.insert((*next).clone()))
        {
            ways.push_back(way.iter().cloned().chain([next.clone()]).collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_outwards_is_found_and_shown() {
        let edges = [("a", &["b", "c"][..]), ("b", &["d"]), ("c", &["tokio"]), ("d", &[])];
        let graph: Graph = edges
            .iter()
            .map(|(name, needed)| {
                (
                    (*name).to_owned(),
                    needed.iter().map(|name| (*name).to_owned()).collect(),
                )
            })
            .collect();
        assert_eq!(way_to(&graph, "a", &["tokio"]).unwrap(), ["a", "c", "tokio"]);
        assert_eq!(way_to(&graph, "b", &["tokio"]), None);
        assert_eq!(way_to(&graph, "a", &["a"]), None);
    }
}
