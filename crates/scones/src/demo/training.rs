//! Step 2: a training job of the built-in image-classification algorithm.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;
use chrono::Utc;
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::{Value, json};

use super::{NAME, Stage, aws_cli, images::ImagesSection, role, section::Section, text};
use crate::{
    client::{Client, JsonApi},
    picture, terminal,
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
        lines.push(
            "its validation channel is the test part: accuracy is measured, and the temperature of calibration fitted, on it"
                .to_owned(),
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
        if description["SecondaryStatus"] == "Pending" {
            spinner.set_message("waits for a training that runs already on this data directory");
        }
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
        validation_accuracy: log.validation_accuracy,
        final_metrics: metrics(&description),
        training_seconds: description["TrainingTimeInSeconds"].as_u64().unwrap_or_default(),
        commands: vec![
            aws_cli::line(
                "sagemaker create-training-job",
                &request(stage, images, &stage.fresh, &image),
            ),
            format!(
                "aws sagemaker wait training-job-completed-or-stopped --training-job-name {}",
                stage.fresh
            ),
        ],
        image,
        job,
    })
}

fn request(stage: &Stage<'_>, images: &ImagesSection, job: &str, image: &str) -> Value {
    let channel = |name: &str, path: &str| {
        json!({
            "ChannelName": name,
            "ContentType": "application/x-image",
            "DataSource": {"S3DataSource": {
                "S3DataType": "S3Prefix", "S3Uri": format!("s3://{NAME}/{path}"),
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
    /// How many epochs there are, and when the first began.
    begun: Option<(usize, Instant)>,
    validation_accuracy: Vec<f64>,
}

impl<'a> Log<'a> {
    fn new(client: &'a Client, job: &str) -> Self {
        Self {
            client,
            prefix: format!("{job}/"),
            stream: None,
            token: None,
            begun: None,
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
        if let Some(epochs) = epochs(message) {
            self.begun = Some((epochs, Instant::now()));
        }
        if let Some(accuracy) = message
            .split_once("Validation-accuracy=")
            .and_then(|(_, value)| value.trim().parse().ok())
        {
            self.validation_accuracy.push(accuracy);
            let epochs = self.validation_accuracy.len();
            let begun = self.begun.map(|(total, began)| (total, began.elapsed()));
            let progress = progress(epochs, begun, accuracy);
            // Without a terminal, every fifth epoch is enough to see that it goes on.
            if !terminal::is_interactive() && epochs % 5 == 1 {
                terminal::say(&progress);
            }
            spinner.set_message(progress);
        }
    }
}

/// The number of epochs that the log's first line promises.
fn epochs(message: &str) -> Option<usize> {
    let (_, promise) = message.split_once("Training for ")?;
    let (count, _) = promise.split_once(" epochs")?;
    count.parse().ok()
}

/// How far the job is after `done` epochs, and how long the rest may take if `begun` tells how many
/// there are and how long these took.
fn progress(done: usize, begun: Option<(usize, Duration)>, accuracy: f64) -> String {
    let (mut of_total, mut left) = (String::new(), String::new());
    if let Some((total, elapsed)) = begun {
        of_total = format!(" of {total}");
        if total > done && done > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a count of epochs is small")]
            let share = (total - done) as f64 / done as f64;
            left = format!(", about {:.0} s left", (elapsed.as_secs_f64() * share).max(1.0));
        }
    }
    format!("Training: epoch {done}{of_total}, validation accuracy {accuracy:.3}{left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_says_how_far_and_how_long() {
        let total = epochs("[11/23/2026 10:00:00 INFO 1] Training for 60 epochs of 25 batches, 9 parameters");
        assert_eq!(total, Some(60));
        assert_eq!(epochs("Epoch[3] Train-accuracy=0.8"), None);
        for (done, begun, expected) in [
            (
                36,
                Some((60, Duration::from_secs(18))),
                "Training: epoch 36 of 60, validation accuracy 0.875, about 12 s left",
            ),
            (
                60,
                Some((60, Duration::from_secs(30))),
                "Training: epoch 60 of 60, validation accuracy 0.875",
            ),
            (2, None, "Training: epoch 2, validation accuracy 0.875"),
        ] {
            assert_eq!(progress(done, begun, 0.875), expected);
        }
    }
}
