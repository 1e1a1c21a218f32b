//! Express executions: in memory from start to end, as on AWS, and for a while after it.

use std::{sync::Arc, time::Duration};

use scones_api::{ApiError, Timestamp as ApiTimestamp};
use scones_asl::{Machine, Outcome};
use tokio::sync::{mpsc, oneshot};

use super::{
    Engine, Origin,
    actor::{Actor, Record},
    message::MAILBOX,
    pace,
    recent::{Events, Past},
    run::Run,
};
use crate::{fault, limits::EXPRESS_SECONDS_MAX};

/// How an Express execution ended, and when.
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) stopped: ApiTimestamp,
}

impl Engine {
    /// Runs an Express execution. Its end comes through the channel; nobody
    /// has to wait for it.
    pub(crate) async fn run_express(
        &self,
        origin: Origin,
        machine: Arc<Machine>,
    ) -> Result<oneshot::Receiver<Ended>, ApiError> {
        let place = Arc::clone(&self.shared.express_places)
            .try_acquire_owned()
            .map_err(|_| fault::too_many_executions(self.shared.options.express_max))?;
        let (end, ended) = oneshot::channel();
        let started = pace::step(&machine, || Run::start(Arc::clone(&machine), &origin));
        let (run, step) = started.map_err(fault::invalid_input)?;
        let (sender, mut mailbox) = mpsc::channel(MAILBOX);
        let mut actor = Actor::new(
            Arc::clone(&self.shared),
            &origin.execution_arn,
            run,
            Record::Memory {
                events: Events::default(),
            },
            sender,
        );
        let mut batch = actor.open(origin.clone(), step).await.map_err(ApiError::internal)?;
        actor.log(&mut batch);
        if let Some(outcome) = actor.outcome().cloned() {
            self.end_express(origin, actor.take_events(), outcome, end);
            return Ok(ended);
        }
        self.shared.recent.put(Past::running(origin.clone()));
        let engine = self.clone();
        self.shared.tracker.spawn(async move {
            let _place = place;
            let life = async {
                actor.follow(batch).await;
                actor.live(&mut mailbox).await;
            };
            let in_time = tokio::time::timeout(Duration::from_secs(EXPRESS_SECONDS_MAX), life)
                .await
                .is_ok();
            let outcome = if in_time {
                actor.outcome().cloned()
            } else {
                Some(actor.expire())
            };
            if let Some(outcome) = outcome {
                engine.end_express(origin, actor.take_events(), outcome, end);
            }
        });
        Ok(ended)
    }

    /// Tells whoever waits for the end, and keeps the execution for a while.
    fn end_express(&self, origin: Origin, events: Events, outcome: Outcome, end: oneshot::Sender<Ended>) {
        let stopped = self.shared.clock.now();
        let past = Past::ended(origin, outcome.clone(), stopped, events);
        self.shared.recent.put(past);
        // Nobody has to wait.
        drop(end.send(Ended { outcome, stopped }));
    }
}
