//! Parallel and Map states: strands below a strand.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;

use super::Execution;
use super::context::Extra;
use super::frame::{Activity, Children, Frame, FrameId, Item, Iteration, Parent, Turn};
use crate::data_flow;
use crate::effect::Effect;
use crate::error::{EvaluationError, Fault};
use crate::event::{EventKind, MapIteration, MapStateStarted};
use crate::limits::{MAP_CONCURRENCY_DEFAULT, MAP_INPUTS_BYTES_MAX};
use crate::machine::{Items, Map, QueryLanguage, StateKind, Workflow};
use crate::map_run;
use crate::payload::Payload;

impl Execution {
    pub(super) fn begin_parallel(
        &mut self,
        id: FrameId,
        frame: &mut Frame,
        branches: &[Arc<Workflow>],
        input: &Arc<str>,
    ) {
        frame.previous = self.emit(frame.previous, EventKind::ParallelStateStarted);
        let mut running = IndexMap::new();
        for (slot, branch) in branches.iter().enumerate() {
            let parent = Parent { frame: id, slot };
            let child = frame.child(parent, branch, Arc::clone(input), frame.previous, frame.item.clone());
            running.insert(slot, self.spawn(child));
        }
        frame.activity = Activity::Children(Box::new(Children {
            iterations: Vec::new(),
            next: branches.len(),
            results: vec![None; branches.len()],
            running,
            wrecks: Vec::new(),
        }));
    }

    pub(super) fn begin_map(
        &mut self,
        id: FrameId,
        frame: &mut Frame,
        map: &Map,
        input: &Payload,
    ) -> Result<Turn, Fault> {
        let items = self.items(frame, map, input)?;
        let limit = self.number(frame, map.max_concurrency.as_ref(), "MaxConcurrencyPath", input)?;
        let (mut iterations, mut bytes) = (Vec::with_capacity(items.len()), 0);
        for (index, item) in items.into_iter().enumerate() {
            let iteration = self.iteration(frame, map, input, index, &item.value)?;
            bytes += iteration.input.len();
            if bytes > MAP_INPUTS_BYTES_MAX {
                return Err(Fault::data_limit(&frame.state().name));
            }
            iterations.push(iteration);
        }
        let length = u64::try_from(iterations.len()).unwrap_or(u64::MAX);
        frame.previous = self.emit(frame.previous, EventKind::MapStateStarted(MapStateStarted { length }));
        let results = vec![None; iterations.len()];
        let mut children = Children {
            iterations,
            next: 0,
            results,
            running: IndexMap::new(),
            wrecks: Vec::new(),
        };
        let limit = match limit.and_then(|limit| usize::try_from(limit).ok()) {
            None | Some(0) => MAP_CONCURRENCY_DEFAULT,
            Some(limit) => limit,
        };
        let started = frame.previous;
        while children.running.len() < limit && children.next < children.iterations.len() {
            self.begin_iteration(id, frame, &map.processor, &mut children, started);
        }
        if children.results.is_empty() {
            return self.join(frame, &children);
        }
        frame.activity = Activity::Children(Box::new(children));
        Ok(Turn::Waits)
    }

    /// What a Map state iterates over: the elements of an array or, in
    /// distributed mode, the members of an object.
    pub(super) fn items(&self, frame: &Frame, map: &Map, input: &Payload) -> Result<Vec<map_run::Item>, Fault> {
        let name = &frame.state().name;
        let objects = map.distributed.is_some();
        let items = match &map.items {
            Items::Input => input.value().clone(),
            Items::Path(path) => self.evaluate(frame, input.value(), Extra::default(), |scope| {
                data_flow::read(path, scope)
            })?,
            Items::Template(template) => self.evaluate(frame, input.value(), Extra::default(), |scope| {
                template.evaluate_as(scope, "array", |value| {
                    (value.is_array() || objects && value.is_object()).then(|| value.clone())
                })
            })?,
        };
        match items {
            Value::Array(items) => Ok(items.into_iter().map(Into::into).collect()),
            Value::Object(members) if objects => Ok(members.into_iter().map(Into::into).collect()),
            other => Err(match (&map.items, frame.state().language) {
                (_, QueryLanguage::Jsonata) => {
                    EvaluationError::query(format_args!("Map state input must be an array but was: {other}"), None)
                }
                (Items::Path(path), _) => not_an_array(path.within()),
                _ => not_an_array("$"),
            }
            .at(name, frame.entered_event)),
        }
    }

    pub(super) fn iteration(
        &self,
        frame: &Frame,
        map: &Map,
        input: &Payload,
        index: usize,
        item: &Value,
    ) -> Result<Iteration, Fault> {
        let item = Arc::new(Item {
            index,
            value: item.to_string().into(),
        });
        let input = match &map.item_selector {
            None => Arc::clone(&item.value),
            Some(selector) => {
                let extra = Extra {
                    item: Some(&item),
                    ..Extra::default()
                };
                self.evaluate(frame, input.value(), extra, |scope| selector.evaluate(scope))?
                    .to_string()
                    .into()
            }
        };
        Ok(Iteration { input, item })
    }

    fn begin_iteration(
        &mut self,
        id: FrameId,
        frame: &Frame,
        processor: &Arc<Workflow>,
        children: &mut Children,
        previous: u64,
    ) {
        let slot = children.next;
        let Iteration { input, item } = &children.iterations[slot];
        let (input, item) = (Arc::clone(input), Some(Arc::clone(item)));
        children.next += 1;
        let started = self.emit(previous, EventKind::MapIterationStarted(iteration(frame, slot)));
        let child = frame.child(Parent { frame: id, slot }, processor, input, started, item);
        children.running.insert(slot, self.spawn(child));
    }

    /// Takes the output of a strand that has ended; `previous` is its last event.
    pub(super) fn child_succeeded(&mut self, parent: Parent, previous: u64, output: Arc<str>) {
        let Some(mut frame) = self.frames.remove(&parent.frame) else {
            return;
        };
        let workflow = Arc::clone(&frame.workflow);
        let Activity::Children(children) = &mut frame.activity else {
            return;
        };
        let mut children = std::mem::take(children.as_mut());
        children.running.shift_remove(&parent.slot);
        children.results[parent.slot] = Some(output);
        frame.previous = previous;
        if let StateKind::Map(map) = &workflow.states[frame.state].kind {
            let done = EventKind::MapIterationSucceeded(iteration(&frame, parent.slot));
            let done = self.emit(previous, done);
            if children.next < children.iterations.len() {
                self.begin_iteration(parent.frame, &frame, &map.processor, &mut children, previous);
            }
            if children.running.is_empty() {
                frame.previous = done;
            }
        }
        let turn = if children.running.is_empty() {
            self.join(&mut frame, &children)
        } else {
            Ok(Turn::Waits)
        };
        frame.activity = Activity::Children(Box::new(children));
        self.settle(parent.frame, frame, turn);
    }

    /// Puts the outputs of strands that have all ended together.
    pub(super) fn join(&mut self, frame: &mut Frame, children: &Children) -> Result<Turn, Fault> {
        let succeeded = match frame.state().kind {
            StateKind::Parallel { .. } => EventKind::ParallelStateSucceeded,
            _ => EventKind::MapStateSucceeded,
        };
        self.emit(frame.previous, succeeded);
        let workflow = Arc::clone(&frame.workflow);
        match workflow.states[frame.state].outcome() {
            Some(outcome) => self.complete(frame, outcome, results(children)),
            None => Ok(Turn::Waits),
        }
    }

    /// Hands the failure of a strand to the state above it.
    pub(super) fn child_failed(&mut self, parent: Parent, child: Box<Frame>, fault: Fault) {
        let Some(mut frame) = self.frames.remove(&parent.frame) else {
            return;
        };
        let previous = child.previous;
        frame.previous = previous;
        if matches!(frame.state().kind, StateKind::Map(_)) {
            let failed = EventKind::MapIterationFailed(iteration(&frame, parent.slot));
            self.emit(previous, failed);
        }
        if let Activity::Children(children) = &mut frame.activity {
            children.running.shift_remove(&parent.slot);
            children.wrecks.push((parent.slot, child));
        }
        self.abort_children(&mut frame);
        self.fail(parent.frame, frame, fault);
    }

    /// Ends every strand below a state, the deepest first.
    fn abort_children(&mut self, frame: &mut Frame) {
        let Activity::Children(children) = &mut frame.activity else {
            return;
        };
        let mut wrecks = Vec::new();
        for (slot, id) in std::mem::take(&mut children.running) {
            let Some(mut child) = self.frames.remove(&id) else {
                continue;
            };
            self.abort(&mut child);
            if matches!(frame.state().kind, StateKind::Map(_)) {
                let aborted = EventKind::MapIterationAborted(iteration(frame, slot));
                self.emit(child.previous, aborted);
            }
            wrecks.push((slot, child));
        }
        if let Activity::Children(children) = &mut frame.activity {
            children.wrecks.append(&mut wrecks);
        }
    }

    fn abort(&mut self, frame: &mut Frame) {
        self.abort_children(frame);
        match &frame.activity {
            Activity::Task(running) => self.step.effects.push(Effect::CancelTask(running.task)),
            Activity::MapRun(run) => {
                self.step.effects.push(Effect::CancelTask(run.task));
                frame.previous = self.emit(frame.previous, EventKind::MapRunAborted);
            }
            Activity::Waiting(timer) | Activity::Retrying(timer) => self.cancel_timer(Some(*timer)),
            Activity::Children(_) => {}
            // The state was not entered: there is nothing to record.
            Activity::Entering | Activity::Redriven => return,
        }
        self.release(frame);
        let aborted = match frame.state().kind {
            StateKind::Task(_) => EventKind::TaskStateAborted,
            StateKind::Wait { .. } => EventKind::WaitStateAborted,
            StateKind::Parallel { .. } => EventKind::ParallelStateAborted,
            StateKind::Map(_) => EventKind::MapStateAborted,
            _ => return,
        };
        frame.previous = self.emit(frame.previous, aborted);
    }
}

fn not_an_array(path: &str) -> EvaluationError {
    EvaluationError::runtime(format_args!("Reference path \"{path}\" must point to array."))
}

fn iteration(frame: &Frame, slot: usize) -> MapIteration {
    MapIteration {
        name: frame.state().name.clone(),
        index: u64::try_from(slot).unwrap_or(u64::MAX),
    }
}

/// The outputs as one array, joined as text.
fn results(children: &Children) -> Payload {
    let outputs: Vec<&str> = children.results.iter().flatten().map(|output| &**output).collect();
    Payload::from_text(format!("[{}]", outputs.join(",")).into())
}
