//! Waits for what a case waits for.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::Server;

/// How long a case waits at most: paused time, so none at all.
const LONGEST: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(50);
const ENDED: [&str; 4] = ["SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT"];
const LAST: [&str; 4] = [
    "ExecutionSucceeded",
    "ExecutionFailed",
    "ExecutionAborted",
    "ExecutionTimedOut",
];

/// What is waited for, in a service.
pub(super) struct Awaiting<'s> {
    server: &'s Server,
    arguments: &'s Value,
}

impl<'s> Awaiting<'s> {
    pub(super) fn new(server: &'s Server, arguments: &'s Value) -> Self {
        Self { server, arguments }
    }

    /// The answer of the step once it has come to pass.
    pub(super) async fn until(&self, what: &str) -> Result<Value, String> {
        let mut waited = Duration::ZERO;
        while waited < LONGEST {
            if let Some(answer) = self.now(what).await? {
                return Ok(answer);
            }
            tokio::time::sleep(STEP).await;
            waited += STEP;
        }
        Err(format!("{what} does not come: {}", self.arguments))
    }

    async fn now(&self, what: &str) -> Result<Option<Value>, String> {
        let come = match what {
            "await_execution_success" => return self.ended(&["SUCCEEDED"]).await,
            "await_execution_aborted" => return self.ended(&["ABORTED"]).await,
            "await_execution_terminated" => return self.ended(&ENDED).await,
            "await_execution_started" => return self.history(1).await,
            "await_on_execution_events" => return self.history(2).await,
            "await_on_execution_logs" => return Ok(self.log()),
            "await_execution_lists_terminated" => self.execution_is_listed(&ENDED).await?,
            "await_list_execution_status" => self.execution_is_listed(&[&self.text("status")]).await?,
            "await_state_machine_listed" => self.is_listed("stateMachine").await?,
            "await_state_machine_not_listed" => !self.is_listed("stateMachine").await?,
            "await_state_machine_version_listed" => self.is_listed("stateMachineVersion").await?,
            "await_state_machine_version_not_listed" => !self.is_listed("stateMachineVersion").await?,
            "await_state_machine_alias_is_created" => self.is_listed("stateMachineAlias").await?,
            "await_state_machine_alias_is_deleted" => !self.is_listed("stateMachineAlias").await?,
            other => return Err(format!("{other} is not known")),
        };
        Ok(come.then(|| json!({})))
    }

    fn text(&self, name: &str) -> String {
        self.arguments[name].as_str().unwrap_or_default().to_owned()
    }

    async fn call(&self, operation: &str, input: Value) -> Result<Value, String> {
        let answer = self.server.call(operation, input).await;
        answer.map_err(|error| format!("{operation}: {error}"))
    }

    async fn ended(&self, wanted: &[&str]) -> Result<Option<Value>, String> {
        let execution = json!({"executionArn": self.arguments["execution_arn"]});
        let description = self.call("DescribeExecution", execution).await?;
        let status = description["status"].as_str().unwrap_or_default();
        match status {
            _ if wanted.contains(&status) => self.history(1).await,
            _ if ENDED.contains(&status) => Err(format!("the execution ended {status}")),
            _ => Ok(None),
        }
    }

    async fn history(&self, events_min: usize) -> Result<Option<Value>, String> {
        let execution = json!({"executionArn": self.arguments["execution_arn"], "maxResults": 1000});
        let history = self.call("GetExecutionHistory", execution).await?;
        let is_there = history["events"].as_array().map_or(0, Vec::len) >= events_min;
        Ok(is_there.then(|| json!({"events": history["events"]})))
    }

    async fn execution_is_listed(&self, wanted: &[&str]) -> Result<bool, String> {
        let machine = json!({"stateMachineArn": self.arguments["state_machine_arn"]});
        let listed = self.call("ListExecutions", machine).await?;
        let mut executions = listed["executions"].as_array().into_iter().flatten();
        Ok(executions.any(|execution| {
            let status = execution["status"].as_str().unwrap_or_default();
            execution["executionArn"] == self.arguments["execution_arn"] && wanted.contains(&status)
        }))
    }

    async fn is_listed(&self, kind: &str) -> Result<bool, String> {
        let (operation, list, argument) = match kind {
            "stateMachine" => ("ListStateMachines", "stateMachines", "state_machine_arn"),
            "stateMachineVersion" => (
                "ListStateMachineVersions",
                "stateMachineVersions",
                "state_machine_version_arn",
            ),
            _ => (
                "ListStateMachineAliases",
                "stateMachineAliases",
                "state_machine_alias_arn",
            ),
        };
        let machine = json!({"stateMachineArn": self.arguments["state_machine_arn"]});
        let listed = self.call(operation, machine).await?;
        let member = format!("{kind}Arn");
        let mut rows = listed[list].as_array().into_iter().flatten();
        Ok(rows.any(|row| row[&member] == self.arguments[argument]))
    }

    /// The lines of a log group once an execution's last is there.
    fn log(&self) -> Option<Value> {
        let lines = self.server.logs.lines(&self.text("log_group_name")).into_iter();
        let events: Vec<Value> = lines.filter_map(|(_, line)| serde_json::from_str(&line).ok()).collect();
        let last = events.last()?["type"].as_str()?;
        LAST.contains(&last).then(|| json!({"events": events}))
    }
}
