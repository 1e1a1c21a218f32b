//! The service is gone in the middle, as with `kill -9`, and comes back over the same store.

use std::{path::Path, time::Duration};

use scones_sagemaker::InvokeEndpoint;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::{
    hosting::deploy,
    jobs::SAVES_WHEN_STOPPED,
    support::{Server, World, steps, training_job, until},
};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Everything that a runtime does ends where it is, and nothing is told of it.
fn kill(runtime: Runtime) {
    runtime.shutdown_timeout(Duration::from_secs(10));
}

/// Trains until the file `go` beside the work folder exists.
fn waits(world: &World) -> String {
    let go = world.folder.path().join("go");
    format!(
        r#"echo ready; while [ ! -e '{}' ]; do sleep 0.02; done
        echo 'Epoch[0] Validation-accuracy=0.75'
        printf weights > $1/model/weights; printf '{{"code":0,"stopped":false}}' > $1/output/exit.json"#,
        go.display()
    )
}

fn let_go(world: &World) {
    std::fs::write(world.folder.path().join("go"), "").unwrap();
}

fn interrupted(world: &World, script: &str) {
    let before = runtime();
    before.block_on(async {
        let server = world.start(script).await;
        server.ok("CreateTrainingJob", training_job("job")).await;
        until("training", || world.is_training()).await;
    });
    kill(before);
}

#[test]
fn a_running_process_is_adopted() {
    let world = World::new();
    let script = waits(&world);
    interrupted(&world, &script);
    runtime().block_on(async {
        let server = world.start(&script).await;
        assert_eq!(server.job("job").await["SecondaryStatus"], "Training");
        let_go(&world);
        let job = server.ended("job").await;
        assert_eq!(steps(&job), "Starting Downloading Training Uploading Completed");
        assert_eq!(job["FinalMetricDataList"][0]["Value"], 0.75);
        assert_eq!(
            world.logs.group("/aws/sagemaker/TrainingJobs").0[1..],
            ["ready", "Epoch[0] Validation-accuracy=0.75"]
        );
        server.0.shutdown().await;
    });
}

#[test]
fn an_adopted_process_can_be_stopped() {
    let world = World::new();
    interrupted(&world, SAVES_WHEN_STOPPED);
    runtime().block_on(async {
        let server = world.start(SAVES_WHEN_STOPPED).await;
        server.ok("StopTrainingJob", json!({"TrainingJobName": "job"})).await;
        assert_eq!(server.ended("job").await["TrainingJobStatus"], "Stopped");
        assert!(world.objects.get("out", "models/job/output/model.tar.gz").is_some());
        server.0.shutdown().await;
    });
}

#[test]
fn a_process_that_ended_meanwhile_is_finished() {
    let world = World::new();
    let script = waits(&world);
    interrupted(&world, &script);
    let_go(&world);
    let exit = find(world.folder.path(), "exit.json");
    runtime().block_on(async {
        until("the end", || exit.exists()).await;
        let server = world.start("exit 1").await;
        assert_eq!(server.ended("job").await["TrainingJobStatus"], "Completed");
        server.0.shutdown().await;
    });
}

fn find(folder: &Path, name: &str) -> std::path::PathBuf {
    let job = std::fs::read_dir(folder.join("work/jobs"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    job.path().join("output").join(name)
}

#[test]
fn a_process_that_was_lost_fails_the_job() {
    let world = World::new();
    let script = format!("echo $$ > '{}/pid'; {}", world.folder.path().display(), waits(&world));
    interrupted(&world, &script);
    let pid = std::fs::read_to_string(world.folder.path().join("pid")).unwrap();
    let killed = std::process::Command::new("kill")
        .args(["-9", pid.trim()])
        .status()
        .unwrap();
    assert!(killed.success());
    runtime().block_on(async {
        let server = world.start("exit 1").await;
        let job = server.ended("job").await;
        let reason = job["FailureReason"].as_str().unwrap();
        assert!(
            reason.starts_with("InternalServerError: the training process was lost"),
            "{reason}"
        );
        assert!(reason.contains("restarted"), "{reason}");
        server.0.shutdown().await;
    });
}

/// Dies after a checkpoint as long as there are fewer than `deaths` on record.
fn dies_after_a_checkpoint(deaths: usize) -> String {
    format!(
        r#"echo died >> $1/checkpoints/last.safetensors
        if [ $(wc -l < $1/checkpoints/last.safetensors) -le {deaths} ]; then kill -9 $$; fi
        printf weights > $1/model/weights; printf '{{"code":0,"stopped":false}}' > $1/output/exit.json"#
    )
}

#[tokio::test]
async fn a_process_that_is_killed_after_a_checkpoint_is_replaced() {
    let world = World::new();
    let server = world.start(&dies_after_a_checkpoint(2)).await;
    server.ok("CreateTrainingJob", training_job("job")).await;
    let job = server.ended("job").await;
    assert_eq!(steps(&job), "Starting Downloading Training Uploading Completed");
    server.0.shutdown().await;
}

#[tokio::test]
async fn a_process_that_is_killed_each_time_fails_the_job() {
    let world = World::new();
    let server = world.start(&dies_after_a_checkpoint(9)).await;
    server.ok("CreateTrainingJob", training_job("job")).await;
    let job = server.ended("job").await;
    assert_eq!(job["TrainingJobStatus"], "Failed");
    let reason = job["FailureReason"].as_str().unwrap();
    assert!(reason.contains("SIGKILL") || reason.contains("signal: 9"), "{reason}");
    server.0.shutdown().await;
}

#[test]
fn endpoints_serve_again() {
    let world = World::new();
    let before = runtime();
    before.block_on(async {
        let server = world.start("exit 1").await;
        deploy(&server, "quarter", json!(null)).await;
        // What served stays, whatever becomes of its description.
        server
            .ok("DeleteEndpointConfig", json!({"EndpointConfigName": "quarter"}))
            .await;
        server.ok("DeleteModel", json!({"ModelName": "quarter"})).await;
        world.objects.insert("data", "models/quarter.tar.gz", "overwritten");
    });
    kill(before);
    world.loader.shut.store(true, std::sync::atomic::Ordering::SeqCst);
    runtime().block_on(async {
        let server = world.start("exit 1").await;
        let endpoint = server.ok("DescribeEndpoint", json!({"EndpointName": "quarter"})).await;
        assert_eq!(endpoint["EndpointStatus"], "InService");
        // A request that comes while the model is being loaded waits for it.
        let call = InvokeEndpoint {
            endpoint_name: "quarter".to_owned(),
            content_type: Some("image/png".to_owned()),
            body: "image".into(),
            ..Default::default()
        };
        let service = std::sync::Arc::clone(&server.0);
        let answer = tokio::spawn(async move { service.invoke_endpoint(call).await });
        world.loader.shut.store(false, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(&answer.await.unwrap().unwrap().body[..], b"[0.25, 0.75]");
        let copies = || {
            std::fs::read_dir(world.folder.path().join("work/models"))
                .unwrap()
                .count()
        };
        assert_eq!(copies(), 1);
        server.ok("DeleteEndpoint", json!({"EndpointName": "quarter"})).await;
        assert_eq!(copies(), 0);
        server.0.shutdown().await;
    });
}

/// What the deployments of `world` have copied becomes unreadable.
fn spoil_copies(world: &World) {
    for folder in std::fs::read_dir(world.folder.path().join("work/models")).unwrap() {
        let copy = folder.unwrap().path().join("AllTraffic.tar.gz");
        if std::fs::read_to_string(&copy).unwrap() == "0.25" {
            std::fs::write(copy, "spoilt").unwrap();
        }
    }
}

/// A server on which `quarter` serves, the model `half` could, and the model `broken` could not.
fn serving() -> (World, Runtime, Server) {
    let world = World::new();
    let runtime = runtime();
    let server = runtime.block_on(async {
        let server = world.start("exit 1").await;
        deploy(&server, "quarter", json!(null)).await;
        deploy(&server, "half", json!(null)).await;
        crate::hosting::create(&server, "broken", json!(null)).await;
        server.endpoint_when("broken", "Failed").await;
        server
    });
    (world, runtime, server)
}

fn update_to(config: &str) -> serde_json::Value {
    json!({"EndpointName": "quarter", "EndpointConfigName": config})
}

#[test]
fn an_endpoint_that_cannot_serve_again_fails_until_it_is_updated() {
    let (world, before, _) = serving();
    kill(before);
    spoil_copies(&world);
    runtime().block_on(async {
        let server = world.start("exit 1").await;
        let failed = server.endpoint_when("quarter", "Failed").await;
        assert!(failed["FailureReason"].as_str().unwrap().contains("not a model"));
        assert_eq!(failed["EndpointConfigName"], "quarter");
        server.ok("UpdateEndpoint", update_to("broken")).await;
        let failed = server.endpoint_when("quarter", "Failed").await;
        assert!(failed.get("ProductionVariants").is_none(), "{failed}");
        server.ok("UpdateEndpoint", update_to("half")).await;
        let updated = server.endpoint_when("quarter", "InService").await;
        assert_eq!(updated["EndpointConfigName"], "half");
        server.0.shutdown().await;
    });
}

#[test]
fn an_update_goes_on_although_what_served_is_lost() {
    let (world, before, server) = serving();
    world.loader.shut.store(true, std::sync::atomic::Ordering::SeqCst);
    before.block_on(server.ok("UpdateEndpoint", update_to("half")));
    drop(server);
    before.shutdown_background();
    spoil_copies(&world);
    world.loader.shut.store(false, std::sync::atomic::Ordering::SeqCst);
    runtime().block_on(async {
        let server = world.start("exit 1").await;
        let updated = server.endpoint_when("quarter", "InService").await;
        assert_eq!(updated["EndpointConfigName"], "half");
        server.0.shutdown().await;
    });
}

#[test]
fn an_update_soon_after_a_restart_is_not_taken_down_with_what_served() {
    let (world, before, _) = serving();
    kill(before);
    spoil_copies(&world);
    world.loader.shut.store(true, std::sync::atomic::Ordering::SeqCst);
    runtime().block_on(async {
        let server = world.start("exit 1").await;
        server.ok("UpdateEndpoint", update_to("half")).await;
        world.loader.shut.store(false, std::sync::atomic::Ordering::SeqCst);
        let updated = server.endpoint_when("quarter", "InService").await;
        assert_eq!(updated["EndpointConfigName"], "half");
        let call = InvokeEndpoint {
            endpoint_name: "quarter".to_owned(),
            content_type: Some("image/png".to_owned()),
            body: "image".into(),
            ..Default::default()
        };
        let answer = server.0.invoke_endpoint(call).await.unwrap();
        assert_eq!(&answer.body[..], b"[0.5, 0.5]");
        server.0.shutdown().await;
    });
}

#[test]
fn a_creation_that_was_interrupted_goes_on() {
    let world = World::new();
    let before = runtime();
    world.loader.shut.store(true, std::sync::atomic::Ordering::SeqCst);
    before.block_on(async {
        let server = world.start("exit 1").await;
        crate::hosting::create(&server, "half", json!(null)).await;
    });
    before.shutdown_background();
    world.loader.shut.store(false, std::sync::atomic::Ordering::SeqCst);
    runtime().block_on(async {
        let server = world.start("exit 1").await;
        server.endpoint_when("half", "InService").await;
        server.0.shutdown().await;
    });
}
