//! Entering and leaving states, and the states that need nothing from outside.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;

use super::context::Extra;
use super::frame::{Activity, Exit, Frame, FrameId, Turn};
use super::{Alarm, Execution};
use crate::data_flow;
use crate::error::{EvaluationError, Fault, names};
use crate::event::{EventKind, StateEntered, StateExited, Truncation};
use crate::limits::{ASSIGN_BYTES_MAX, PAYLOAD_BYTES_MAX, SECONDS_MAX, VARIABLES_BYTES_MAX};
use crate::machine::{
    FailText, Outcome, QueryLanguage, ResultPath, Selection, StateKind, Transition, WaitUntil, WholeNumber,
};
use crate::path::Path;
use crate::payload::{Evaluated, Payload};
use crate::scope::{Variables, size};
use crate::template::Template;
use crate::time::{Timestamp, parse_instant};

impl Execution {
    /// Lets a strand do what it can do without an input.
    pub(super) fn turn(&mut self, id: FrameId, frame: &mut Frame) -> Result<Turn, Fault> {
        match &mut frame.activity {
            Activity::Entering => self.enter(frame),
            Activity::Children(children) => {
                let children = std::mem::take(children);
                let turn = self.join(frame, &children);
                frame.activity = Activity::Children(children);
                return turn;
            }
            _ => {}
        }
        let workflow = Arc::clone(&frame.workflow);
        let state = &workflow.states[frame.state];
        let raw = Payload::from_text(Arc::clone(&frame.input));
        let input = self.select(frame, &state.input_path, raw)?;
        self.note(|notes| &notes.input_path, &input);
        match &state.kind {
            StateKind::Pass {
                result,
                parameters,
                result_path,
                transition,
            } => {
                let result = match (result, parameters) {
                    (Some(result), _) => Payload::from(result.clone()),
                    (None, Some(parameters)) => self.payload(frame, parameters, &input)?,
                    (None, None) => input,
                };
                self.note(|notes| &notes.parameters, &result);
                self.exit(frame, result, result_path, *transition)
            }
            StateKind::Succeed => self.pass_through(frame, input, Transition::End),
            StateKind::Choice { .. } => self.choose(frame, input),
            StateKind::Wait { until, transition } => self.wait(id, frame, until, input, *transition),
            StateKind::Fail { error, cause } => {
                let error = self.fail_text(frame, "ErrorPath", error, &input)?;
                let cause = self.fail_text(frame, "CausePath", cause, &input)?;
                Err(Fault::reported(error, cause))
            }
            StateKind::Task(task) => self.begin_task(id, frame, task, input),
            StateKind::Parallel {
                branches, parameters, ..
            } => {
                let input = match parameters {
                    Some(parameters) => self.payload(frame, parameters, &input)?,
                    None => input,
                };
                self.note(|notes| &notes.parameters, &input);
                self.begin_parallel(id, frame, branches, &input.text());
                Ok(Turn::Waits)
            }
            StateKind::Map(map) => match &map.distributed {
                None => self.begin_map(id, frame, map, &input),
                Some(distributed) => self.begin_map_run(id, frame, map, distributed, &input),
            },
        }
    }

    /// Does what a turn came to.
    pub(super) fn settle(&mut self, id: FrameId, frame: Box<Frame>, turn: Result<Turn, Fault>) {
        match turn {
            Ok(Turn::Waits) => {
                self.frames.insert(id, frame);
            }
            Ok(Turn::Exits(exit)) => self.leave(id, frame, exit),
            Err(fault) => self.fail(id, frame, fault),
        }
    }

    fn enter(&mut self, frame: &mut Frame) {
        frame.entered_at = self.now;
        let details = StateEntered {
            name: frame.state().name.clone(),
            input: Arc::clone(&frame.input),
            input_details: Truncation::default(),
        };
        let event = match frame.state().kind {
            StateKind::Pass { .. } => EventKind::PassStateEntered(details),
            StateKind::Task(_) => EventKind::TaskStateEntered(details),
            StateKind::Choice { .. } => EventKind::ChoiceStateEntered(details),
            StateKind::Wait { .. } => EventKind::WaitStateEntered(details),
            StateKind::Succeed => EventKind::SucceedStateEntered(details),
            StateKind::Fail { .. } => EventKind::FailStateEntered(details),
            StateKind::Parallel { .. } => EventKind::ParallelStateEntered(details),
            StateKind::Map(_) => EventKind::MapStateEntered(details),
        };
        frame.before_entry = frame.previous;
        frame.previous = self.emit(frame.previous, event);
        frame.entered_event = frame.previous;
    }

    /// Writes the exit and goes on to the next state, or ends the strand.
    pub(super) fn leave(&mut self, id: FrameId, mut frame: Box<Frame>, exit: Exit) {
        let texts: IndexMap<String, String> = exit
            .assigned
            .iter()
            .map(|(name, value)| (name.clone(), value.to_string()))
            .collect();
        let assigned = !texts.is_empty();
        let details = StateExited {
            name: frame.state().name.clone(),
            output: Arc::clone(&exit.output),
            output_details: Truncation::default(),
            assigned_variables: assigned.then_some(texts),
            assigned_variables_details: assigned.then(Truncation::default),
        };
        let event = match frame.state().kind {
            StateKind::Task(_) => EventKind::TaskStateExited(details),
            StateKind::Choice { .. } => EventKind::ChoiceStateExited(details),
            StateKind::Wait { .. } => EventKind::WaitStateExited(details),
            StateKind::Succeed => EventKind::SucceedStateExited(details),
            StateKind::Parallel { .. } => EventKind::ParallelStateExited(details),
            StateKind::Map(_) => EventKind::MapStateExited(details),
            // A Fail state is never left.
            StateKind::Pass { .. } | StateKind::Fail { .. } => EventKind::PassStateExited(details),
        };
        frame.previous = self.emit(frame.previous, event);
        if assigned {
            Arc::make_mut(&mut frame.variables).extend(exit.assigned);
        }
        match exit.transition {
            Transition::Next(state) => {
                frame.proceed(state, exit.output);
                self.frames.insert(id, frame);
                self.ready.push_back(id);
            }
            Transition::End => self.end_strand(&frame, exit.output),
        }
    }

    fn end_strand(&mut self, frame: &Frame, output: Arc<str>) {
        match frame.parent {
            None => self.succeed_execution(frame.previous, output),
            Some(parent) => self.child_succeeded(parent, frame.previous, output),
        }
    }

    /// Applies `InputPath` or `OutputPath`.
    pub(super) fn select(&self, frame: &Frame, selection: &Selection, payload: Payload) -> Result<Payload, Fault> {
        match selection {
            Selection::Whole => Ok(payload),
            Selection::Nothing => Ok(Value::Object(serde_json::Map::new()).into()),
            Selection::Path(path) => self
                .evaluate(frame, payload.value(), Extra::default(), |scope| {
                    data_flow::read(path, scope)
                })
                .map(Payload::from),
        }
    }

    pub(super) fn payload(&self, frame: &Frame, template: &Template, input: &Payload) -> Result<Payload, Fault> {
        self.evaluate(frame, input.value(), Extra::default(), |scope| template.evaluate(scope))
            .map(Payload::from)
    }

    /// The state's `Assign`, evaluated over its result with the old variables.
    fn assign(&self, frame: &Frame, template: Option<&Template>, result: &Payload) -> Result<Variables, Fault> {
        let Some(template) = template else {
            return Ok(Variables::new());
        };
        match self.payload(frame, template, result)?.into_value() {
            Value::Object(fields) => Ok(fields.into_iter().collect()),
            _ => Ok(Variables::new()),
        }
    }

    /// `Output` and `Assign` of a JSONata state, over the state's input.
    pub(super) fn output_and_assign(
        &self,
        frame: &Frame,
        output: Option<&Template>,
        assign: Option<&Template>,
        extra: Extra<'_>,
    ) -> Result<(Option<Payload>, Variables), Fault> {
        let input = Payload::from_text(Arc::clone(&frame.input));
        if output.is_none() && assign.is_none() {
            return Ok((None, Variables::new()));
        }
        self.evaluate(frame, input.value(), extra, |scope| {
            let assigned = match assign.map(|template| template.evaluate(scope)).transpose()? {
                Some(Value::Object(fields)) => fields.into_iter().collect(),
                _ => Variables::new(),
            };
            let output = output.map(|template| template.evaluate(scope)).transpose()?;
            Ok((output.map(Payload::from), assigned))
        })
    }

    /// Puts a result through `Assign`, `ResultPath` and `OutputPath`.
    pub(super) fn exit(
        &self,
        frame: &Frame,
        result: Payload,
        result_path: &ResultPath,
        transition: Transition,
    ) -> Result<Turn, Fault> {
        let state = frame.state();
        self.note(|notes| &notes.result_selector, &result);
        let (output, assigned) = match state.language {
            QueryLanguage::JsonPath => {
                let assigned = self.assign(frame, state.assign.as_ref(), &result)?;
                let raw = Payload::from_text(Arc::clone(&frame.input));
                let combined = data_flow::apply_result_path(result_path, raw, result)
                    .map_err(|error| error.at(&state.name, frame.entered_event))?;
                self.note(|notes| &notes.result_path, &combined);
                (self.select(frame, &state.output_path, combined)?, assigned)
            }
            QueryLanguage::Jsonata => {
                let extra = Extra {
                    result: state.outcome().map(|_| result.value()),
                    ..Extra::default()
                };
                let (output, assigned) =
                    self.output_and_assign(frame, state.output.as_ref(), state.assign.as_ref(), extra)?;
                (output.unwrap_or(result), assigned)
            }
        };
        Self::leaving(frame, output, assigned, transition).map(Turn::Exits)
    }

    /// The exit of a state, whose output and variables must be within their limits.
    pub(super) fn leaving(
        frame: &Frame,
        output: Payload,
        assigned: Variables,
        transition: Transition,
    ) -> Result<Exit, Fault> {
        let output = output.text();
        let kept = || frame.variables.iter().filter(|(name, _)| !assigned.contains_key(*name));
        let fits = output.len() <= PAYLOAD_BYTES_MAX
            && (assigned.is_empty() || {
                let new = size(assigned.values());
                new <= ASSIGN_BYTES_MAX && new + size(kept().map(|(_, value)| value)) <= VARIABLES_BYTES_MAX
            });
        if !fits {
            return Err(Fault::data_limit(&frame.state().name));
        }
        Ok(Exit {
            output,
            assigned,
            transition,
        })
    }

    /// The exit of a Task, Parallel or Map state that has its result.
    pub(super) fn complete(&self, frame: &Frame, outcome: &Outcome, result: Payload) -> Result<Turn, Fault> {
        let result = match &outcome.result_selector {
            Some(selector) => self.payload(frame, selector, &result)?,
            None => result,
        };
        self.exit(frame, result, &outcome.result_path, outcome.transition)
    }

    /// The exit of a state that hands its input on.
    fn pass_through(&self, frame: &Frame, input: Payload, transition: Transition) -> Result<Turn, Fault> {
        self.exit(frame, input, &ResultPath::Replace, transition)
    }

    fn choose(&self, frame: &Frame, input: Payload) -> Result<Turn, Fault> {
        let state = frame.state();
        let StateKind::Choice { rules, default } = &state.kind else {
            return self.pass_through(frame, input, Transition::End);
        };
        for rule in rules {
            let holds = self.evaluate(frame, input.value(), Extra::default(), |scope| {
                rule.condition.holds(scope)
            })?;
            if holds {
                let (output, assigned) = match state.language {
                    QueryLanguage::JsonPath => {
                        let assigned = self.assign(frame, rule.assign.as_ref(), &input)?;
                        (self.select(frame, &state.output_path, input)?, assigned)
                    }
                    QueryLanguage::Jsonata => {
                        let output = rule.output.as_ref().or(state.output.as_ref());
                        let (output, assigned) =
                            self.output_and_assign(frame, output, rule.assign.as_ref(), Extra::default())?;
                        (output.unwrap_or(input), assigned)
                    }
                };
                let transition = Transition::Next(rule.next);
                return Self::leaving(frame, output, assigned, transition).map(Turn::Exits);
            }
        }
        match default {
            Some(next) => self.pass_through(frame, input, Transition::Next(*next)),
            None => Err(EvaluationError::named(
                names::NO_CHOICE_MATCHED,
                "Failed to transition out of the state. The state does not point to a next state.",
            )
            .at(&state.name, frame.entered_event)),
        }
    }

    fn wait(
        &mut self,
        id: FrameId,
        frame: &mut Frame,
        until: &WaitUntil,
        input: Payload,
        transition: Transition,
    ) -> Result<Turn, Fault> {
        let now = self.now;
        let due = self.evaluate(frame, input.value(), Extra::default(), |scope| due(until, scope, now))?;
        if due <= now {
            return self.pass_through(frame, input, transition);
        }
        frame.activity = Activity::Waiting(self.set_timer(due, Alarm::Wait(id)));
        Ok(Turn::Waits)
    }

    pub(super) fn wait_is_over(&mut self, id: FrameId) {
        let Some(frame) = self.frames.remove(&id) else { return };
        let turn = match &frame.state().kind {
            StateKind::Wait { transition, .. } => self.end_wait(&frame, *transition),
            _ => Ok(Turn::Waits),
        };
        self.settle(id, frame, turn);
    }

    /// The exit of a Wait state that has waited.
    pub(super) fn end_wait(&self, frame: &Frame, transition: Transition) -> Result<Turn, Fault> {
        let raw = Payload::from_text(Arc::clone(&frame.input));
        self.select(frame, &frame.state().input_path, raw)
            .and_then(|input| self.pass_through(frame, input, transition))
    }

    fn fail_text(&self, frame: &Frame, field: &str, text: &FailText, input: &Payload) -> Result<Option<String>, Fault> {
        match text {
            FailText::Absent => Ok(None),
            FailText::Literal(text) => Ok(Some(text.clone())),
            FailText::Template(template) => self.evaluate(frame, input.value(), Extra::default(), |scope| {
                template.evaluate_as(scope, "string", |value| {
                    value.as_str().map(|text| Some(text.to_owned()))
                })
            }),
            FailText::Expression(expression) => self.evaluate(frame, input.value(), Extra::default(), |scope| {
                match expression.evaluate(field, scope)? {
                    Value::String(text) => Ok(Some(text)),
                    other => Err(EvaluationError::runtime(format_args!(
                        "The {field} parameter does not reference a string value: {other}"
                    ))),
                }
            }),
        }
    }

    /// A number that is written out or read from a path.
    pub(super) fn number(
        &self,
        frame: &Frame,
        number: Option<&WholeNumber>,
        field: &str,
        input: &Payload,
    ) -> Result<Option<u64>, Fault> {
        match number {
            None => Ok(None),
            Some(WholeNumber::Literal(number)) => Ok(Some(*number)),
            Some(WholeNumber::Template(template)) => self.evaluate(frame, input.value(), Extra::default(), |scope| {
                template.evaluate_as(scope, "number", |value| value.as_u64().map(Some))
            }),
            Some(WholeNumber::Path(path)) => {
                let number = self.integer(frame, path, field, input)?;
                u64::try_from(number).map(Some).map_err(|_| {
                    let name = field.trim_end_matches("Path");
                    EvaluationError::runtime(format_args!("{name} cannot be negative."))
                        .at(&frame.state().name, frame.entered_event)
                })
            }
        }
    }

    /// The whole number that `field`, a path, refers to.
    pub(super) fn integer(&self, frame: &Frame, path: &Path, field: &str, input: &Payload) -> Result<i64, Fault> {
        self.evaluate(frame, input.value(), Extra::default(), |scope| {
            let value = data_flow::read(path, scope)?;
            let number = value.as_i64().or_else(|| value.as_str()?.parse().ok());
            number.ok_or_else(|| not_a(field, "integer", &value, path))
        })
    }
}

fn due(until: &WaitUntil, scope: &crate::scope::Scope<'_>, now: Timestamp) -> Evaluated<Timestamp> {
    match until {
        WaitUntil::Seconds(seconds) => Ok(now.plus_seconds(*seconds)),
        WaitUntil::Timestamp(text) => Ok(parse_instant(text).map_or(now, |instant| instant.ceiling())),
        WaitUntil::SecondsTemplate(template) => template.evaluate_as(scope, "number", |value| {
            value.as_u64().map(|seconds| now.plus_seconds(seconds))
        }),
        WaitUntil::TimestampTemplate(template) => {
            let text = template.evaluate_as(scope, "string", |value| value.as_str().map(str::to_owned))?;
            parse_instant(&text).map(|instant| instant.ceiling()).ok_or_else(|| {
                EvaluationError::query(
                    format_args!(
                        "The Timestamp field cannot be parsed as an ISO-8601 extended offset \
                         date-time format string: {text}"
                    ),
                    Some("Timestamp".to_owned()),
                )
            })
        }
        WaitUntil::SecondsPath(path) => {
            let value = scope.read(path).map_err(|_| {
                EvaluationError::runtime(format_args!(
                    "The SecondsPath parameter does not reference an input value: {path}"
                ))
            })?;
            let problem = |text: &str| EvaluationError::runtime(format_args!("{text}: {path} == {}", plain(&value)));
            match value.as_i64() {
                None => Err(problem("The SecondsPath parameter cannot be parsed as a long value")),
                Some(seconds) => match u64::try_from(seconds) {
                    Err(_) => Err(problem("The SecondsPath parameter references a negative value")),
                    Ok(seconds) if seconds > SECONDS_MAX => Err(problem(
                        "The SecondsPath parameter references a value that is larger than 99999999",
                    )),
                    Ok(seconds) => Ok(now.plus_seconds(seconds)),
                },
            }
        }
        WaitUntil::TimestampPath(path) => {
            let value = scope.read(path).map_err(|_| {
                EvaluationError::runtime(format_args!(
                    "The TimestampPath parameter does not reference an input value: {path}"
                ))
            })?;
            let instant = value.as_str().and_then(parse_instant);
            instant.map(|instant| instant.ceiling()).ok_or_else(|| {
                EvaluationError::runtime(format_args!(
                    "The TimestampPath parameter does not reference a valid ISO-8601 extended offset \
                     date-time format string: {path} == {}",
                    plain(&value)
                ))
            })
        }
    }
}

/// The failure of a path to a number that leads to something else.
pub(super) fn not_a(field: &str, expected: &str, value: &Value, path: &Path) -> EvaluationError {
    EvaluationError::runtime(format_args!(
        "The {field} field refers to value \"{}\" which is not a valid {expected}: {path}",
        plain(value)
    ))
}

/// A value as AWS's texts show it: a text without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
