//! Data flow through the states that need nothing from outside.

use scones_asl::{Execution, Start, Timestamp};
use serde_json::{Value, json};

use crate::harness::{World, check, check_state, single, unreachable_removed};

#[test]
fn pass_moves_json_around() {
    let pass = |fields: Value| {
        let mut state = json!({"Type": "Pass"});
        state
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        state
    };
    check_state(pass(json!({})), "{ \"a\": 5 }", "{ \"a\": 5 }");
    check_state(pass(json!({"Result": {"b": 1}})), "{}", "{\"b\":1}");
    check_state(
        pass(json!({"Result": 1, "ResultPath": "$.x.y"})),
        "{\"a\":5}",
        "{\"a\":5,\"x\":{\"y\":1}}",
    );
    check_state(pass(json!({"Result": 1, "ResultPath": null})), "{\"a\":5}", "{\"a\":5}");
    check_state(pass(json!({"InputPath": "$.a"})), "{\"a\":[1,2]}", "[1,2]");
    check_state(pass(json!({"InputPath": null})), "{\"a\":1}", "{}");
    check_state(pass(json!({"OutputPath": "$.a"})), "{\"a\":1.50}", "1.50");
    check_state(pass(json!({"OutputPath": null})), "{\"a\":1}", "{}");
    check_state(
        pass(json!({"Parameters": {"v.$": "$.a[*].b", "c": [{"d.$": "$.e"}]}})),
        "{\"a\":[{\"b\":1}],\"e\":2}",
        "{\"v\":[1],\"c\":[{\"d\":2}]}",
    );
    check_state(pass(json!({"Parameters": {"v.$": "$.gone[*].x"}})), "{}", "{\"v\":[]}");
    check_state(
        pass(json!({"OutputPath": "$.n"})),
        "{\"n\":12345678901234567890123}",
        "12345678901234567890123",
    );
}

#[test]
fn pass_fails_with_the_texts_of_aws() {
    let at = "An error occurred while executing the state 'S' (entered at the event id #2).";
    let check = |fields: Value, input: &str, expect: String| {
        let mut state = json!({"Type": "Pass"});
        state
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        check_state(state, input, &expect);
    };
    check(
        json!({"InputPath": "$.a"}),
        "{}",
        format!("States.Runtime: {at} Invalid path '$.a' : No results for path: $['a']"),
    );
    check(
        json!({"OutputPath": "$.a.b"}),
        "{}",
        format!("States.Runtime: {at} Invalid path '$.a.b' : Missing property in path $['a']"),
    );
    check(
        json!({"Parameters": {"x.$": "$.a"}}),
        "{\"b\":1}",
        format!(
            "States.Runtime: {at} The JSONPath '$.a' specified for the field 'x.$' could not be found in the input '{{\"b\":1}}'"
        ),
    );
    let large = "x".repeat(262_144);
    check(json!({"Result": large}), "{}", "States.DataLimitExceeded: The state/task 'S' returned a result with a size exceeding the maximum number of bytes service limit.".into());
}

#[test]
fn choice_takes_the_first_rule_that_holds() {
    let check = |rule: Value, input: &str, expect: &str| {
        let mut rule = rule;
        rule["Next"] = json!("Yes");
        let definition = json!({"StartAt": "C", "States": {
            "C": {"Type": "Choice", "Choices": [rule], "Default": "No"},
            "Yes": {"Type": "Pass", "Result": "yes", "End": true},
            "No": {"Type": "Pass", "Result": "no", "End": true}}});
        check(&definition, input, &format!("\"{expect}\""));
    };
    let variable = |operator: &str, value: Value| json!({"Variable": "$.v", operator: value});
    check(variable("NumericEquals", json!(5)), "{\"v\":5.0}", "yes");
    check(variable("NumericGreaterThan", json!(5)), "{\"v\":\"6\"}", "no");
    check(variable("StringLessThanEquals", json!("b")), "{\"v\":\"b\"}", "yes");
    check(variable("StringMatches", json!("a*\\*")), "{\"v\":\"abc*\"}", "yes");
    check(variable("BooleanEquals", json!(true)), "{\"v\":true}", "yes");
    check(
        variable("TimestampLessThan", json!("2026-01-01T00:00:00Z")),
        "{\"v\":\"2026-01-01T00:30:00+01:00\"}",
        "yes",
    );
    check(
        variable("TimestampEquals", json!("2026-01-01T00:00:00Z")),
        "{\"v\":\"soon\"}",
        "no",
    );
    check(variable("NumericEqualsPath", json!("$.w")), "{\"v\":1,\"w\":1}", "yes");
    check(variable("IsPresent", json!(false)), "{}", "yes");
    check(variable("IsNull", json!(true)), "{\"v\":null}", "yes");
    check(variable("IsNumeric", json!(false)), "{\"v\":\"1\"}", "yes");
    check(
        variable("IsTimestamp", json!(true)),
        "{\"v\":\"2026-01-01T00:00:00Z\"}",
        "yes",
    );
    check(json!({"Not": variable("IsString", json!(true))}), "{\"v\":1}", "yes");
    check(
        json!({"And": [variable("IsPresent", json!(true)), variable("NumericEquals", json!(1))]}),
        "{}",
        "no",
    );
    check(
        json!({"Or": [variable("IsPresent", json!(false)), variable("NumericEquals", json!(1))]}),
        "{}",
        "yes",
    );
}

#[test]
fn choice_without_a_way_out_fails() {
    let state = |rule: Value| {
        json!({"StartAt": "C", "States": {
        "C": {"Type": "Choice", "Choices": [rule]}, "D": {"Type": "Succeed"}}})
    };
    let at = "An error occurred while executing the state 'C' (entered at the event id #2).";
    check(
        &state(json!({"Variable": "$.v", "NumericEquals": 1, "Next": "D"})),
        "{\"v\":2}",
        &format!(
            "States.NoChoiceMatched: {at} Failed to transition out of the state. The state does not point to a next state."
        ),
    );
    check(
        &state(json!({"Variable": "$.v", "NumericEquals": 1, "Next": "D"})),
        "{}",
        &format!(
            "States.Runtime: {at} Invalid path '$.v': The choice state's condition path references an invalid value."
        ),
    );
}

#[test]
fn wait_sets_one_timer() {
    let due = |fields: Value, input: &str| {
        let mut state = json!({"Type": "Wait"});
        state
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        let mut world = World::start(&unreachable_removed(single(state)), input);
        let due = world.timers.first().map(|(due, _)| due.0);
        world.run(|_| unreachable!());
        (due, world.result())
    };
    let done = |due: i64| (Some(due), "{\"t\":3}".to_owned());
    assert_eq!(due(json!({"Seconds": 60}), "{\"t\":3}"), done(60_000));
    assert_eq!(due(json!({"SecondsPath": "$.t"}), "{\"t\":3}"), done(3000));
    assert_eq!(
        due(json!({"Timestamp": "1970-01-01T00:00:09.5Z"}), "{\"t\":3}"),
        done(9500)
    );
    assert_eq!(due(json!({"Seconds": 0}), "{}"), (None, "{}".to_owned()));
    assert_eq!(
        due(json!({"Timestamp": "1969-01-01T00:00:00Z"}), "{}"),
        (None, "{}".to_owned())
    );
    let at = "An error occurred while executing the state 'S' (entered at the event id #2).";
    let fails = |what: &str| (None, format!("States.Runtime: {at} {what}"));
    assert_eq!(
        due(json!({"SecondsPath": "$.t"}), "{}"),
        fails("The SecondsPath parameter does not reference an input value: $.t")
    );
    assert_eq!(
        due(json!({"SecondsPath": "$.t"}), "{\"t\":-2}"),
        fails("The SecondsPath parameter references a negative value: $.t == -2")
    );
    assert_eq!(
        due(json!({"SecondsPath": "$.t"}), "{\"t\":\"x\"}"),
        fails("The SecondsPath parameter cannot be parsed as a long value: $.t == x")
    );
    assert_eq!(
        due(json!({"TimestampPath": "$.t"}), "{\"t\":\"noon\"}"),
        fails(
            "The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time format string: $.t == noon"
        )
    );
}

#[test]
fn fail_ends_with_its_error() {
    check_state(json!({"Type": "Fail", "Error": "E", "Cause": "C"}), "{}", "E: C");
    check_state(json!({"Type": "Fail"}), "{}", "-: -");
    check_state(
        json!({"Type": "Fail", "ErrorPath": "$.e", "CausePath": "States.Format('{}!', $.c)"}),
        "{\"e\":\"E\",\"c\":1}",
        "E: 1!",
    );
}

#[test]
fn variables_live_as_long_as_their_workflow() {
    let definition = json!({"StartAt": "A", "States": {
        "A": {"Type": "Pass", "Assign": {"x": 1, "y.$": "$.n"}, "Next": "B"},
        "B": {"Type": "Pass", "Assign": {"x.$": "$y", "y.$": "$x"}, "Next": "C"},
        "C": {"Type": "Pass", "Parameters": {"x.$": "$x", "y.$": "$y", "sum.$": "States.MathAdd($x, $y)"}, "End": true}}});
    check(&definition, "{\"n\":7}", "{\"x\":7,\"y\":1,\"sum\":8}");
}

#[test]
fn the_context_object_says_where_it_is() {
    let state = json!({"Type": "Pass", "Parameters": {
        "name.$": "$$.State.Name", "at.$": "$$.State.EnteredTime", "input.$": "$$.Execution.Input.a", "machine.$": "$$.StateMachine.Name"}});
    check_state(
        state,
        "{\"a\":1}",
        "{\"name\":\"S\",\"at\":\"1970-01-01T00:00:00.000Z\",\"input\":1,\"machine\":\"local\"}",
    );
}

#[test]
fn the_context_of_a_synchronous_execution_counts_no_redrives() {
    let definition =
        json!({"StartAt": "S", "States": {"S": {"Type": "Pass", "Parameters": {"n.$": "$$.Execution"}, "End": true}}});
    let has_count = |synchronous: bool| {
        let start = Start {
            synchronous,
            ..Start::of("{}", Timestamp(0)).unwrap()
        };
        let (_, step) = Execution::start(crate::harness::machine(&definition), start);
        format!("{:?}", step.effects).contains("RedriveCount")
    };
    assert!(has_count(false) && !has_count(true));
}

#[test]
fn a_loop_ends_at_the_limit_of_the_history() {
    let definition = json!({"StartAt": "A", "States": {
        "A": {"Type": "Pass", "Next": "C"},
        "C": {"Type": "Choice", "Choices": [{"Variable": "$.stop", "BooleanEquals": true, "Next": "D"}], "Default": "A"},
        "D": {"Type": "Succeed"}}});
    let mut world = World::start(&definition, "{\"stop\":false}");
    world.run(|_| unreachable!());
    assert_eq!(world.events.len(), 25_000);
    assert_eq!(world.events.last().unwrap().kind.type_name(), "ExecutionFailed");
}
