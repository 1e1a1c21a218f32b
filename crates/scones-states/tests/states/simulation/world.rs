//! What is outside of the servers, and goes on when they die: functions that
//! take their time and fail, training jobs, and those who hold tokens.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use scones_api::{ApiError, Clock as _};
use scones_states::{LambdaCall, LambdaReply, Random, ServiceCall, TaskRunner};
use serde_json::{Value, json};

use crate::common::{
    Server, TokioClock,
    memory::{MemoryStore, draw},
    text,
};

/// A number that a seed gives, again and again.
pub struct Seeded(Mutex<u64>);

impl Seeded {
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(seed)))
    }

    pub fn below(&self, limit: u64) -> u64 {
        draw(&mut self.0.lock().unwrap()) % limit
    }
}

impl Random for Seeded {
    fn draw(&self) -> u128 {
        let mut seed = self.0.lock().unwrap();
        u128::from(draw(&mut seed)) << 64 | u128::from(draw(&mut seed))
    }
}

/// Milliseconds since the epoch.
struct Job {
    created: i64,
    /// Absent for one that runs until it is stopped.
    ends: Option<i64>,
    fails: bool,
    stopped: bool,
}

impl Job {
    fn status(&self, now: i64) -> &'static str {
        match self.ends {
            _ if self.stopped => "Stopped",
            Some(ends) if ends <= now && self.fails => "Failed",
            Some(ends) if ends <= now => "Completed",
            _ => "InProgress",
        }
    }
}

pub struct World {
    clock: Arc<TokioClock>,
    jobs: Mutex<BTreeMap<String, Job>>,
    tokens: Mutex<Vec<String>>,
}

impl World {
    pub fn new(clock: &Arc<TokioClock>) -> Arc<Self> {
        Arc::new(Self {
            clock: Arc::clone(clock),
            jobs: Mutex::default(),
            tokens: Mutex::default(),
        })
    }

    fn now(&self) -> i64 {
        self.clock.now().as_millis()
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<String, Job>> {
        self.jobs.lock().unwrap()
    }

    /// The jobs that have not ended.
    pub fn running_jobs(&self) -> Vec<String> {
        let now = self.now();
        let jobs = self.jobs();
        let running = jobs.iter().filter(|(_, job)| job.status(now) == "InProgress");
        running.map(|(name, _)| name.clone()).collect()
    }

    /// A worker asks for an activity's task, and may lose what it gets; those
    /// who hold tokens report, some twice and some too late.
    pub async fn report(&self, server: &Server, activity: &str, seed: &Seeded) {
        let patience = Duration::from_millis(seed.below(1_500));
        let poll = server.call("GetActivityTask", json!({"activityArn": activity}));
        if let Ok(Ok(task)) = tokio::time::timeout(patience, poll).await
            && let Some(token) = task["taskToken"].as_str()
        {
            self.tokens.lock().unwrap().push(token.to_owned());
        }
        let tokens = std::mem::take(&mut *self.tokens.lock().unwrap());
        for token in tokens {
            let (operation, input) = match seed.below(16) {
                0 | 1 => ("SendTaskSuccess", json!({"taskToken": token, "output": "{}"})),
                2 => ("SendTaskFailure", json!({"taskToken": token, "error": "No"})),
                3..6 => ("SendTaskHeartbeat", json!({"taskToken": token})),
                _ => ("", Value::Null),
            };
            let of_use = match operation {
                "" => true,
                _ => match server.call(operation, input).await {
                    Err(error) => error.is_server_fault(),
                    Ok(_) => operation == "SendTaskHeartbeat" || seed.below(2) == 0,
                },
            };
            if of_use {
                self.tokens.lock().unwrap().push(token);
            }
        }
    }
}

/// The world as one server sees it: not at all once the server is dead.
pub struct Window {
    pub world: Arc<World>,
    pub store: Arc<MemoryStore>,
    pub seed: Arc<Seeded>,
}

impl Window {
    async fn pass(&self, longest_millis: u64) -> Result<(), ApiError> {
        tokio::time::sleep(Duration::from_millis(self.seed.below(longest_millis))).await;
        match self.store.is_dead() {
            true => Err(ApiError::new(503, "ServiceUnavailable", "the server is dead")),
            false => Ok(()),
        }
    }

    fn create_job(&self, name: String) -> Result<Value, ApiError> {
        let now = self.world.now();
        let mut jobs = self.world.jobs();
        if jobs.contains_key(&name) {
            return Err(ApiError::new(400, "ResourceInUse", "there is one"));
        }
        let lasts = i64::try_from(1_000 + self.seed.below(40_000)).unwrap();
        let job = Job {
            created: now,
            ends: (self.seed.below(3) > 0).then_some(now + lasts),
            fails: self.seed.below(3) == 0,
            stopped: false,
        };
        let arn = format!("arn:aws:sagemaker:us-east-1:000000000000:training-job/{name}");
        jobs.insert(name, job);
        Ok(json!({"TrainingJobArn": arn}))
    }
}

#[async_trait]
impl TaskRunner for Window {
    async fn invoke_function(&self, call: LambdaCall) -> Result<LambdaReply, ApiError> {
        self.pass(3_000).await?;
        if call.function == "t" {
            let token = text(&serde_json::from_str(&call.payload).unwrap());
            self.world.tokens.lock().unwrap().push(token);
        }
        let fails = self.seed.below(4) == 0;
        let error = r#"{"errorType": "Flaky", "errorMessage": "again"}"#;
        Ok(LambdaReply {
            status_code: 200,
            payload: if fails { error.to_owned() } else { call.payload },
            function_error: fails.then(|| "Unhandled".to_owned()),
            executed_version: None,
            request_id: "r".to_owned(),
        })
    }

    async fn call_service(&self, call: ServiceCall) -> Result<Value, ApiError> {
        self.pass(500).await?;
        let name = text(&call.input["TrainingJobName"]);
        let now = self.world.now();
        let response = match call.operation.as_str() {
            "CreateTrainingJob" => self.create_job(name)?,
            "DescribeTrainingJob" => {
                let jobs = self.world.jobs();
                let job = jobs.get(&name);
                let job = job.ok_or_else(|| ApiError::new(400, "ValidationException", "there is none"))?;
                let created = json!(job.created as f64 / 1_000.0);
                json!({"TrainingJobName": name, "TrainingJobStatus": job.status(now), "CreationTime": created})
            }
            "StopTrainingJob" => {
                let mut jobs = self.world.jobs();
                let job = jobs.get_mut(&name).filter(|job| job.status(now) == "InProgress");
                let job = job.ok_or_else(|| ApiError::new(400, "ValidationException", "it is over"))?;
                job.stopped = true;
                json!({})
            }
            other => return Err(ApiError::not_implemented(other)),
        };
        self.pass(500).await?;
        Ok(response)
    }
}
