//! A service in this process, with functions that the test writes.

pub mod logs;
pub mod memory;
pub mod objects;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use scones_api::{ApiError, Caller, Clock, JsonService as _, Owner, RequestContext, SystemClock, Timestamp};
use scones_states::{
    LambdaCall, LambdaReply, NoObjects, ObjectStore, Options, Outside, Random, States, SystemRandom, TaskRunner,
};
use scones_store::{SqliteStore, Store};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Notify, Semaphore};

pub const ROLE: &str = "arn:aws:iam::000000000000:role/workflows";

/// What a scripted function does.
#[derive(Clone)]
pub enum Script {
    /// Answers its payload.
    Echo,
    /// Answers this JSON text.
    Answer(&'static str),
    /// Fails with this JSON text.
    Fail(&'static str),
    /// Refuses the invocation.
    Refuse(u16, &'static str, &'static str),
    /// Waits until the test lets it go by a permit, then answers its payload.
    Hold(Arc<Semaphore>),
}

impl Script {
    /// Waits for ever.
    pub fn hang() -> Self {
        Self::Hold(Arc::new(Semaphore::new(0)))
    }
}

/// A runner with one script a function.
#[derive(Default)]
pub struct Functions {
    scripts: HashMap<&'static str, Script>,
    pub calls: Mutex<Vec<LambdaCall>>,
    pub called: Notify,
}

impl Functions {
    pub fn new(scripts: impl IntoIterator<Item = (&'static str, Script)>) -> Arc<Self> {
        Arc::new(Self {
            scripts: scripts.into_iter().collect(),
            ..Self::default()
        })
    }

    pub fn count(&self) -> usize {
        self.calls.lock().unwrap().len()
    }
}

#[async_trait]
impl TaskRunner for Functions {
    async fn invoke_function(&self, call: LambdaCall) -> Result<LambdaReply, ApiError> {
        let name = call.function.rsplit(':').next().unwrap().to_owned();
        self.calls.lock().unwrap().push(call.clone());
        self.called.notify_waiters();
        let reply = |payload: String, error: bool| LambdaReply {
            status_code: 200,
            payload,
            function_error: error.then(|| "Unhandled".to_owned()),
            executed_version: Some("$LATEST".to_owned()),
            request_id: "request".to_owned(),
        };
        match self.scripts.get(name.as_str()) {
            None => Err(ApiError::new(
                404,
                "ResourceNotFoundException",
                format!("Function not found: {}", call.function),
            )),
            Some(Script::Echo) => Ok(reply(call.payload, false)),
            Some(Script::Answer(text)) => Ok(reply((*text).to_owned(), false)),
            Some(Script::Fail(text)) => Ok(reply((*text).to_owned(), true)),
            Some(Script::Refuse(status, code, message)) => Err(ApiError::new(*status, *code, *message)),
            Some(Script::Hold(go)) => {
                go.acquire().await.unwrap().forget();
                Ok(reply(call.payload, false))
            }
        }
    }
}

/// A service over a store of its own.
pub struct Server {
    pub states: Arc<States>,
    pub store: Arc<dyn Store>,
    pub logs: Arc<logs::Groups>,
    pub directory: Option<TempDir>,
    context: RequestContext,
}

impl Server {
    pub async fn new(functions: Arc<dyn TaskRunner>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path()).unwrap();
        let mut server = Self::over(store, Arc::new(SystemClock), functions, Options::default()).await;
        server.directory = Some(directory);
        server
    }

    /// With buckets.
    pub async fn with_objects(functions: Arc<dyn TaskRunner>, objects: Arc<dyn ObjectStore>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path()).unwrap();
        let mut server = Self::with_objects_over(store, Arc::new(SystemClock), functions, objects).await;
        server.directory = Some(directory);
        server
    }

    pub async fn with_objects_over(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        functions: Arc<dyn TaskRunner>,
        objects: Arc<dyn ObjectStore>,
    ) -> Self {
        let random = Arc::new(SystemRandom);
        Self::start_over(store, clock, functions, Options::default(), objects, random)
            .await
            .unwrap()
    }

    pub async fn over(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        functions: Arc<dyn TaskRunner>,
        options: Options,
    ) -> Self {
        Self::try_over(store, clock, functions, options, Arc::new(SystemRandom))
            .await
            .unwrap()
    }

    /// `None` if the service does not start.
    pub async fn try_over(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        functions: Arc<dyn TaskRunner>,
        options: Options,
        random: Arc<dyn Random>,
    ) -> Option<Self> {
        Self::start_over(store, clock, functions, options, Arc::new(NoObjects), random).await
    }

    async fn start_over(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        functions: Arc<dyn TaskRunner>,
        options: Options,
        objects: Arc<dyn ObjectStore>,
        random: Arc<dyn Random>,
    ) -> Option<Self> {
        let owner = Owner::default();
        let groups = Arc::new(logs::Groups::default());
        let outside = Outside {
            runner: functions,
            objects,
            logs: Arc::clone(&groups) as _,
            random,
        };
        let states = States::start(options, owner, Arc::clone(&store), clock, outside)
            .await
            .ok()?;
        let caller = Caller {
            access_key_id: "key".to_owned(),
            arn: ROLE.parse().unwrap(),
        };
        let context = RequestContext {
            caller: Arc::new(caller),
            request_id: "request".to_owned(),
        };
        Some(Self {
            states,
            store,
            logs: groups,
            directory: None,
            context,
        })
    }

    /// Another service over the same store, after this one is gone.
    pub async fn restarted(self, functions: Arc<dyn TaskRunner>) -> Self {
        self.states.shutdown().await;
        let mut next = Self::over(self.store, Arc::new(SystemClock), functions, Options::default()).await;
        next.directory = self.directory;
        next
    }

    pub async fn call(&self, operation: &str, input: Value) -> Result<Value, ApiError> {
        let body = self
            .states
            .call(operation, input.to_string().as_bytes(), &self.context)
            .await?;
        Ok(if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body).unwrap()
        })
    }

    pub async fn ok(&self, operation: &str, input: Value) -> Value {
        self.call(operation, input)
            .await
            .unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    /// `CODE: message` of an operation that is refused.
    pub async fn refused(&self, operation: &str, input: Value) -> String {
        match self.call(operation, input).await {
            Err(error) => error.to_string(),
            Ok(output) => panic!("{operation} answered {output}"),
        }
    }

    pub async fn machine(&self, name: &str, definition: &Value) -> String {
        let input = json!({"name": name, "definition": definition.to_string(), "roleArn": ROLE});
        text(&self.ok("CreateStateMachine", input).await["stateMachineArn"])
    }

    pub async fn start(&self, machine: &str, input: Value) -> String {
        let start = json!({"stateMachineArn": machine, "input": input.to_string()});
        text(&self.ok("StartExecution", start).await["executionArn"])
    }

    pub async fn describe(&self, execution: &str) -> Value {
        self.ok("DescribeExecution", json!({"executionArn": execution})).await
    }

    /// The description of an execution once it has ended.
    pub async fn ended(&self, execution: &str) -> Value {
        for _ in 0..20_000 {
            let description = self.describe(execution).await;
            if description["status"] != "RUNNING" {
                return description;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{execution} does not end");
    }

    pub async fn run(&self, machine: &str, input: Value) -> Value {
        let execution = self.start(machine, input).await;
        self.ended(&execution).await
    }

    pub async fn events(&self, execution: &str) -> Vec<Value> {
        let history = self
            .ok(
                "GetExecutionHistory",
                json!({"executionArn": execution, "maxResults": 1000}),
            )
            .await;
        history["events"].as_array().unwrap().clone()
    }

    /// One line an event, without times.
    pub async fn history(&self, execution: &str) -> Vec<String> {
        let line = |event: &Value| {
            format!(
                "{} {} {}",
                event["id"],
                event["previousEventId"],
                event["type"].as_str().unwrap()
            )
        };
        self.events(execution).await.iter().map(line).collect()
    }

    /// Waits until the history holds an event of this type.
    pub async fn until(&self, execution: &str, event: &str) {
        for _ in 0..20_000 {
            if self.events(execution).await.iter().any(|it| it["type"] == event) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{execution} does not come to {event}");
    }
}

pub fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is not text"))
        .to_owned()
}

pub fn passes(count: usize) -> Value {
    let mut states = serde_json::Map::new();
    for number in 1..=count {
        let mut state = json!({"Type": "Pass"});
        if number == count {
            state["End"] = json!(true);
        } else {
            state["Next"] = json!(format!("P{}", number + 1));
        }
        states.insert(format!("P{number}"), state);
    }
    json!({"StartAt": "P1", "States": states})
}

/// A task that invokes a function with `lambda:invoke`.
pub fn invoke(function: &str, next: Option<&str>) -> Value {
    let mut state = json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": function, "Payload.$": "$"},
        "OutputPath": "$.Payload",
    });
    match next {
        Some(next) => state["Next"] = json!(next),
        None => state["End"] = json!(true),
    }
    state
}

/// A clock that follows tokio's, so that paused time moves it too. It begins in
/// 2027, after all that recorded cases take for the past.
pub struct TokioClock(tokio::time::Instant);

impl TokioClock {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(tokio::time::Instant::now()))
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000) + self.0.elapsed()
    }
}
