//! Loading an endpoint's models and switching to them.

use std::{collections::HashMap, path::Path, sync::Arc};

use scones_store::Error as StoreError;
use uuid::Uuid;

use super::{
    endpoint::{Deployment, EndpointRecord, EndpointStatus},
    fleet::{Loaded, LoadedVariant},
};
use crate::{SageMaker, capture::CapturePlan, draws::Draws, external::Classifier, limits, location::Location};

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
        let models = self.options.directory.join("models");
        if let Err(error) = tokio::fs::remove_dir_all(&models).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error.into());
        }
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
                Ok(loaded) => self.fleet.serve(name, Arc::new(loaded)),
                Err(reason) => return self.failed(name, &reason, true).await,
            }
        }
        if record.status.is_in_progress() {
            self.deploy(name).await
        } else {
            Ok(())
        }
    }

    async fn deploy(&self, name: &str) -> Result<(), StoreError> {
        let Some(record) = self.endpoints.get(name).await? else {
            return Ok(());
        };
        let Some(pending) = record.value.pending else {
            return Ok(());
        };
        let loaded = match self.load(name, &pending).await {
            Ok(loaded) => loaded,
            Err(reason) => return self.failed(name, &reason, false).await,
        };
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

    /// A deployment did not load: an update leaves what served before, a creation or a
    /// restoration (`gone`) leaves nothing.
    async fn failed(&self, name: &str, reason: &str, gone: bool) -> Result<(), StoreError> {
        tracing::warn!(endpoint = name, reason, "the endpoint's models cannot be loaded");
        let now = self.clock.now();
        let fail = |record: &mut EndpointRecord| -> Result<(), StoreError> {
            let serves = !gone && record.current.is_some();
            record.status = if serves {
                EndpointStatus::InService
            } else {
                EndpointStatus::Failed
            };
            if record.current.is_some() {
                record.pending = None;
            }
            record.failure_reason = Some(reason.chars().take(limits::FAILURE_REASON_LENGTH_MAX).collect());
            record.modified = now;
            Ok(())
        };
        let updated = self.endpoints.update(name, fail).await?;
        if updated.is_none_or(|record| record.status == EndpointStatus::Failed) {
            self.fleet.remove(name);
        }
        Ok(())
    }

    /// New weights for the variants that are loaded.
    pub(crate) fn reweigh(&self, record: &EndpointRecord) {
        let Some(slot) = self.fleet.find(&record.name) else {
            return;
        };
        let (Some(loaded), Some(current)) = (slot.borrow().clone(), &record.current) else {
            return;
        };
        let weight = |name: &str| {
            current
                .variants
                .iter()
                .find(|variant| variant.name == name)
                .map(|v| v.weight)
        };
        let variants = loaded.variants.iter().map(|variant| LoadedVariant {
            weight: weight(&variant.name).unwrap_or(variant.weight),
            ..variant.clone()
        });
        let reweighed = self.loaded(&record.name, current, variants.collect());
        self.fleet.serve(&record.name, Arc::new(reweighed));
    }

    fn loaded(&self, endpoint: &str, deployment: &Deployment, variants: Vec<LoadedVariant>) -> Loaded {
        let seed = self.options.seed;
        let capture = deployment
            .capture
            .as_ref()
            .and_then(|config| CapturePlan::new(config, endpoint, seed));
        Loaded {
            variants,
            capture,
            draws: Draws::new(seed, &format!("variant/{endpoint}")),
        }
    }

    async fn load(&self, endpoint: &str, deployment: &Deployment) -> Result<Loaded, String> {
        let mut classifiers: HashMap<&str, Arc<dyn Classifier>> = HashMap::new();
        let mut variants = Vec::new();
        for variant in &deployment.variants {
            let Some(uri) = variant.artefact.as_deref() else {
                return Err(format!(
                    "The primary container for production variant {} has no model data: the model was created without \
                     ModelDataUrl.",
                    variant.name
                ));
            };
            let classifier = match classifiers.get(uri) {
                Some(classifier) => Arc::clone(classifier),
                None => self.load_artefact(uri, &variant.name).await?,
            };
            classifiers.insert(uri, Arc::clone(&classifier));
            variants.push(LoadedVariant {
                name: variant.name.clone(),
                weight: variant.weight,
                classifier,
            });
        }
        Ok(self.loaded(endpoint, deployment, variants))
    }

    async fn load_artefact(&self, uri: &str, variant: &str) -> Result<Arc<dyn Classifier>, String> {
        let place = Location::parse(uri).map_err(|error| error.message)?;
        self.check_artefact(&place, uri).await?;
        let folder = self.options.directory.join("models");
        tokio::fs::create_dir_all(&folder)
            .await
            .map_err(|error| format!("The folder {} cannot be made: {error}.", folder.display()))?;
        let file = TemporaryFile(folder.join(format!("{}.tar.gz", Uuid::new_v4())));
        self.dependencies
            .objects
            .download(&place.bucket, &place.key, file.path())
            .await
            .map_err(|error| no_model_data(uri, &error.to_string()))?;
        let loader = Arc::clone(&self.dependencies.loader);
        let loading = tokio::task::spawn_blocking(move || loader.load(file.path()));
        loading.await.map_err(|error| error.to_string()).flatten().map_err(|reason| {
            format!(
                "The primary container for production variant {variant} did not pass the ping health check: the model \
                 data at {uri} cannot be loaded: {reason}."
            )
        })
    }

    async fn check_artefact(&self, place: &Location, uri: &str) -> Result<(), String> {
        let listed = self.dependencies.objects.list(&place.bucket, &place.key, None, 1).await;
        let listed = listed.map_err(|error| no_model_data(uri, &error.to_string()))?;
        match listed.first().filter(|object| object.key == place.key) {
            None => Err(no_model_data(uri, "there is no such object")),
            Some(object) if object.size > limits::MODEL_ARTEFACT_BYTES_MAX => Err(format!(
                "The model data at {uri} has {} bytes; at most {} are served.",
                object.size,
                limits::MODEL_ARTEFACT_BYTES_MAX
            )),
            Some(_) => Ok(()),
        }
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

/// A file that goes when its user does.
struct TemporaryFile(std::path::PathBuf);

impl TemporaryFile {
    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.0.display(), %error, "a temporary file stays behind");
        }
    }
}
