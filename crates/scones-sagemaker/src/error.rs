//! What can keep the service from starting.

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed, or the service's folder.
    #[error("SageMaker cannot read what it kept")]
    Store(#[from] scones_store::Error),
}
