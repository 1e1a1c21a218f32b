//! The child executions of a map run.

use std::{sync::Arc, time::Duration};

use scones_api::ApiError;
use scones_asl::{Machine, Outcome, map_run::MapRun};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::record;
use crate::{
    Error,
    engine::{Description, Engine, Origin, Started, Status, index::Summary},
};

/// First pause after a failed attempt to start or to look at a child.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What makes an execution the child of a map run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChildOf {
    /// The map run's ARN.
    pub(crate) map_run_arn: String,
    /// The Map state whose processor it runs.
    pub(crate) state_name: String,
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

/// The start of the child with a number. Its name follows from the run and
/// the number, so that it is never run twice, also after a crash.
pub(crate) fn origin(engine: &Engine, parent: &Origin, run: &MapRun, child: &Child) -> Origin {
    let digest = Sha256::digest(format!("{}/{}", run.arn, child.number));
    let uuid = |bytes: &[u8]| {
        let mut half = [0; 16];
        half.copy_from_slice(bytes);
        uuid::Builder::from_random_bytes(half).into_uuid()
    };
    let (name, id) = (uuid(&digest[..16]), uuid(&digest[16..]));
    let machine = format!("{}/{}", parent.machine, run.label);
    let kind = if run.express { "express" } else { "execution" };
    let last = if run.express { format!(":{id}") } else { String::new() };
    let execution_arn = parent.machine_arn.replacen(":stateMachine:", &format!(":{kind}:"), 1)
        + &format!("/{}:{name}{last}", run.label);
    let (seed, _) = Uuid::new_v4().as_u64_pair();
    Origin {
        execution_arn,
        name: name.to_string(),
        machine_arn: format!("{}/{}", parent.machine_arn, run.label),
        machine,
        input: child.input.clone(),
        started: engine.shared.now(),
        seed,
        revision: parent.revision.clone(),
        version: None,
        alias: None,
        trace_header: parent.trace_header.clone(),
        express: run.express,
        child_of: Some(ChildOf {
            map_run_arn: run.arn.clone(),
            state_name: run.state_name.clone(),
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

    /// Runs a child to its end, or finds the one that was run already. Ends
    /// only when the child has: a store that fails is asked again.
    /// With `redrives` a child that failed before the run's last redrive is
    /// redriven.
    pub(crate) async fn run_child(self, origin: Origin, machine: Arc<Machine>, child: Child, redrives: u64) -> Ended {
        let Child { number, items, .. } = child;
        let mut pause = PAUSE_MIN;
        loop {
            match self.child_to_its_end(&origin, &machine, redrives).await {
                Ok(description) => {
                    return Ended {
                        number,
                        items,
                        description,
                    };
                }
                Err(error) => {
                    tracing::warn!(execution = origin.execution_arn, %error, "a child execution waits for the store");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    async fn child_to_its_end(
        &self,
        origin: &Origin,
        machine: &Arc<Machine>,
        redrives: u64,
    ) -> Result<Description, ApiError> {
        let started = self.begin(origin.clone(), Arc::clone(machine), true).await?;
        if let Started::Existing(there) = started
            && let Some((outcome, _)) = &there.ending
            && !matches!(outcome, Outcome::Succeeded { .. })
        {
            let redriven = self.redrive_of(&Summary::of(&there.origin)).await?;
            if redriven.map_or(0, |redrive| redrive.count) < redrives {
                self.redrive(&origin.execution_arn, None).await?;
            }
        }
        Ok(self.ended(&origin.execution_arn).await?)
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
