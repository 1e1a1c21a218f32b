//! Activities' tasks on their way to workers: through the store's queues, so
//! that they survive, and in whatever server the worker asks.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use scones_asl::{Input, TaskCall, TaskId, error_names};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{Answer, Command, Engine, Refusal, Shared};
use crate::{Error, fault, names};

/// How long a task is kept from other workers while it is given to one.
const LEASE: Duration = Duration::from_secs(30);
/// How often the queue is looked at when nobody says that there is something.
const INTERVAL: Duration = Duration::from_secs(1);

/// A task in a queue.
#[derive(Debug, Serialize, Deserialize)]
struct Offer {
    execution: String,
    task: u64,
}

fn queue(activity_arn: &str) -> String {
    format!("activity/{activity_arn}")
}

impl Shared {
    /// What fails a task of an activity that does not exist. A store that fails
    /// is asked again; when the server stops, nothing is made of the task.
    pub(super) async fn missing_activity(&self, activity_arn: &str, task: TaskId) -> Option<Input> {
        let missing = match names::parse_activity(&self.owner, activity_arn) {
            Ok(name) => {
                let look = || async { Ok(self.catalog.activities.get(&name).await?) };
                let looked = self.patiently("an activity is looked for", look).await;
                matches!(looked, Ok(None))
            }
            Err(_) => true,
        };
        missing.then(|| Input::TaskFailed {
            task,
            error: Some(error_names::RUNTIME.to_owned()),
            cause: Some(fault::no_activity(activity_arn).message),
        })
    }

    /// Puts a task into its activity's queue. A task that is there twice, after
    /// a crash, is given out once.
    pub(super) async fn offer(&self, activity_arn: &str, call: &TaskCall, execution_arn: &str) {
        let offer = Offer {
            execution: execution_arn.to_owned(),
            task: call.task.0,
        };
        let Ok(payload) = serde_json::to_vec(&offer) else {
            return;
        };
        let send = || async {
            let now = self.clock.now();
            let payload = Bytes::from(payload.clone());
            Ok(self.store.send(&queue(activity_arn), payload, now, now).await?)
        };
        // Otherwise the server stops: the history has the task, and the next start offers it again.
        if self
            .patiently("an activity's task is to be offered", send)
            .await
            .is_ok()
        {
            self.notifier(activity_arn).notify_one();
        }
    }

    fn notifier(&self, activity_arn: &str) -> Arc<Notify> {
        let mut offers = self.offers.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(offers.entry(activity_arn.to_owned()).or_default())
    }
}

impl Engine {
    /// Waits up to `patience` for a task of an activity, and starts it for a
    /// worker. `None` when the time is up or the server stops.
    pub(crate) async fn poll(
        &self,
        activity_arn: &str,
        worker: Option<&str>,
        patience: Duration,
    ) -> Result<Option<Arc<TaskCall>>, Error> {
        let deadline = tokio::time::Instant::now() + patience;
        let offered = self.shared.notifier(activity_arn);
        loop {
            if let Some(call) = self.take_offer(activity_arn, worker).await? {
                return Ok(Some(call));
            }
            let pause = tokio::time::sleep_until(deadline.min(tokio::time::Instant::now() + INTERVAL));
            tokio::select! {
                biased;
                () = self.shared.stopping.cancelled() => return Ok(None),
                () = offered.notified() => {}
                () = pause => {}
            }
            if tokio::time::Instant::now() >= deadline {
                return Ok(None);
            }
        }
    }

    /// The next task that still waits for a worker.
    async fn take_offer(&self, activity_arn: &str, worker: Option<&str>) -> Result<Option<Arc<TaskCall>>, Error> {
        let queue = queue(activity_arn);
        loop {
            let deliveries = self
                .shared
                .store
                .receive(&queue, 1, self.shared.clock.now(), LEASE)
                .await?;
            let Some(delivery) = deliveries.into_iter().next() else {
                return Ok(None);
            };
            let Ok(Offer { execution, task }) = serde_json::from_slice(&delivery.payload) else {
                self.shared.store.acknowledge(&queue, &delivery.receipt).await?;
                continue;
            };
            let command = Command::Poll {
                task: TaskId(task),
                worker: worker.map(str::to_owned),
            };
            let answer = self.deliver(&execution, command).await;
            if matches!(answer, Err(Refusal::Unavailable)) {
                self.shared
                    .store
                    .release(&queue, &delivery.receipt, self.shared.clock.now())
                    .await?;
                return Ok(None);
            }
            self.shared.store.acknowledge(&queue, &delivery.receipt).await?;
            if let Ok(Answer::Task(call)) = answer {
                return Ok(Some(call));
            }
        }
    }

    /// Forgets an activity's tasks.
    pub(crate) async fn forget_activity(&self, activity_arn: &str) -> Result<(), Error> {
        Ok(self.shared.store.delete_queue(&queue(activity_arn)).await?)
    }
}
