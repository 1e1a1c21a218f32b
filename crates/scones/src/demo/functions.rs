//! Step 4: the three functions, whose package runs this very program.

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use scones_functions::NAMES;
use serde::Serialize;
use serde_json::{Value, json};

use super::{NAME, Stage, aws_cli, images::ImagesSection, role, section::Section, text};
use crate::{
    client::{Client, Error},
    terminal::quoted,
};

/// What the filter lets pass: the probability of the likelier class.
const THRESHOLD: &str = "0.8";

/// The Python modules of the same functions, in the order of [`NAMES`].
const MODULES: [&str; NAMES.len()] = ["serialize_image_data", "classify_image_data", "filter_inferences"];

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
pub(super) fn create(stage: &Stage<'_>, images: &ImagesSection) -> anyhow::Result<FunctionsSection> {
    let arns = NAMES
        .iter()
        .map(|name| create_one(stage, name).with_context(|| format!("cannot create the function {name}")));
    Ok(FunctionsSection {
        arns: arns.collect::<anyhow::Result<_>>()?,
        threshold: THRESHOLD.parse()?,
        commands: commands(stage, images),
    })
}

/// How the same functions are made of their Python modules.
fn commands(stage: &Stage<'_>, images: &ImagesSection) -> Vec<String> {
    let package = "python3 -m zipfile -c functions.zip examples/scones-unlimited/functions/*.py";
    let create = NAMES.iter().zip(MODULES).map(|(name, module)| {
        let input = json!({
            "FunctionName": format!("{}-{name}", stage.fresh), "Runtime": "python3.12", "Timeout": 30,
            "Handler": format!("{module}.lambda_handler"), "Role": role(stage.account),
            "ZipFile": "fileb://functions.zip", "Environment": environment(),
        });
        aws_cli::line("lambda create-function", &input)
    });
    let event = json!({"s3_bucket": NAME, "s3_key": images.example}).to_string();
    let invoke = [
        format!("echo {} > event.json", quoted(&event)),
        format!(
            "aws lambda invoke --function-name {} --payload fileb://event.json answer.json",
            NAMES[0]
        ),
    ];
    std::iter::once(package.to_owned())
        .chain(create)
        .chain(invoke)
        .collect()
}

/// What the functions are told.
fn environment() -> Value {
    json!({"Variables": {"ENDPOINT": NAME, "THRESHOLD": THRESHOLD}})
}

fn create_one(stage: &Stage<'_>, name: &str) -> anyhow::Result<String> {
    let environment = environment();
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
