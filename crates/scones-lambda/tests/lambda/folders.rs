//! What lies on the disk while functions come and go.

use std::{fs, path::Path};

use crate::common::{Server, eventually, package};
use scones_lambda::Invoke;
use serde_json::json;

const SOURCE: &str = "def handler(event, context): return 1";

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn unpacked_code_goes_when_no_function_has_it() {
    let server = Server::start().await;
    let code = server.directory.path().join("lambda/code");
    for name in ["f", "same"] {
        server.create(name, SOURCE, json!({})).await;
        assert_eq!(server.result(name, "{}").await, "1");
    }
    assert_eq!(count(&code), 1, "functions with the same package share its folder");
    let update = json!({ "FunctionName": "f", "ZipFile": package(&[("app.py", "def handler(*_): return 2", 0o644)]) });
    server.call("UpdateFunctionCode", update).await.unwrap();
    assert_eq!(server.result("f", "{}").await, "2");
    assert_eq!(server.result("same", "{}").await, "1");
    for (name, left) in [("f", 1), ("same", 0)] {
        server
            .call("DeleteFunction", json!({ "FunctionName": name }))
            .await
            .unwrap();
        eventually(|| (count(&code) == left).then_some(())).await;
    }
    let compiled = server.directory.path().join("lambda/bytecode");
    let code_in = compiled.join(code.strip_prefix("/").unwrap());
    eventually(|| (count(&code_in) == 0).then_some(())).await;
    server.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_stays_while_a_worker_of_a_deleted_function_runs() {
    let server = Server::start().await;
    let gate = server.directory.path().join("gate");
    let source = format!(
        "import os, time\ndef handler(event, context):\n    print('begun', flush=True)\n    \
         while not os.path.exists({gate:?}): time.sleep(0.01)\n    \
         return os.path.exists('app.py') and open('app.py').read(6)"
    );
    server.create("f", &source, json!({ "Timeout": 60 })).await;
    let invoke = Invoke {
        function: "f",
        ..Invoke::default()
    };
    let code = server.directory.path().join("lambda/code");
    let end = async {
        eventually(|| {
            server
                .logs
                .lines("/aws/lambda/f")
                .contains(&"begun".to_owned())
                .then_some(())
        })
        .await;
        server
            .call("DeleteFunction", json!({ "FunctionName": "f" }))
            .await
            .unwrap();
        assert_eq!(count(&code), 1);
        fs::write(&gate, "").unwrap();
    };
    let (invocation, ()) = tokio::join!(server.lambda.invoke(invoke), end);
    assert_eq!(invocation.unwrap().payload, "\"import\"");
    for folder in [&code, &server.directory.path().join("lambda/workers")] {
        eventually(|| (count(folder) == 0).then_some(())).await;
    }
    server.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_sweeps_what_it_made_and_leaves_other_files() {
    let server = Server::start().await;
    server.create("f", SOURCE, json!({})).await;
    assert_eq!(server.result("f", "{}").await, "1");
    let code = server.directory.path().join("lambda/code");
    fs::write(code.join("notes.txt"), "mine").unwrap();
    fs::create_dir(code.join("unpacking-1")).unwrap();
    let server = server.restart(|_| {}).await;
    assert_eq!(count(&code), 2, "the package's folder and the file");
    assert_eq!(fs::read_to_string(code.join("notes.txt")).unwrap(), "mine");
    assert_eq!(server.result("f", "{}").await, "1");
    server.lambda.shutdown().await;
    assert_eq!(count(&server.directory.path().join("lambda/workers")), 0);
}
