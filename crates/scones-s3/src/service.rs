//! The service itself: what it holds and how it starts.

use std::sync::Arc;

use scones_api::{ApiError, Clock, Owner};
use scones_store::{Collection, Error as StoreError, Store};
use tokio::task::JoinHandle;

use crate::{
    records::{BUCKETS, BucketRecord, OBJECTS, ObjectRecord, PARTS, PartRecord, UPLOADS, UploadRecord},
    recovery,
};

/// The object store. One is started and shared; clones are the same store.
#[derive(Clone)]
pub struct S3 {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) owner: Owner,
    pub(crate) buckets: Collection<BucketRecord>,
    pub(crate) objects: Collection<ObjectRecord>,
    pub(crate) uploads: Collection<UploadRecord>,
    pub(crate) parts: Collection<PartRecord>,
    sweep: Arc<tokio::sync::Mutex<Option<JoinHandle<()>>>>,
}

impl S3 {
    /// Starts the service over `store`: settles what a crash left undecided,
    /// then begins to sweep ownerless blobs away in the background. Takes a
    /// time that grows with the number of unfinished uploads and blobs, not
    /// with their size.
    ///
    /// # Errors
    /// The store's.
    pub async fn start(store: Arc<dyn Store>, owner: Owner, clock: Arc<dyn Clock>) -> Result<Arc<Self>, ApiError> {
        let service = Self {
            buckets: Collection::new(Arc::clone(&store), BUCKETS),
            objects: Collection::new(Arc::clone(&store), OBJECTS),
            uploads: Collection::new(Arc::clone(&store), UPLOADS),
            parts: Collection::new(Arc::clone(&store), PARTS),
            store,
            clock,
            owner,
            sweep: Arc::default(),
        };
        recovery::settle(&service).await?;
        let blobs = recovery::all_blobs(&service).await?;
        let sweeper = service.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = recovery::sweep(&sweeper, blobs).await {
                tracing::error!(%error, "ownerless blobs could not be swept away");
            }
        });
        *service.sweep.lock().await = Some(task);
        Ok(Arc::new(service))
    }

    /// Waits until the sweep that [`start`](Self::start) began has ended.
    pub async fn swept(&self) {
        if let Some(task) = self.sweep.lock().await.as_mut() {
            // A sweep that was stopped or panicked has ended too.
            let _ = task.await;
        }
    }

    /// Ends the sweep, if it is still running. Requests are the caller's to
    /// drain. May be called again.
    pub async fn shutdown(&self) {
        if let Some(task) = self.sweep.lock().await.take() {
            task.abort();
        }
    }

    /// Runs `work` to its end even if the client goes away: for the steps
    /// between which nobody may stop.
    pub(crate) async fn uninterrupted<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
    ) -> Result<T, ApiError> {
        tokio::spawn(work).await.unwrap_or_else(|_| {
            Err(ApiError::internal(
                "the request's task failed; the server's log has the cause",
            ))
        })
    }

    /// Deletes blobs that no record names any more. What cannot be deleted now
    /// goes with the sweep of the next start.
    pub(crate) async fn discard(&self, blobs: impl IntoIterator<Item = scones_store::BlobId> + Send) {
        for blob in blobs.into_iter().collect::<Vec<_>>() {
            match self.store.delete_blob(&blob).await {
                Ok(_) => {}
                Err(error @ StoreError::Closed) => tracing::debug!(%blob, %error, "a blob is left to the next sweep"),
                Err(error) => tracing::warn!(%blob, %error, "a blob without an owner could not be deleted"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex, PoisonError},
    };

    use scones_api::{Owner, SystemClock};
    use scones_store::{BlobId, Blobs as _, SqliteStore};

    use super::{S3, StoreError};

    /// What is logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged when a blob is discarded, above debugging.
    async fn logged(s3: &S3, blob: &BlobId) -> String {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        let guard = tracing::subscriber::set_default(subscriber);
        s3.discard([blob.clone()]).await;
        drop(guard);
        let bytes = log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn a_closed_store_is_no_warning() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path()).unwrap();
        let clock = Arc::new(SystemClock);
        let s3 = S3::start(store.clone(), Owner::default(), clock).await.unwrap();
        s3.swept().await;
        let blob = store.create_blob("s3").await.unwrap().finish().await.unwrap();
        store.close().await;
        assert!(matches!(store.delete_blob(&blob).await, Err(StoreError::Closed)));
        assert_eq!(logged(&s3, &blob).await, "");
    }
}
