use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use scones_api::{Clock as _, ManualClock, Timestamp};
use scones_store::{Delivery, Queues};

use super::Backend;

const LEASE: Duration = Duration::from_secs(30);

async fn send(store: &impl Queues, payload: &str, clock: &ManualClock) {
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    store.send("q", payload, clock.now(), clock.now()).await.unwrap();
}

async fn receive(store: &impl Queues, limit: usize, clock: &ManualClock) -> Vec<Delivery> {
    store.receive("q", limit, clock.now(), LEASE).await.unwrap()
}

fn payloads(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries
        .iter()
        .map(|delivery| str::from_utf8(&delivery.payload).unwrap())
        .collect()
}

fn clock() -> ManualClock {
    ManualClock::new(Timestamp::from_millis(1_000_000))
}

pub async fn a_leased_message_is_nobody_elses(backend: &impl Backend, directory: &Path) {
    let (store, clock) = (backend.open(directory).await, clock());
    let sent = clock.now();
    send(&*store, "a", &clock).await;
    assert_eq!(store.receive("other", 1, clock.now(), LEASE).await.unwrap(), []);
    let first = receive(&*store, 1, &clock).await;
    assert_eq!(
        (payloads(&first), first[0].attempt, first[0].sent),
        (vec!["a"], 1, sent)
    );
    clock.advance(LEASE - Duration::from_millis(1));
    assert_eq!(receive(&*store, 1, &clock).await, []);
    clock.advance(Duration::from_millis(1));
    backend.close(store).await;
    let store = backend.open(directory).await;
    let second = receive(&*store, 1, &clock).await;
    assert_eq!(
        (payloads(&second), second[0].attempt, second[0].sent),
        (vec!["a"], 2, sent)
    );
    store.acknowledge("q", &second[0].receipt).await.unwrap();
    clock.advance(LEASE);
    assert_eq!(receive(&*store, 1, &clock).await, []);
}

pub async fn a_lease_can_be_prolonged(backend: &impl Backend, directory: &Path) {
    let (store, clock) = (backend.open(directory).await, clock());
    send(&*store, "a", &clock).await;
    let receipt = receive(&*store, 1, &clock).await.remove(0).receipt;
    for _ in 0..3 {
        clock.advance(LEASE / 2);
        store.release("q", &receipt, clock.now() + LEASE).await.unwrap();
        assert_eq!(receive(&*store, 1, &clock).await, []);
    }
    store.acknowledge("q", &receipt).await.unwrap();
    clock.advance(LEASE);
    assert_eq!(receive(&*store, 1, &clock).await, []);
}

pub async fn a_lost_lease_is_worth_nothing(backend: &impl Backend, directory: &Path) {
    let (store, clock) = (backend.open(directory).await, clock());
    send(&*store, "a", &clock).await;
    let lost = receive(&*store, 1, &clock).await.remove(0).receipt;
    clock.advance(LEASE);
    let held = receive(&*store, 1, &clock).await.remove(0).receipt;
    for receipt in [lost.as_str(), "", "nonsense", "1.x"] {
        store.acknowledge("q", receipt).await.unwrap();
        store.release("q", receipt, clock.now()).await.unwrap();
    }
    store.acknowledge("other", &held).await.unwrap();
    assert_eq!(receive(&*store, 1, &clock).await, []);
    store
        .release("q", &held, clock.now() + Duration::from_secs(5))
        .await
        .unwrap();
    assert_eq!(receive(&*store, 1, &clock).await, []);
    clock.advance(Duration::from_secs(5));
    assert_eq!(receive(&*store, 1, &clock).await[0].attempt, 3);
}

pub async fn messages_come_oldest_first(backend: &impl Backend, directory: &Path) {
    let (store, clock) = (backend.open(directory).await, clock());
    let later = clock.now() + Duration::from_secs(9);
    store
        .send("q", Bytes::from_static(b"late"), clock.now(), later)
        .await
        .unwrap();
    for payload in ["a", "b", "c"] {
        send(&*store, payload, &clock).await;
    }
    assert_eq!(payloads(&receive(&*store, 2, &clock).await), ["a", "b"]);
    clock.advance(LEASE);
    assert_eq!(payloads(&receive(&*store, 9, &clock).await), ["late", "a", "b", "c"]);
    store.delete_queue("q").await.unwrap();
    clock.advance(LEASE);
    assert_eq!(receive(&*store, 9, &clock).await, []);
}

pub async fn competing_receivers_share_a_queue(backend: &impl Backend, directory: &Path) {
    let (store, clock) = (backend.open(directory).await, Arc::new(clock()));
    for number in 0..40 {
        send(&*store, &number.to_string(), &clock).await;
    }
    let receivers = (0..8).map(|_| {
        let (store, clock) = (Arc::clone(&store), Arc::clone(&clock));
        tokio::spawn(async move {
            let mut seen = Vec::new();
            loop {
                let deliveries = receive(&*store, 3, &clock).await;
                if deliveries.is_empty() {
                    return seen;
                }
                for delivery in deliveries {
                    store.acknowledge("q", &delivery.receipt).await.unwrap();
                    seen.push(delivery.payload);
                }
            }
        })
    });
    let mut seen = Vec::new();
    for receiver in receivers.collect::<Vec<_>>() {
        seen.extend(receiver.await.unwrap());
    }
    assert_eq!(seen.len(), 40);
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), 40);
}
