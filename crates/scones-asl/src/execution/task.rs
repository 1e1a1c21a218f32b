//! Task states: schedule, start, submit, succeed, fail, time out.

use std::sync::Arc;

use super::context::Extra;
use super::frame::{Activity, Frame, FrameId, RunningTask, Turn};
use super::token::TaskToken;
use super::{Alarm, Execution};
use crate::effect::{Effect, TaskCall, TaskId};
use crate::error::{Fault, names};
use crate::event::{
    ActivityScheduled, ActivityStarted, EventKind, Failure, LambdaScheduled, Output, TaskCredentials, TaskFailure,
    TaskOutput, TaskScheduled, TaskStarted, Truncation,
};
use crate::limits::PAYLOAD_BYTES_MAX;
use crate::machine::{Pattern, Resource, StateKind, Task};
use crate::payload::{Payload, is_json};

impl Execution {
    pub(super) fn begin_task(
        &mut self,
        id: FrameId,
        frame: &mut Frame,
        task: &Task,
        input: Payload,
    ) -> Result<Turn, Fault> {
        let task_id = TaskId(self.next_id());
        let token = self.token(task_id, &task.resource);
        let timeout_seconds = self.number(frame, task.timeout.as_ref(), "TimeoutSecondsPath", &input)?;
        let heartbeat_seconds = self.number(frame, task.heartbeat.as_ref(), "HeartbeatSecondsPath", &input)?;
        let extra = Extra {
            token: token.as_deref(),
            ..Extra::default()
        };
        let role_arn = match &task.credentials {
            None => None,
            Some(template) => self
                .evaluate(frame, input.value(), extra, |scope| template.evaluate(scope))?
                .get("RoleArn")
                .and_then(|arn| arn.as_str().map(str::to_owned)),
        };
        let parameters = match &task.parameters {
            None => input,
            Some(template) => self
                .evaluate(frame, input.value(), extra, |scope| template.evaluate(scope))
                .map(Payload::from)?,
        };
        self.note(|notes| &notes.parameters, &parameters);
        if parameters.text().len() > PAYLOAD_BYTES_MAX {
            return Err(Fault::data_limit(&frame.state().name));
        }
        let call = TaskCall {
            task: task_id,
            state_name: frame.state().name.clone(),
            resource: task.resource.clone(),
            input: parameters.text(),
            parameters: parameters.into_value(),
            token,
            timeout_seconds,
            heartbeat_seconds,
            role_arn,
            retry_count: frame.retry_count(),
        };
        frame.previous = self.emit(frame.previous, scheduled(&call, self.region()));
        let timeout = timeout_seconds.map(|seconds| self.set_timer(self.now.plus_seconds(seconds), Alarm::Timeout(id)));
        // An activity's heartbeats count from the moment a worker has taken it.
        let heartbeat = heartbeat_seconds
            .filter(|_| !matches!(task.resource, Resource::Activity { .. }))
            .map(|seconds| self.set_timer(self.now.plus_seconds(seconds), Alarm::Heartbeat(id)));
        self.tasks.insert(task_id, id);
        frame.activity = Activity::Task(Box::new(RunningTask {
            task: task_id,
            started: false,
            timeout,
            heartbeat,
            heartbeat_seconds,
        }));
        self.step.effects.push(Effect::Invoke(Box::new(call)));
        Ok(Turn::Waits)
    }

    fn token(&self, task: TaskId, resource: &Resource) -> Option<String> {
        let needs_token =
            matches!(resource, Resource::Activity { .. }) || resource.pattern() == Pattern::WaitForTaskToken;
        needs_token.then(|| {
            let secret = format!("{:016x}{:016x}", self.random.bits(), self.random.bits());
            TaskToken {
                execution_arn: self.identity.execution_arn.clone(),
                task,
                secret,
            }
            .encode()
        })
    }

    /// The region part of the machine's ARN.
    fn region(&self) -> &str {
        self.identity.state_machine_arn.split(':').nth(3).unwrap_or_default()
    }

    /// Takes the strand that waits for a task out of the execution.
    fn awaiting(&mut self, task: TaskId) -> Option<(FrameId, Box<Frame>)> {
        let id = *self.tasks.get(&task)?;
        self.frames.remove(&id).map(|frame| (id, frame))
    }

    pub(super) fn task_started(&mut self, task: TaskId, worker_name: Option<String>) {
        let Some((id, mut frame)) = self.awaiting(task) else {
            return;
        };
        self.start_once(id, &mut frame, worker_name);
        self.frames.insert(id, frame);
    }

    /// Writes the start of a task, once.
    fn start_once(&mut self, id: FrameId, frame: &mut Frame, worker_name: Option<String>) {
        let Activity::Task(running) = &mut frame.activity else {
            return;
        };
        if std::mem::replace(&mut running.started, true) {
            return;
        }
        if let (Some(seconds), None) = (running.heartbeat_seconds, running.heartbeat) {
            running.heartbeat = Some(self.set_timer(self.now.plus_seconds(seconds), Alarm::Heartbeat(id)));
        }
        let event = match resource(frame) {
            Some(Resource::Activity { .. }) => EventKind::ActivityStarted(ActivityStarted { worker_name }),
            Some(Resource::Service { service, resource, .. }) => EventKind::TaskStarted(TaskStarted {
                resource_type: service.clone(),
                resource: resource.clone(),
            }),
            _ => EventKind::LambdaFunctionStarted,
        };
        frame.previous = self.emit(frame.previous, event);
    }

    pub(super) fn task_submitted(&mut self, task: TaskId, output: String) {
        let Some((id, mut frame)) = self.awaiting(task) else {
            return;
        };
        self.start_once(id, &mut frame, None);
        if let Some(Resource::Service { service, resource, .. }) = resource(&frame) {
            let event = EventKind::TaskSubmitted(TaskOutput {
                resource_type: service.clone(),
                resource: resource.clone(),
                output: output.into(),
                output_details: Truncation::default(),
            });
            frame.previous = self.emit(frame.previous, event);
        }
        self.frames.insert(id, frame);
    }

    pub(super) fn task_heartbeat(&mut self, task: TaskId) {
        let Some((id, mut frame)) = self.awaiting(task) else {
            return;
        };
        if let Activity::Task(running) = &mut frame.activity
            && let (Some(seconds), Some(timer)) = (running.heartbeat_seconds, running.heartbeat)
        {
            self.cancel_timer(Some(timer));
            let due = self.now.plus_seconds(seconds);
            running.heartbeat = Some(self.set_timer(due, Alarm::Heartbeat(id)));
        }
        self.frames.insert(id, frame);
    }

    pub(super) fn task_succeeded(&mut self, task: TaskId, output: Arc<str>) {
        let Some(frame) = self.tasks.get(&task).and_then(|id| self.frames.get(id)) else {
            return;
        };
        if let Some(fault) = unacceptable(frame, &output) {
            return self.task_failed(task, fault);
        }
        let event = resource(frame).map(|resource| succeeded(resource, &output));
        let Some((id, mut frame)) = self.awaiting(task) else {
            return;
        };
        let Some(event) = event else {
            self.release(&mut frame);
            return self.map_run_succeeded(id, frame, output);
        };
        self.start_once(id, &mut frame, None);
        self.release(&mut frame);
        frame.previous = self.emit(frame.previous, event);
        let workflow = Arc::clone(&frame.workflow);
        let turn = match workflow.states[frame.state].outcome() {
            Some(outcome) => self.complete(&frame, outcome, Payload::from_text(output)),
            None => Ok(Turn::Waits),
        };
        self.settle(id, frame, turn);
    }

    pub(super) fn task_failed(&mut self, task: TaskId, fault: Fault) {
        let Some((id, mut frame)) = self.awaiting(task) else {
            return;
        };
        if matches!(frame.activity, Activity::MapRun(_)) {
            self.release(&mut frame);
            return self.map_run_failed(id, frame, fault);
        }
        if let Some(event) = unscheduled(&frame, &fault) {
            frame.previous = self.emit(frame.previous, event);
        } else {
            self.start_once(id, &mut frame, None);
            if let Some(event) = failed(&frame, &fault, false) {
                frame.previous = self.emit(frame.previous, event);
            }
        }
        self.release(&mut frame);
        self.fail(id, frame, fault);
    }

    pub(super) fn task_timed_out(&mut self, id: FrameId, fault: Fault) {
        let Some(mut frame) = self.frames.remove(&id) else {
            return;
        };
        if let Activity::Task(running) = &frame.activity {
            self.step.effects.push(Effect::CancelTask(running.task));
        }
        self.release(&mut frame);
        if let Some(event) = failed(&frame, &fault, true) {
            frame.previous = self.emit(frame.previous, event);
        }
        self.fail(id, frame, fault);
    }

    /// Stops waiting for a strand's task or map run.
    pub(super) fn release(&mut self, frame: &mut Frame) {
        match &frame.activity {
            Activity::Task(running) => {
                self.tasks.remove(&running.task);
                let (timeout, heartbeat) = (running.timeout, running.heartbeat);
                self.cancel_timer(timeout);
                self.cancel_timer(heartbeat);
            }
            Activity::MapRun(run) => drop(self.tasks.remove(&run.task)),
            _ => {}
        }
    }
}

fn resource(frame: &Frame) -> Option<&Resource> {
    match &frame.state().kind {
        StateKind::Task(task) => Some(&task.resource),
        _ => None,
    }
}

/// What is wrong with a result that a task gives.
pub(super) fn unacceptable(frame: &Frame, output: &str) -> Option<Fault> {
    if output.len() > PAYLOAD_BYTES_MAX {
        let subject = resource(frame).map_or(frame.state().name.as_str(), Resource::subject);
        return Some(Fault::data_limit(subject));
    }
    if is_json(output) {
        return None;
    }
    let message = "The result of the task is not valid JSON";
    Some(Fault::reported(
        Some(names::RUNTIME.to_owned()),
        Some(message.to_owned()),
    ))
}

fn scheduled(call: &TaskCall, region: &str) -> EventKind {
    let credentials = call.role_arn.clone().map(|arn| TaskCredentials { role_arn: Some(arn) });
    match &call.resource {
        Resource::Lambda { arn } => EventKind::LambdaFunctionScheduled(LambdaScheduled {
            resource: arn.clone(),
            input: Arc::clone(&call.input),
            input_details: Truncation::default(),
            timeout_in_seconds: call.timeout_seconds,
            task_credentials: credentials,
        }),
        Resource::Activity { arn } => EventKind::ActivityScheduled(ActivityScheduled {
            resource: arn.clone(),
            input: Arc::clone(&call.input),
            input_details: Truncation::default(),
            timeout_in_seconds: call.timeout_seconds,
            heartbeat_in_seconds: call.heartbeat_seconds,
        }),
        Resource::Service { service, resource, .. } => EventKind::TaskScheduled(TaskScheduled {
            resource_type: service.clone(),
            resource: resource.clone(),
            region: region.to_owned(),
            parameters: Arc::clone(&call.input),
            timeout_in_seconds: call.timeout_seconds,
            heartbeat_in_seconds: call.heartbeat_seconds,
            task_credentials: credentials,
        }),
    }
}

fn succeeded(resource: &Resource, output: &Arc<str>) -> EventKind {
    let plain = || Output {
        output: Arc::clone(output),
        output_details: Truncation::default(),
    };
    match resource {
        Resource::Lambda { .. } => EventKind::LambdaFunctionSucceeded(plain()),
        Resource::Activity { .. } => EventKind::ActivitySucceeded(plain()),
        Resource::Service { service, resource, .. } => EventKind::TaskSucceeded(TaskOutput {
            resource_type: service.clone(),
            resource: resource.clone(),
            output: Arc::clone(output),
            output_details: Truncation::default(),
        }),
    }
}

/// The failure of an activity's task before a worker took it: there is no such activity.
fn unscheduled(frame: &Frame, fault: &Fault) -> Option<EventKind> {
    let Activity::Task(running) = &frame.activity else {
        return None;
    };
    let is_activity = matches!(resource(frame), Some(Resource::Activity { .. }));
    (is_activity && !running.started).then(|| {
        EventKind::ActivityScheduleFailed(Failure {
            error: fault.error.clone(),
            cause: fault.cause.clone(),
        })
    })
}

fn failed(frame: &Frame, fault: &Fault, timed_out: bool) -> Option<EventKind> {
    let (error, cause) = (fault.error.clone(), fault.cause.clone());
    Some(match (resource(frame)?, timed_out) {
        (Resource::Lambda { .. }, false) => EventKind::LambdaFunctionFailed(Failure { error, cause }),
        (Resource::Lambda { .. }, true) => EventKind::LambdaFunctionTimedOut(Failure { error, cause }),
        (Resource::Activity { .. }, false) => EventKind::ActivityFailed(Failure { error, cause }),
        (Resource::Activity { .. }, true) => EventKind::ActivityTimedOut(Failure { error, cause }),
        (Resource::Service { service, resource, .. }, timed_out) => {
            let details = TaskFailure {
                resource_type: service.clone(),
                resource: resource.clone(),
                error,
                cause,
            };
            if timed_out {
                EventKind::TaskTimedOut(details)
            } else {
                EventKind::TaskFailed(details)
            }
        }
    })
}
