//! Executions in log groups.

use crate::common::{
    Functions, ROLE, Server, TokioClock,
    memory::{Disk, MemoryStore, Trouble},
    text,
};
use scones_states::Options;
use serde_json::{Value, json};

fn arn(group: &str) -> String {
    format!("arn:aws:logs:us-east-1:000000000000:log-group:{group}:*")
}

fn logging(group: &str, level: &str, data: bool) -> Value {
    json!({"level": level, "includeExecutionData": data,
           "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": arn(group)}}]})
}

/// The lines that an execution left, as values, once the server has stopped.
async fn logged(kind: &str, level: &str, data: bool, definition: &Value) -> Vec<(String, Value)> {
    let server = Server::new(Functions::new([])).await;
    let create = json!({"name": "m", "type": kind, "definition": definition.to_string(), "roleArn": ROLE,
                        "loggingConfiguration": logging("/g", level, data)});
    let machine = text(&server.ok("CreateStateMachine", create).await["stateMachineArn"]);
    let execution = server.start(&machine, json!({"a": 1})).await;
    if kind == "STANDARD" {
        server.ended(&execution).await;
    }
    let logs = server.logs.clone();
    server.states.shutdown().await;
    let read = |(stream, line): (String, String)| (stream, serde_json::from_str(&line).unwrap());
    logs.lines("/g").into_iter().map(read).collect()
}

fn types(lines: &[(String, Value)]) -> String {
    let types: Vec<&str> = lines.iter().map(|(_, line)| line["type"].as_str().unwrap()).collect();
    types.join(" ")
}

fn fails() -> Value {
    json!({"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "E", "Cause": "C"}}})
}

#[tokio::test]
async fn an_event_is_a_line() {
    let lines = logged("STANDARD", "ALL", true, &fails()).await;
    assert!(lines[0].0.starts_with("states/m/"), "{}", lines[0].0);
    let mut first = lines[0].1.clone();
    let arn = first["execution_arn"].take();
    assert!(text(&arn).contains(":execution:m:"));
    assert!(text(&first["event_timestamp"].take()).parse::<u64>().unwrap() > 1_700_000_000_000);
    let expect = json!({
        "id": "1", "type": "ExecutionStarted", "previous_event_id": "0", "redrive_count": "0",
        "details": {"input": "{\"a\":1}", "inputDetails": {"truncated": false}, "roleArn": ROLE},
        "event_timestamp": null, "execution_arn": null,
    });
    assert_eq!(first, expect);
}

#[tokio::test]
async fn data_is_left_out_unless_it_is_asked_for() {
    let lines = logged("STANDARD", "ALL", false, &crate::common::passes(1)).await;
    let details: Vec<&Value> = lines.iter().map(|(_, line)| &line["details"]).collect();
    assert_eq!(
        details,
        [
            &json!({"roleArn": ROLE}),
            &json!({"name": "P1"}),
            &json!({"name": "P1"}),
            &json!({})
        ]
    );
}

#[tokio::test]
async fn levels() {
    let caught = json!({"StartAt": "P", "States": {
        "P": {"Type": "Parallel", "Branches": [{"StartAt": "G", "States": {"G": {"Type": "Fail"}}}],
              "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "F"}], "End": true},
        "F": {"Type": "Fail"}}});
    let check = async |kind: &str, level: &str, expect: &str| {
        assert_eq!(
            types(&logged(kind, level, true, &caught).await),
            expect,
            "{kind} {level}"
        );
    };
    check("STANDARD", "OFF", "").await;
    check("STANDARD", "FATAL", "ExecutionFailed").await;
    check("STANDARD", "ERROR", "ParallelStateFailed ExecutionFailed").await;
    check("EXPRESS", "FATAL", "ExecutionFailed").await;
    check("EXPRESS", "ERROR", "ParallelStateFailed ExecutionFailed").await;
}

#[tokio::test(start_paused = true)]
async fn an_express_execution_that_is_cut_says_so() {
    let store = MemoryStore::new(&Disk::default(), Trouble::default());
    let server = Server::over(store, TokioClock::new(), Functions::new([]), Options::default()).await;
    let wait = json!({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 400, "End": true}}});
    let create = json!({"name": "m", "type": "EXPRESS", "definition": wait.to_string(), "roleArn": ROLE,
                        "loggingConfiguration": logging("/g", "ALL", true)});
    let machine = text(&server.ok("CreateStateMachine", create).await["stateMachineArn"]);
    let ended = server
        .ok("StartSyncExecution", json!({"stateMachineArn": machine}))
        .await;
    assert_eq!(ended["status"], "TIMED_OUT");
    let logs = server.logs.clone();
    server.states.shutdown().await;
    let lines = logs.lines("/g").into_iter();
    let lines: Vec<Value> = lines.map(|(_, line)| serde_json::from_str(&line).unwrap()).collect();
    let kinds: Vec<(&Value, &Value)> = lines.iter().map(|line| (&line["id"], &line["type"])).collect();
    let expect = [
        ("1", "ExecutionStarted"),
        ("2", "WaitStateEntered"),
        ("3", "ExecutionTimedOut"),
    ];
    let expect = expect.map(|(id, kind)| (json!(id), json!(kind)));
    assert_eq!(kinds, expect.each_ref().map(|(id, kind)| (id, kind)));
    assert_eq!(lines[2]["details"], json!({"error": "States.Timeout"}));
}

#[tokio::test]
async fn a_group_that_is_not_there() {
    let server = Server::new(Functions::new([])).await;
    let create = |logging: Value| json!({"name": "m", "definition": fails().to_string(), "roleArn": ROLE, "loggingConfiguration": logging});
    let mut odd = logging("g", "ALL", true);
    odd["destinations"][0]["cloudWatchLogsLogGroup"]["logGroupArn"] = json!("arn:aws:s3:::b:*");
    let mut plain = logging("g", "ALL", true);
    plain["destinations"][0]["cloudWatchLogsLogGroup"]["logGroupArn"] = json!(arn("g").trim_end_matches(":*"));
    for (wrong, expect) in [
        (logging("missing", "ALL", true), "Log Destination not found."),
        (odd, "Log Destination not found."),
        (plain, "Log Group ARN must be provided with '*' qualifier."),
    ] {
        let refused = server.refused("CreateStateMachine", create(wrong)).await;
        let expect = format!("InvalidLoggingConfiguration: Invalid Logging Configuration: {expect}");
        assert_eq!(refused, expect);
    }
}
