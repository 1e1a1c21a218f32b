//! The child executions of a map run.

use std::sync::Arc;

use scones_api::{ApiError, Timestamp as ApiTimestamp};
use scones_asl::{Machine, Outcome, map_run::MapRun};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Live, record};
use crate::{
    Error,
    engine::{Description, Engine, Origin, Started, Status, Summary},
};

/// What makes an execution the child of a map run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChildOf {
    /// The map run's ARN.
    pub(crate) map_run_arn: String,
    /// The Map state whose processor it runs.
    pub(crate) state_name: String,
    /// Counts the children of the run from 0.
    pub(crate) number: u64,
    /// The items that it works on.
    pub(crate) items: u64,
}

/// A child that is to be run.
#[derive(Debug)]
pub(crate) struct Child {
    /// Counts the children of the run from 0.
    pub(crate) number: u64,
    pub(crate) items: u64,
    /// JSON text.
    pub(crate) input: String,
}

/// A child that has ended.
pub(crate) struct Ended {
    pub(crate) number: u64,
    pub(crate) items: u64,
    pub(crate) description: Description,
}

impl Ended {
    pub(crate) fn status(&self) -> Status {
        Status::of(self.description.ending.as_ref().map(|(outcome, _)| outcome))
    }
}

/// The name and the ARN of the child with a number. They follow from the run
/// and the number, so that it is never run twice, also after a crash.
fn names(parent: &Origin, run: &MapRun, number: u64) -> (Uuid, String) {
    let digest = Sha256::digest(format!("{}/{number}", run.arn));
    let uuid = |bytes: &[u8]| {
        let mut half = [0; 16];
        half.copy_from_slice(bytes);
        uuid::Builder::from_random_bytes(half).into_uuid()
    };
    let (name, id) = (uuid(&digest[..16]), uuid(&digest[16..]));
    let kind = if run.express { "express" } else { "execution" };
    let last = if run.express { format!(":{id}") } else { String::new() };
    let execution_arn = parent.machine_arn.replacen(":stateMachine:", &format!(":{kind}:"), 1)
        + &format!("/{}:{name}{last}", run.label);
    (name, execution_arn)
}

/// The ARN of the child with a number.
pub(crate) fn arn(parent: &Origin, run: &MapRun, number: u64) -> String {
    names(parent, run, number).1
}

/// The start of a child.
pub(crate) fn origin(engine: &Engine, parent: &Origin, run: &MapRun, child: &Child) -> Origin {
    let (name, execution_arn) = names(parent, run, child.number);
    let machine = format!("{}/{}", parent.machine, run.label);
    Origin {
        execution_arn,
        name: name.to_string(),
        machine_arn: format!("{}/{}", parent.machine_arn, run.label),
        machine,
        input: child.input.clone(),
        started: engine.shared.now(),
        seed: engine.shared.ids.seed(),
        revision: parent.revision.clone(),
        version: None,
        alias: None,
        trace_header: parent.trace_header.clone(),
        express: run.express,
        synchronous: false,
        child_of: Some(ChildOf {
            map_run_arn: run.arn.clone(),
            state_name: run.state_name.clone(),
            number: child.number,
            items: child.items,
        }),
        test_case: parent.test_case.clone(),
    }
}

impl Engine {
    /// The machine that an execution runs: its definition's, or for a child
    /// the processor of a Map state in it.
    pub(crate) async fn machine_of(&self, origin: &Origin) -> Result<Arc<Machine>, Error> {
        let id = &origin.revision.definition;
        let definition = self.shared.catalog.definition(id).await?;
        match &origin.child_of {
            None => Ok(Arc::clone(&definition.machine)),
            Some(child) => {
                let processor = definition.machine.item_processor(&child.state_name);
                processor
                    .map(Arc::new)
                    .ok_or_else(|| id.damaged(&format!("has no distributed Map state '{}'", child.state_name)))
            }
        }
    }

    /// Runs a child to its end, or finds the one that was run already. One
    /// that failed before `redriven` is redriven. A store that fails is asked
    /// again.
    ///
    /// # Errors
    /// The child's history is damaged.
    pub(super) async fn run_child(
        self,
        live: Arc<Live>,
        origin: Origin,
        machine: Arc<Machine>,
        child: Child,
        redriven: Option<ApiTimestamp>,
    ) -> Result<Ended, Error> {
        let Child { number, items, .. } = child;
        let execution_arn = origin.execution_arn.clone();
        // A task of its own, which nobody cuts: what is half begun would run
        // with nobody who knows of it.
        let engine = self.clone();
        let begin = live.starts.track_future({
            let live = Arc::clone(&live);
            async move {
                let begin = || engine.begin_child(&live, &origin, &machine, redriven);
                engine.shared.patiently("a child execution begins", begin).await
            }
        });
        match self.shared.tracker.spawn(begin).await {
            Ok(begun) => begun?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
        let description = self
            .shared
            .patiently("a child execution is waited for", || self.ended(&execution_arn))
            .await?;
        Ok(Ended {
            number,
            items,
            description,
        })
    }

    async fn begin_child(
        &self,
        live: &Live,
        origin: &Origin,
        machine: &Arc<Machine>,
        redriven: Option<ApiTimestamp>,
    ) -> Result<(), Error> {
        if live.closed.is_cancelled() {
            // Whoever would wait for the child is gone.
            return Ok(());
        }
        let unavailable = |error: ApiError| {
            tracing::debug!(execution = origin.execution_arn, %error, "a child execution does not begin");
            Error::Unavailable
        };
        // It says whether a history is damaged, which a start does not.
        self.describe(&origin.execution_arn).await?;
        let begun = self.begin(origin.clone(), Arc::clone(machine), true).await;
        let Started::Existing(there) = begun.map_err(unavailable)? else {
            return Ok(());
        };
        let failed_before = match (&there.ending, redriven) {
            (Some((outcome, stopped)), Some(redriven)) => {
                !matches!(outcome, Outcome::Succeeded { .. }) && *stopped <= redriven
            }
            _ => false,
        };
        if failed_before {
            match self.redrive(&origin.execution_arn, None).await {
                // One that cannot be redriven stays as it ended.
                Err(error) if error.status >= 500 => return Err(unavailable(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The executions of a map run that have not ended.
    pub(crate) async fn open_children(&self, map_run_arn: &str) -> Result<Vec<Summary>, Error> {
        let prefix = format!("{}/", child_prefix(map_run_arn));
        Ok(self.shared.index.open_below(&prefix).await?)
    }
}

/// What the keys of a map run's children begin with in the index. No state
/// machine's name holds a colon, so that these are nobody else's.
pub(crate) fn child_prefix(map_run_arn: &str) -> String {
    format!("run:{}", record::id(map_run_arn))
}
