//! Loading an endpoint's models and switching to them.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use scones_api::ApiError;
use scones_store::Error as StoreError;

use super::{
    deployment::{Deployment, EndpointRecord, EndpointStatus},
    fleet::{Loaded, LoadedModel, LoadedVariant},
};
use crate::{SageMaker, capture::CapturePlan, draws::Draws, external::ObjectSummary, limits, location::Location};

impl SageMaker {
    /// Loads an endpoint's pending deployment in the background.
    pub(crate) fn start_deployment(&self, name: &str) {
        let (Some(service), name) = (self.me.upgrade(), name.to_owned()) else {
            return;
        };
        self.tasks.spawn(async move {
            let done = service.shutdown.run_until_cancelled(service.deploy(&name)).await;
            report(&name, done);
        });
    }

    /// Endpoints serve again after a restart, without the start waiting for it.
    pub(crate) async fn recover_endpoints(&self) -> Result<(), StoreError> {
        self.discard_unused_models().await;
        let Some(service) = self.me.upgrade() else {
            return Ok(());
        };
        for (name, record) in self.endpoints.all("").await? {
            if record.status == EndpointStatus::Failed {
                continue;
            }
            if record.current.is_some() {
                self.fleet.expect(&name);
            }
            let service = Arc::clone(&service);
            self.tasks.spawn(async move {
                let done = service
                    .shutdown
                    .run_until_cancelled(service.restore(&name, &record))
                    .await;
                report(&name, done);
            });
        }
        Ok(())
    }

    /// Loads what an endpoint served, and then what it was about to serve.
    async fn restore(&self, name: &str, record: &EndpointRecord) -> Result<(), StoreError> {
        if let Some(current) = &record.current {
            match self.load(name, current).await {
                Ok(loaded) => self.fleet.resume(name, Arc::new(loaded)),
                Err(reason) => self.lost(name, &current.id, &reason).await?,
            }
        }
        if record.status.is_in_progress() {
            self.deploy(name).await
        } else {
            Ok(())
        }
    }

    async fn deploy(&self, name: &str) -> Result<(), StoreError> {
        let record = self.endpoints.get(name).await?;
        let Some(pending) = record.and_then(|record| record.value.pending) else {
            return Ok(());
        };
        match self.load(name, &pending).await {
            Ok(loaded) => self.switch(name, loaded).await?,
            Err(reason) => self.failed(name, &reason).await?,
        }
        self.discard_unused_models().await;
        Ok(())
    }

    async fn switch(&self, name: &str, loaded: Loaded) -> Result<(), StoreError> {
        self.fleet.serve(name, Arc::new(loaded));
        let now = self.clock.now();
        let switch = |record: &mut EndpointRecord| -> Result<(), StoreError> {
            record.current = record.pending.take().or(record.current.take());
            record.status = EndpointStatus::InService;
            record.modified = now;
            Ok(())
        };
        if self.endpoints.update(name, switch).await?.is_none() {
            self.fleet.remove(name);
        }
        tracing::info!(endpoint = name, "the endpoint is in service");
        Ok(())
    }

    /// The pending deployment did not load: an update leaves what served before, a creation
    /// leaves nothing.
    async fn failed(&self, name: &str, reason: &str) -> Result<(), StoreError> {
        tracing::warn!(endpoint = name, reason, "the endpoint's models cannot be loaded");
        let now = self.clock.now();
        let fail = |record: &mut EndpointRecord| -> Result<(), StoreError> {
            if record.current.is_some() {
                record.status = EndpointStatus::InService;
                record.pending = None;
                record.explain(reason, now);
            } else {
                record.fail(reason, now);
            }
            Ok(())
        };
        let updated = self.endpoints.update(name, fail).await?;
        if updated.is_none_or(|record| record.status == EndpointStatus::Failed) {
            self.fleet.give_up(name);
        }
        Ok(())
    }

    /// The deployment `id`, which served before a restart, did not load again. The endpoint has
    /// failed, unless another deployment serves by now or is about to.
    async fn lost(&self, name: &str, id: &str, reason: &str) -> Result<(), StoreError> {
        tracing::warn!(endpoint = name, reason, "the endpoint's models cannot be loaded again");
        let now = self.clock.now();
        let lose = |record: &mut EndpointRecord| -> Result<(), StoreError> {
            let is_lost = |served: &mut Deployment| served.id == id && !self.fleet.serves(name);
            let Some(served) = record.current.take_if(is_lost) else {
                return Ok(());
            };
            if !record.status.is_in_progress() {
                record.pending = Some(served);
                record.fail(reason, now);
            }
            Ok(())
        };
        let updated = self.endpoints.update(name, lose).await?;
        if updated.is_none_or(|record| record.status == EndpointStatus::Failed) {
            self.fleet.give_up(name);
        }
        Ok(())
    }

    /// Where deployments have their copies of artefacts, each deployment in a folder of its own.
    fn models(&self) -> PathBuf {
        self.options.directory.join("models")
    }

    /// Removes the copies that no endpoint serves from or is about to.
    pub(crate) async fn discard_unused_models(&self) {
        let discarded = async {
            for folder in self.unused_models().await? {
                unless_missing(tokio::fs::remove_dir_all(folder).await)?;
            }
            Ok::<(), StoreError>(())
        };
        if let Err(error) = discarded.await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "models that are not needed stay behind");
        }
    }

    async fn unused_models(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut folders = match tokio::fs::read_dir(self.models()).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            folders => folders?,
        };
        let mut unused = HashSet::new();
        while let Some(folder) = folders.next_entry().await? {
            unused.insert(folder.path());
        }
        // Read after the folders: a deployment is on record before it has one.
        for (_, record) in self.endpoints.all("").await? {
            let pending = record.pending.as_ref().filter(|_| record.status.is_in_progress());
            for deployment in record.current.iter().chain(pending) {
                unused.remove(&self.models().join(&deployment.id));
            }
        }
        Ok(unused.into_iter().collect())
    }

    async fn load(&self, endpoint: &str, deployment: &Deployment) -> Result<Loaded, String> {
        let mut models: HashMap<&str, LoadedModel> = HashMap::new();
        let mut variants = Vec::new();
        let folder = self.models().join(&deployment.id);
        for variant in &deployment.variants {
            let Some(uri) = variant.artefact.as_deref() else {
                return Err(format!(
                    "The primary container for production variant {} has no model data: the model was created without \
                     ModelDataUrl.",
                    variant.name
                ));
            };
            let model = match models.get(uri) {
                Some(model) => model.clone(),
                None => self.load_artefact(uri, &variant.name, &folder).await?,
            };
            models.insert(uri, model.clone());
            variants.push(LoadedVariant {
                name: variant.name.clone(),
                weight: variant.weight,
                model,
            });
        }
        let seed = self.options.seed;
        let capture = deployment.capture.as_ref();
        Ok(Loaded {
            variants,
            capture: capture.and_then(|config| CapturePlan::new(config, endpoint, seed)),
            draws: Draws::new(seed, &format!("variant/{endpoint}")),
        })
    }

    /// Loads a variant's artefact from the deployment's own copy, which is made at the first time:
    /// what becomes of the object in S3 does not matter to an endpoint that serves.
    async fn load_artefact(&self, uri: &str, variant: &str, folder: &Path) -> Result<LoadedModel, String> {
        let copy = folder.join(format!("{variant}.tar.gz"));
        if !tokio::fs::try_exists(&copy).await.unwrap_or(false) {
            self.copy_artefact(uri, folder, &copy).await?;
        }
        let loader = Arc::clone(&self.dependencies.loader);
        let loading = tokio::task::spawn_blocking(move || loader.load(&copy));
        let loaded = loading.await.map_err(|error| error.to_string()).flatten();
        loaded.map(LoadedModel::new).map_err(|reason| {
            format!(
                "The primary container for production variant {variant} did not pass the ping health check: the model \
                 data at {uri} cannot be loaded: {reason}."
            )
        })
    }

    async fn copy_artefact(&self, uri: &str, folder: &Path, copy: &Path) -> Result<(), String> {
        let place = Location::parse(uri).map_err(|error| error.message)?;
        self.check_artefact(&place, uri).await?;
        let unwritable = |error: io::Error| format!("The folder {} cannot be written to: {error}.", folder.display());
        tokio::fs::create_dir_all(folder).await.map_err(unwritable)?;
        let draft = folder.join("draft");
        // One may be there, of a server that was killed.
        let removed = tokio::fs::remove_file(&draft).await;
        unless_missing(removed).map_err(unwritable)?;
        let objects = &self.dependencies.objects;
        let downloaded = objects.download(&place.bucket, &place.key, &draft).await;
        downloaded.map_err(|error| no_model_data(uri, &error.to_string()))?;
        let kept = async {
            tokio::fs::File::open(&draft).await?.sync_all().await?;
            tokio::fs::rename(&draft, copy).await
        };
        kept.await.map_err(unwritable)
    }

    async fn check_artefact(&self, place: &Location, uri: &str) -> Result<(), String> {
        let found = self.find_artefact(place).await;
        match found.map_err(|error| no_model_data(uri, &error.to_string()))? {
            None => Err(no_model_data(uri, "there is no such object")),
            Some(object) if object.size > limits::MODEL_ARTEFACT_BYTES_MAX => Err(format!(
                "The model data at {uri} has {} bytes; at most {} are served.",
                object.size,
                limits::MODEL_ARTEFACT_BYTES_MAX
            )),
            Some(_) => Ok(()),
        }
    }

    /// The object of exactly that key.
    pub(crate) async fn find_artefact(&self, place: &Location) -> Result<Option<ObjectSummary>, ApiError> {
        let listed = self
            .dependencies
            .objects
            .list(&place.bucket, &place.key, None, 1)
            .await?;
        Ok(listed.into_iter().next().filter(|object| object.key == place.key))
    }
}

/// What is not there need not be removed.
fn unless_missing(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn report(endpoint: &str, done: Option<Result<(), StoreError>>) {
    if let Some(Err(error)) = done {
        let error = &error as &dyn std::error::Error;
        tracing::error!(endpoint, error, "the endpoint waits for the next start of the server");
    }
}

fn no_model_data(uri: &str, why: &str) -> String {
    format!(
        "Failed to download model data for container \"container_1\" from URL: \"{uri}\". Please ensure that there is an \
         object located at the URL and that the role passed to CreateModel has permissions to download the object \
         ({why})."
    )
}
