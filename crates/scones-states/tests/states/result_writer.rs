//! The results of distributed maps as files in S3.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    common::{Functions, Script, Server, invoke, objects::Objects, text},
    map_runs::{self, pass, picky},
};

/// A distributed map over its input that exports its results below `PREFIX/`.
fn map(processor: Value, writer: Value, mut fields: Value) -> Value {
    let mut exports = json!({
        "Resource": "arn:aws:states:::s3:putObject",
        "Parameters": {"Bucket": "results", "Prefix": "runs"},
    });
    for (name, value) in writer.as_object().unwrap() {
        exports[name] = value.clone();
    }
    fields["ResultWriter"] = exports;
    map_runs::map(processor, fields)
}

struct Exported {
    objects: Arc<Objects>,
    described: Value,
    manifest: Value,
}

impl Exported {
    /// The texts of the files of one kind.
    fn files(&self, kind: &str) -> Vec<String> {
        let files = self.manifest["ResultFiles"][kind].as_array().unwrap();
        let read = |file: &Value| {
            let text = self.objects.text("results", file["Key"].as_str().unwrap());
            assert_eq!(file["Size"], text.len());
            text
        };
        files.iter().map(read).collect()
    }

    /// The one JSON file of a kind.
    fn json(&self, kind: &str) -> Vec<Value> {
        let files = self.files(kind);
        assert_eq!(files.len(), 1, "{}", self.manifest);
        serde_json::from_str(&files[0]).unwrap()
    }
}

fn bucket() -> Arc<Objects> {
    let objects = Arc::new(Objects::default());
    objects.with("results", "README", "");
    objects
}

/// Runs a map to its end and reads its manifest.
async fn export(definition: &Value, input: Value) -> Exported {
    let objects = bucket();
    let server = Server::with_objects(Functions::new([]), Arc::clone(&objects) as _).await;
    let machine = server.machine("m", definition).await;
    let execution = server.start(&machine, input).await;
    let described = server.ended(&execution).await;
    let runs = server.ok("ListMapRuns", json!({"executionArn": execution})).await;
    let arn = text(&runs["mapRuns"][0]["mapRunArn"]);
    let key = format!("runs/{}/manifest.json", arn.rsplit(':').next().unwrap());
    let manifest: Value = serde_json::from_str(&objects.text("results", &key)).unwrap();
    assert_eq!(
        (&manifest["DestinationBucket"], &manifest["MapRunArn"]),
        (&json!("results"), &json!(arn))
    );
    if described["status"] == "SUCCEEDED" {
        let output: Value = serde_json::from_str(described["output"].as_str().unwrap()).unwrap();
        assert_eq!(
            output,
            json!({"MapRunArn": arn, "ResultWriterDetails": {"Bucket": "results", "Key": key}})
        );
    }
    Exported {
        objects,
        described,
        manifest,
    }
}

#[tokio::test]
async fn children_are_described() {
    let exported = export(&map(pass(), json!({}), json!({})), json!(["a", {"b": 1}])).await;
    let children = exported.json("SUCCEEDED");
    assert_eq!(children.len(), 2);
    let (first, second) = (&children[0], &children[1]);
    assert_eq!((&first["Input"], &first["Output"]), (&json!("\"a\""), &json!("\"a\"")));
    assert_eq!(second["Output"], r#"{"b":1}"#);
    assert!(text(&first["ExecutionArn"]).contains(":execution:m/L:"));
    assert!(text(&first["StateMachineArn"]).ends_with(":stateMachine:m/L"));
    assert_eq!(
        (&first["Status"], &first["RedriveStatus"]),
        (&json!("SUCCEEDED"), &json!("NOT_REDRIVABLE"))
    );
    assert!(text(&first["StartDate"]) <= text(&first["StopDate"]));
    assert_eq!((exported.files("FAILED"), exported.files("PENDING")), (vec![], vec![]));
}

#[tokio::test]
async fn transformations_and_forms() {
    let check = async |transformation: &str, output_type: &str, input: Value, extension: &str, expect: &str| {
        let config = json!({"WriterConfig": {"Transformation": transformation, "OutputType": output_type}});
        let exported = export(&map(pass(), config, json!({})), input).await;
        assert_eq!(exported.files("SUCCEEDED"), [expect]);
        let key = text(&exported.manifest["ResultFiles"]["SUCCEEDED"][0]["Key"]);
        assert!(key.ends_with(&format!("/SUCCEEDED_0.{extension}")), "{key}");
    };
    let nested = || json!([[1, 2], {"a": 3}, "x"]);
    check("COMPACT", "JSON", nested(), "json", r#"[[1,2],{"a":3},"x"]"#).await;
    check("COMPACT", "JSONL", nested(), "jsonl", "[1,2]\n{\"a\":3}\n\"x\"\n").await;
    check("FLATTEN", "JSON", nested(), "json", r#"[1,2,{"a":3},"x"]"#).await;
    check("FLATTEN", "JSONL", nested(), "jsonl", "1\n2\n{\"a\":3}\n\"x\"\n").await;
}

#[tokio::test]
async fn the_order_is_that_of_the_items() {
    let items: Vec<u32> = (0..300).collect();
    let config = json!({"WriterConfig": {"Transformation": "COMPACT", "OutputType": "JSON"}});
    let exported = export(&map(pass(), config, json!({})), json!(items)).await;
    assert_eq!(exported.json("SUCCEEDED"), items);
}

#[tokio::test]
async fn results_may_be_larger_than_a_payload() {
    let twice = json!({"Type": "Pass", "Parameters": {"a.$": "$", "b.$": "$"}, "End": true});
    let exported = export(
        &map(twice, json!({}), json!({})),
        json!(["x".repeat(70_000), "y".repeat(70_000)]),
    )
    .await;
    assert_eq!(exported.described["status"], "SUCCEEDED");
    assert!(exported.files("SUCCEEDED")[0].len() > 400_000);
}

#[tokio::test]
async fn no_items_make_no_files() {
    let exported = export(&map(pass(), json!({}), json!({})), json!([])).await;
    assert_eq!(
        exported.manifest["ResultFiles"],
        json!({"FAILED": [], "PENDING": [], "SUCCEEDED": []})
    );
}

#[tokio::test]
async fn failures_have_files_of_their_own() {
    let config = || json!({"WriterConfig": {"Transformation": "COMPACT", "OutputType": "JSON"}});
    let tolerant = map(picky(), config(), json!({"ToleratedFailureCount": 1}));
    let exported = export(&tolerant, json!([1, null, 2])).await;
    assert_eq!(exported.described["status"], "SUCCEEDED");
    assert_eq!(exported.json("SUCCEEDED"), [2, 3]);
    let failed = exported.json("FAILED");
    assert_eq!(
        (&failed[0]["Status"], &failed[0]["Input"]),
        (&json!("FAILED"), &json!("null"))
    );
    assert_eq!(failed[0]["Error"], "States.IntrinsicFailure");
}

#[tokio::test]
async fn a_failed_run_leaves_files_too() {
    let strict = map(picky(), json!({}), json!({"MaxConcurrency": 1}));
    let exported = export(&strict, json!([1, null, 2, 3])).await;
    assert_eq!(exported.described["error"], "States.ExceedToleratedFailureThreshold");
    assert_eq!(
        (exported.json("SUCCEEDED").len(), exported.json("FAILED").len()),
        (1, 1)
    );
    let pending = exported.json("PENDING");
    assert_eq!(pending.len(), 2);
    assert_eq!(
        (&pending[0]["Status"], &pending[0]["Input"]),
        (&json!("PENDING"), &json!("2"))
    );
}

#[tokio::test]
async fn where_results_cannot_go() {
    let functions = Functions::new([("echo", Script::Echo)]);
    let server = Server::with_objects(Arc::clone(&functions) as _, bucket()).await;
    let mut number = 0;
    let mut check = async |parameters: Value, expect: &str| {
        number += 1;
        let definition = map(invoke("echo", None), json!({"Parameters": parameters}), json!({}));
        let machine = server.machine(&format!("m{number}"), &definition).await;
        let described = server.run(&machine, json!([1])).await;
        assert_eq!(described["error"], "States.ResultWriterFailed", "{described}");
        assert!(text(&described["cause"]).contains(expect), "{described}");
    };
    check(
        json!({"Bucket": "nowhere", "Prefix": "p"}),
        "Error Code: NoSuchBucket, Bucket: nowhere, Key: p/",
    )
    .await;
    check(json!({"Prefix": "p"}), "The field 'Bucket' is required but was missing").await;
    check(json!({"Bucket": "results", "Prefix": "p", "Tagging": "t"}), "'Tagging'").await;
    assert_eq!(
        functions.count(),
        0,
        "no child is run for results that cannot be written"
    );
}

#[tokio::test]
async fn a_prefix_is_optional() {
    let objects = bucket();
    let server = Server::with_objects(Functions::new([]), Arc::clone(&objects) as _).await;
    let mut number = 0;
    let mut check = async |parameters: Value, expect: &str| {
        number += 1;
        let definition = map(pass(), json!({"Parameters": parameters}), json!({}));
        let machine = server.machine(&format!("m{number}"), &definition).await;
        let output: Value = serde_json::from_str(&text(&server.run(&machine, json!([1])).await["output"])).unwrap();
        let run = text(&output["MapRunArn"]).rsplit(':').next().unwrap().to_owned();
        let key = text(&output["ResultWriterDetails"]["Key"]);
        assert_eq!(key, expect.replace("RUN", &run));
        objects.text("results", &key);
    };
    check(json!({"Bucket": "results"}), "RUN/manifest.json").await;
    check(json!({"Bucket": "results", "Prefix": "a/b/"}), "a/b/RUN/manifest.json").await;
}
