//! The operation's response.

use std::sync::Arc;

use scones_asl::{ErrorDetails, Inspection, Verdict};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{exchange::Exchange, request::Level};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TestedState {
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inspection_data: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_state: Option<String>,
    status: &'static str,
}

impl TestedState {
    pub(super) fn of(verdict: Verdict, level: Level, exchange: Option<Exchange>) -> Self {
        let exchange = exchange.filter(|_| level == Level::Trace);
        let inspection = (level != Level::Info).then_some(verdict.inspection);
        Self {
            output: verdict.output.map(|output| output.to_string()),
            error: verdict.error,
            cause: verdict.cause,
            inspection_data: inspection.map(|inspection| inspection_data(inspection, exchange)),
            next_state: verdict.next_state,
            status: verdict.status.as_str(),
        }
    }
}

/// `inspectionData`: what is absent is left out.
fn inspection_data(inspection: Inspection, exchange: Option<Exchange>) -> Map<String, Value> {
    let text = |text: Option<Arc<str>>| text.map(|text| Value::from(&*text));
    let (request, response) = exchange.map_or((None, None), |exchange| (Some(exchange.request), exchange.response));
    let members = [
        ("input", text(inspection.input)),
        ("afterArguments", text(inspection.after_arguments)),
        ("afterInputPath", text(inspection.after_input_path)),
        ("afterParameters", text(inspection.after_parameters)),
        ("result", text(inspection.result)),
        ("afterResultSelector", text(inspection.after_result_selector)),
        ("afterResultPath", text(inspection.after_result_path)),
        ("request", request),
        ("response", response),
        ("variables", text(inspection.variables)),
        ("errorDetails", inspection.error_details.map(error_details)),
        ("afterItemsPath", text(inspection.after_items_path)),
        ("afterItemSelector", text(inspection.after_item_selector)),
        ("afterItemBatcher", text(inspection.after_item_batcher)),
        ("afterItemsPointer", text(inspection.after_items_pointer)),
        (
            "toleratedFailureCount",
            inspection.tolerated_failure_count.map(Value::from),
        ),
        (
            "toleratedFailurePercentage",
            inspection.tolerated_failure_percentage.map(Value::from),
        ),
        ("maxConcurrency", inspection.max_concurrency.map(Value::from)),
    ];
    present(members)
}

fn error_details(details: ErrorDetails) -> Value {
    Value::Object(present([
        ("catchIndex", details.catch_index.map(|index| json!(index))),
        ("retryIndex", details.retry_index.map(|index| json!(index))),
        (
            "retryBackoffIntervalSeconds",
            details.retry_backoff_seconds.map(|seconds| json!(seconds)),
        ),
    ]))
}

/// The members that are there.
pub(super) fn present<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    let present = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    present.collect()
}
