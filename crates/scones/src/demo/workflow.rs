//! Step 5: the state machine, and its executions over test images.

use std::{thread, time::Duration};

use anyhow::Context as _;
use comfy_table::{Cell, CellAlignment, Table, presets};
use scones_vision::dataset::Sample;
use serde::Serialize;
use serde_json::{Value, json};

use super::{NAME, Stage, aws_cli, functions::FunctionsSection, images::test_key, role, section::Section, text};
use crate::{
    client::{Client, JsonApi},
    picture,
    source::Source,
    terminal,
};

/// The state machine of the example folder: what the demo runs is what users read.
const DEFINITION: &str = include_str!("../../../../examples/scones-unlimited/state-machine.json");

/// The region and account whose functions it names.
const EXAMPLE_OWNER: &str = "us-east-1:000000000000";

/// How many test images go through the workflow.
const EXECUTIONS: usize = 20;

/// How often an execution is looked at.
const POLL: Duration = Duration::from_millis(20);

/// One execution.
#[derive(Debug, Serialize)]
struct Execution {
    arn: String,
    image: String,
    actual: String,
    /// The class probabilities that the endpoint gave.
    probabilities: Vec<f64>,
    /// `passed`, or the error that failed the execution.
    outcome: String,
    /// Whether the likeliest class is the actual one.
    right: bool,
    milliseconds: u64,
    events: usize,
}

impl Execution {
    fn passed(&self) -> bool {
        self.outcome == "passed"
    }

    /// The outcome; a confident mistake does not look like a success.
    fn shown_outcome(&self) -> String {
        let wrong = if self.passed() && !self.right { " (wrong)" } else { "" };
        format!("{}{wrong}", self.outcome)
    }
}

/// The workflow.
#[derive(Debug, Serialize)]
pub(super) struct WorkflowSection {
    state_machine_arn: String,
    pub(super) classes: Vec<String>,
    threshold: f64,
    executions: Vec<Execution>,
    passed: usize,
    /// Of those that passed, how many named the right class.
    passed_and_right: usize,
    commands: Vec<String>,
}

impl Section for WorkflowSection {
    fn title(&self) -> &'static str {
        "Workflow"
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = picture::chain(&["serialize", "classify", "filter"]);
        lines.extend(self.table().lines().map(str::to_owned));
        lines.push(format!(
            "{} of {} passed the threshold of {}, {} of them rightly classified",
            self.passed,
            self.executions.len(),
            self.threshold,
            self.passed_and_right
        ));
        lines.push("the images are of the job's validation channel: new ones may be told apart less well".to_owned());
        lines
    }

    fn commands(&self) -> &[String] {
        &self.commands
    }
}

impl WorkflowSection {
    /// How many executions reached the endpoint.
    pub(super) fn classified(&self) -> usize {
        self.executions
            .iter()
            .filter(|execution| !execution.probabilities.is_empty())
            .count()
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        let mut header = vec!["image".to_owned(), "is".to_owned()];
        header.extend(self.classes.iter().cloned());
        header.extend(["outcome".to_owned(), "ms".to_owned()]);
        table.set_header(header);
        for execution in &self.executions {
            let mut row = vec![Cell::new(&execution.image), Cell::new(&execution.actual)];
            row.extend((0..self.classes.len()).map(|class| {
                let probability = execution
                    .probabilities
                    .get(class)
                    .map_or("-".to_owned(), |value| format!("{value:.3}"));
                Cell::new(probability).set_alignment(CellAlignment::Right)
            }));
            row.push(Cell::new(execution.shown_outcome()));
            row.push(Cell::new(execution.milliseconds).set_alignment(CellAlignment::Right));
            table.add_row(row);
        }
        table.to_string()
    }
}

/// Creates the state machine and runs it over test images of every class.
pub(super) fn run(stage: &Stage<'_>, source: &Source, functions: &FunctionsSection) -> anyhow::Result<WorkflowSection> {
    let client = stage.client;
    let machine = create(stage)?;
    let chosen = spread(&source.test.samples, EXECUTIONS);
    let bar = terminal::bar(chosen.len() as u64, "executions", "Running the state machine");
    let started: Vec<(String, &Sample)> = chosen
        .into_iter()
        .map(|sample| {
            let input =
                json!({"s3_bucket": NAME, "s3_key": test_key(&sample.name), "image_data": "", "inferences": []});
            let answer = client.json(
                JsonApi::States,
                "StartExecution",
                &json!({"stateMachineArn": machine, "input": input.to_string()}),
            )?;
            Ok((text(&answer, "/executionArn")?, sample))
        })
        .collect::<anyhow::Result<_>>()?;
    let classes = source.train.classes.clone();
    let mut executions = Vec::new();
    for (arn, sample) in started {
        executions.push(follow(client, arn, sample, &classes)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let passed: Vec<&Execution> = executions.iter().filter(|execution| execution.passed()).collect();
    Ok(WorkflowSection {
        passed: passed.len(),
        passed_and_right: passed.iter().filter(|execution| execution.right).count(),
        commands: commands(stage, &machine, executions.first()),
        classes,
        threshold: functions.threshold,
        executions,
        state_machine_arn: machine,
    })
}

/// How the same is done with the AWS CLI.
fn commands(stage: &Stage<'_>, machine: &str, example: Option<&Execution>) -> Vec<String> {
    let file = "examples/scones-unlimited/state-machine.json";
    let (from, to) = (EXAMPLE_OWNER, owner(stage));
    let definition = if from == to {
        format!("file://{file}")
    } else {
        format!("\"$(sed s/{from}/{to}/ {file})\"")
    };
    let mut commands = vec![format!(
        "aws stepfunctions create-state-machine --name {} \\\n    --role-arn {} \\\n    --definition {definition}",
        stage.fresh,
        role(stage.account)
    )];
    if let Some(execution) = example {
        let input = json!({"s3_bucket": NAME, "s3_key": test_key(&execution.image)}).to_string();
        commands.push(aws_cli::line(
            "stepfunctions start-execution",
            &json!({"stateMachineArn": machine, "input": input}),
        ));
        commands.push(format!(
            "aws stepfunctions get-execution-history --execution-arn {}",
            execution.arn
        ));
    }
    commands
}

/// Region and account as ARNs have them.
fn owner(stage: &Stage<'_>) -> String {
    format!("{}:{}", stage.region, stage.account)
}

fn create(stage: &Stage<'_>) -> anyhow::Result<String> {
    let definition = DEFINITION.replace(EXAMPLE_OWNER, &owner(stage));
    let input = json!({"name": NAME, "definition": definition, "roleArn": role(stage.account), "type": "STANDARD"});
    match stage.client.json(JsonApi::States, "CreateStateMachine", &input) {
        // One of an earlier version of the program.
        Err(error) if error.code() == Some("StateMachineAlreadyExists") => {
            let arn = format!("arn:aws:states:{}:{}:stateMachine:{NAME}", stage.region, stage.account);
            let input = json!({"stateMachineArn": arn, "definition": definition, "roleArn": role(stage.account)});
            stage.client.json(JsonApi::States, "UpdateStateMachine", &input)?;
            Ok(arn)
        }
        created => text(&created?, "/stateMachineArn"),
    }
}

/// `count` samples, as many of each class as there are, and of each class from
/// its beginning to its end.
fn spread(samples: &[Sample], count: usize) -> Vec<&Sample> {
    let mut by_class: Vec<&Sample> = samples.iter().collect();
    // Stable: within a class the order stays.
    by_class.sort_by_key(|sample| sample.label);
    let count = count.min(samples.len());
    (0..count).map(|at| by_class[at * samples.len() / count]).collect()
}

/// Waits for an execution's end and reads its history.
fn follow(client: &Client, arn: String, sample: &Sample, classes: &[String]) -> anyhow::Result<Execution> {
    let description = loop {
        let description = client.json(JsonApi::States, "DescribeExecution", &json!({"executionArn": arn}))?;
        if description["status"] != "RUNNING" {
            break description;
        }
        thread::sleep(POLL);
    };
    let history = client.json(
        JsonApi::States,
        "GetExecutionHistory",
        &json!({"executionArn": arn, "maxResults": 1000}),
    )?;
    let events = history["events"].as_array().context("the history has no events")?;
    let seconds =
        description["stopDate"].as_f64().unwrap_or_default() - description["startDate"].as_f64().unwrap_or_default();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from f64 saturates"
    )]
    let milliseconds = (seconds * 1000.0).round() as u64;
    let probabilities = probabilities(events);
    let likeliest = probabilities
        .iter()
        .enumerate()
        .max_by(|one, other| one.1.total_cmp(other.1));
    Ok(Execution {
        arn,
        image: sample.name.clone(),
        actual: classes[sample.label].clone(),
        right: likeliest.is_some_and(|(class, _)| class == sample.label),
        probabilities,
        outcome: outcome(&description),
        milliseconds,
        events: events.len(),
    })
}

/// What the classifying function put into the data, whether or not it passed.
fn probabilities(events: &[Value]) -> Vec<f64> {
    let outputs = events
        .iter()
        .filter_map(|event| event.pointer("/stateExitedEventDetails/output")?.as_str());
    let mut inferences = outputs.filter_map(|output| {
        let data: Value = serde_json::from_str(output).ok()?;
        let inferences = data
            .pointer("/body/inferences")
            .or_else(|| data.get("inferences"))?
            .as_array()?
            .clone();
        (!inferences.is_empty()).then_some(inferences)
    });
    inferences
        .next_back()
        .unwrap_or_default()
        .iter()
        .filter_map(Value::as_f64)
        .collect()
}

fn outcome(description: &Value) -> String {
    let text = |name: &str| description[name].as_str().map(str::to_owned);
    if description["status"] == "SUCCEEDED" {
        return "passed".to_owned();
    }
    text("error")
        .or_else(|| text("status"))
        .unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_of_a_failure_is_its_error() {
        for (description, expected) in [
            (json!({"status": "SUCCEEDED"}), "passed"),
            (
                json!({"status": "FAILED", "error": "States.Runtime", "cause": "text"}),
                "States.Runtime",
            ),
            (json!({"status": "ABORTED"}), "ABORTED"),
        ] {
            assert_eq!(outcome(&description), expected);
        }
    }

    #[test]
    fn a_confident_mistake_does_not_look_like_a_success() {
        for (outcome, right, expected) in [
            ("passed", true, "passed"),
            ("passed", false, "passed (wrong)"),
            ("THRESHOLD_CONFIDENCE_NOT_MET", false, "THRESHOLD_CONFIDENCE_NOT_MET"),
        ] {
            let execution = Execution {
                arn: String::new(),
                image: String::new(),
                actual: String::new(),
                probabilities: Vec::new(),
                outcome: outcome.to_owned(),
                right,
                milliseconds: 0,
                events: 0,
            };
            assert_eq!(execution.shown_outcome(), expected);
        }
    }

    #[test]
    fn samples_are_spread_over_the_classes() {
        let sample = |label: usize, name: usize| Sample {
            image: image::RgbImage::new(1, 1),
            label,
            name: name.to_string(),
        };
        let alternating: Vec<Sample> = (0..100).map(|at| sample(at % 2, at)).collect();
        let chosen = spread(&alternating, 20);
        assert_eq!(chosen.iter().filter(|sample| sample.label == 0).count(), 10);
        assert_eq!(chosen[1].name, "10");
        assert_eq!(spread(&alternating, 500).len(), 100);
        assert!(spread(&[], 3).is_empty());
    }
}
