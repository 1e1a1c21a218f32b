//! The endpoints that serve, as invocations see them.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::sync::{Semaphore, watch};

use crate::{capture::CapturePlan, draws::Draws, external::Classifier};

/// A model in memory. Cheap to clone: clones share it and its turns.
#[derive(Clone)]
pub(crate) struct LoadedModel {
    pub classifier: Arc<dyn Classifier>,
    /// As many as it computes at the same time.
    pub turns: Arc<Semaphore>,
}

impl LoadedModel {
    pub fn new(classifier: Arc<dyn Classifier>) -> Self {
        let turns = classifier.concurrency().clamp(1, Semaphore::MAX_PERMITS);
        let turns = Arc::new(Semaphore::new(turns));
        Self { classifier, turns }
    }
}

/// A variant whose model is in memory.
#[derive(Clone)]
pub(crate) struct LoadedVariant {
    pub name: String,
    pub weight: f64,
    pub model: LoadedModel,
}

/// A deployment that answers. It is replaced as a whole, never changed.
pub(crate) struct Loaded {
    pub variants: Vec<LoadedVariant>,
    pub capture: Option<CapturePlan>,
    /// Decides variants.
    pub draws: Draws,
}

impl Loaded {
    /// The variant of that name, or one drawn by weight.
    pub fn choose(&self, target: Option<&str>) -> Option<&LoadedVariant> {
        if let Some(target) = target {
            return self.variants.iter().find(|variant| variant.name == target);
        }
        let total: f64 = self.variants.iter().map(|variant| variant.weight).sum();
        let mut left = self.draws.next() * total;
        let drawn = self.variants.iter().find(|variant| {
            let hit = left < variant.weight;
            left -= variant.weight;
            hit
        });
        // Weights of zero everywhere, or a rounding at the very end.
        drawn.or(self.variants.first())
    }
}

type Slot = watch::Sender<Option<Arc<Loaded>>>;

/// Every endpoint that serves or will once its models are loaded again.
#[derive(Default)]
pub(crate) struct Fleet {
    slots: RwLock<HashMap<String, Slot>>,
}

impl Fleet {
    /// The endpoint is expected to serve soon: invocations wait for it.
    pub fn expect(&self, endpoint: &str) {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        slots
            .entry(endpoint.to_owned())
            .or_insert_with(|| watch::Sender::new(None));
    }

    /// The endpoint serves `loaded` from now on.
    pub fn serve(&self, endpoint: &str, loaded: Arc<Loaded>) {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        let slot = slots
            .entry(endpoint.to_owned())
            .or_insert_with(|| watch::Sender::new(None));
        slot.send_replace(Some(loaded));
    }

    /// The endpoint that was expected serves `loaded`, unless it has been updated or deleted
    /// meanwhile.
    pub fn resume(&self, endpoint: &str, loaded: Arc<Loaded>) {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(endpoint) {
            slot.send_if_modified(|serving| {
                let expected = serving.is_none();
                serving.get_or_insert(loaded);
                expected
            });
        }
    }

    /// Whether invocations are answered now.
    pub fn serves(&self, endpoint: &str) -> bool {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.get(endpoint).is_some_and(|slot| slot.borrow().is_some())
    }

    /// The endpoint that was expected will not serve, unless it does already.
    pub fn give_up(&self, endpoint: &str) {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if slots.get(endpoint).is_some_and(|slot| slot.borrow().is_none()) {
            slots.remove(endpoint);
        }
    }

    /// The endpoint serves no more. Invocations that have begun end well.
    pub fn remove(&self, endpoint: &str) {
        self.slots
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(endpoint);
    }

    /// What an endpoint serves now and later.
    pub fn find(&self, endpoint: &str) -> Option<watch::Receiver<Option<Arc<Loaded>>>> {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.get(endpoint).map(watch::Sender::subscribe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::external::ClassifyError;

    struct Silent;

    impl Classifier for Silent {
        fn classify(&self, _: &[u8]) -> Result<Vec<f32>, ClassifyError> {
            Ok(Vec::new())
        }
    }

    fn loaded(weights: &[f64]) -> Loaded {
        let variants = weights.iter().enumerate().map(|(at, &weight)| LoadedVariant {
            name: at.to_string(),
            weight,
            model: LoadedModel::new(Arc::new(Silent)),
        });
        Loaded {
            variants: variants.collect(),
            capture: None,
            draws: Draws::new(7, "endpoint"),
        }
    }

    #[test]
    fn what_is_restored_late_replaces_nothing() {
        let fleet = Fleet::default();
        let serving = || {
            fleet
                .find("e")
                .map(|slot| slot.borrow().as_ref().map(|loaded| loaded.variants.len()))
        };
        fleet.resume("e", Arc::new(loaded(&[1.0])));
        assert_eq!(serving(), None, "it was deleted");
        fleet.expect("e");
        fleet.resume("e", Arc::new(loaded(&[1.0])));
        assert_eq!(serving(), Some(Some(1)));
        fleet.serve("e", Arc::new(loaded(&[1.0, 1.0])));
        fleet.resume("e", Arc::new(loaded(&[1.0])));
        assert_eq!(serving(), Some(Some(2)), "it was updated");
    }

    fn shares(weights: &[f64]) -> Vec<usize> {
        let loaded = loaded(weights);
        let mut counts = vec![0; weights.len()];
        for _ in 0..1000 {
            counts[loaded.choose(None).unwrap().name.parse::<usize>().unwrap()] += 1;
        }
        assert!(loaded.choose(Some("0")).is_some());
        assert!(loaded.choose(Some("none")).is_none());
        counts
    }

    #[test]
    fn variants_are_chosen_by_weight() {
        assert_eq!(shares(&[1.0]), [1000]);
        assert_eq!(shares(&[0.0, 2.0]), [0, 1000]);
        assert_eq!(shares(&[0.0, 0.0]), [1000, 0]);
        let [few, many] = shares(&[1.0, 3.0])[..] else {
            unreachable!()
        };
        assert!((200..300).contains(&few) && (700..800).contains(&many), "{few} {many}");
    }
}
