//! One state tried on its own, with made-up results.

use std::sync::Arc;

use scones_asl::{
    Answer, Begun, Inspection, Machine, Pending, ResultForm, Start, Timestamp, Trial, TrialStart, Verdict,
};
use serde_json::{Map, Value, json};

const NOW: Timestamp = Timestamp(1_000);

/// Tries the state `S` as `setup` says and compares what `expect` names.
///
/// `setup` holds the state's own fields and, in lower case, what it is tried
/// with: `input`, `variables`, `context`, `retries`, `failed`, `reader`, and
/// the answer, `result` or `error`.
fn check(setup: Value, expect: Value) {
    let shown = setup.to_string();
    let (pending, verdict) = attempt(setup);
    let mut actual = show(&verdict);
    if let Some(pending) = pending {
        actual["pending"] = json!(pending);
    }
    for (name, value) in expect.as_object().unwrap() {
        assert_eq!(&actual[name], value, "{name} of {shown}\n{actual:#}");
    }
}

fn attempt(setup: Value) -> (Option<String>, Verdict) {
    let (with, state): (Map<_, _>, Map<_, _>) = match setup {
        Value::Object(fields) => fields
            .into_iter()
            .partition(|(name, _)| name.starts_with(char::is_lowercase)),
        _ => unreachable!(),
    };
    let machine = Machine::parse_state(&Value::Object(state).to_string(), "S").unwrap();
    let object = |name: &str| with.get(name).map(|value| value.as_object().unwrap().clone());
    let number = |name: &str| with.get(name).and_then(Value::as_u64).unwrap_or_default();
    let input = with.get("input").map_or_else(|| "{}".to_owned(), Value::to_string);
    let mut start = Start::of(&input, NOW).unwrap();
    start.express = true;
    start.synchronous = true;
    let start = TrialStart {
        start,
        variables: object("variables").unwrap_or_default(),
        context: object("context"),
        retries: u32::try_from(number("retries")).unwrap(),
        failed_iterations: number("failed"),
        reader_data: with.get("reader").map(|data| data.as_str().unwrap().to_owned()),
    };
    match Trial::begin(&Arc::new(machine), "S", start).unwrap() {
        Begun::Ended(verdict) => (None, *verdict),
        Begun::Waits(trial, pending) => {
            let answer = match (with.get("result"), with.get("error")) {
                (Some(result), _) => Answer::Result(result.to_string()),
                (None, Some(error)) => Answer::Failure {
                    error: error.as_str().map(str::to_owned),
                    cause: Some("because".to_owned()),
                },
                (None, None) => Answer::TimedOut,
            };
            (Some(waits_for(&pending)), trial.answer(answer, NOW))
        }
    }
}

fn waits_for(pending: &Pending) -> String {
    match pending {
        Pending::Call(call) => format!("call {}", call.input),
        Pending::Wait(until) => format!("until {}", until.0),
        Pending::Branches => "branches".to_owned(),
        Pending::Iterations(None) => "iterations".to_owned(),
        Pending::Iterations(Some(count)) => format!("{count} iterations"),
    }
}

/// The verdict as one object; absent members are left out.
fn show(verdict: &Verdict) -> Value {
    let Inspection {
        input,
        after_arguments,
        after_input_path,
        after_parameters,
        result,
        after_result_selector,
        after_result_path,
        variables,
        error_details,
        after_items_path,
        after_item_selector,
        after_item_batcher,
        after_items_pointer,
        tolerated_failure_count,
        tolerated_failure_percentage,
        max_concurrency,
    } = &verdict.inspection;
    let texts = [
        ("output", &verdict.output),
        ("input", input),
        ("afterArguments", after_arguments),
        ("afterInputPath", after_input_path),
        ("afterParameters", after_parameters),
        ("result", result),
        ("afterResultSelector", after_result_selector),
        ("afterResultPath", after_result_path),
        ("variables", variables),
        ("afterItemsPath", after_items_path),
        ("afterItemSelector", after_item_selector),
        ("afterItemBatcher", after_item_batcher),
        ("afterItemsPointer", after_items_pointer),
    ];
    let mut shown = json!({
        "status": verdict.status.as_str(),
        "next": verdict.next_state,
        "error": verdict.error,
        "cause": verdict.cause,
        "toleratedFailureCount": tolerated_failure_count,
        "toleratedFailurePercentage": tolerated_failure_percentage,
        "maxConcurrency": max_concurrency,
    });
    if let Some(details) = error_details {
        shown["details"] = json!([details.catch_index, details.retry_index, details.retry_backoff_seconds]);
    }
    for (name, text) in texts {
        if let Some(text) = text {
            shown[name] = serde_json::from_str(text).unwrap();
        }
    }
    shown
}

/// The same fields beside others.
fn with(mut base: Value, more: Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        base[name] = value.clone();
    }
    base
}

#[test]
fn states_that_need_nothing() {
    check(
        json!({"Type": "Pass", "End": true, "input": {"a": 1}}),
        json!({"status": "SUCCEEDED", "output": {"a": 1}, "next": null, "pending": null}),
    );
    check(
        json!({"Type": "Pass", "Next": "Anywhere"}),
        json!({"status": "SUCCEEDED", "next": "Anywhere"}),
    );
    check(json!({"Type": "Pass", "Next": "S"}), json!({"next": "S"}));
    check(
        json!({"Type": "Succeed", "OutputPath": "$.a", "input": {"a": 1}}),
        json!({"output": 1, "afterInputPath": {"a": 1}, "afterResultPath": null}),
    );
    check(
        json!({"Type": "Fail", "Error": "E", "Cause": "C"}),
        json!({"status": "FAILED", "error": "E", "cause": "C", "output": null, "next": null}),
    );
    check(
        json!({"Type": "Fail"}),
        json!({"status": "FAILED", "error": null, "cause": null}),
    );
    check(
        json!({"Type": "Wait", "Seconds": 0, "Next": "N"}),
        json!({"status": "SUCCEEDED", "next": "N", "pending": null}),
    );
    check(
        json!({"Type": "Wait", "Seconds": 5, "End": true, "input": 7, "result": null}),
        json!({"pending": "until 6000", "status": "SUCCEEDED", "output": 7, "afterInputPath": 7}),
    );
    check(
        json!({"Type": "Wait", "Seconds": 5, "End": true}),
        json!({"status": "FAILED", "error": "States.Timeout"}),
    );
}

#[test]
fn a_choice_names_the_state_that_it_picks() {
    let choice = json!({"Type": "Choice", "Default": "Other", "Choices": [{"Variable": "$.n", "NumericGreaterThan": 3, "Next": "Big"}]});
    check(
        with(choice.clone(), json!({"input": {"n": 4}})),
        json!({"next": "Big", "output": {"n": 4}, "afterInputPath": {"n": 4}}),
    );
    check(with(choice, json!({"input": {"n": 1}})), json!({"next": "Other"}));
    let none =
        json!({"Type": "Choice", "Choices": [{"Variable": "$.n", "IsNull": true, "Next": "N"}], "input": {"n": 1}});
    check(none, json!({"status": "FAILED", "error": "States.NoChoiceMatched"}));
    let jsonata = json!({"Type": "Choice", "QueryLanguage": "JSONata", "Choices": [{"Condition": "{% $states.input.n > 3 %}", "Next": "Big", "Output": "{% $states.input.n %}"}], "input": {"n": 4}});
    check(
        jsonata,
        json!({"next": "Big", "output": 4, "afterInputPath": null, "input": {"n": 4}}),
    );
}

#[test]
fn the_way_of_the_data_in_jsonpath() {
    let pass = json!({"Type": "Pass", "InputPath": "$.a", "ResultPath": "$.r", "OutputPath": "$.r", "End": true, "input": {"a": {"b": 2}}});
    let stages = json!({"afterInputPath": {"b": 2}, "afterParameters": {"c": 2}, "afterResultSelector": {"c": 2}, "afterResultPath": {"a": {"b": 2}, "r": {"c": 2}}, "result": null, "output": {"c": 2}});
    check(with(pass.clone(), json!({"Parameters": {"c.$": "$.b"}})), stages);
    let stages = json!({"afterInputPath": null, "afterParameters": null, "result": 9, "afterResultSelector": 9, "afterResultPath": {"a": {"b": 2}, "r": 9}});
    check(with(pass, json!({"Result": 9})), stages);
    let task = json!({"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "InputPath": "$.a", "Parameters": {"Payload.$": "$.b"},
        "ResultSelector": {"x.$": "$.y"}, "ResultPath": "$.r", "End": true, "input": {"a": {"b": 2}}, "result": {"y": 5, "z": 6}});
    let stages = json!({"pending": "call {\"Payload\":2}", "input": {"a": {"b": 2}}, "afterInputPath": {"b": 2}, "afterParameters": {"Payload": 2}, "result": {"y": 5, "z": 6},
        "afterResultSelector": {"x": 5}, "afterResultPath": {"a": {"b": 2}, "r": {"x": 5}}, "output": {"a": {"b": 2}, "r": {"x": 5}}, "afterArguments": null});
    check(task, stages);
}

#[test]
fn the_way_of_the_data_in_jsonata() {
    let task = json!({"Type": "Task", "QueryLanguage": "JSONata", "Resource": "arn:aws:states:::sqs:sendMessage", "Arguments": {"n": "{% $states.input.n + $one %}"},
        "Output": "{% $states.result.m %}", "Assign": {"two": "{% $one + 1 %}"}, "Next": "N", "input": {"n": 1}, "variables": {"one": 1}, "result": {"m": 3}});
    let stages = json!({"afterArguments": {"n": 2}, "result": {"m": 3}, "output": 3, "variables": {"one": 1, "two": 2}, "afterInputPath": null, "afterParameters": null, "afterResultPath": null});
    check(task, stages);
    let pass = json!({"Type": "Pass", "QueryLanguage": "JSONata", "Output": {"a": "{% $states.input %}"}, "End": true, "input": 1});
    check(
        pass,
        json!({"output": {"a": 1}, "afterArguments": null, "result": null, "input": 1}),
    );
}

#[test]
fn a_failure_has_no_event_to_point_to() {
    check(
        json!({"Type": "Pass", "InputPath": "$.a", "End": true}),
        json!({"status": "FAILED", "error": "States.Runtime", "cause": "Invalid path '$.a' : No results for path: $['a']", "afterInputPath": null}),
    );
    let failing = json!({"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "ResultSelector": {"a.$": "$.a"}, "End": true, "result": {}});
    check(
        failing,
        json!({"status": "FAILED", "error": "States.Runtime", "afterParameters": {}, "result": {}, "afterResultSelector": null}),
    );
}

#[test]
fn variables_are_shown_where_there_are_any() {
    check(json!({"Type": "Pass", "End": true}), json!({"variables": null}));
    check(
        json!({"Type": "Pass", "End": true, "variables": {"a": 1}}),
        json!({"variables": {"a": 1}}),
    );
    check(
        json!({"Type": "Pass", "Assign": {"b.$": "$a"}, "End": true, "variables": {"a": 1}}),
        json!({"variables": {"a": 1, "b": 1}}),
    );
}

#[test]
fn retriers_and_catchers() {
    let task = json!({"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "End": true,
        "Retry": [{"ErrorEquals": ["Other"]}, {"ErrorEquals": ["Flaky"], "IntervalSeconds": 2, "MaxAttempts": 3, "BackoffRate": 3}],
        "Catch": [{"ErrorEquals": ["Rare"], "Next": "R"}, {"ErrorEquals": ["States.ALL"], "Next": "C", "ResultPath": "$.e"}]});
    let error = |error: &str, retries: u64| with(task.clone(), json!({"error": error, "retries": retries}));
    let caught = json!({"e": {"Error": "Flaky", "Cause": "because"}});
    check(
        error("Flaky", 0),
        json!({"status": "RETRIABLE", "details": [null, 1, 2], "error": "Flaky", "cause": "because", "output": null, "next": null}),
    );
    check(
        error("Flaky", 2),
        json!({"status": "RETRIABLE", "details": [null, 1, 18]}),
    );
    check(
        error("Flaky", 3),
        json!({"status": "CAUGHT_ERROR", "details": [1, 1, null], "next": "C", "output": caught, "error": "Flaky"}),
    );
    check(
        error("Rare", 0),
        json!({"status": "CAUGHT_ERROR", "details": [0, null, null], "next": "R", "output": {"Error": "Rare", "Cause": "because"}}),
    );
    check(error("States.Runtime", 0), json!({"status": "FAILED", "details": null}));
    check(
        task.clone(),
        json!({"status": "CAUGHT_ERROR", "error": "States.Timeout"}),
    );
    let alone = json!({"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "End": true, "Retry": [{"ErrorEquals": ["E"], "MaxAttempts": 1}], "error": "E", "retries": 1});
    check(
        alone,
        json!({"status": "FAILED", "details": [null, 0, null], "error": "E"}),
    );
}

#[test]
fn the_context_object() {
    let task = json!({"Type": "Task", "QueryLanguage": "JSONata", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "Arguments": {"Token": "{% $states.context.Task.Token %}"},
        "Output": "{% $states.context %}", "End": true, "input": [1], "result": {}});
    let (pending, verdict) = attempt(task.clone());
    assert!(pending.unwrap().len() > 40, "a token is made");
    let own: Value = serde_json::from_str(&verdict.output.unwrap()).unwrap();
    assert_eq!(own["Execution"]["Input"], json!([1]));
    assert_eq!(
        own["State"],
        json!({"Name": "S", "EnteredTime": "1970-01-01T00:00:01.000Z", "RetryCount": 0})
    );
    assert_eq!(
        own["Execution"].get("RedriveCount"),
        None,
        "it is a synchronous execution's"
    );
    check(
        with(task.clone(), json!({"context": {"Task": {"Token": "t"}}})),
        json!({"afterArguments": {"Token": "t"}, "output": {"Task": {"Token": "t"}}}),
    );
    let pass = json!({"Type": "Pass", "Parameters": {"c.$": "$$"}, "End": true, "context": {}});
    check(pass, json!({"output": {"c": {}}}));
}

#[test]
fn parallel_states() {
    let branch = |name: &str| json!({"StartAt": name, "States": {name: {"Type": "Pass", "End": true}}});
    let parallel = json!({"Type": "Parallel", "Branches": [branch("A"), branch("B")], "InputPath": "$.a", "ResultPath": "$.r", "Next": "N", "input": {"a": 1}});
    let stages = json!({"pending": "branches", "afterInputPath": null, "afterParameters": null, "result": null, "afterResultSelector": [1, 2], "afterResultPath": {"a": 1, "r": [1, 2]}, "next": "N"});
    check(with(parallel.clone(), json!({"result": [1, 2]})), stages);
    check(
        with(parallel.clone(), json!({"result": [1, 2], "Parameters": {"p.$": "$"}})),
        json!({"afterParameters": {"p": 1}}),
    );
    check(
        with(
            parallel,
            json!({"error": "E", "Catch": [{"ErrorEquals": ["E"], "Next": "C"}]}),
        ),
        json!({"status": "CAUGHT_ERROR", "next": "C"}),
    );
}

fn map(more: Value) -> Value {
    let processor = json!({"StartAt": "I", "States": {"I": {"Type": "Pass", "End": true}}});
    with(json!({"Type": "Map", "ItemProcessor": processor, "End": true}), more)
}

fn distributed(more: Value) -> Value {
    let mut state = map(more);
    state["ItemProcessor"]["ProcessorConfig"] = json!({"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"});
    state
}

#[test]
fn inline_maps() {
    let state = map(
        json!({"ItemsPath": "$.items", "ItemSelector": {"n.$": "$$.Map.Item.Value", "k.$": "$.k"}, "MaxConcurrency": 2, "input": {"items": [7, 8], "k": 0}, "result": [1, 2]}),
    );
    let stages = json!({"pending": "2 iterations", "afterInputPath": {"items": [7, 8], "k": 0}, "afterItemsPath": [7, 8], "afterItemSelector": [{"n": 7, "k": 0}, {"n": 8, "k": 0}],
        "maxConcurrency": 2, "afterResultSelector": [1, 2], "afterResultPath": [1, 2], "result": null, "output": [1, 2], "toleratedFailureCount": null});
    check(state, stages);
    check(
        map(json!({"input": [], "error": "E"})),
        json!({"pending": "0 iterations", "status": "FAILED", "error": "E", "maxConcurrency": 0, "afterItemsPath": []}),
    );
    let unread = json!({"status": "FAILED", "error": "States.Runtime", "cause": "Reference path \"$.a\" must point to array.", "afterInputPath": {"a": 1}, "maxConcurrency": null});
    check(map(json!({"ItemsPath": "$.a", "input": {"a": 1}})), unread);
    check(
        map(json!({"ItemsPath": "$$.a", "context": {"a": 1}})),
        json!({"cause": "Reference path \"$.a\" must point to array."}),
    );
    let selected = map(
        json!({"ItemsPath": "$$.a", "ItemSelector": {"n.$": "$$.Map.Item.Index"}, "context": {"a": [5]}, "result": [1]}),
    );
    check(selected, json!({"afterItemSelector": [{"n": 0}]}));
    let jsonata =
        map(json!({"QueryLanguage": "JSONata", "Items": "{% $states.input.a %}", "input": {"a": [1]}, "result": [5]}));
    check(
        jsonata,
        json!({"afterItemsPath": null, "afterInputPath": null, "maxConcurrency": 0, "output": [5]}),
    );
}

#[test]
fn tolerated_failures() {
    let threshold = "States.ExceedToleratedFailureThreshold";
    let failed = |more: Value, failed: u64| {
        distributed(with(
            more,
            json!({"input": [1, 2, 3, 4], "failed": failed, "result": [1, 2, 3, 4]}),
        ))
    };
    check(
        failed(json!({"ToleratedFailureCount": 1}), 1),
        json!({"status": "SUCCEEDED", "toleratedFailureCount": 1}),
    );
    check(
        failed(json!({"ToleratedFailureCount": 1}), 2),
        json!({"status": "FAILED", "error": threshold, "cause": "The specified tolerated failure threshold was exceeded"}),
    );
    check(
        failed(json!({"ToleratedFailurePercentage": 25}), 1),
        json!({"status": "SUCCEEDED", "toleratedFailurePercentage": 25.0}),
    );
    check(
        failed(json!({"ToleratedFailurePercentage": 25}), 2),
        json!({"status": "FAILED", "error": threshold}),
    );
    check(failed(json!({}), 4), json!({"status": "SUCCEEDED"}));
    check(
        failed(
            json!({"ToleratedFailureCount": 0, "Retry": [{"ErrorEquals": [threshold]}]}),
            1,
        ),
        json!({"status": "RETRIABLE", "details": [null, 0, 1]}),
    );
}

#[test]
fn distributed_maps() {
    check(
        distributed(
            json!({"input": [1, 2, 3], "ItemBatcher": {"MaxItemsPerBatch": 2, "BatchInput": {"b": 1}}, "result": []}),
        ),
        json!({"pending": "2 iterations", "afterItemsPath": [1, 2, 3], "afterItemBatcher": [{"BatchInput": {"b": 1}, "Items": [1, 2]}, {"BatchInput": {"b": 1}, "Items": [3]}]}),
    );
    check(
        distributed(
            json!({"input": ["aaaa", "bbbb", "c"], "ItemBatcher": {"MaxInputBytesPerBatch": 23}, "result": []}),
        ),
        json!({"afterItemBatcher": [{"Items": ["aaaa"]}, {"Items": ["bbbb", "c"]}]}),
    );
    let reader = |config: Value| json!({"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": config, "Parameters": {"Bucket": "b", "Key": "k"}});
    let json = reader(json!({"InputType": "JSON", "ItemsPointer": "/a/b", "MaxItems": 2}));
    check(
        distributed(
            json!({"ItemReader": json, "reader": "{\"a\": {\"b\": [4, 5, 6]}}", "ItemSelector": {"i.$": "$$.Map.Item.Value"}, "result": []}),
        ),
        json!({"pending": "2 iterations", "afterItemsPath": null, "afterItemsPointer": [4, 5], "afterItemSelector": [{"i": 4}, {"i": 5}]}),
    );
    check(
        distributed(json!({"ItemReader": json, "reader": "{}", "result": []})),
        json!({"status": "FAILED", "error": "States.ItemReaderFailed", "maxConcurrency": 0}),
    );
    let source = json!({"i.$": "$$.Map.Item.Key", "s.$": "$$.Map.Item.Source"});
    check(
        distributed(
            json!({"ItemReader": json, "reader": "{\"a\": {\"b\": {\"c\": 4}}}", "ItemSelector": source, "result": []}),
        ),
        json!({"afterItemsPointer": {"c": 4}, "afterItemSelector": [{"i": "c", "s": "S3://b/k"}]}),
    );
    check(
        distributed(json!({"input": {"a": 1}, "result": []})),
        json!({"pending": "1 iterations", "afterItemsPath": {"a": 1}}),
    );
    check(
        distributed(json!({"ItemReader": json, "result": [1]})),
        json!({"pending": "iterations", "output": [1]}),
    );
    check(
        distributed(
            json!({"ItemReader": reader(json!({"InputType": "JSONL"})), "reader": "1\n\n2\n", "result": [1, 2]}),
        ),
        json!({"pending": "2 iterations", "afterItemsPointer": null}),
    );
    let csv = reader(json!({"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW", "CSVDelimiter": "PIPE"}));
    check(
        distributed(
            json!({"ItemReader": csv, "reader": "a|b\n1|x\n", "ItemSelector": {"i.$": "$$.Map.Item.Value"}, "result": []}),
        ),
        json!({"afterItemSelector": [{"i": {"a": "1", "b": "x"}}]}),
    );
    let writer = json!({"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b", "Prefix": "p"}});
    check(
        distributed(json!({"input": [1], "ResultWriter": writer, "result": {"MapRunArn": "m"}})),
        json!({"pending": "1 iterations", "output": {"MapRunArn": "m"}}),
    );
}

#[test]
fn small_inputs_make_no_large_answers() {
    let items: Vec<u8> = vec![1; 1_000];
    let input = json!({"items": items, "long": "x".repeat(10_000)});
    let selecting = json!({"ItemsPath": "$.items", "ItemSelector": {"all.$": "$"}, "input": input, "result": []});
    for state in [map(selecting.clone()), distributed(selecting)] {
        check(
            state,
            json!({"status": "FAILED", "error": "States.DataLimitExceeded", "afterItemSelector": null}),
        );
    }
    let batched = distributed(
        json!({"ItemsPath": "$.items", "ItemBatcher": {"MaxItemsPerBatch": 1, "BatchInput": {"all.$": "$"}}, "input": input, "result": []}),
    );
    check(
        batched,
        json!({"status": "FAILED", "error": "States.DataLimitExceeded"}),
    );
    let header = "h".repeat(1_000);
    let reader = json!({"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"}});
    let rows = distributed(json!({"ItemReader": reader, "reader": header + &"\n1".repeat(1_000), "result": []}));
    check(rows, json!({"status": "FAILED", "error": "States.ItemReaderFailed"}));
}

#[test]
fn a_state_is_found_at_any_depth() {
    let inner = map(
        json!({"ItemProcessor": {"StartAt": "Deep", "States": {"Deep": {"Type": "Pass", "Next": "Last"}, "Last": {"Type": "Succeed"}}}}),
    );
    let definition = json!({"StartAt": "P", "States": {"P": {"Type": "Parallel", "Branches": [{"StartAt": "M", "States": {"M": inner}}], "End": true}}});
    let machine = Arc::new(Machine::parse(&definition.to_string()).unwrap());
    assert_eq!(machine.state("Deep").map(|state| state.type_name), Some("Pass"));
    assert_eq!(
        machine.state("P").map(|state| state.result),
        Some(ResultForm::Branches(1))
    );
    assert_eq!(machine.state("Nowhere"), None);
    assert!(
        machine.contains_state("P", "Last")
            && machine.contains_state("M", "Deep")
            && !machine.contains_state("Deep", "M")
    );
    let start = TrialStart {
        start: Start::of("5", NOW).unwrap(),
        variables: Map::new(),
        context: None,
        retries: 0,
        failed_iterations: 0,
        reader_data: None,
    };
    assert!(Trial::begin(&machine, "Nowhere", start.clone()).is_none());
    let Some(Begun::Ended(verdict)) = Trial::begin(&machine, "Deep", start) else {
        panic!("a Pass state ends by itself");
    };
    assert_eq!(verdict.next_state.as_deref(), Some("Last"));
}

#[test]
fn problems_of_a_single_state_stand_as_in_a_machine() {
    let check = |state: &str, expect: &str| {
        let problems = Machine::parse_state(state, "StateName").unwrap_err();
        assert_eq!(problems[0].to_string(), expect, "{state}");
    };
    check(
        r#"{"Type": "Pass"}"#,
        "SCHEMA_VALIDATION_FAILED: The state must have either 'Next' or 'End': true at /States/StateName",
    );
    check(
        r#"{"Type": "Parallel", "Branches": [], "End": true}"#,
        "SCHEMA_VALIDATION_FAILED: Value cannot be empty at /States/StateName/Branches",
    );
    check(
        r#"{"End": true}"#,
        "SCHEMA_VALIDATION_FAILED: These fields are required: [Type] at /States/StateName",
    );
    check(
        "[]",
        "SCHEMA_VALIDATION_FAILED: Definition must be a valid JSON object at null",
    );
    check(
        r#"{"Type": "Succeed", "Type": "Succeed"}"#,
        "SCHEMA_VALIDATION_FAILED: Duplicate field at /States/StateName/Type",
    );
}
