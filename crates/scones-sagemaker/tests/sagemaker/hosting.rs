//! Endpoints, inference and data capture with a stand-in for the classifier.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use scones_sagemaker::{InvokeEndpoint, InvokeError, Options};
use serde_json::{Value, json};

use crate::support::{IMAGE, NOW, ROLE, Server, World, until};

fn variant(name: &str, model: &str, weight: f64) -> Value {
    json!({
        "VariantName": name, "ModelName": model, "InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 1,
        "InitialVariantWeight": weight
    })
}

async fn create_model(server: &Server, name: &str) {
    let container = json!({"Image": IMAGE, "ModelDataUrl": format!("s3://data/models/{name}.tar.gz")});
    let model = json!({"ModelName": name, "ExecutionRoleArn": ROLE, "PrimaryContainer": container});
    server.ok("CreateModel", model).await;
}

async fn create_config(server: &Server, name: &str, variants: Value, capture: Value) {
    let mut config = json!({"EndpointConfigName": name, "ProductionVariants": variants});
    if !capture.is_null() {
        config["DataCaptureConfig"] = capture;
    }
    server.ok("CreateEndpointConfig", config).await;
}

/// Model, configuration and endpoint of one name.
pub async fn create(server: &Server, name: &str, capture: Value) {
    create_model(server, name).await;
    create_endpoint(server, name, capture).await;
}

async fn create_endpoint(server: &Server, name: &str, capture: Value) {
    create_config(server, name, json!([variant("AllTraffic", name, 1.0)]), capture).await;
    server
        .ok(
            "CreateEndpoint",
            json!({"EndpointName": name, "EndpointConfigName": name}),
        )
        .await;
}

pub async fn deploy(server: &Server, name: &str, capture: Value) {
    create(server, name, capture).await;
    server.endpoint_when(name, "InService").await;
}

fn request(endpoint: &str, body: &'static str) -> InvokeEndpoint {
    InvokeEndpoint {
        endpoint_name: endpoint.to_owned(),
        content_type: Some("image/png".to_owned()),
        body: body.into(),
        ..Default::default()
    }
}

/// `VARIANT BODY`, or the error with its status.
async fn invoke(server: &Server, call: InvokeEndpoint) -> String {
    match server.0.invoke_endpoint(call).await {
        Ok(inference) => {
            format!(
                "{} {}",
                inference.invoked_variant,
                String::from_utf8(inference.body.to_vec()).unwrap()
            )
        }
        Err(InvokeError::Api(error)) => format!("{} {error}", error.status),
        Err(InvokeError::Model(error)) => {
            format!(
                "{} {} {}",
                error.error_code(),
                error.original_status_code,
                error.original_message
            )
        }
    }
}

#[tokio::test]
async fn an_endpoint_answers() {
    let world = World::new();
    let server = world.start("exit 1").await;
    deploy(&server, "quarter", json!(null)).await;
    assert_eq!(
        invoke(&server, request("quarter", "image")).await,
        "AllTraffic [0.25, 0.75]"
    );
    let lines = InvokeEndpoint {
        accept: Some("application/jsonlines".to_owned()),
        ..request("quarter", "image")
    };
    assert_eq!(
        invoke(&server, lines).await,
        "AllTraffic {\"prediction\": [0.25, 0.75]}\n"
    );
    let endpoint = server.ok("DescribeEndpoint", json!({"EndpointName": "quarter"})).await;
    let shown = &endpoint["ProductionVariants"][0];
    assert_eq!(
        (&shown["VariantName"], &shown["CurrentWeight"]),
        (&json!("AllTraffic"), &json!(1.0))
    );
    assert_eq!(shown["DeployedImages"][0]["SpecifiedImage"], IMAGE);
    assert_eq!(endpoint["EndpointConfigName"], "quarter");
    assert!(endpoint.get("DataCaptureConfig").is_none());
    server.ok("DeleteEndpoint", json!({"EndpointName": "quarter"})).await;
    assert_eq!(
        invoke(&server, request("quarter", "image")).await,
        "400 ValidationError: Endpoint quarter of account 000000000000 not found."
    );
    assert_eq!(server.ok("ListEndpoints", json!({})).await["Endpoints"], json!([]));
    server.0.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_answered_is_the_models_error() {
    let world = World::new();
    let server = world.start("exit 1").await;
    deploy(&server, "half", json!(null)).await;
    let check = async |call: InvokeEndpoint, expect: &str| {
        let got = invoke(&server, call).await;
        assert!(got.starts_with(expect), "{got}");
    };
    let image = || request("half", "image");
    let typed = |kind: &str| InvokeEndpoint {
        content_type: Some(kind.to_owned()),
        ..image()
    };
    check(
        request("half", "broken"),
        "CLIENT_ERROR_FROM_MODEL 400 Unable to evaluate payload provided: not a PNG",
    )
    .await;
    check(request("half", "panic"), "INTERNAL_FAILURE_FROM_MODEL 500").await;
    check(
        typed("application/json"),
        "CLIENT_ERROR_FROM_MODEL 415 Content-type application/json not supported.",
    )
    .await;
    check(
        InvokeEndpoint {
            content_type: None,
            ..image()
        },
        "CLIENT_ERROR_FROM_MODEL 415",
    )
    .await;
    check(
        InvokeEndpoint {
            accept: Some("text/csv".to_owned()),
            ..image()
        },
        "CLIENT_ERROR_FROM_MODEL 406",
    )
    .await;
    check(
        InvokeEndpoint {
            target_variant: Some("x".to_owned()),
            ..image()
        },
        "400 ValidationError: Variant x not found",
    )
    .await;
    check(
        InvokeEndpoint {
            target_model: Some("model.tar.gz".to_owned()),
            ..image()
        },
        "400 ValidationError: Endpoint half is not a multi-model endpoint and does not support target model header.",
    )
    .await;
    check(
        request("none", "image"),
        "400 ValidationError: Endpoint none of account 000000000000 not found.",
    )
    .await;
    let large = vec![0; scones_sagemaker::limits::INVOKE_BODY_BYTES_MAX + 1];
    check(
        InvokeEndpoint {
            body: large.into(),
            ..image()
        },
        "400 ValidationError: Request has oversize body: at most 26214400 bytes are taken.",
    )
    .await;
    check(typed("application/x-image"), "AllTraffic [0.5, 0.5]").await;

    let Err(InvokeError::Model(error)) = server.0.invoke_endpoint(request("half", "broken")).await else {
        panic!()
    };
    assert_eq!(
        error.log_stream_arn,
        "arn:aws:logs:us-east-1:000000000000:log-group:/aws/sagemaker/Endpoints/half"
    );
    assert!(
        error
            .message
            .starts_with("Received client error (400) from primary with message \"Unable"),
        "{error}"
    );
    let group = "/aws/sagemaker/Endpoints/half";
    assert!(
        error.message.ends_with(&format!(
            "See the log group {group} in account 000000000000 for more information."
        )),
        "{error}"
    );
    assert!(!world.logs.group(group).0.is_empty());
    server.0.shutdown().await;
}

#[tokio::test]
async fn an_endpoint_that_is_not_in_service_says_so() {
    let world = World::new();
    let server = world.start("exit 1").await;
    world.loader.shut.store(true, Ordering::SeqCst);
    create(&server, "half", json!(null)).await;
    assert_eq!(
        invoke(&server, request("half", "image")).await,
        "400 ValidationError: Endpoint half of account 000000000000 is not in service: its status is Creating."
    );
    for (operation, input) in [
        ("DeleteEndpoint", json!({"EndpointName": "half"})),
        (
            "UpdateEndpoint",
            json!({"EndpointName": "half", "EndpointConfigName": "half"}),
        ),
    ] {
        assert_eq!(
            server.call(operation, input).await.unwrap_err(),
            "ValidationException: Cannot update in-progress endpoint \"arn:aws:sagemaker:us-east-1:000000000000:endpoint/half\"."
        );
    }
    world.loader.shut.store(false, Ordering::SeqCst);
    server.endpoint_when("half", "InService").await;
    let again = server
        .call(
            "CreateEndpoint",
            json!({"EndpointName": "half", "EndpointConfigName": "half"}),
        )
        .await;
    assert!(
        again
            .unwrap_err()
            .starts_with("ValidationException: Cannot create already existing endpoint \"arn:")
    );

    create(&server, "broken", json!(null)).await;
    let failed = server.endpoint_when("broken", "Failed").await;
    let reason = failed["FailureReason"].as_str().unwrap();
    assert!(
        reason.contains("s3://data/models/broken.tar.gz cannot be loaded: it is not a model"),
        "{reason}"
    );
    world.objects.insert("data", "models/missing.tar.gz", "0.5");
    create_model(&server, "missing").await;
    world.objects.remove("data", "models/missing.tar.gz");
    create_endpoint(&server, "missing", json!(null)).await;
    let failed = server.endpoint_when("missing", "Failed").await;
    let reason = failed["FailureReason"].as_str().unwrap();
    assert!(
        reason.starts_with(
            "Failed to download model data for container \"container_1\" from URL: \"s3://data/models/missing.tar.gz\"."
        ),
        "{reason}"
    );
    server.ok("DeleteEndpoint", json!({"EndpointName": "missing"})).await;
    server.0.shutdown().await;
}

#[tokio::test]
async fn updates_switch_when_loaded_and_keep_the_old_on_failure() {
    let world = World::new();
    let server = world.start("exit 1").await;
    deploy(&server, "half", json!(null)).await;
    create_model(&server, "quarter").await;
    create_model(&server, "broken").await;
    let both = json!([variant("a", "half", 1.0), variant("b", "quarter", 0.0)]);
    create_config(&server, "both", both, json!(null)).await;
    create_config(&server, "bad", json!([variant("a", "broken", 1.0)]), json!(null)).await;

    server
        .ok(
            "UpdateEndpoint",
            json!({"EndpointName": "half", "EndpointConfigName": "bad"}),
        )
        .await;
    let kept = server.endpoint_when("half", "InService").await;
    assert!(
        kept["FailureReason"].as_str().unwrap().contains("not a model"),
        "{kept}"
    );
    assert_eq!(kept["EndpointConfigName"], "half");
    assert_eq!(invoke(&server, request("half", "image")).await, "AllTraffic [0.5, 0.5]");

    server
        .ok(
            "UpdateEndpoint",
            json!({"EndpointName": "half", "EndpointConfigName": "both"}),
        )
        .await;
    let updated = server.endpoint_when("half", "InService").await;
    assert_eq!(updated["EndpointConfigName"], "both");
    assert!(updated.get("FailureReason").is_none());
    assert_eq!(invoke(&server, request("half", "image")).await, "a [0.5, 0.5]");
    let target = InvokeEndpoint {
        target_variant: Some("b".to_owned()),
        ..request("half", "image")
    };
    assert_eq!(invoke(&server, target).await, "b [0.25, 0.75]");

    let weights = |wishes: Value| json!({"EndpointName": "half", "DesiredWeightsAndCapacities": wishes});
    let shift = json!([{"VariantName": "a", "DesiredWeight": 0}, {"VariantName": "b", "DesiredWeight": 3.5}]);
    world.loader.shut.store(true, Ordering::SeqCst);
    server.ok("UpdateEndpointWeightsAndCapacities", weights(shift)).await;
    // One change at a time: a later one waits for the end of this one, and what served serves on.
    let again = server
        .call("UpdateEndpointWeightsAndCapacities", weights(json!([])))
        .await;
    assert!(again.unwrap_err().contains("Cannot update in-progress endpoint"));
    assert_eq!(invoke(&server, request("half", "image")).await, "a [0.5, 0.5]");
    world.loader.shut.store(false, Ordering::SeqCst);
    let described = server.endpoint_when("half", "InService").await;
    assert_eq!(invoke(&server, request("half", "image")).await, "b [0.25, 0.75]");
    assert_eq!(described["ProductionVariants"][1]["DesiredWeight"], 3.5);
    let unknown = server
        .call(
            "UpdateEndpointWeightsAndCapacities",
            weights(json!([{"VariantName": "z"}])),
        )
        .await;
    assert!(
        unknown
            .unwrap_err()
            .starts_with("ValidationException: The variant name(s) \"z\"")
    );
    server.0.shutdown().await;
}

fn capture(percentage: u8) -> Value {
    json!({
        "EnableCapture": true,
        "InitialSamplingPercentage": percentage,
        "DestinationS3Uri": "s3://out/captured/",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]}
    })
}

fn captured(world: &World) -> BTreeMap<String, String> {
    let keys = world
        .objects
        .keys("out")
        .into_iter()
        .filter(|key| key.starts_with("captured/"));
    keys.map(|key| {
        let body = world.objects.get("out", &key).unwrap();
        (key, String::from_utf8(body.to_vec()).unwrap())
    })
    .collect()
}

#[tokio::test]
async fn inferences_are_captured_as_aws_writes_them() {
    let world = World::new();
    let server = world.start("exit 1").await;
    deploy(&server, "half", capture(100)).await;
    let endpoint = server.ok("DescribeEndpoint", json!({"EndpointName": "half"})).await;
    assert_eq!(
        endpoint["DataCaptureConfig"],
        json!({
            "EnableCapture": true, "CaptureStatus": "Started", "CurrentSamplingPercentage": 100,
            "DestinationS3Uri": "s3://out/captured/", "KmsKeyId": ""
        })
    );
    let identified = InvokeEndpoint {
        inference_id: Some("mine".to_owned()),
        ..request("half", "image")
    };
    invoke(&server, identified).await;
    invoke(&server, request("half", "image")).await;
    invoke(&server, request("half", "broken")).await;
    world.clock.advance(Duration::from_secs(3600));
    invoke(&server, request("half", "later")).await;
    server.0.shutdown().await;
    let shown: Vec<String> = captured(&world)
        .into_iter()
        .map(|(key, body)| format!("{key}\n{body}"))
        .collect();
    insta::with_settings!({filters => vec![(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID")]}, {
        insta::assert_snapshot!(shown.concat(), @r#"
        captured/half/AllTraffic/2026/11/23/05/17-09-250-UUID.jsonl
        {"captureData":{"endpointInput":{"observedContentType":"image/png","mode":"INPUT","data":"aW1hZ2U=","encoding":"BASE64"},"endpointOutput":{"observedContentType":"application/json","mode":"OUTPUT","data":"[0.5, 0.5]","encoding":"JSON"}},"eventMetadata":{"eventId":"UUID","inferenceId":"mine","inferenceTime":"2026-11-23T05:17:09Z"},"eventVersion":"0"}
        {"captureData":{"endpointInput":{"observedContentType":"image/png","mode":"INPUT","data":"aW1hZ2U=","encoding":"BASE64"},"endpointOutput":{"observedContentType":"application/json","mode":"OUTPUT","data":"[0.5, 0.5]","encoding":"JSON"}},"eventMetadata":{"eventId":"UUID","inferenceTime":"2026-11-23T05:17:09Z"},"eventVersion":"0"}
        captured/half/AllTraffic/2026/11/23/06/17-09-250-UUID.jsonl
        {"captureData":{"endpointInput":{"observedContentType":"image/png","mode":"INPUT","data":"bGF0ZXI=","encoding":"BASE64"},"endpointOutput":{"observedContentType":"application/json","mode":"OUTPUT","data":"[0.5, 0.5]","encoding":"JSON"}},"eventMetadata":{"eventId":"UUID","inferenceTime":"2026-11-23T06:17:09Z"},"eventVersion":"0"}
        "#);
    });
}

fn records(world: &World) -> usize {
    captured(world).values().map(|body| body.lines().count()).sum()
}

#[tokio::test]
async fn the_sample_is_of_the_size_asked_for() {
    for (percentage, range) in [(0, 0..=0), (30, 240..=360), (100, 1000..=1000)] {
        let world = World::new();
        let server = world.start("exit 1").await;
        deploy(&server, "half", capture(percentage)).await;
        for _ in 0..1000 {
            invoke(&server, request("half", "image")).await;
        }
        server.0.shutdown().await;
        let records = records(&world);
        assert!(range.contains(&records), "{percentage}%: {records}");
    }
}

#[tokio::test]
async fn captured_files_are_written_in_time_and_when_full() {
    let world = World::new();
    let mut options = Options {
        directory: world.folder.path().join("work"),
        ..Options::default()
    };
    options.capture.flush_milliseconds = 1;
    let server = world.start_with(options.clone()).await;
    deploy(&server, "half", capture(100)).await;
    invoke(&server, request("half", "image")).await;
    until("the file", || records(&world) == 1).await;
    server.0.shutdown().await;

    options.capture.flush_milliseconds = 3_600_000;
    options.capture.records_per_file_max = 2;
    let server = world.start_with(options).await;
    for _ in 0..3 {
        invoke(&server, request("half", "image")).await;
    }
    until("the file", || records(&world) == 3).await;
    server.0.shutdown().await;
    assert_eq!(records(&world), 4);
}

#[tokio::test]
async fn a_full_queue_drops_and_counts_and_never_blocks() {
    let world = World::new();
    let mut options = Options {
        directory: world.folder.path().join("work"),
        ..Options::default()
    };
    options.capture.flush_milliseconds = 3_600_000;
    options.capture.queue_bytes_max = 2048;
    let server = world.start_with(options).await;
    deploy(&server, "half", capture(100)).await;
    for _ in 0..5 {
        assert_eq!(invoke(&server, request("half", "image")).await, "AllTraffic [0.5, 0.5]");
    }
    assert_eq!(server.0.captures_dropped(), 3);
    server.0.shutdown().await;
    assert_eq!(records(&world), 2);
}

#[tokio::test]
async fn every_kind_is_listed_in_its_own_words() {
    let world = World::new();
    let server = world.start("exit 1").await;
    for name in ["half", "quarter", "broken"] {
        deploy_or_fail(&server, name).await;
        world.clock.advance(Duration::from_secs(1));
    }
    let check = async |operation: &str, member: &str, name: &str, input: Value, expect: &[&str]| {
        let answer = server.ok(operation, input.clone()).await;
        let names: Vec<&str> = answer[member]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry[name].as_str().unwrap())
            .collect();
        assert_eq!(names, expect, "{operation} {input} {answer}");
        assert_eq!(
            answer.get("NextToken").is_some(),
            input.get("MaxResults").is_some(),
            "{answer}"
        );
    };
    let kinds = [
        ("ListModels", "Models", "ModelName"),
        ("ListEndpointConfigs", "EndpointConfigs", "EndpointConfigName"),
        ("ListEndpoints", "Endpoints", "EndpointName"),
    ];
    for (operation, member, name) in kinds {
        let after = NOW.as_millis() as f64 / 1000.0 + 0.5;
        for (input, expect) in [
            (json!({}), ["broken", "quarter", "half"].as_slice()),
            (
                json!({"SortBy": "Name", "SortOrder": "Ascending"}),
                &["broken", "half", "quarter"],
            ),
            (json!({"NameContains": "AR"}), &["quarter"]),
            (json!({"CreationTimeAfter": after}), &["broken", "quarter"]),
            (json!({"CreationTimeBefore": after}), &["half"]),
            (json!({"MaxResults": 1}), &["broken"]),
        ] {
            check(operation, member, name, input, expect).await;
        }
        // Models and configurations have no status to ask for.
        let failed = json!({"StatusEquals": "Failed"});
        let expect: &[&str] = if member == "Endpoints" {
            &["broken"]
        } else {
            &["broken", "quarter", "half"]
        };
        check(operation, member, name, failed, expect).await;
    }
    server.0.shutdown().await;
}

/// An endpoint whose deployment has come to its end.
async fn deploy_or_fail(server: &Server, name: &str) {
    create(server, name, json!(null)).await;
    server
        .endpoint_when(name, if name == "broken" { "Failed" } else { "InService" })
        .await;
}

#[tokio::test]
async fn tags_belong_to_their_resource() {
    let world = World::new();
    let server = world.start("exit 1").await;
    create_model(&server, "half").await;
    let arn = "arn:aws:sagemaker:us-east-1:000000000000:model/half";
    let tags = |pairs: &[(&str, &str)]| -> Value {
        pairs
            .iter()
            .map(|(key, value)| json!({"Key": key, "Value": value}))
            .collect()
    };
    server
        .ok(
            "AddTags",
            json!({"ResourceArn": arn, "Tags": tags(&[("a", "1"), ("b", "2")])}),
        )
        .await;
    let added = server
        .ok("AddTags", json!({"ResourceArn": arn, "Tags": tags(&[("a", "3")])}))
        .await;
    assert_eq!(added["Tags"], tags(&[("a", "3"), ("b", "2")]));
    server
        .ok("DeleteTags", json!({"ResourceArn": arn, "TagKeys": ["b"]}))
        .await;
    assert_eq!(
        server.ok("ListTags", json!({"ResourceArn": arn})).await["Tags"],
        tags(&[("a", "3")])
    );
    server.ok("DeleteModel", json!({"ModelName": "half"})).await;
    create_model(&server, "half").await;
    assert_eq!(
        server.ok("ListTags", json!({"ResourceArn": arn})).await["Tags"],
        json!([])
    );
    server.0.shutdown().await;
}

#[tokio::test]
async fn a_model_that_takes_one_image_at_a_time_leaves_places_to_others() {
    let world = World::new();
    let options = Options {
        inferences_at_once: 2,
        directory: world.folder.path().join("work"),
        ..Options::default()
    };
    let server = world.start_with(options).await;
    deploy(&server, "alone", json!(null)).await;
    deploy(&server, "half", json!(null)).await;
    world.loader.slow.shut.store(true, Ordering::SeqCst);
    let slow = [(); 3].map(|()| {
        let service = Arc::clone(&server.0);
        tokio::spawn(async move { service.invoke_endpoint(request("alone", "slow")).await })
    });
    let begun = || world.loader.slow.begun.load(Ordering::SeqCst);
    until("a slow inference", || begun() == 1).await;
    let other = tokio::time::timeout(Duration::from_secs(60), invoke(&server, request("half", "image")));
    assert_eq!(other.await.unwrap(), "AllTraffic [0.5, 0.5]");
    assert_eq!(begun(), 1);
    world.loader.slow.shut.store(false, Ordering::SeqCst);
    for answer in slow {
        assert_eq!(&answer.await.unwrap().unwrap().body[..], b"[0.75, 0.25]");
    }
}
