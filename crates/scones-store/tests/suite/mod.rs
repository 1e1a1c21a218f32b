//! What every backend must do. A backend says how it is opened; `tests!` makes
//! a test of each behaviour.

mod blobs;
mod histories;
mod queues;
mod records;
mod timers;

use std::{path::Path, sync::Arc};

use scones_store::Store;

pub use self::{blobs::*, histories::*, queues::*, records::*, timers::*};

/// How a backend is opened and closed.
pub trait Backend {
    type Store: Store;

    fn open(&self, directory: &Path) -> impl Future<Output = Arc<Self::Store>>;
    fn close(&self, store: Arc<Self::Store>) -> impl Future<Output = ()>;
}

macro_rules! tests {
    ($backend:expr => $($name:ident),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            let directory = tempfile::tempdir().unwrap();
            suite::$name(&$backend, directory.path()).await;
        })*
    };
    ($backend:expr) => {
        suite::tests! { $backend =>
            a_history_grows_by_whole_appends,
            one_of_two_appends_at_a_position_is_fenced,
            a_deleted_history_begins_again,
            histories_survive_reopening,
            records_obey_what_a_write_expects,
            a_revision_never_comes_back,
            counting_with_compare_and_set_loses_nothing,
            one_operation_that_conflicts_leaves_the_others_alone,
            records_are_listed_as_an_ordered_map_lists_them,
            a_leased_message_is_nobody_elses,
            a_lease_can_be_prolonged,
            a_lost_lease_is_worth_nothing,
            messages_come_oldest_first,
            competing_receivers_share_a_queue,
            a_timer_stays_until_it_is_cleared,
            timers_are_replaced_and_ordered,
            blobs_of_every_size_are_read_back,
            blobs_are_read_in_ranges,
            an_unfinished_blob_leaves_nothing,
            a_deleted_blob_is_read_to_the_end,
            blobs_are_listed_in_pages,
            a_closed_store_says_so,
        }
    };
}
pub(crate) use tests;
