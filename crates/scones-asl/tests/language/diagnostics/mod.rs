//! What is wrong with a definition, where, and what to do.

mod fields;
mod hints;

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
    // The product of their lengths would take minutes.
    let (long, longer) = ("x".repeat(300_000), "x".repeat(300_001));
    let states = json!({long.clone(): {"Type": "Pass", "Next": longer}});
    let problems = Machine::parse(&json!({"StartAt": long, "States": states}).to_string()).unwrap_err();
    assert!(
        problems
            .iter()
            .any(|problem| problem.message.starts_with("Missing 'Next' target"))
    );
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
