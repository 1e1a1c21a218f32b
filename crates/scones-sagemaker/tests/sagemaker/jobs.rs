//! Training jobs with a stand-in for the training program.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{World, steps, training_job, until};

/// Trains at once.
pub const SUCCEEDS: &str = r#"
echo 'Docker entrypoint called with argument(s): train'
echo '[x] Epoch[0] Train-accuracy=0.5'
echo '[x] Epoch[0] Validation-accuracy=0.25'
echo '[x] Epoch[1] Validation-accuracy=0.93'
ls $1/input/data/train $1/input/data/train_lst
cat $1/input/config/hyperparameters.json
printf weights > $1/model/weights
printf '{"code":0,"stopped":false}' > $1/output/exit.json
"#;

/// Trains until it is told to stop, and saves what it has.
pub const SAVES_WHEN_STOPPED: &str = r#"
trap 'printf best > $1/model/weights; printf "{\"code\":0,\"stopped\":true}" > $1/output/exit.json; exit 0' TERM
echo ready
while true; do sleep 0.02; done
"#;

#[tokio::test]
async fn a_job_runs_to_its_end() {
    let world = World::new();
    let server = world.start(SUCCEEDS).await;
    let created = server.ok("CreateTrainingJob", training_job("job")).await;
    assert_eq!(
        created["TrainingJobArn"],
        "arn:aws:sagemaker:us-east-1:000000000000:training-job/job"
    );
    let job = server.ended("job").await;
    assert_eq!(
        steps(&job),
        "Starting Downloading Training Uploading Completed",
        "{job}"
    );
    assert_eq!(job["TrainingJobStatus"], "Completed");
    assert_eq!(job["SecondaryStatus"], "Completed");
    assert_eq!(
        job["ModelArtifacts"]["S3ModelArtifacts"],
        "s3://out/models/job/output/model.tar.gz"
    );
    assert_eq!(job["OutputDataConfig"]["KmsKeyId"], "");
    assert_eq!(job["TrainingTimeInSeconds"], 1);
    assert_eq!(job["BillableTimeInSeconds"], 1);
    assert_eq!(job["DebugHookConfig"]["S3OutputPath"], "s3://out/debug");
    assert_eq!(job["StoppingCondition"]["MaxRuntimeInSeconds"], 3600);
    let metrics: Vec<_> = job["FinalMetricDataList"]
        .as_array()
        .unwrap()
        .iter()
        .map(|metric| format!("{}={}", metric["MetricName"].as_str().unwrap(), metric["Value"]))
        .collect();
    assert_eq!(metrics, ["train:accuracy=0.5", "validation:accuracy=0.93"]);
    assert_eq!(
        job["AlgorithmSpecification"]["MetricDefinitions"],
        json!([
            {"Name": "train:accuracy", "Regex": r"Epoch\[\d+\] Train-accuracy=(\S+)"},
            {"Name": "validation:accuracy", "Regex": r"Epoch\[\d+\] Validation-accuracy=(\S+)"},
        ])
    );

    let archive = world.objects.get("out", "models/job/output/model.tar.gz").unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&archive[..]));
    let names: Vec<_> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().into_owned())
        .collect();
    assert_eq!(names, [std::path::Path::new("weights")]);

    let (lines, streams) = world.logs.group("/aws/sagemaker/TrainingJobs");
    assert_eq!(streams, ["job/algo-1-1795411029"]);
    assert_eq!(
        lines[..2],
        [
            "Accepted without effect on this machine: DebugHookConfig, ProfilerConfig",
            "Docker entrypoint called with argument(s): train"
        ]
    );
    assert!(
        lines.contains(&"a.png".to_owned()) && lines.contains(&"train.lst".to_owned()),
        "{lines:?}"
    );
    assert_eq!(
        lines.last().unwrap(),
        r#"{"num_classes":"2","num_training_samples":"2"}"#
    );

    let again = server.call("CreateTrainingJob", training_job("job")).await.unwrap_err();
    assert_eq!(
        again,
        "ResourceInUse: Training job names must be unique within an AWS account and region, and a training \
        job with this name already exists (arn:aws:sagemaker:us-east-1:000000000000:training-job/job)"
    );
    let stop = server
        .call("StopTrainingJob", json!({"TrainingJobName": "job"}))
        .await
        .unwrap_err();
    assert_eq!(
        stop,
        "ValidationException: The request was rejected because the training job is in status Completed"
    );
    server.0.shutdown().await;
    let mut left = std::fs::read_dir(world.folder.path().join("work/jobs")).unwrap();
    assert!(left.next().is_none());
}

async fn failure(script: &str) -> String {
    let world = World::new();
    let server = world.start(script).await;
    server.ok("CreateTrainingJob", training_job("job")).await;
    let job = server.ended("job").await;
    assert_eq!(job["TrainingJobStatus"], "Failed");
    assert_eq!(job["SecondaryStatus"], "Failed");
    assert_eq!(job["ModelArtifacts"], Value::Null);
    assert!(
        world
            .objects
            .keys("out")
            .iter()
            .all(|key| !key.contains("model.tar.gz"))
    );
    server.0.shutdown().await;
    job["FailureReason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_failure_names_its_cause() {
    let say = |text: &str, code: u8| {
        format!(
            "printf '{text}' > $1/output/failure; printf '{{\"code\":{code},\"stopped\":false}}' > $1/output/exit.json; exit {code}"
        )
    };
    assert_eq!(
        failure(&say("ClientError: row 3 is bad", 1)).await,
        "ClientError: row 3 is bad"
    );
    assert_eq!(failure(&say("something", 2)).await, "AlgorithmError: something");
    assert_eq!(
        failure(&say("", 3)).await,
        "AlgorithmError: the training process ended with exit code 3"
    );
    assert_eq!(
        failure("printf '{\"code\":0,\"stopped\":false}' > $1/output/exit.json").await,
        "AlgorithmError: the training process left no model"
    );
    let lost = failure("kill -9 $$").await;
    assert!(
        lost.starts_with(
            "InternalServerError: the training process was lost: it ended without a result (signal: 9 (SIGKILL))"
        ),
        "{lost}"
    );
}

#[tokio::test]
async fn data_that_cannot_be_laid_out_fails_the_job() {
    let world = World::new();
    let server = world.start(SUCCEEDS).await;
    world.objects.insert("data", "train/../x.png", "an image");
    server.ok("CreateTrainingJob", training_job("odd")).await;
    let job = server.ended("odd").await;
    let reason = job["FailureReason"].as_str().unwrap();
    assert!(
        reason.starts_with("ClientError: Data download failed: channel train: the key \"train/../x.png\""),
        "{reason}"
    );
    assert!(!world.folder.path().join("work/x.png").exists());
    server.0.shutdown().await;
}

#[tokio::test]
async fn a_stopped_job_keeps_what_it_saved() {
    let world = World::new();
    let server = world.start(SAVES_WHEN_STOPPED).await;
    server.ok("CreateTrainingJob", training_job("job")).await;
    until("training", || world.is_training()).await;
    assert_eq!(server.job("job").await["ModelArtifacts"], Value::Null);
    server.ok("StopTrainingJob", json!({"TrainingJobName": "job"})).await;
    let again = server
        .call("StopTrainingJob", json!({"TrainingJobName": "job"}))
        .await
        .unwrap_err();
    assert!(
        again.starts_with("ValidationException: The request was rejected because the training job is in status Stop")
    );
    let job = server.ended("job").await;
    assert_eq!(steps(&job), "Starting Downloading Training Stopping Stopped");
    assert_eq!(job["TrainingJobStatus"], "Stopped");
    assert_eq!(
        job["ModelArtifacts"]["S3ModelArtifacts"],
        "s3://out/models/job/output/model.tar.gz"
    );
    assert!(world.objects.get("out", "models/job/output/model.tar.gz").is_some());
    server.0.shutdown().await;
}

#[tokio::test]
async fn a_job_that_was_stopped_too_soon_has_no_model() {
    let world = World::new();
    let script = r#"trap 'printf "{\"code\":0,\"stopped\":true}" > $1/output/exit.json; exit 0' TERM
        echo ready; while true; do sleep 0.02; done"#;
    let server = world.start(script).await;
    server.ok("CreateTrainingJob", training_job("job")).await;
    until("training", || world.is_training()).await;
    server.ok("StopTrainingJob", json!({"TrainingJobName": "job"})).await;
    let job = server.ended("job").await;
    assert_eq!(
        (&job["TrainingJobStatus"], &job["ModelArtifacts"]),
        (&json!("Stopped"), &Value::Null)
    );
    server.0.shutdown().await;
}

#[tokio::test]
async fn what_has_no_effect_is_accepted_and_said_in_the_log() {
    let world = World::new();
    let server = world.start(SUCCEEDS).await;
    let mut request = training_job("job");
    request.as_object_mut().unwrap().remove("ProfilerConfig");
    for (member, value) in [
        ("VpcConfig", json!({"SecurityGroupIds": ["sg"], "Subnets": ["subnet"]})),
        ("RetryStrategy", json!({"MaximumRetryAttempts": 3})),
        ("Environment", json!({"A": "b"})),
        ("EnableNetworkIsolation", json!(true)),
        ("EnableInterContainerTrafficEncryption", json!(false)),
        ("EnableManagedSpotTraining", json!(true)),
    ] {
        request[member] = value;
    }
    request["OutputDataConfig"]["KmsKeyId"] = json!("");
    request["ResourceConfig"]["VolumeKmsKeyId"] = json!("");
    server.ok("CreateTrainingJob", request).await;
    assert_eq!(server.ended("job").await["TrainingJobStatus"], "Completed");
    assert_eq!(
        world.logs.group("/aws/sagemaker/TrainingJobs").0[0],
        "Accepted without effect on this machine: Environment, EnableNetworkIsolation, EnableManagedSpotTraining, \
         VpcConfig, DebugHookConfig, RetryStrategy"
    );
    server.0.shutdown().await;
}

#[tokio::test]
async fn a_job_that_runs_too_long_is_stopped_and_one_that_does_not_listen_is_killed() {
    let world = World::new();
    let options = scones_sagemaker::Options {
        training_command: vec![
            "/bin/sh".into(),
            "-c".into(),
            "trap '' TERM; echo ready; while true; do sleep 0.02; done".into(),
        ],
        directory: world.folder.path().join("work"),
        stop_grace_seconds: 0,
        ..Default::default()
    };
    let server = world.start_with(options).await;
    server.ok("CreateTrainingJob", training_job("job")).await;
    until("training", || world.is_training()).await;
    world.clock.advance(Duration::from_secs(3601));
    let job = server.ended("job").await;
    assert_eq!(steps(&job), "Starting Downloading Training Stopping MaxRuntimeExceeded");
    assert_eq!(
        (&job["TrainingJobStatus"], &job["SecondaryStatus"]),
        (&json!("Stopped"), &json!("MaxRuntimeExceeded"))
    );
    assert_eq!(job["TrainingTimeInSeconds"], 3601);
    assert_eq!(job["ModelArtifacts"], Value::Null);
    assert!(world.objects.get("out", "models/job/output/model.tar.gz").is_none());
    server.0.shutdown().await;
}

#[tokio::test]
async fn jobs_wait_for_each_other() {
    let world = World::new();
    let server = world.start(SAVES_WHEN_STOPPED).await;
    for name in ["one", "two", "three"] {
        server.ok("CreateTrainingJob", training_job(name)).await;
        server
            .job_when(name, |job| {
                ["Training", "Pending"].contains(&job["SecondaryStatus"].as_str().unwrap())
            })
            .await;
    }
    // A job that waits is stopped at once.
    server.ok("StopTrainingJob", json!({"TrainingJobName": "two"})).await;
    assert_eq!(steps(&server.ended("two").await), "Starting Pending Stopping Stopped");
    server.ok("StopTrainingJob", json!({"TrainingJobName": "one"})).await;
    server
        .job_when("three", |job| job["SecondaryStatus"] == "Training")
        .await;
    let listed = |answer: Value| -> Vec<String> {
        let summaries = answer["TrainingJobSummaries"].as_array().unwrap();
        summaries
            .iter()
            .map(|job| job["TrainingJobName"].as_str().unwrap().to_owned())
            .collect()
    };
    let running = server
        .ok("ListTrainingJobs", json!({"StatusEquals": "InProgress"}))
        .await;
    assert_eq!(listed(running), ["three"]);
    let named = server
        .ok(
            "ListTrainingJobs",
            json!({"NameContains": "O", "SortBy": "Name", "SortOrder": "Descending"}),
        )
        .await;
    assert_eq!(listed(named), ["two", "one"]);
    let page = server
        .ok("ListTrainingJobs", json!({"SortBy": "Name", "MaxResults": 2}))
        .await;
    let rest = server
        .ok(
            "ListTrainingJobs",
            json!({"SortBy": "Name", "MaxResults": 2, "NextToken": page["NextToken"]}),
        )
        .await;
    assert_eq!([listed(page), listed(rest)].concat(), ["one", "three", "two"]);
    server.0.shutdown().await;
    let job = server.job("three").await;
    assert_eq!(job["TrainingJobStatus"], "Stopped");
    let last = job["SecondaryStatusTransitions"].as_array().unwrap().last().unwrap();
    assert_eq!(last["StatusMessage"], "Training job stopped: the server was shut down");
}

#[tokio::test]
async fn without_compression_the_files_are_uploaded_as_they_are() {
    let world = World::new();
    let server = world.start(SUCCEEDS).await;
    let mut request = training_job("job");
    request["OutputDataConfig"]["CompressionType"] = json!("NONE");
    server.ok("CreateTrainingJob", request).await;
    let job = server.ended("job").await;
    assert_eq!(
        job["ModelArtifacts"]["S3ModelArtifacts"],
        "s3://out/models/job/output/model/"
    );
    assert_eq!(
        &world.objects.get("out", "models/job/output/model/weights").unwrap()[..],
        b"weights"
    );
    server.0.shutdown().await;
}
