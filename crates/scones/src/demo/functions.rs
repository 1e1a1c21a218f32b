//! Step 4: the three functions, whose package runs this very program.

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use scones_functions::NAMES;
use serde::Serialize;
use serde_json::{Value, json};

use super::{NAME, Stage, role, section::Section, training::text};
use crate::client::{Client, Error};

/// What the filter lets pass: the probability of the likelier class.
const THRESHOLD: &str = "0.8";

/// The functions.
#[derive(Debug, Serialize)]
pub(super) struct FunctionsSection {
    pub(super) arns: Vec<String>,
    pub(super) threshold: f64,
    commands: Vec<String>,
}

impl Section for FunctionsSection {
    fn title(&self) -> &'static str {
        "Functions"
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = self.arns.clone();
        lines.push(format!("{} lets an inference pass above {}", NAMES[2], self.threshold));
        lines
    }

    fn commands(&self) -> &[String] {
        &self.commands
    }
}

/// Creates the functions, or updates those of an earlier telling.
pub(super) fn create(stage: &Stage<'_>) -> anyhow::Result<FunctionsSection> {
    let arns = NAMES
        .iter()
        .map(|name| create_one(stage, name).with_context(|| format!("cannot create the function {name}")));
    let name = NAMES[0];
    Ok(FunctionsSection {
        arns: arns.collect::<anyhow::Result<_>>()?,
        threshold: THRESHOLD.parse()?,
        commands: vec![
            "cd examples/scones-unlimited/functions && zip function.zip serialize_image_data.py".to_owned(),
            format!(
                "aws lambda create-function --function-name my-{name} --runtime python3.12 --handler serialize_image_data.lambda_handler --role {} --zip-file fileb://function.zip",
                role(stage.account)
            ),
            format!(
                "aws lambda invoke --function-name {name} --payload '{{\"s3_bucket\":\"{NAME}\",\"s3_key\":\"test/NAME.png\"}}' answer.json"
            ),
        ],
    })
}

fn create_one(stage: &Stage<'_>, name: &str) -> anyhow::Result<String> {
    let environment = json!({"Variables": {"ENDPOINT": NAME, "THRESHOLD": THRESHOLD}});
    let code = STANDARD.encode(scones_functions::package()?);
    let input = json!({
        "FunctionName": name, "Runtime": "provided.al2023", "Handler": name, "Role": role(stage.account),
        "Code": {"ZipFile": code}, "Timeout": 30, "MemorySize": 128, "Environment": environment,
    });
    let client = stage.client;
    let created = match client.lambda("CreateFunction", Method::POST, "/2015-03-31/functions", &input) {
        Err(error) if error.code() == Some("ResourceConflictException") => update(client, name, &code, &environment)?,
        created => created?,
    };
    text(&created, "/FunctionArn")
}

fn update(client: &Client, name: &str, code: &str, environment: &Value) -> Result<Value, Error> {
    let path = format!("/2015-03-31/functions/{name}");
    client.lambda(
        "UpdateFunctionCode",
        Method::PUT,
        &format!("{path}/code"),
        &json!({"ZipFile": code}),
    )?;
    let configuration = json!({"Environment": environment});
    client.lambda(
        "UpdateFunctionConfiguration",
        Method::PUT,
        &format!("{path}/configuration"),
        &configuration,
    )
}
