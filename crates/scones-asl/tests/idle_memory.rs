//! What an execution costs while it waits: resident memory of the whole
//! process. One test, as others would be measured with it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use scones_asl::{Execution, Machine, Start, Timestamp};
use serde_json::json;

fn waiting(machine: &Arc<Machine>, number: usize) -> Execution {
    let mut start = Start::of("{\"order\":12345}", Timestamp(0)).unwrap();
    start.execution_name = format!("execution-{number}");
    Execution::start(Arc::clone(machine), start).0
}

/// Resident memory of this process, in bytes; nothing where the system does not say.
fn resident() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    text.split(' ').nth(1)?.parse::<usize>().ok().map(|pages| pages * 4096)
}

#[test]
fn an_idle_execution_takes_less_than_two_kibibytes() {
    let definition = json!({"StartAt": "T", "States": {"T": {
        "Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "TimeoutSeconds": 60,
        "Parameters": {"token.$": "$$.Task.Token"}, "End": true}}});
    let machine = Arc::new(Machine::parse(&definition.to_string()).unwrap());
    const COUNT: usize = 20_000;
    let Some(before) = resident() else { return };
    let idle: Vec<Execution> = (0..COUNT).map(|number| waiting(&machine, number)).collect();
    let each = (resident().unwrap() - before) / idle.len();
    assert!(each < 2048, "{each} bytes each");
}
