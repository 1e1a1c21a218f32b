//! Executions from start to end, as a client sees them.

use std::{sync::Arc, time::Duration};

use crate::common::{
    Functions, ROLE, Script, Server, invoke,
    memory::{Disk, MemoryStore, Trouble},
    passes, text,
};
use scones_api::{ManualClock, SystemClock, Timestamp};
use scones_states::Options;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

#[tokio::test]
async fn a_machine_of_passes_succeeds() {
    let server = Server::new(Functions::new([])).await;
    let machine = server.machine("passes", &passes(2)).await;
    let execution = server.start(&machine, json!({"a": 1})).await;
    let mut described = server.ended(&execution).await;
    for date in ["startDate", "stopDate"] {
        assert!(described[date].as_f64().unwrap() > 1.7e9);
    }
    let members = described.as_object_mut().unwrap();
    members.retain(|name, _| !["startDate", "stopDate", "name", "executionArn"].contains(&name.as_str()));
    insta::assert_snapshot!(serde_json::to_string_pretty(&described).unwrap(), @r#"
    {
      "stateMachineArn": "arn:aws:states:us-east-1:000000000000:stateMachine:passes",
      "status": "SUCCEEDED",
      "input": "{\"a\":1}",
      "inputDetails": {
        "included": true
      },
      "output": "{\"a\":1}",
      "outputDetails": {
        "included": true
      },
      "redriveCount": 0,
      "redriveStatus": "NOT_REDRIVABLE",
      "redriveStatusReason": "Execution is SUCCEEDED and cannot be redriven"
    }
    "#);
    insta::assert_debug_snapshot!(server.history(&execution).await, @r#"
    [
        "1 0 ExecutionStarted",
        "2 0 PassStateEntered",
        "3 2 PassStateExited",
        "4 3 PassStateEntered",
        "5 4 PassStateExited",
        "6 5 ExecutionSucceeded",
    ]
    "#);
}

#[tokio::test]
async fn three_functions_write_seventeen_events() {
    let functions = Functions::new([
        ("serialize", Script::Answer(r#"{"image": "aGk="}"#)),
        ("classify", Script::Answer(r#"{"inferences": [0.97, 0.03]}"#)),
        ("filter", Script::Echo),
    ]);
    let server = Server::new(functions).await;
    let definition = json!({"StartAt": "Serialize", "States": {
        "Serialize": invoke("serialize", Some("Classify")),
        "Classify": invoke("classify", Some("Filter")),
        "Filter": invoke("filter", None),
    }});
    let machine = server.machine("story", &definition).await;
    let execution = server.start(&machine, json!({"key": "test/bike.png"})).await;
    let described = server.ended(&execution).await;
    assert_eq!(described["output"], r#"{"inferences":[0.97,0.03]}"#);
    insta::assert_debug_snapshot!(server.history(&execution).await, @r#"
    [
        "1 0 ExecutionStarted",
        "2 0 TaskStateEntered",
        "3 2 TaskScheduled",
        "4 3 TaskStarted",
        "5 4 TaskSucceeded",
        "6 5 TaskStateExited",
        "7 6 TaskStateEntered",
        "8 7 TaskScheduled",
        "9 8 TaskStarted",
        "10 9 TaskSucceeded",
        "11 10 TaskStateExited",
        "12 11 TaskStateEntered",
        "13 12 TaskScheduled",
        "14 13 TaskStarted",
        "15 14 TaskSucceeded",
        "16 15 TaskStateExited",
        "17 16 ExecutionSucceeded",
    ]
    "#);
    let events = server.events(&execution).await;
    let output: Value = serde_json::from_str(&text(&events[4]["taskSucceededEventDetails"]["output"])).unwrap();
    let date = text(&output["SdkHttpMetadata"]["HttpHeaders"]["Date"]);
    let output = output.to_string().replace(&date, "date");
    insta::assert_snapshot!(output, @r#"{"ExecutedVersion":"$LATEST","Payload":{"image":"aGk="},"SdkHttpMetadata":{"AllHttpHeaders":{"Connection":["keep-alive"],"Content-Length":["17"],"Content-Type":["application/json"],"Date":["date"],"X-Amz-Executed-Version":["$LATEST"],"x-amzn-Remapped-Content-Length":["0"],"x-amzn-RequestId":["request"]},"HttpHeaders":{"Connection":"keep-alive","Content-Length":"17","Content-Type":"application/json","Date":"date","X-Amz-Executed-Version":"$LATEST","x-amzn-Remapped-Content-Length":"0","x-amzn-RequestId":"request"},"HttpStatusCode":200},"SdkResponseMetadata":{"RequestId":"request"},"StatusCode":200}"#);
}

#[tokio::test]
async fn a_failed_function_fails_the_execution_with_its_error() {
    let error =
        r#"{"errorMessage": "below", "errorType": "THRESHOLD_CONFIDENCE_NOT_MET", "requestId": "r", "stackTrace": []}"#;
    let functions = Functions::new([
        ("failing", Script::Fail(error)),
        (
            "busy",
            Script::Refuse(429, "TooManyRequestsException", "Rate Exceeded."),
        ),
    ]);
    let server = Server::new(functions).await;
    let check = async |name: &str, resource: &str, expect: (&str, &str)| {
        let state = json!({"Type": "Task", "Resource": resource, "End": true});
        let machine = server
            .machine(name, &json!({"StartAt": "S", "States": {"S": state}}))
            .await;
        let described = server.run(&machine, json!({})).await;
        assert_eq!(described["status"], "FAILED");
        assert_eq!(described["error"], expect.0);
        assert!(text(&described["cause"]).starts_with(expect.1), "{described}");
        assert_eq!(described["redriveStatus"], "REDRIVABLE");
    };
    let function = "arn:aws:lambda:us-east-1:000000000000:function";
    check(
        "a",
        &format!("{function}:failing"),
        ("THRESHOLD_CONFIDENCE_NOT_MET", error),
    )
    .await;
    let missing = "Function not found: arn:aws:lambda:us-east-1:000000000000:function:none \
                   (Service: AWSLambda; Status Code: 404; Error Code: ResourceNotFoundException; Request ID: ";
    check(
        "b",
        &format!("{function}:none"),
        ("Lambda.ResourceNotFoundException", missing),
    )
    .await;
    check(
        "c",
        &format!("{function}:busy"),
        ("Lambda.TooManyRequestsException", "Rate Exceeded. ("),
    )
    .await;
    let unknown = "Scones has no integration with 'sqs:sendMessage'";
    check("d", "arn:aws:states:::sqs:sendMessage", ("States.Runtime", unknown)).await;
}

#[tokio::test]
async fn a_name_starts_one_execution() {
    let server = Arc::new(Server::new(Functions::new([])).await);
    let waiting = json!({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 3600, "End": true}}});
    let machine = server.machine("waiting", &waiting).await;
    let start = |input: &str| json!({"stateMachineArn": machine, "name": "one", "input": input});
    let starts: Vec<_> = (0..16)
        .map(|_| {
            let (server, input) = (Arc::clone(&server), start("{}"));
            tokio::spawn(async move { server.ok("StartExecution", input).await })
        })
        .collect();
    let mut answers = Vec::new();
    for start in starts {
        answers.push(start.await.unwrap());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
    let listed = server.ok("ListExecutions", json!({"stateMachineArn": machine})).await;
    assert_eq!(listed["executions"].as_array().unwrap().len(), 1);

    let execution = text(&answers[0]["executionArn"]);
    let exists = format!("ExecutionAlreadyExists: Execution Already Exists: '{execution}'");
    assert_eq!(server.refused("StartExecution", start("[]")).await, exists);
    server.ok("StopExecution", json!({"executionArn": execution})).await;
    assert_eq!(server.refused("StartExecution", start("{}")).await, exists);
}

#[tokio::test]
async fn a_stop_ends_the_execution_and_its_task() {
    let go = Arc::new(Semaphore::new(0));
    let functions = Functions::new([("held", Script::Hold(Arc::clone(&go)))]);
    let server = Server::new(functions.clone()).await;
    let machine = server
        .machine("held", &json!({"StartAt": "H", "States": {"H": invoke("held", None)}}))
        .await;
    let execution = server.start(&machine, json!({})).await;
    server.until(&execution, "TaskStarted").await;
    let stop = json!({"executionArn": execution, "error": "Enough", "cause": "tired"});
    let stopped = server.ok("StopExecution", stop.clone()).await;
    let described = server.describe(&execution).await;
    assert_eq!(
        (&described["status"], &described["error"]),
        (&json!("ABORTED"), &json!("Enough"))
    );
    assert_eq!(described["stopDate"], stopped["stopDate"]);
    assert_eq!(
        server.ok("StopExecution", stop).await,
        stopped,
        "a second stop changes nothing"
    );
    assert_eq!(
        Arc::strong_count(&go),
        2,
        "the call was dropped: the script's notifier and ours are left"
    );
    let history = server.history(&execution).await;
    assert_eq!(history.last().unwrap(), "5 0 ExecutionAborted");
}

#[tokio::test]
async fn many_stops_race_with_a_result() {
    let go = Arc::new(Semaphore::new(0));
    let server = Arc::new(Server::new(Functions::new([("held", Script::Hold(Arc::clone(&go)))])).await);
    let machine = server
        .machine("held", &json!({"StartAt": "H", "States": {"H": invoke("held", None)}}))
        .await;
    for _ in 0..20 {
        let execution = server.start(&machine, json!({})).await;
        server.until(&execution, "TaskStarted").await;
        let stop = json!({"executionArn": execution});
        go.add_permits(1);
        let (one, two) = tokio::join!(
            server.ok("StopExecution", stop.clone()),
            server.ok("StopExecution", stop)
        );
        assert_eq!(one, two);
        let ends = server.history(&execution).await;
        let ends = ends
            .iter()
            .filter(|event| event.contains("ExecutionAborted") || event.contains("ExecutionSucceeded"));
        assert_eq!(ends.count(), 1);
    }
}

#[tokio::test]
async fn histories_are_paged_in_both_directions() {
    let server = Server::new(Functions::new([("f", Script::Echo)])).await;
    let definition = json!({"StartAt": "A", "States": {"A": invoke("f", Some("B")), "B": invoke("f", None)}});
    let machine = server.machine("paged", &definition).await;
    let execution = server.start(&machine, json!({})).await;
    server.ended(&execution).await;
    let whole = server.events(&execution).await;
    for reverse in [false, true] {
        for size in [1, 3, 5, 12] {
            let mut events: Vec<Value> = Vec::new();
            let mut input = json!({"executionArn": execution, "maxResults": size, "reverseOrder": reverse});
            loop {
                let page = server.ok("GetExecutionHistory", input.clone()).await;
                let found = page["events"].as_array().unwrap();
                assert!(found.len() <= size);
                events.extend(found.iter().cloned());
                match page.get("nextToken") {
                    Some(token) => input["nextToken"] = token.clone(),
                    None => break,
                }
            }
            if reverse {
                events.reverse();
            }
            assert_eq!(events, whole, "size {size}, reverse {reverse}");
        }
    }
    let input = json!({"executionArn": execution, "includeExecutionData": false});
    let bare = server.ok("GetExecutionHistory", input).await;
    assert_eq!(bare["events"][1]["stateEnteredEventDetails"]["name"], "A");
    assert!(!bare.to_string().contains("\"input\":") && !bare.to_string().contains("\"output\":"));
    let token = json!({"executionArn": execution, "nextToken": "x"});
    assert_eq!(
        server.refused("GetExecutionHistory", token).await,
        "InvalidToken: Invalid Token: 'Invalid token'"
    );
}

#[tokio::test]
async fn executions_are_listed_newest_first() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
    let store = MemoryStore::new(&Disk::default(), Trouble::default());
    let server = Server::over(store, clock.clone(), Functions::new([]), Options::default()).await;
    let definition = json!({"StartAt": "C", "States": {
        "C": {"Type": "Choice", "Default": "F",
              "Choices": [{"Variable": "$.wait", "BooleanEquals": true, "Next": "W"}]},
        "W": {"Type": "Wait", "Seconds": 3600, "End": true},
        "F": {"Type": "Fail", "Error": "E"},
    }});
    let machine = server.machine("listed", &definition).await;
    let mut started = Vec::new();
    for number in 0..6 {
        let start = json!({"stateMachineArn": machine, "name": format!("e{number}"),
                           "input": json!({"wait": number % 2 == 0}).to_string()});
        started.push(text(&server.ok("StartExecution", start).await["executionArn"]));
        clock.advance(Duration::from_millis(1));
    }
    let names = async |mut input: Value| {
        let mut names = Vec::new();
        input["stateMachineArn"] = json!(machine);
        loop {
            let page = server.ok("ListExecutions", input.clone()).await;
            names.extend(
                page["executions"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|it| text(&it["name"])),
            );
            match page.get("nextToken") {
                Some(token) => input["nextToken"] = token.clone(),
                None => return names.join(" "),
            }
        }
    };
    assert_eq!(names(json!({})).await, "e5 e4 e3 e2 e1 e0");
    assert_eq!(names(json!({"maxResults": 4})).await, "e5 e4 e3 e2 e1 e0");
    assert_eq!(
        names(json!({"maxResults": 1, "statusFilter": "RUNNING"})).await,
        "e4 e2 e0"
    );
    assert_eq!(
        names(json!({"maxResults": 1, "statusFilter": "FAILED"})).await,
        "e5 e3 e1"
    );
    assert_eq!(names(json!({"statusFilter": "ABORTED"})).await, "");
    for execution in &started[..1] {
        server.ok("StopExecution", json!({"executionArn": execution})).await;
    }
    assert_eq!(names(json!({"statusFilter": "RUNNING"})).await, "e4 e2");
    assert_eq!(names(json!({"statusFilter": "ABORTED"})).await, "e0");
}

#[tokio::test]
async fn express_executions_answer_at_once() {
    let server = Server::new(Functions::new([("f", Script::Echo)])).await;
    let create = |name: &str, definition: Value| json!({"name": name, "definition": definition.to_string(), "roleArn": ROLE, "type": "EXPRESS"});
    let definition = json!({"StartAt": "A", "States": {"A": invoke("f", None)}});
    let machine = server.ok("CreateStateMachine", create("express", definition)).await["stateMachineArn"].clone();
    let start = json!({"stateMachineArn": machine, "input": "{\"x\": 1}", "name": "n"});
    let ended = server.ok("StartSyncExecution", start.clone()).await;
    assert_eq!(
        (&ended["status"], &ended["output"]),
        (&json!("SUCCEEDED"), &json!("{\"x\":1}"))
    );
    assert!(text(&ended["executionArn"]).starts_with("arn:aws:states:us-east-1:000000000000:express:express:n:"));
    assert_eq!(
        ended["billingDetails"]["billedDurationInMilliseconds"]
            .as_u64()
            .unwrap()
            % 100,
        0
    );
    let standard = server.machine("standard", &passes(1)).await;
    let refused = server
        .refused("StartSyncExecution", json!({"stateMachineArn": standard}))
        .await;
    assert!(refused.starts_with("StateMachineTypeNotSupported"), "{refused}");
}

#[tokio::test]
async fn express_executions_have_a_history_for_a_while() {
    let go = Arc::new(Semaphore::new(0));
    let functions = Functions::new([("hold", Script::Hold(Arc::clone(&go)))]);
    let server = Server::new(Arc::clone(&functions) as _).await;
    let definition = json!({"StartAt": "A", "States": {"A": invoke("hold", None)}});
    let create = json!({"name": "e", "definition": definition.to_string(), "roleArn": ROLE, "type": "EXPRESS"});
    let machine = server.ok("CreateStateMachine", create).await["stateMachineArn"].clone();
    let start = json!({"stateMachineArn": machine, "input": "[1]", "name": "n"});
    let execution = server.ok("StartExecution", start).await["executionArn"].clone();
    let arn = json!({"executionArn": execution});
    while functions.count() < 1 {
        functions.called.notified().await;
    }
    let described = server.ok("DescribeExecution", arn.clone()).await;
    assert_eq!(
        (&described["status"], &described["input"]),
        (&json!("RUNNING"), &json!("[1]"))
    );
    go.add_permits(1);
    let described = server.ended(execution.as_str().unwrap()).await;
    assert_eq!(
        (&described["status"], &described["output"], &described["redriveStatus"]),
        (&json!("SUCCEEDED"), &json!("[1]"), &json!("NOT_REDRIVABLE"))
    );
    let events = server.history(execution.as_str().unwrap()).await;
    assert_eq!(events.first().unwrap(), "1 0 ExecutionStarted");
    assert_eq!(events.last().unwrap(), "7 6 ExecutionSucceeded");
    let last = json!({"executionArn": execution, "reverseOrder": true, "maxResults": 2});
    let page = server.ok("GetExecutionHistory", last.clone()).await;
    assert_eq!(page["events"][1]["id"], 6);
    let mut next = last;
    next["nextToken"] = page["nextToken"].clone();
    assert_eq!(server.ok("GetExecutionHistory", next).await["events"][0]["id"], 5);
    let machine = server.ok("DescribeStateMachineForExecution", arn.clone()).await;
    assert_eq!(machine["name"], "e");
    // It is never changed by a request, as on AWS, and gone with the server.
    let refusal = "InvalidArn: Invalid Arn: 'Resource type not valid in this context: express'";
    for operation in ["StopExecution", "RedriveExecution"] {
        assert_eq!(server.refused(operation, arn.clone()).await, refusal);
    }
    let server = server.restarted(functions).await;
    let gone = server.refused("DescribeExecution", arn).await;
    assert!(gone.starts_with("ExecutionDoesNotExist"), "{gone}");
}

#[tokio::test]
async fn bad_starts_are_refused() {
    let server = Server::new(Functions::new([])).await;
    let machine = server.machine("m", &passes(1)).await;
    let check = async |input: Value, expect: &str| {
        let mut start = json!({"stateMachineArn": machine});
        start
            .as_object_mut()
            .unwrap()
            .extend(input.as_object().unwrap().clone());
        let refused = server.refused("StartExecution", start).await;
        assert!(refused.starts_with(expect), "{refused}");
    };
    check(
        json!({"input": "{"}),
        "InvalidExecutionInput: Invalid State Machine Execution Input: '",
    )
    .await;
    check(json!({"name": "a b"}), "InvalidName: Invalid Name: 'a b'").await;
    check(
        json!({"name": "x".repeat(81)}),
        "ValidationException: 1 validation error detected: Value 'xxx",
    )
    .await;
    let large = format!("\"{}\"", "x".repeat(262_144));
    check(
        json!({"input": large}),
        "ValidationException: 1 validation error detected: Value at 'input' failed",
    )
    .await;
    check(
        json!({"stateMachineArn": "m"}),
        "InvalidArn: Invalid Arn: 'Invalid ARN prefix: m'",
    )
    .await;
    let version = json!({"stateMachineArn": format!("{machine}:7")});
    check(
        version,
        &format!("StateMachineDoesNotExist: State Machine Does Not Exist: '{machine}:7'"),
    )
    .await;
    check(
        json!({"stateMachineArn": format!("{machine}x")}),
        "StateMachineDoesNotExist",
    )
    .await;
    let none = "arn:aws:states:us-east-1:000000000000:execution:m:none";
    for operation in [
        "DescribeExecution",
        "GetExecutionHistory",
        "StopExecution",
        "DescribeStateMachineForExecution",
    ] {
        let refused = server.refused(operation, json!({"executionArn": none})).await;
        assert_eq!(
            refused,
            format!("ExecutionDoesNotExist: Execution Does Not Exist: '{none}'")
        );
    }
}

#[tokio::test]
async fn express_executions_are_bounded() {
    let functions = Functions::new([("hold", Script::hang())]);
    let directory = tempfile::tempdir().unwrap();
    let store = scones_store::SqliteStore::open(directory.path()).unwrap();
    let options = Options {
        express_max: 1,
        ..Options::default()
    };
    let server = Server::over(store, Arc::new(SystemClock), Arc::clone(&functions) as _, options).await;
    let definition = json!({"StartAt": "T", "States": {"T": invoke("hold", None)}});
    let create = json!({"name": "m", "definition": definition.to_string(), "roleArn": ROLE, "type": "EXPRESS"});
    let machine = text(&server.ok("CreateStateMachine", create).await["stateMachineArn"]);
    server.start(&machine, json!({})).await;
    let start = json!({"stateMachineArn": machine});
    let refused = server.refused("StartExecution", start).await;
    assert!(
        refused.starts_with("ExecutionLimitExceeded: 1 Express executions are running"),
        "{refused}"
    );
}
