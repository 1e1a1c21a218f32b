//! The context object, `$$`.

use std::cell::{LazyCell, OnceCell};

use serde_json::{Map, Value, json};

use super::Execution;
use super::frame::{Frame, Item};
use crate::error::Fault;
use crate::map_run;
use crate::payload::Evaluated;
use crate::scope::Scope;

/// What the context shows besides the execution and the state.
#[derive(Clone, Copy, Default)]
pub(super) struct Extra<'a> {
    pub(super) token: Option<&'a str>,
    /// The item that an `ItemSelector` is evaluated for.
    pub(super) item: Option<&'a Item>,
    pub(super) result: Option<&'a Value>,
    pub(super) error_output: Option<&'a Value>,
}

impl Execution {
    /// Evaluates something in the scope of a strand's state; a failure becomes
    /// a fault of that state.
    pub(super) fn evaluate<T>(
        &self,
        frame: &Frame,
        input: &Value,
        extra: Extra<'_>,
        evaluate: impl FnOnce(&Scope<'_>) -> Evaluated<T>,
    ) -> Result<T, Fault> {
        let context = LazyCell::new(|| self.context(frame, extra));
        let scope = Scope {
            input,
            context: &context,
            variables: &frame.variables,
            random: &self.random,
            now: self.now,
            result: extra.result,
            error_output: extra.error_output,
            session: &OnceCell::new(),
        };
        evaluate(&scope).map_err(|error| error.at(&frame.state().name, frame.entered_event))
    }

    pub(super) fn context(&self, frame: &Frame, extra: Extra<'_>) -> Value {
        let given = self.bench.as_ref().and_then(|bench| bench.context.clone());
        let mut context = given.unwrap_or_else(|| self.own_context(frame, extra.token));
        if let Some(item) = extra.item.or(frame.item.as_deref()) {
            let value: Value = serde_json::from_str(&item.value).unwrap_or_default();
            let index = u64::try_from(item.index).unwrap_or(u64::MAX);
            context.insert("Map".to_owned(), map_run::Item::from(value).shown(index));
        }
        Value::Object(context)
    }

    fn own_context(&self, frame: &Frame, token: Option<&str>) -> Map<String, Value> {
        let identity = &self.identity;
        let input: Value = serde_json::from_str(&identity.input).unwrap_or_default();
        let mut state = json!({
            "Name": frame.state().name,
            "EnteredTime": frame.entered_at.to_iso8601(),
        });
        if frame.state().outcome().is_some() {
            state["RetryCount"] = frame.retry_count().into();
        }
        let mut execution = json!({
            "Id": identity.execution_arn,
            "Input": input,
            "StartTime": identity.start.to_iso8601(),
            "Name": identity.execution_name,
            "RoleArn": identity.role_arn,
        });
        if !identity.synchronous {
            execution["RedriveCount"] = identity.redrive_count.into();
            if let Some(redriven) = &identity.redriven {
                execution["RedriveTime"] = redriven.to_iso8601().into();
            }
        }
        let mut context = Map::new();
        context.insert("Execution".to_owned(), execution);
        let machine = json!({"Id": identity.state_machine_arn, "Name": identity.state_machine_name});
        context.insert("StateMachine".to_owned(), machine);
        context.insert("State".to_owned(), state);
        if let Some(token) = token {
            context.insert("Task".to_owned(), json!({"Token": token}));
        }
        context
    }
}
