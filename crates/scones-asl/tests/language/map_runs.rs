//! Distributed maps, as far as the interpreter decides: what is asked of the
//! driver, and what becomes of its answer.

use scones_asl::map_run::{Batching, CsvHeaders, Delimiter, InputType, ItemSource, MapRun, OutputType, Transformation};
use scones_asl::{Diagnostic, Effect, Input, Machine, Outcome};
use serde_json::{Value, json};

use crate::harness::{World, machine};

/// A distributed Map state with `fields` added.
fn distributed(fields: Value) -> Value {
    let mut state = json!({
        "Type": "Map",
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}},
        },
    });
    for (name, value) in fields.as_object().unwrap() {
        state[name] = value.clone();
    }
    machine_of(state)
}

/// One state, and one more where something may be caught.
fn machine_of(mut state: Value) -> Value {
    state["End"] = json!(true);
    let mut states = json!({"S": state});
    if states["S"].get("Catch").is_some() {
        states["Caught"] = json!({"Type": "Pass", "End": true});
    }
    json!({"StartAt": "S", "States": states})
}

fn run_of(fields: Value, input: &str) -> MapRun {
    let mut world = World::start(&distributed(fields), input);
    world
        .map_runs
        .pop()
        .unwrap_or_else(|| panic!("no run: {:?}", world.outcome))
}

fn items(run: &MapRun) -> String {
    let ItemSource::Items(items) = &run.source else {
        panic!("{:?}", run.source)
    };
    let inputs = items
        .iter()
        .enumerate()
        .map(|(index, item)| run.item_input(index as u64, item.clone()).unwrap());
    Value::Array(inputs.collect()).to_string()
}

fn names(world: &World) -> Vec<String> {
    let line = |event: &scones_asl::HistoryEvent| {
        format!("{} {} {}", event.id, event.previous_event_id, event.kind.type_name())
    };
    world.events.iter().map(line).collect()
}

#[test]
fn a_run_that_succeeds() {
    let mut world = World::start(&distributed(json!({"Label": "L"})), "[1,2]");
    let run = world.map_runs.pop().unwrap();
    assert!(
        run.arn
            .starts_with("arn:aws:states:us-east-1:000000000000:mapRun:local/L:"),
        "{}",
        run.arn
    );
    world.apply(Input::TaskSucceeded {
        task: run.task,
        output: "[1,2]".to_owned(),
    });
    assert_eq!(world.outcome, Some(Outcome::Succeeded { output: "[1,2]".into() }));
    assert_eq!(
        names(&world),
        [
            "1 0 ExecutionStarted",
            "2 0 MapStateEntered",
            "3 2 MapStateStarted",
            "4 3 MapRunStarted",
            "5 4 MapRunSucceeded",
            "6 5 MapStateSucceeded",
            "7 4 MapStateExited",
            "8 7 ExecutionSucceeded",
        ]
    );
}

#[test]
fn a_run_that_fails_is_retried_and_caught() {
    let fields = json!({
        "Retry": [{"ErrorEquals": ["States.ItemReaderFailed"], "MaxAttempts": 1}],
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}],
    });
    let mut world = World::start(&distributed(fields), "[1]");
    let mut tried = Vec::new();
    for _ in 0..2 {
        let run = world.map_runs.pop().unwrap();
        world.apply(Input::TaskFailed {
            task: run.task,
            error: Some("States.ItemReaderFailed".to_owned()),
            cause: Some("because".to_owned()),
        });
        tried.push(run.arn);
        world.tick();
    }
    assert_ne!(tried[0], tried[1], "each attempt is a run of its own");
    let output = json!({"Error": "States.ItemReaderFailed", "Cause": "because"}).to_string();
    assert_eq!(world.outcome, Some(Outcome::Succeeded { output: output.into() }));
    assert_eq!(
        names(&world)[2..9],
        [
            "3 2 MapStateStarted",
            "4 3 MapRunStarted",
            "5 4 MapRunFailed",
            "6 5 MapStateStarted",
            "7 6 MapRunStarted",
            "8 7 MapRunFailed",
            "9 8 MapStateFailed",
        ]
    );
}

#[test]
fn a_run_beside_a_branch_that_fails_is_cancelled() {
    let map = distributed(json!({}))["States"]["S"].clone();
    let branch = |state: Value| json!({"StartAt": "B", "States": {"B": state}});
    let fails = json!({"StartAt": "W", "States": {
        "W": {"Type": "Wait", "Seconds": 1, "Next": "F"}, "F": {"Type": "Fail"}}});
    let map_branch = branch(map);
    let mut world = World::start(
        &machine_of(json!({"Type": "Parallel", "Branches": [map_branch, fails]})),
        "[1]",
    );
    let run = world.map_runs.pop().unwrap();
    world.tick();
    assert_eq!(world.cancelled, [run.task]);
    assert!(names(&world).iter().any(|name| name.ends_with("MapRunAborted")));
    // Its late answer changes nothing.
    let step = world.execution.apply(
        Input::TaskSucceeded {
            task: run.task,
            output: "[]".to_owned(),
        },
        world.now,
    );
    assert!(step.events.is_empty() && step.effects.is_empty());
}

#[test]
fn items_are_selected_one_by_one() {
    let check = |fields: Value, input: &str, expect: &str| assert_eq!(items(&run_of(fields, input)), expect);
    check(json!({}), "[1,2]", "[1,2]");
    check(json!({"ItemsPath": "$.a"}), r#"{"a": ["x"]}"#, r#"["x"]"#);
    check(
        json!({"ItemsPath": "$.a", "ItemSelector": {"i.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value", "b.$": "$.b"}}),
        r#"{"a": ["x", "y"], "b": 7}"#,
        r#"[{"i":0,"v":"x","b":7},{"i":1,"v":"y","b":7}]"#,
    );
    // The members of an object, as pairs and in its order.
    let member = json!({"k.$": "$$.Map.Item.Key", "v.$": "$$.Map.Item.Value", "i.$": "$$.Map.Item.Index", "s.$": "$$.Map.Item.Source"});
    check(json!({}), "{}", "[]");
    check(
        json!({}),
        r#"{"b": 1, "a": []}"#,
        r#"[{"Key":"b","Value":1},{"Key":"a","Value":[]}]"#,
    );
    check(
        json!({"ItemsPath": "$.o", "ItemSelector": member}),
        r#"{"o": {"b": 1}}"#,
        r#"[{"k":"b","v":1,"i":0,"s":"STATE_DATA"}]"#,
    );
    let jsonata =
        |items: Value| json!({"QueryLanguage": "JSONata", "Items": items, "ItemSelector": "{% $states.context.Map %}"});
    let shown = r#"[{"Item":{"Index":0,"Key":"b","Value":2,"Source":"STATE_DATA"}}]"#;
    check(jsonata(json!("{% {'b': 2} %}")), "{}", shown);
    check(jsonata(json!({"b": "{% 2 %}"})), "{}", shown);
    let element = r#"[{"Item":{"Index":0,"Value":2,"Source":"STATE_DATA"}}]"#;
    check(jsonata(json!([2])), "{}", element);
    check(
        json!({"QueryLanguage": "JSONata", "Items": "{% [1..2] %}", "ItemSelector": {"v": "{% $states.context.Map.Item.Value * 10 %}"}}),
        "{}",
        r#"[{"v":10},{"v":20}]"#,
    );
}

#[test]
fn random_choices_of_a_selector_are_repeatable() {
    let run = run_of(json!({"ItemSelector": {"u.$": "States.UUID()"}}), "[1,2]");
    let again = |index| run.item_input(index, json!(1).into()).unwrap();
    assert_eq!(again(0), again(0));
    assert_ne!(again(0), again(1));
}

#[test]
fn a_selector_that_fails_names_the_state() {
    let run = run_of(json!({"ItemSelector": {"v.$": "$.missing"}}), "[1]");
    let failure = run.item_input(0, json!(1).into()).unwrap_err();
    assert_eq!(failure.error.as_deref(), Some("States.Runtime"));
    assert!(failure.cause.unwrap().contains("'S' (entered at the event id #2)"));
}

#[test]
fn limits_are_read_from_literals_and_paths() {
    let run = run_of(
        json!({"ItemsPath": "$.a", "MaxConcurrencyPath": "$.c", "ToleratedFailureCountPath": "$.n", "ToleratedFailurePercentage": 12.5}),
        r#"{"a": [], "c": 5, "n": 2}"#,
    );
    assert_eq!(
        (
            run.max_concurrency,
            run.tolerated_failure_count,
            run.tolerated_failure_percentage
        ),
        (5, Some(2), Some(12.5))
    );
    let run = run_of(json!({}), "[]");
    assert_eq!(
        (
            run.max_concurrency,
            run.tolerated_failure_count,
            run.tolerated_failure_percentage
        ),
        (0, None, None)
    );
}

#[test]
fn a_reader_is_handed_out_evaluated() {
    let run = run_of(
        json!({"ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject",
            "Parameters": {"Bucket.$": "$.b", "Key": "k"},
            "ReaderConfig": {"InputType": "CSV", "CSVHeaderLocation": "GIVEN", "CSVHeaders": ["a", "b"], "CSVDelimiter": "PIPE", "MaxItemsPath": "$.m"},
        }}),
        r#"{"b": "bucket", "m": 3}"#,
    );
    let ItemSource::Objects(reader) = run.source else {
        panic!()
    };
    assert_eq!(reader.parameters, json!({"Bucket": "bucket", "Key": "k"}));
    assert_eq!(
        (reader.input_type, reader.delimiter, reader.max_items),
        (Some(InputType::Csv), Delimiter::Pipe, Some(3))
    );
    assert_eq!(
        reader.headers,
        Some(CsvHeaders::Given(vec!["a".to_owned(), "b".to_owned()]))
    );
}

#[test]
fn how_many_items_may_be_read() {
    let check = |config: Value, expect: Option<u64>| {
        let run = run_of(
            json!({"ItemReader": {"Resource": "arn:aws:states:::s3:listObjectsV2", "ReaderConfig": config}}),
            r#"{"m": -1, "n": "7", "b": 100000001}"#,
        );
        let ItemSource::Objects(reader) = run.source else {
            panic!()
        };
        assert_eq!(reader.max_items, expect);
    };
    check(json!({}), Some(100_000_000));
    check(json!({"MaxItems": 0}), Some(100_000_000));
    check(json!({"MaxItems": 5}), Some(5));
    check(json!({"MaxItemsPath": "$.b"}), Some(100_000_000));
    check(json!({"MaxItemsPath": "$.n"}), Some(7));
    // The run is to begin, and to fail.
    check(json!({"MaxItemsPath": "$.m"}), None);
}

#[test]
fn a_batcher_and_a_writer_are_handed_out_evaluated() {
    let run = run_of(
        json!({
            "ItemBatcher": {"MaxItemsPerBatchPath": "$.n", "BatchInput": {"x.$": "$.x"}},
            "ItemsPath": "$.a",
            "ResultWriter": {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b", "Prefix": "p"}, "WriterConfig": {"Transformation": "FLATTEN", "OutputType": "JSONL"}},
        }),
        r#"{"a": [1], "n": 2, "x": 9}"#,
    );
    let batching = Batching {
        max_items: Some(2),
        max_bytes: None,
        input: Some(json!({"x": 9})),
    };
    assert_eq!(run.batching, Some(batching));
    assert_eq!(run.results.destination, Some(json!({"Bucket": "b", "Prefix": "p"})));
    assert_eq!(
        (run.results.transformation, run.results.output_type),
        (Transformation::Flatten, OutputType::JsonLines)
    );
}

#[test]
fn what_is_wrong_at_run_time() {
    let check = |fields: Value, input: &str, expect: &str| {
        let world = World::start(&distributed(fields), input);
        let Some(Outcome::Failed { cause, .. }) = &world.outcome else {
            panic!("{:?}", world.outcome)
        };
        let cause = cause.as_deref().unwrap();
        assert!(cause.ends_with(expect), "{cause}");
    };
    check(json!({}), "1", r#"Reference path "$" must point to array."#);
    check(
        json!({"ItemsPath": "$.a", "ToleratedFailureCountPath": "$.n"}),
        r#"{"a": [], "n": -1}"#,
        "ToleratedFailureCount cannot be negative.",
    );
    check(
        json!({"ItemsPath": "$.a", "ToleratedFailurePercentagePath": "$.n"}),
        r#"{"a": [], "n": 101}"#,
        "ToleratedFailurePercentage must be between 0 and 100.",
    );
    check(
        json!({"ItemsPath": "$.a", "ToleratedFailurePercentagePath": "$.n"}),
        r#"{"a": [], "n": "many"}"#,
        r#"The ToleratedFailurePercentagePath field refers to value "many" which is not a valid float: $.n"#,
    );
}

#[test]
fn what_is_wrong_in_a_definition() {
    let check = |fields: Value, expect: &str| {
        let problems = Machine::parse(&distributed(fields.clone()).to_string()).unwrap_err();
        let shown = problems[0].to_string();
        assert!(shown.contains(expect), "{fields}: {shown}");
    };
    let reader = |config: Value| json!({"ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "Parameters": {}, "ReaderConfig": config}});
    check(
        json!({"Label": "a b"}),
        "INVALID_LABEL_NAME: Label contains invalid character: ' ' at /States/S/Label",
    );
    check(json!({"Label": "x".repeat(41)}), "Label cannot exceed 40 characters");
    check(json!({"ToleratedFailurePercentage": 101}), "Maximum value is 100.0");
    check(json!({"ToleratedFailurePercentage": -1}), "Minimum value is 0.0");
    check(
        json!({"ToleratedFailureCount": 0, "ToleratedFailureCountPath": "$.n"}),
        "There should only be one of the following fields: [ToleratedFailureCount, ToleratedFailureCountPath] at /States/S",
    );
    check(
        json!({"ItemReader": {"Resource": "arn:aws:states:::s3:putObject"}}),
        "is not recognized here",
    );
    check(reader(json!({})), "InputType' is required");
    check(
        reader(json!({"InputType": "XML"})),
        "[CSV, JSON, JSONL, PARQUET, MANIFEST]",
    );
    check(reader(json!({"InputType": "CSV"})), "'CSVHeaderLocation' is required");
    check(
        reader(json!({"InputType": "CSV", "CSVHeaderLocation": "GIVEN"})),
        "These fields are required: [CSVHeaders]",
    );
    check(
        reader(json!({"ManifestType": "ATHENA_DATA"})),
        "InputType' is required to be that of the data",
    );
    check(
        reader(json!({"ManifestType": "S3_INVENTORY", "InputType": "JSON"})),
        "goes without the field",
    );
    check(
        reader(json!({"Transformation": "LOAD_AND_FLATTEN"})),
        "required for the Transformation",
    );
    check(
        json!({"ItemReader": {"Resource": "arn:aws:states:::s3:listObjectsV2", "ReaderConfig": {"Transformation": "LOAD_AND_FLATTEN", "InputType": "MANIFEST"}}}),
        "not manifests",
    );
    check(
        reader(json!({"InputType": "JSON", "ItemsPointer": "a"})),
        "JSON Pointer",
    );
    check(json!({"ItemBatcher": {}}), "At least one of these fields is required");
    check(json!({"ItemBatcher": {"MaxItemsPerBatch": 0}}), "Minimum value is 1");
    check(
        reader(json!({"InputType": "JSON", "MaxItems": 100_000_001})),
        "Maximum value is 100000000",
    );
    check(json!({"ResultWriter": {}}), "'WriterConfig' is required");
    check(
        json!({"ResultWriter": {"WriterConfig": {}}}),
        "These fields are required: [Transformation]",
    );
    let inline = json!({"Type": "Map", "ItemReader": {}, "ItemProcessor": {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": true}}}});
    let problems = Machine::parse(&machine_of(inline).to_string()).unwrap_err();
    let refused = |problem: &Diagnostic| {
        problem
            .to_string()
            .contains("only supported for distributed Map states")
    };
    assert!(problems.iter().any(refused), "{problems:?}");
}

#[test]
fn express_executions_have_no_distributed_maps() {
    let inner = distributed(json!({}));
    let problems = Machine::parse(&inner.to_string()).unwrap().express_problems();
    assert!(
        problems[0]
            .to_string()
            .ends_with("does not support distributed Map states at /States/S")
    );
    let mut outer = distributed(json!({}));
    outer["States"]["S"]["ItemProcessor"] = json!({
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
        "StartAt": "T", "States": {"T": inner["States"]["S"]}});
    let problems = Machine::parse(&outer.to_string()).unwrap_err();
    assert!(
        problems[0].to_string().contains("Express child executions"),
        "{problems:?}"
    );
}

#[test]
fn the_children_run_the_processor() {
    let machine = machine(&distributed(json!({})));
    assert!(machine.item_processor("S").is_some() && machine.item_processor("P").is_none());
}

#[test]
fn a_stopped_execution_cancels_its_run() {
    let mut world = World::start(&distributed(json!({})), "[1]");
    let run = world.map_runs.pop().unwrap();
    let step = world.execution.apply(
        Input::Stop {
            error: None,
            cause: None,
        },
        world.now,
    );
    assert!(step.effects.contains(&Effect::CancelTask(run.task)));
}
