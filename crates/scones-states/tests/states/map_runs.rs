//! Distributed maps as a client sees them.

use std::sync::Arc;

use crate::common::{Functions, Script, Server, invoke, text};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// A distributed map over `$.items` (or the input) whose children are `processor`.
pub fn map(processor: Value, fields: Value) -> Value {
    let mut state = json!({
        "Type": "Map",
        "Label": "L",
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "P",
            "States": {"P": processor},
        },
        "End": true,
    });
    for (name, value) in fields.as_object().unwrap() {
        state[name] = value.clone();
    }
    json!({"StartAt": "M", "States": {"M": state}})
}

pub fn pass() -> Value {
    json!({"Type": "Pass", "End": true})
}

/// Fails for items that are `null`.
pub fn picky() -> Value {
    json!({"Type": "Pass", "Parameters": {"v.$": "States.MathAdd($, 1)"}, "OutputPath": "$.v", "End": true})
}

impl Server {
    async fn map_run(&self, execution: &str) -> Value {
        let runs = self.ok("ListMapRuns", json!({"executionArn": execution})).await;
        let arn = text(&runs["mapRuns"][0]["mapRunArn"]);
        self.ok("DescribeMapRun", json!({"mapRunArn": arn})).await
    }

    /// Whether a run that has ended counts its children as they are listed.
    async fn check_counts(&self, run: &Value) {
        let counts = &run["executionCounts"];
        for (count, status) in [
            ("succeeded", "SUCCEEDED"),
            ("failed", "FAILED"),
            ("timedOut", "TIMED_OUT"),
            ("aborted", "ABORTED"),
        ] {
            assert_eq!(counts[count], self.children(run, status).await.len(), "{run}");
        }
        let ended: u64 = ["succeeded", "failed", "timedOut", "aborted", "pending"]
            .iter()
            .map(|count| counts[count].as_u64().unwrap())
            .sum();
        assert_eq!(counts["total"], ended, "{run}");
    }

    async fn children(&self, map_run: &Value, status: &str) -> Vec<Value> {
        let list = json!({"mapRunArn": map_run["mapRunArn"], "statusFilter": status});
        let list = self.ok("ListExecutions", list).await;
        list["executions"].as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn every_item_is_a_child_with_a_history() {
    let server = Server::new(Functions::new([("echo", Script::Echo)])).await;
    let machine = server.machine("m", &map(invoke("echo", None), json!({}))).await;
    let execution = server.start(&machine, json!(["a", "b", "c"])).await;
    let described = server.ended(&execution).await;
    assert_eq!(described["output"], r#"["a","b","c"]"#);
    let run = server.map_run(&execution).await;
    assert_eq!(
        (
            &run["status"],
            &run["itemCounts"]["succeeded"],
            &run["executionCounts"]["total"]
        ),
        (&json!("SUCCEEDED"), &json!(3), &json!(3))
    );
    let children = server.children(&run, "SUCCEEDED").await;
    assert_eq!(children.len(), 3);
    let child = server.describe(children[0]["executionArn"].as_str().unwrap()).await;
    assert!(text(&child["executionArn"]).contains(":execution:m/L:"), "{child}");
    assert!(
        text(&child["stateMachineArn"]).ends_with(":stateMachine:m/L"),
        "{child}"
    );
    assert_eq!(child["mapRunArn"], run["mapRunArn"]);
    let history = server.history(child["executionArn"].as_str().unwrap()).await;
    assert_eq!(history.last().unwrap(), "7 6 ExecutionSucceeded");
    // The children are not the machine's own executions.
    let own = server.ok("ListExecutions", json!({"stateMachineArn": machine})).await;
    assert_eq!(own["executions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn results_and_inputs() {
    let server = Server::new(Functions::new([])).await;
    let mut number = 0;
    let mut check = async |fields: Value, input: Value, expect: &str| {
        number += 1;
        let machine = server.machine(&format!("m{number}"), &map(pass(), fields)).await;
        let described = server.run(&machine, input).await;
        let actual = described["output"]
            .as_str()
            .or(described["cause"].as_str())
            .unwrap_or_default();
        assert_eq!(actual, expect, "{described}");
    };
    check(json!({}), json!([]), "[]").await;
    check(json!({"MaxConcurrency": 1}), json!([1, 2, 3]), "[1,2,3]").await;
    check(
        json!({"ItemBatcher": {"MaxItemsPerBatch": 2}}),
        json!([1, 2, 3]),
        r#"[{"Items":[1,2]},{"Items":[3]}]"#,
    )
    .await;
    check(
        json!({"ItemBatcher": {"MaxInputBytesPerBatch": 40, "BatchInput": {"x": 1}}}),
        json!(["aaaa", "bbbb", "cccc"]),
        r#"[{"BatchInput":{"x":1},"Items":["aaaa"]},{"BatchInput":{"x":1},"Items":["bbbb"]},{"BatchInput":{"x":1},"Items":["cccc"]}]"#,
    )
    .await;
    check(
        json!({"ItemSelector": {"n.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value"}, "ItemBatcher": {"MaxItemsPerBatch": 9}}),
        json!(["a", "b"]),
        r#"[{"Items":[{"n":0,"v":"a"},{"n":1,"v":"b"}]}]"#,
    )
    .await;
    check(
        json!({"ResultWriter": {"WriterConfig": {"Transformation": "FLATTEN", "OutputType": "JSON"}}}),
        json!([[1, 2], [3], 4]),
        "[1,2,3,4]",
    )
    .await;
    check(
        json!({"ResultWriter": {"WriterConfig": {"Transformation": "COMPACT", "OutputType": "JSONL"}}}),
        json!([1, {"a": 2}]),
        r#""1\n{\"a\":2}""#,
    )
    .await;
}

#[tokio::test]
async fn results_beyond_the_limit_of_a_payload_fail() {
    let server = Server::new(Functions::new([])).await;
    let doubles = json!({"Type": "Pass", "Parameters": {"a.$": "$", "b.$": "$"}, "End": true});
    let machine = server.machine("m", &map(doubles, json!({}))).await;
    let described = server
        .run(&machine, json!(["x".repeat(70_000), "y".repeat(70_000)]))
        .await;
    assert_eq!(described["error"], "States.DataLimitExceeded");
}

#[tokio::test]
async fn failures_are_tolerated_up_to_a_threshold() {
    let server = Server::new(Functions::new([])).await;
    let mut number = 0;
    let mut check = async |fields: Value, status: &str, failed: u64| {
        number += 1;
        let machine = server.machine(&format!("m{number}"), &map(picky(), fields)).await;
        let execution = server.start(&machine, json!([1, null, 2, null])).await;
        let described = server.ended(&execution).await;
        assert_eq!(described["status"], status, "{described}");
        let run = server.map_run(&execution).await;
        assert_eq!(run["status"], status, "{run}");
        assert_eq!(run["itemCounts"]["failed"], failed, "{run}");
        server.check_counts(&run).await;
        described
    };
    let failed = check(json!({"MaxConcurrency": 1}), "FAILED", 1).await;
    assert_eq!(failed["error"], "States.ExceedToleratedFailureThreshold");
    check(json!({"MaxConcurrency": 1, "ToleratedFailureCount": 1}), "FAILED", 2).await;
    check(json!({"ToleratedFailurePercentage": 49.5}), "FAILED", 2).await;
    check(json!({"ToleratedFailurePercentage": 50}), "SUCCEEDED", 2).await;
    let succeeded = check(json!({"ToleratedFailureCount": 2}), "SUCCEEDED", 2).await;
    let output: Value = serde_json::from_str(succeeded["output"].as_str().unwrap()).unwrap();
    assert_eq!((&output[0], &output[1]["Status"]), (&json!(2), &json!("FAILED")));
    assert_eq!(output[1]["Input"], "null");
}

#[tokio::test]
async fn children_that_end_while_the_run_fails_are_counted() {
    let server = Server::new(Functions::new([])).await;
    for number in 0..10 {
        let machine = server.machine(&format!("m{number}"), &map(picky(), json!({}))).await;
        let execution = server.start(&machine, json!([1, null, null, 2, 3])).await;
        assert_eq!(server.ended(&execution).await["status"], "FAILED");
        server.check_counts(&server.map_run(&execution).await).await;
        server.ok("RedriveExecution", json!({"executionArn": execution})).await;
        assert_eq!(server.ended(&execution).await["status"], "FAILED");
        server.check_counts(&server.map_run(&execution).await).await;
    }
}

#[tokio::test]
async fn express_children_have_a_history_too() {
    let server = Server::new(Functions::new([])).await;
    let mut definition = map(pass(), json!({}));
    definition["States"]["M"]["ItemProcessor"]["ProcessorConfig"]["ExecutionType"] = json!("EXPRESS");
    let machine = server.machine("m", &definition).await;
    let execution = server.start(&machine, json!([1])).await;
    assert_eq!(server.ended(&execution).await["output"], "[1]");
    let run = server.map_run(&execution).await;
    let child = server.children(&run, "SUCCEEDED").await[0]["executionArn"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(child.contains(":express:m/L:"), "{child}");
    assert_eq!(server.history(&child).await.len(), 4);
}

#[tokio::test]
async fn no_more_children_run_than_may() {
    let go = Arc::new(Semaphore::new(0));
    let functions = Functions::new([("hold", Script::Hold(Arc::clone(&go)))]);
    let server = Server::new(Arc::clone(&functions) as _).await;
    let machine = server
        .machine("m", &map(invoke("hold", None), json!({"MaxConcurrency": 2})))
        .await;
    let execution = server.start(&machine, json!([1, 2, 3, 4, 5])).await;
    while functions.count() < 2 {
        functions.called.notified().await;
    }
    let run = server.map_run(&execution).await;
    assert_eq!(
        (&run["itemCounts"]["running"], &run["itemCounts"]["pending"]),
        (&json!(2), &json!(3))
    );
    // The limit is raised while the run goes on.
    let update = json!({"mapRunArn": run["mapRunArn"], "maxConcurrency": 5});
    server.ok("UpdateMapRun", update).await;
    while functions.count() < 5 {
        functions.called.notified().await;
    }
    assert_eq!(server.map_run(&execution).await["maxConcurrency"], 5);
    // Each of them waits already, or will find that it was told.
    go.add_permits(5);
    assert_eq!(server.ended(&execution).await["output"], "[1,2,3,4,5]");
    let refused = server
        .refused(
            "UpdateMapRun",
            json!({"mapRunArn": run["mapRunArn"], "maxConcurrency": 1}),
        )
        .await;
    assert!(refused.contains("not running"), "{refused}");
}

#[tokio::test]
async fn a_stopped_execution_stops_its_children() {
    let functions = Functions::new([("hold", Script::hang())]);
    let server = Server::new(Arc::clone(&functions) as _).await;
    let machine = server
        .machine("m", &map(invoke("hold", None), json!({"MaxConcurrency": 2})))
        .await;
    let execution = server.start(&machine, json!([1, 2, 3])).await;
    while functions.count() < 2 {
        functions.called.notified().await;
    }
    server.ok("StopExecution", json!({"executionArn": execution})).await;
    let run = loop {
        let run = server.map_run(&execution).await;
        if run["status"] != "RUNNING" {
            break run;
        }
        tokio::task::yield_now().await;
    };
    let items = &run["itemCounts"];
    assert_eq!(
        (&run["status"], &items["aborted"], &items["pending"]),
        (&json!("ABORTED"), &json!(2), &json!(1)),
        "{run}"
    );
    server.check_counts(&run).await;
}

#[tokio::test]
async fn a_restart_goes_on_where_the_run_was() {
    let hold = Functions::new([("echo", Script::hang())]);
    let server = Server::new(Arc::clone(&hold) as _).await;
    let machine = server
        .machine("m", &map(invoke("echo", None), json!({"MaxConcurrency": 2})))
        .await;
    let execution = server.start(&machine, json!([1, 2, 3])).await;
    while hold.count() < 2 {
        hold.called.notified().await;
    }
    let server = server.restarted(Functions::new([("echo", Script::Echo)])).await;
    assert_eq!(server.ended(&execution).await["output"], "[1,2,3]");
    let run = server.map_run(&execution).await;
    assert_eq!(
        (&run["status"], &run["itemCounts"]["succeeded"]),
        (&json!("SUCCEEDED"), &json!(3))
    );
    assert_eq!(
        server.children(&run, "SUCCEEDED").await.len(),
        3,
        "no child is run twice"
    );
}

#[tokio::test]
async fn maps_within_children() {
    let server = Server::new(Functions::new([])).await;
    let inner = map(pass(), json!({"Label": "I"}))["States"]["M"].clone();
    let mut definition = map(pass(), json!({}));
    definition["States"]["M"]["ItemProcessor"]["StartAt"] = json!("N");
    definition["States"]["M"]["ItemProcessor"]["States"] = json!({"N": inner});
    let machine = server.machine("m", &definition).await;
    assert_eq!(
        server.run(&machine, json!([[1, 2], [3]])).await["output"],
        "[[1,2],[3]]"
    );
}

#[tokio::test]
async fn what_is_asked_wrongly() {
    let server = Server::new(Functions::new([])).await;
    let check = async |operation: &str, input: Value, expect: &str| {
        let refused = server.refused(operation, input).await;
        assert!(refused.contains(expect), "{refused}");
    };
    let arn = "arn:aws:states:us-east-1:000000000000:mapRun:m/L:1";
    check("DescribeMapRun", json!({"mapRunArn": arn}), "ResourceNotFound").await;
    check("DescribeMapRun", json!({"mapRunArn": "x"}), "InvalidArn").await;
    check(
        "UpdateMapRun",
        json!({"mapRunArn": arn, "maxConcurrency": -1}),
        "maxConcurrency",
    )
    .await;
    check(
        "UpdateMapRun",
        json!({"mapRunArn": arn, "toleratedFailurePercentage": 101}),
        "between 0 and 100",
    )
    .await;
    check("ListExecutions", json!({"mapRunArn": arn}), "ResourceNotFound").await;
    check("ListExecutions", json!({}), "Exactly one").await;
    let execution = "arn:aws:states:us-east-1:000000000000:execution:m:e";
    check(
        "ListMapRuns",
        json!({"executionArn": execution}),
        "ExecutionDoesNotExist",
    )
    .await;
}
