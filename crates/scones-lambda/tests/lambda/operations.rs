//! Functions, versions, aliases, policies, concurrency, tags.

use crate::common::{ROLE, Server, merge, package};
use bytes::Bytes;
use scones_lambda::CodeLink;
use serde_json::{Value, json};

const SOURCE: &str = "def handler(event, context): return context.function_version";

fn create_input(name: &str, more: Value) -> Value {
    let mut input = json!({
        "FunctionName": name,
        "Runtime": "python3.12",
        "Role": ROLE,
        "Handler": "app.handler",
        "Code": { "ZipFile": package(&[("app.py", SOURCE, 0o644)]) },
    });
    merge(&mut input, more);
    input
}

/// Creates a function with `more` and compares the error.
async fn refused(server: &Server, more: Value, expect: &str) {
    let seen = server
        .call("CreateFunction", create_input("refused", more.clone()))
        .await;
    let seen = seen.map(|_| ()).unwrap_err();
    assert!(seen.starts_with(expect), "{more}\n{seen}\n{expect}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_described_as_aws_does() {
    let server = Server::start().await;
    let created = server
        .call(
            "CreateFunction",
            create_input("f", json!({ "Environment": { "Variables": { "A": "b" } } })),
        )
        .await;
    // One-letter names are refused by AWS.
    assert!(
        created
            .unwrap_err()
            .starts_with("ValidationException: 1 validation error detected: Value at 'environment.variables'")
    );
    let mut created = server
        .create("f", SOURCE, json!({ "Environment": { "Variables": { "AB": "c" } } }))
        .await;
    let modified = created["LastModified"].take();
    let modified = modified.as_str().unwrap();
    assert!(modified.len() == 28 && modified.ends_with("+0000"), "{modified}");
    assert_eq!(created["RevisionId"].take().as_str().unwrap().len(), 36);
    let size = created["CodeSize"].take().as_u64().unwrap();
    assert_eq!(created["CodeSha256"].take().as_str().unwrap().len(), 44);
    assert_eq!(
        created,
        json!({
            "FunctionName": "f",
            "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:f",
            "Runtime": "python3.12",
            "Role": ROLE,
            "Handler": "app.handler",
            "CodeSize": null,
            "Description": "",
            "Timeout": 3,
            "MemorySize": 128,
            "LastModified": null,
            "CodeSha256": null,
            "Version": "$LATEST",
            "Environment": { "Variables": { "AB": "c" } },
            "TracingConfig": { "Mode": "PassThrough" },
            "RevisionId": null,
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "PackageType": "Zip",
            "Architectures": ["x86_64"],
            "EphemeralStorage": { "Size": 512 },
            "SnapStart": { "ApplyOn": "None", "OptimizationStatus": "Off" },
            "LoggingConfig": { "LogFormat": "Text", "LogGroup": "/aws/lambda/f" },
        })
    );
    let again = server.call("CreateFunction", create_input("f", json!({}))).await;
    assert_eq!(
        again.unwrap_err(),
        "ResourceConflictException: Function already exist: f"
    );

    let got = server
        .call("GetFunction", json!({ "FunctionName": "f" }))
        .await
        .unwrap();
    assert_eq!(got["Configuration"]["State"], "Active");
    let location = got["Code"]["Location"].as_str().unwrap();
    let (url, query) = location.split_once('?').unwrap();
    assert_eq!(url, "http://127.0.0.1:4566/_scones/lambda/code");
    let members: serde_json::Map<String, Value> = query
        .split('&')
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap();
            let number = value.parse::<i64>().ok().filter(|_| key == "Expires");
            (
                key.to_owned(),
                number.map_or(json!(value.replace("%24", "$")), Value::from),
            )
        })
        .collect();
    let link: CodeLink = serde_json::from_value(Value::Object(members.clone())).unwrap();
    assert_eq!(server.lambda.open_code(&link).await.unwrap().size, size);
    assert!(!format!("{link:?}").contains(&link.signature));
    let mut forged = members;
    forged["Expires"] = json!(forged["Expires"].as_i64().unwrap() + 1);
    let forged = serde_json::from_value(Value::Object(forged)).unwrap();
    assert_eq!(
        server.lambda.open_code(&forged).await.err().unwrap().code,
        "AccessDenied"
    );

    server
        .call("DeleteFunction", json!({ "FunctionName": "f" }))
        .await
        .unwrap();
    for operation in ["GetFunction", "GetFunctionConfiguration", "DeleteFunction"] {
        assert_eq!(
            server
                .call(operation, json!({ "FunctionName": "f" }))
                .await
                .unwrap_err(),
            "ResourceNotFoundException: Function not found: arn:aws:lambda:us-east-1:000000000000:function:f"
        );
    }
    server.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_aws_refuses_is_refused() {
    let server = Server::start().await;
    let s = &server;
    let value = |name: &str, value: &str, constraint: &str| {
        format!(
            "ValidationException: 1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: Member must {constraint}"
        )
    };
    refused(
        s,
        json!({ "FunctionName": "a b" }),
        &value("functionName", "a b", "satisfy regular expression pattern: "),
    )
    .await;
    refused(
        s,
        json!({ "FunctionName": "f".repeat(65) }),
        &value("functionName", &"f".repeat(65), "have length less than or equal to 64"),
    )
    .await;
    refused(
        s,
        json!({ "Timeout": 0 }),
        &value("timeout", "0", "have value greater than or equal to 1"),
    )
    .await;
    refused(
        s,
        json!({ "Timeout": 901 }),
        &value("timeout", "901", "have value less than or equal to 900"),
    )
    .await;
    refused(
        s,
        json!({ "MemorySize": 127 }),
        &value("memorySize", "127", "have value greater than or equal to 128"),
    )
    .await;
    refused(
        s,
        json!({ "MemorySize": 10241 }),
        &value("memorySize", "10241", "have value less than or equal to 10240"),
    )
    .await;
    refused(
        s,
        json!({ "Handler": "a b" }),
        &value("handler", "a b", "satisfy regular expression pattern: [^\\s]+"),
    )
    .await;
    refused(
        s,
        json!({ "Handler": "h".repeat(129) }),
        &value("handler", &"h".repeat(129), "have length less than or equal to 128"),
    )
    .await;
    refused(
        s,
        json!({ "Role": "role" }),
        &value("role", "role", "satisfy regular expression pattern: arn:"),
    )
    .await;
    refused(
        s,
        json!({ "Role": null }),
        "ValidationException: 1 validation error detected: Value null at 'role'",
    )
    .await;
    refused(
        s,
        json!({ "Runtime": null }),
        "InvalidParameterValueException: Runtime and Handler are mandatory parameters",
    )
    .await;
    refused(
        s,
        json!({ "Runtime": "cobol" }),
        "InvalidParameterValueException: Value cobol at 'runtime' failed to satisfy constraint",
    )
    .await;
    refused(
        s,
        json!({ "Runtime": "nodejs22.x" }),
        "NotImplemented: Scones does not implement the runtime nodejs22.x",
    )
    .await;
    refused(
        s,
        json!({ "PackageType": "Image" }),
        "NotImplemented: Scones does not implement functions with the PackageType Image",
    )
    .await;
    refused(
        s,
        json!({ "Layers": ["arn:aws:lambda:us-east-1:000000000000:layer:l:1"] }),
        "NotImplemented: Scones does not implement a function's Layers",
    )
    .await;
    refused(
        s,
        json!({ "VpcConfig": { "SubnetIds": ["subnet-1"] } }),
        "NotImplemented: Scones does not implement a function's VpcConfig",
    )
    .await;
    refused(s, json!({ "Environment": { "Variables": { "AWS_REGION": "x", "TZ": "y" } } }), "InvalidParameterValueException: Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: AWS_REGION, TZ").await;
    refused(s, json!({ "Environment": { "Variables": { "BIG": "x".repeat(4096) } } }), "InvalidParameterValueException: Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit.").await;
    refused(
        s,
        json!({ "Code": {} }),
        "InvalidParameterValueException: Please provide a source for function code.",
    )
    .await;
    refused(
        s,
        json!({ "Code": { "ZipFile": "" } }),
        "InvalidParameterValueException: Uploaded file must be a non-empty zip",
    )
    .await;
    refused(
        s,
        json!({ "Code": { "ZipFile": "bm8gemlw" } }),
        "InvalidParameterValueException: Could not unzip uploaded file.",
    )
    .await;
    refused(
        s,
        json!({ "Code": { "ZipFile": package(&[("../evil.py", "x", 0o644)]) } }),
        "InvalidParameterValueException: Could not unzip uploaded file.",
    )
    .await;
    refused(
        s,
        json!({ "Code": { "S3Bucket": "b", "S3Key": "k" } }),
        "InvalidParameterValueException: Error occurred while GetObject. S3 Error Code: NoSuchKey.",
    )
    .await;
    refused(
        s,
        json!({ "Code": { "ZipFile": "A".repeat(69_905_072) } }),
        "RequestEntityTooLargeException: Request must be smaller than 69905067 bytes for the CreateFunction operation",
    )
    .await;
    let listed = s.call("ListFunctions", json!({})).await.unwrap();
    assert_eq!(listed, json!({ "Functions": [] }), "nothing refused is there");
    let blank = json!({ "VpcConfig": { "SubnetIds": [], "SecurityGroupIds": [] }, "Layers": [], "KMSKeyArn": "", "SnapStart": { "ApplyOn": "None" } });
    s.create("blank", SOURCE, blank).await;
    s.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_comes_from_s3_too_and_is_replaced() {
    let server = Server::start().await;
    let archive = |text: &str| Bytes::from(crate::common::archive(&[("app.py", text, 0o644)]));
    let put = |key: &str, body: Bytes| {
        server
            .objects
            .0
            .lock()
            .unwrap()
            .insert(("b".to_owned(), key.to_owned()), body)
    };
    put("one", archive("def handler(event, context): return 1"));
    put("two", archive("def handler(event, context): return 2"));
    let created = server
        .call(
            "CreateFunction",
            create_input("f", json!({ "Code": { "S3Bucket": "b", "S3Key": "one" } })),
        )
        .await
        .unwrap();
    assert_eq!(server.result("f", "{}").await, "1");
    let update = |more: Value| {
        let mut input = json!({ "FunctionName": "f", "S3Bucket": "b", "S3Key": "two" });
        merge(&mut input, more);
        input
    };
    let stale = server
        .call("UpdateFunctionCode", update(json!({ "RevisionId": "old" })))
        .await;
    assert!(
        stale
            .unwrap_err()
            .starts_with("PreconditionFailedException: The Revision Id provided")
    );
    let dry = server
        .call("UpdateFunctionCode", update(json!({ "DryRun": true })))
        .await
        .unwrap();
    assert_ne!(dry["CodeSha256"], created["CodeSha256"]);
    assert_eq!(server.result("f", "{}").await, "1", "a dry run changes nothing");
    let updated = server
        .call(
            "UpdateFunctionCode",
            update(json!({ "RevisionId": created["RevisionId"] })),
        )
        .await
        .unwrap();
    assert_eq!(updated["CodeSha256"], dry["CodeSha256"]);
    assert_eq!(server.result("f", "{}").await, "2");
    server.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_aliases_run_what_they_name() {
    let server = Server::start().await;
    let s = &server;
    s.create("f", SOURCE, json!({})).await;
    let publish = json!({ "FunctionName": "f", "Description": "first" });
    let first = s.call("PublishVersion", publish.clone()).await.unwrap();
    assert_eq!(
        (&first["Version"], &first["Description"]),
        (&json!("1"), &json!("first"))
    );
    assert_eq!(
        first["FunctionArn"],
        "arn:aws:lambda:us-east-1:000000000000:function:f:1"
    );
    let same = s.call("PublishVersion", publish).await.unwrap();
    assert_eq!(same["Version"], "1", "nothing has changed");
    s.call(
        "UpdateFunctionConfiguration",
        json!({ "FunctionName": "f", "Timeout": 5 }),
    )
    .await
    .unwrap();
    let second = s.call("PublishVersion", json!({ "FunctionName": "f" })).await.unwrap();
    assert_eq!((&second["Version"], &second["Timeout"]), (&json!("2"), &json!(5)));

    let alias = |version: &str| json!({ "FunctionName": "f", "Name": "live", "FunctionVersion": version });
    let made = s.call("CreateAlias", alias("1")).await.unwrap();
    assert_eq!(
        made["AliasArn"],
        "arn:aws:lambda:us-east-1:000000000000:function:f:live"
    );
    assert_eq!(
        s.call("CreateAlias", alias("2")).await.unwrap_err(),
        "ResourceConflictException: Alias already exists: arn:aws:lambda:us-east-1:000000000000:function:f:live"
    );
    let nine = json!({ "FunctionName": "f", "Name": "nine", "FunctionVersion": "9" });
    assert_eq!(
        s.call("CreateAlias", nine).await.unwrap_err(),
        "ResourceNotFoundException: Function not found: arn:aws:lambda:us-east-1:000000000000:function:f:9"
    );
    assert_eq!(s.result("f:live", "{}").await, "\"1\"");
    s.call("UpdateAlias", alias("2")).await.unwrap();
    for (name, expect) in [
        ("f", "\"$LATEST\""),
        ("f:$LATEST", "\"$LATEST\""),
        ("f:1", "\"1\""),
        ("f:live", "\"2\""),
    ] {
        assert_eq!(s.result(name, "{}").await, expect);
    }
    assert_eq!(s.invoke("f:live", "{}").await.executed_version, "2");

    let delete = |qualifier: &str| s.call("DeleteFunction", json!({ "FunctionName": "f", "Qualifier": qualifier }));
    assert_eq!(
        delete("2").await.unwrap_err(),
        "ResourceConflictException: Unable to delete version because the following aliases reference it: [live]"
    );
    delete("1").await.unwrap();
    assert!(
        delete("$LATEST")
            .await
            .unwrap_err()
            .starts_with("InvalidParameterValueException")
    );
    let versions = s
        .call("ListVersionsByFunction", json!({ "FunctionName": "f" }))
        .await
        .unwrap();
    let numbers: Vec<&Value> = versions["Versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["Version"])
        .collect();
    assert_eq!(numbers, ["$LATEST", "2"]);
    s.call("DeleteAlias", json!({ "FunctionName": "f", "Name": "live" }))
        .await
        .unwrap();
    assert_eq!(
        s.call("GetAlias", json!({ "FunctionName": "f", "Name": "live" }))
            .await
            .unwrap_err(),
        "ResourceNotFoundException: Cannot find alias arn: arn:aws:lambda:us-east-1:000000000000:function:f:live"
    );
    s.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_have_pages() {
    let server = Server::start().await;
    for name in ["c", "a", "b"] {
        server.create(name, SOURCE, json!({})).await;
    }
    let mut seen = Vec::new();
    let mut input = json!({ "MaxItems": 2 });
    loop {
        let page = server.call("ListFunctions", input.clone()).await.unwrap();
        seen.push(
            page["Functions"]
                .as_array()
                .unwrap()
                .iter()
                .map(|it| it["FunctionName"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>(),
        );
        match page.get("NextMarker") {
            Some(marker) => input["Marker"] = marker.clone(),
            None => break,
        }
    }
    assert_eq!(seen, [vec!["a", "b"], vec!["c"]]);
    let wrong = server.call("ListFunctions", json!({ "Marker": "x" })).await;
    assert_eq!(
        wrong.unwrap_err(),
        "InvalidParameterValueException: The marker is not valid."
    );
    server.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_tags_and_concurrency_are_kept() {
    let server = Server::start().await;
    let s = &server;
    s.create("f", SOURCE, json!({ "Tags": { "team": "routing" } })).await;
    let permission = json!({ "FunctionName": "f", "StatementId": "s3", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com", "SourceArn": "arn:aws:s3:::bucket" });
    let added = s.call("AddPermission", permission.clone()).await.unwrap();
    let statement = json!({
        "Sid": "s3",
        "Effect": "Allow",
        "Principal": { "Service": "s3.amazonaws.com" },
        "Action": "lambda:InvokeFunction",
        "Resource": "arn:aws:lambda:us-east-1:000000000000:function:f",
        "Condition": { "ArnLike": { "AWS:SourceArn": "arn:aws:s3:::bucket" } },
    });
    assert_eq!(
        serde_json::from_str::<Value>(added["Statement"].as_str().unwrap()).unwrap(),
        statement
    );
    assert!(
        s.call("AddPermission", permission)
            .await
            .unwrap_err()
            .starts_with("ResourceConflictException: The statement id (s3)")
    );
    let policy = s.call("GetPolicy", json!({ "FunctionName": "f" })).await.unwrap();
    let policy: Value = serde_json::from_str(policy["Policy"].as_str().unwrap()).unwrap();
    assert_eq!(
        policy,
        json!({ "Version": "2012-10-17", "Id": "default", "Statement": [statement] })
    );
    let remove = json!({ "FunctionName": "f", "StatementId": "s3" });
    s.call("RemovePermission", remove.clone()).await.unwrap();
    assert!(
        s.call("RemovePermission", remove)
            .await
            .unwrap_err()
            .starts_with("ResourceNotFoundException")
    );
    assert_eq!(
        s.call("GetPolicy", json!({ "FunctionName": "f" })).await.unwrap_err(),
        "ResourceNotFoundException: The resource you requested does not exist."
    );

    let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
    s.call("TagResource", json!({ "Resource": arn, "Tags": { "stage": "test" } }))
        .await
        .unwrap();
    s.call("UntagResource", json!({ "Resource": arn, "TagKeys": ["team"] }))
        .await
        .unwrap();
    assert_eq!(
        s.call("ListTags", json!({ "Resource": arn })).await.unwrap(),
        json!({ "Tags": { "stage": "test" } })
    );

    s.call(
        "PutFunctionConcurrency",
        json!({ "FunctionName": "f", "ReservedConcurrentExecutions": 7 }),
    )
    .await
    .unwrap();
    let much = s
        .call(
            "PutFunctionConcurrency",
            json!({ "FunctionName": "f", "ReservedConcurrentExecutions": 901 }),
        )
        .await;
    assert!(much.unwrap_err().contains("below its minimum value of [100]"));
    let restarted = server.restart(|_| {}).await;
    let settings = restarted.call("GetAccountSettings", json!({})).await.unwrap();
    assert_eq!(
        settings["AccountLimit"]["UnreservedConcurrentExecutions"], 993,
        "reservations outlive the server"
    );
    assert_eq!(settings["AccountUsage"]["FunctionCount"], 1);
    let got = restarted
        .call("GetFunctionConcurrency", json!({ "FunctionName": "f" }))
        .await
        .unwrap();
    assert_eq!(got, json!({ "ReservedConcurrentExecutions": 7 }));
    assert_eq!(
        restarted.result("f", "{}").await,
        "\"$LATEST\"",
        "code outlives the server"
    );
    restarted.lambda.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_built_says_so() {
    let server = Server::start().await;
    let error = server.call("CreateEventSourceMapping", json!({})).await.unwrap_err();
    assert!(
        error.starts_with("NotImplemented: Scones does not implement CreateEventSourceMapping"),
        "{error}"
    );
    server.lambda.shutdown().await;
}
