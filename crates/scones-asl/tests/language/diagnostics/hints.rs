//! What is probably meant, and what is probably not.

use scones_asl::Machine;
use serde_json::{Value, json};

use super::{accept, check_state, pass, task};

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
fn resources_that_are_nearly_right() {
    let hint = |resource: &str| {
        let task = json!({"Type": "Task", "Resource": resource, "End": true});
        let problems = Machine::check(&json!({"StartAt": "S", "States": {"S": task}}).to_string(), false);
        problems[0].hint.clone().unwrap_or_default()
    };
    let check = |resource: &str, meant: &str| assert_eq!(hint(resource), format!("did you mean `{meant}`?"));
    check(
        "arn:aws:states:::sagmaker:createModel",
        "arn:aws:states:::sagemaker:createModel",
    );
    check("arn:aws:states:::lambda:Invok", "arn:aws:states:::lambda:invoke");
    check(
        "arn:aws:states:::states:startExecution.snyc",
        "arn:aws:states:::states:startExecution.sync",
    );
    check("arn:aws:state:::sns:publish", "arn:aws:states:::sns:publish");
    check(
        "arn:aws:states:::dynamodb:query",
        "arn:aws:states:::aws-sdk:dynamodb:query",
    );
    check(
        "arn:aws:lamda:eu-west-1:1:functon:f:3",
        "arn:aws:lambda:eu-west-1:1:function:f:3",
    );
    check(
        "arn:aws:states:eu-west-1:1:actvity:a",
        "arn:aws:states:eu-west-1:1:activity:a",
    );
    check(
        "arn:aws:states:::aws-sdk:CloudWatchLogs:CreateLogStream",
        "arn:aws:states:::aws-sdk:cloudwatchlogs:createLogStream",
    );
    check(
        "arn:aws:states:::aws-sdk:sagemaker:CreateTrainingJob",
        "arn:aws:states:::aws-sdk:sagemaker:createTrainingJob",
    );
    check(
        "arn:aws:states:::DynamoDB:Query.waitForTaskToken",
        "arn:aws:states:::aws-sdk:dynamodb:query.waitForTaskToken",
    );
    assert_eq!(hint("arn:aws:s3:::bucket/key"), "");
    assert_eq!(hint("arn:aws:lambda:eu-west-1:1:function:a b"), "");
    assert_eq!(hint("arn:aws:states:::"), "");
}

#[test]
fn parameters_that_are_nearly_right() {
    let check = |state: Value, expect: &[&str]| {
        let problems = Machine::check(&json!({"StartAt": "S", "States": {"S": state}}).to_string(), false);
        let shown: Vec<_> = problems
            .iter()
            .map(|problem| {
                let hint = problem
                    .hint
                    .as_ref()
                    .map(|hint| format!("; {hint}"))
                    .unwrap_or_default();
                format!(
                    "{} at {}{hint}",
                    problem.message,
                    problem.location.as_deref().unwrap_or("null")
                )
            })
            .collect();
        assert_eq!(shown, expect, "{state}");
    };
    check(
        task(json!({"Parameters": {"FunctionNam.$": "$.f", "Bogus": 1}})),
        &[
            "The field 'FunctionNam' is not supported by Step Functions at /States/S/Parameters/FunctionNam.$; did you mean `FunctionName`?",
            "The field 'Bogus' is not supported by Step Functions at /States/S/Parameters/Bogus",
            "The field 'FunctionName' is required but was missing at /States/S/Parameters",
        ],
    );
    check(
        task(json!({"QueryLanguage": "JSONata", "Arguments": {"Payload": 1}})),
        &["The field 'FunctionName' is required but was missing at /States/S/Arguments"],
    );
    check(
        task(json!({"QueryLanguage": "JSONata", "Arguments": "{% $states.input %}"})),
        &[],
    );
    check(task(json!({"Parameters": {"FunctionName": "f"}})), &[]);
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
