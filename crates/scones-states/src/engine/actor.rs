//! The one owner of a live execution.
//!
//! An actor takes what its mailbox holds, lets the interpreter make a step for
//! each message, appends all steps to the history at once, and only then
//! performs their effects and answers. It ends when the execution ends, when
//! somebody else has appended to the history, when the server stops, or when
//! it has waited idle for long enough; a later message brings it back.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use scones_api::Timestamp as ApiTimestamp;
use scones_asl::{
    Effect, HistoryEvent, Input, Outcome, Resource, Step, TaskCall, TaskId, Timestamp, error_names,
    event::{EventKind, Failure},
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{
    Shared,
    entry::{Cause, Entry, Origin},
    index::Summary,
    journal::{Journal, Lost},
    map_run,
    message::{Answer, Command, Mailbox, Message, Refusal, Reply},
    pace,
    recent::Events,
    run::{Run, Waiting, Work},
    worker::{Assignment, Worker},
};

/// Messages that one append takes together.
const BATCH_MAX: usize = 64;
/// Longest sleep before the clock is looked at again, as it may be set.
const NAP_MAX: Duration = Duration::from_secs(60);

/// What becomes of the steps of an execution.
pub(crate) enum Record {
    /// They are appended to a history, and the execution is listed.
    Durable { journal: Journal, summary: Box<Summary> },
    /// They are in memory, as those of Express executions.
    Memory { events: Events },
}

/// Why an actor ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The execution has ended.
    Finished,
    /// It has nothing to do before a timer is due or a message comes.
    Parked,
    /// Another server has it.
    Fenced,
    /// The server stops.
    Stopped,
}

/// Steps that are not durable yet, with what follows when they are.
#[derive(Default)]
pub(crate) struct Batch {
    entries: Vec<Bytes>,
    /// What is to be logged.
    events: Vec<HistoryEvent>,
    effects: Vec<Effect>,
    permits: BTreeMap<TaskId, OwnedSemaphorePermit>,
    replies: Vec<(oneshot::Sender<Reply>, Reply)>,
}

impl Batch {
    fn refuse(self, refusal: Refusal) {
        for (reply, _) in self.replies {
            drop(reply.send(Err(refusal)));
        }
    }
}

/// A live execution with everything that belongs to it.
pub(crate) struct Actor {
    shared: Arc<Shared>,
    execution_arn: String,
    run: Run,
    record: Record,
    sender: mpsc::Sender<Message>,
    workers: BTreeMap<TaskId, Worker>,
}

impl Actor {
    pub(crate) fn new(
        shared: Arc<Shared>,
        execution_arn: &str,
        run: Run,
        record: Record,
        sender: mpsc::Sender<Message>,
    ) -> Self {
        let execution_arn = execution_arn.to_owned();
        Self {
            shared,
            execution_arn,
            run,
            record,
            sender,
            workers: BTreeMap::new(),
        }
    }

    /// The batch that holds an execution's first step.
    ///
    /// # Errors
    /// If the step cannot be written.
    pub(crate) async fn open(&mut self, origin: Origin, step: Step) -> Result<Batch, serde_json::Error> {
        let mut batch = Batch::default();
        let now = origin.started;
        self.take_step(Cause::Start(Box::new(origin)), step, now, &mut batch)?;
        self.take_missing_activities(&mut batch).await;
        Ok(batch)
    }

    /// The batch that holds the first step after a redrive.
    ///
    /// # Errors
    /// If the step cannot be written.
    pub(crate) async fn reopen(&mut self, step: Step, now: Timestamp) -> Result<Batch, serde_json::Error> {
        let mut batch = Batch::default();
        self.take_step(Cause::Input(Input::Redrive), step, now, &mut batch)?;
        self.take_missing_activities(&mut batch).await;
        Ok(batch)
    }

    /// Performs again what a crash may have interrupted: tasks run at least once.
    pub(crate) async fn resume(&mut self) {
        let waiting: Vec<Waiting> = self.run.tasks().filter(|task| task.is_unattended()).cloned().collect();
        for task in waiting {
            self.begin(task, true, None).await;
        }
    }

    /// Lives until there is a reason to end.
    pub(crate) async fn live(&mut self, mailbox: &mut Mailbox) -> End {
        loop {
            if self.run.outcome().is_some() {
                return End::Finished;
            }
            let mut batch = Batch::default();
            let nap = self.nap();
            tokio::select! {
                biased;
                () = self.shared.stopping.cancelled() => return End::Stopped,
                message = mailbox.recv() => self.take_messages(message, mailbox, &mut batch),
                () = tokio::time::sleep(nap), if !nap.is_zero() => {
                    if self.may_park(nap) && self.park().await {
                        return End::Parked;
                    }
                }
                () = std::future::ready(()), if nap.is_zero() => {}
            }
            self.take_timers(&mut batch);
            self.take_missing_activities(&mut batch).await;
            if let Err(lost) = self.commit(batch).await {
                return match lost {
                    Lost::Fenced => End::Fenced,
                    Lost::Closed => End::Stopped,
                };
            }
        }
    }

    /// How long to sleep: until the next timer, or until it is time to park.
    fn nap(&self) -> Duration {
        let patience = self.shared.options.idle_before_parking.min(NAP_MAX);
        match self.run.next_due() {
            Some(due) => until(due, self.shared.now()).min(patience),
            None => patience,
        }
    }

    /// Whether a nap of this length, undisturbed, is a reason to leave the memory.
    fn may_park(&self, nap: Duration) -> bool {
        let patience = self.shared.options.idle_before_parking;
        let soon = self
            .run
            .next_due()
            .is_some_and(|due| until(due, self.shared.now()) < patience);
        nap >= patience.min(NAP_MAX) && !soon && self.run.is_idle()
    }

    async fn park(&mut self) -> bool {
        let Some(summary) = self.summary() else { return false };
        match self.shared.park(summary, self.run.next_due()).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "an execution could not be parked"
                );
                false
            }
        }
    }

    fn take_messages(&mut self, first: Option<Message>, mailbox: &mut Mailbox, batch: &mut Batch) {
        let rest = std::iter::from_fn(|| mailbox.try_recv().ok());
        for Message { command, reply } in first.into_iter().chain(rest).take(BATCH_MAX) {
            let answer = self.take_command(*command, batch);
            if let Some(reply) = reply {
                batch.replies.push((reply, answer));
            }
        }
    }

    fn take_command(&mut self, command: Command, batch: &mut Batch) -> Reply {
        let now = self.shared.now();
        let done = Ok(Answer::Done(ApiTimestamp::from_millis(now.0)));
        if self.run.outcome().is_some() {
            return Err(Refusal::Ended);
        }
        match command {
            Command::Wake => done,
            Command::Awaits(task) => self.run.task(task).map_or(Err(Refusal::NotWaiting), |_| done),
            Command::Report(input) => {
                self.take_input(input, now, batch);
                done
            }
            Command::Stop { error, cause } => {
                self.take_input(Input::Stop { error, cause }, now, batch);
                done
            }
            Command::Poll { task, worker } => {
                let waiting = self
                    .run
                    .task(task)
                    .filter(|waiting| waiting.is_polled() && !waiting.started);
                let call = Arc::clone(waiting.and_then(Waiting::call).ok_or(Refusal::NotWaiting)?);
                self.take_input(
                    Input::TaskStarted {
                        task,
                        worker_name: worker,
                    },
                    now,
                    batch,
                );
                // Given up just now, the execution has no task to hand out.
                self.run.task(task).ok_or(Refusal::NotWaiting)?;
                Ok(Answer::Task(call))
            }
            Command::Callback { task, token, input } => {
                let waiting = self.run.task(task).ok_or(Refusal::NotWaiting)?;
                if waiting.call().and_then(|call| call.token.as_deref()) != Some(token.as_str()) {
                    return Err(Refusal::Missing);
                }
                self.take_input(input, now, batch);
                done
            }
        }
    }

    fn take_timers(&mut self, batch: &mut Batch) {
        let now = self.shared.now();
        for timer in self.run.due(now) {
            self.take_input(Input::TimerFired { timer }, now, batch);
        }
    }

    /// Fails the tasks of a batch that no worker can ever take, in the same
    /// batch: once they are in the history, they wait.
    async fn take_missing_activities(&mut self, batch: &mut Batch) {
        let mut next = 0;
        while let Some(effect) = batch.effects.get(next) {
            next += 1;
            if let Effect::Invoke(call) = effect
                && let Resource::Activity { arn } = &call.resource
                && let Some(failure) = self.shared.missing_activity(arn, call.task).await
            {
                self.take_input(failure, self.shared.now(), batch);
            }
        }
    }

    fn take_input(&mut self, input: Input, now: Timestamp, batch: &mut Batch) {
        if self.run.outcome().is_some() {
            return;
        }
        let last_event = self.run.last_event();
        let machine = Arc::clone(self.run.machine());
        let step = pace::step(&machine, || self.run.apply(input.clone(), now));
        // Nothing has changed: a result came twice, or too late.
        if step.events.is_empty() && step.effects.is_empty() {
            return;
        }
        if let Err(error) = self.take_step(Cause::Input(input), step, now, batch) {
            self.abandon(&error, last_event, now, batch);
        }
    }

    /// Fails an execution whose next step, after `last_event`, cannot be
    /// written: what is not in the history must not happen.
    fn abandon(&mut self, error: &serde_json::Error, last_event: u64, now: Timestamp, batch: &mut Batch) {
        tracing::error!(
            execution = self.execution_arn,
            %error,
            "a step cannot be written; the execution fails"
        );
        let Record::Durable { journal, summary } = &self.record else {
            return;
        };
        let cause = format!("A step of the execution cannot be written: {error}");
        let entry = Entry::abandoned(
            error.to_string(),
            cause,
            last_event,
            journal.writer(),
            now,
            summary.redrive.clone(),
        );
        match entry.encode() {
            Ok(bytes) => batch.entries.push(bytes),
            Err(error) => tracing::error!(%error, "nor can its end"),
        }
        self.run.abandon(entry.outcome);
        for (_, worker) in std::mem::take(&mut self.workers) {
            worker.give_up(&self.shared);
        }
        batch.effects.clear();
    }

    /// Puts a step into the batch. Tasks that can start right away start in
    /// the same batch, so that their start costs no append of its own.
    ///
    /// # Errors
    /// If the step cannot be written; the batch is as it was.
    fn take_step(
        &mut self,
        cause: Cause,
        step: Step,
        now: Timestamp,
        batch: &mut Batch,
    ) -> Result<(), serde_json::Error> {
        if self.run.log().is_some() {
            batch.events.extend_from_slice(&step.events);
        }
        match &mut self.record {
            Record::Durable { journal, summary } => {
                let entry = Entry {
                    cause,
                    now,
                    writer: journal.writer(),
                    events: step.events,
                    outcome: self.run.outcome().cloned(),
                    redrive: summary.redrive.clone(),
                };
                batch.entries.push(entry.encode()?);
            }
            Record::Memory { events } => step.events.iter().for_each(|event| events.push(event)),
        }
        let calls: Vec<TaskId> = step.effects.iter().filter_map(called).collect();
        batch.effects.extend(step.effects);
        for task in calls {
            if let Ok(permit) = Arc::clone(&self.shared.permits).try_acquire_owned() {
                batch.permits.insert(task, permit);
                self.take_input(
                    Input::TaskStarted {
                        task,
                        worker_name: None,
                    },
                    now,
                    batch,
                );
            }
        }
        Ok(())
    }

    /// Makes a batch durable, then performs its effects and gives its answers.
    async fn commit(&mut self, mut batch: Batch) -> Result<(), Lost> {
        let stopping = self.shared.stopping.clone();
        let appended = tokio::select! {
            biased;
            appended = self.append(&mut batch) => appended,
            () = stopping.cancelled() => Err(Lost::Closed),
        };
        if appended.is_err() {
            batch.refuse(Refusal::Unavailable);
            return appended;
        }
        self.follow(batch).await;
        Ok(())
    }

    /// Makes a batch durable.
    pub(crate) async fn append(&mut self, batch: &mut Batch) -> Result<(), Lost> {
        match &mut self.record {
            Record::Durable { journal, .. } if !batch.entries.is_empty() => {
                journal.append(std::mem::take(&mut batch.entries)).await?;
            }
            _ => {}
        }
        self.log(batch);
        Ok(())
    }

    /// Logs the events of a batch that is durable, or of an execution without history.
    pub(crate) fn log(&self, batch: &mut Batch) {
        if let Some(log) = self.run.log() {
            let redrive = self.summary().and_then(|summary| summary.redrive.as_ref());
            let redrives = redrive.map_or(0, |redrive| redrive.count);
            self.shared
                .delivery
                .deliver(log, &std::mem::take(&mut batch.events), redrives);
        }
    }

    /// Performs the effects of a batch that is durable, and gives its answers.
    pub(crate) async fn follow(&mut self, batch: Batch) {
        let Batch {
            effects,
            mut permits,
            replies,
            ..
        } = batch;
        for effect in effects {
            self.perform(effect, &mut permits).await;
        }
        for (reply, answer) in replies {
            drop(reply.send(answer));
        }
    }

    /// The execution's entry in the index, if it has one.
    pub(crate) fn summary(&self) -> Option<&Summary> {
        match &self.record {
            Record::Durable { summary, .. } => Some(summary),
            Record::Memory { .. } => None,
        }
    }

    /// Ends an execution without history that has run for as long as it may.
    pub(crate) fn expire(&mut self) -> Outcome {
        let event = HistoryEvent {
            id: self.run.last_event() + 1,
            previous_event_id: 0,
            timestamp: self.shared.now(),
            kind: EventKind::ExecutionTimedOut(Failure {
                error: Some(error_names::TIMEOUT.to_owned()),
                cause: None,
            }),
        };
        self.run.abandon(Some(Outcome::TimedOut));
        self.log(&mut Batch {
            events: vec![event.clone()],
            ..Batch::default()
        });
        if let Record::Memory { events } = &mut self.record {
            events.push(&event);
        }
        Outcome::TimedOut
    }

    /// Takes the events of an execution in memory out.
    pub(crate) fn take_events(&mut self) -> Events {
        match &mut self.record {
            Record::Durable { .. } => Events::default(),
            Record::Memory { events } => std::mem::take(events),
        }
    }

    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.run.outcome()
    }

    async fn perform(&mut self, effect: Effect, permits: &mut BTreeMap<TaskId, OwnedSemaphorePermit>) {
        match effect {
            Effect::Invoke(call) => {
                let permit = permits.remove(&call.task);
                self.begin_now(call.task, permit).await;
            }
            Effect::StartMapRun(run) => self.begin_now(run.task, None).await,
            Effect::CancelTask(task) => {
                if let Some(worker) = self.workers.remove(&task) {
                    worker.give_up(&self.shared);
                }
            }
            // The run keeps them; the actor's sleep follows from it.
            Effect::SetTimer { .. } | Effect::CancelTimer(_) => {}
            Effect::Finish(_) => self.workers.clear(),
        }
    }

    /// Begins with a task, unless it is over already, in the same batch.
    async fn begin_now(&mut self, task: TaskId, permit: Option<OwnedSemaphorePermit>) {
        if let Some(waiting) = self.run.task(task).cloned() {
            self.begin(waiting, false, permit).await;
        }
    }

    /// Lets somebody begin with a task. `again` if a crash may have
    /// interrupted another.
    async fn begin(&mut self, task: Waiting, again: bool, permit: Option<OwnedSemaphorePermit>) {
        // Those that have reported are of no use any more.
        self.workers.retain(|_, worker| !worker.is_finished());
        match &task.work {
            Work::Call(call) => match &call.resource {
                Resource::Activity { arn } => self.shared.offer(arn, call, &self.execution_arn).await,
                Resource::Lambda { .. } | Resource::Service { .. } => {
                    let assignment = self.assignment(&task, call, again);
                    let worker = Worker::start(Arc::clone(&self.shared), assignment, permit, self.sender.clone());
                    self.workers.insert(call.task, worker);
                }
            },
            Work::MapRun(run) => {
                let (shared, execution_arn) = (Arc::clone(&self.shared), self.execution_arn.clone());
                let work = map_run::work(shared, Arc::clone(run), execution_arn, self.sender.clone());
                self.workers.insert(run.task, Worker::conduct(Arc::clone(run), work));
            }
        }
    }

    fn assignment(&self, task: &Waiting, call: &Arc<TaskCall>, again: bool) -> Assignment {
        let mut identity = self.run.identity().clone();
        if let Some(role) = &call.role_arn {
            identity.role_arn = role.as_str().into();
        }
        let mocks = &self.shared.options.mocks;
        let test_case = self.run.test_case();
        Assignment {
            call: Arc::clone(call),
            identity,
            mocked: test_case.and_then(|(machine, case)| mocks.outcome(machine, case, &call.state_name, task.number)),
            response: task.response.clone(),
            since: task.since,
            again,
        }
    }
}

/// The task that an effect calls, if this server runs it.
fn called(effect: &Effect) -> Option<TaskId> {
    match effect {
        Effect::Invoke(call) if !matches!(call.resource, Resource::Activity { .. }) => Some(call.task),
        _ => None,
    }
}

fn until(due: Timestamp, now: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(due.0.saturating_sub(now.0)).unwrap_or(0))
}
