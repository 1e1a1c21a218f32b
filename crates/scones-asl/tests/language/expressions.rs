//! Intrinsic functions, paths and JSONata expressions.

use scones_asl::Path;
use serde_json::{Value, json};

use crate::harness::{Answer, check, check_state, check_tasks, single, unreachable_removed};

/// Evaluates one intrinsic call over an input.
fn intrinsic(call: &str, input: &str, expect: &str) {
    let state = json!({"Type": "Pass", "Parameters": {"v.$": call}, "OutputPath": "$.v"});
    check_state(state, input, expect);
}

#[test]
fn intrinsics_over_arrays() {
    intrinsic("States.Array(1, 'a', $.x, null)", "{\"x\":[2]}", "[1,\"a\",[2],null]");
    intrinsic("States.ArrayPartition($, 2)", "[1,2,3]", "[[1,2],[3]]");
    intrinsic("States.ArrayContains($, 2)", "[1,2.0]", "true");
    intrinsic("States.ArrayRange(1, 9, 2)", "{}", "[1,3,5,7,9]");
    intrinsic("States.ArrayRange(3, 1, -1)", "{}", "[3,2,1]");
    intrinsic(
        "States.ArrayRange(-9223372036854775807, 9223372036854775807, 9223372036854775807)",
        "{}",
        "[-9223372036854775807,0,9223372036854775807]",
    );
    intrinsic("States.ArrayGetItem($, 1)", "[1,2]", "2");
    intrinsic("States.ArrayLength($[*].a)", "[{\"a\":1},{\"b\":1}]", "1");
    intrinsic(
        "States.ArrayUnique($)",
        "[1,\"1\",1,{\"a\":1},{\"a\":1}]",
        "[1,\"1\",{\"a\":1}]",
    );
}

#[test]
fn intrinsics_over_texts() {
    intrinsic(
        "States.Format('{} and \\{{}\\}, it\\'s', $.a, 1)",
        "{\"a\":\"x\"}",
        "\"x and {1}, it's\"",
    );
    intrinsic("States.Format($.t, 1)", "{\"t\":\"<{}>\"}", "\"<1>\"");
    intrinsic("States.StringSplit('a.b+c', '.+')", "{}", "[\"a\",\"b\",\"c\"]");
    intrinsic("States.StringToJson($.t)", "{\"t\":\"{\\\"a\\\":1}\"}", "{\"a\":1}");
    intrinsic("States.JsonToString($)", "{\"a\": 1}", "\"{\\\"a\\\":1}\"");
    intrinsic(
        "States.JsonMerge($.a, $.b, false)",
        "{\"a\":{\"x\":1,\"y\":1},\"b\":{\"y\":2}}",
        "{\"x\":1,\"y\":2}",
    );
    intrinsic("States.Base64Encode('Grüße')", "{}", "\"R3LDvMOfZQ==\"");
    intrinsic("States.Base64Decode('R3LDvMOfZQ==')", "{}", "\"Grüße\"");
    intrinsic(
        "States.Hash('abc', 'MD5')",
        "{}",
        "\"900150983cd24fb0d6963f7d28e17f72\"",
    );
    intrinsic(
        "States.Hash('abc', 'SHA-1')",
        "{}",
        "\"a9993e364706816aba3e25717850c26c9cd0d89d\"",
    );
    intrinsic("States.MathAdd($.n, -3)", "{\"n\":10}", "7");
    intrinsic(
        "States.ArrayLength(States.StringSplit(States.Format('{},{}', 1, 2), ','))",
        "{}",
        "2",
    );
}

#[test]
fn intrinsics_that_draw_are_repeatable() {
    for call in [
        "States.UUID()",
        "States.MathRandom(1, 1000000)",
        "States.MathRandom(1, 1000000, 7)",
    ] {
        let run = || {
            let state = json!({"Type": "Pass", "Parameters": {"v.$": call}});
            let mut world = crate::harness::World::start(&unreachable_removed(single(state)), "{}");
            world.run(|_| unreachable!());
            world.result()
        };
        assert_eq!(run(), run(), "{call}");
    }
}

#[test]
fn intrinsics_refuse_what_they_cannot_do() {
    let check = |call: &str, input: &str, problem: &str| {
        let at = "An error occurred while executing the state 'S' (entered at the event id #2).";
        let expect = format!("States.IntrinsicFailure: {at} The function '{call}' had the following error: {problem}");
        intrinsic(call, input, &expect);
    };
    check(
        "States.ArrayGetItem($, 5)",
        "[1]",
        "index 5 is outside the array of 1 elements",
    );
    check(
        "States.ArrayRange(1, 2000, 1)",
        "{}",
        "the range may have 1000 elements at most",
    );
    check("States.ArrayRange(1, 2, 0)", "{}", "the step must not be 0");
    check("States.ArrayLength($)", "{}", "expected an array but was {}");
    check("States.Hash('a', 'CRC')", "{}", "there is no hash algorithm \"CRC\"");
    check(
        "States.JsonMerge($, $, true)",
        "{}",
        "only the shallow merge is supported: the third argument must be false",
    );
    check(
        "States.Base64Encode($)",
        &format!("\"{}\"", "x".repeat(10_001)),
        "the text may have 10000 characters at most",
    );
}

#[test]
fn a_missing_argument_says_so() {
    intrinsic(
        "States.Format('{}', $.gone)",
        "{\"a\":1}",
        "States.Runtime: An error occurred while executing the state 'S' (entered at the event id #2). The function 'States.Format('{}', $.gone)' had the following error: The JsonPath argument for the field '$.gone' could not be found in the input '{\"a\":1}'",
    );
}

#[test]
fn paths_query_documents() {
    let document = json!({"shop": {"books": [{"price": 8, "tags": ["a"]}, {"price": 12}, {"price": 10, "tags": []}], "open": true}});
    let check = |path: &str, expect: Value| {
        let actual = Path::parse(path).unwrap().query(&document);
        assert_eq!(
            actual.unwrap_or_else(|missing| json!(missing.to_string())),
            expect,
            "{path}"
        );
    };
    check("$.shop.open", json!(true));
    check("$['shop']['books'][0].price", json!(8));
    check("$.shop.books[-1].price", json!(10));
    check("$.shop.books[0,2].price", json!([8, 10]));
    check("$.shop.books[1:].price", json!([12, 10]));
    check("$..price", json!([8, 12, 10]));
    check("$.shop.books[?(@.price > 9 && !(@.tags))].price", json!([12]));
    check("$.shop.books[?(@.tags)].price", json!([8, 10]));
    check("$.shop.books[?('a' in @.tags)].price", json!([8]));
    check("$.shop.books[?(@.price == $.shop.books[1].price)].price", json!([12]));
    check("$.shop.books[?(a in @.tags)].price", json!([8]));
    check("$.shop.books.length()", json!(3));
    check(
        "$.shop.books[0].tags[3]",
        json!("No results for path: $['shop']['books'][0]['tags'][3]"),
    );
    check("$.shop.gone", json!("No results for path: $['shop']['gone']"));
    check("$.gone.more", json!("Missing property in path $['gone']"));
}

#[test]
fn broken_paths_are_refused_with_their_place() {
    let check = |path: &str, at: usize| assert_eq!(Path::parse(path).unwrap_err().at, at, "{path}");
    check("", 1);
    check("a", 1);
    check("$.", 3);
    check("$x.y z", 5);
    check("$['a", 5);
    check("$[a]", 3);
    check("$[?(@.a ==)]", 11);
    check(&format!("$[?({}", "(".repeat(500)), 69);
}

/// Runs one JSONata state.
fn jsonata(fields: Value, input: &str, expect: &str) {
    let mut state = json!({"Type": "Pass", "QueryLanguage": "JSONata"});
    state
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    check_state(state, input, expect);
}

#[test]
fn jsonata_expressions_are_evaluated_anywhere_in_a_template() {
    jsonata(json!({"Output": "{% $states.input.a + 1 %}"}), "{\"a\":4}", "5");
    jsonata(
        json!({"Output": {"l": ["{% $states.input.a %}", "plain"]}}),
        "{\"a\":null}",
        "{\"l\":[null,\"plain\"]}",
    );
    jsonata(json!({"Output": "{% $states.context.State.Name %}"}), "{}", "\"S\"");
    jsonata(json!({"Output": "{% $partition([1,2,3], 2) %}"}), "{}", "[[1,2],[3]]");
    jsonata(json!({"Output": "{% $range(1, 5, 2) %}"}), "{}", "[1,3,5]");
    jsonata(
        json!({"Output": "{% $hash('abc', 'MD5') %}"}),
        "{}",
        "\"900150983cd24fb0d6963f7d28e17f72\"",
    );
    jsonata(json!({"Output": "{% $parse('{\"a\":[1]}').a %}"}), "{}", "[1]");
    jsonata(json!({"Output": "{% $millis() %}"}), "{}", "0");
    jsonata(json!({"Output": "{% $now() %}"}), "{}", "\"1970-01-01T00:00:00.000Z\"");
    jsonata(json!({"Output": "{% $length($uuid()) %}"}), "{}", "36");
    jsonata(json!({"Output": "{% $random(7) = $random(7) %}"}), "{}", "true");
}

#[test]
fn jsonata_failures_are_recorded() {
    let at = "An error occurred while executing the state 'S' (entered at the event id #2).";
    let fails = |what: &str| format!("States.QueryEvaluationError: {at} {what}");
    jsonata(
        json!({"Output": {"v": "{% $gone %}"}}),
        "{}",
        &fails("The JSONata expression '$gone' specified for the field 'Output/v' returned nothing (undefined)."),
    );
    let wait = json!({"Type": "Wait", "QueryLanguage": "JSONata", "Seconds": "{% 'x' %}"});
    check_state(
        wait,
        "{}",
        &fails(
            "The JSONata expression ''x'' specified for the field 'Seconds' returned an unexpected result type. Expected 'number', but was 'string' for value: \"x\"",
        ),
    );
    let map = json!({"Type": "Map", "QueryLanguage": "JSONata", "ItemProcessor": {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}}});
    check_state(map, "1", &fails("Map state input must be an array but was: 1"));
    jsonata(
        json!({"Output": "{% $eval('1') %}"}),
        "{}",
        &fails(
            "The JSONata expression '$eval('1')' specified for the field 'Output' threw an error during evaluation. The function $eval is not supported",
        ),
    );
}

#[test]
fn jsonata_tasks_have_arguments_and_results() {
    let task = |fields: Value| {
        let mut state = json!({"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:1:function:f", "Arguments": {"n": "{% $states.input.n * 2 %}"}});
        state
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        let mut definition = unreachable_removed(single(state));
        definition["QueryLanguage"] = json!("JSONata");
        definition
    };
    let double = |call: &scones_asl::TaskCall| Answer::Succeeds(json!({"got": call.parameters["n"]}));
    check_tasks(&task(json!({})), "{\"n\":3}", double, "{\"got\":6}");
    check_tasks(
        &task(json!({"Output": "{% $states.result.got + $states.input.n %}"})),
        "{\"n\":3}",
        double,
        "9",
    );
    let catch = json!([{"ErrorEquals": ["E"], "Next": "Caught", "Output": "{% $states.errorOutput.Error & '!' %}"}]);
    check_tasks(
        &task(json!({"Catch": catch})),
        "{\"n\":3}",
        |_| Answer::Fails("E"),
        "\"E!\"",
    );
}

#[test]
fn jsonata_choices_have_conditions() {
    let definition = json!({"QueryLanguage": "JSONata", "StartAt": "C", "States": {
        "C": {"Type": "Choice", "Choices": [{"Condition": "{% $states.input.n > 3 %}", "Output": "big", "Next": "D"}], "Default": "D"},
        "D": {"Type": "Succeed"}}});
    check(&definition, "{\"n\":4}", "\"big\"");
    check(&definition, "{\"n\":3}", "{\"n\":3}");
}
