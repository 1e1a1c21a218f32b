//! TestState: one state tried on its own.

mod answer;
mod context;
mod exchange;
mod mock;
mod request;
mod response;

use std::sync::Arc;

use scones_api::{ApiError, RequestContext};
use scones_asl::{Begun, Machine, Pattern, Resource, Start, StateSummary, Timestamp, Trial, TrialStart};

use self::{mock::Mock, request::TestState, response::TestedState};
use crate::{States, fault, names, runner::TaskIdentity};

/// What AWS calls a state that is tried without a machine.
const LONE_STATE: &str = "StateName";

/// The state that is tried.
struct Subject {
    machine: Arc<Machine>,
    name: String,
    summary: StateSummary,
}

impl Subject {
    /// Reads the definition: of a state, or of the machine that has the state.
    fn of(request: &TestState) -> Result<Self, ApiError> {
        let (machine, name) = match &request.state_name {
            None => (Machine::parse_state(&request.definition, LONE_STATE), LONE_STATE),
            Some(name) => (Machine::parse(&request.definition), name.as_str()),
        };
        let machine = machine.map_err(|problems| fault::refused_definition(&request.definition, &problems))?;
        let summary = machine
            .state(name)
            .ok_or_else(|| ApiError::validation("State not found in definition"))?;
        Ok(Self {
            machine: Arc::new(machine),
            name: name.to_owned(),
            summary,
        })
    }

    /// Whether the state's result comes from elsewhere: a worker, or whoever
    /// holds the token.
    fn has_token(&self) -> bool {
        self.summary.resource.as_ref().is_some_and(|resource| {
            matches!(resource, Resource::Activity { .. }) || resource.pattern() == Pattern::WaitForTaskToken
        })
    }

    /// Whether the state is more than a call that is answered at once.
    fn waits_for_job(&self) -> bool {
        let pattern = self.summary.resource.as_ref().map(Resource::pattern);
        matches!(pattern, Some(Pattern::Sync | Pattern::Sync2))
    }

    /// Refuses a state that is only tried with a mock, or only without one.
    fn check(&self, mocked: bool) -> Result<(), ApiError> {
        match self.summary.type_name {
            "Map" | "Parallel" if !mocked => Err(fault::not_tried(
                "TestState API does not support Map or Parallel states. \
                 Supported state types include: [Task, Wait, Pass, Succeed, Fail, Choice]",
            )),
            "Task" if !mocked && (self.has_token() || self.waits_for_job()) => Err(fault::not_tried(
                "TestState API does not support Activity tasks, or the .sync and .waitForTaskToken service \
                 integration patterns, unless a mock is specified",
            )),
            "Map" | "Parallel" | "Task" => Ok(()),
            kind if mocked => Err(ApiError::validation(format!(
                "State type '{kind}' is not supported when a mock is specified"
            ))),
            _ => Ok(()),
        }
    }
}

impl States {
    pub(crate) async fn test_state(&self, input: TestState, _: &RequestContext) -> Result<TestedState, ApiError> {
        input.check()?;
        let subject = Subject::of(&input)?;
        let mock = Mock::of(&input)?;
        subject.check(mock.is_some())?;
        let start = self.trial_start(&input, &subject)?;
        if let Some(mock) = &mock {
            mock.check(&subject)?;
        }
        let level = input.level();
        let identity = TaskIdentity {
            role_arn: start.start.role_arn.as_str().into(),
            execution_arn: start.start.execution_arn.as_str().into(),
        };
        let (machine, name) = (Arc::clone(&subject.machine), subject.name.clone());
        // Expressions may take seconds.
        let begun = tokio::task::spawn_blocking(move || Trial::begin(&machine, &name, start)).await;
        let begun = begun.map_err(ApiError::internal)?;
        let (verdict, exchange) = match begun.ok_or_else(|| ApiError::internal("the state is gone"))? {
            Begun::Ended(verdict) => (*verdict, None),
            Begun::Waits(trial, pending) => {
                let (answer, exchange) = match mock {
                    Some(mock) => (mock.answer(&pending, input.failed_iterations())?, None),
                    None => self.real_answer(&pending, identity).await,
                };
                let now = self.engine.shared.now();
                let verdict = tokio::task::spawn_blocking(move || trial.answer(answer, now)).await;
                (verdict.map_err(ApiError::internal)?, exchange)
            }
        };
        Ok(TestedState::of(verdict, level, exchange))
    }

    /// The execution that the state believes to be part of, an Express one as
    /// on AWS, and what else it is tried with.
    fn trial_start(&self, request: &TestState, subject: &Subject) -> Result<TrialStart, ApiError> {
        let (machine, name) = (self.ids.id().to_string(), self.ids.id().to_string());
        let input = request.input.as_deref().unwrap_or("{}");
        let now = Timestamp(self.clock.now().as_millis());
        let start = Start {
            execution_arn: names::arn(&self.owner, &format_args!("express:{machine}:{name}")),
            execution_name: name,
            role_arn: request.role_arn.clone().unwrap_or_default(),
            state_machine_arn: names::machine_arn(&self.owner, &machine),
            state_machine_name: machine,
            seed: self.ids.seed(),
            express: true,
            synchronous: true,
            ..Start::of(input, now).map_err(fault::invalid_input)?
        };
        let configuration = request.state_configuration.as_ref();
        let retries = configuration.and_then(|given| given.retrier_retry_count);
        Ok(TrialStart {
            start,
            variables: request.variables()?,
            context: context::of(request, subject)?,
            retries: retries.unwrap_or_default(),
            failed_iterations: request.failed_iterations(),
            reader_data: configuration.and_then(|given| given.map_item_reader_data.clone()),
        })
    }
}
