//! The state machines of the simulation. Together they come to nearly every
//! kind of event, and to every kind of work that a crash may cut.

use serde_json::{Value, json};

use crate::common::invoke;

/// Tries again until it succeeds.
fn patient(mut state: Value) -> Value {
    state["Retry"] =
        json!([{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 1000, "MaxDelaySeconds": 4}]);
    state
}

fn retried(next: Option<&str>) -> Value {
    let mut state = patient(invoke("f", next));
    state["TimeoutSeconds"] = json!(60);
    state
}

fn branch(name: &str, state: Value) -> Value {
    json!({"StartAt": name, "States": {name: state}})
}

fn training(timeout: u64) -> Value {
    json!({"Type": "Task", "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync", "ResultPath": null,
           "TimeoutSeconds": timeout, "Parameters": {
               "TrainingJobName.$": "States.Format('j-{}', States.UUID())", "RoleArn": "r", "OutputDataConfig": {}}})
}

/// Comes to its end whatever fails on the way.
pub fn journey(activity: &str) -> Value {
    let mut job = training(40);
    job["Next"] = json!("L");
    job["Catch"] = json!([{"ErrorEquals": ["States.ALL"], "ResultPath": null, "Next": "J1"}]);
    json!({"StartAt": "T", "States": {
        "T": retried(Some("W")),
        "W": {"Type": "Wait", "Seconds": 20, "Next": "P"},
        "P": {"Type": "Parallel", "Next": "M", "Branches": [
            branch("B1", retried(None)),
            branch("B2", json!({"Type": "Wait", "Seconds": 2, "End": true})),
            branch("B3", json!({"Type": "Pass", "End": true})),
        ]},
        "M": {"Type": "Map", "Next": "D", "MaxConcurrency": 2,
              "ItemProcessor": {"StartAt": "I", "States": {"I": retried(None)}}},
        "D": {"Type": "Map", "Next": "F", "MaxConcurrency": 2, "Label": "D",
              "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                                "StartAt": "C", "States": {"C": retried(None)}}},
        // Some of its children fail for good, while others begin.
        "F": {"Type": "Map", "Next": "K", "Label": "F", "ItemsPath": "$$.Execution.Input",
              "Catch": [{"ErrorEquals": ["States.ExceedToleratedFailureThreshold"], "ResultPath": null, "Next": "K"}],
              "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
                                "StartAt": "G", "States": {"G": invoke("f", None)}}},
        "K": patient(json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
              "HeartbeatSeconds": 20, "TimeoutSeconds": 90, "ResultPath": null, "Next": "A",
              "Parameters": {"FunctionName": "t", "Payload.$": "$$.Task.Token"}})),
        "A": patient(json!({"Type": "Task", "Resource": activity, "HeartbeatSeconds": 25, "TimeoutSeconds": 60,
              "ResultPath": null, "Next": "J"})),
        "J": job,
        "J1": {"Type": "Wait", "Seconds": 1, "Next": "J"},
        "L": patient(json!({"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:f",
              "TimeoutSeconds": 2, "ResultPath": null, "Next": "Q"})),
        "Q": {"Type": "Choice", "Default": "Z",
              "Choices": [{"Variable": "$[0]", "NumericEquals": 1, "Next": "Y"}]},
        "Y": {"Type": "Succeed"},
        "Z": {"Type": "Pass", "End": true},
    }})
}

/// Fails at last, after everything in it that can be caught was caught.
pub fn failure() -> Value {
    let caught = |next: &str| json!([{"ErrorEquals": ["States.ALL"], "ResultPath": null, "Next": next}]);
    let broken = json!({"Type": "Fail", "Error": "Broken"});
    json!({"StartAt": "S", "States": {
        "S": {"Type": "Parallel", "Catch": caught("I"), "Next": "I", "Branches": [
            {"StartAt": "B1", "States": {"B1": {"Type": "Wait", "Seconds": 3, "Next": "B2"}, "B2": broken}},
            branch("B3", json!({"Type": "Wait", "Seconds": 50, "End": true})),
            branch("B4", { let mut job = training(1_000); job["End"] = json!(true); job }),
            branch("B5", json!({"Type": "Map", "End": true, "ItemProcessor": branch("B6", retried(None))})),
            branch("B7", json!({"Type": "Parallel", "End": true, "Branches": [
                branch("B8", json!({"Type": "Wait", "Seconds": 50, "End": true})),
            ]})),
            branch("B9", json!({"Type": "Map", "End": true, "Label": "A", "ItemProcessor": {
                "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                "StartAt": "B10", "States": {"B10": {"Type": "Wait", "Seconds": 50, "End": true}},
            }})),
        ]},
        "I": {"Type": "Map", "Catch": caught("V"), "Next": "V", "ItemProcessor":
              {"StartAt": "X", "States": {"X": {"Type": "Wait", "Seconds": 1, "Next": "X1"}, "X1": broken}}},
        "V": {"Type": "Task", "QueryLanguage": "JSONata", "Resource": "arn:aws:states:::lambda:invoke", "Next": "V1",
              "Arguments": {"FunctionName": "{% $number('x') %}"},
              "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "V1"}]},
        "V1": {"Type": "Task", "Resource": "arn:aws:states:us-east-1:000000000000:activity:gone", "End": true},
    }})
}

/// Has less time than it needs.
pub fn lateness() -> Value {
    let mut job = training(1_000_000);
    job["End"] = json!(true);
    json!({"StartAt": "P", "TimeoutSeconds": 30, "States": {
        "P": {"Type": "Parallel", "End": true, "Branches": [
            branch("B1", job), branch("B2", json!({"Type": "Wait", "Seconds": 100, "End": true})),
        ]},
    }})
}
