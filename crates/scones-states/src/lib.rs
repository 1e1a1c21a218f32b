//! Step Functions: its API, and the engine that runs executions durably.
//!
//! The interpreter of `scones-asl` decides; this crate stores what happened,
//! performs what the interpreter asks for, and answers clients. Every step of
//! an execution is in its history, on the disk, before anything that the step
//! asks for is done, and the history alone brings the execution back after a
//! crash. It never calls a function or a service itself: a [`TaskRunner`] does.
//!
//! - `names`, `limits`, `fault`: what a request may say, and AWS's words when it may not
//! - `catalog`: state machines, versions, aliases, activities
//! - `engine`: actors, histories, replay, timers
//! - `integration`, `runner`: from a task to a call and back
//! - `mock`: answers that stand for those of services
//! - `items`, `objects`: the datasets of distributed maps
//! - `response_model`: what the services that tasks call may answer
//! - `operations`: the API
//! - `random`: where ids come from

mod catalog;
mod engine;
mod error;
mod fault;
mod integration;
mod items;
pub mod limits;
mod logs;
mod mock;
mod names;
mod objects;
mod operations;
mod options;
mod random;
mod response_model;
mod runner;

use std::sync::Arc;

use scones_api::{Clock, Owner};
use scones_store::Store;

pub use error::Error;
pub use logs::{LogGroups, NoLogs};
pub use mock::{MockError, Mocks};
pub use objects::{NoObjects, ObjectBody, ObjectStore, ObjectSummary};
pub use options::Options;
pub use random::{Random, SystemRandom};
pub use runner::{
    HttpCall, HttpReply, InvocationType, LambdaCall, LambdaReply, ServiceCall, TaskFailure, TaskIdentity, TaskRunner,
};

/// What the service needs of others.
#[derive(Clone)]
pub struct Outside {
    /// Runs tasks.
    pub runner: Arc<dyn TaskRunner>,
    /// Has the datasets and the results of distributed maps.
    pub objects: Arc<dyn ObjectStore>,
    /// Has the log groups that executions are logged to.
    pub logs: Arc<dyn LogGroups>,
    /// Gives ids and seeds: [`SystemRandom`] outside of simulations.
    pub random: Arc<dyn Random>,
}

/// The service.
pub struct States {
    owner: Owner,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    catalog: catalog::Catalog,
    ids: random::Ids,
    engine: engine::Engine,
}

impl States {
    /// Starts the service, and with it every execution that was running when
    /// it last ended.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn start(
        options: Options,
        owner: Owner,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        outside: Outside,
    ) -> Result<Arc<Self>, Error> {
        let catalog = catalog::Catalog::new(&store);
        let ids = random::Ids(Arc::clone(&outside.random));
        let engine = engine::Engine::start(
            options,
            owner.clone(),
            Arc::clone(&store),
            Arc::clone(&clock),
            catalog.clone(),
            outside,
        )
        .await?;
        Ok(Arc::new(Self {
            owner,
            store,
            clock,
            catalog,
            ids,
            engine,
        }))
    }

    /// Stops every execution's actor; the executions go on at the next start.
    pub async fn shutdown(&self) {
        self.engine.shutdown().await;
    }
}

scones_api::operations! {
    States {
        "CreateActivity" => create_activity,
        "CreateStateMachine" => create_state_machine,
        "CreateStateMachineAlias" => create_state_machine_alias,
        "DeleteActivity" => delete_activity,
        "DeleteStateMachine" => delete_state_machine,
        "DeleteStateMachineAlias" => delete_state_machine_alias,
        "DeleteStateMachineVersion" => delete_state_machine_version,
        "DescribeActivity" => describe_activity,
        "DescribeExecution" => describe_execution,
        "DescribeMapRun" => describe_map_run,
        "DescribeStateMachine" => describe_state_machine,
        "DescribeStateMachineAlias" => describe_state_machine_alias,
        "DescribeStateMachineForExecution" => describe_state_machine_for_execution,
        "GetActivityTask" => get_activity_task,
        "GetExecutionHistory" => get_execution_history,
        "ListActivities" => list_activities,
        "ListExecutions" => list_executions,
        "ListMapRuns" => list_map_runs,
        "ListStateMachineAliases" => list_state_machine_aliases,
        "ListStateMachines" => list_state_machines,
        "ListStateMachineVersions" => list_state_machine_versions,
        "ListTagsForResource" => list_tags_for_resource,
        "PublishStateMachineVersion" => publish_state_machine_version,
        "RedriveExecution" => redrive_execution,
        "SendTaskFailure" => send_task_failure,
        "SendTaskHeartbeat" => send_task_heartbeat,
        "SendTaskSuccess" => send_task_success,
        "StartExecution" => start_execution,
        "StartSyncExecution" => start_sync_execution,
        "StopExecution" => stop_execution,
        "TagResource" => tag_resource,
        "TestState" => test_state,
        "UntagResource" => untag_resource,
        "UpdateMapRun" => update_map_run,
        "UpdateStateMachine" => update_state_machine,
        "UpdateStateMachineAlias" => update_state_machine_alias,
        "ValidateStateMachineDefinition" => validate_state_machine_definition,
    }
}
