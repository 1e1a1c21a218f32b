//! The edges of the language: limits, jitter, scopes inside scopes.

use std::fmt::Write as _;

use scones_asl::{Input, Machine};
use serde_json::{Value, json};

use crate::harness::{Answer, World, check, check_state, check_tasks, machine, single, unreachable_removed};

const FUNCTION: &str = "arn:aws:lambda:us-east-1:1:function:f";
const KIBIBYTE: usize = 1_024;

/// A text whose JSON has so many bytes, its quotes included.
fn text(bytes: usize) -> Value {
    Value::String("x".repeat(bytes - 2))
}

fn too_large(state: &str) -> String {
    format!(
        "States.DataLimitExceeded: The state/task '{state}' returned a result with a size exceeding the maximum number of bytes service limit."
    )
}

/// The milliseconds before each attempt of a task that always fails.
fn delays(retrier: Value) -> Vec<i64> {
    let state = json!({"Type": "Task", "Resource": FUNCTION, "Retry": [retrier]});
    let mut world = World::start(&unreachable_removed(single(state)), "{}");
    let mut times = Vec::new();
    while world.outcome.is_none() {
        if let Some(call) = world.calls.pop() {
            times.push(world.now.0);
            world.apply(Input::TaskFailed {
                task: call.task,
                error: Some("E".into()),
                cause: None,
            });
        } else {
            assert!(world.tick());
        }
    }
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn delays_grow_to_their_limit() {
    let retrier = |more: Value| {
        let mut retrier = json!({"ErrorEquals": ["States.ALL"], "MaxAttempts": 6});
        retrier
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        retrier
    };
    assert_eq!(
        delays(retrier(
            json!({"IntervalSeconds": 3, "BackoffRate": 2, "MaxDelaySeconds": 10})
        )),
        [3_000, 6_000, 10_000, 10_000, 10_000, 10_000]
    );
    // The limit is below the first interval.
    assert_eq!(
        delays(retrier(json!({"IntervalSeconds": 30, "MaxDelaySeconds": 10}))),
        [10_000; 6]
    );
    assert_eq!(delays(retrier(json!({"BackoffRate": 1.0}))), [1_000; 6]);
    assert_eq!(
        delays(retrier(
            json!({"IntervalSeconds": 2, "BackoffRate": 1.5, "JitterStrategy": "NONE"})
        )),
        [2_000, 3_000, 4_500, 6_750, 10_125, 15_188]
    );
    // A year is the longest delay of all.
    let years = delays(retrier(
        json!({"IntervalSeconds": 99_999_999, "BackoffRate": 1e30, "MaxDelaySeconds": 31_622_400}),
    ));
    assert_eq!(years, [31_622_400_000; 6]);
}

#[test]
fn jitter_takes_a_part_of_the_delay_that_would_be() {
    let retrier = json!({"ErrorEquals": ["E"], "MaxAttempts": 60, "IntervalSeconds": 10, "BackoffRate": 2,
        "MaxDelaySeconds": 100, "JitterStrategy": "FULL"});
    let jittered = delays(retrier.clone());
    let most: Vec<i64> = (0..60)
        .map(|attempt| if attempt < 4 { 10_000 << attempt } else { 100_000 })
        .collect();
    assert!(
        jittered
            .iter()
            .zip(&most)
            .all(|(delay, most)| (0..=*most).contains(delay)),
        "{jittered:?}"
    );
    // Both halves are used, and no two delays are the same by rule.
    let (low, high) = jittered[4..].iter().partition::<Vec<i64>, _>(|delay| **delay < 50_000);
    assert!(low.len() > 10 && high.len() > 10, "{jittered:?}");
    assert_eq!(jittered, delays(retrier));
}

#[test]
fn every_retrier_counts_for_itself_and_starts_anew_with_its_state() {
    let retry = json!([{"ErrorEquals": ["A"], "MaxAttempts": 1}, {"ErrorEquals": ["States.ALL"], "MaxAttempts": 2}]);
    let definition = json!({"StartAt": "T", "States": {
        "T": {"Type": "Task", "Resource": FUNCTION, "Retry": retry, "ResultPath": null, "Next": "U"},
        "U": {"Type": "Choice", "Choices": [{"Variable": "$.again", "BooleanEquals": true, "Next": "V"}], "Default": "W"},
        "V": {"Type": "Pass", "Result": false, "ResultPath": "$.again", "Next": "T"},
        "W": {"Type": "Succeed"}}});
    let run = |errors: &[Option<&'static str>]| {
        let mut errors = errors.iter();
        let mut calls = 0;
        let mut world = World::start(&definition, "{\"again\":true}");
        world.run(|_| {
            calls += 1;
            match errors.next() {
                Some(Some(error)) => Answer::Fails(error),
                _ => Answer::Succeeds(json!(1)),
            }
        });
        (world.result(), calls)
    };
    let done = "{\"again\":false}".to_owned();
    assert_eq!(
        run(&[Some("A"), Some("B"), Some("B"), None, Some("A"), None]),
        (done.clone(), 6)
    );
    assert_eq!(run(&[Some("A"), Some("A")]), ("A: because".to_owned(), 2));
    assert_eq!(run(&[Some("B"), Some("A"), Some("B"), Some("B")]).0, "B: because");
}

#[test]
fn payloads_end_at_256_kibibytes() {
    let limit = 256 * KIBIBYTE;
    let echo = |bytes: usize, expect: &str| {
        check_tasks(
            &unreachable_removed(single(json!({"Type": "Task", "Resource": FUNCTION}))),
            "{}",
            |_| Answer::Succeeds(text(bytes)),
            expect,
        );
    };
    echo(limit, &text(limit).to_string());
    echo(limit + 1, &too_large(FUNCTION));
    // Bytes, not characters.
    let state = json!({"Type": "Pass", "Parameters": {"a.$": "States.Format('{}{}', $, $)"}});
    check_state(state, &Value::from("é".repeat(limit / 4)).to_string(), &too_large("S"));
    // Every way out of a state is measured.
    let doubled = json!({"a.$": "$.a", "b.$": "$.a"});
    let half = json!({"a": text(limit / 2)}).to_string();
    check_state(json!({"Type": "Pass", "Parameters": doubled}), &half, &too_large("S"));
    let jsonata = json!({"Type": "Choice", "QueryLanguage": "JSONata", "Choices": [
        {"Condition": true, "Next": "Caught", "Output": "{% [$states.input, $states.input] %}"}]});
    check(&single(jsonata), &half, &too_large("S"));
    let caught = json!({"Type": "Task", "Resource": FUNCTION,
        "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Caught"}]});
    let nearly = json!({"a": text(limit - 20)}).to_string();
    check_tasks(&single(caught), &nearly, |_| Answer::Fails("E"), &too_large("S"));
    let merged = json!({"Type": "Parallel", "Branches": [
        {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true}}},
        {"StartAt": "B", "States": {"B": {"Type": "Pass", "End": true}}}]});
    check_state(merged, &half, &too_large("S"));
}

#[test]
fn variables_end_at_256_kibibytes_an_assign_and_10_mebibytes_in_all() {
    let assign =
        |bytes: usize| json!({"Type": "Pass", "Assign": {"a.$": "$", "b": "y".repeat(bytes)}, "ResultPath": null});
    let input = text(128 * KIBIBYTE).to_string();
    check_state(assign(128 * KIBIBYTE - 2), &input, &input);
    check_state(assign(128 * KIBIBYTE - 1), &input, &too_large("S"));

    let many = |count: usize| {
        let mut states = serde_json::Map::new();
        for index in 0..count {
            let assign: Value = [(format!("v{index}.$"), json!("$"))].into_iter().collect();
            states.insert(
                format!("S{index}"),
                json!({"Type": "Pass", "Assign": assign, "Next": format!("S{}", index + 1)}),
            );
        }
        states.insert(format!("S{count}"), json!({"Type": "Pass", "Result": 1, "End": true}));
        json!({"StartAt": "S0", "States": states})
    };
    let input = text(256 * KIBIBYTE).to_string();
    check(&many(40), &input, "1");
    check(&many(41), &input, &too_large("S40"));
    // A variable that is set again takes no more room.
    let again = json!({"StartAt": "A", "States": {
        "A": {"Type": "Pass", "Assign": {"v.$": "$", "n": 0}, "Next": "B"},
        "B": {"Type": "Pass", "Assign": {"v.$": "$"}, "Next": "C"},
        "C": {"Type": "Pass", "Assign": {"n.$": "States.MathAdd($n, 1)"}, "Next": "D"},
        "D": {"Type": "Choice", "Choices": [{"Variable": "$n", "NumericLessThan": 60, "Next": "B"}], "Default": "E"},
        "E": {"Type": "Pass", "Parameters": {"n.$": "$n"}, "End": true}}});
    check(&again, &text(255 * KIBIBYTE).to_string(), "{\"n\":60}");
}

#[test]
fn the_history_ends_at_25_000_events_wherever_it_is() {
    let looping = |inner: Value| json!({"StartAt": "S", "States": {"S": inner}});
    let circle = json!({"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Choice", "Default": "A",
        "Choices": [{"Variable": "$.stop", "IsPresent": true, "Next": "C"}]}, "C": {"Type": "Succeed"}});
    let branch = json!({"StartAt": "A", "States": circle});
    for definition in [
        looping(json!({"Type": "Parallel", "Branches": [branch], "End": true})),
        looping(json!({"Type": "Map", "ItemProcessor": branch, "End": true,
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "S"}]})),
    ] {
        let mut world = World::start(&definition, "[{}]");
        world.run(|_| unreachable!());
        assert_eq!(
            world.result(),
            "States.Runtime: The execution reached the maximum number of history events (25000)."
        );
        assert_eq!(world.events.len(), 25_000);
        let ids: Vec<u64> = world.events.iter().map(|event| event.id).collect();
        assert!(ids.iter().copied().eq(1..=25_000));
        assert_eq!(world.events[24_999].kind.type_name(), "ExecutionFailed");
    }
}

#[test]
fn a_parallel_in_a_map_has_scopes_of_its_own() {
    // Each iteration and each branch works on a copy of what it sees.
    let branch = |name: &str, more: i64| {
        json!({"StartAt": name, "States": {
            name: {"Type": "Pass", "Assign": {"mine.$": format!("States.MathAdd($item, {more})")}, "Next": format!("{name}2")},
            format!("{name}2"): {"Type": "Pass", "Assign": {"mine.$": "States.MathAdd($mine, $outer)"}, "Next": format!("{name}3")},
            format!("{name}3"): {"Type": "Pass", "Parameters": {"v.$": "$mine"}, "OutputPath": "$.v", "End": true}}})
    };
    let definition = json!({"StartAt": "A", "States": {
        "A": {"Type": "Pass", "Assign": {"outer": 100}, "Next": "M"},
        "M": {"Type": "Map", "Next": "Z", "ItemProcessor": {"StartAt": "I", "States": {
            "I": {"Type": "Pass", "Assign": {"item.$": "$"}, "Next": "P"},
            "P": {"Type": "Parallel", "Branches": [branch("L", 10), branch("R", 20)],
                "Assign": {"both.$": "$"}, "Next": "Q"},
            "Q": {"Type": "Pass", "Parameters": {"both.$": "$both", "item.$": "$item"}, "End": true}}}},
        "Z": {"Type": "Pass", "Parameters": {"r.$": "$", "outer.$": "$outer"}, "End": true}}});
    check(
        &definition,
        "[1,2]",
        "{\"r\":[{\"both\":[111,121],\"item\":1},{\"both\":[112,122],\"item\":2}],\"outer\":100}",
    );
    let refused = |definition: Value, expect: &str| {
        let problems = Machine::parse(&definition.to_string()).unwrap_err();
        assert_eq!(problems[0].to_string(), expect);
    };
    let inner = json!({"StartAt": "P", "States": {"P": {"Type": "Parallel", "End": true, "Branches": [
        {"StartAt": "B", "States": {"B": {"Type": "Pass", "Assign": {"outer": 1}, "End": true}}}]}}});
    refused(
        json!({"StartAt": "A", "States": {
            "A": {"Type": "Pass", "Assign": {"outer": 1}, "Next": "M"},
            "M": {"Type": "Map", "ItemProcessor": inner, "End": true}}}),
        "SCHEMA_VALIDATION_FAILED: The variable 'outer' is already defined in an outer scope at /States/M/ItemProcessor/States/P/Branches[0]/States/B",
    );
    // What an iteration has assigned is gone after it.
    let gone = json!({"StartAt": "M", "States": {
        "M": {"Type": "Map", "Next": "Z", "ItemProcessor": {"StartAt": "I", "States": {
            "I": {"Type": "Pass", "Assign": {"item.$": "$"}, "End": true}}}},
        "Z": {"Type": "Pass", "Parameters": {"item.$": "$item"}, "End": true}}});
    let mut world = World::start(&gone, "[1]");
    world.run(|_| unreachable!());
    assert!(world.result().starts_with("States.Runtime: "), "{}", world.result());
}

#[test]
fn a_field_has_ten_intrinsic_calls_at_most() {
    let nested = |depth: usize| {
        let mut call = String::new();
        (0..depth).for_each(|_| call.push_str("States.MathAdd(1, "));
        call.push('0');
        call.push_str(&")".repeat(depth));
        call
    };
    let beside = |count: usize| {
        let mut call = "States.Array(".to_owned();
        for index in 1..count {
            let _ = write!(call, "{}States.UUID()", if index > 1 { ", " } else { "" });
        }
        call.push(')');
        call
    };
    let accepted = |call: String| {
        let state = json!({"Type": "Pass", "Parameters": {"v.$": call}, "End": true});
        Machine::parse(&json!({"StartAt": "S", "States": {"S": state}}).to_string()).is_ok()
    };
    assert!(accepted(nested(10)) && accepted(beside(10)));
    assert!(!accepted(nested(11)) && !accepted(beside(11)));
}

#[test]
fn intrinsics_end_where_aws_ends_them() {
    let call = |call: &str, input: &Value, expect: &str| {
        let state = json!({"Type": "Pass", "Parameters": {"v.$": call}, "OutputPath": "$.v"});
        let refused = format!(
            "States.IntrinsicFailure: An error occurred while executing the state 'S' (entered at the event id #2). \
             The function '{call}' had the following error: {expect}"
        );
        let mut world = World::start(&unreachable_removed(single(state)), &input.to_string());
        world.run(|_| unreachable!());
        let actual = world.result();
        assert!(actual == expect || actual == refused, "{call}: {actual}");
    };
    let long = Value::String("a".repeat(10_000));
    let longer = Value::String("a".repeat(10_001));
    let too_long = "the text may have 10000 characters at most";
    call("States.ArrayLength(States.Array(States.Base64Encode($)))", &long, "1");
    call("States.Base64Encode($)", &longer, too_long);
    call("States.Base64Decode($)", &longer, too_long);
    call("States.Hash($, 'SHA-256')", &longer, too_long);
    call("States.Base64Decode('a')", &json!({}), "Invalid input length: 1");
    call("States.ArrayLength(States.ArrayRange(1, 1000, 1))", &json!({}), "1000");
    call(
        "States.ArrayRange(1, 1001, 1)",
        &json!({}),
        "the range may have 1000 elements at most",
    );
    call("States.ArrayRange(0.5, 2.4, 1)", &json!({}), "[1,2]");
    call("States.ArrayRange(2, 1, 1)", &json!({}), "[]");
    call(
        "States.ArrayRange(1, 'x', 1)",
        &json!({}),
        "expected a number but was \"x\"",
    );
    call("States.ArrayPartition($, 1.6)", &json!([1, 2, 3]), "[[1,2],[3]]");
    call(
        "States.ArrayPartition($, 0)",
        &json!([1]),
        "the chunk size must be a positive integer",
    );
    call(
        "States.ArrayPartition($, -1)",
        &json!([1]),
        "the chunk size must be a positive integer",
    );
    call("States.ArrayPartition($, 4)", &json!([]), "[]");
    call("States.ArrayContains($, 1)", &json!({}), "expected an array but was {}");
    call(
        "States.ArrayContains($.a, $.b)",
        &json!({"a": [{"x": 1}], "b": {"x": 1.0}}),
        "true",
    );
    call(
        "States.ArrayGetItem($, -1)",
        &json!([1]),
        "index -1 is outside the array of 1 elements",
    );
    call("States.ArrayUnique('a')", &json!({}), "expected an array but was \"a\"");
    call("States.MathAdd(2147483647, 0)", &json!({}), "2147483647");
    call("States.MathAdd(2147483647, 2147483647)", &json!({}), "4294967294");
    call(
        "States.MathAdd(2147483648, 0)",
        &json!({}),
        "2147483648 is not between -2147483648 and 2147483647",
    );
    call("States.MathAdd(1.5, -1.5)", &json!({}), "1");
    call("States.MathAdd('1', 1)", &json!({}), "expected a number but was \"1\"");
    call("States.MathRandom(5, 5)", &json!({}), "the start must be below the end");
    call("States.MathRandom(7, 8)", &json!({}), "7");
    call("States.StringSplit(1, ',')", &json!({}), "expected a text but was 1");
    call("States.StringSplit('', ',')", &json!({}), "[]");
    call("States.JsonMerge($, 1, false)", &json!({}), "expected two objects");
    call(
        "States.StringToJson('[1')",
        &json!({}),
        "EOF while parsing a list at line 1 column 2",
    );
    call(
        "States.Format('{} {}', 1)",
        &json!({}),
        "the number of '{}' in '{} {}' is not the number of arguments, 1",
    );
    call(
        "States.Format('{}', 1, 2)",
        &json!({}),
        "the number of '{}' in '{}' is not the number of arguments, 2",
    );
    call("States.Format('\\\\{}\\{\\}\\'', null)", &json!({}), "\"\\\\null{}'\"");
    call("States.Format('{', 1)", &json!({}), "a brace must be escaped");
    call("States.Array()", &json!({}), "[]");
}

#[test]
fn a_definition_is_read_once_for_any_number_of_executions() {
    let shared = machine(&single(json!({"Type": "Pass", "Next": "Caught"})));
    for number in 0..3 {
        let start = scones_asl::Start::of(&number.to_string(), scones_asl::Timestamp(0)).unwrap();
        let (execution, _) = scones_asl::Execution::start(std::sync::Arc::clone(&shared), start);
        assert_eq!(execution.status(), scones_asl::Status::Succeeded);
    }
}
