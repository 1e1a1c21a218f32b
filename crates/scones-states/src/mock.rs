//! Answers that stand for those of services, from a configuration file in the
//! form of Step Functions Local:
//! <https://docs.aws.amazon.com/step-functions/latest/dg/sfn-local-mock-cfg-file.html>.
//!
//! A state machine has test cases; a test case names a mocked response for
//! some of the machine's states; a mocked response has an answer for each call
//! of the state, from 0 on. An execution of `ARN#TestCase` gets them.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use serde_json::Value;

use crate::runner::TaskFailure;

/// Mocked responses by state machine and test case.
#[derive(Debug, Clone, Default)]
pub struct Mocks {
    machines: BTreeMap<String, BTreeMap<String, Case>>,
}

/// The responses of a test case, by state.
type Case = BTreeMap<String, Arc<Responses>>;

/// A mocked response: what each call of a state gets.
#[derive(Debug)]
struct Responses {
    name: String,
    answers: Vec<Answer>,
}

/// The calls `first..=last` get `outcome`.
#[derive(Debug)]
struct Answer {
    first: u64,
    last: u64,
    outcome: MockedOutcome,
}

/// What stands for a task's result.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum MockedOutcome {
    /// The result, as JSON text.
    Return(String),
    Throw {
        error: String,
        cause: String,
    },
}

impl MockedOutcome {
    pub(crate) fn into_result(self) -> Result<String, TaskFailure> {
        match self {
            Self::Return(output) => Ok(output),
            Self::Throw { error, cause } => Err(TaskFailure { error, cause }),
        }
    }
}

/// What is wrong with a configuration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct MockError {
    /// From 1 on.
    pub line: usize,
    /// For people.
    pub problem: String,
    /// What to do about it.
    pub hint: &'static str,
}

const FORM: &str = r#"the file has the form {"StateMachines": {MACHINE: {"TestCases": {CASE: {STATE: RESPONSE}}}}, "MockedResponses": {RESPONSE: {"0": {"Return": ...}, "1-2": {"Throw": {"Error": ..., "Cause": ...}}}}}"#;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct File {
    #[serde(default)]
    state_machines: BTreeMap<String, FileMachine>,
    #[serde(default)]
    mocked_responses: BTreeMap<String, BTreeMap<String, FileAnswer>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct FileMachine {
    #[serde(default)]
    test_cases: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct FileAnswer {
    #[serde(default, rename = "Return", deserialize_with = "present")]
    returned: Option<Value>,
    throw: Option<FileThrow>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct FileThrow {
    error: String,
    #[serde(default)]
    cause: String,
}

/// `null` is a value that can be returned.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Mocks {
    /// Reads a configuration.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, MockError> {
        let file: File = serde_json::from_str(text).map_err(|error| MockError {
            line: error.line().max(1),
            problem: error.to_string(),
            hint: FORM,
        })?;
        let mut responses = BTreeMap::new();
        for (name, answers) in file.mocked_responses {
            let answers = read_answers(text, &name, answers)?;
            responses.insert(name.clone(), Arc::new(Responses { name, answers }));
        }
        let mut machines = BTreeMap::new();
        for (machine, FileMachine { test_cases }) in file.state_machines {
            let mut cases = BTreeMap::new();
            for (case, states) in test_cases {
                let mut mocked = Case::new();
                for (state, response) in states {
                    let found = responses.get(&response).ok_or_else(|| MockError {
                        line: line_of(text, &response),
                        problem: format!(
                            "the test case '{case}' of '{machine}' gives the state '{state}' the response '{response}', \
                             which is not in MockedResponses"
                        ),
                        hint: "add it to MockedResponses, or correct its name",
                    })?;
                    mocked.insert(state, Arc::clone(found));
                }
                cases.insert(case, mocked);
            }
            machines.insert(machine, cases);
        }
        Ok(Self { machines })
    }

    /// Whether there is a test case of this name.
    ///
    /// # Errors
    /// A sentence that says which there are.
    pub(crate) fn check(&self, machine: &str, case: &str) -> Result<(), String> {
        let Some(cases) = self.machines.get(machine) else {
            return Err(format!("the mock configuration has no state machine '{machine}'"));
        };
        if cases.contains_key(case) {
            return Ok(());
        }
        let known: Vec<&str> = cases.keys().map(String::as_str).collect();
        Err(format!(
            "the mock configuration has no test case '{case}' for the state machine '{machine}', only: {}",
            known.join(", ")
        ))
    }

    /// What the call `number`, from 0 on, of a state gets; nothing if the
    /// state is not mocked.
    pub(crate) fn outcome(&self, machine: &str, case: &str, state: &str, number: u64) -> Option<MockedOutcome> {
        let Some(cases) = self.machines.get(machine).and_then(|cases| cases.get(case)) else {
            return Some(runtime_failure(format!(
                "the test case '{case}' of '{machine}' has left the mock configuration"
            )));
        };
        let responses = cases.get(state)?;
        let answer = responses
            .answers
            .iter()
            .find(|answer| (answer.first..=answer.last).contains(&number));
        Some(match answer {
            Some(answer) => answer.outcome.clone(),
            None => runtime_failure(format!(
                "the mocked response '{}' has no answer for call {number} of the state '{state}'",
                responses.name
            )),
        })
    }
}

fn runtime_failure(cause: String) -> MockedOutcome {
    MockedOutcome::Throw {
        error: "States.Runtime".to_owned(),
        cause,
    }
}

fn read_answers(text: &str, name: &str, given: BTreeMap<String, FileAnswer>) -> Result<Vec<Answer>, MockError> {
    let mut answers: Vec<Answer> = Vec::new();
    for (calls, answer) in given {
        let problem = |problem: &str| MockError {
            line: line_of(text, name),
            problem: format!("the mocked response '{name}': {problem}"),
            hint: FORM,
        };
        let (first, last) = calls.split_once('-').unwrap_or((&calls, &calls));
        let (Ok(first), Ok(last)) = (first.trim().parse::<u64>(), last.trim().parse::<u64>()) else {
            return Err(problem(&format!(
                "'{calls}' is neither a number nor a range of numbers"
            )));
        };
        if first > last {
            return Err(problem(&format!("the range '{calls}' is empty")));
        }
        if let Some(other) = answers.iter().find(|other| first <= other.last && other.first <= last) {
            let shared = first.max(other.first);
            return Err(problem(&format!("there are two answers for call {shared}")));
        }
        let outcome = match (answer.returned, answer.throw) {
            (Some(value), None) => MockedOutcome::Return(value.to_string()),
            (None, Some(FileThrow { error, cause })) => MockedOutcome::Throw { error, cause },
            _ => return Err(problem(&format!("'{calls}' needs either Return or Throw"))),
        };
        answers.push(Answer { first, last, outcome });
    }
    Ok(answers)
}

/// The first line that holds a name as JSON writes it.
fn line_of(text: &str, name: &str) -> usize {
    let quoted = Value::from(name).to_string();
    text.lines()
        .position(|line| line.contains(&quoted))
        .map_or(1, |line| line + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{
        "StateMachines": {"Orders": {"TestCases": {
            "Happy": {"Charge": "Paid"},
            "Retried": {"Charge": "PaidLater", "Ship": "Paid"}
        }}},
        "MockedResponses": {
            "Paid": {"0": {"Return": {"ok": true}}},
            "PaidLater": {
                "0": {"Throw": {"Error": "Busy", "Cause": "try again"}},
                "1-2": {"Throw": {"Error": "Busier"}},
                "3": {"Return": null}
            }
        }
    }"#;

    #[test]
    fn each_call_gets_its_answer() {
        let mocks = Mocks::parse(GOOD).unwrap();
        let check = |case: &str, state: &str, number: u64, expect: Option<&str>| {
            let outcome = mocks
                .outcome("Orders", case, state, number)
                .map(|outcome| match outcome {
                    MockedOutcome::Return(text) => text,
                    MockedOutcome::Throw { error, cause } => format!("{error}: {cause}"),
                });
            assert_eq!(outcome.as_deref(), expect, "{case} {state} {number}");
        };
        check("Happy", "Charge", 0, Some(r#"{"ok":true}"#));
        check("Happy", "Ship", 0, None);
        check("Retried", "Charge", 0, Some("Busy: try again"));
        check("Retried", "Charge", 1, Some("Busier: "));
        check("Retried", "Charge", 2, Some("Busier: "));
        check("Retried", "Charge", 3, Some("null"));
        check(
            "Happy",
            "Charge",
            1,
            Some("States.Runtime: the mocked response 'Paid' has no answer for call 1 of the state 'Charge'"),
        );
        check(
            "Gone",
            "Charge",
            0,
            Some("States.Runtime: the test case 'Gone' of 'Orders' has left the mock configuration"),
        );
    }

    #[test]
    fn test_cases_are_known_by_name() {
        let mocks = Mocks::parse(GOOD).unwrap();
        assert_eq!(mocks.check("Orders", "Happy"), Ok(()));
        insta::assert_snapshot!(mocks.check("Orders", "happy").unwrap_err(), @"the mock configuration has no test case 'happy' for the state machine 'Orders', only: Happy, Retried");
        insta::assert_snapshot!(mocks.check("Other", "Happy").unwrap_err(), @"the mock configuration has no state machine 'Other'");
    }

    #[test]
    fn a_bad_file_says_where() {
        let check = |text: &str, expect: &str| assert_eq!(Mocks::parse(text).unwrap_err().to_string(), expect);
        let answers = |answers: &str| format!("{{\"MockedResponses\":\n{{\"R\": {answers}}}}}");
        check("{\n  nonsense", "line 2: key must be a string at line 2 column 3");
        check(
            "{\"MockedResponse\": {}}",
            "line 1: unknown field `MockedResponse`, expected `StateMachines` or `MockedResponses` at line 1 column 17",
        );
        check(
            "{\"StateMachines\": {\"M\":\n {\"TestCases\": {\"C\":\n {\"S\": \"R\"}}}}}",
            "line 3: the test case 'C' of 'M' gives the state 'S' the response 'R', which is not in MockedResponses",
        );
        check(
            &answers(r#"{"first": {"Return": 1}}"#),
            "line 2: the mocked response 'R': 'first' is neither a number nor a range of numbers",
        );
        check(
            &answers(r#"{"2-1": {"Return": 1}}"#),
            "line 2: the mocked response 'R': the range '2-1' is empty",
        );
        check(
            &answers(r#"{"0-2": {"Return": 1}, "2": {"Return": 2}}"#),
            "line 2: the mocked response 'R': there are two answers for call 2",
        );
        check(
            &answers(r#"{"0": {}}"#),
            "line 2: the mocked response 'R': '0' needs either Return or Throw",
        );
    }

    #[test]
    fn an_empty_file_mocks_nothing() {
        assert!(Mocks::parse("{}").unwrap().check("M", "C").is_err());
        assert!(Mocks::parse("").is_err());
    }
}
