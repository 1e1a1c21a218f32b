//! What the children leave: together they are the state's result.

use std::collections::BTreeMap;

use scones_asl::{
    Outcome, error_names,
    event::Failure,
    map_run::{MapRun, OutputType, Transformation},
};
use serde_json::{Value, json};

use crate::{
    engine::{Description, Status},
    limits::PAYLOAD_BYTES_MAX,
    operations::executions::{Redrivable, redrive_status},
};

/// The children's results in the order of the items, within the limit of a payload.
#[derive(Default)]
pub(crate) struct Outputs {
    /// JSON texts by the child's number; emptied when they are too large together.
    texts: BTreeMap<u64, Vec<String>>,
    bytes: usize,
}

impl Outputs {
    /// Takes what a child leaves.
    pub(crate) fn put(&mut self, number: u64, texts: Vec<String>) {
        self.bytes += texts.iter().map(|text| text.len() + 1).sum::<usize>();
        if self.are_too_large() {
            self.texts.clear();
        } else {
            self.texts.insert(number, texts);
        }
    }

    fn are_too_large(&self) -> bool {
        // As many commas as elements, less one, and two brackets.
        self.bytes + 1 > PAYLOAD_BYTES_MAX
    }

    /// All of them as an array, or as text with a value on each line.
    ///
    /// # Errors
    /// They are larger than a payload may be.
    pub(crate) fn joined(self, run: &MapRun) -> Result<String, Failure> {
        if self.are_too_large() {
            return Err(Failure {
                error: Some(error_names::DATA_LIMIT_EXCEEDED.to_owned()),
                cause: Some(format!(
                    "The state/task '{}' returned a result with a size exceeding \
                     the maximum number of bytes service limit.",
                    run.state_name
                )),
            });
        }
        let texts: Vec<String> = self.texts.into_values().flatten().collect();
        Ok(match run.results.output_type {
            OutputType::Json => format!("[{}]", texts.join(",")),
            OutputType::JsonLines => Value::String(texts.join("\n")).to_string(),
        })
    }
}

/// What is kept of a child that has ended, as JSON texts. One that failed is
/// described whatever the transformation.
pub(crate) fn kept(child: &Description, transformation: Transformation) -> Vec<String> {
    let output = match &child.ending {
        Some((Outcome::Succeeded { output }, _)) => output,
        _ => return vec![described(child).to_string()],
    };
    match transformation {
        Transformation::None => vec![described(child).to_string()],
        Transformation::Compact => vec![output.to_string()],
        Transformation::Flatten => match serde_json::from_str(output) {
            Ok(Value::Array(elements)) => elements.iter().map(Value::to_string).collect(),
            _ => vec![output.to_string()],
        },
    }
}

/// A child that was never begun, as result files show it. The input of one
/// that was about to begin is not known any more.
pub(crate) fn pending(execution_arn: &str, input: Option<&str>) -> Value {
    json!({
        "ExecutionArn": execution_arn,
        "Input": input,
        "InputDetails": {"Included": input.is_some()},
        "Status": "PENDING",
    })
}

/// A child as result files show it: DescribeExecution with capitals.
pub(crate) fn described(child: &Description) -> Value {
    let origin = &child.origin;
    let outcome = child.ending.as_ref().map(|(outcome, _)| outcome);
    let status = Status::of(outcome);
    let (redrive_status, reason) = redrive_status(status, Redrivable::ByMapRun);
    let mut described = json!({
        "ExecutionArn": origin.execution_arn,
        "Input": origin.input,
        "InputDetails": {"Included": true},
        "Name": origin.name,
        "RedriveCount": child.redrive.as_ref().map_or(0, |redrive| redrive.count),
        "RedriveStatus": redrive_status,
        "StartDate": origin.started.to_iso8601(),
        "StateMachineArn": origin.machine_arn,
        "Status": status.as_str(),
    });
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            described[name] = value;
        }
    };
    put("RedriveStatusReason", reason.map(Value::from));
    put(
        "StopDate",
        child
            .ending
            .as_ref()
            .map(|(_, stopped)| scones_asl::Timestamp(stopped.as_millis()).to_iso8601().into()),
    );
    match outcome {
        Some(Outcome::Succeeded { output }) => {
            put("Output", Some(Value::from(&**output)));
            put("OutputDetails", Some(json!({"Included": true})));
        }
        Some(Outcome::Failed { error, cause } | Outcome::Aborted { error, cause }) => {
            put("Error", error.clone().map(Value::from));
            put("Cause", cause.clone().map(Value::from));
        }
        Some(Outcome::TimedOut) | None => {}
    }
    described
}
