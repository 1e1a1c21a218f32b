//! Read-only connections, used by many at a time on the runtime's blocking
//! threads.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::Error;

/// Reads at the same time; further ones wait.
const CONNECTIONS_MAX: usize = 8;

/// Connections that are not in use, and permission to use one.
pub(super) struct Readers {
    database: PathBuf,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    /// Opens nothing yet.
    pub(super) fn new(database: PathBuf) -> Self {
        Self {
            database,
            permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            idle: Arc::default(),
        }
    }

    /// Performs `operation` off the async threads. It sees every write that
    /// was acknowledged before.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| Error::Closed)?;
        let (idle, database) = (Arc::clone(&self.idle), self.database.clone());
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let kept = lock(&idle).pop();
            let connection = kept.map_or_else(|| super::open_for_reading(&database), Ok)?;
            let result = operation(&connection);
            lock(&idle).push(connection);
            result
        });
        read.await.map_err(std::io::Error::other)?
    }

    /// Refuses further reads; those under way finish.
    pub(super) fn close(&self) {
        self.permits.close();
        lock(&self.idle).clear();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
