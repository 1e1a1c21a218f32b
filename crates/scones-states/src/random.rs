//! Where ids and the random choices of executions come from: handed in, so
//! that a simulation can repeat them.

use std::sync::Arc;

use uuid::Uuid;

/// A source of random numbers.
pub trait Random: Send + Sync + 'static {
    /// A number that nobody can guess; six of its bits may be fixed, as they
    /// are in a UUID.
    fn draw(&self) -> u128;
}

/// The operating system's source.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn draw(&self) -> u128 {
        Uuid::new_v4().as_u128()
    }
}

/// What the service makes of a source's numbers.
#[derive(Clone)]
pub(crate) struct Ids(pub(crate) Arc<dyn Random>);

impl Ids {
    /// An id like no other.
    pub(crate) fn id(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.0.draw().to_be_bytes()).into_uuid()
    }

    /// What all random choices of an execution follow from, or what a writer
    /// signs with.
    pub(crate) fn seed(&self) -> u64 {
        let (seed, _) = Uuid::from_u128(self.0.draw()).as_u64_pair();
        seed
    }

    /// A number below 100.
    pub(crate) fn percent(&self) -> u8 {
        u8::try_from(self.0.draw() % 100).unwrap_or_default()
    }
}
