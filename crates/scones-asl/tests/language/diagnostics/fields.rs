//! The fields of a state.

use scones_asl::Machine;
use serde_json::{Value, json};

use super::{accept, check, check_schema, check_state, pass, problems, task};

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
