//! One case: calls in a row, with what is expected of their answers.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use regex::{Captures, Regex};
use scones_api::ApiError;
use serde_json::{Map, Value, json};

use super::{awaiting::Awaiting, compare::Matcher};
use crate::common::{
    Functions, Server, TokioClock,
    memory::{Disk, MemoryStore, Trouble},
    objects::Objects,
};

/// How boto3 names the calls that it refuses itself.
const REFUSED_BY_CLIENT: &str = "Parameter validation failed";

/// What a step answered.
struct Answer {
    operation: String,
    /// As boto3 has it; for an error, with `Error` and `message`.
    value: Value,
    /// The code of an error, and its text as boto3 writes it.
    error: Option<(String, String)>,
    /// Whether it holds lines of a log.
    logs: bool,
}

impl Answer {
    fn new(operation: &str, result: Result<Value, ApiError>) -> Self {
        let (value, error) = match result {
            Ok(value) => (if value.is_null() { json!({}) } else { value }, None),
            Err(ApiError { code, message, .. }) => {
                let text = format!("An error occurred ({code}) when calling the {operation} operation: {message}");
                let value = json!({"Error": {"Code": code, "Message": message}, "message": message});
                (value, Some((code, text)))
            }
        };
        Self {
            operation: operation.to_owned(),
            value,
            error,
            logs: false,
        }
    }
}

/// A case under way.
pub(super) struct Script {
    server: Server,
    objects: Arc<Objects>,
    answers: BTreeMap<u64, Answer>,
    sorts_references: bool,
    /// `${STEP.PATH}`: a part of an answer.
    part: Regex,
    /// The ARN of the log group that a step described.
    group: Regex,
}

/// Whether a step expects something that the script itself brought about.
pub(super) fn is_judged(step: &Value) -> bool {
    let of = step["of"].to_string();
    let unknown = of.contains("$unk") || of.contains("$exc_other");
    !step["expect"].is_null() && !unknown && (of.contains("$resp") || of.contains("$exc"))
}

impl Script {
    /// Runs a case on a service of its own.
    ///
    /// # Errors
    /// The first difference from the recording.
    pub(super) async fn run(case: &Value) -> Result<(), String> {
        let objects = Arc::new(Objects::default());
        let store = MemoryStore::new(&Disk::default(), Trouble::default());
        let server = Server::with_objects_over(store, TokioClock::new(), Functions::new([]), Arc::clone(&objects) as _);
        let mut script = Self {
            server: server.await,
            objects,
            answers: BTreeMap::new(),
            sorts_references: case["normalise"].to_string().contains("SortVariableReferences"),
            part: Regex::new(r"\$\{(\d+)\.([^}]+)\}").unwrap(),
            group: Regex::new(r"arn:aws:[a-z0-9-]+:[a-z0-9-]*:\d{12}:[A-Za-z]+-OP(\d+)").unwrap(),
        };
        let mut matcher = Matcher::of(&with_groups_replaced(case));
        let mut result = Ok(());
        for step in case["script"].as_array().unwrap() {
            result = script.step(step, &mut matcher).await;
            if result.is_err() {
                break;
            }
        }
        script.server.states.shutdown().await;
        result.map_err(|difference| format!("step {difference}"))
    }

    async fn step(&mut self, step: &Value, matcher: &mut Matcher) -> Result<(), String> {
        let number = step["step"].as_u64().unwrap();
        let at = |text: String| format!("{number}: {text}");
        let arguments = self.resolved(&step["args"]).map_err(at)?;
        if let Some(operation) = step["call"].as_str() {
            let answer = Answer::new(operation, self.call(operation, arguments).await);
            if let (Some((_, text)), None) = (&answer.error, step["expect_error"].as_bool()) {
                return Err(at(text.clone()));
            }
            self.answers.insert(number, answer);
        } else if let Some(what) = step["await"].as_str() {
            let awaiting = Awaiting::new(&self.server, &arguments);
            let mut answer = Answer::new(what, Ok(awaiting.until(what).await.map_err(at)?));
            answer.logs = what == "await_on_execution_logs";
            self.answers.insert(number, answer);
        } else if let Some(seconds) = step["sleep"].as_u64() {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        } else if let Some(operation) = step["aws"].as_str() {
            let value = self.elsewhere(operation, &arguments).map_err(at)?;
            self.answers.insert(number, Answer::new(operation, Ok(value)));
        } else if is_judged(step) {
            self.judge(step, matcher).map_err(at)?;
        }
        Ok(())
    }

    async fn call(&self, operation: &str, mut arguments: Value) -> Result<Value, ApiError> {
        let arguments_map = arguments.as_object_mut().unwrap();
        // Recordings lost the tokens of pages: the operation's last is meant.
        if arguments_map.get("nextToken").is_some_and(Value::is_null) {
            let mut earlier = self.answers.values().rev();
            let token = earlier.find_map(|answer| {
                let token = &answer.value["nextToken"];
                (answer.operation == operation && token.is_string()).then(|| token.clone())
            });
            arguments_map.remove("nextToken");
            arguments_map.extend(token.map(|token| ("nextToken".to_owned(), token)));
        }
        self.server.call(operation, arguments).await
    }

    /// What other services do in a case.
    fn elsewhere(&self, operation: &str, arguments: &Value) -> Result<Value, String> {
        let text = |name: &str| arguments[name].as_str().unwrap_or_default().to_owned();
        match operation {
            "logs.CreateLogGroup" => {}
            "logs.DeleteLogGroup" => self.server.logs.delete(&text("logGroupName")),
            "logs.DescribeLogGroups" => {
                let arn = format!(
                    "arn:aws:logs:us-east-1:{}:log-group:{}:*",
                    super::ACCOUNTS.1,
                    text("logGroupNamePrefix")
                );
                return Ok(json!({"logGroups": [{"arn": arn}]}));
            }
            "s3.PutObject" => self.objects.with(&text("Bucket"), &text("Key"), text("Body")),
            other => return Err(format!("{other} is not known")),
        }
        Ok(json!({}))
    }

    fn judge(&self, step: &Value, matcher: &mut Matcher) -> Result<(), String> {
        let expected = &step["equals"];
        let actual = self.shown(&step["of"])?;
        // The client never sent what it refused itself; here it was, and refused.
        if expected.to_string().contains(REFUSED_BY_CLIENT) {
            return Ok(());
        }
        let (expected, actual) = match self.sorts_references {
            true => (with_sorted_references(expected), with_sorted_references(&actual)),
            false => (expected.clone(), actual),
        };
        match matcher.difference(&expected, &actual) {
            Some(difference) => Err(format!("{}: {difference}", step["expect"])),
            None => Ok(()),
        }
    }

    fn answer(&self, number: &Value) -> Result<&Answer, String> {
        let answer = number.as_u64().and_then(|number| self.answers.get(&number));
        answer.ok_or_else(|| format!("there is no answer of step {number}"))
    }

    /// Puts answers in the place of what refers to them.
    fn shown(&self, template: &Value) -> Result<Value, String> {
        let Value::Object(members) = template else {
            let Value::Array(elements) = template else {
                return Ok(template.clone());
            };
            return elements.iter().map(|element| self.shown(element)).collect();
        };
        if let Some(number) = members.get("$resp") {
            return self.part_of(self.answer(number)?, &members.get("$path").cloned().unwrap_or_default());
        }
        let error = |number: &Value| {
            let answer = self.answer(number)?;
            let error = answer.error.clone();
            error.ok_or_else(|| format!("step {number} was not refused but answered {}", answer.value))
        };
        if let Some(number) = members.get("$exc") {
            return Ok(error(number)?.1.into());
        }
        let mut filled = Map::new();
        for (name, member) in members {
            filled.insert(name.clone(), self.shown(member)?);
        }
        // boto3 has a class for each error of the service, of its code's name.
        if let Some(number) = members.get("exception_value").and_then(|value| value.get("$exc")) {
            filled.insert("exception_typename".to_owned(), error(number)?.0.into());
        }
        Ok(filled.into())
    }

    fn part_of(&self, answer: &Answer, path: &Value) -> Result<Value, String> {
        let mut keys: Vec<String> = path
            .as_array()
            .into_iter()
            .flatten()
            .map(|key| key.as_str().map_or_else(|| key.to_string(), str::to_owned))
            .collect();
        // Of a log, the last line was recorded.
        if answer.logs && keys.len() > 1 && keys[1] == "0" {
            keys[1] = (answer.value["events"].as_array().map_or(0, Vec::len) - 1).to_string();
        }
        let pointer: String = keys.iter().map(|key| format!("/{key}")).collect();
        let part = answer.value.pointer(&pointer).cloned();
        part.ok_or_else(|| format!("no {pointer} in {}", answer.value))
    }

    /// Arguments with the parts of answers that they name.
    fn resolved(&self, arguments: &Value) -> Result<Value, String> {
        Ok(match arguments {
            Value::Object(members) => {
                let mut resolved = Map::new();
                for (name, member) in members {
                    resolved.insert(name.clone(), self.resolved(member)?);
                }
                resolved.into()
            }
            Value::Array(elements) => {
                let elements: Result<Vec<_>, _> = elements.iter().map(|element| self.resolved(element)).collect();
                elements?.into()
            }
            Value::String(text) => self.resolved_text(text)?,
            other => other.clone(),
        })
    }

    fn resolved_text(&self, text: &str) -> Result<Value, String> {
        let mut resolved = text.to_owned();
        for found in self.part.captures_iter(text) {
            let part = self.referred(&found)?;
            if found[0] == *text {
                return Ok(part);
            }
            let part = part.as_str().map_or_else(|| part.to_string(), str::to_owned);
            resolved = resolved.replace(&found[0], &part);
        }
        for found in self.group.captures_iter(text) {
            let answer = self.answer(&found[1].parse::<u64>().unwrap().into())?;
            if let Some(arn) = answer.value["logGroups"][0]["arn"].as_str() {
                resolved = resolved.replace(&found[0], arn);
            }
        }
        Ok(resolved.into())
    }

    fn referred(&self, found: &Captures<'_>) -> Result<Value, String> {
        let (number, path) = (found[1].parse::<u64>().unwrap(), &found[2]);
        let pointer = format!("/{}", path.replace('.', "/"));
        let answer = self.answer(&number.into())?;
        if let Some(part) = answer.value.pointer(&pointer) {
            return Ok(part.clone());
        }
        // A version may be named by a step before the one that published it.
        let mut later = self.answers.range(number..).rev();
        let version = later.find_map(|(_, answer)| answer.value.get(path));
        let version = version.filter(|_| path == "stateMachineVersionArn");
        let missing = || format!("no {path} in the answer of step {number}: {}", answer.value);
        version.cloned().ok_or_else(missing)
    }
}

/// A case may have made several log groups under one token, of which it keeps
/// one: then each is replaced where it shows instead.
fn with_groups_replaced(case: &Value) -> Value {
    let mut case = case.clone();
    let steps = case["script"].as_array().unwrap();
    let made = steps.iter().filter(|step| step["aws"] == "logs.CreateLogGroup");
    let rules: Vec<Value> = made
        .filter_map(|step| step["args"]["logGroupName"].as_str())
        .map(|group| json!({"pattern": regex::escape(group), "replace": "log_group_name"}))
        .collect();
    if !rules.is_empty() {
        if let Some(tokens) = case["tokens"].as_object_mut() {
            tokens.remove("log_group_name");
        }
        let mut all = case["actual_regex_replacements"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        all.extend(rules);
        case["actual_regex_replacements"] = all.into();
    }
    case
}

/// The order of variable references is left open.
fn with_sorted_references(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let sorted = members.iter().map(|(name, member)| {
                let mut member = with_sorted_references(member);
                if name == "variableReferences" {
                    let lists = member.as_object_mut().into_iter().flat_map(Map::values_mut);
                    for list in lists.filter_map(Value::as_array_mut) {
                        list.sort_by_key(Value::to_string);
                    }
                }
                (name.clone(), member)
            });
            Value::Object(sorted.collect())
        }
        Value::Array(elements) => elements.iter().map(with_sorted_references).collect(),
        other => other.clone(),
    }
}
