//! Step 3: the model behind an endpoint that captures every inference.

use std::{thread, time::Duration};

use anyhow::bail;
use serde::Serialize;
use serde_json::{Value, json};

use super::{NAME, Stage, aws_cli, images::ImagesSection, role, section::Section, text, training::TrainingSection};
use crate::{
    client::{Client, JsonApi},
    terminal::{self, quoted},
};

/// How often the endpoint is looked at.
const POLL: Duration = Duration::from_millis(100);

/// The endpoint.
#[derive(Debug, Serialize)]
pub(super) struct EndpointSection {
    name: String,
    arn: String,
    model: String,
    capture: String,
    commands: Vec<String>,
}

impl Section for EndpointSection {
    fn title(&self) -> &'static str {
        "Endpoint"
    }

    fn lines(&self) -> Vec<String> {
        vec![
            format!("{} is in service with {}", self.name, self.model),
            format!("every inference is captured in {}", self.capture),
        ]
    }

    fn commands(&self) -> &[String] {
        &self.commands
    }
}

/// Where captured inferences go.
pub(super) fn capture_prefix() -> String {
    format!("s3://{NAME}/data_capture")
}

/// Creates the endpoint, or moves the one of an earlier telling to the new model.
pub(super) fn deploy(
    stage: &Stage<'_>,
    images: &ImagesSection,
    training: &TrainingSection,
) -> anyhow::Result<EndpointSection> {
    let name = &training.job;
    let client = stage.client;
    client.json(JsonApi::SageMaker, "CreateModel", &model(stage, training, name))?;
    client.json(JsonApi::SageMaker, "CreateEndpointConfig", &configuration(name))?;
    let operation = if exists(client)? {
        "UpdateEndpoint"
    } else {
        "CreateEndpoint"
    };
    client.json(
        JsonApi::SageMaker,
        operation,
        &json!({"EndpointName": NAME, "EndpointConfigName": name}),
    )?;
    let arn = wait(client)?;
    let fresh = &stage.fresh;
    Ok(EndpointSection {
        name: NAME.to_owned(),
        arn,
        model: name.clone(),
        capture: capture_prefix(),
        commands: vec![
            aws_cli::line("sagemaker create-model", &model(stage, training, fresh)),
            aws_cli::line("sagemaker create-endpoint-config", &configuration(fresh)),
            format!("aws sagemaker create-endpoint --endpoint-name {fresh} --endpoint-config-name {fresh}"),
            format!(
                "aws s3 cp {} image.png",
                quoted(&format!("s3://{NAME}/{}", images.example))
            ),
            format!(
                "aws sagemaker-runtime invoke-endpoint --endpoint-name {NAME} \\\n    --content-type image/png --body fileb://image.png answer.json"
            ),
        ],
    })
}

fn model(stage: &Stage<'_>, training: &TrainingSection, name: &str) -> Value {
    json!({
        "ModelName": name,
        "ExecutionRoleArn": role(stage.account),
        "PrimaryContainer": {"Image": training.image, "ModelDataUrl": training.model_artifacts},
    })
}

/// The configuration `name` of the model `name`.
fn configuration(name: &str) -> Value {
    json!({
        "EndpointConfigName": name,
        "ProductionVariants": [{
            "VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": 1,
            "InstanceType": "ml.m5.xlarge", "InitialVariantWeight": 1,
        }],
        "DataCaptureConfig": {
            "EnableCapture": true, "InitialSamplingPercentage": 100, "DestinationS3Uri": capture_prefix(),
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            // What is not named here is captured as base64.
            "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
        },
    })
}

fn describe(client: &Client) -> Result<Value, crate::client::Error> {
    client.json(JsonApi::SageMaker, "DescribeEndpoint", &json!({"EndpointName": NAME}))
}

fn exists(client: &Client) -> anyhow::Result<bool> {
    match describe(client) {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some("ValidationException") => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn wait(client: &Client) -> anyhow::Result<String> {
    let spinner = terminal::spinner("Deploying the model");
    loop {
        let endpoint = describe(client)?;
        match endpoint["EndpointStatus"].as_str() {
            Some("InService") => {
                spinner.finish_and_clear();
                return text(&endpoint, "/EndpointArn");
            }
            Some("Creating" | "Updating" | "RollingBack") => thread::sleep(POLL),
            status => bail!(
                "the endpoint {NAME} is {}: {}",
                status.unwrap_or("in no known state"),
                endpoint["FailureReason"].as_str().unwrap_or("no reason was given")
            ),
        }
    }
}
