//! Pauses before something that failed is tried again.

use std::time::Duration;

use scones_store::Error as StoreError;

use super::Shared;
use crate::Error;

const FIRST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(2);

/// The next pause; each is twice as long as the one before, up to two seconds.
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(FIRST)
    }

    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST);
    }
}

impl Shared {
    /// Asks until the store or the service answers, or the server stops or
    /// has closed its store.
    ///
    /// # Errors
    /// What asking again does not mend.
    pub(crate) async fn patiently<T, F>(&self, what: &str, mut ask: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut backoff = Backoff::new();
        loop {
            match ask().await {
                Err(Error::Store(StoreError::Closed)) => return Err(Error::Unavailable),
                Err(error @ (Error::Store(_) | Error::Unavailable)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "{what} and has to wait");
                    tokio::select! {
                        biased;
                        () = self.stopping.cancelled() => return Err(Error::Unavailable),
                        () = backoff.pause() => {}
                    }
                }
                answer => return answer,
            }
        }
    }
}
