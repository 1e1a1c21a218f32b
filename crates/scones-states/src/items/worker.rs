//! Items from a parser that blocks: it has a thread of its own, and is never
//! far ahead of the items' reader.

use std::thread;

use futures::{StreamExt as _, stream};
use scones_asl::event::Failure;
use serde_json::Value;
use tokio::sync::mpsc;

use super::{Values, failed};

/// Items that wait to be taken.
const AHEAD: usize = 16;

/// Where the parser leaves its items.
pub(super) struct Out<T = Value>(mpsc::Sender<Result<Option<T>, Failure>>);

/// Nobody takes any more items.
#[derive(Debug, thiserror::Error)]
#[error("nobody takes the items")]
pub(super) struct Unwanted;

impl<T> Out<T> {
    /// Waits until there is room for an item.
    pub(super) fn put(&self, item: T) -> Result<(), Unwanted> {
        self.0.blocking_send(Ok(Some(item))).map_err(|_| Unwanted)
    }
}

/// The items that `parse` puts out. It is not one of the runtime's threads,
/// whose number is bounded: a map run keeps it until the last item is taken.
pub(super) fn items<T: Send + 'static>(
    parse: impl FnOnce(&Out<T>) -> Result<(), Failure> + Send + 'static,
) -> Result<Values<T>, Failure> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let work = move || {
        let out = Out(sender);
        let end = parse(&out).map(|()| None);
        // Whoever is gone does not want to know.
        drop(out.0.blocking_send(end));
    };
    thread::Builder::new()
        .name("items".to_owned())
        .spawn(work)
        .map_err(|error| failed(format!("no thread can be started to read the items: {error}")))?;
    let items = stream::try_unfold(receiver, async |mut receiver: mpsc::Receiver<_>| {
        match receiver.recv().await {
            Some(Ok(item)) => Ok(item.map(|item| (item, receiver))),
            Some(Err(failure)) => Err(failure),
            // It panicked: the items before are not all there are.
            None => Err(failed("the reader of the items was lost")),
        }
    });
    Ok(items.boxed())
}
