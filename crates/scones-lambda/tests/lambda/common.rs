//! A server with real workers, in one process with its test.

use std::{
    collections::HashMap,
    io::{Cursor, Write as _},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use scones_api::{ApiError, Caller, Clock, JsonService as _, Owner, RequestContext, SystemClock, Timestamp};
use scones_lambda::{Dependencies, FunctionEnvironment, Invocation, Invoke, Lambda, LogSink, ObjectSource, Options};
use scones_store::{SqliteStore, Store};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use zip::{ZipWriter, write::SimpleFileOptions};

pub const ROLE: &str = "arn:aws:iam::000000000000:role/scones";

/// Log lines in memory: group, stream, message.
#[derive(Default)]
pub struct MemoryLogs {
    lines: Mutex<Vec<(String, String, String)>>,
    /// The lines for which there is no room: none unless it is set.
    full: watch::Sender<Option<usize>>,
}

#[async_trait]
impl LogSink for MemoryLogs {
    async fn room(&self) {
        let has_room = |full: &Option<usize>| full.is_none_or(|full| self.lines.lock().unwrap().len() < full);
        self.full.subscribe().wait_for(has_room).await.unwrap();
    }

    fn push(&self, group: &str, stream: &str, _: Timestamp, message: String) {
        let line = (group.to_owned(), stream.to_owned(), message);
        self.lines.lock().unwrap().push(line);
    }
}

impl MemoryLogs {
    /// There is no room for more than `full` lines; `None` is no bound.
    pub fn set_full(&self, full: Option<usize>) {
        self.full.send_replace(full);
    }

    pub fn lines(&self, group: &str) -> Vec<String> {
        let all = self.lines.lock().unwrap();
        all.iter()
            .filter(|line| line.0 == group)
            .map(|line| line.2.clone())
            .collect()
    }

    pub fn streams(&self, group: &str) -> Vec<String> {
        let all = self.lines.lock().unwrap();
        let mut streams: Vec<String> = all
            .iter()
            .filter(|line| line.0 == group)
            .map(|line| line.1.clone())
            .collect();
        streams.dedup();
        streams
    }
}

/// Objects in memory, by bucket and key.
#[derive(Default)]
pub struct MemoryObjects(pub Mutex<HashMap<(String, String), Bytes>>);

#[async_trait]
impl ObjectSource for MemoryObjects {
    async fn read_object(&self, bucket: &str, key: &str, _: u64) -> Result<Bytes, ApiError> {
        let objects = self.0.lock().unwrap();
        let found = objects.get(&(bucket.to_owned(), key.to_owned())).cloned();
        found.ok_or_else(|| ApiError::new(404, "NoSuchKey", "The specified key does not exist."))
    }
}

pub struct Server {
    pub lambda: Arc<Lambda>,
    pub logs: Arc<MemoryLogs>,
    pub objects: Arc<MemoryObjects>,
    pub clock: Arc<dyn Clock>,
    pub directory: Arc<TempDir>,
    store: Arc<SqliteStore>,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(configure: impl FnOnce(&mut Options)) -> Self {
        Self::in_directory(Arc::new(tempfile::tempdir().unwrap()), Arc::new(SystemClock), configure).await
    }

    pub async fn in_directory(
        directory: Arc<TempDir>,
        clock: Arc<dyn Clock>,
        configure: impl FnOnce(&mut Options),
    ) -> Self {
        let store = SqliteStore::open(&directory.path().join("store")).unwrap();
        let mut options = Options {
            directory: directory.path().join("lambda"),
            retry_seconds: [0, 0],
            ..Options::default()
        };
        configure(&mut options);
        let (logs, objects) = (Arc::new(MemoryLogs::default()), Arc::new(MemoryObjects::default()));
        let dependencies = Dependencies {
            store: Arc::clone(&store) as Arc<dyn Store>,
            clock: Arc::clone(&clock),
            logs: Arc::clone(&logs) as Arc<dyn LogSink>,
            objects: Arc::clone(&objects) as Arc<dyn ObjectSource>,
            environment: FunctionEnvironment {
                endpoint_url: "http://127.0.0.1:4566".to_owned(),
                access_key_id: "AKIATEST".to_owned(),
                secret_access_key: "secret".to_owned(),
                region: "us-east-1".to_owned(),
            },
        };
        let lambda = Lambda::start(options, Owner::default(), dependencies).await.unwrap();
        Self {
            lambda,
            logs,
            objects,
            clock,
            directory,
            store,
        }
    }

    /// Calls an operation; an error is `Code: message`.
    pub async fn call(&self, operation: &str, input: Value) -> Result<Value, String> {
        let context = RequestContext {
            caller: Arc::new(Caller {
                access_key_id: "AKIATEST".to_owned(),
                arn: "arn:aws:iam::000000000000:root".parse().unwrap(),
            }),
            request_id: "r".to_owned(),
        };
        match self
            .lambda
            .call(operation, input.to_string().as_bytes(), &context)
            .await
        {
            Ok(body) if body.is_empty() => Ok(Value::Null),
            Ok(body) => Ok(serde_json::from_slice(&body).unwrap()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Creates a Python function of one module, `app`.
    pub async fn create(&self, name: &str, source: &str, more: Value) -> Value {
        let mut input = json!({
            "FunctionName": name,
            "Runtime": "python3.12",
            "Role": ROLE,
            "Handler": "app.handler",
            "Code": { "ZipFile": package(&[("app.py", source, 0o644)]) },
        });
        merge(&mut input, more);
        self.call("CreateFunction", input).await.unwrap()
    }

    pub async fn invoke(&self, function: &str, payload: &str) -> Invocation {
        let invoke = Invoke {
            function,
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            log_tail: true,
            ..Invoke::default()
        };
        self.lambda.invoke(invoke).await.unwrap()
    }

    /// Invokes and gives the payload, or the error with its request id hidden.
    pub async fn result(&self, function: &str, payload: &str) -> String {
        let invocation = self.invoke(function, payload).await;
        let text = String::from_utf8(invocation.payload.to_vec()).unwrap();
        let text = text.replace(&invocation.request_id, "ID");
        match invocation.function_error {
            Some(kind) => format!("{kind} {text}"),
            None => text,
        }
    }

    /// Ends the server and starts another on what it wrote.
    pub async fn restart(self, configure: impl FnOnce(&mut Options)) -> Self {
        self.lambda.shutdown().await;
        let Self {
            clock,
            directory,
            store,
            ..
        } = self;
        store.close().await;
        Self::in_directory(directory, clock, configure).await
    }
}

/// A deployment package as base64: name, text, mode.
pub fn package(files: &[(&str, &str, u32)]) -> String {
    STANDARD.encode(archive(files))
}

pub fn archive(files: &[(&str, &str, u32)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text, mode) in files {
        writer
            .start_file(*name, SimpleFileOptions::default().unix_permissions(*mode))
            .unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

pub fn merge(target: &mut Value, more: Value) {
    if let Value::Object(more) = more {
        for (key, value) in more {
            target[key] = value;
        }
    }
}

pub fn log_tail(invocation: &Invocation) -> String {
    let bytes = STANDARD.decode(invocation.log_result.as_deref().unwrap()).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Waits until `condition` gives a value.
pub async fn eventually<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(value) = condition() {
                return value;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), wait)
        .await
        .expect("it happens within a minute")
}
