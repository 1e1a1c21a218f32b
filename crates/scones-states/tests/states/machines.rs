//! State machines, versions, aliases, tags, activities.

use std::sync::Arc;

use crate::common::{Functions, ROLE, Server, passes, text};
use serde_json::{Value, json};

async fn server() -> Server {
    Server::new(Functions::new([])).await
}

fn create(name: &str, changes: Value) -> Value {
    let mut input = json!({"name": name, "definition": passes(1).to_string(), "roleArn": ROLE});
    input
        .as_object_mut()
        .unwrap()
        .extend(changes.as_object().unwrap().clone());
    input
}

#[tokio::test]
async fn creation_is_idempotent() {
    let server = server().await;
    let first = server.ok("CreateStateMachine", create("m", json!({}))).await;
    let other_role = json!({"roleArn": "arn:aws:iam::000000000000:role/other"});
    assert_eq!(server.ok("CreateStateMachine", create("m", other_role)).await, first);
    let exists = format!(
        "StateMachineAlreadyExists: State Machine Already Exists: '{}'",
        text(&first["stateMachineArn"])
    );
    let spaced = json!({"definition": format!(" {}", passes(1))});
    for change in [
        spaced,
        json!({"type": "EXPRESS"}),
        json!({"tracingConfiguration": {"enabled": true}}),
    ] {
        assert_eq!(server.refused("CreateStateMachine", create("m", change)).await, exists);
    }
    let described = server
        .ok(
            "DescribeStateMachine",
            json!({"stateMachineArn": first["stateMachineArn"]}),
        )
        .await;
    assert_eq!(described["roleArn"], ROLE);
    assert_eq!(
        described["loggingConfiguration"],
        json!({"includeExecutionData": false, "level": "OFF"})
    );
    assert_eq!(described.get("revisionId"), None);
}

#[tokio::test]
async fn bad_machines_are_refused() {
    let server = server().await;
    let check = async |changes: Value, expect: &str| {
        assert_eq!(server.refused("CreateStateMachine", create("m", changes)).await, expect);
    };
    check(json!({"name": "a b"}), "InvalidName: Invalid Name: 'a b'").await;
    check(
        json!({"roleArn": "role"}),
        "InvalidArn: Invalid Arn: 'Invalid ARN prefix: role'",
    )
    .await;
    let definition = json!({"definition": "{\"StartAt\": \"A\"}"});
    let missing = "'SCHEMA_VALIDATION_FAILED: These fields are required: [States] at /'";
    check(
        definition,
        &format!("InvalidDefinition: Invalid State Machine Definition: {missing}"),
    )
    .await;
    let description = json!({"versionDescription": "d"});
    check(
        description,
        "ValidationException: Version description can only be set when publish is true",
    )
    .await;
    let enumeration = "ValidationException: 1 validation error detected: Value 'FAST' at 'type' failed to satisfy \
                       constraint: Member must satisfy enum value set: [STANDARD, EXPRESS]";
    check(json!({"type": "FAST"}), enumeration).await;
    let logging =
        "InvalidLoggingConfiguration: Invalid Logging Configuration: Must specify exactly one Log Destination.";
    check(json!({"loggingConfiguration": {"level": "ALL"}}), logging).await;
    let large = json!({"definition": " ".repeat(1_048_577)});
    let length = "ValidationException: 1 validation error detected: Value at 'definition' failed to satisfy \
                  constraint: Member must have length less than or equal to 1048576";
    check(large, length).await;
    let token = json!({"StartAt": "T", "States": {"T": {
        "Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "End": true}}});
    let express = json!({"type": "EXPRESS", "definition": token.to_string()});
    let refused = server.refused("CreateStateMachine", create("m", express)).await;
    assert!(
        refused.contains("Express state machine does not support '.waitForTaskToken'"),
        "{refused}"
    );
}

#[tokio::test]
async fn revisions_and_versions_follow_each_other() {
    let server = server().await;
    let created = server
        .ok(
            "CreateStateMachine",
            create("m", json!({"publish": true, "versionDescription": "one"})),
        )
        .await;
    let machine = text(&created["stateMachineArn"]);
    assert_eq!(text(&created["stateMachineVersionArn"]), format!("{machine}:1"));
    let same = json!({"stateMachineArn": machine, "definition": passes(1).to_string(), "publish": true});
    let same = server.ok("UpdateStateMachine", same).await;
    assert_eq!(
        (same.get("revisionId"), text(&same["stateMachineVersionArn"])),
        (None, format!("{machine}:1"))
    );
    let update = json!({"stateMachineArn": machine, "definition": passes(2).to_string()});
    let updated = server.ok("UpdateStateMachine", update).await;
    let revision = text(&updated["revisionId"]);
    let stale = json!({"stateMachineArn": machine, "revisionId": "other"});
    assert!(
        server
            .refused("PublishStateMachineVersion", stale)
            .await
            .starts_with("ConflictException")
    );
    let publish = json!({"stateMachineArn": machine, "revisionId": revision});
    let second = server.ok("PublishStateMachineVersion", publish.clone()).await;
    assert_eq!(text(&second["stateMachineVersionArn"]), format!("{machine}:2"));
    assert_eq!(server.ok("PublishStateMachineVersion", publish.clone()).await, second);

    let described = server
        .ok(
            "DescribeStateMachine",
            json!({"stateMachineArn": format!("{machine}:1")}),
        )
        .await;
    assert_eq!(
        (&described["description"], &described["definition"]),
        (&json!("one"), &json!(passes(1).to_string()))
    );
    server
        .ok(
            "DeleteStateMachineVersion",
            json!({"stateMachineVersionArn": format!("{machine}:2")}),
        )
        .await;
    let third = server.ok("PublishStateMachineVersion", publish).await;
    assert_eq!(
        text(&third["stateMachineVersionArn"]),
        format!("{machine}:3"),
        "a number never comes back"
    );
    let listed = server
        .ok("ListStateMachineVersions", json!({"stateMachineArn": machine}))
        .await;
    let versions = listed["stateMachineVersions"].as_array().unwrap();
    let versions: Vec<_> = versions
        .iter()
        .map(|version| text(&version["stateMachineVersionArn"]))
        .collect();
    assert_eq!(versions, [format!("{machine}:3"), format!("{machine}:1")]);

    let execution = server.start(&format!("{machine}:1"), json!({})).await;
    let described = server.ended(&execution).await;
    assert_eq!(text(&described["stateMachineVersionArn"]), format!("{machine}:1"));
    assert_eq!(text(&described["stateMachineArn"]), machine);
    assert_eq!(server.history(&execution).await.len(), 4);
    let missing = json!({"stateMachineArn": machine});
    assert!(
        server
            .refused("UpdateStateMachine", missing)
            .await
            .starts_with("MissingRequiredParameter")
    );
}

#[tokio::test]
async fn an_alias_routes_by_weight() {
    let server = server().await;
    let created = server
        .ok("CreateStateMachine", create("m", json!({"publish": true})))
        .await;
    let machine = text(&created["stateMachineArn"]);
    let update = json!({"stateMachineArn": machine, "definition": passes(2).to_string(), "publish": true});
    server.ok("UpdateStateMachine", update).await;
    let route =
        |version: u64, weight: u64| json!({"stateMachineVersionArn": format!("{machine}:{version}"), "weight": weight});
    let alias = json!({"name": "live", "routingConfiguration": [route(1, 50), route(2, 50)]});
    let made = server.ok("CreateStateMachineAlias", alias.clone()).await;
    assert_eq!(server.ok("CreateStateMachineAlias", alias).await, made);
    let arn = text(&made["stateMachineAliasArn"]);
    assert_eq!(arn, format!("{machine}:live"));
    let mut versions: Vec<String> = Vec::new();
    for _ in 0..64 {
        let execution = server.start(&arn, json!({})).await;
        let described = server.describe(&execution).await;
        assert_eq!(text(&described["stateMachineAliasArn"]), arn);
        versions.push(text(&described["stateMachineVersionArn"]));
    }
    versions.sort();
    versions.dedup();
    assert_eq!(versions, [format!("{machine}:1"), format!("{machine}:2")]);
    let listed = server
        .ok("ListExecutions", json!({"stateMachineArn": arn, "maxResults": 3}))
        .await;
    assert_eq!(listed["executions"].as_array().unwrap().len(), 3);

    let check = async |routes: Value, expect: &str| {
        let update = json!({"stateMachineAliasArn": arn, "routingConfiguration": routes});
        assert_eq!(server.refused("UpdateStateMachineAlias", update).await, expect);
    };
    let missing = "ResourceNotFound: Request references a resource that does not exist.";
    check(json!([route(9, 100)]), missing).await;
    check(
        json!([route(1, 99)]),
        "ValidationException: Sum of routing configuration weights must equal 100",
    )
    .await;
    check(
        json!([route(1, 150)]),
        "ValidationException: Weights must be between 0 and 100",
    )
    .await;
    let unversioned = json!([{"stateMachineVersionArn": machine, "weight": 100}]);
    let received = format!(
        "ValidationException: Routing configuration must contain state machine version ARNs. Received: [{machine}]"
    );
    check(unversioned, &received).await;
    let used = server
        .refused(
            "DeleteStateMachineVersion",
            json!({"stateMachineVersionArn": format!("{machine}:1")}),
        )
        .await;
    assert!(
        used.ends_with("Current list of aliases referencing this version: [live]"),
        "{used}"
    );
    server
        .ok("DeleteStateMachineAlias", json!({"stateMachineAliasArn": arn}))
        .await;
    assert_eq!(
        server
            .refused("DescribeStateMachineAlias", json!({"stateMachineAliasArn": arn}))
            .await,
        missing
    );
}

#[tokio::test]
async fn machines_are_listed_in_pages() {
    let server = server().await;
    for number in 0..5 {
        server
            .ok("CreateStateMachine", create(&format!("m{number}"), json!({})))
            .await;
    }
    server
        .ok(
            "DeleteStateMachine",
            json!({"stateMachineArn": "arn:aws:states:us-east-1:000000000000:stateMachine:m3"}),
        )
        .await;
    let first = server.ok("ListStateMachines", json!({"maxResults": 3})).await;
    let second = server
        .ok("ListStateMachines", json!({"nextToken": first["nextToken"]}))
        .await;
    let names = |page: &Value| {
        page["stateMachines"]
            .as_array()
            .unwrap()
            .iter()
            .map(|machine| text(&machine["name"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (names(&first), names(&second)),
        (vec!["m0".into(), "m1".into(), "m2".into()], vec!["m4".into()])
    );
    assert_eq!(second.get("nextToken"), None);
    let large = server.refused("ListStateMachines", json!({"maxResults": 1001})).await;
    assert!(large.ends_with(
        "Value '1001' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 1000"
    ));
    assert_eq!(
        server.refused("ListStateMachines", json!({"nextToken": "x"})).await,
        "InvalidToken: Invalid Token: 'Invalid token'"
    );
}

#[tokio::test]
async fn metadata_is_without_data() {
    let server = server().await;
    let machine = server.ok("CreateStateMachine", create("m", json!({}))).await["stateMachineArn"].clone();
    let execution = server.run(&text(&machine), json!({"a": 1})).await["executionArn"].clone();
    let express = server
        .ok("CreateStateMachine", create("x", json!({"type": "EXPRESS"})))
        .await["stateMachineArn"]
        .clone();
    let mut run = json!({"stateMachineArn": express, "name": "n", "input": "{}", "includedData": "METADATA_ONLY"});
    let ran = server.ok("StartSyncExecution", run.clone()).await;
    assert_eq!(ran["status"], "SUCCEEDED");
    for data in ["input", "inputDetails", "output", "outputDetails"] {
        assert_eq!(ran.get(data), None, "{data}");
    }
    run["includedData"] = json!("NONE");
    let refused = server.refused("StartSyncExecution", run).await;
    assert!(refused.contains("[ALL_DATA, METADATA_ONLY]"), "{refused}");
    for (operation, mut input) in [
        ("DescribeStateMachine", json!({"stateMachineArn": machine})),
        ("DescribeStateMachineForExecution", json!({"executionArn": execution})),
        ("DescribeExecution", json!({"executionArn": execution})),
    ] {
        let mut all = server.ok(operation, input.clone()).await;
        input["includedData"] = json!("ALL_DATA");
        assert_eq!(server.ok(operation, input.clone()).await, all);
        input["includedData"] = json!("METADATA_ONLY");
        let there = all.as_object_mut().unwrap();
        for data in ["input", "inputDetails", "output", "outputDetails", "variableReferences"] {
            there.remove(data);
        }
        if let Some(definition) = there.get_mut("definition") {
            *definition = json!("{}");
        }
        assert_eq!(server.ok(operation, input.clone()).await, all);
        input["includedData"] = json!("NONE");
        let refused = server.refused(operation, input).await;
        assert!(refused.contains("[ALL_DATA, METADATA_ONLY]"), "{refused}");
    }
}

#[tokio::test]
async fn resources_have_tags() {
    let server = server().await;
    let tags = json!({"tags": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}], "publish": true});
    let machine = server.ok("CreateStateMachine", create("m", tags)).await["stateMachineArn"].clone();
    server
        .ok(
            "TagResource",
            json!({"resourceArn": machine, "tags": [{"key": "b", "value": "3"}]}),
        )
        .await;
    server
        .ok("UntagResource", json!({"resourceArn": machine, "tagKeys": ["a", "z"]}))
        .await;
    let listed = server.ok("ListTagsForResource", json!({"resourceArn": machine})).await;
    assert_eq!(listed, json!({"tags": [{"key": "b", "value": "3"}]}));
    let many: Vec<Value> = (0..51)
        .map(|number| json!({"key": format!("k{number}"), "value": ""}))
        .collect();
    assert!(
        server
            .refused("TagResource", json!({"resourceArn": machine, "tags": many}))
            .await
            .starts_with("TooManyTags")
    );
    for key in ["aws:x", "AWS:", "Aws:cloudformation:stack-name"] {
        let refused = server
            .refused(
                "TagResource",
                json!({"resourceArn": machine, "tags": [{"key": key, "value": ""}]}),
            )
            .await;
        assert!(refused.starts_with("ValidationException: The tag key"), "{refused}");
    }
    let close = json!({"resourceArn": machine, "tags": [{"key": "aws", "value": ""}, {"key": "xaws:", "value": ""}, {"key": "awß:", "value": ""}]});
    server.ok("TagResource", close).await;
    let version = format!("{}:1", text(&machine));
    let missing = server
        .refused("TagResource", json!({"resourceArn": version, "tags": []}))
        .await;
    assert_eq!(missing, format!("ResourceNotFound: Resource not found: '{version}'"));
}

#[tokio::test]
async fn definitions_are_diagnosed() {
    let server = server().await;
    let check = async |definition: &str, expect: Value| {
        let found = server
            .ok("ValidateStateMachineDefinition", json!({"definition": definition}))
            .await;
        assert_eq!(
            (&found["result"], &found["diagnostics"][0]["code"]),
            (&expect[0], &expect[1]),
            "{found}"
        );
    };
    check(&passes(3).to_string(), json!(["OK", null])).await;
    check("{}", json!(["FAIL", "SCHEMA_VALIDATION_FAILED"])).await;
    check("not json", json!(["FAIL", "INVALID_JSON_DESCRIPTION"])).await;
}

#[tokio::test]
async fn definitions_are_refused_with_every_error() {
    let server = server().await;
    let check = async |definition: Value, expect: &str| {
        let request = create("m", json!({"definition": definition.to_string()}));
        let refused = server.refused("CreateStateMachine", request).await;
        assert_eq!(refused, format!("InvalidDefinition: {expect}"));
    };
    let pass = |next: &str| json!({"Type": "Pass", "Next": next});
    check(
        json!({"StartAt": "A", "States": {"A": pass("Z"), "B": {"Type": "Succeed"}}}),
        "Invalid State Machine Definition: 'MISSING_TRANSITION_TARGET: Missing 'Next' target: Z at /States/A/Next, \
         MISSING_TRANSITION_TARGET: State \"B\" is not reachable. at /States/B'",
    )
    .await;
    check(
        json!({"StartAt": "A", "States": {"A": pass("B"), "B": pass("A")}}),
        "Invalid State Machine Definition: 'MISSING_END_STATE: Workflow has no terminal state at null'",
    )
    .await;
    let label = |label: &str| {
        json!({"StartAt": "M", "States": {"M": {"Type": "Map", "Label": label, "End": true, "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "P",
            "States": {"P": {"Type": "Pass", "End": true}}}}}})
    };
    let refused = async |text: &str, literal: &str| {
        let definition = label(text);
        let expect = format!("Error=ValueError Args=[{literal}] in definition '{definition}'.");
        check(definition, &expect).await;
    };
    refused("a?", r#""Label contains invalid character: '?'""#).await;
    refused("a\"", r#"'Label contains invalid character: \'"\''"#).await;
    refused("a\u{7f}", r#""Label contains invalid character: '\\x7f'""#).await;
    refused("a\\", r#""Label contains invalid character: '\\\\'""#).await;
    refused(&"x".repeat(41), "'Label cannot exceed 40 characters'").await;
}

#[tokio::test]
async fn workers_take_activities() {
    let server = Arc::new(server().await);
    let activity = server.ok("CreateActivity", json!({"name": "look"})).await["activityArn"].clone();
    assert_eq!(
        server.ok("CreateActivity", json!({"name": "look"})).await["activityArn"],
        activity
    );
    let task =
        json!({"Type": "Task", "Resource": activity, "TimeoutSeconds": 600, "HeartbeatSeconds": 60, "End": true});
    let machine = server
        .machine("m", &json!({"StartAt": "T", "States": {"T": task}}))
        .await;
    let poll = json!({"activityArn": activity, "workerName": "eve"});
    let waiting = {
        let (server, poll) = (Arc::clone(&server), poll.clone());
        tokio::spawn(async move { server.ok("GetActivityTask", poll).await })
    };
    let execution = server.start(&machine, json!({"n": 1})).await;
    let taken = waiting.await.unwrap();
    assert_eq!(taken["input"], "{\"n\":1}");
    let token = &taken["taskToken"];
    server.ok("SendTaskHeartbeat", json!({"taskToken": token})).await;
    let bad = server
        .refused("SendTaskSuccess", json!({"taskToken": token, "output": "{"}))
        .await;
    assert!(bad.starts_with("InvalidOutput"), "{bad}");
    server
        .ok("SendTaskSuccess", json!({"taskToken": token, "output": "5"}))
        .await;
    assert_eq!(server.ended(&execution).await["output"], "5");
    let expected = [
        "1 0 ExecutionStarted",
        "2 0 TaskStateEntered",
        "3 2 ActivityScheduled",
        "4 3 ActivityStarted",
        "5 4 ActivitySucceeded",
        "6 5 TaskStateExited",
        "7 6 ExecutionSucceeded",
    ];
    assert_eq!(server.history(&execution).await, expected);
    let late = server.refused("SendTaskFailure", json!({"taskToken": token})).await;
    assert_eq!(
        late,
        "TaskTimedOut: Task Timed Out: 'Provided task does not exist anymore'"
    );
    let made_up = server
        .refused("SendTaskSuccess", json!({"taskToken": "x", "output": "1"}))
        .await;
    assert_eq!(made_up, "InvalidToken: Invalid Token: 'Invalid token'");

    let execution = server.start(&machine, json!({"n": 2})).await;
    let taken = server.ok("GetActivityTask", poll.clone()).await;
    server
        .ok(
            "SendTaskFailure",
            json!({"taskToken": taken["taskToken"], "error": "E", "cause": "c"}),
        )
        .await;
    assert_eq!(server.ended(&execution).await["error"], "E");
    server.ok("DeleteActivity", json!({"activityArn": activity})).await;
    let gone = server.refused("GetActivityTask", poll).await;
    assert_eq!(
        gone,
        format!("ActivityDoesNotExist: Activity Does Not Exist: '{}'", text(&activity))
    );
}

#[tokio::test]
async fn a_task_of_no_activity_fails() {
    let server = server().await;
    let gone = server.ok("CreateActivity", json!({"name": "gone"})).await["activityArn"].clone();
    server.ok("DeleteActivity", json!({"activityArn": gone})).await;
    let check = async |name: &str, activity: &str, first: Value, entered: &[&str]| {
        let mut states = json!({"T": {"Type": "Task", "Resource": activity, "End": true,
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]}, "Caught": {"Type": "Succeed"}});
        states["First"] = first;
        let machine = server
            .machine(name, &json!({"StartAt": "First", "States": states}))
            .await;
        let execution = server.start(&machine, json!({})).await;
        let ended = server.ended(&execution).await;
        assert_eq!(ended["status"], "FAILED", "{ended}");
        assert_eq!(ended["error"], "States.Runtime");
        let cause = format!("Activity Does Not Exist: '{activity}'");
        assert!(text(&ended["cause"]).contains(&cause), "{ended}");
        let history = server.history(&execution).await;
        let types: Vec<&str> = history.iter().filter_map(|event| event.rsplit(' ').next()).collect();
        let tail = ["ActivityScheduled", "ActivityScheduleFailed", "ExecutionFailed"];
        assert_eq!(types, [entered, &tail].concat());
    };
    let at_once = [
        "ExecutionStarted",
        "PassStateEntered",
        "PassStateExited",
        "TaskStateEntered",
    ];
    let later = [
        "ExecutionStarted",
        "WaitStateEntered",
        "WaitStateExited",
        "TaskStateEntered",
    ];
    let pass = json!({"Type": "Pass", "Next": "T"});
    check("at-once", &text(&gone), pass.clone(), &at_once).await;
    check(
        "later",
        &text(&gone),
        json!({"Type": "Wait", "Seconds": 1, "Next": "T"}),
        &later,
    )
    .await;
    let elsewhere = "arn:aws:states:eu-west-1:000000000000:activity:gone";
    check("elsewhere", elsewhere, pass, &at_once).await;
}
