//! The service as a whole: start, shutdown, the table of operations.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::AtomicUsize},
};

use scones_api::{Arn, Clock, Owner};
use scones_store::{Collection, Store};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Dependencies, Error, Options,
    capture::CaptureQueue,
    hosting::{deployment::EndpointRecord, endpoint_config::EndpointConfigRecord, fleet::Fleet, model::ModelRecord},
    training::record::TrainingJobRecord,
};

/// SageMaker on one machine.
pub struct SageMaker {
    pub(crate) options: Options,
    pub(crate) owner: Owner,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) dependencies: Dependencies,

    pub(crate) training_jobs: Collection<TrainingJobRecord>,
    pub(crate) models: Collection<ModelRecord>,
    pub(crate) endpoint_configs: Collection<EndpointConfigRecord>,
    pub(crate) endpoints: Collection<EndpointRecord>,

    /// The training jobs that have not ended, and how to stop each.
    jobs: Mutex<HashMap<String, CancellationToken>>,
    pub(crate) training_places: Semaphore,
    pub(crate) fleet: Fleet,
    pub(crate) inference_places: Arc<Semaphore>,
    pub(crate) inferences_waiting: AtomicUsize,
    pub(crate) captures: CaptureQueue,

    /// For tasks in the background, which keep the service while they run.
    pub(crate) me: Weak<Self>,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

impl SageMaker {
    /// Starts the service and goes on where the one before it ended: training processes that
    /// still run are adopted, those that ended are finished, endpoints load their models again
    /// in the background.
    ///
    /// # Errors
    /// When the store or the service's folder fails.
    pub async fn start(
        options: Options,
        owner: Owner,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        dependencies: Dependencies,
    ) -> Result<Arc<Self>, Error> {
        let captures = CaptureQueue::start(&options.capture, Arc::clone(&dependencies.objects));
        let service = Arc::new_cyclic(|me| Self {
            training_jobs: Collection::new(Arc::clone(&store), "sagemaker.training-jobs"),
            models: Collection::new(Arc::clone(&store), "sagemaker.models"),
            endpoint_configs: Collection::new(Arc::clone(&store), "sagemaker.endpoint-configs"),
            endpoints: Collection::new(store, "sagemaker.endpoints"),
            jobs: Mutex::default(),
            training_places: Semaphore::new(options.training_jobs_at_once.max(1)),
            fleet: Fleet::default(),
            inference_places: Arc::new(Semaphore::new(options.inferences_at_once.max(1))),
            inferences_waiting: AtomicUsize::new(0),
            captures,
            me: Weak::clone(me),
            tasks: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            options,
            owner,
            clock,
            dependencies,
        });
        service.recover_endpoints().await?;
        service.recover_jobs().await?;
        Ok(service)
    }

    /// Stops training processes (they save the best model so far), writes what was captured, and
    /// ends. Jobs that have no process yet begin anew at the next start. Calling it again is
    /// harmless.
    pub async fn shutdown(&self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.captures.flush().await;
    }

    pub(crate) fn arn(&self, kind: &str, name: &str) -> Arn {
        Arn::new("sagemaker", &self.owner, format!("{kind}/{name}"))
    }

    pub(crate) fn jobs(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

scones_api::operations! {
    SageMaker {
        "AddTags" => add_tags,
        "CreateEndpoint" => create_endpoint,
        "CreateEndpointConfig" => create_endpoint_config,
        "CreateModel" => create_model,
        "CreateTrainingJob" => create_training_job,
        "DeleteEndpoint" => delete_endpoint,
        "DeleteEndpointConfig" => delete_endpoint_config,
        "DeleteModel" => delete_model,
        "DeleteTags" => delete_tags,
        "DescribeEndpoint" => describe_endpoint,
        "DescribeEndpointConfig" => describe_endpoint_config,
        "DescribeModel" => describe_model,
        "DescribeTrainingJob" => describe_training_job,
        "ListEndpointConfigs" => list_endpoint_configs,
        "ListEndpoints" => list_endpoints,
        "ListModels" => list_models,
        "ListTags" => list_tags,
        "ListTrainingJobs" => list_training_jobs,
        "StopTrainingJob" => stop_training_job,
        "UpdateEndpoint" => update_endpoint,
        "UpdateEndpointWeightsAndCapacities" => update_endpoint_weights_and_capacities,
    }
}
