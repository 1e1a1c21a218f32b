//! Items from a parser that blocks: it has a thread of its own, and is never
//! far ahead of the items' reader.

use std::{sync::Arc, thread};

use futures::{StreamExt as _, stream};
use scones_asl::event::Failure;
use serde_json::Value;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};

use super::{Values, failed};
use crate::limits::ITEM_BYTES_MAX;

/// Items that wait to be taken.
const AHEAD: usize = 16;

/// An item, with its share of the bytes that may wait; none at the end.
type Message<T> = Result<Option<(T, OwnedSemaphorePermit)>, Failure>;

/// Where the parser leaves its items.
pub(super) struct Out<T = Value> {
    sender: mpsc::Sender<Message<T>>,
    /// Bytes that may wait: the largest item's.
    room: Arc<Semaphore>,
    runtime: Handle,
}

/// Nobody takes any more items.
#[derive(Debug, thiserror::Error)]
#[error("nobody takes the items")]
pub(super) struct Unwanted;

impl<T> Out<T> {
    /// Waits until there is room for an item that was so many bytes.
    pub(super) fn put(&self, item: T, bytes: usize) -> Result<(), Unwanted> {
        let bytes = u32::try_from(bytes.min(ITEM_BYTES_MAX)).unwrap_or(u32::MAX);
        let share = self.runtime.block_on(Arc::clone(&self.room).acquire_many_owned(bytes));
        let share = share.map_err(|_| Unwanted)?;
        self.sender.blocking_send(Ok(Some((item, share)))).map_err(|_| Unwanted)
    }
}

/// The items that `parse` puts out. It is not one of the runtime's threads,
/// whose number is bounded: a map run keeps it until the last item is taken.
pub(super) fn items<T: Send + 'static>(
    parse: impl FnOnce(&Out<T>) -> Result<(), Failure> + Send + 'static,
) -> Result<Values<T>, Failure> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let out = Out {
        sender,
        room: Arc::new(Semaphore::new(ITEM_BYTES_MAX)),
        runtime: Handle::current(),
    };
    let work = move || {
        let end = parse(&out).map(|()| None);
        // Whoever is gone does not want to know.
        drop(out.sender.blocking_send(end));
    };
    thread::Builder::new()
        .name("items".to_owned())
        .spawn(work)
        .map_err(|error| failed(format!("no thread can be started to read the items: {error}")))?;
    let items = stream::try_unfold(receiver, async |mut receiver: mpsc::Receiver<Message<T>>| {
        match receiver.recv().await {
            Some(Ok(item)) => Ok(item.map(|(item, _)| (item, receiver))),
            Some(Err(failure)) => Err(failure),
            // It panicked: the items before are not all there are.
            None => Err(failed("the reader of the items was lost")),
        }
    });
    Ok(items.boxed())
}
