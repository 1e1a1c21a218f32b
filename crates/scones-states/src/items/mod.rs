//! The items of a distributed map.

use std::sync::Arc;

use scones_asl::{event::Failure, map_run::ItemSource};
use serde_json::Value;

use crate::objects::ObjectStore;

/// Items, one after another.
pub(crate) enum Items {
    /// From the state's input.
    Given(std::vec::IntoIter<Value>),
}

/// Begins to read.
///
/// # Errors
/// `States.ItemReaderFailed`: there is no such dataset, or it cannot be read.
pub(crate) async fn open(source: &ItemSource, _objects: &Arc<dyn ObjectStore>) -> Result<Items, Failure> {
    match source {
        ItemSource::Items(items) => Ok(Items::Given(items.clone().into_iter())),
        ItemSource::Objects(_) => Err(Failure {
            error: Some(scones_asl::error_names::ITEM_READER_FAILED.to_owned()),
            cause: Some("Scones does not read items from S3 yet".to_owned()),
        }),
    }
}

impl Items {
    /// How many there are, where that is known.
    pub(crate) fn count(&self) -> Option<u64> {
        match self {
            Self::Given(items) => u64::try_from(items.len()).ok(),
        }
    }

    /// The next item; none at the end.
    ///
    /// # Errors
    /// The dataset cannot be read on.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>, Failure> {
        match self {
            Self::Given(items) => Ok(items.next()),
        }
    }
}
