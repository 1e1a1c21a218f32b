//! What is refused, and in which words. One line a case.

use serde_json::{Value, json};

use crate::support::{Server, World, training_job};

async fn server() -> (World, Server) {
    let world = World::new();
    let server = world.start("exit 1").await;
    (world, server)
}

async fn check(server: &Server, operation: &str, input: Value, expect: &str) {
    let got = server
        .call(operation, input.clone())
        .await
        .map_or_else(|error| error, |answer| answer.to_string());
    assert!(
        got.starts_with(expect),
        "{operation} {input}\n     got {got}\n  expect {expect}"
    );
}

/// A good request with one member changed; null takes it away.
fn with(mut request: Value, pointer: &str, value: Value) -> Value {
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    let parent = request.pointer_mut(parent).unwrap();
    if value.is_null() {
        parent.as_object_mut().unwrap().remove(member);
    } else {
        parent[member] = value;
    }
    request
}

#[tokio::test]
async fn training_jobs() {
    let (_world, server) = server().await;
    let cases = [
        (
            "/TrainingJobName",
            Value::Null,
            "ValidationException: 1 validation error detected: Value null at 'trainingJobName' failed to satisfy constraint: Member must not be null",
        ),
        (
            "/TrainingJobName",
            json!("a_b"),
            "ValidationException: 1 validation error detected: Value 'a_b' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        ),
        (
            "/TrainingJobName",
            json!("a".repeat(64)),
            "ValidationException: 1 validation error detected",
        ),
        (
            "/RoleArn",
            json!("SageMakerRole-but-no-arn"),
            "ValidationException: 1 validation error detected: Value 'SageMakerRole-but-no-arn' at 'roleArn'",
        ),
        (
            "/AlgorithmSpecification/TrainingImage",
            Value::Null,
            "ValidationException: Either TrainingImage or AlgorithmName",
        ),
        (
            "/AlgorithmSpecification/TrainingImage",
            json!("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1"),
            "ValidationException: The image \"683313688378.dkr.ecr",
        ),
        (
            "/AlgorithmSpecification/TrainingInputMode",
            json!("Stream"),
            "ValidationException: 1 validation error detected: Value 'Stream' at 'algorithmSpecification.trainingInputMode' failed to satisfy constraint: Member must satisfy enum value set: [Pipe, File, FastFile]",
        ),
        (
            "/AlgorithmSpecification/MetricDefinitions",
            json!([{"Name": "a", "Regex": "b"}]),
            "ValidationException: You can't override the metric definitions",
        ),
        ("/AlgorithmSpecification/AlgorithmName", json!("mine"), "NotImplemented"),
        ("/HyperParameters/num_classes", json!(2), "SerializationException"),
        (
            "/HyperParameters/num_classes",
            json!("2".repeat(2501)),
            "ValidationException: 1 validation error detected",
        ),
        (
            "/OutputDataConfig/S3OutputPath",
            json!("out/models"),
            "ValidationException: 1 validation error detected: Value 'out/models' at 'outputDataConfig.s3OutputPath'",
        ),
        (
            "/ResourceConfig/InstanceType",
            Value::Null,
            "ValidationException: 1 validation error detected: Value null at 'resourceConfig.instanceType'",
        ),
        (
            "/ResourceConfig/InstanceCount",
            json!(0),
            "ValidationException: 1 validation error detected: Value '0' at 'resourceConfig.instanceCount'",
        ),
        (
            "/ResourceConfig/InstanceCount",
            json!(2),
            "NotImplemented: Scones does not implement training on 2 instances (ResourceConfig.InstanceCount): one machine trains; use 1",
        ),
        (
            "/ResourceConfig/InstanceGroups",
            json!([{"InstanceGroupName": "g"}]),
            "NotImplemented: Scones does not implement heterogeneous clusters (ResourceConfig.InstanceGroups)",
        ),
        (
            "/ResourceConfig/VolumeKmsKeyId",
            json!("key"),
            "NotImplemented: Scones does not implement customer keys (ResourceConfig.VolumeKmsKeyId)",
        ),
        (
            "/OutputDataConfig/KmsKeyId",
            json!("key"),
            "NotImplemented: Scones does not implement customer keys (OutputDataConfig.KmsKeyId)",
        ),
        (
            "/CheckpointConfig",
            json!({"S3Uri": "s3://out/checkpoints"}),
            "NotImplemented: Scones does not implement checkpoints (CheckpointConfig)",
        ),
        (
            "/StoppingCondition/MaxRuntimeInSeconds",
            json!(0),
            "ValidationException: 1 validation error detected: Value '0' at 'stoppingCondition.maxRuntimeInSeconds'",
        ),
        (
            "/Tags",
            json!([{"Key": "", "Value": "x"}]),
            "ValidationException: 1 validation error detected: Value '' at 'tags.1.member.key'",
        ),
        (
            "/Environment",
            json!({"1A": "x"}),
            "ValidationException: 1 validation error detected: Value '1A' at 'environment.key'",
        ),
        (
            "/InputDataConfig/0/ChannelName",
            json!("validation"),
            "ValidationException: Channel names must be unique",
        ),
        (
            "/InputDataConfig/0/ChannelName",
            json!(".."),
            "ValidationException: 1 validation error detected: Value '..'",
        ),
        (
            "/InputDataConfig/0/RecordWrapperType",
            json!("RecordIO"),
            "NotImplemented: Scones does not implement channel train's RecordWrapperType RecordIO beside S3DataType S3Prefix",
        ),
        (
            "/InputDataConfig/0/DataSource",
            json!({"FileSystemDataSource": {}}),
            "NotImplemented: Scones does not implement channel train's data source",
        ),
        (
            "/InputDataConfig/0/DataSource/S3DataSource/S3DataType",
            json!("Converse"),
            "NotImplemented: Scones does not implement channel train's S3DataType Converse",
        ),
        (
            "/InputDataConfig/0/DataSource/S3DataSource/S3DataType",
            json!("AugmentedManifestFile"),
            "ValidationException: Channel train has the S3DataType AugmentedManifestFile, which needs the input mode Pipe.",
        ),
        (
            "/InputDataConfig/0/DataSource/S3DataSource/S3Uri",
            json!("s3://data/none"),
            "ValidationException: No S3 objects found under S3 URL \"s3://data/none\" given in input data source. Please ensure that the bucket exists in the selected region (us-east-1)",
        ),
        (
            "/InputDataConfig/0/DataSource/S3DataSource/S3Uri",
            json!("s3://nowhere/a"),
            "ValidationException: No S3 objects found under S3 URL \"s3://nowhere/a\"",
        ),
    ];
    for (pointer, value, expect) in cases {
        check(
            &server,
            "CreateTrainingJob",
            with(training_job("job"), pointer, value),
            expect,
        )
        .await;
    }
    assert_eq!(
        server.ok("ListTrainingJobs", json!({})).await["TrainingJobSummaries"],
        json!([])
    );
    check(
        &server,
        "DescribeTrainingJob",
        json!({"TrainingJobName": "none"}),
        "ValidationException: Requested resource not found.",
    )
    .await;
    check(
        &server,
        "StopTrainingJob",
        json!({"TrainingJobName": "none"}),
        "ValidationException: Requested resource not found.",
    )
    .await;
    check(
        &server,
        "DescribeTrainingJob",
        json!({}),
        "ValidationException: 1 validation error detected: Value null at 'trainingJobName'",
    )
    .await;
    check(
        &server,
        "ListTrainingJobs",
        json!({"StatusEquals": "Done"}),
        "ValidationException: 1 validation error detected",
    )
    .await;
    check(
        &server,
        "ListTrainingJobs",
        json!({"MaxResults": 101}),
        "ValidationException: 1 validation error detected",
    )
    .await;
    check(&server, "CreateTransformJob", json!({}), "NotImplemented").await;
}

#[tokio::test]
async fn models_and_configurations() {
    let (_world, server) = server().await;
    let image = crate::support::IMAGE;
    let container = json!({"Image": image, "ModelDataUrl": "s3://data/models/half.tar.gz", "Environment": {}});
    let model = json!({"ModelName": "m", "ExecutionRoleArn": crate::support::ROLE, "PrimaryContainer": container});
    check(
        &server,
        "CreateModel",
        with(model.clone(), "/PrimaryContainer", Value::Null),
        "ValidationException: At least one container",
    )
    .await;
    check(
        &server,
        "CreateModel",
        with(model.clone(), "/Containers", json!([container])),
        "ValidationException: You cannot specify both",
    )
    .await;
    check(
        &server,
        "CreateModel",
        with(model.clone(), "/PrimaryContainer/Image", Value::Null),
        "ValidationException: One of Image or ModelPackageName",
    )
    .await;
    check(
        &server,
        "CreateModel",
        with(model.clone(), "/PrimaryContainer/Image", json!("nginx:1")),
        "ValidationException: The image \"nginx:1\" cannot run here",
    )
    .await;
    check(
        &server,
        "CreateModel",
        with(model.clone(), "/PrimaryContainer/Mode", json!("MultiModel")),
        "NotImplemented",
    )
    .await;
    check(
        &server,
        "CreateModel",
        with(model.clone(), "/PrimaryContainer/ModelDataUrl", json!("models/x")),
        "ValidationException: 1 validation error detected",
    )
    .await;
    for (uri, missing) in [
        ("s3://data/models/none.tar.gz", "s3://data/models/none.tar.gz"),
        ("s3://data/models/half", "s3://data/models/half"),
        ("s3://nobody/model.tar.gz", "s3://nobody/model.tar.gz"),
        (
            "https://s3.us-east-1.amazonaws.com/data/models/none",
            "s3://data/models/none",
        ),
    ] {
        let model = with(model.clone(), "/PrimaryContainer/ModelDataUrl", json!(uri));
        let expect = format!("ValidationException: Could not find model data at {missing}.");
        check(&server, "CreateModel", model, &expect).await;
    }
    check(
        &server,
        "CreateModel",
        with(model.clone(), "/ModelName", json!("a_b")),
        "ValidationException: 1 validation error detected",
    )
    .await;
    check(
        &server,
        "DescribeModel",
        json!({"ModelName": "m"}),
        "ValidationException: Could not find model \"arn:aws:sagemaker:us-east-1:000000000000:model/m\".",
    )
    .await;
    check(
        &server,
        "DeleteModel",
        json!({"ModelName": "m"}),
        "ValidationException: Could not find model",
    )
    .await;

    let variant =
        json!({"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 1});
    let config = json!({"EndpointConfigName": "c", "ProductionVariants": [variant]});
    check(
        &server,
        "CreateEndpointConfig",
        config.clone(),
        "ValidationException: Could not find model \"arn:aws:sagemaker:us-east-1:000000000000:model/m\".",
    )
    .await;
    check(
        &server,
        "CreateModel",
        model.clone(),
        "{\"ModelArn\":\"arn:aws:sagemaker:us-east-1:000000000000:model/m\"}",
    )
    .await;
    check(&server, "CreateModel", model.clone(), "ValidationException: Cannot create already existing model \"arn:aws:sagemaker:us-east-1:000000000000:model/m\".").await;

    let capture = json!({"InitialSamplingPercentage": 100, "DestinationS3Uri": "s3://out/c", "CaptureOptions": [{"CaptureMode": "Input"}]});
    let captured = with(config.clone(), "/DataCaptureConfig", capture);
    let member = |pointer: &str, value: Value| with(captured.clone(), &format!("/DataCaptureConfig/{pointer}"), value);
    check(
        &server,
        "CreateEndpointConfig",
        with(config.clone(), "/ProductionVariants", json!([])),
        "ValidationException: 1 validation error detected",
    )
    .await;
    check(
        &server,
        "CreateEndpointConfig",
        with(config.clone(), "/ProductionVariants", json!([variant, variant])),
        "ValidationException: Production variant names must be unique",
    )
    .await;
    check(&server, "CreateEndpointConfig", with(config.clone(), "/ProductionVariants/0/InitialVariantWeight", json!(-0.5)), "ValidationException: 1 validation error detected: Value '-1' at 'productionVariants.1.member.initialVariantWeight'").await;
    check(
        &server,
        "CreateEndpointConfig",
        with(config.clone(), "/ProductionVariants/0/InstanceType", Value::Null),
        "ValidationException: Variant \"v\" needs InstanceType",
    )
    .await;
    check(
        &server,
        "CreateEndpointConfig",
        with(config.clone(), "/AsyncInferenceConfig", json!({})),
        "NotImplemented",
    )
    .await;
    let serverless = json!({"MemorySizeInMB": 2048, "MaxConcurrency": 5});
    check(
        &server,
        "CreateEndpointConfig",
        with(config.clone(), "/ProductionVariants/0/ServerlessConfig", serverless),
        "NotImplemented: Scones does not implement serverless inference (ServerlessConfig)",
    )
    .await;
    check(
        &server,
        "CreateEndpointConfig",
        with(config.clone(), "/KmsKeyId", json!("key")),
        "NotImplemented: Scones does not implement customer keys (KmsKeyId)",
    )
    .await;
    check(
        &server,
        "CreateEndpointConfig",
        member("KmsKeyId", json!("key")),
        "NotImplemented: Scones does not implement customer keys (DataCaptureConfig.KmsKeyId)",
    )
    .await;
    let captured = with(captured.clone(), "/DataCaptureConfig/KmsKeyId", json!(""));
    check(&server, "CreateEndpointConfig", member("InitialSamplingPercentage", json!(101)), "ValidationException: 1 validation error detected: Value '101' at 'dataCaptureConfig.initialSamplingPercentage'").await;
    check(
        &server,
        "CreateEndpointConfig",
        member("CaptureOptions", json!([{"CaptureMode": "Both"}])),
        "ValidationException: 1 validation error detected",
    )
    .await;
    check(
        &server,
        "CreateEndpointConfig",
        member("CaptureOptions", json!([])),
        "ValidationException: 1 validation error detected",
    )
    .await;
    check(
        &server,
        "CreateEndpointConfig",
        member("DestinationS3Uri", json!("out/c")),
        "ValidationException: 1 validation error detected",
    )
    .await;
    check(
        &server,
        "CreateEndpointConfig",
        member("CaptureContentTypeHeader", json!({"JsonContentTypes": ["json"]})),
        "ValidationException: 1 validation error detected",
    )
    .await;
    check(
        &server,
        "CreateEndpointConfig",
        captured.clone(),
        "{\"EndpointConfigArn\":\"arn:aws:sagemaker:us-east-1:000000000000:endpoint-config/c\"}",
    )
    .await;
    check(
        &server,
        "CreateEndpointConfig",
        captured.clone(),
        "ValidationException: Cannot create already existing endpoint configuration \"arn:",
    )
    .await;
    let guarded =
        json!({"EndpointName": "e", "EndpointConfigName": "c", "DeploymentConfig": {"RollingUpdatePolicy": {}}});
    for operation in ["CreateEndpoint", "UpdateEndpoint"] {
        check(
            &server,
            operation,
            guarded.clone(),
            "NotImplemented: Scones does not implement deployment guardrails (DeploymentConfig)",
        )
        .await;
    }
    check(&server, "CreateEndpoint", json!({"EndpointName": "e", "EndpointConfigName": "none"}), "ValidationException: Could not find endpoint configuration \"arn:aws:sagemaker:us-east-1:000000000000:endpoint-config/none\".").await;
    check(
        &server,
        "CreateEndpoint",
        json!({"EndpointName": "e"}),
        "ValidationException: 1 validation error detected: Value null at \'endpointConfigName\'",
    )
    .await;
    check(
        &server,
        "DescribeEndpoint",
        json!({"EndpointName": "e"}),
        "ValidationException: Could not find endpoint \"arn:aws:sagemaker:us-east-1:000000000000:endpoint/e\".",
    )
    .await;
    check(
        &server,
        "UpdateEndpoint",
        json!({"EndpointName": "e", "EndpointConfigName": "c"}),
        "ValidationException: Could not find endpoint \"arn:",
    )
    .await;
    check(
        &server,
        "DeleteEndpoint",
        json!({"EndpointName": "e"}),
        "ValidationException: Could not find endpoint \"arn:",
    )
    .await;
    check(
        &server,
        "ListTags",
        json!({"ResourceArn": "arn:aws:sagemaker:us-east-1:000000000000:model/none"}),
        "ValidationException: Could not find resource",
    )
    .await;
    check(
        &server,
        "ListTags",
        json!({"ResourceArn": "arn:aws:s3:::bucket"}),
        "ValidationException: Invalid ARN",
    )
    .await;
}
