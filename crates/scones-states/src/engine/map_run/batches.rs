//! From items to the inputs of children.

use scones_asl::{
    error_names,
    event::Failure,
    map_run::{Batching, MapRun},
};

use super::child::Child;
use crate::{engine::pace, items::Items, limits::PAYLOAD_BYTES_MAX};

/// Items that are prepared before other tasks get a turn.
const ITEMS_AT_ONCE: u64 = 64;

/// The children of a run, one after another.
pub(crate) struct Batches {
    items: Items,
    /// The number of the next item.
    index: u64,
    /// The number of the next child.
    number: u64,
    /// An item that was too much for the last batch, as text.
    held: Option<String>,
}

impl Batches {
    pub(crate) fn of(items: Items) -> Self {
        Self {
            items,
            index: 0,
            number: 0,
            held: None,
        }
    }

    /// How many children were given out.
    pub(crate) fn given(&self) -> u64 {
        self.number
    }

    /// The next child; none when all items are given out.
    ///
    /// # Errors
    /// The items cannot be read, selected, or put into an input of 256 KiB.
    pub(crate) async fn next(&mut self, run: &MapRun) -> Result<Option<Child>, Failure> {
        let Some(first) = self.next_item(run).await? else {
            return Ok(None);
        };
        let (input, items) = match &run.batching {
            None => (first, 1),
            Some(batching) => self.batch(run, batching, first).await?,
        };
        if input.len() > PAYLOAD_BYTES_MAX {
            return Err(too_large(&run.state_name));
        }
        let number = self.number;
        self.number += 1;
        Ok(Some(Child { number, items, input }))
    }

    /// As many items as the batch takes, at least one.
    async fn batch(&mut self, run: &MapRun, batching: &Batching, first: String) -> Result<(String, u64), Failure> {
        let most_items = batching.max_items.unwrap_or(u64::MAX);
        let most_bytes = batching
            .max_bytes
            .and_then(|bytes| usize::try_from(bytes).ok())
            .map_or(PAYLOAD_BYTES_MAX, |bytes| bytes.min(PAYLOAD_BYTES_MAX));
        let head = match &batching.input {
            Some(input) => format!("{{\"BatchInput\":{input},\"Items\":["),
            None => "{\"Items\":[".to_owned(),
        };
        let (mut input, mut items) = (head + &first, 1);
        while items < most_items {
            let Some(item) = self.next_item(run).await? else { break };
            if input.len() + item.len() + ",]}".len() > most_bytes {
                self.held = Some(item);
                break;
            }
            input.push(',');
            input.push_str(&item);
            items += 1;
        }
        Ok((input + "]}", items))
    }

    /// The next item as its child gets it.
    async fn next_item(&mut self, run: &MapRun) -> Result<Option<String>, Failure> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        let Some(item) = self.items.next().await? else {
            return Ok(None);
        };
        let index = self.index;
        self.index += 1;
        if index.is_multiple_of(ITEMS_AT_ONCE) {
            tokio::task::yield_now().await;
        }
        pace::compute(run.selects_with_jsonata(), || run.item_input(index, item)).map(|input| Some(input.to_string()))
    }
}

fn too_large(state_name: &str) -> Failure {
    Failure {
        error: Some(error_names::DATA_LIMIT_EXCEEDED.to_owned()),
        cause: Some(format!(
            "The state/task '{state_name}' has an item or a batch of items whose size exceeds \
             the maximum number of bytes service limit."
        )),
    }
}
