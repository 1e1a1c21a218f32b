//! The workers that are warm, and the places for all there may be.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::worker::Worker;

/// What a worker can run: one state of one version of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerKey {
    /// The function's name.
    pub name: String,
    /// `$LATEST` or a number.
    pub version: String,
    /// The revision of its code and configuration.
    pub revision: String,
}

/// Where an invocation may run.
pub enum Seat {
    /// In a worker that has run before.
    Warm(Box<Seated>),
    /// In a worker that is yet to be started.
    Cold(Place),
}

/// A worker in its place.
pub struct Seated {
    /// The worker; dropping it kills it and waits for nothing.
    pub worker: Worker,
    /// Its place, free again when dropped.
    pub place: Place,
}

/// The right to have one process.
pub struct Place {
    permit: Option<OwnedSemaphorePermit>,
    freed: Arc<Notify>,
    generation: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.freed.notify_waiters();
    }
}

/// All workers that have nothing to do, and the count of all there are.
pub struct Pool {
    state: Mutex<State>,
    places: Arc<Semaphore>,
    freed: Arc<Notify>,
    patience: Duration,
}

#[derive(Default)]
struct State {
    /// The longest idle first.
    idle: Vec<Idle>,
    /// How often each function's workers were retired.
    generations: HashMap<String, u64>,
    closed: bool,
}

struct Idle {
    key: WorkerKey,
    since: Instant,
    seated: Seated,
}

impl Pool {
    /// Room for `places` processes; an invocation waits up to `patience` for
    /// one.
    pub fn new(places: usize, patience: Duration) -> Self {
        Self {
            state: Mutex::default(),
            places: Arc::new(Semaphore::new(places.max(1))),
            freed: Arc::new(Notify::new()),
            patience,
        }
    }

    /// A seat for an invocation: a warm worker, else a free place, else the
    /// place of the longest idle worker, else the first that comes free.
    /// `None` when patience runs out.
    pub async fn seat(&self, key: &WorkerKey) -> Option<Seat> {
        let wait = async {
            loop {
                let mut freed = std::pin::pin!(self.freed.notified());
                freed.as_mut().enable();
                if let Some(seat) = self.try_seat(key) {
                    return seat;
                }
                freed.await;
            }
        };
        tokio::time::timeout(self.patience, wait).await.ok()
    }

    fn try_seat(&self, key: &WorkerKey) -> Option<Seat> {
        let mut state = self.state();
        while let Some(position) = state.idle.iter().rposition(|idle| idle.key == *key) {
            let mut seated = state.idle.remove(position).seated;
            if seated.worker.is_alive() {
                return Some(Seat::Warm(Box::new(seated)));
            }
        }
        let generation = state.generations.get(&key.name).copied().unwrap_or(0);
        let permit = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) if state.idle.is_empty() => return None,
            Err(_) => state.idle.remove(0).seated.place.permit.take(),
        };
        Some(Seat::Cold(Place {
            permit,
            freed: Arc::clone(&self.freed),
            generation,
        }))
    }

    /// Takes back a worker that can run again; it is stopped if its function
    /// has changed meanwhile or the pool is closed.
    pub fn give_back(&self, key: WorkerKey, seated: Seated) {
        let mut state = self.state();
        let generation = state.generations.get(&key.name).copied().unwrap_or(0);
        if !state.closed && seated.place.generation == generation {
            state.idle.push(Idle {
                key,
                since: Instant::now(),
                seated,
            });
        }
        drop(state);
        self.freed.notify_waiters();
    }

    /// Stops the idle workers of a function, and the others when they have
    /// finished.
    pub fn retire(&self, name: &str) {
        let retired = {
            let mut state = self.state();
            *state.generations.entry(name.to_owned()).or_default() += 1;
            extract(&mut state, |idle| idle.key.name == name)
        };
        drop(retired);
    }

    /// Stops workers that were idle for `limit`, and forgets those that have
    /// ended.
    pub fn retire_idle(&self, limit: Duration) {
        let retired = extract(&mut self.state(), |idle| {
            idle.since.elapsed() >= limit || !idle.seated.worker.is_alive()
        });
        drop(retired);
    }

    /// Stops every idle worker, waits until they are gone, and keeps none from
    /// now on.
    pub async fn close(&self) {
        let all = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.idle)
        };
        for idle in all {
            idle.seated.worker.stop().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn extract(state: &mut State, matches: impl FnMut(&mut Idle) -> bool) -> Vec<Idle> {
    state.idle.extract_if(.., matches).collect()
}
