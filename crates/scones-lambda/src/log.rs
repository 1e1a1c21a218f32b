//! A worker's log: the stream that its lines go to, and the tail that an
//! invocation may ask for.

use std::sync::Arc;

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use scones_api::{Clock, Timestamp};
use uuid::Uuid;

use crate::limits::{LOG_LINE_BYTES_MAX, LOG_TAIL_BYTES};

/// Where functions' log lines go.
#[async_trait]
pub trait LogSink: Send + Sync + 'static {
    /// Waits until there is room for more lines, which is a matter of time
    /// alone and never of a function. Safe to drop while it waits. What a
    /// process writes is read when there is room, so that a process that
    /// writes faster than its lines are kept is held up by its own pipe.
    async fn room(&self);

    /// Adds a line to `stream` of `group` at once, even if there is no room:
    /// the end of an invocation waits for nothing. Between two calls of
    /// [`room`](Self::room) an invocation adds what two pipes hold and a few
    /// lines of its own. Group and stream begin to exist with their first line.
    fn push(&self, group: &str, stream: &str, timestamp: Timestamp, message: String);
}

/// The log stream of one worker.
pub struct WorkerLog {
    sink: Arc<dyn LogSink>,
    clock: Arc<dyn Clock>,
    group: String,
    stream: String,
    tail: Vec<u8>,
}

impl WorkerLog {
    /// A stream of its own in `group`, named as AWS names it:
    /// `2026/01/31/[$LATEST]0123456789abcdef0123456789abcdef`.
    pub fn new(sink: Arc<dyn LogSink>, clock: Arc<dyn Clock>, group: String, version: &str) -> Self {
        let day = clock.now().to_utc().format("%Y/%m/%d");
        let stream = format!("{day}/[{version}]{}", Uuid::new_v4().simple());
        Self {
            sink,
            clock,
            group,
            stream,
            tail: Vec::new(),
        }
    }

    /// The group's name.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The stream's name.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Waits until there is room for what the process writes.
    pub async fn room(&self) {
        self.sink.room().await;
    }

    /// Adds one line, without its line end.
    pub fn line(&mut self, text: &str) {
        self.sink
            .push(&self.group, &self.stream, self.clock.now(), text.to_owned());
        self.tail.extend_from_slice(text.as_bytes());
        self.tail.push(b'\n');
        // Cut seldom: a drain moves what stays.
        if self.tail.len() > 16 * LOG_TAIL_BYTES {
            self.cut();
        }
    }

    /// Adds a line as a process wrote it: cut to AWS's largest event, and with
    /// what is not UTF-8 replaced.
    pub fn raw_line(&mut self, bytes: &[u8]) {
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        if line.is_empty() {
            return self.line("");
        }
        for piece in line.chunks(LOG_LINE_BYTES_MAX) {
            self.line(&String::from_utf8_lossy(piece));
        }
    }

    /// Forgets the tail, so that it begins with the next line.
    pub fn begin_tail(&mut self) {
        self.tail.clear();
    }

    /// The last 4 KB since [`begin_tail`](Self::begin_tail), as base64.
    pub fn tail(&mut self) -> String {
        self.cut();
        STANDARD.encode(&self.tail)
    }

    fn cut(&mut self) {
        let excess = self.tail.len().saturating_sub(LOG_TAIL_BYTES);
        self.tail.drain(..excess);
    }
}
