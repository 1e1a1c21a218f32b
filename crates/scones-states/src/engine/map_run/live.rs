//! A run that this server conducts, as others see it.

use std::sync::{Arc, Mutex, PoisonError};

use scones_asl::map_run::MapRun;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Settings, Tally};
use crate::engine::Shared;

/// A run that this server conducts.
pub(crate) struct Live {
    pub(super) settings: watch::Sender<Settings>,
    tally: Mutex<Tally>,
    /// No child may begin any more.
    pub(super) closed: CancellationToken,
    /// The beginnings of children that are under way.
    pub(super) starts: TaskTracker,
}

impl Live {
    pub(super) fn of(run: &MapRun) -> Arc<Self> {
        Arc::new(Self {
            settings: watch::Sender::new(Settings::of(run)),
            tally: Mutex::default(),
            closed: CancellationToken::new(),
            starts: TaskTracker::new(),
        })
    }

    /// How far the run is.
    pub(crate) fn tally(&self) -> Tally {
        *self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Tally)) {
        count(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// UpdateMapRun.
    pub(crate) fn change(&self, settings: Settings) {
        self.settings.send_replace(settings);
    }

    /// Lets no further child begin, and waits for those that are about to.
    pub(super) async fn close(&self) {
        self.closed.cancel();
        self.starts.close();
        self.starts.wait().await;
    }
}

/// Keeps a run findable while it is conducted.
pub(super) struct Entered<'a> {
    shared: &'a Shared,
    map_run_arn: &'a str,
    live: Arc<Live>,
}

impl<'a> Entered<'a> {
    pub(super) fn of(shared: &'a Shared, map_run_arn: &'a str, live: &Arc<Live>) -> Self {
        let mut conducted = shared.conducted.lock().unwrap_or_else(PoisonError::into_inner);
        conducted.insert(map_run_arn.to_owned(), Arc::clone(live));
        let live = Arc::clone(live);
        Self {
            shared,
            map_run_arn,
            live,
        }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let mut conducted = self.shared.conducted.lock().unwrap_or_else(PoisonError::into_inner);
        // A redrive's conductor may have entered in the meantime.
        if conducted
            .get(self.map_run_arn)
            .is_some_and(|live| Arc::ptr_eq(live, &self.live))
        {
            conducted.remove(self.map_run_arn);
        }
    }
}

impl Shared {
    /// A run that this server conducts.
    pub(crate) fn conducted(&self, map_run_arn: &str) -> Option<Arc<Live>> {
        let conducted = self.conducted.lock().unwrap_or_else(PoisonError::into_inner);
        conducted.get(map_run_arn).cloned()
    }
}
