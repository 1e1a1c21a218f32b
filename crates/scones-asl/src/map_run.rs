//! What a distributed Map state asks of the driver: a run of many child
//! executions, each with a history of its own.
//!
//! The interpreter decides what is run; the driver reads the items, starts
//! the children, counts their ends against the tolerated failures, writes the
//! results, and reports the run's result or failure as that of a task.

use std::cell::{LazyCell, OnceCell};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::effect::TaskId;
use crate::error::{Fault, names};
use crate::event::Failure;
use crate::machine::{Map, Resource};
use crate::random::Random;
use crate::scope::{Scope, Variables};
use crate::time::Timestamp;

/// A run of a distributed Map state. Two runs are equal when they are the same run.
#[derive(Clone, Debug)]
pub struct MapRun {
    /// The run reports with this task's id.
    pub task: TaskId,
    /// The Map state; unique in its machine.
    pub state_name: String,
    /// `arn:aws:states:REGION:ACCOUNT:mapRun:MACHINE/LABEL:ID`.
    pub arn: String,
    /// The state's `Label`, or one made up for the run.
    pub label: String,
    /// Whether the children are Express executions.
    pub express: bool,
    /// Where the items come from.
    pub source: ItemSource,
    /// Most children at a time; 0 for no limit of the state's own.
    pub max_concurrency: u64,
    /// Most items that may fail.
    pub tolerated_failure_count: Option<u64>,
    /// Largest share of items that may fail, 0 to 100.
    pub tolerated_failure_percentage: Option<f64>,
    /// How items are put together, if they are.
    pub batching: Option<Batching>,
    /// What becomes of the results.
    pub results: ResultFormat,
    /// How often the run was redriven: children that have not succeeded since
    /// are run again.
    pub redrive_count: u64,
    pub(crate) selector: Option<Selector>,
}

impl PartialEq for MapRun {
    fn eq(&self, other: &Self) -> bool {
        self.arn == other.arn
    }
}

/// An item of a Map state, as `$$.Map.Item` shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The name that the value has, for a member of an object.
    pub key: Option<String>,
    /// The element or the member's value.
    pub value: Value,
    /// `S3://BUCKET/KEY` of the object that holds it, `S3://BUCKET` for a
    /// listed object; absent for the state's input.
    pub source: Option<Arc<str>>,
}

impl From<Value> for Item {
    fn from(value: Value) -> Self {
        Self {
            key: None,
            value,
            source: None,
        }
    }
}

impl From<(String, Value)> for Item {
    fn from((key, value): (String, Value)) -> Self {
        Self {
            key: Some(key),
            ..Self::from(value)
        }
    }
}

impl Item {
    /// What an iteration gets without an `ItemSelector`: the element, or the
    /// member as a pair.
    #[must_use]
    pub fn into_input(self) -> Value {
        match self.key {
            None => self.value,
            Some(key) => json!({"Key": key, "Value": self.value}),
        }
    }

    /// `$$.Map` of the iteration with the number `index`.
    pub(crate) fn shown(&self, index: u64) -> Value {
        let mut item = serde_json::Map::new();
        item.insert("Index".to_owned(), index.into());
        if let Some(key) = &self.key {
            item.insert("Key".to_owned(), key.as_str().into());
        }
        item.insert("Value".to_owned(), self.value.clone());
        let source = self.source.as_deref().unwrap_or("STATE_DATA");
        item.insert("Source".to_owned(), source.into());
        json!({"Item": item})
    }
}

/// Where a run's items come from.
#[derive(Clone, Debug)]
pub enum ItemSource {
    /// The state's input.
    Items(Vec<Item>),
    /// Objects in S3.
    Objects(Box<ItemReader>),
}

/// A dataset in S3: `ItemReader` with everything evaluated.
#[derive(Clone, Debug)]
pub struct ItemReader {
    /// `s3:getObject` or `s3:listObjectsV2`.
    pub resource: Resource,
    /// `Bucket` with `Key` or `Prefix`, as S3's operation names them.
    pub parameters: Value,
    /// The form of the objects; absent for a list of objects.
    pub input_type: Option<InputType>,
    /// Which kind of manifest, for [`InputType::Manifest`].
    pub manifest_type: Option<ManifestType>,
    /// `LOAD_AND_FLATTEN`: the items within the listed objects.
    pub flatten: bool,
    /// Where a CSV file's headers are.
    pub headers: Option<CsvHeaders>,
    /// What stands between two fields of a CSV file.
    pub delimiter: Delimiter,
    /// Most items to read, up to 100 million; absent where `MaxItems` is
    /// negative, with which a run begins but fails.
    pub max_items: Option<u64>,
    /// A JSON Pointer (RFC 6901) to the array or object within a JSON document.
    pub items_pointer: Option<String>,
}

/// The form of an object that holds items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputType {
    /// Rows below headers.
    Csv,
    /// One array or object.
    Json,
    /// A JSON value on each line.
    JsonLines,
    /// Apache Parquet.
    Parquet,
    /// A list of other objects.
    Manifest,
}

/// The form of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestType {
    /// The data manifest of an Athena query: a URI on each line.
    AthenaData,
    /// The `manifest.json` of an S3 inventory.
    S3Inventory,
}

/// Where a CSV file's headers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CsvHeaders {
    /// In its first row.
    FirstRow,
    /// In the definition.
    Given(Vec<String>),
}

/// What stands between two fields of a CSV file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delimiter {
    /// `,`
    #[default]
    Comma,
    /// `|`
    Pipe,
    /// `;`
    Semicolon,
    /// A blank.
    Space,
    /// A tabulator.
    Tab,
}

impl Delimiter {
    /// The character.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Pipe => b'|',
            Self::Semicolon => b';',
            Self::Space => b' ',
            Self::Tab => b'\t',
        }
    }
}

/// `ItemBatcher` with everything evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Batching {
    /// Most items of a batch.
    pub max_items: Option<u64>,
    /// Largest input of a child, in UTF-8 bytes.
    pub max_bytes: Option<u64>,
    /// `BatchInput`: goes with each batch.
    pub input: Option<Value>,
}

/// `ResultWriter` with everything evaluated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResultFormat {
    /// `Bucket` and `Prefix`; absent where the results are the state's result.
    pub destination: Option<Value>,
    /// What is kept of a child.
    pub transformation: Transformation,
    /// How the results are written.
    pub output_type: OutputType,
}

/// What is kept of a child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transformation {
    /// Its description with its input and output.
    None,
    /// Its output.
    #[default]
    Compact,
    /// Its output; the elements of an array one by one.
    Flatten,
}

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputType {
    /// One array.
    #[default]
    Json,
    /// A value on each line.
    JsonLines,
}

/// `ItemSelector` with everything that it can see but the item.
#[derive(Clone, Debug)]
pub(crate) struct Selector {
    pub(crate) map: Arc<Map>,
    pub(crate) uses_jsonata: bool,
    pub(crate) input: Value,
    /// The context object, without `Map`.
    pub(crate) context: Value,
    pub(crate) variables: Arc<Variables>,
    pub(crate) now: Timestamp,
    pub(crate) seed: u64,
    pub(crate) entered_event: u64,
}

impl MapRun {
    /// What a child gets for the item with the number `index`: the item
    /// itself, or what `ItemSelector` makes of it. The same item always gives
    /// the same value.
    ///
    /// # Errors
    /// `ItemSelector` cannot be evaluated: the run fails with this.
    pub fn item_input(&self, index: u64, item: Item) -> Result<Value, Failure> {
        match &self.selector {
            None => Ok(item.into_input()),
            Some(selector) => selector
                .select(&self.state_name, index, &item)
                .map_err(|fault| Failure {
                    error: fault.error,
                    cause: fault.cause,
                }),
        }
    }

    /// Whether the items are selected with JSONata, which may take seconds each.
    #[must_use]
    pub fn selects_with_jsonata(&self) -> bool {
        self.selector.as_ref().is_some_and(|selector| selector.uses_jsonata)
    }

    /// The failure of a run with too many failed items.
    #[must_use]
    pub fn exceeded() -> Failure {
        Failure {
            error: Some(names::EXCEED_TOLERATED_FAILURE_THRESHOLD.to_owned()),
            cause: Some("The specified tolerated failure threshold was exceeded".to_owned()),
        }
    }
}

/// Whether `failed` of `total` items are more than is tolerated. Without any
/// threshold no failure is; with both, the first that is passed decides
/// (Step Functions Developer Guide, "Setting failure thresholds").
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "below 2^53 items")]
pub fn exceeds(failed: u64, total: u64, count: Option<u64>, percentage: Option<f64>) -> bool {
    let over_count = count.is_some_and(|count| failed > count);
    let over_percentage =
        percentage.is_some_and(|percentage| failed > 0 && failed as f64 * 100.0 > percentage * total as f64);
    over_count || over_percentage || (failed > 0 && count.is_none() && percentage.is_none())
}

impl Selector {
    fn select(&self, state_name: &str, index: u64, item: &Item) -> Result<Value, Fault> {
        let Some(template) = &self.map.item_selector else {
            return Ok(item.clone().into_input());
        };
        let context = LazyCell::new(|| {
            let mut context = self.context.clone();
            context["Map"] = item.shown(index);
            context
        });
        // A stream of random numbers for each item, whatever came before it.
        let random = Random::new(self.seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let scope = Scope {
            input: &self.input,
            context: &context,
            variables: &self.variables,
            random: &random,
            now: self.now,
            result: None,
            error_output: None,
            session: &OnceCell::new(),
        };
        template
            .evaluate(&scope)
            .map_err(|error| error.at(state_name, self.entered_event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds() {
        let check = |failed, count, percentage, expect| {
            assert_eq!(
                exceeds(failed, 10, count, percentage),
                expect,
                "{failed} {count:?} {percentage:?}"
            );
        };
        check(0, None, None, false);
        check(1, None, None, true);
        check(1, Some(1), None, false);
        check(2, Some(1), None, true);
        check(1, None, Some(10.0), false);
        check(2, None, Some(10.0), true);
        check(1, Some(5), Some(0.0), true);
        check(6, Some(5), Some(100.0), true);
        check(10, None, Some(100.0), false);
        check(0, Some(0), Some(0.0), false);
    }
}
