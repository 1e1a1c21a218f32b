//! What is wrong with a definition, where, and what to do.

use proptest::prelude::*;
use scones_asl::{Machine, Severity};
use serde_json::{Value, json};

fn problems(definition: &str) -> Vec<String> {
    Machine::check(definition, false)
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// Every problem of a definition: `CODE: message at /location`.
fn check(definition: &str, expect: &[&str]) {
    assert_eq!(problems(definition), expect, "{definition}");
}

fn check_state(state: Value, expect: &str) {
    let definition = json!({"StartAt": "S", "States": {"S": state}});
    assert_eq!(problems(&definition.to_string()), [expect], "{definition}");
}

/// The same with `SCHEMA_VALIDATION_FAILED`, and the location below the state.
fn check_schema(state: Value, message: &str, location: &str) {
    check_state(
        state,
        &format!("SCHEMA_VALIDATION_FAILED: {message} at /States/S{location}"),
    );
}

fn accept(state: Value) {
    let definition = json!({"StartAt": "S", "States": {"S": state}});
    assert_eq!(problems(&definition.to_string()), [""; 0], "{definition}");
}

/// A task with more fields.
fn task(fields: Value) -> Value {
    let mut task = json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": true});
    let more = fields.as_object().unwrap().clone();
    task.as_object_mut().unwrap().extend(more);
    task
}

fn pass() -> Value {
    json!({"Type": "Pass", "End": true})
}

#[test]
fn what_is_no_definition() {
    let no_object = "SCHEMA_VALIDATION_FAILED: Definition must be a valid JSON object at null";
    check("", &[no_object]);
    check("[]", &[no_object]);
    check(
        "{}",
        &["SCHEMA_VALIDATION_FAILED: These fields are required: [States, StartAt] at /"],
    );
    check(
        "{\"StartAt\":\"A\"}",
        &["SCHEMA_VALIDATION_FAILED: These fields are required: [States] at /"],
    );
    check(
        "scones",
        &[
            "INVALID_JSON_DESCRIPTION: Unrecognized token 'scones': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')\n at [Source: (String)\"scones\"; line: 1, column: 7] at [Source: (String)\"scones\"; line: 1, column: 7]",
        ],
    );
    let long = format!("{{\"Comment\": \"{}\",}}", "é".repeat(600));
    let problem = &problems(&long)[0];
    assert!(
        problem.contains("é\"[truncated 116 chars]; line: 1, column: 617]"),
        "{problem}"
    );
    assert!(Machine::parse(&"[".repeat(100_000)).is_err());
    assert!(Machine::parse(&" ".repeat(1_048_577)).is_err());
}

#[test]
fn transitions_that_lead_nowhere() {
    let two =
        |first: Value, second: Value| json!({"StartAt": "A", "States": {"A": first, "Classify": second}}).to_string();
    let next = |name: &str| json!({"Type": "Pass", "Next": name});
    let missing =
        |name: &str, location: &str| format!("MISSING_TRANSITION_TARGET: Missing 'Next' target: {name} at {location}");
    let unreachable = "MISSING_TRANSITION_TARGET: State \"Classify\" is not reachable. at /States/Classify";
    let no_end = "MISSING_END_STATE: Workflow has no terminal state at null";
    check(
        &two(next("Clasify"), pass()),
        &[&missing("Clasify", "/States/A/Next"), unreachable],
    );
    check(&two(pass(), pass()), &[unreachable]);
    check(
        &two(pass(), json!({"Type": "Pass", "Next": "Classify"})),
        &[unreachable],
    );
    check(
        &two(next("Gone"), next("A")),
        &[&missing("Gone", "/States/A/Next"), no_end],
    );
    check(&two(next("Classify"), next("A")), &[no_end]);
    let choice = json!({"Type": "Choice", "Default": "X", "Choices": [
        {"Variable": "$.a", "IsNull": true, "Next": "Y"}, {"Variable": "$.a", "IsNull": false, "Next": "Classify"}]});
    check(
        &two(choice, pass()),
        &[
            &missing("Y", "/States/A/Choices[0]/Next"),
            &missing("X", "/States/A/Default"),
        ],
    );
    let catch = task(json!({"Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Z"}]}));
    check(
        &two(catch, pass()),
        &[&missing("Z", "/States/A/Catch[0]/Next"), unreachable],
    );
    check(
        &json!({"StartAt": "B", "States": {"A": pass()}}).to_string(),
        &[
            &missing("B", "/StartAt"),
            "MISSING_TRANSITION_TARGET: State \"A\" is not reachable. at /States/A",
        ],
    );
    check(
        &two(next("Classify"), json!({"Type": "Pass"})),
        &[
            "SCHEMA_VALIDATION_FAILED: The state must have either 'Next' or 'End': true at /States/Classify",
            no_end,
        ],
    );
    check_schema(
        json!({"Type": "Pass", "Next": "S", "End": true}),
        "There should only be one of the following fields: [Next, End]",
        "",
    );
    let circle = json!({"StartAt": "A", "States": {"A": pass(), "B": next("C"), "C": next("B")}}).to_string();
    let machine = Machine::parse(&circle).unwrap();
    assert_eq!(machine.warnings().len(), 2);
}

#[test]
fn a_mistake_does_not_hide_another_one() {
    let definition = json!({"StartAt": "A", "States": {
        "A": {"Type": "Wait", "Seconds": -1, "Next": "B"},
        "C": {"Type": "Fail", "Cause": 1}}});
    check(
        &definition.to_string(),
        &[
            "SCHEMA_VALIDATION_FAILED: Minimum value is 0 at /States/A/Seconds",
            "SCHEMA_VALIDATION_FAILED: Expected value of type String at /States/C/Cause",
            "MISSING_TRANSITION_TARGET: Missing 'Next' target: B at /States/A/Next",
            "MISSING_TRANSITION_TARGET: State \"C\" is not reachable. at /States/C",
        ],
    );
}

#[test]
fn names_that_are_nearly_right() {
    let hint = |definition: Value| Machine::check(&definition.to_string(), false)[0].hint.clone();
    let check = |definition: Value, expect: &str| assert_eq!(hint(definition).as_deref(), Some(expect));
    let states = json!({"A": {"Type": "Pass", "Next": "Clasify"}, "Classify": {"Type": "Succeed"}});
    check(
        json!({"StartAt": "A", "States": states}),
        "no state is called `Clasify`; did you mean `Classify`?",
    );
    check(
        json!({"StartAt": "Elsewhere", "States": {"A": pass()}}),
        "no state is called `Elsewhere`",
    );
    check(
        json!({"StartAt": "A", "States": {"A": {"Type": "Tusk"}}}),
        "did you mean `Task`?",
    );
    check(
        json!({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": true, "ResultPth": "$"}}}),
        "did you mean `ResultPath`?",
    );
}

#[test]
fn fields_that_are_wrong() {
    check_schema(
        json!({"Type": "Tusk", "End": true}),
        "The field 'Type' should have one of these values: [Task, Wait, Pass, Succeed, Fail, Choice, Parallel, Map]",
        "/Type",
    );
    check_schema(json!({"End": true}), "These fields are required: [Type]", "");
    check_schema(
        json!({"Type": "Task", "End": true}),
        "These fields are required: [Resource]",
        "",
    );
    check_schema(
        json!({"Type": "Parallel", "Branches": [], "End": true}),
        "Value cannot be empty",
        "/Branches",
    );
    check_schema(
        json!({"Type": "Pass", "ResultPath": "$.a[*]", "End": true}),
        "Value is not a Reference Path",
        "/ResultPath",
    );
    check_schema(
        json!({"Type": "Pass", "OutputPath": "Test", "End": true}),
        "Value must be a valid JSONPath.",
        "/OutputPath",
    );
    check_schema(
        json!({"Type": "Pass", "Parameters": {"a": {"b.$": "x"}}, "End": true}),
        "The value for the field 'b.$' must be a valid JSONPath or a valid intrinsic function call",
        "/Parameters",
    );
    check_schema(
        json!({"Type": "Pass", "Parameters": {"a": 1, "a.$": "$.x"}, "End": true}),
        "There should only be one of the following fields: [a, a.$]",
        "/Parameters",
    );
    check_schema(
        json!({"Type": "Wait", "Timestamp": "noon", "End": true}),
        "String does not match RFC3339 timestamp",
        "/Timestamp",
    );
    check_schema(
        json!({"Type": "Wait", "Seconds": 100_000_000, "End": true}),
        "Maximum value is 99999999",
        "/Seconds",
    );
    check_schema(
        json!({"Type": "Wait", "Seconds": 1, "SecondsPath": "$.s", "End": true}),
        "There should only be one of the following fields: [Seconds, SecondsPath, Timestamp, TimestampPath]",
        "",
    );
    check_schema(
        json!({"Type": "Wait", "End": true}),
        "One of these fields is required: [Seconds, SecondsPath, Timestamp, TimestampPath]",
        "",
    );
    check_schema(
        json!({"Type": "Task", "Resource": "arn:aws:states:::dynamodb:query", "End": true}),
        "The resource provided arn:aws:states:::dynamodb:query is not recognized. The value is not a valid resource ARN, or the resource is not available in this region.",
        "/Resource",
    );
    check_schema(
        json!({"Type": "Task", "Resource": "lambda", "End": true}),
        "Value is not a valid resource ARN",
        "/Resource",
    );
    check_schema(
        json!({"Type": "Task", "Resource": "image:classify", "End": true}),
        "Value is not a valid resource ARN",
        "/Resource",
    );
    let own = json!({"StartAt": "S", "States": {"S": {"Type": "Task", "Resource": "image:classify", "End": true}}});
    assert!(Machine::parse(&own.to_string()).is_ok());
    check_schema(
        task(json!({"Credentials": {}})),
        "The field 'RoleArn' is required but was missing",
        "/Credentials",
    );
    check_schema(
        json!({"Type": "Pass", "Assign": {"states": 1}, "End": true}),
        "'states' is not a valid variable name",
        "/Assign/states",
    );
    check_schema(
        json!({"Type": "Pass", "Assign": null, "End": true}),
        "Expected value of type Object",
        "/Assign",
    );
    let long = "x".repeat(81);
    check(
        &json!({"StartAt": long, "States": {&long: pass()}}).to_string(),
        &[&format!(
            "INVALID_STATE_NAME: State name must have 1 to 80 characters at /States/{long}"
        )],
    );
}

#[test]
fn fields_that_a_state_does_not_have() {
    let refused = |kind: &str, mut fields: Value, field: &str, value: Value| {
        fields["Type"] = json!(kind);
        fields[field] = value;
        check_schema(fields, &format!("Field '{field}' is not supported"), "");
    };
    let end = || json!({"End": true});
    let catch = || json!([{"ErrorEquals": ["States.ALL"], "Next": "S"}]);
    refused("Pass", end(), "Nxt", json!(1));
    refused("Pass", end(), "Catch", catch());
    refused("Pass", end(), "Retry", json!([]));
    refused("Pass", end(), "ResultSelector", json!({}));
    refused("Pass", end(), "TimeoutSeconds", json!(1));
    refused("Wait", json!({"Seconds": 1, "End": true}), "ResultPath", json!(null));
    refused("Succeed", json!({}), "Next", json!("S"));
    refused("Succeed", json!({}), "End", json!(true));
    refused("Fail", json!({}), "InputPath", json!("$"));
    refused("Fail", json!({}), "Assign", json!({}));
    refused(
        "Parallel",
        json!({"End": true, "Branches": [{"StartAt": "P", "States": {"P": pass()}}]}),
        "TimeoutSeconds",
        json!(1),
    );
    check(
        &json!({"StartAt": "S", "States": {"S": pass()}, "Extra": 1}).to_string(),
        &["SCHEMA_VALIDATION_FAILED: Field 'Extra' is not supported at /"],
    );
    check_state(
        json!({"Type": "Parallel", "End": true, "Branches": [{"QueryLanguage": "JSONata", "StartAt": "P", "States": {"P": pass()}}]}),
        "SCHEMA_VALIDATION_FAILED: Field 'QueryLanguage' is not supported at /States/S/Branches[0]",
    );
}

#[test]
fn retriers_and_catchers() {
    let retry = |entries: Value| task(json!({"Retry": entries}));
    let check = |entries: Value, message: &str, location: &str| {
        check_schema(retry(entries), message, &format!("/Retry[{location}"));
    };
    let named = |field: &str, value: Value| json!([{"ErrorEquals": ["E"], field: value}]);
    check(json!([{}]), "These fields are required: [ErrorEquals]", "0]");
    check(
        json!([{"ErrorEquals": ["States.ALL", "E"]}]),
        "'States.ALL' must appear alone",
        "0]/ErrorEquals",
    );
    check(
        json!([{"ErrorEquals": ["States.ALL"]}, {"ErrorEquals": ["E"]}]),
        "'States.ALL' must be in the last entry",
        "0]/ErrorEquals",
    );
    check(json!([{"ErrorEquals": []}]), "Value cannot be empty", "0]/ErrorEquals");
    check(
        json!([{"ErrorEquals": ["E", 1]}]),
        "Expected value of type String",
        "0]/ErrorEquals[1]",
    );
    check(json!([1]), "Expected value of type Object", "0]");
    check(
        named("BackoffRate", json!(0.5)),
        "Minimum value is 1.0",
        "0]/BackoffRate",
    );
    check(
        named("IntervalSeconds", json!(0)),
        "Minimum value is 1",
        "0]/IntervalSeconds",
    );
    check(
        named("IntervalSeconds", json!(1.5)),
        "Expected value of type Integer",
        "0]/IntervalSeconds",
    );
    check(named("MaxAttempts", json!(-1)), "Minimum value is 0", "0]/MaxAttempts");
    check(
        named("MaxAttempts", json!(100_000_000)),
        "Maximum value is 99999999",
        "0]/MaxAttempts",
    );
    check(
        named("MaxDelaySeconds", json!(31_622_401)),
        "Maximum value is 31622400",
        "0]/MaxDelaySeconds",
    );
    check(
        named("JitterStrategy", json!("HALF")),
        "The field 'JitterStrategy' should have one of these values: [FULL, NONE]",
        "0]/JitterStrategy",
    );
    check(named("Next", json!("S")), "Field 'Next' is not supported", "0]");
    check_schema(
        task(json!({"Catch": [{}]})),
        "These fields are required: [ErrorEquals, Next]",
        "/Catch[0]",
    );
    accept(retry(
        json!([{"ErrorEquals": ["E"], "IntervalSeconds": 3.0, "MaxAttempts": 0, "BackoffRate": 1, "MaxDelaySeconds": 31_622_400, "JitterStrategy": "FULL"}]),
    ));
}

#[test]
fn choice_rules() {
    let choice = |rule: Value| json!({"Type": "Choice", "Choices": [rule], "Default": "S"});
    let check = |rule: Value, message: &str, location: &str| {
        let definition = json!({"StartAt": "S", "States": {"S": choice(rule), "End": {"Type": "Succeed"}}});
        assert_eq!(
            problems(&definition.to_string())[0],
            format!("SCHEMA_VALIDATION_FAILED: {message} at /States/S/Choices[0]{location}"),
            "{definition}"
        );
    };
    check(
        json!({"Variable": "$.a", "IsNull": true}),
        "These fields are required: [Next]",
        "",
    );
    check(
        json!({"Variable": "$.a", "IsNull": true, "End": true}),
        "Field 'End' is not supported",
        "",
    );
    check(
        json!({"IsNull": true, "Next": "End"}),
        "These fields are required: [Variable]",
        "",
    );
    check(
        json!({"Variable": "$.a", "Next": "End"}),
        "A comparison operator is required",
        "",
    );
    check(
        json!({"Variable": "$.a", "IsNull": true, "StringEquals": "x", "Next": "End"}),
        "There should only be one of the following fields: [IsNull, StringEquals]",
        "",
    );
    check(
        json!({"Variable": "$.a", "StringIs": "x", "Next": "End"}),
        "Field 'StringIs' is not supported",
        "",
    );
    check(
        json!({"Variable": "$.a", "NumericEquals": "1", "Next": "End"}),
        "Expected value of type Number",
        "/NumericEquals",
    );
    check(
        json!({"Variable": "$.a", "TimestampEquals": "soon", "Next": "End"}),
        "String does not match RFC3339 timestamp",
        "/TimestampEquals",
    );
    check(
        json!({"Variable": "$.a[*]", "IsNull": true, "Next": "End"}),
        "Value is not a Reference Path",
        "/Variable",
    );
    check(json!({"And": [], "Next": "End"}), "Value cannot be empty", "/And");
    check(
        json!({"And": [{"Variable": "$.a", "IsNull": true, "Next": "End"}], "Next": "End"}),
        "Field 'Next' is not supported",
        "/And[0]",
    );
    check(
        json!({"Condition": "{% true %}", "Next": "End"}),
        "The QueryLanguage is set to 'JSONPath', but field 'Condition' is only supported for the 'JSONata' QueryLanguage",
        "",
    );
}

#[test]
fn fail_states() {
    accept(json!({"Type": "Fail", "ErrorPath": "$$.State.Name", "CausePath": "States.UUID()"}));
    check_schema(
        json!({"Type": "Fail", "Cause": "c", "CausePath": "$.c"}),
        "There should only be one of the following fields: [Cause, CausePath]",
        "",
    );
    check_schema(
        json!({"Type": "Fail", "ErrorPath": "Error"}),
        "Value must be a valid JSONPath.",
        "/ErrorPath",
    );
    check_schema(
        json!({"Type": "Fail", "CausePath": "States.MathAdd(1, 2)"}),
        "Value must be a valid JSONPath.",
        "/CausePath",
    );
}

#[test]
fn languages_do_not_mix() {
    let jsonata = json!({"QueryLanguage": "JSONata", "StartAt": "S", "States": {"S": {"QueryLanguage": "JSONPath", "Type": "Pass", "End": true}}});
    check(
        &jsonata.to_string(),
        &[
            "SCHEMA_VALIDATION_FAILED: 'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine at /States/S",
        ],
    );
    check_schema(
        json!({"Type": "Pass", "Output": 1, "End": true}),
        "The QueryLanguage is set to 'JSONPath', but field 'Output' is only supported for the 'JSONata' QueryLanguage",
        "",
    );
    check_schema(
        json!({"Type": "Pass", "QueryLanguage": "JSONata", "InputPath": "$", "End": true}),
        "The QueryLanguage is set to 'JSONata', but field 'InputPath' is only supported for the 'JSONPath' QueryLanguage",
        "",
    );
    check_schema(
        json!({"Type": "Pass", "QueryLanguage": "Jsonata", "Output": "{% 1 %}", "End": true}),
        "The field 'QueryLanguage' should have one of these values: [JSONPath, JSONata]",
        "/QueryLanguage",
    );
}

#[test]
fn jsonata_expressions_are_read() {
    let output = |output: Value| json!({"Type": "Pass", "QueryLanguage": "JSONata", "Output": output, "End": true});
    let invalid = |expression: &str, message: &str| {
        check_state(
            output(json!({"a": [1, expression]})),
            &format!("INVALID_JSONATA_EXPRESSION: {message} at /States/S/Output/a[1]"),
        );
    };
    invalid("{% 1 + %}", "Unexpected end of expression");
    invalid("{% \"open %}", "String literal must be terminated by a matching quote");
    let unclosed = "A JSONata expression must begin with '{%' and end with '%}'";
    invalid("{% 1", unclosed);
    invalid("1 %}", unclosed);
    accept(output(json!(" {% 1 %} ")));
    let unsupported = |expression: &str, message: &str| {
        check_state(
            output(json!(format!("{{% {expression} %}}"))),
            &format!("UNSUPPORTED_JSONATA_EXPRESSION: {message} at /States/S/Output"),
        );
    };
    let top_level = |name: &str| format!("Reference to '{name}' at the top level is not supported.");
    unsupported("phone", &top_level("phone"));
    unsupported("phone.number & phone.area", &top_level("phone"));
    unsupported("$sum(items.price)", &top_level("items"));
    unsupported("$", &top_level("$"));
    unsupported("$$.phone", "Reference to '$$' is not supported.");
    unsupported("$states.errorOutput", "Field '$states.errorOutput' does not exist.");
    unsupported("$states.inputs.a", "Field '$states.inputs' does not exist.");
    for expression in [
        "$states.input.orders[price > 10].name",
        "$states.input.orders^(price).{'name': name}",
        "$map($states.input.orders, function($order) { $order.price })",
        "$states.input.orders ~> |$|{'price': price + 1}|",
        "($sum := $sum($states.input.prices); {'sum': $sum})",
        "$states.input{name: $count(price)}",
        "$states.context.Execution.Id",
    ] {
        accept(output(json!(format!("{{% {expression} %}}"))));
    }
    let mut catch = task(
        json!({"QueryLanguage": "JSONata", "Catch": [{"ErrorEquals": ["E"], "Output": "{% $states.errorOutput.Cause %}", "Next": "S"}]}),
    );
    accept(catch.clone());
    catch["Output"] = json!("{% $states.errorOutput %}");
    check_state(
        catch,
        "UNSUPPORTED_JSONATA_EXPRESSION: Field '$states.errorOutput' does not exist. at /States/S/Output",
    );
}

#[test]
fn what_is_probably_not_meant() {
    check_state(
        json!({"Type": "Pass", "Parameters": {"id": ["$.id"]}, "End": true}),
        "NO_DOLLAR: No .$ on a field that appears to be a JSONPath or Intrinsic Function. at /States/S/Parameters/id[0]",
    );
    check_state(
        json!({"Type": "Pass", "Parameters": {"id": "States.UUID()"}, "End": true}),
        "NO_DOLLAR: No .$ on a field that appears to be a JSONPath or Intrinsic Function. at /States/S/Parameters/id",
    );
    check_state(
        json!({"Type": "Fail", "Cause": "$.cause"}),
        "NO_PATH: Field value looks like a path, but field name does not end with 'Path'. at /States/S/Cause",
    );
    check_state(
        json!({"Type": "Pass", "Result": {"id.$": "$.id"}, "End": true}),
        "PASS_RESULT_IS_STATIC: Attempt to use a path in the result of a pass state. at /States/S/Result/id.$",
    );
    accept(json!({"Type": "Pass", "Parameters": {"id.$": "$.id", "price": "$5"}, "End": true}));
}

#[test]
fn problems_point_into_the_text() {
    let check = |definition: &str, expect: &str| {
        for problem in Machine::check(definition, true) {
            let shown = problem.span.map(|span| definition[span.start..span.end].to_owned());
            assert_eq!(shown.unwrap_or_default(), expect, "{definition}: {problem}");
        }
    };
    let state = |state: &str| format!("{{\n  \"StartAt\": \"A\",\n  \"States\": {{\"A\": {state}}}\n}}");
    check(&state("{\"Type\": \"Fail\", \"ErrorPath\": \"É\"}"), "\"É\"");
    check(&state("{\"Type\": \"Task\", \"End\": true}"), "\"A\"");
    check(&state("{\"Type\": \"Pass\", \"End\": true, \"Nxt\": 1}"), "\"Nxt\"");
    check(
        &state("{\"Type\": \"Pass\", \"End\": true, \"Parameters\": {\"a\": [{\"b.$\": \"x\"}]}}"),
        "\"x\"",
    );
    check(
        &state(
            "{\"Type\": \"Task\", \"End\": true, \"Resource\": \"arn:aws:states:::sqs:sendMessage.waitForTaskToken\"}",
        ),
        "\"arn:aws:states:::sqs:sendMessage.waitForTaskToken\"",
    );
    check("{\n\n\"a\": tru}", "}");
    check("[1,\n]", "]");
    check("{\"a\": \"\u{1}\"}", "\u{1}");
    let definition = state("{\"Type\": \"Pass\", \"Next\": \"Gone\"}");
    let problem = &Machine::parse(&definition).unwrap_err()[0];
    let span = problem.span.unwrap();
    assert_eq!(
        (problem.severity, span.line, span.column, span.end_column),
        (Severity::Error, 3, 44, 50)
    );
}

#[test]
fn names_and_fields_are_unique() {
    check(
        "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Succeed\"},\"A\":{\"Type\":\"Succeed\"}}}",
        &["SCHEMA_VALIDATION_FAILED: Duplicate field at /States/A"],
    );
    let inner = json!({"StartAt": "S", "States": {"S": {"Type": "Pass", "End": true}}});
    check_state(
        json!({"Type": "Map", "ItemProcessor": inner, "End": true}),
        "DUPLICATE_STATE_NAME: Duplicate State name: S at /States/S/ItemProcessor/States/S",
    );
    let inner = json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "Assign": {"x": 1}, "End": true}}});
    check_state(
        json!({"Type": "Parallel", "Branches": [inner], "Assign": {"x": 1}, "End": true}),
        "SCHEMA_VALIDATION_FAILED: The variable 'x' is already defined in an outer scope at /States/S/Branches[0]/States/P",
    );
}

#[test]
fn distributed_maps_have_labels_and_scopes_of_their_own() {
    let map = |label: &str, pass: &str, next: Value| {
        let mut map = json!({"Type": "Map", "Label": label, "Assign": {"x": 1}, "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": pass,
            "States": {pass: {"Type": "Pass", "Assign": {"x": 1}, "End": true}}}});
        map.as_object_mut().unwrap().extend(next.as_object().unwrap().clone());
        map
    };
    let definition = |second: &str| {
        json!({"StartAt": "A", "States": {
            "A": map("one", "P", json!({"Next": "B"})), "B": map(second, "Q", json!({"End": true}))}})
    };
    check(&definition("two").to_string(), &[]);
    check(
        &definition("one").to_string(),
        &["DUPLICATE_LABEL_NAME: Duplicate label: one at /States/B/Label"],
    );
    check_schema(
        json!({"Type": "Map", "End": true}),
        "These fields are required: [ItemProcessor]",
        "",
    );
}

#[test]
fn express_machines_do_not_wait_for_callbacks() {
    let check = |resource: &str, expect: &str| {
        let definition = json!({"StartAt": "S", "States": {"S": {"Type": "Task", "Resource": resource, "End": true}}});
        let problems = Machine::check(&definition.to_string(), true);
        assert_eq!(
            problems[0].to_string(),
            format!("SCHEMA_VALIDATION_FAILED: Express state machine does not support {expect} at /States/S/Resource")
        );
        assert_eq!(Machine::check(&definition.to_string(), false), []);
    };
    check(
        "arn:aws:states:::states:startExecution.sync:2",
        "'.sync' service integration",
    );
    // AWS's text has the second blank.
    check(
        "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "'.waitForTaskToken' service integration ",
    );
    check("arn:aws:states:us-east-1:000000000000:activity:a", "Activity ARN");
}

#[test]
fn many_mistakes_are_reported_in_bounded_time() {
    let states: serde_json::Map<String, Value> = (0..5_000)
        .map(|index| {
            (
                format!("State{index}"),
                json!({"Type": "Pass", "Next": format!("Stat{index}")}),
            )
        })
        .collect();
    let definition = json!({"StartAt": "State0", "States": states}).to_string();
    let problems = Machine::parse(&definition).unwrap_err();
    assert_eq!(problems.len(), scones_asl::limits::DIAGNOSTICS_MAX);
}

/// JSON with the language's words in it.
fn definition() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "StartAt",
        "States",
        "Type",
        "Next",
        "End",
        "Task",
        "Map",
        "Choice",
        "Choices",
        "Catch",
        "Retry",
        "Pass",
        "Wait",
        "Parameters",
        "Output",
        "Branches",
        "ItemProcessor",
        "QueryLanguage",
        "JSONata",
        "$.a",
        "{% x %}",
        "{%",
        "a.$",
        "ErrorEquals",
        "Not",
        "And",
        "Variable",
        "Assign",
        "Parallel",
        "Seconds",
        "Resource",
    ]);
    let leaf = prop_oneof![
        word.clone().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..6).prop_map(|fields| fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    /// A definition is either a machine or has an error, whose place is in the text.
    #[test]
    fn any_text_is_judged(value in definition(), state in definition()) {
        for value in [value, json!({"StartAt": "S", "States": {"S": state}})] {
            let text = value.to_string();
            if let Err(problems) = Machine::parse(&text) {
                prop_assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
                for span in problems.iter().filter_map(|problem| problem.span) {
                    prop_assert!(text.get(span.start..span.end).is_some());
                }
            }
        }
    }
}
