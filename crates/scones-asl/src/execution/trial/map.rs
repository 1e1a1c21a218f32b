//! What a Map state that is tried would iterate over.

use std::sync::Arc;

use serde_json::Value;

use super::{Inspection, dataset};
use crate::error::Fault;
use crate::event::Failure;
use crate::execution::Execution;
use crate::execution::frame::Frame;
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::machine::Map;
use crate::map_run::{self, Batching, Item, ItemSource, MapRun};
use crate::payload::Payload;

/// The stages of a Map state's items, as far as they were passed.
#[derive(Debug, Default)]
pub(super) struct Iterations {
    items_path: Option<Arc<str>>,
    items_pointer: Option<Arc<str>>,
    item_selector: Option<Arc<str>>,
    item_batcher: Option<Arc<str>>,
    max_concurrency: Option<u64>,
    tolerated_count: Option<u64>,
    tolerated_percentage: Option<f64>,
    /// The number of iterations.
    pub(super) count: Option<u64>,
}

impl Iterations {
    /// Passes the stages of an inline map.
    pub(super) fn inline(&mut self, execution: &Execution, frame: &Frame, map: &Map) -> Result<(), Fault> {
        let raw = Payload::from_text(Arc::clone(&frame.input));
        let input = execution.select(frame, &frame.state().input_path, raw)?;
        execution.note(|notes| &notes.input_path, &input);
        let items = execution.items(frame, map, &input)?;
        self.items_path = Some(text(&items));
        self.count = count(&items);
        let limit = execution.number(frame, map.max_concurrency.as_ref(), "MaxConcurrencyPath", &input)?;
        self.max_concurrency = Some(limit.unwrap_or_default());
        if map.item_selector.is_some() {
            let mut selected = Listing::of(&frame.state().name);
            for (index, item) in items.iter().enumerate() {
                selected.push(&execution.iteration(frame, map, &input, index, &item.value)?.input)?;
            }
            self.item_selector = Some(selected.close());
        }
        Ok(())
    }

    /// Passes the stages of a distributed map, whose run has everything
    /// evaluated but what belongs to single items.
    pub(super) fn distributed(&mut self, run: &MapRun, reader_data: Option<&str>) -> Result<(), Fault> {
        self.max_concurrency = Some(run.max_concurrency);
        self.tolerated_count = run.tolerated_failure_count;
        self.tolerated_percentage = run.tolerated_failure_percentage;
        let items = match (&run.source, reader_data) {
            (ItemSource::Items(items), _) => {
                self.items_path = Some(text(items));
                items.clone()
            }
            (ItemSource::Objects(_), None) => return Ok(()),
            (ItemSource::Objects(reader), Some(data)) => {
                let items = dataset::items(reader, data)?;
                if reader.items_pointer.is_some() {
                    self.items_pointer = Some(text(&items));
                }
                items
            }
        };
        let mut selected = Listing::of(&run.state_name);
        let mut inputs = Vec::with_capacity(items.len());
        for (index, item) in (0..).zip(items) {
            let input = run.item_input(index, item).map_err(reported)?.to_string();
            selected.push(&input)?;
            inputs.push(input);
        }
        self.count = Some(selected.count);
        self.item_selector = run.selector.is_some().then(|| selected.close());
        if let Some(batching) = &run.batching {
            let mut batched = Listing::of(&run.state_name);
            batch(&inputs, batching, &mut batched)?;
            self.count = Some(batched.count);
            self.item_batcher = Some(batched.close());
        }
        Ok(())
    }

    /// Fails if more iterations failed than the state tolerates. Unlike a map
    /// run, TestState tolerates any where the state says nothing.
    pub(super) fn tolerates(&self, failed: u64) -> Result<(), Fault> {
        let (count, percentage) = (self.tolerated_count, self.tolerated_percentage);
        let limited = count.is_some() || percentage.is_some();
        if limited && map_run::exceeds(failed, self.count.unwrap_or_default(), count, percentage) {
            return Err(reported(MapRun::exceeded()));
        }
        Ok(())
    }

    pub(super) fn show(&self, shown: &mut Inspection) {
        // AWS names the stages of `ItemsPath` after the field that only JSONPath has.
        if shown.after_input_path.is_some() {
            shown.after_items_path.clone_from(&self.items_path);
        }
        shown.after_items_pointer.clone_from(&self.items_pointer);
        shown.after_item_selector.clone_from(&self.item_selector);
        shown.after_item_batcher.clone_from(&self.item_batcher);
        shown.max_concurrency = self.max_concurrency;
        shown.tolerated_failure_count = self.tolerated_count;
        shown.tolerated_failure_percentage = self.tolerated_percentage;
    }
}

fn reported(failure: Failure) -> Fault {
    Fault::reported(failure.error, failure.cause)
}

fn count<T>(items: &[T]) -> Option<u64> {
    u64::try_from(items.len()).ok()
}

/// The array or object that the items are of.
fn text(items: &[Item]) -> Arc<str> {
    if items.iter().any(|item| item.key.is_some()) {
        let member = |item: &Item| Some((item.key.clone()?, item.value.clone()));
        return Value::Object(items.iter().filter_map(member).collect())
            .to_string()
            .into();
    }
    let items: Vec<String> = items.iter().map(|item| item.value.to_string()).collect();
    format!("[{}]", items.join(",")).into()
}

/// A JSON array that grows, up to the size of a payload.
struct Listing<'a> {
    state_name: &'a str,
    text: String,
    count: u64,
}

impl<'a> Listing<'a> {
    fn of(state_name: &'a str) -> Self {
        Self {
            state_name,
            text: "[".to_owned(),
            count: 0,
        }
    }

    fn push(&mut self, element: &str) -> Result<(), Fault> {
        if self.text.len() + element.len() > PAYLOAD_BYTES_MAX {
            return Err(Fault::data_limit(self.state_name));
        }
        if self.count > 0 {
            self.text.push(',');
        }
        self.text.push_str(element);
        self.count += 1;
        Ok(())
    }

    fn close(self) -> Arc<str> {
        (self.text + "]").into()
    }
}

/// Puts items together as long as neither limit is passed; an item that
/// passes the limit of bytes alone has a batch to itself.
fn batch(items: &[String], batching: &Batching, batches: &mut Listing<'_>) -> Result<(), Fault> {
    let most_items = batching.max_items.unwrap_or(u64::MAX);
    let most_bytes = batching.max_bytes.and_then(|most| usize::try_from(most).ok());
    let most_bytes = most_bytes.unwrap_or(PAYLOAD_BYTES_MAX).min(PAYLOAD_BYTES_MAX);
    let head = match &batching.input {
        Some(input) => format!("{{\"BatchInput\":{input},\"Items\":["),
        None => "{\"Items\":[".to_owned(),
    };
    let mut items = items.iter().peekable();
    while let Some(first) = items.next() {
        let (mut batch, mut count) = (format!("{head}{first}"), 1);
        while count < most_items
            && let Some(item) = items.next_if(|item| batch.len() + item.len() + ",]}".len() <= most_bytes)
        {
            batch.push(',');
            batch.push_str(item);
            count += 1;
        }
        batches.push(&(batch + "]}"))?;
    }
    Ok(())
}
