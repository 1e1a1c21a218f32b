//! Distributed Map states: one run of child executions, which the driver makes.

use std::sync::Arc;

use serde_json::Value;

use super::Execution;
use super::context::Extra;
use super::frame::{Activity, Frame, FrameId, Turn};
use super::state::not_a;
use crate::data_flow;
use crate::effect::{Effect, TaskId};
use crate::error::{EvaluationError, Fault};
use crate::event::{EventKind, Failure, MapRunRedriven, MapRunStarted, MapStateStarted};
use crate::limits::READER_ITEMS_MAX;
use crate::machine::{Batcher, Distributed, Map, Percentage, QueryLanguage, Reader, WholeNumber, Writer};
use crate::map_run::{Batching, ItemReader, ItemSource, MapRun, ResultFormat, Selector};
use crate::payload::Payload;

impl Execution {
    pub(super) fn begin_map_run(
        &mut self,
        id: FrameId,
        frame: &mut Frame,
        map: &Arc<Map>,
        distributed: &Distributed,
        input: &Payload,
    ) -> Result<Turn, Fault> {
        let items = match distributed.reader {
            None => self.items(frame, map, input)?,
            Some(_) => Vec::new(),
        };
        let length = u64::try_from(items.len()).unwrap_or(u64::MAX);
        frame.previous = self.emit(frame.previous, EventKind::MapStateStarted(MapStateStarted { length }));
        let max_concurrency = self.number(frame, map.max_concurrency.as_ref(), "MaxConcurrencyPath", input)?;
        let tolerated_failure_count = self.number(
            frame,
            distributed.tolerated_count.as_ref(),
            "ToleratedFailureCountPath",
            input,
        )?;
        let tolerated_failure_percentage = match &distributed.tolerated_percentage {
            None => None,
            Some(percentage) => Some(self.percentage(frame, percentage, input)?),
        };
        let source = match &distributed.reader {
            None => ItemSource::Items(items),
            Some(reader) => ItemSource::Objects(Box::new(self.item_reader(frame, reader, input)?)),
        };
        let batching = match &distributed.batcher {
            None => None,
            Some(batcher) => Some(self.batching(frame, batcher, input)?),
        };
        let results = match &distributed.writer {
            None => ResultFormat::default(),
            Some(writer) => self.result_format(frame, writer, input)?,
        };
        let selector = map.item_selector.is_some().then(|| Selector {
            map: Arc::clone(map),
            uses_jsonata: frame.state().language == QueryLanguage::Jsonata,
            input: input.value().clone(),
            context: self.context(frame, Extra::default()),
            variables: Arc::clone(&frame.variables),
            now: self.now,
            seed: self.random.bits(),
            entered_event: frame.entered_event,
        });
        let task = TaskId(self.next_id());
        let label = distributed.label.clone().unwrap_or_else(|| self.random.uuid());
        let run = MapRun {
            task,
            state_name: frame.state().name.clone(),
            arn: self.map_run_arn(&label),
            label,
            express: distributed.express,
            source,
            max_concurrency: max_concurrency.unwrap_or_default(),
            tolerated_failure_count,
            tolerated_failure_percentage,
            batching,
            results,
            redrive_count: 0,
            selector,
        };
        let started = EventKind::MapRunStarted(MapRunStarted {
            map_run_arn: run.arn.clone(),
        });
        frame.previous = self.emit(frame.previous, started);
        self.start_map_run(id, frame, Box::new(run));
        Ok(Turn::Waits)
    }

    fn start_map_run(&mut self, id: FrameId, frame: &mut Frame, run: Box<MapRun>) {
        self.tasks.insert(run.task, id);
        self.step.effects.push(Effect::StartMapRun(run.clone()));
        frame.activity = Activity::MapRun(run);
    }

    /// Goes on with a run that failed: the same run, with the children that
    /// have not succeeded.
    pub(super) fn redrive_map_run(&mut self, id: FrameId, frame: &mut Frame, mut run: Box<MapRun>) {
        run.task = TaskId(self.next_id());
        run.redrive_count += 1;
        let redriven = EventKind::MapRunRedriven(MapRunRedriven {
            map_run_arn: run.arn.clone(),
            redrive_count: run.redrive_count,
        });
        frame.previous = self.emit(frame.previous, redriven);
        self.start_map_run(id, frame, run);
    }

    /// `mapRun:MACHINE/LABEL:ID`, in the account of the machine.
    fn map_run_arn(&self, label: &str) -> String {
        let machine = self
            .identity
            .state_machine_arn
            .replacen(":stateMachine:", ":mapRun:", 1);
        format!("{machine}/{label}:{}", self.random.uuid())
    }

    fn percentage(&self, frame: &Frame, percentage: &Percentage, input: &Payload) -> Result<f64, Fault> {
        let value = match percentage {
            Percentage::Literal(percentage) => return Ok(*percentage),
            Percentage::Template(template) => self.evaluate(frame, input.value(), Extra::default(), |scope| {
                template.evaluate_as(scope, "number", Value::as_f64)
            })?,
            Percentage::Path(path) => self.evaluate(frame, input.value(), Extra::default(), |scope| {
                let value = data_flow::read(path, scope)?;
                let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
                number.ok_or_else(|| not_a("ToleratedFailurePercentagePath", "float", &value, path))
            })?,
        };
        if (0.0..=100.0).contains(&value) {
            return Ok(value);
        }
        Err(
            EvaluationError::runtime("ToleratedFailurePercentage must be between 0 and 100.")
                .at(&frame.state().name, frame.entered_event),
        )
    }

    fn item_reader(&self, frame: &Frame, reader: &Reader, input: &Payload) -> Result<ItemReader, Fault> {
        let format = &reader.format;
        let max_items = match &format.max_items {
            Some(WholeNumber::Path(path)) => u64::try_from(self.integer(frame, path, "MaxItemsPath", input)?).ok(),
            number => self.number(frame, number.as_ref(), "MaxItemsPath", input)?.or(Some(0)),
        };
        let parameters = match &reader.parameters {
            Some(template) => self.payload(frame, template, input)?.into_value(),
            None => Value::Object(serde_json::Map::new()),
        };
        Ok(ItemReader {
            resource: reader.resource.clone(),
            parameters,
            input_type: format.input_type,
            manifest_type: format.manifest_type,
            flatten: format.flatten,
            headers: format.headers.clone(),
            delimiter: format.delimiter,
            max_items: max_items.map(|most| match most {
                0 => READER_ITEMS_MAX,
                _ => most.min(READER_ITEMS_MAX),
            }),
            items_pointer: format.items_pointer.clone(),
        })
    }

    fn batching(&self, frame: &Frame, batcher: &Batcher, input: &Payload) -> Result<Batching, Fault> {
        let limit = |number, field| self.number(frame, number, field, input);
        Ok(Batching {
            max_items: limit(batcher.max_items.as_ref(), "MaxItemsPerBatchPath")?,
            max_bytes: limit(batcher.max_bytes.as_ref(), "MaxInputBytesPerBatchPath")?,
            input: match &batcher.input {
                Some(template) => Some(self.payload(frame, template, input)?.into_value()),
                None => None,
            },
        })
    }

    fn result_format(&self, frame: &Frame, writer: &Writer, input: &Payload) -> Result<ResultFormat, Fault> {
        Ok(ResultFormat {
            destination: match &writer.parameters {
                Some(template) => Some(self.payload(frame, template, input)?.into_value()),
                None => None,
            },
            transformation: writer.transformation,
            output_type: writer.output_type,
        })
    }

    /// Takes a map run's result. AWS lets the exit point back to the run's
    /// beginning (recordings since November 2024).
    pub(super) fn map_run_succeeded(&mut self, id: FrameId, frame: Box<Frame>, output: Arc<str>) {
        let succeeded = self.emit(frame.previous, EventKind::MapRunSucceeded);
        self.emit(succeeded, EventKind::MapStateSucceeded);
        let workflow = Arc::clone(&frame.workflow);
        let turn = match workflow.states[frame.state].outcome() {
            Some(outcome) => self.complete(&frame, outcome, Payload::from_text(output)),
            None => Ok(Turn::Waits),
        };
        self.settle(id, frame, turn);
    }

    /// Takes a map run's failure.
    pub(super) fn map_run_failed(&mut self, id: FrameId, mut frame: Box<Frame>, fault: Fault) {
        let failed = EventKind::MapRunFailed(Failure {
            error: fault.error.clone(),
            cause: fault.cause.clone(),
        });
        frame.previous = self.emit(frame.previous, failed);
        self.fail(id, frame, fault);
    }
}
