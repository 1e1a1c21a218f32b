//! Writing to a stream without ever waiting for it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use scones_api::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    LogEvent, Logs,
    limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX},
    put::truncate,
};

/// Lines that may wait to be written; further ones are dropped and counted.
const QUEUE_LINES_MAX: usize = 10_000;
/// Bytes of the lines that may wait.
const QUEUE_BYTES_MAX: usize = 16 << 20;

/// Writes lines to one stream. Cheap to clone; all clones share one queue.
/// When the last one is gone, what is queued is still written.
#[derive(Clone)]
pub struct LogWriter {
    queue: mpsc::Sender<Line>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queued_bytes: AtomicUsize,
    dropped: AtomicU64,
}

enum Line {
    Event(LogEvent),
    /// Answered when everything before it was written.
    Flush(oneshot::Sender<()>),
}

impl LogWriter {
    /// Queues a line. Never waits: if too much is queued already, the line is
    /// dropped, and a line about the dropped ones is written later. Empty
    /// lines are left out, as CloudWatch has none.
    pub fn push(&self, timestamp: Timestamp, message: impl Into<String>) {
        let mut message = message.into();
        if message.is_empty() {
            return;
        }
        truncate(&mut message);
        let bytes = message.len();
        let queued = self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let event = LogEvent {
            timestamp: timestamp.as_millis(),
            message,
        };
        if queued > QUEUE_BYTES_MAX || self.queue.try_send(Line::Event(event)).is_err() {
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was pushed before is on disk, or was given up because
    /// the store failed or the service was shut down.
    pub async fn flush(&self) {
        let (reply, written) = oneshot::channel();
        if self.queue.send(Line::Flush(reply)).await.is_ok() {
            let _ = written.await;
        }
    }
}

/// The tasks behind all writers of a service.
#[derive(Default)]
pub(crate) struct Writers {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Writers {
    pub(crate) async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Logs {
    /// A writer for `stream` of `group`, which are created with the first line.
    /// Must be called within a Tokio runtime.
    pub fn writer(self: &Arc<Self>, group: &str, stream: &str) -> LogWriter {
        let (queue, lines) = mpsc::channel(QUEUE_LINES_MAX);
        let shared = Arc::new(Shared::default());
        let task = Task {
            logs: Arc::clone(self),
            group: group.to_owned(),
            stream: stream.to_owned(),
            shared: Arc::clone(&shared),
        };
        let stop = self.writers.stop.clone();
        self.writers.tasks.spawn(task.run(lines, stop));
        LogWriter { queue, shared }
    }
}

struct Task {
    logs: Arc<Logs>,
    group: String,
    stream: String,
    shared: Arc<Shared>,
}

impl Task {
    async fn run(self, mut lines: mpsc::Receiver<Line>, stop: CancellationToken) {
        let mut received = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled(), if !lines.is_closed() => lines.close(),
                count = lines.recv_many(&mut received, BATCH_EVENTS_MAX) => {
                    if count == 0 {
                        return self.append(Vec::new()).await;
                    }
                    self.write(received.drain(..)).await;
                }
            }
        }
    }

    async fn write(&self, lines: impl Iterator<Item = Line>) {
        let mut events = Vec::new();
        let mut waiting = Vec::new();
        for line in lines {
            match line {
                Line::Event(event) => events.push(event),
                Line::Flush(reply) => waiting.push(reply),
            }
        }
        let bytes = events.iter().map(|event| event.message.len()).sum();
        self.append(events).await;
        self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        for reply in waiting {
            let _ = reply.send(());
        }
    }

    async fn append(&self, mut events: Vec<LogEvent>) {
        let dropped = self.shared.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let timestamp = self.logs.clock.now().as_millis();
            let message =
                format!("[scones] {dropped} log lines were dropped here: they came faster than they could be written");
            events.push(LogEvent { timestamp, message });
        }
        while !events.is_empty() {
            let rest = events.split_off(fitting(&events));
            let batch = std::mem::replace(&mut events, rest);
            let lines = batch.len();
            if let Err(error) = self.logs.append(&self.group, &self.stream, batch).await {
                tracing::error!(group = self.group, stream = self.stream, lines, %error, "log lines were lost");
            }
        }
    }
}

/// How many of the first events make one batch; at least one.
fn fitting(events: &[LogEvent]) -> usize {
    let mut bytes = 0;
    let fit = events.iter().take_while(|event| {
        bytes += event.counted_bytes();
        bytes <= BATCH_BYTES_MAX
    });
    fit.count().max(1).min(events.len())
}
