//! Tasks that call services, wait for jobs, send requests, and are mocked.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::common::{Server, passes, text};
use async_trait::async_trait;
use scones_api::{ApiError, Caller, JsonService as _, RequestContext, SystemClock};
use scones_states::{HttpCall, HttpReply, LambdaCall, LambdaReply, Mocks, Options, ServiceCall, States, TaskRunner};
use scones_store::SqliteStore;
use serde_json::{Value, json};
use tokio::sync::SetOnce;

/// Services that the test watches: this Step Functions itself, and a SageMaker
/// whose jobs end when the test says so.
#[derive(Default)]
struct Services {
    states: Mutex<Arc<SetOnce<Weak<States>>>>,
    jobs: Mutex<BTreeMap<String, (String, f64)>>,
    calls: Mutex<Vec<ServiceCall>>,
    /// Responses of starts never arrive.
    mute: AtomicBool,
}

impl Services {
    fn end(&self, job: &str, status: &str) {
        self.jobs.lock().unwrap().get_mut(job).unwrap().0 = status.to_owned();
    }

    fn status(&self, job: &str) -> Option<String> {
        Some(self.jobs.lock().unwrap().get(job)?.0.clone())
    }

    fn count(&self, operation: &str) -> usize {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|call| call.operation == operation).count()
    }

    /// Waits until an operation was called.
    async fn called(&self, operation: &str) {
        for _ in 0..20_000 {
            if self.count(operation) > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{operation} is not called");
    }

    async fn sagemaker(&self, operation: &str, input: &Value) -> Result<Value, ApiError> {
        let name = text(&input["TrainingJobName"]);
        match operation {
            "CreateTrainingJob" => {
                let now = SystemClockSeconds::now();
                let taken = self.jobs.lock().unwrap().contains_key(&name);
                if taken {
                    return Err(ApiError::bad_request(
                        "ResourceInUse",
                        "Training job names must be unique",
                    ));
                }
                self.jobs
                    .lock()
                    .unwrap()
                    .insert(name.clone(), ("InProgress".to_owned(), now));
                if self.mute.load(Ordering::SeqCst) {
                    std::future::pending::<()>().await;
                }
                Ok(json!({"TrainingJobArn": format!("arn:aws:sagemaker:us-east-1:0:training-job/{name}")}))
            }
            "DescribeTrainingJob" => {
                let jobs = self.jobs.lock().unwrap();
                let (status, created) = jobs.get(&name).expect("the job was created");
                Ok(json!({
                    "TrainingJobName": name, "TrainingJobStatus": status, "CreationTime": created,
                    "TrainingJobArn": format!("arn:aws:sagemaker:us-east-1:0:training-job/{name}")}))
            }
            "StopTrainingJob" => {
                self.end(&name, "Stopped");
                Ok(json!({}))
            }
            other => Err(ApiError::not_implemented(other)),
        }
    }
}

struct SystemClockSeconds;

impl SystemClockSeconds {
    fn now() -> f64 {
        scones_api::Clock::now(&SystemClock).as_seconds()
    }
}

#[async_trait]
impl TaskRunner for Services {
    async fn invoke_function(&self, call: LambdaCall) -> Result<LambdaReply, ApiError> {
        Err(ApiError::new(
            404,
            "ResourceNotFoundException",
            format!("Function not found: {}", call.function),
        ))
    }

    async fn call_service(&self, call: ServiceCall) -> Result<Value, ApiError> {
        self.calls.lock().unwrap().push(call.clone());
        match call.service {
            "sfn" => {
                let states = Arc::clone(&self.states.lock().unwrap());
                let states = states.wait().await.upgrade().unwrap();
                let caller = Caller {
                    access_key_id: "key".to_owned(),
                    arn: call.identity.role_arn.parse().unwrap(),
                };
                let context = RequestContext {
                    caller: Arc::new(caller),
                    request_id: "request".to_owned(),
                };
                let body = states
                    .call(&call.operation, call.input.to_string().as_bytes(), &context)
                    .await?;
                if self.mute.load(Ordering::SeqCst) {
                    std::future::pending::<()>().await;
                }
                Ok(serde_json::from_slice(&body).unwrap_or(json!({})))
            }
            "sagemaker" => self.sagemaker(&call.operation, &call.input).await,
            "s3" => Err(ApiError::new(404, "NoSuchKey", "The specified key does not exist.")),
            _ => Err(ApiError::not_implemented(call.operation)),
        }
    }

    async fn send_http(&self, call: HttpCall) -> Result<HttpReply, String> {
        match call.url.as_str() {
            "http://here/" => Ok(HttpReply {
                status: 200,
                headers: vec![("content-type".to_owned(), "application/json".to_owned())],
                body: call.body.unwrap_or_default().into_bytes(),
            }),
            _ => Err("connection refused".to_owned()),
        }
    }
}

async fn server(services: &Arc<Services>) -> Server {
    let server = Server::new(Arc::clone(services) as _).await;
    connect(services, &server);
    server
}

fn connect(services: &Services, server: &Server) {
    let states = Arc::clone(&services.states.lock().unwrap());
    drop(states.set(Arc::downgrade(&server.states)));
}

/// Another server over the same store: the one before has ended where it was.
async fn restarted(services: &Arc<Services>, server: Server) -> Server {
    *services.states.lock().unwrap() = Arc::default();
    let server = server.restarted(Arc::clone(services) as _).await;
    connect(services, &server);
    server
}

fn task(resource: &str, parameters: Value) -> Value {
    json!({"StartAt": "S", "States": {"S": {
        "Type": "Task", "Resource": format!("arn:aws:states:::{resource}"), "Parameters": parameters, "End": true}}})
}

fn training(name: &str) -> Value {
    let parameters = json!({"TrainingJobName": name, "RoleArn": "r", "OutputDataConfig": {}});
    task("sagemaker:createTrainingJob.sync", parameters)
}

fn parsed(value: &Value) -> Value {
    serde_json::from_str(value.as_str().unwrap()).unwrap()
}

fn names(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn an_execution_is_started_and_waited_for() {
    let services = Arc::new(Services::default());
    let server = server(&services).await;
    let child = server.machine("child", &passes(1)).await;
    let run = async |name: &str, resource: &str| {
        let parameters = json!({"StateMachineArn": child, "Input": {"a": 1}, "Name": name});
        let machine = server.machine(name, &task(resource, parameters)).await;
        let described = server.run(&machine, json!({})).await;
        assert_eq!(described["status"], "SUCCEEDED", "{described}");
        parsed(&described["output"])
    };
    let started = run("started", "states:startExecution").await;
    assert_eq!(
        names(&started),
        ["ExecutionArn", "SdkHttpMetadata", "SdkResponseMetadata", "StartDate"]
    );
    assert!(started["StartDate"].as_i64().unwrap() > 1_700_000_000_000);
    let waited = run("waited", "states:startExecution.sync").await;
    assert_eq!(
        names(&waited),
        [
            "ExecutionArn",
            "Input",
            "InputDetails",
            "Name",
            "Output",
            "OutputDetails",
            "RedriveCount",
            "RedriveStatus",
            "RedriveStatusReason",
            "StartDate",
            "StateMachineArn",
            "Status",
            "StopDate"
        ]
    );
    assert_eq!(
        (&waited["Output"], &waited["InputDetails"]),
        (&json!(r#"{"a":1}"#), &json!({"Included": true}))
    );
    let parsed = run("parsed", "states:startExecution.sync:2").await;
    assert_eq!(
        (&parsed["Input"], &parsed["Output"]),
        (&json!({"a": 1}), &json!({"a": 1}))
    );
    let by_sdk = run("by-sdk", "aws-sdk:sfn:startExecution").await;
    assert_eq!(names(&by_sdk), ["ExecutionArn", "StartDate"]);
    assert!(text(&by_sdk["StartDate"]).ends_with('Z'));
    let listed = server.ok("ListExecutions", json!({"stateMachineArn": child})).await;
    assert_eq!(listed["executions"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn a_job_that_fails_fails_its_task() {
    let services = Arc::new(Services::default());
    let server = server(&services).await;
    let failing = json!({"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "Broken", "Cause": "on purpose"}}});
    let child = server.machine("child", &failing).await;
    let machine = server
        .machine(
            "parent",
            &task("states:startExecution.sync:2", json!({"StateMachineArn": child})),
        )
        .await;
    let execution = server.start(&machine, json!({})).await;
    let described = server.ended(&execution).await;
    assert_eq!(
        (&described["status"], &described["error"]),
        (&json!("FAILED"), &json!("States.TaskFailed"))
    );
    let cause = parsed(&described["cause"]);
    assert_eq!(
        (&cause["Status"], &cause["Error"], &cause["Cause"]),
        (&json!("FAILED"), &json!("Broken"), &json!("on purpose"))
    );
    insta::assert_debug_snapshot!(server.history(&execution).await, @r#"
    [
        "1 0 ExecutionStarted",
        "2 0 TaskStateEntered",
        "3 2 TaskScheduled",
        "4 3 TaskStarted",
        "5 4 TaskSubmitted",
        "6 5 TaskFailed",
        "7 6 ExecutionFailed",
    ]
    "#);
}

#[tokio::test]
async fn a_training_job_is_waited_for() {
    let services = Arc::new(Services::default());
    let server = server(&services).await;
    let check = async |name: &str, status: &str, expect: &str| {
        let machine = server.machine(name, &training(name)).await;
        let execution = server.start(&machine, json!({})).await;
        server.until(&execution, "TaskSubmitted").await;
        services.end(name, status);
        let described = server.ended(&execution).await;
        assert_eq!(described["status"], expect, "{described}");
        let member = if expect == "SUCCEEDED" { "output" } else { "cause" };
        let job = parsed(&described[member]);
        assert_eq!(job["TrainingJobStatus"], status);
        assert!(job["CreationTime"].as_i64().unwrap() > 1_700_000_000_000);
    };
    check("completed", "Completed", "SUCCEEDED").await;
    check("failed", "Failed", "FAILED").await;
    check("stopped", "Stopped", "FAILED").await;
    let machine = server.machine("again", &training("completed")).await;
    let described = server.run(&machine, json!({})).await;
    assert_eq!(described["error"], "SageMaker.ResourceInUseException");
}

#[tokio::test]
async fn a_stopped_execution_stops_its_job() {
    let services = Arc::new(Services::default());
    let server = server(&services).await;
    let machine = server.machine("parent", &training("job")).await;
    let execution = server.start(&machine, json!({})).await;
    server.until(&execution, "TaskSubmitted").await;
    server.ok("StopExecution", json!({"executionArn": execution})).await;
    services.called("StopTrainingJob").await;
    assert_eq!(services.status("job").as_deref(), Some("Stopped"));
    assert_eq!(server.describe(&execution).await["status"], "ABORTED");
}

#[tokio::test]
async fn a_task_that_times_out_stops_its_job() {
    let services = Arc::new(Services::default());
    let server = server(&services).await;
    let mut definition = training("job");
    definition["States"]["S"]["TimeoutSeconds"] = json!(1);
    let machine = server.machine("parent", &definition).await;
    assert_eq!(server.run(&machine, json!({})).await["error"], "States.Timeout");
    services.called("StopTrainingJob").await;
}

#[tokio::test]
async fn a_restart_starts_no_second_job() {
    let services = Arc::new(Services::default());
    let server = server(&services).await;
    let machine = server.machine("parent", &training("job")).await;
    let execution = server.start(&machine, json!({})).await;
    server.until(&execution, "TaskSubmitted").await;
    let server = restarted(&services, server).await;
    services.end("job", "Completed");
    assert_eq!(server.ended(&execution).await["status"], "SUCCEEDED");
    assert_eq!(
        (services.count("CreateTrainingJob"), services.count("StopTrainingJob")),
        (1, 0)
    );
    let submissions = server.events(&execution).await;
    let submissions = submissions.iter().filter(|event| event["type"] == "TaskSubmitted");
    assert_eq!(submissions.count(), 1);
}

#[tokio::test]
async fn a_job_whose_response_was_lost_is_taken_over() {
    let services = Arc::new(Services::default());
    let server = server(&services).await;
    let machine = server.machine("parent", &training("job")).await;
    services.mute.store(true, Ordering::SeqCst);
    let execution = server.start(&machine, json!({})).await;
    services.called("CreateTrainingJob").await;
    services.mute.store(false, Ordering::SeqCst);
    let server = restarted(&services, server).await;
    server.until(&execution, "TaskSubmitted").await;
    services.end("job", "Completed");
    assert_eq!(server.ended(&execution).await["status"], "SUCCEEDED");
}

#[tokio::test]
async fn a_nameless_child_is_started_once() {
    let services = Arc::new(Services::default());
    let server = server(&services).await;
    let wait = json!({"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 1, "End": true}}});
    let child = server.machine("child", &wait).await;
    let machine = server
        .machine(
            "parent",
            &task("states:startExecution.sync", json!({"StateMachineArn": child})),
        )
        .await;
    let execution = server.start(&machine, json!({})).await;
    services.called("StartExecution").await;
    let server = restarted(&services, server).await;
    assert_eq!(server.ended(&execution).await["status"], "SUCCEEDED");
    let listed = server.ok("ListExecutions", json!({"stateMachineArn": child})).await;
    assert_eq!(listed["executions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_start_whose_response_was_lost_is_not_made_twice() {
    for resource in [
        "states:startExecution",
        "aws-sdk:sfn:startExecution",
        "states:startExecution.sync",
    ] {
        let services = Arc::new(Services::default());
        let server = server(&services).await;
        let child = server.machine("child", &passes(1)).await;
        let machine = server
            .machine("parent", &task(resource, json!({"StateMachineArn": child})))
            .await;
        services.mute.store(true, Ordering::SeqCst);
        let execution = server.start(&machine, json!({})).await;
        let children = async |server: &Server| {
            let listed = server.ok("ListExecutions", json!({"stateMachineArn": child})).await;
            listed["executions"].as_array().unwrap().clone()
        };
        while children(&server)
            .await
            .first()
            .is_none_or(|child| child["status"] != "SUCCEEDED")
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        services.mute.store(false, Ordering::SeqCst);
        let server = restarted(&services, server).await;
        let described = server.ended(&execution).await;
        assert_eq!(described["status"], "SUCCEEDED", "{resource}: {described}");
        assert_eq!(children(&server).await.len(), 1, "{resource}");
    }
}

#[tokio::test]
async fn waiting_for_jobs_takes_no_places() {
    let services = Arc::new(Services::default());
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path()).unwrap();
    let options = Options {
        tasks_max: 1,
        ..Options::default()
    };
    let server = Server::over(store, Arc::new(SystemClock), Arc::clone(&services) as _, options).await;
    connect(&services, &server);
    let child = server.machine("child", &passes(1)).await;
    let middle = server
        .machine(
            "middle",
            &task("states:startExecution.sync", json!({"StateMachineArn": child})),
        )
        .await;
    let outer = server
        .machine(
            "outer",
            &task("states:startExecution.sync", json!({"StateMachineArn": middle})),
        )
        .await;
    assert_eq!(server.run(&outer, json!({})).await["status"], "SUCCEEDED");
}

#[tokio::test]
async fn refusals_have_the_names_of_their_integration() {
    let services = Arc::new(Services::default());
    let server = server(&services).await;
    let missing = "arn:aws:states:us-east-1:000000000000:stateMachine:missing";
    let check = async |name: &str, resource: &str, parameters: Value, error: &str, cause: &str| {
        let machine = server.machine(name, &task(resource, parameters)).await;
        let described = server.run(&machine, json!({})).await;
        assert_eq!(described["error"], error);
        assert!(text(&described["cause"]).starts_with(cause), "{described}");
    };
    check(
        "optimised",
        "states:startExecution",
        json!({"StateMachineArn": missing}),
        "StepFunctions.StateMachineDoesNotExistException",
        "State Machine Does Not Exist: 'arn:aws:states:us-east-1:000000000000:stateMachine:missing' \
         (Service: AWSStepFunctions; Status Code: 400; Error Code: StateMachineDoesNotExist; Request ID: ",
    )
    .await;
    check(
        "sdk",
        "aws-sdk:sfn:sendTaskSuccess",
        json!({"TaskToken": "none", "Output": "{}"}),
        "Sfn.InvalidTokenException",
        "Invalid Token: 'Invalid token' (Service: Sfn, Status Code: 400, Request ID: ",
    )
    .await;
    check(
        "s3",
        "aws-sdk:s3:getObject",
        json!({"Bucket": "b", "Key": "k"}),
        "S3.NoSuchKeyException",
        "The specified key does not exist. (Service: S3, Status Code: 404, Request ID: ",
    )
    .await;
    check(
        "unknown",
        "sqs:sendMessage",
        json!({}),
        "States.Runtime",
        "Scones has no integration with 'sqs:sendMessage'",
    )
    .await;
    check(
        "unbuilt",
        "sagemaker:createTransformJob.sync",
        json!({"TrainingJobName": "x"}),
        "States.Runtime",
        "Scones does not implement CreateTransformJob",
    )
    .await;
    let described = {
        let resource = "arn:aws:states:::aws-sdk:sfn:describeExecution";
        let state = json!({"Type": "Task", "Resource": resource, "Arguments": "{% $states.input %}", "End": true});
        let definition = json!({"QueryLanguage": "JSONata", "StartAt": "S", "States": {"S": state}});
        let machine = server.machine("computed", &definition).await;
        server.run(&machine, json!({"executionArn": "x"})).await
    };
    assert_eq!(
        (&described["error"], &described["cause"]),
        (
            &json!("States.Runtime"),
            &json!("The field 'executionArn' is not supported by Step Functions")
        )
    );
}

#[tokio::test]
async fn tasks_are_called_as_the_machines_role_or_their_own() {
    let services = Arc::new(Services::default());
    let server = server(&services).await;
    let mut definition = task("aws-sdk:s3:getObject", json!({"Bucket": "b", "Key": "k"}));
    let machine = server.machine("own", &definition).await;
    let execution = server.start(&machine, json!({})).await;
    server.ended(&execution).await;
    definition["States"]["S"]["Credentials"] = json!({"RoleArn": "arn:aws:iam::000000000000:role/other"});
    let machine = server.machine("other", &definition).await;
    server.run(&machine, json!({})).await;
    let calls = services.calls.lock().unwrap();
    let roles: Vec<&str> = calls.iter().map(|call| &*call.identity.role_arn).collect();
    assert_eq!(roles, [crate::common::ROLE, "arn:aws:iam::000000000000:role/other"]);
    assert_eq!(*calls[0].identity.execution_arn, *execution);
}

#[tokio::test]
async fn requests_are_sent_and_their_failures_named() {
    let services = Arc::new(Services::default());
    let server = server(&services).await;
    let post = |url: &str| json!({"ApiEndpoint": url, "Method": "POST", "RequestBody": {"a": 1}});
    let machine = server.machine("here", &task("http:invoke", post("http://here/"))).await;
    let described = server.run(&machine, json!({})).await;
    assert_eq!(
        parsed(&described["output"]),
        json!({"Headers": {"content-type": ["application/json"]}, "ResponseBody": {"a": 1}, "StatusCode": 200, "StatusText": "OK"})
    );
    let machine = server
        .machine("nowhere", &task("http:invoke", post("http://nowhere/")))
        .await;
    let described = server.run(&machine, json!({})).await;
    assert_eq!(
        (&described["error"], &described["cause"]),
        (&json!("States.Http.Socket"), &json!("connection refused"))
    );
}

const MOCKS: &str = r#"{
    "StateMachines": {"m": {"TestCases": {
        "Happy": {"S": "Fine"},
        "Busy": {"S": "FineAtLast"},
        "Broken": {"S": "Never"},
        "Nothing": {}
    }}},
    "MockedResponses": {
        "Fine": {"0": {"Return": {"ok": true}}},
        "FineAtLast": {"0-1": {"Throw": {"Error": "Busy", "Cause": "wait"}}, "2": {"Return": 2}},
        "Never": {"0": {"Throw": {"Error": "SQS.SdkClientException", "Cause": "no such queue"}}}
    }
}"#;

async fn mocking_server(services: &Arc<Services>) -> Server {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path()).unwrap();
    let options = Options {
        mocks: Arc::new(Mocks::parse(MOCKS).unwrap()),
        ..Options::default()
    };
    let mut server = Server::over(store, Arc::new(SystemClock), Arc::clone(services) as _, options).await;
    server.directory = Some(directory);
    server
}

/// The status, output or error of an execution of a test case, and the types
/// of its task's events.
async fn mocked(resource: &str, case: &str) -> (String, Vec<String>) {
    let services = Arc::new(Services::default());
    let server = mocking_server(&services).await;
    let mut definition = match resource.starts_with("sagemaker:") {
        true => training("j"),
        false => task(resource, json!({"StateMachineArn": "s"})),
    };
    definition["States"]["S"]["Retry"] = json!([{"ErrorEquals": ["Busy"], "IntervalSeconds": 1, "BackoffRate": 1}]);
    let machine = server.machine("m", &definition).await;
    let execution = server.start(&format!("{machine}#{case}"), json!({})).await;
    let described = server.ended(&execution).await;
    let events = server.events(&execution).await;
    let events = events.iter().map(|event| text(&event["type"]));
    let events = events.filter(|kind| kind.starts_with("Task") && !kind.contains("State"));
    assert!(services.calls.lock().unwrap().is_empty());
    let end = [&described["output"], &described["error"]]
        .into_iter()
        .find_map(Value::as_str);
    (
        format!("{} {}", text(&described["status"]), end.unwrap_or_default()),
        events.collect(),
    )
}

#[tokio::test]
async fn mocked_tasks_write_the_events_of_real_ones() {
    let check = async |resource: &str, case: &str, end: &str, events: &[&str]| {
        let found = mocked(resource, case).await;
        assert_eq!(
            (found.0.as_str(), found.1),
            (end, events.iter().map(|&it| it.to_owned()).collect()),
            "{resource} {case}"
        );
    };
    let plain = ["TaskScheduled", "TaskStarted", "TaskSucceeded"];
    let waiting = ["TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskSucceeded"];
    let happy = r#"SUCCEEDED {"ok":true}"#;
    check("sqs:sendMessage", "Happy", happy, &plain).await;
    check("states:startExecution.sync:2", "Happy", happy, &waiting).await;
    check("sqs:sendMessage.waitForTaskToken", "Happy", happy, &waiting).await;
    let broken = ["TaskScheduled", "TaskStarted", "TaskFailed"];
    check(
        "sqs:sendMessage.waitForTaskToken",
        "Broken",
        "FAILED SQS.SdkClientException",
        &broken,
    )
    .await;
    let retried = [broken, broken, plain].concat();
    check("sqs:sendMessage", "Busy", "SUCCEEDED 2", &retried).await;
    // A state without a mocked response calls its service.
    check("sqs:sendMessage", "Nothing", "FAILED States.Runtime", &broken).await;
}

#[tokio::test]
async fn an_unknown_test_case_is_refused() {
    let server = mocking_server(&Arc::default()).await;
    let machine = server.machine("m", &passes(1)).await;
    let check = async |arn: String, expect: &str| {
        assert_eq!(
            server.refused("StartExecution", json!({"stateMachineArn": arn})).await,
            expect
        );
    };
    check(
        format!("{machine}#Happier"),
        "InvalidArn: Invalid Arn: 'the mock configuration has no test case 'Happier' for the state machine 'm', \
         only: Broken, Busy, Happy, Nothing'",
    )
    .await;
    check(
        machine.replace(":m", ":n") + "#Happy",
        "InvalidArn: Invalid Arn: 'the mock configuration has no state machine 'n''",
    )
    .await;
}
