//! A service to test, and what it stands on.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use scones_api::{ApiError, Caller, JsonService as _, ManualClock, Owner, RequestContext, Timestamp};
use scones_sagemaker::{
    CaptureOptions, Classifier, ClassifyError, Dependencies, LogSink, ModelLoader, ObjectStore, ObjectSummary, Options,
    SageMaker,
};
use scones_store::SqliteStore;
use serde_json::{Value, json};

pub const IMAGE: &str = "811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1";
pub const ROLE: &str = "arn:aws:iam::000000000000:role/SageMaker";
/// 2026-11-23T05:17:09.250Z
pub const NOW: Timestamp = Timestamp::from_millis(1_795_411_029_250);

#[derive(Default)]
pub struct Objects(Mutex<BTreeMap<(String, String), Bytes>>);

impl Objects {
    pub fn insert(&self, bucket: &str, key: &str, body: impl Into<Bytes>) {
        self.0
            .lock()
            .unwrap()
            .insert((bucket.to_owned(), key.to_owned()), body.into());
    }

    pub fn remove(&self, bucket: &str, key: &str) {
        self.0.lock().unwrap().remove(&(bucket.to_owned(), key.to_owned()));
    }

    pub fn get(&self, bucket: &str, key: &str) -> Option<Bytes> {
        self.0
            .lock()
            .unwrap()
            .get(&(bucket.to_owned(), key.to_owned()))
            .cloned()
    }

    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let objects = self.0.lock().unwrap();
        objects
            .keys()
            .filter(|(inside, _)| inside == bucket)
            .map(|(_, key)| key.clone())
            .collect()
    }
}

fn missing(code: &str) -> ApiError {
    ApiError::new(404, code, format!("{code}: it does not exist"))
}

#[async_trait]
impl ObjectStore for Objects {
    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectSummary>, ApiError> {
        let objects = self.0.lock().unwrap();
        let inside = objects.iter().filter(|((inside, _), _)| inside == bucket);
        if inside.clone().next().is_none() {
            return Err(missing("NoSuchBucket"));
        }
        let wanted =
            inside.filter(|((_, key), _)| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
        Ok(wanted
            .take(limit)
            .map(|((_, key), body)| ObjectSummary {
                key: key.clone(),
                size: body.len() as u64,
            })
            .collect())
    }

    async fn download(&self, bucket: &str, key: &str, to: &Path) -> Result<(), ApiError> {
        let body = self.get(bucket, key).ok_or_else(|| missing("NoSuchKey"))?;
        std::fs::write(to, body).map_err(ApiError::internal)
    }

    async fn upload(&self, bucket: &str, key: &str, _: &str, from: &Path) -> Result<(), ApiError> {
        self.insert(bucket, key, std::fs::read(from).map_err(ApiError::internal)?);
        Ok(())
    }

    async fn put(&self, bucket: &str, key: &str, _: &str, body: Bytes) -> Result<(), ApiError> {
        self.insert(bucket, key, body);
        Ok(())
    }
}

#[derive(Default)]
pub struct LogLines(Mutex<Vec<(String, String, String)>>);

impl LogLines {
    /// The lines of all streams of a group, and the streams' names.
    pub fn group(&self, group: &str) -> (Vec<String>, Vec<String>) {
        let lines = self.0.lock().unwrap();
        let of_group = lines.iter().filter(|(of, _, _)| of == group);
        let mut streams: Vec<String> = of_group.clone().map(|(_, stream, _)| stream.clone()).collect();
        streams.dedup();
        (of_group.map(|(_, _, line)| line.clone()).collect(), streams)
    }
}

#[async_trait]
impl LogSink for LogLines {
    async fn append(&self, group: &str, stream: &str, lines: Vec<(Timestamp, String)>) -> Result<(), ApiError> {
        let mut known = self.0.lock().unwrap();
        known.extend(
            lines
                .into_iter()
                .map(|(_, line)| (group.to_owned(), stream.to_owned(), line)),
        );
        Ok(())
    }
}

/// Artefacts are texts: the probability of the first of two classes, and `alone` behind it if the
/// model computes one image at a time. Loading waits while the gate is shut.
#[derive(Default)]
pub struct Loader {
    pub shut: AtomicBool,
    pub slow: Arc<Slow>,
}

/// Inferences of the image `slow`: they last as long as the gate is shut.
#[derive(Default)]
pub struct Slow {
    pub shut: AtomicBool,
    pub begun: AtomicUsize,
}

struct Even {
    share: f32,
    concurrency: usize,
    slow: Arc<Slow>,
}

impl Classifier for Even {
    fn classify(&self, image: &[u8]) -> Result<Vec<f32>, ClassifyError> {
        match image {
            b"panic" => panic!("as asked"),
            b"broken" => Err(ClassifyError::Image("not a PNG or JPEG image".to_owned())),
            b"slow" => {
                self.slow.begun.fetch_add(1, Ordering::SeqCst);
                while self.slow.shut.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                Ok(vec![self.share, 1.0 - self.share])
            }
            _ => Ok(vec![self.share, 1.0 - self.share]),
        }
    }

    fn concurrency(&self) -> usize {
        self.concurrency
    }
}

impl ModelLoader for Loader {
    fn load(&self, artefact: &Path) -> Result<Arc<dyn Classifier>, String> {
        while self.shut.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        let text = std::fs::read_to_string(artefact).map_err(|error| error.to_string())?;
        let (share, concurrency) = match text.strip_suffix(" alone") {
            Some(share) => (share, 1),
            None => (text.as_str(), usize::MAX),
        };
        Ok(Arc::new(Even {
            share: share.parse().map_err(|_| "it is not a model".to_owned())?,
            concurrency,
            slow: Arc::clone(&self.slow),
        }))
    }
}

/// What outlives a service.
pub struct World {
    pub folder: tempfile::TempDir,
    pub store: Arc<SqliteStore>,
    pub objects: Arc<Objects>,
    pub logs: Arc<LogLines>,
    pub loader: Arc<Loader>,
    pub clock: Arc<ManualClock>,
}

impl World {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let objects = Arc::new(Objects::default());
        for key in ["train/a.png", "train/b.png", "validation/c.png"] {
            objects.insert("data", key, "an image");
        }
        objects.insert("data", "train.lst", "1\t0\ta.png\n2\t1\tb.png\n");
        objects.insert("data", "validation.lst", "3\t0\tc.png\n");
        objects.insert("data", "models/quarter.tar.gz", "0.25");
        objects.insert("data", "models/half.tar.gz", "0.5");
        objects.insert("data", "models/alone.tar.gz", "0.75 alone");
        objects.insert("data", "models/broken.tar.gz", "nonsense");
        objects.insert("out", "here", "");
        Self {
            store: SqliteStore::open(&folder.path().join("store")).unwrap(),
            folder,
            objects,
            logs: Arc::default(),
            loader: Arc::default(),
            clock: Arc::new(ManualClock::new(NOW)),
        }
    }

    /// Whether a training process has said that it is ready.
    pub fn is_training(&self) -> bool {
        let (lines, _) = self.logs.group("/aws/sagemaker/TrainingJobs");
        lines.contains(&"ready".to_owned())
    }

    /// A service whose training processes run `script` (of `sh`) with the job's folder as `$1`.
    pub async fn start(&self, script: &str) -> Server {
        static SCRIPTS: AtomicUsize = AtomicUsize::new(0);
        // A shell that still runs reads on in its own file.
        let number = SCRIPTS.fetch_add(1, Ordering::SeqCst);
        let path: PathBuf = self.folder.path().join(format!("train-{number}.sh"));
        std::fs::write(&path, script).unwrap();
        let options = Options {
            training_command: vec![OsString::from("/bin/sh"), path.into()],
            directory: self.folder.path().join("work"),
            stop_grace_seconds: 30,
            capture: CaptureOptions {
                flush_milliseconds: 3_600_000,
                ..CaptureOptions::default()
            },
            ..Options::default()
        };
        self.start_with(options).await
    }

    pub async fn start_with(&self, options: Options) -> Server {
        let dependencies = Dependencies {
            objects: Arc::clone(&self.objects) as Arc<dyn ObjectStore>,
            logs: Arc::clone(&self.logs) as Arc<dyn LogSink>,
            loader: Arc::clone(&self.loader) as Arc<dyn ModelLoader>,
        };
        let store = Arc::clone(&self.store);
        let clock = Arc::clone(&self.clock);
        let service = SageMaker::start(options, Owner::default(), store, clock, dependencies)
            .await
            .unwrap();
        Server(service)
    }
}

pub struct Server(pub Arc<SageMaker>);

impl Server {
    /// The answer, or `CODE: message`.
    pub async fn call(&self, operation: &str, input: Value) -> Result<Value, String> {
        let caller = Caller {
            access_key_id: "k".to_owned(),
            arn: "arn:aws:iam::0:root".parse().unwrap(),
        };
        let context = RequestContext {
            caller: Arc::new(caller),
            request_id: "r".to_owned(),
        };
        let answer = self.0.call(operation, input.to_string().as_bytes(), &context).await;
        let answer = answer.map_err(|error| error.to_string())?;
        Ok(if answer.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&answer).unwrap()
        })
    }

    pub async fn ok(&self, operation: &str, input: Value) -> Value {
        self.call(operation, input).await.unwrap()
    }

    pub async fn job(&self, name: &str) -> Value {
        self.ok("DescribeTrainingJob", json!({"TrainingJobName": name})).await
    }

    /// The job, once its status is final.
    pub async fn ended(&self, name: &str) -> Value {
        self.job_when(name, |job| {
            ["Completed", "Failed", "Stopped"].contains(&job["TrainingJobStatus"].as_str().unwrap())
        })
        .await
    }

    pub async fn job_when(&self, name: &str, condition: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..6000 {
            let job = self.job(name).await;
            if condition(&job) {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the job never came so far: {}", self.job(name).await);
    }

    pub async fn endpoint_when(&self, name: &str, status: &str) -> Value {
        for _ in 0..6000 {
            let endpoint = self.ok("DescribeEndpoint", json!({"EndpointName": name})).await;
            if endpoint["EndpointStatus"] == status {
                return endpoint;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the endpoint never became {status}");
    }
}

pub async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..6000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} never happened");
}

/// A request for a training job that is right in every way.
pub fn training_job(name: &str) -> Value {
    let channel = |name: &str, uri: &str| {
        json!({
            "ChannelName": name,
            "ContentType": "application/x-image",
            "DataSource": {"S3DataSource": {
                "S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"
            }}
        })
    };
    json!({
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "HyperParameters": {"num_classes": "2", "num_training_samples": "2"},
        "InputDataConfig": [
            channel("train", "s3://data/train/"),
            channel("validation", "s3://data/validation/"),
            channel("train_lst", "s3://data/train.lst"),
            channel("validation_lst", "s3://data/validation.lst"),
        ],
        "OutputDataConfig": {"S3OutputPath": "s3://out/models/"},
        "ResourceConfig": {"InstanceType": "ml.p3.2xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "DebugHookConfig": {"S3OutputPath": "s3://out/debug", "CollectionConfigurations": []},
        "ProfilerConfig": {"S3OutputPath": "s3://out/profile", "DisableProfiler": false}
    })
}

/// The secondary statuses that a job went through.
pub fn steps(job: &Value) -> String {
    let steps = job["SecondaryStatusTransitions"].as_array().unwrap();
    steps
        .iter()
        .map(|step| step["Status"].as_str().unwrap())
        .collect::<Vec<_>>()
        .join(" ")
}
