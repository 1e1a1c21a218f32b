//! Lambda's packages come from S3, and its lines go to Logs.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use scones_api::{ApiError, Timestamp};
use scones_lambda::{LogSink, ObjectSource};
use scones_logs::{LogEvent, Logs};
use scones_s3::S3;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
};

/// Lines that wait to be written; a function that logs faster loses lines,
/// never time.
const QUEUE_LINES_MAX: usize = 16_384;

/// Lines written at once.
const BATCH_LINES_MAX: usize = 1024;

/// Code packages in buckets.
pub(crate) struct Packages(pub(crate) Arc<S3>);

#[async_trait]
impl ObjectSource for Packages {
    async fn read_object(&self, bucket: &str, key: &str, limit: u64) -> Result<Bytes, ApiError> {
        self.0.read_object(bucket, key, limit).await
    }
}

struct Line {
    group: String,
    stream: String,
    event: LogEvent,
}

/// Log groups of functions. One task writes the lines of all of them, so that
/// lines that come together are made durable together.
pub(crate) struct FunctionLogs {
    queue: std::sync::Mutex<Option<mpsc::Sender<Line>>>,
    dropped: AtomicU64,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl FunctionLogs {
    /// Starts the writing task.
    pub(crate) fn start(logs: Arc<Logs>) -> Arc<Self> {
        let (queue, mut lines) = mpsc::channel(QUEUE_LINES_MAX);
        let writer = tokio::spawn(async move {
            let mut batch = Vec::new();
            while lines.recv_many(&mut batch, BATCH_LINES_MAX).await > 0 {
                write(&logs, &mut batch).await;
            }
        });
        let queue = std::sync::Mutex::new(Some(queue));
        Arc::new(Self {
            queue,
            dropped: AtomicU64::new(0),
            writer: Mutex::new(Some(writer)),
        })
    }

    /// Writes what waits and stops.
    pub(crate) async fn shutdown(&self) {
        drop(
            self.queue
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .take(),
        );
        if let Some(writer) = self.writer.lock().await.take()
            && let Err(error) = writer.await
        {
            tracing::error!(%error, "the writer of function logs has ended badly");
        }
    }
}

impl LogSink for FunctionLogs {
    fn push(&self, group: &str, stream: &str, timestamp: Timestamp, message: String) {
        let line = Line {
            group: group.to_owned(),
            stream: stream.to_owned(),
            event: LogEvent {
                timestamp: timestamp.as_millis(),
                message,
            },
        };
        let queue = self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if queue.as_ref().is_none_or(|queue| queue.try_send(line).is_err()) {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            // Once for each power of two: a flood of lines must not become a flood of warnings.
            if dropped.is_power_of_two() {
                tracing::warn!(
                    group,
                    dropped,
                    "functions log faster than the log can be written; lines are lost"
                );
            }
        }
    }
}

async fn write(logs: &Logs, batch: &mut Vec<Line>) {
    let mut streams: BTreeMap<(String, String), Vec<LogEvent>> = BTreeMap::new();
    for Line { group, stream, event } in batch.drain(..) {
        streams.entry((group, stream)).or_default().push(event);
    }
    for ((group, stream), events) in streams {
        if let Err(error) = logs.append(&group, &stream, events).await {
            tracing::warn!(group, stream, %error, "log lines could not be written");
        }
    }
}
