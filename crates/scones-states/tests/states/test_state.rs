//! TestState: requests, mocks, refusals, real tasks.

use crate::common::{Functions, ROLE, Script, Server};
use serde_json::{Value, json};

const QUEUE: &str = "arn:aws:states:::sqs:sendMessage";

/// A request for a lone state; `more` has what it is tried with.
fn request(state: &Value, more: Value) -> Value {
    let mut request = json!({"definition": state.to_string()});
    for (name, value) in more.as_object().unwrap() {
        let is_text = matches!(name.as_str(), "input" | "variables" | "context");
        request[name] = match name.as_str() {
            _ if is_text && !value.is_string() => json!(value.to_string()),
            "result" => {
                request["mock"]["result"] = json!(value.to_string());
                continue;
            }
            "mode" => {
                request["mock"]["fieldValidationMode"] = value.clone();
                continue;
            }
            "error" => {
                request["mock"]["errorOutput"] = json!({"error": value, "cause": "because"});
                continue;
            }
            _ => value.clone(),
        };
    }
    request
}

fn task(resource: &str) -> Value {
    json!({"Type": "Task", "Resource": resource, "End": true})
}

async fn check(server: &Server, request: Value, expect: Value) {
    let actual = server.ok("TestState", request.clone()).await;
    assert_eq!(actual, expect, "{request}");
}

async fn refused(server: &Server, request: Value, expect: &str) {
    assert_eq!(server.refused("TestState", request.clone()).await, expect, "{request}");
}

#[tokio::test]
async fn inspection_levels() {
    let server = Server::new(Functions::new([])).await;
    let pass = json!({"Type": "Pass", "Result": 1, "Next": "N"});
    let plain = json!({"status": "SUCCEEDED", "output": "1", "nextState": "N"});
    check(&server, request(&pass, json!({})), plain.clone()).await;
    check(
        &server,
        request(&pass, json!({"inspectionLevel": "INFO"})),
        plain.clone(),
    )
    .await;
    let mut shown = plain;
    shown["inspectionData"] = json!({"input": "{}", "result": "1", "afterResultSelector": "1", "afterResultPath": "1"});
    check(
        &server,
        request(&pass, json!({"inspectionLevel": "DEBUG"})),
        shown.clone(),
    )
    .await;
    check(
        &server,
        request(&pass, json!({"inspectionLevel": "TRACE", "roleArn": ROLE})),
        shown,
    )
    .await;
}

#[tokio::test]
async fn a_failure_and_what_dealt_with_it() {
    let server = Server::new(Functions::new([])).await;
    let mut state = task(QUEUE);
    state["Retry"] = json!([{"ErrorEquals": ["E"], "MaxAttempts": 1, "IntervalSeconds": 4}]);
    state["Catch"] = json!([{"ErrorEquals": ["States.ALL"], "Next": "C"}]);
    let tried = |more: Value| {
        let mut request = request(&state, json!({"error": "E", "inspectionLevel": "DEBUG"}));
        request["stateConfiguration"] = more;
        request
    };
    let retriable = server.ok("TestState", tried(json!({"retrierRetryCount": 0}))).await;
    assert_eq!(retriable["status"], "RETRIABLE");
    assert_eq!(
        retriable["inspectionData"]["errorDetails"],
        json!({"retryIndex": 0, "retryBackoffIntervalSeconds": 4})
    );
    let caught = server.ok("TestState", tried(json!({"retrierRetryCount": 1}))).await;
    assert_eq!(
        (&caught["status"], &caught["nextState"]),
        (&json!("CAUGHT_ERROR"), &json!("C"))
    );
    assert_eq!(caught["output"], r#"{"Error":"E","Cause":"because"}"#);
    assert_eq!(
        caught["inspectionData"]["errorDetails"],
        json!({"catchIndex": 0, "retryIndex": 0})
    );
}

#[tokio::test]
async fn a_state_within_a_machine() {
    let server = Server::new(Functions::new([])).await;
    let inner = json!({"StartAt": "Deep", "States": {"Deep": {"Type": "Pass", "End": true}}});
    let machine = json!({"StartAt": "M", "States": {"M": {"Type": "Map", "ItemProcessor": inner, "Next": "Last"}, "Last": {"Type": "Succeed"}}});
    check(
        &server,
        request(&machine, json!({"stateName": "Last", "input": 3})),
        json!({"status": "SUCCEEDED", "output": "3"}),
    )
    .await;
    check(
        &server,
        request(&machine, json!({"stateName": "Deep"})),
        json!({"status": "SUCCEEDED", "output": "{}"}),
    )
    .await;
    let map = json!({"stateName": "M", "input": [1, 2], "result": [3, 4]});
    check(
        &server,
        request(&machine, map),
        json!({"status": "SUCCEEDED", "output": "[3,4]", "nextState": "Last"}),
    )
    .await;
    refused(
        &server,
        request(&machine, json!({"stateName": "Gone"})),
        "ValidationException: State not found in definition",
    )
    .await;
    let broken = json!({"StartAt": "A", "States": {"A": {"Type": "Odd", "End": true}}});
    refused(
        &server,
        request(&broken, json!({"stateName": "A"})),
        "InvalidDefinition: Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: The field 'Type' should have one of these values: \
         [Task, Wait, Pass, Succeed, Fail, Choice, Parallel, Map] at /States/A/Type'",
    )
    .await;
}

#[tokio::test]
async fn requests_that_are_refused() {
    let server = Server::new(Functions::new([])).await;
    let pass = json!({"Type": "Pass", "End": true});
    let check = async |more: Value, expect: &str| refused(&server, request(&pass, more), expect).await;
    check(json!({"input": "{"}), "InvalidExecutionInput: Invalid State Machine Execution Input: 'EOF while parsing an object at line 1 column 1'").await;
    check(
        json!({"variables": [1]}),
        "ValidationException: Variables must be a JSON object.",
    )
    .await;
    check(json!({"inspectionLevel": "ALL"}), "ValidationException: 1 validation error detected: Value 'ALL' at 'inspectionLevel' failed to satisfy constraint: Member must satisfy enum value set: [INFO, DEBUG, TRACE]").await;
    check(json!({"stateName": ""}), "ValidationException: 1 validation error detected: Value '' at 'stateName' failed to satisfy constraint: Member must have length greater than or equal to 1").await;
    check(
        json!({"result": 1}),
        "ValidationException: State type 'Pass' is not supported when a mock is specified",
    )
    .await;
    check(
        json!({"result": 1, "revealSecrets": true}),
        "ValidationException: TestState does not support RevealSecrets when a mock is specified.",
    )
    .await;
    check(
        json!({"mock": {"errorOutput": {"cause": "c"}}}),
        "ValidationException: 1 validation error detected: Value null at 'mock.errorOutput.error' failed to satisfy constraint: Member must not be null",
    )
    .await;
    check(
        json!({"mock": {}}),
        "ValidationException: A test mock should have only one of the following fields: [result, errorOutput].",
    )
    .await;
    check(
        json!({"mock": {"result": "{"}}),
        "ValidationException: Mocked result must be valid JSON",
    )
    .await;
    check(
        json!({"context": {}}),
        "ValidationException: TestState only supports a Context object when a mock is specified.",
    )
    .await;
    check(
        json!({"roleArn": "role"}),
        "InvalidArn: Invalid Arn: 'Invalid ARN prefix: role'",
    )
    .await;
    let large = "x".repeat(262_143);
    let refusal = server
        .refused("TestState", request(&pass, json!({"input": [large]})))
        .await;
    assert!(
        refusal.starts_with("ValidationException: 1 validation error detected: Value at 'input'"),
        "{refusal}"
    );
    refused(&server, json!({"definition": ""}), "ValidationException: 1 validation error detected: Value '' at 'definition' failed to satisfy constraint: Member must have length greater than or equal to 1").await;
}

#[tokio::test]
async fn states_that_need_a_mock() {
    let server = Server::new(Functions::new([])).await;
    let branch = json!({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}});
    let parallel = json!({"Type": "Parallel", "Branches": [branch, {"StartAt": "B", "States": {"B": {"Type": "Succeed"}}}], "End": true});
    let map = json!({"Type": "Map", "ItemProcessor": branch, "End": true});
    let children = "InvalidDefinition: TestState API does not support Map or Parallel states. \
                    Supported state types include: [Task, Wait, Pass, Succeed, Fail, Choice]";
    refused(&server, request(&parallel, json!({})), children).await;
    refused(&server, request(&map, json!({})), children).await;
    for resource in [
        "arn:aws:states:us-east-1:000000000000:activity:a",
        "arn:aws:states:::states:startExecution.sync",
        "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
    ] {
        let refusal = server.refused("TestState", request(&task(resource), json!({}))).await;
        assert!(
            refusal.starts_with("InvalidDefinition: TestState API does not support"),
            "{refusal}"
        );
        let mocked = json!({"result": {"any": 1}, "mode": "PRESENT"});
        check(
            &server,
            request(&task(resource), mocked),
            json!({"status": "SUCCEEDED", "output": "{\"any\":1}"}),
        )
        .await;
    }
    let check = async |state: &Value, more: Value, expect: &str| {
        refused(&server, request(state, more), &format!("ValidationException: {expect}")).await;
    };
    check(
        &parallel,
        json!({"result": [1]}),
        "Mocked result must contain the same number of items as number of Parallel branches.",
    )
    .await;
    check(&parallel, json!({"result": {}}), "Mocked result must be an array.").await;
    check(&map, json!({"result": {}}), "Mocked result must be an array.").await;
    let failed = json!({"input": [1], "result": [1], "stateConfiguration": {"mapIterationFailureCount": 2}});
    check(
        &map,
        failed,
        "Map iteration failure count must be less than or equal to the number of Map iterations",
    )
    .await;
    let nowhere = json!({"error": "E", "stateConfiguration": {"errorCausedByState": "Gone"}});
    check(&map, nowhere, "State that caused the error was not found in definition").await;
    let writer = json!({"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b"}});
    let config = json!({"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"});
    let mut written = json!({"Type": "Map", "ItemProcessor": branch, "ResultWriter": writer, "End": true});
    written["ItemProcessor"]["ProcessorConfig"] = config;
    check(&written, json!({"result": []}), "Mocked result must be a JSON object.").await;
}

#[tokio::test]
async fn mocked_results_are_checked_against_the_service() {
    let server = Server::new(Functions::new([])).await;
    let fails = async |resource: &str, mode: &str, result: Value, expect: &str| {
        let mocked = request(&task(resource), json!({"result": result, "mode": mode}));
        refused(
            &server,
            mocked,
            &format!("ValidationException: Mock result schema validation error: {expect}"),
        )
        .await;
    };
    let passes = async |resource: &str, mode: &str, result: Value| {
        let mocked = request(&task(resource), json!({"result": result, "mode": mode}));
        check(
            &server,
            mocked,
            json!({"status": "SUCCEEDED", "output": result.to_string()}),
        )
        .await;
    };
    let start = "arn:aws:states:::states:startExecution";
    fails(
        start,
        "STRICT",
        json!({"ExecutionArn": "a"}),
        "Field 'StartDate' is required but was missing",
    )
    .await;
    fails(
        start,
        "PRESENT",
        json!({"ExecutionArn": 1}),
        "Field 'ExecutionArn' must be a string",
    )
    .await;
    passes(start, "PRESENT", json!({"executionArn": 1})).await;
    passes(start, "NONE", json!({"ExecutionArn": 1})).await;
    fails(
        QUEUE,
        "STRICT",
        json!({"MessageId": []}),
        "Field 'MessageId' must be a string",
    )
    .await;
    fails(
        "arn:aws:states:::aws-sdk:s3:listObjectsV2",
        "STRICT",
        json!({"Contents": [{"Size": "1"}]}),
        "Field 'Size' must be a number",
    )
    .await;
    passes(
        "arn:aws:states:::lambda:invoke",
        "STRICT",
        json!({"Payload": {"any": [1]}}),
    )
    .await;
    fails(
        "arn:aws:states:::aws-sdk:lambda:invoke",
        "STRICT",
        json!({"Payload": {}}),
        "Field 'Payload' must be a string",
    )
    .await;
    passes(
        "arn:aws:states:::states:startExecution.sync:2",
        "PRESENT",
        json!({"Output": {"a": 1}}),
    )
    .await;
    fails(
        "arn:aws:states:::states:startExecution.sync",
        "PRESENT",
        json!({"Output": {"a": 1}}),
        "Field 'Output' must be a string",
    )
    .await;
    passes(
        "arn:aws:states:::aws-sdk:ec2:describeInstances",
        "STRICT",
        json!({"Reservations": 1}),
    )
    .await;
    passes(
        "arn:aws:lambda:us-east-1:000000000000:function:f",
        "STRICT",
        json!("anything"),
    )
    .await;
    passes(
        "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "STRICT",
        json!({"MessageId": 1}),
    )
    .await;
}

#[tokio::test]
async fn context_objects() {
    let server = Server::new(Functions::new([])).await;
    let mut state = task(QUEUE);
    state["ResultSelector"] = json!({"context.$": "$$"});
    let check_refusal = async |context: Value, expect: &str| {
        let tried = request(&state, json!({"context": context, "result": {}}));
        refused(
            &server,
            tried,
            &format!("ValidationException: Invalid Context object provided: {expect}"),
        )
        .await;
    };
    check_refusal(json!([]), "Context object must be a JSON object").await;
    check_refusal(json!({"Odd": {}}), "Field 'Odd' is not allowed").await;
    check_refusal(json!({"State": {"Odd": 1}}), "Field 'Odd' is not allowed").await;
    check_refusal(json!({"Execution": 1}), "Execution must be an object").await;
    check_refusal(
        json!({"StateMachine": {"Name": 1}}),
        "StateMachine.Name must be a string",
    )
    .await;
    check_refusal(
        json!({"State": {"RetryCount": "1"}}),
        "State.RetryCount must be a number",
    )
    .await;
    check_refusal(
        json!({"Map": {}}),
        "'Map' field is not supported when mocking a Context object",
    )
    .await;
    check_refusal(
        json!({"Task": {"Token": "t"}}),
        "Context object contains 'Task' when state is not a Task state with a '.sync' or '.waitForTaskToken' service integration pattern",
    )
    .await;
    let given = json!({"Execution": {"Input": [1]}, "State": {"RetryCount": 2}});
    let tried = request(&state, json!({"context": given, "result": {}}));
    check(
        &server,
        tried,
        json!({"status": "SUCCEEDED", "output": json!({"context": given}).to_string()}),
    )
    .await;
    let own = server
        .ok(
            "TestState",
            request(&state, json!({"input": 5, "result": {}, "roleArn": ROLE})),
        )
        .await;
    let own: Value = serde_json::from_str(own["output"].as_str().unwrap()).unwrap();
    let execution = &own["context"]["Execution"];
    assert_eq!((&execution["Input"], &execution["RoleArn"]), (&json!(5), &json!(ROLE)));
    let (machine, name) = (
        own["context"]["StateMachine"]["Name"].as_str().unwrap(),
        execution["Name"].as_str().unwrap(),
    );
    assert_eq!(
        execution["Id"],
        format!("arn:aws:states:us-east-1:000000000000:express:{machine}:{name}")
    );
}

#[tokio::test]
async fn variables() {
    let server = Server::new(Functions::new([])).await;
    let pass = json!({"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% $a + 1 %}", "Assign": {"b": "{% $a %}"}, "End": true});
    let tried = server
        .ok(
            "TestState",
            request(&pass, json!({"variables": {"a": 1}, "inspectionLevel": "DEBUG"})),
        )
        .await;
    assert_eq!(tried["output"], "2");
    assert_eq!(
        tried["inspectionData"],
        json!({"input": "{}", "variables": "{\"a\":1,\"b\":1}"})
    );
}

#[tokio::test]
async fn a_task_without_a_mock_is_called() {
    let functions = Functions::new([
        ("echo", Script::Echo),
        ("fails", Script::Fail(r#"{"errorType":"Odd","errorMessage":"m"}"#)),
    ]);
    let server = Server::new(functions.clone()).await;
    let arn = |name: &str| format!("arn:aws:lambda:us-east-1:000000000000:function:{name}");
    check(
        &server,
        request(&task(&arn("echo")), json!({"input": [1]})),
        json!({"status": "SUCCEEDED", "output": "[1]"}),
    )
    .await;
    assert_eq!(functions.count(), 1);
    let mut state = task(&arn("fails"));
    state["Catch"] = json!([{"ErrorEquals": ["Odd"], "Next": "C"}]);
    let caught = server.ok("TestState", request(&state, json!({"roleArn": ROLE}))).await;
    assert_eq!(
        (&caught["status"], &caught["error"], &caught["nextState"]),
        (&json!("CAUGHT_ERROR"), &json!("Odd"), &json!("C"))
    );
    let unknown = server
        .ok(
            "TestState",
            request(&task("arn:aws:states:::aws-sdk:ec2:describeInstances"), json!({})),
        )
        .await;
    assert_eq!(
        (&unknown["status"], &unknown["error"]),
        (&json!("FAILED"), &json!("States.Runtime"))
    );
}

#[tokio::test(start_paused = true)]
async fn five_minutes_are_the_most() {
    let functions = Functions::new([("hangs", Script::hang())]);
    let server = Server::new(functions).await;
    let timed_out = json!({"status": "FAILED", "error": "States.Timeout"});
    let took = async |state: Value, expect: &Value| {
        let begun = tokio::time::Instant::now();
        let answer = server.ok("TestState", request(&state, json!({}))).await;
        assert_eq!(&answer, expect, "{state}");
        begun.elapsed().as_secs()
    };
    let hangs = task("arn:aws:lambda:us-east-1:000000000000:function:hangs");
    assert_eq!(took(hangs.clone(), &timed_out).await, 300);
    let mut impatient = hangs;
    impatient["TimeoutSeconds"] = json!(7);
    assert_eq!(took(impatient, &timed_out).await, 7);
    let waits = |seconds: u64| json!({"Type": "Wait", "Seconds": seconds, "End": true});
    assert_eq!(took(waits(600), &timed_out).await, 300);
    let waited = took(waits(20), &json!({"status": "SUCCEEDED", "output": "{}"})).await;
    assert!((19..=20).contains(&waited), "{waited}");
}
