//! Lambda's lines go to Logs, by a queue that holds up what fills it.

use std::{
    collections::BTreeMap,
    mem::size_of,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use scones_api::{ApiError, Timestamp};
use scones_lambda::LogSink;
use scones_logs::{LogEvent, Logs};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

/// Lines that wait to be written, in bytes of memory (32 MiB). While there are
/// more, functions' pipes are not read. It is room for about 100,000 lines of
/// 100 characters.
const QUEUE_BYTES_MAX: usize = 32 << 20;

/// Lines written at once.
const BATCH_LINES_MAX: usize = 1024;

/// Failures in a row until lines are lost: ten seconds of them, mostly. From
/// then on lines are tried once, until one is written.
const FAILURES_MAX: u32 = 100;

/// The pause between two tries.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Where lines are kept.
#[async_trait]
trait Destination: Send + Sync + 'static {
    /// Adds events to a stream as a whole.
    async fn append(&self, group: &str, stream: &str, events: &[LogEvent]) -> Result<(), ApiError>;
}

#[async_trait]
impl Destination for Logs {
    async fn append(&self, group: &str, stream: &str, events: &[LogEvent]) -> Result<(), ApiError> {
        Self::append(self, group, stream, events.to_vec()).await
    }
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct StreamName {
    group: String,
    stream: String,
}

struct Line {
    name: StreamName,
    event: LogEvent,
}

impl Line {
    /// The memory that it takes, in bytes.
    fn size(&self) -> usize {
        size_of::<Self>() + self.name.group.len() + self.name.stream.len() + self.event.message.len()
    }
}

/// Log groups of functions. One task writes the lines of all of them, so that
/// lines that come together are made durable together.
pub(crate) struct FunctionLogs {
    /// Without a bound of its own: [`LogSink::room`] bounds it.
    queue: Mutex<Option<mpsc::UnboundedSender<Line>>>,
    /// The size of the lines in the queue.
    waiting: Arc<watch::Sender<usize>>,
    writer: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl FunctionLogs {
    /// Starts the writing task.
    pub(crate) fn start(logs: Arc<Logs>) -> Arc<Self> {
        Self::with(logs, RETRY_PAUSE)
    }

    fn with(destination: Arc<dyn Destination>, retry_pause: Duration) -> Arc<Self> {
        let (queue, mut lines) = mpsc::unbounded_channel();
        let waiting = Arc::new(watch::Sender::new(0));
        let mut writer = Writer {
            destination,
            lost: BTreeMap::new(),
            failures: 0,
            retry_pause,
        };
        let written = Arc::clone(&waiting);
        let writer = tokio::spawn(async move {
            let mut batch = Vec::new();
            while lines.recv_many(&mut batch, BATCH_LINES_MAX).await > 0 {
                let size: usize = batch.iter().map(Line::size).sum();
                writer.write(&mut batch).await;
                written.send_modify(|waiting| *waiting -= size);
            }
            writer.tell_lost().await;
        });
        Arc::new(Self {
            queue: Mutex::new(Some(queue)),
            waiting,
            writer: tokio::sync::Mutex::new(Some(writer)),
        })
    }

    /// Writes what waits and stops.
    pub(crate) async fn shutdown(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(writer) = self.writer.lock().await.take()
            && let Err(error) = writer.await
        {
            tracing::error!(%error, "the writer of function logs has ended badly");
        }
    }
}

#[async_trait]
impl LogSink for FunctionLogs {
    async fn room(&self) {
        let mut waiting = self.waiting.subscribe();
        // It fails without a sender, and this is one.
        let _room = waiting.wait_for(|waiting| *waiting < QUEUE_BYTES_MAX).await;
    }

    fn push(&self, group: &str, stream: &str, timestamp: Timestamp, message: String) {
        let name = StreamName {
            group: group.to_owned(),
            stream: stream.to_owned(),
        };
        let timestamp = timestamp.as_millis();
        let line = Line {
            name,
            event: LogEvent { timestamp, message },
        };
        let size = line.size();
        // Counted first: the writer may have it before this goes on.
        self.waiting.send_if_modified(|waiting| {
            *waiting += size;
            false
        });
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.as_ref().is_none_or(|queue| queue.send(line).is_err()) {
            tracing::warn!(group, stream, "a line came after the end of the log and is lost");
        }
    }
}

/// Lines of one stream that could not be written.
#[derive(Default)]
struct Lost {
    lines: usize,
    /// When the last of them came, in milliseconds since the epoch.
    last: i64,
}

struct Writer {
    destination: Arc<dyn Destination>,
    /// What streams are yet to be told.
    lost: BTreeMap<StreamName, Lost>,
    /// In a row, until now.
    failures: u32,
    retry_pause: Duration,
}

impl Writer {
    async fn write(&mut self, batch: &mut Vec<Line>) {
        self.tell_lost().await;
        let mut streams: BTreeMap<StreamName, Vec<LogEvent>> = BTreeMap::new();
        for Line { name, event } in batch.drain(..) {
            streams.entry(name).or_default().push(event);
        }
        for (name, events) in streams {
            if let Err(error) = self.append(&name, &events).await {
                self.lose(name, &events, &error);
            }
        }
    }

    /// Tries until it is done, or until the destination has failed too often.
    async fn append(&mut self, name: &StreamName, events: &[LogEvent]) -> Result<(), ApiError> {
        loop {
            let appended = self.destination.append(&name.group, &name.stream, events).await;
            match appended {
                Err(error) if error.is_server_fault() => {
                    self.failures = self.failures.saturating_add(1);
                    if self.failures >= FAILURES_MAX {
                        return Err(error);
                    }
                    tokio::time::sleep(self.retry_pause).await;
                }
                done => {
                    self.failures = 0;
                    return done;
                }
            }
        }
    }

    fn lose(&mut self, name: StreamName, events: &[LogEvent], error: &ApiError) {
        let StreamName { group, stream } = &name;
        let lines = events.len();
        tracing::warn!(group, stream, lines, %error, "lines of a function could not be written and are lost");
        // A stream that cannot be is told nothing.
        if error.is_server_fault() {
            let lost = self.lost.entry(name).or_default();
            lost.lines += lines;
            lost.last = events.last().map_or(lost.last, |event| event.timestamp);
        }
    }

    /// Writes into streams how many of their lines are missing.
    async fn tell_lost(&mut self) {
        while let Some((name, lost)) = self.lost.pop_first() {
            let event = LogEvent {
                timestamp: lost.last,
                message: format!("{} lines lost: the log could not be written", lost.lines),
            };
            if let Err(error) = self.append(&name, &[event]).await
                && error.is_server_fault()
            {
                self.lost.insert(name, lost);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt as _;
    use tokio::task::unconstrained;

    use super::*;

    /// Keeps what it is given after it has failed some times.
    #[derive(Default)]
    struct Memory {
        failures: AtomicUsize,
        messages: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl Destination for Memory {
        async fn append(&self, group: &str, _: &str, events: &[LogEvent]) -> Result<(), ApiError> {
            if group == "refused" {
                return Err(ApiError::bad_request("InvalidParameterException", "no such name"));
            }
            let fail = |left: usize| left.checked_sub(1);
            if self
                .failures
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fail)
                .is_ok()
            {
                return Err(ApiError::internal("the disk is full"));
            }
            let messages = events.iter().map(|event| format!("{group} {}", event.message));
            self.messages.lock().unwrap().extend(messages);
            Ok(())
        }
    }

    /// What is kept of `groups`, a line each, when the first `failures` tries
    /// fail, followed by a line that comes after them.
    async fn check(failures: usize, groups: &[&str], expect: &[&str]) {
        let memory = Arc::new(Memory {
            failures: failures.into(),
            ..Memory::default()
        });
        let logs = FunctionLogs::with(Arc::clone(&memory) as Arc<dyn Destination>, Duration::ZERO);
        for group in groups {
            logs.push(group, "stream", Timestamp::from_millis(0), "line".to_owned());
        }
        let is_written = |waiting: &usize| *waiting == 0;
        logs.waiting.subscribe().wait_for(is_written).await.unwrap();
        logs.push("z", "stream", Timestamp::from_millis(0), "after".to_owned());
        logs.shutdown().await;
        assert_eq!(*memory.messages.lock().unwrap(), expect, "{failures} failures");
    }

    #[tokio::test]
    async fn lines_are_lost_when_the_log_fails_for_long_and_the_stream_says_so() {
        check(0, &["a", "b", "a"], &["a line", "a line", "b line", "z after"]).await;
        check(99, &["a", "a"], &["a line", "a line", "z after"]).await;
        let lost = "a 2 lines lost: the log could not be written";
        check(100, &["a", "a"], &[lost, "z after"]).await;
        check(100, &["a", "a", "b"], &["b line", lost, "z after"]).await;
        check(101, &["a", "a"], &["z after", lost]).await;
        check(0, &["refused", "a"], &["a line", "z after"]).await;
    }

    #[tokio::test]
    async fn there_is_room_until_the_queue_is_full_and_when_it_is_written() {
        let memory = Arc::new(Memory::default());
        let logs = FunctionLogs::with(Arc::clone(&memory) as Arc<dyn Destination>, Duration::ZERO);
        let mut lines = 0;
        // The writer runs when this waits for the first time.
        while unconstrained(logs.room()).now_or_never().is_some() {
            logs.push("a", "stream", Timestamp::from_millis(0), "x".repeat(1 << 16));
            lines += 1;
        }
        assert!((500..=QUEUE_BYTES_MAX >> 16).contains(&lines), "{lines}");
        // The end of an invocation needs none.
        logs.push("a", "stream", Timestamp::from_millis(0), "END".to_owned());
        logs.room().await;
        logs.shutdown().await;
        let messages = memory.messages.lock().unwrap();
        assert_eq!(
            (messages.len(), messages.last().unwrap().as_str()),
            (lines + 1, "a END")
        );
    }
}
