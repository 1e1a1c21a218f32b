//! GetExecutionHistory.

use std::sync::Arc;

use scones_api::{ApiError, PageToken, RequestContext};
use scones_store::Store;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    States,
    engine::{Events, Past, history_name},
    fault, limits, names,
};

/// Entries that are read from the store at a time.
const ENTRIES: usize = 64;
/// Members of an event's details that hold execution data.
const DATA: [&str; 4] = ["input", "output", "parameters", "assignedVariables"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GetExecutionHistory {
    execution_arn: String,
    max_results: Option<i64>,
    #[serde(default)]
    reverse_order: bool,
    next_token: Option<String>,
    include_execution_data: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExecutionHistory {
    events: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// Where a page begins: an entry, and how many of its events, in the order of
/// reading, were given before.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Position {
    entry: u64,
    skip: usize,
}

impl States {
    pub(crate) async fn get_execution_history(
        &self,
        input: GetExecutionHistory,
        _: &RequestContext,
    ) -> Result<ExecutionHistory, ApiError> {
        let arn = input.execution_arn.as_str();
        names::parse_any_execution(&self.owner, arn)?;
        let limit = limits::page_size(input.max_results)?;
        let history = self.history(arn).await?;
        let length = history.length;
        let scope = format!("GetExecutionHistory/{}/{arn}", input.reverse_order);
        let from = match &input.next_token {
            None => Position {
                entry: if input.reverse_order { length - 1 } else { 0 },
                skip: 0,
            },
            Some(token) => PageToken::decode(&scope, token).ok_or_else(fault::invalid_token)?,
        };
        let (mut events, next) = match input.reverse_order {
            false => history.forward(from, limit).await?,
            true => history.backward(from, limit).await?,
        };
        if input.include_execution_data == Some(false) {
            events = events
                .iter()
                .map(|event| without_data(event))
                .collect::<Result<_, _>>()?;
        }
        let next_token = next.map(|position| PageToken::encode(&scope, &position)).transpose()?;
        Ok(ExecutionHistory { events, next_token })
    }

    async fn history(&self, arn: &str) -> Result<History<'_>, ApiError> {
        if let Some(past) = self.engine.shared.recent.get(arn) {
            return Ok(History {
                length: 1,
                source: Source::Memory(past),
            });
        }
        let name = history_name(arn);
        let length = self.store.length(&name).await?;
        if length == 0 {
            return Err(fault::no_execution(arn));
        }
        let store = &*self.store;
        Ok(History {
            length,
            source: Source::Store { store, name },
        })
    }
}

/// The history of an execution, in entries of several events.
struct History<'a> {
    length: u64,
    source: Source<'a>,
}

enum Source<'a> {
    Store {
        store: &'a dyn Store,
        name: String,
    },
    /// One entry.
    Memory(Arc<Past>),
}

impl History<'_> {
    /// The events of up to `count` entries.
    async fn read(&self, from: u64, count: usize) -> Result<Vec<Vec<Box<RawValue>>>, ApiError> {
        match &self.source {
            Source::Store { store, name } => {
                let entries = store.read(name, from, count).await?;
                entries.iter().map(|entry| events(entry)).collect()
            }
            Source::Memory(past) if from == 0 && count > 0 => Ok(vec![past.events().map_err(ApiError::internal)?]),
            Source::Memory(_) => Ok(Vec::new()),
        }
    }

    async fn forward(&self, from: Position, limit: usize) -> Result<Page, ApiError> {
        let mut page = Vec::new();
        let mut at = from;
        loop {
            let entries = self.read(at.entry, ENTRIES).await?;
            if entries.is_empty() {
                return Ok((page, None));
            }
            for events in entries {
                let room = limit - page.len();
                let left = events.len().saturating_sub(at.skip);
                page.extend(events.into_iter().skip(at.skip).take(room));
                if left > room {
                    return Ok((
                        page,
                        Some(Position {
                            entry: at.entry,
                            skip: at.skip + room,
                        }),
                    ));
                }
                at = Position {
                    entry: at.entry + 1,
                    skip: 0,
                };
            }
        }
    }

    async fn backward(&self, from: Position, limit: usize) -> Result<Page, ApiError> {
        let mut page = Vec::new();
        let mut skip = from.skip;
        let mut end = from.entry + 1;
        while end > 0 {
            let start = end.saturating_sub(ENTRIES as u64);
            let count = usize::try_from(end - start).unwrap_or(ENTRIES);
            let entries = self.read(start, count).await?;
            let none = entries.is_empty();
            for events in entries.into_iter().rev() {
                end -= 1;
                let room = limit - page.len();
                let left = events.len().saturating_sub(skip);
                page.extend(events.into_iter().rev().skip(skip).take(room));
                if left > room {
                    return Ok((
                        page,
                        Some(Position {
                            entry: end,
                            skip: skip + room,
                        }),
                    ));
                }
                skip = 0;
            }
            if none {
                break;
            }
        }
        Ok((page, None))
    }
}

type Page = (Vec<Box<RawValue>>, Option<Position>);

fn events(entry: &[u8]) -> Result<Vec<Box<RawValue>>, ApiError> {
    serde_json::from_slice::<Events>(entry)
        .map(|entry| entry.events)
        .map_err(ApiError::internal)
}

/// An event whose details hold no inputs and outputs.
fn without_data(event: &RawValue) -> Result<Box<RawValue>, ApiError> {
    let mut event: Map<String, Value> = serde_json::from_str(event.get()).map_err(ApiError::internal)?;
    for details in event.values_mut().filter_map(Value::as_object_mut) {
        for member in DATA {
            match member {
                // A member that AWS's model requires.
                "parameters" if details.contains_key(member) => {
                    details.insert(member.to_owned(), Value::String(String::new()));
                }
                _ => drop(details.shift_remove(member)),
            }
        }
    }
    serde_json::value::to_raw_value(&event).map_err(ApiError::internal)
}
