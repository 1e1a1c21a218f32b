use std::path::Path;

use bytes::Bytes;
use scones_api::Timestamp;
use scones_store::{Timer, Timers};

use super::Backend;

fn timer(key: &str, due: i64) -> Timer {
    Timer {
        key: key.to_owned(),
        due: Timestamp::from_millis(due),
        payload: Bytes::from(format!("{key} at {due}")),
    }
}

async fn due(store: &impl Timers, until: i64, limit: usize) -> Vec<Timer> {
    store
        .due_timers("g", Timestamp::from_millis(until), limit)
        .await
        .unwrap()
}

pub async fn a_timer_stays_until_it_is_cleared(backend: &impl Backend, directory: &Path) {
    let store = backend.open(directory).await;
    store.set_timer("g", timer("a", 10)).await.unwrap();
    store.set_timer("other", timer("b", 1)).await.unwrap();
    assert_eq!(due(&*store, 9, 9).await, []);
    assert_eq!(due(&*store, 10, 9).await, [timer("a", 10)]);
    backend.close(store).await;
    let store = backend.open(directory).await;
    assert_eq!(due(&*store, 11, 9).await, [timer("a", 10)]);
    store.clear_timer("g", "a").await.unwrap();
    store.clear_timer("g", "a").await.unwrap();
    assert_eq!(due(&*store, 11, 9).await, []);
}

pub async fn timers_are_replaced_and_ordered(backend: &impl Backend, directory: &Path) {
    let store = backend.open(directory).await;
    for (key, at) in [("a", 30), ("b", 10), ("c", -5), ("a", 20), ("d", 99)] {
        store.set_timer("g", timer(key, at)).await.unwrap();
    }
    assert_eq!(
        due(&*store, 50, 9).await,
        [timer("c", -5), timer("b", 10), timer("a", 20)]
    );
    assert_eq!(due(&*store, 50, 2).await, [timer("c", -5), timer("b", 10)]);
    assert_eq!(due(&*store, 50, 0).await, []);
}
