use std::{path::Path, sync::Arc};

use bytes::Bytes;
use scones_store::{Error, Histories as _};

use super::Backend;

fn entries(texts: &[&str]) -> Vec<Bytes> {
    texts
        .iter()
        .map(|text| Bytes::copy_from_slice(text.as_bytes()))
        .collect()
}

pub async fn a_history_grows_by_whole_appends(backend: &impl Backend, directory: &Path) {
    let store = backend.open(directory).await;
    assert_eq!(store.length("h").await.unwrap(), 0);
    assert_eq!(store.append("h", 0, vec![]).await.unwrap(), 0);
    assert_eq!(store.append("h", 0, entries(&["a", "b"])).await.unwrap(), 2);
    assert_eq!(store.append("h", 2, entries(&["", "d"])).await.unwrap(), 4);
    assert_eq!(store.append("other", 0, entries(&["x"])).await.unwrap(), 1);
    assert_eq!(store.length("h").await.unwrap(), 4);
    for (from, limit, expect) in [
        (0, 10, &["a", "b", "", "d"][..]),
        (1, 2, &["b", ""]),
        (3, usize::MAX, &["d"]),
        (4, 1, &[]),
        (u64::MAX, 1, &[]),
        (0, 0, &[]),
    ] {
        assert_eq!(
            store.read("h", from, limit).await.unwrap(),
            entries(expect),
            "{from} {limit}"
        );
    }
    assert_eq!(store.read("none", 0, 1).await.unwrap(), entries(&[]));
}

pub async fn one_of_two_appends_at_a_position_is_fenced(backend: &impl Backend, directory: &Path) {
    const WRITERS: usize = 8;
    const ROUNDS: u64 = 20;
    let store = backend.open(directory).await;
    for round in 0..ROUNDS {
        let attempts = (0..WRITERS).map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.append("h", round, entries(&[&format!("{round} {writer}")])).await })
        });
        let mut winners = 0;
        for attempt in attempts.collect::<Vec<_>>() {
            match attempt.await.unwrap() {
                Ok(length) => {
                    assert_eq!(length, round + 1);
                    winners += 1;
                }
                Err(Error::Fenced {
                    history,
                    expected,
                    actual,
                }) => {
                    assert_eq!((history.as_str(), expected, actual), ("h", round, round + 1));
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(winners, 1);
    }
    assert_eq!(store.length("h").await.unwrap(), ROUNDS);
}

pub async fn a_deleted_history_begins_again(backend: &impl Backend, directory: &Path) {
    let store = backend.open(directory).await;
    store.append("h", 0, entries(&["a"])).await.unwrap();
    store.append("other", 0, entries(&["x"])).await.unwrap();
    store.delete_history("h").await.unwrap();
    store.delete_history("h").await.unwrap();
    assert_eq!(store.length("h").await.unwrap(), 0);
    assert!(matches!(
        store.append("h", 1, entries(&["b"])).await,
        Err(Error::Fenced { actual: 0, .. })
    ));
    store.append("h", 0, entries(&["b"])).await.unwrap();
    assert_eq!(store.read("h", 0, 9).await.unwrap(), entries(&["b"]));
    assert_eq!(store.read("other", 0, 9).await.unwrap(), entries(&["x"]));
}

pub async fn histories_survive_reopening(backend: &impl Backend, directory: &Path) {
    let store = backend.open(directory).await;
    let large = Bytes::from(vec![7; 3 << 20]);
    store.append("h", 0, vec![large.clone()]).await.unwrap();
    backend.close(store).await;
    let store = backend.open(directory).await;
    assert_eq!(store.read("h", 0, 9).await.unwrap(), [large]);
    assert!(matches!(
        store.append("h", 0, entries(&["b"])).await,
        Err(Error::Fenced { .. })
    ));
}
