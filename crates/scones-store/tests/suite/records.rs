use std::{collections::BTreeMap, path::Path, sync::Arc};

use bytes::Bytes;
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};
use scones_store::{Collection, Error, Expected, ListQuery, Records as _, Revision, Store};

use super::Backend;

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub async fn records_obey_what_a_write_expects(backend: &impl Backend, directory: &Path) {
    let store = backend.open(directory).await;
    let put = |value: &str, expected| store.put("t", "k", bytes(value), expected);
    let conflict = |result: Result<Revision, Error>| {
        assert!(
            matches!(&result, Err(Error::Conflict { table, key }) if table == "t" && key == "k"),
            "{result:?}"
        );
    };
    assert_eq!(store.get("t", "k").await.unwrap(), None);
    conflict(put("a", Expected::At(Revision(1))).await);
    store.delete("t", "k", Expected::Anything).await.unwrap();
    store.delete("t", "k", Expected::Absent).await.unwrap();

    let first = put("a", Expected::Absent).await.unwrap();
    conflict(put("b", Expected::Absent).await);
    assert!(store.delete("t", "k", Expected::Absent).await.is_err());
    let record = store.get("t", "k").await.unwrap().unwrap();
    assert_eq!((record.value, record.revision), (bytes("a"), first));

    let second = put("b", Expected::At(first)).await.unwrap();
    assert!(second > first);
    conflict(put("c", Expected::At(first)).await);
    assert!(store.delete("t", "k", Expected::At(first)).await.is_err());
    let third = put("c", Expected::Anything).await.unwrap();
    assert!(third > second);
    assert_eq!(store.get("other", "k").await.unwrap(), None);
    store.delete("t", "k", Expected::At(third)).await.unwrap();
    assert_eq!(store.get("t", "k").await.unwrap(), None);
}

pub async fn a_revision_never_comes_back(backend: &impl Backend, directory: &Path) {
    let mut last = Revision(0);
    for _ in 0..3 {
        let store = backend.open(directory).await;
        for _ in 0..3 {
            let revision = store.put("t", "k", bytes("v"), Expected::Absent).await.unwrap();
            assert!(revision > last);
            last = revision;
            store.delete("t", "k", Expected::At(revision)).await.unwrap();
        }
        backend.close(store).await;
    }
}

pub async fn counting_with_compare_and_set_loses_nothing(backend: &impl Backend, directory: &Path) {
    const TASKS: u64 = 8;
    const STEPS: u64 = 25;
    let store: Arc<dyn Store> = backend.open(directory).await;
    let counters = Collection::<u64>::new(store, "t");
    counters.create("k", &0).await.unwrap();
    let tasks = (0..TASKS).map(|_| {
        let counters = counters.clone();
        tokio::spawn(async move {
            for _ in 0..STEPS {
                let count = |value: &mut u64| {
                    *value += 1;
                    Ok::<_, Error>(())
                };
                counters.update("k", count).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(counters.get("k").await.unwrap().unwrap().value, TASKS * STEPS);
}

pub async fn one_operation_that_conflicts_leaves_the_others_alone(backend: &impl Backend, directory: &Path) {
    let store = backend.open(directory).await;
    store.put("t", "taken", bytes("first"), Expected::Absent).await.unwrap();
    // All at once, so that they share commits.
    let writes = (0..64).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let key = if number % 2 == 0 {
                "taken".to_owned()
            } else {
                format!("k{number}")
            };
            store.put("t", &key, bytes("later"), Expected::Absent).await.is_ok()
        })
    });
    let mut written = Vec::new();
    for write in writes.collect::<Vec<_>>() {
        written.push(write.await.unwrap());
    }
    assert_eq!(written, (0..64).map(|number| number % 2 == 1).collect::<Vec<_>>());
    assert_eq!(store.get("t", "taken").await.unwrap().unwrap().value, bytes("first"));
    let query = ListQuery {
        prefix: "k".to_owned(),
        limit: 100,
        ..ListQuery::default()
    };
    assert_eq!(store.list("t", query).await.unwrap().len(), 32);
}

/// Keys that are hard to order and to cut: no characters, a zero character,
/// the wildcards of databases, the ends of the planes of characters.
fn key() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "",
        "a",
        "b",
        "A",
        "/",
        "%",
        "_",
        "*",
        "'",
        "\0",
        " ",
        "\u{7f}",
        "ä",
        "\u{d7ff}",
        "\u{e000}",
        "\u{ffff}",
        "🍰",
        "\u{10ffff}",
    ]);
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn list_query() -> impl Strategy<Value = ListQuery> {
    (key(), prop::option::of(key()), 0..6_usize, any::<bool>()).prop_map(|(prefix, after, limit, descending)| {
        ListQuery {
            prefix,
            after,
            limit,
            descending,
        }
    })
}

fn model(keys: &BTreeMap<String, Bytes>, query: &ListQuery) -> Vec<(String, Bytes)> {
    let inside = |key: &str| {
        let beyond = match &query.after {
            None => true,
            Some(after) if query.descending => key < after.as_str(),
            Some(after) => key > after.as_str(),
        };
        key.starts_with(&query.prefix) && beyond
    };
    let found = keys.iter().filter(|(key, _)| inside(key));
    let found = found.map(|(key, value)| (key.clone(), value.clone()));
    if query.descending {
        found.rev().take(query.limit).collect()
    } else {
        found.take(query.limit).collect()
    }
}

pub async fn records_are_listed_as_an_ordered_map_lists_them(backend: &impl Backend, directory: &Path) {
    let store = backend.open(directory).await;
    let mut runner = TestRunner::new(Config::default());
    for case in 0..24 {
        let table = format!("table {case}");
        let draw = (
            prop::collection::btree_set(key(), 0..24),
            prop::collection::vec(list_query(), 24),
        );
        let (keys, queries) = draw.new_tree(&mut runner).unwrap().current();
        let keys: BTreeMap<_, _> = keys.into_iter().map(|key| (key.clone(), Bytes::from(key))).collect();
        for (key, value) in &keys {
            store.put(&table, key, value.clone(), Expected::Absent).await.unwrap();
        }
        for query in queries {
            let found = store.list(&table, query.clone()).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|(key, record)| (key, record.value)).collect();
            assert_eq!(found, model(&keys, &query), "{query:?} of {keys:?}");
        }
    }
}
