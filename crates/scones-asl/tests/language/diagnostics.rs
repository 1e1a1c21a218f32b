//! What is wrong with a definition, where, and what to do.

use scones_asl::{Machine, Severity};
use serde_json::{Value, json};

/// The first problem of a definition: `CODE: message at /location`.
fn check(definition: &str, expect: &str) {
    let problems = match Machine::parse(definition) {
        Ok(machine) => machine.warnings().to_vec(),
        Err(problems) => problems,
    };
    assert_eq!(
        problems.first().map(ToString::to_string).as_deref(),
        Some(expect),
        "{definition}"
    );
}

fn check_state(state: Value, expect: &str) {
    check(&json!({"StartAt": "S", "States": {"S": state}}).to_string(), expect);
}

#[test]
fn what_is_no_definition() {
    check("", "SCHEMA_VALIDATION_FAILED: Definition must be a valid JSON object");
    check("[]", "SCHEMA_VALIDATION_FAILED: Definition must be a valid JSON object");
    check(
        "{}",
        "SCHEMA_VALIDATION_FAILED: These fields are required: [States, StartAt] at /",
    );
    check(
        "{\"StartAt\":\"A\"}",
        "SCHEMA_VALIDATION_FAILED: These fields are required: [States] at /",
    );
    check(
        "scones",
        "INVALID_JSON_DESCRIPTION: Unrecognized token 'scones': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')\n at [Source: (String)\"scones\"; line: 1, column: 7] at [Source: (String)\"scones\"; line: 1, column: 7]",
    );
    assert!(
        Machine::parse("{,}").unwrap_err()[0]
            .to_string()
            .starts_with("INVALID_JSON_DESCRIPTION: ")
    );
    assert!(Machine::parse(&"[".repeat(100_000)).is_err());
    assert!(Machine::parse(&" ".repeat(1_048_577)).is_err());
}

#[test]
fn transitions_that_lead_nowhere() {
    let two =
        |first: Value, second: Value| json!({"StartAt": "A", "States": {"A": first, "Classify": second}}).to_string();
    let end = json!({"Type": "Pass", "End": true});
    check(
        &two(json!({"Type": "Pass", "Next": "Clasify"}), end.clone()),
        "MISSING_TRANSITION_TARGET: Missing 'Next' target: Clasify at /States/A/Next",
    );
    check(
        &two(end.clone(), end.clone()),
        "MISSING_TRANSITION_TARGET: State \"Classify\" is not reachable. at /States/Classify",
    );
    check(
        &json!({"StartAt": "B", "States": {"A": end}}).to_string(),
        "MISSING_TRANSITION_TARGET: Missing 'StartAt' target: B at /StartAt",
    );
    check_state(
        json!({"Type": "Pass", "Next": "S"}),
        "MISSING_END_STATE: No state ends the workflow at /States",
    );
    check_state(
        json!({"Type": "Pass"}),
        "SCHEMA_VALIDATION_FAILED: The state must have either 'Next' or 'End': true at /States/S",
    );
    let problems = Machine::parse(&two(
        json!({"Type": "Pass", "Next": "Clasify"}),
        json!({"Type": "Succeed"}),
    ))
    .unwrap_err();
    assert_eq!(
        problems[0].hint.as_deref(),
        Some("no state is called `Clasify`; did you mean `Classify`?")
    );
}

#[test]
fn fields_that_are_wrong() {
    check_state(
        json!({"Type": "Tusk"}),
        "SCHEMA_VALIDATION_FAILED: The field 'Type' should have one of these values: [Task, Wait, Pass, Succeed, Fail, Choice, Parallel, Map] at /States/S/Type",
    );
    check_state(
        json!({}),
        "SCHEMA_VALIDATION_FAILED: The field 'Type' is required but was missing at /States/S",
    );
    check_state(
        json!({"Type": "Task", "End": true}),
        "SCHEMA_VALIDATION_FAILED: The field 'Resource' is required but was missing at /States/S",
    );
    check_state(
        json!({"Type": "Pass", "ResultPath": "$.a[*]", "End": true}),
        "SCHEMA_VALIDATION_FAILED: Value is not a Reference Path: $.a[*] at /States/S/ResultPath",
    );
    check_state(
        json!({"Type": "Pass", "Parameters": {"a": {"b.$": "x"}}, "End": true}),
        "SCHEMA_VALIDATION_FAILED: The value for the field 'b.$' must be a valid JSONPath or a valid intrinsic function call at /States/S/Parameters/a/b.$",
    );
    check_state(
        json!({"Type": "Wait", "Timestamp": "noon", "End": true}),
        "SCHEMA_VALIDATION_FAILED: String does not match RFC3339 timestamp at /States/S/Timestamp",
    );
    check_state(
        json!({"Type": "Task", "Resource": "arn:aws:states:::dynamodb:query", "End": true}),
        "SCHEMA_VALIDATION_FAILED: The resource provided arn:aws:states:::dynamodb:query is not recognized. The value is not a valid resource ARN, or the resource is not available in this region. at /States/S/Resource",
    );
    check_state(
        json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Credentials": {}, "End": true}),
        "SCHEMA_VALIDATION_FAILED: The field 'RoleArn' is required but was missing at /States/S/Credentials",
    );
    check_state(
        json!({"Type": "Pass", "Assign": {"states": 1}, "End": true}),
        "SCHEMA_VALIDATION_FAILED: 'states' is not a valid variable name at /States/S/Assign/states",
    );
    check_state(
        json!({"Type": "Pass", "Nxt": 1, "End": true}),
        "UNKNOWN_FIELD: The field 'Nxt' is not supported here at /States/S/Nxt",
    );
}

#[test]
fn retriers_and_catchers() {
    let retry = |retry: Value| json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Retry": retry, "End": true});
    check_state(
        retry(json!([{}])),
        "SCHEMA_VALIDATION_FAILED: The field 'ErrorEquals' is required but was missing at /States/S/Retry/0",
    );
    check_state(
        retry(json!([{"ErrorEquals": ["States.ALL", "E"]}])),
        "SCHEMA_VALIDATION_FAILED: 'States.ALL' must appear alone at /States/S/Retry/0/ErrorEquals",
    );
    check_state(
        retry(json!([{"ErrorEquals": ["States.ALL"]}, {"ErrorEquals": ["E"]}])),
        "SCHEMA_VALIDATION_FAILED: 'States.ALL' must be in the last entry at /States/S/Retry/0/ErrorEquals",
    );
    check_state(
        retry(json!([{"ErrorEquals": ["E"], "BackoffRate": 0.5}])),
        "SCHEMA_VALIDATION_FAILED: Value must be at least 1.0 at /States/S/Retry/0/BackoffRate",
    );
}

#[test]
fn languages_do_not_mix() {
    let jsonata = json!({"QueryLanguage": "JSONata", "StartAt": "S", "States": {"S": {"QueryLanguage": "JSONPath", "Type": "Pass", "End": true}}});
    check(
        &jsonata.to_string(),
        "SCHEMA_VALIDATION_FAILED: 'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine at /States/S",
    );
    check_state(
        json!({"Type": "Pass", "Output": 1, "End": true}),
        "SCHEMA_VALIDATION_FAILED: The field 'Output' is not supported in JSONPath Pass states at /States/S/Output",
    );
    check_state(
        json!({"Type": "Pass", "QueryLanguage": "JSONata", "InputPath": "$", "End": true}),
        "SCHEMA_VALIDATION_FAILED: The field 'InputPath' is not supported in JSONata Pass states at /States/S/InputPath",
    );
    check_state(
        json!({"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% 1 + %}", "End": true}),
        "SCHEMA_VALIDATION_FAILED: The value for the field 'Output' must be a valid JSONata expression at /States/S/Output",
    );
}

#[test]
fn every_problem_can_be_rendered() {
    for definition in [
        "",
        "\n",
        "{\n",
        "{\n\n\"a\": tru}",
        "[1,\n]",
        "{\"States\":\n{\n}}",
        "é",
        "\u{0}",
    ] {
        for problem in Machine::parse(definition).unwrap_err() {
            assert!(
                problem.render(definition, "a.json").starts_with("error["),
                "{definition:?}"
            );
        }
    }
}

#[test]
fn problems_point_into_the_text() {
    let definition =
        "{\n  \"StartAt\": \"A\",\n  \"States\": {\n    \"A\": {\"Type\": \"Pass\", \"Next\": \"Gone\"}\n  }\n}";
    let problem = &Machine::parse(definition).unwrap_err()[0];
    assert_eq!(
        problem.render(definition, "a.json"),
        "error[MISSING_TRANSITION_TARGET]: Missing 'Next' target: Gone\n  --> a.json:4:35\n   |\n 4 |     \"A\": {\"Type\": \"Pass\", \"Next\": \"Gone\"}\n   |                                   ^^^^^^\n   = hint: no state is called `Gone`\n"
    );
    let span = problem.span.unwrap();
    assert_eq!(
        (problem.severity, span.line, span.column, span.end_column),
        (Severity::Error, 4, 35, 41)
    );
}

#[test]
fn names_and_fields_are_unique() {
    check(
        "{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Succeed\"},\"A\":{\"Type\":\"Succeed\"}}}",
        "SCHEMA_VALIDATION_FAILED: Duplicate field at /States/A",
    );
    let inner = json!({"StartAt": "S", "States": {"S": {"Type": "Pass", "End": true}}});
    check_state(
        json!({"Type": "Map", "ItemProcessor": inner, "End": true}),
        "DUPLICATE_STATE_NAME: Duplicate state name: S at /States/S/ItemProcessor/States/S",
    );
    let inner = json!({"StartAt": "P", "States": {"P": {"Type": "Pass", "Assign": {"x": 1}, "End": true}}});
    check_state(
        json!({"Type": "Map", "ItemProcessor": inner, "Assign": {"x": 1}, "End": true}),
        "SCHEMA_VALIDATION_FAILED: The variable 'x' is already defined in an outer scope at /States/S/ItemProcessor/States/P",
    );
}

#[test]
fn express_machines_do_not_wait_for_callbacks() {
    let definition = json!({"StartAt": "S", "States": {"S": {"Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2", "End": true}}});
    let problems = Machine::parse(&definition.to_string()).unwrap().express_problems();
    assert_eq!(
        problems[0].to_string(),
        "SCHEMA_VALIDATION_FAILED: Express state machine does not support '.sync' service integration at /States/S/Resource"
    );
}
