//! Asynchronous invocations: a durable queue for each function, from which
//! events run at least once. After an error an event is tried twice more, then
//! dropped with a line in the server's log.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use scones_api::{ApiError, Timestamp};
use scones_store::Delivery;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::Notify;

use crate::{
    Invoke, Lambda,
    execution::Request,
    limits::{EVENT_AGE_MAX, EVENT_RETRIES},
    name::function_not_found,
};

/// How often the queues are looked into when nothing tells of an event.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Events of one function that run at a time.
const EVENTS_AT_A_TIME: usize = 10;
/// How long an event that found no worker rests.
const THROTTLE_PAUSE: Duration = Duration::from_secs(1);
/// How long a queue is looked into after an event came or went.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// How long an event is leased. It is renewed while the event runs, so that one
/// that the server's end cut off runs again soon after the next start.
const LEASE: Duration = Duration::from_secs(15);
/// How often a lease is renewed.
const RENEWAL: Duration = Duration::from_secs(5);

/// An event in the queue.
#[derive(Serialize, Deserialize)]
struct Event {
    request_id: String,
    /// As the client named it.
    function: String,
    qualifier: Option<String>,
    client_context: Option<String>,
    payload: Box<RawValue>,
    /// Runs that ended with an error.
    failures: u32,
    /// When it was accepted, in milliseconds since the epoch.
    accepted_ms: i64,
}

/// Which functions may have events waiting. A queue is looked into while
/// something can come out of it: after an arrival, until its lease and retries
/// are over.
#[derive(Default)]
pub struct EventQueues {
    /// Events of each function that run now.
    running: Mutex<HashMap<String, usize>>,
    /// Until when each function's queue is looked into.
    watched: Mutex<HashMap<String, Instant>>,
    arrived: Notify,
}

impl EventQueues {
    fn watch(&self, name: &str, period: Duration) {
        let until = Instant::now() + period;
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let end = watched.entry(name.to_owned()).or_insert(until);
        *end = until.max(*end);
        drop(watched);
        self.arrived.notify_one();
    }

    fn watched(&self) -> Vec<String> {
        let now = Instant::now();
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|_, until| *until > now);
        watched.keys().cloned().collect()
    }

    fn running(&self, name: &str) -> usize {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(name).copied().unwrap_or(0)
    }

    fn count(&self, name: &str, change: isize) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let count = running.entry(name.to_owned()).or_default();
        *count = count.saturating_add_signed(change);
        if *count == 0 {
            running.remove(name);
        }
    }
}

impl Lambda {
    /// Makes an event durable.
    pub(crate) async fn enqueue(&self, invoke: &Invoke<'_>, request: Request) -> Result<(), ApiError> {
        let now = self.clock.now();
        let payload = String::from_utf8(request.payload.to_vec()).map_err(ApiError::internal)?;
        let event = Event {
            request_id: request.request_id,
            function: invoke.function.to_owned(),
            qualifier: invoke.qualifier.map(ToOwned::to_owned),
            client_context: invoke.client_context.map(ToOwned::to_owned),
            payload: RawValue::from_string(payload).map_err(ApiError::internal)?,
            failures: 0,
            accepted_ms: now.as_millis(),
        };
        self.send(&request.version.name, &request.queue, &event, now, now).await
    }

    async fn send(
        &self,
        name: &str,
        queue: &str,
        event: &Event,
        now: Timestamp,
        visible: Timestamp,
    ) -> Result<(), ApiError> {
        let bytes = Bytes::from(serde_json::to_vec(event).map_err(ApiError::internal)?);
        self.store.send(queue, bytes, now, visible).await?;
        // The function may have been deleted, and its queue with it, just before.
        match self.functions.get(name).await? {
            Some(function) if function.value.queue() == queue => {
                self.events.watch(name, visible.since(now) + LOOK_AGAIN);
                Ok(())
            }
            _ => Ok(self.store.delete_queue(queue).await?),
        }
    }

    /// Runs events until the server stops.
    pub(crate) async fn run_events(self: Arc<Self>) {
        loop {
            for name in self.events.watched() {
                if let Err(error) = self.run_events_of(&name).await {
                    tracing::error!(function = name, %error, "a function's events cannot be read");
                }
            }
            tokio::select! {
                () = self.executor.stopping.cancelled() => return,
                () = self.events.arrived.notified() => {}
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
    }

    /// Looks into a function's queue until whatever rests in it can have come
    /// out: a retry, or an event whose lease a crash left behind.
    pub(crate) fn expect_events(&self, name: &str) {
        let longest_pause = self.retry_pauses.iter().max().copied().unwrap_or_default();
        self.events.watch(name, longest_pause.max(LEASE) + LOOK_AGAIN);
    }

    async fn run_events_of(self: &Arc<Self>, name: &str) -> Result<(), ApiError> {
        let room = EVENTS_AT_A_TIME.saturating_sub(self.events.running(name));
        let function = match self.functions.get(name).await? {
            Some(function) if room > 0 => function.value,
            _ => return Ok(()),
        };
        let queue = function.queue();
        let deliveries = self.store.receive(&queue, room, self.clock.now(), LEASE).await?;
        for delivery in deliveries {
            self.events.count(name, 1);
            let lambda = Arc::clone(self);
            let (name, queue) = (name.to_owned(), queue.clone());
            self.tasks.spawn(async move {
                if let Err(error) = lambda.run_event(&name, &queue, &delivery).await {
                    tracing::error!(function = name, %error, "an event's end cannot be written");
                }
                lambda.events.count(&name, -1);
                lambda.expect_events(&name);
            });
        }
        Ok(())
    }

    /// Runs `work` and keeps the event's lease meanwhile.
    async fn leased<T>(&self, queue: &str, receipt: &str, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(RENEWAL) => {
                    if let Err(error) = self.store.release(queue, receipt, self.clock.now() + LEASE).await {
                        tracing::warn!(%error, "an event's lease cannot be renewed; it may run twice");
                    }
                }
            }
        }
    }

    async fn run_event(&self, name: &str, queue: &str, delivery: &Delivery) -> Result<(), ApiError> {
        let Ok(mut event) = serde_json::from_slice::<Event>(&delivery.payload) else {
            tracing::error!(function = name, "an event cannot be read and is dropped");
            return Ok(self.store.acknowledge(queue, &delivery.receipt).await?);
        };
        let invoke = Invoke {
            function: &event.function,
            qualifier: event.qualifier.as_deref(),
            payload: Bytes::copy_from_slice(event.payload.get().as_bytes()),
            log_tail: false,
            client_context: event.client_context.as_deref(),
        };
        let ran = match self.request(&invoke, event.request_id.clone()).await {
            Ok(request) if request.queue == queue => self.leased(queue, &delivery.receipt, self.run(request)).await,
            Ok(_) => Err(function_not_found(&self.owner, name, None)),
            Err(error) => Err(error),
        };
        let now = self.clock.now();
        let age = now.since(Timestamp::from_millis(event.accepted_ms));
        match ran {
            Ok(execution) if !execution.is_error => {}
            Ok(_) if event.failures < EVENT_RETRIES => {
                let pause = self.retry_pauses[event.failures.min(1) as usize];
                event.failures += 1;
                // Sent before the old one goes: twice is better than never.
                self.send(name, queue, &event, now, now + pause).await?;
            }
            Err(error) if may_pass(&error) && age < EVENT_AGE_MAX => {
                return Ok(self
                    .store
                    .release(queue, &delivery.receipt, now + THROTTLE_PAUSE)
                    .await?);
            }
            Ok(_) => {
                tracing::warn!(
                    function = name,
                    request_id = event.request_id,
                    "an event failed to the last and is dropped"
                );
            }
            Err(error) => {
                tracing::warn!(function = name, request_id = event.request_id, %error, "an event cannot run and is dropped");
            }
        }
        Ok(self.store.acknowledge(queue, &delivery.receipt).await?)
    }
}

/// Whether an error is the moment's rather than the event's.
fn may_pass(error: &ApiError) -> bool {
    error.status == 429 || error.is_server_fault()
}
