//! The score that may rise and must not fall.

use std::collections::BTreeMap;
use std::path::Path;

type Rates = BTreeMap<String, f64>;

/// Passed and all cases, by group.
#[derive(Default)]
pub(crate) struct Tally(BTreeMap<String, (u32, u32)>);

impl Tally {
    pub(crate) fn add(&mut self, group: &str, passed: bool) {
        let entry = self.0.entry(group.to_owned()).or_default();
        entry.0 += u32::from(passed);
        entry.1 += 1;
    }

    /// Prints the rates, their mean last, and fails if one fell.
    pub(crate) fn check(&self, suite: &str) {
        let mut rates: Rates = self
            .0
            .iter()
            .map(|(group, (passed, all))| (group.clone(), f64::from(*passed) / f64::from(*all)))
            .collect();
        for (group, (passed, all)) in &self.0 {
            println!("{suite:<22} {group:<24} {passed:>4} of {all:>4}");
        }
        let mean = rates.values().sum::<f64>() / rates.len() as f64;
        println!("{suite:<22} mean {:.2}%", mean * 100.0);
        rates.insert("mean".to_owned(), mean);
        compare_with_file(suite, &rates);
    }
}

fn compare_with_file(suite: &str, rates: &Rates) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(super::SCORE);
    let read = || -> BTreeMap<String, Rates> {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|_| "{}".to_owned());
        serde_json::from_str(&text).unwrap()
    };
    let recorded = read().remove(suite).unwrap_or_default();
    for (group, before) in &recorded {
        let now = rates.get(group).copied().unwrap_or_default();
        assert!(
            now + 1e-9 >= *before,
            "{suite}: {group} fell from {before:.4} to {now:.4}"
        );
    }
    if std::env::var_os("SCONES_ASL_RAISE").is_some() {
        let mut all = read();
        all.insert(suite.to_owned(), rates.clone());
        std::fs::write(&path, serde_json::to_string_pretty(&all).unwrap() + "\n").unwrap();
    }
}
