//! Step 2: a training job of the built-in image-classification algorithm.

use std::{thread, time::Duration};

use anyhow::{Context as _, bail};
use chrono::Utc;
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::{Value, json};

use super::{NAME, Stage, images::ImagesSection, picture, role, section::Section};
use crate::{
    client::{Client, JsonApi},
    terminal,
};

/// How often the job is looked at.
const POLL: Duration = Duration::from_millis(300);

/// Where the algorithm's job log is.
const LOG_GROUP: &str = "/aws/sagemaker/TrainingJobs";

/// How a training job went.
#[derive(Debug, Serialize)]
pub(super) struct TrainingSection {
    pub(super) job: String,
    pub(super) model_artifacts: String,
    pub(super) image: String,
    /// Validation accuracy after each epoch.
    validation_accuracy: Vec<f64>,
    /// What the job itself reports at its end.
    final_metrics: Vec<(String, f64)>,
    training_seconds: u64,
    commands: Vec<String>,
}

impl Section for TrainingSection {
    fn title(&self) -> &'static str {
        "Training"
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} took {} s", self.job, self.training_seconds)];
        if let (Some(first), Some(last)) = (self.validation_accuracy.first(), self.validation_accuracy.last()) {
            let curve = picture::sparkline(&self.validation_accuracy, 0.5, 1.0);
            lines.push(format!(
                "validation accuracy {curve} {first:.3} to {last:.3} in {}",
                terminal::counted(self.validation_accuracy.len(), "epoch")
            ));
        }
        lines.extend(
            self.final_metrics
                .iter()
                .map(|(name, value)| format!("{name} = {value:.4}")),
        );
        lines.push(format!("model: {}", self.model_artifacts));
        lines
    }

    fn commands(&self) -> &[String] {
        &self.commands
    }
}

/// Trains and waits for the end.
pub(super) fn train(stage: &Stage<'_>, images: &ImagesSection) -> anyhow::Result<TrainingSection> {
    let job = format!("{NAME}-{}", Utc::now().format("%Y%m%d-%H%M%S-%3f"));
    let image = format!(
        "811284229777.dkr.ecr.{}.amazonaws.com/image-classification:1",
        stage.region
    );
    let input = request(stage, images, &job, &image);
    stage.client.json(JsonApi::SageMaker, "CreateTrainingJob", &input)?;
    let mut log = Log::new(stage.client, &job);
    let spinner = terminal::spinner("Training");
    let description = loop {
        let description = stage.client.json(
            JsonApi::SageMaker,
            "DescribeTrainingJob",
            &json!({"TrainingJobName": job}),
        )?;
        log.follow(&spinner)?;
        match description["TrainingJobStatus"].as_str() {
            Some("InProgress" | "Stopping") => {}
            Some("Completed") => break description,
            status => {
                let reason = description["FailureReason"].as_str().unwrap_or("no reason was given");
                bail!(
                    "the training job {job} ended as {}: {reason}",
                    status.unwrap_or("unknown")
                );
            }
        }
        thread::sleep(POLL);
    };
    log.follow(&spinner)?;
    spinner.finish_and_clear();
    Ok(TrainingSection {
        model_artifacts: text(&description, "/ModelArtifacts/S3ModelArtifacts")?,
        image,
        validation_accuracy: log.validation_accuracy,
        final_metrics: metrics(&description),
        training_seconds: description["TrainingTimeInSeconds"].as_u64().unwrap_or_default(),
        commands: vec![
            format!("aws sagemaker create-training-job --cli-input-json '{input}'"),
            format!("aws sagemaker wait training-job-completed-or-stopped --training-job-name {job}"),
        ],
        job,
    })
}

fn request(stage: &Stage<'_>, images: &ImagesSection, job: &str, image: &str) -> Value {
    let channel = |name: &str, path: &str| {
        json!({
            "ChannelName": name,
            "ContentType": "application/x-image",
            "DataSource": {"S3DataSource": {
                "S3DataType": "S3Prefix", "S3Uri": format!("s3://{NAME}/{path}"), "S3DataDistributionType": "FullyReplicated",
            }},
        })
    };
    let (height, width) = images.image_size;
    let count: usize = images.train_counts.iter().sum();
    let mut hyperparameters = json!({
        "image_shape": format!("3,{height},{width}"),
        "num_classes": images.classes.len().to_string(),
        "num_training_samples": count.to_string(),
    });
    if images.resized {
        hyperparameters["resize"] = height.max(width).to_string().into();
    }
    json!({
        "TrainingJobName": job,
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
        "RoleArn": role(stage.account),
        "InputDataConfig": [
            channel("train", "train/"), channel("validation", "test/"),
            channel("train_lst", "train.lst"), channel("validation_lst", "test.lst"),
        ],
        "OutputDataConfig": {"S3OutputPath": format!("s3://{NAME}/models")},
        "ResourceConfig": {"InstanceType": "ml.p3.2xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "HyperParameters": hyperparameters,
    })
}

/// The text at a place in an answer.
pub(super) fn text(answer: &Value, place: &str) -> anyhow::Result<String> {
    let text = answer.pointer(place).and_then(Value::as_str);
    Ok(text
        .with_context(|| format!("the answer has no text at {place}"))?
        .to_owned())
}

fn metrics(description: &Value) -> Vec<(String, f64)> {
    let metrics = description["FinalMetricDataList"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    metrics
        .iter()
        .filter_map(|metric| Some((metric["MetricName"].as_str()?.to_owned(), metric["Value"].as_f64()?)))
        .collect()
}

/// The job's log, read as it grows.
struct Log<'a> {
    client: &'a Client,
    prefix: String,
    stream: Option<String>,
    token: Option<String>,
    validation_accuracy: Vec<f64>,
}

impl<'a> Log<'a> {
    fn new(client: &'a Client, job: &str) -> Self {
        Self {
            client,
            prefix: format!("{job}/"),
            stream: None,
            token: None,
            validation_accuracy: Vec::new(),
        }
    }

    /// Reads what is new and shows how far the job is.
    fn follow(&mut self, spinner: &ProgressBar) -> anyhow::Result<()> {
        if self.stream.is_none() {
            self.stream = self.find_stream()?;
        }
        let Some(stream) = self.stream.clone() else {
            return Ok(());
        };
        loop {
            let mut input = json!({"logGroupName": LOG_GROUP, "logStreamName": stream, "startFromHead": true});
            if let Some(token) = &self.token {
                input["nextToken"] = token.as_str().into();
            }
            let page = self.client.json(JsonApi::Logs, "GetLogEvents", &input)?;
            let messages = page["events"].as_array().map(Vec::as_slice).unwrap_or_default();
            for message in messages.iter().filter_map(|event| event["message"].as_str()) {
                self.read(message, spinner);
            }
            self.token = page["nextForwardToken"].as_str().map(str::to_owned);
            if messages.is_empty() {
                return Ok(());
            }
        }
    }

    fn find_stream(&self) -> anyhow::Result<Option<String>> {
        let input = json!({"logGroupName": LOG_GROUP, "logStreamNamePrefix": self.prefix});
        match self.client.json(JsonApi::Logs, "DescribeLogStreams", &input) {
            Ok(page) => Ok(page
                .pointer("/logStreams/0/logStreamName")
                .and_then(Value::as_str)
                .map(str::to_owned)),
            // The job has not written anything yet.
            Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn read(&mut self, message: &str, spinner: &ProgressBar) {
        if let Some(accuracy) = message
            .split_once("Validation-accuracy=")
            .and_then(|(_, value)| value.trim().parse().ok())
        {
            self.validation_accuracy.push(accuracy);
            let epochs = self.validation_accuracy.len();
            let progress = format!("Training: epoch {epochs}, validation accuracy {accuracy:.3}");
            // Without a terminal, every fifth epoch is enough to see that it goes on.
            if !terminal::is_interactive() && epochs % 5 == 1 {
                terminal::say(&progress);
            }
            spinner.set_message(progress);
        }
    }
}
