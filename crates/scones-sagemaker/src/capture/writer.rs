//! Captured records into files.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use scones_api::Timestamp;
use tokio::{sync::mpsc, time::Instant};
use uuid::Uuid;

use super::{Captured, Message, record};
use crate::{external::ObjectStore, location::Location, options::CaptureOptions};

/// A file is written when it has grown over so many bytes.
const FILE_BYTES_MAX: usize = 8 << 20;
/// How often a file is offered to an S3 that fails.
const ATTEMPTS: u32 = 3;
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// A file that is being filled.
struct Batch {
    /// When its first record was captured: the file's name.
    time: Timestamp,
    due: Instant,
    body: Vec<u8>,
    records: Vec<Captured>,
}

pub(super) struct Writer {
    options: CaptureOptions,
    objects: Arc<dyn ObjectStore>,
    /// By folder, the hour's folder included.
    batches: HashMap<(String, String), Batch>,
}

impl Writer {
    pub fn new(options: CaptureOptions, objects: Arc<dyn ObjectStore>) -> Self {
        Self {
            options,
            objects,
            batches: HashMap::new(),
        }
    }

    /// Writes records until the queue is gone, and then what is left.
    pub async fn run(mut self, mut receiver: mpsc::Receiver<Message>) {
        loop {
            let due = self.batches.values().map(|batch| batch.due).min();
            let wake = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = receiver.recv() => match message {
                    Some(Message::Record(record)) => self.add(*record).await,
                    Some(Message::Flush(done)) => {
                        self.write(|_| true).await;
                        let _ = done.send(());
                    }
                    None => return self.write(|_| true).await,
                },
                () = wake => {
                    let now = Instant::now();
                    self.write(|batch| batch.due <= now).await;
                }
            }
        }
    }

    async fn add(&mut self, mut record: Captured) {
        let line = match record::line(&record, &Uuid::new_v4().to_string()) {
            Ok(line) => line,
            Err(error) => return tracing::error!(%error, "a captured inference cannot be written as JSON"),
        };
        // Only the encoded bytes are needed from here on.
        (record.input, record.output) = (None, None);
        let folder = record
            .folder
            .below(&record.time.to_utc().format("%Y/%m/%d/%H").to_string());
        let key = (folder.bucket, folder.key);
        let batch = self.batches.entry(key).or_insert_with(|| Batch {
            time: record.time,
            due: Instant::now() + Duration::from_millis(self.options.flush_milliseconds),
            body: Vec::new(),
            records: Vec::new(),
        });
        batch.body.extend_from_slice(&line);
        batch.records.push(record);
        let records_max = self.options.records_per_file_max;
        self.write(|batch| batch.records.len() >= records_max || batch.body.len() >= FILE_BYTES_MAX)
            .await;
    }

    async fn write(&mut self, is_ready: impl Fn(&Batch) -> bool) {
        let ready: Vec<_> = self.batches.extract_if(|_, batch| is_ready(batch)).collect();
        for ((bucket, folder), batch) in ready {
            let name = format!("{}-{}.jsonl", batch.time.to_utc().format("%M-%S-%3f"), Uuid::new_v4());
            let place = Location { bucket, key: folder }.below(&name);
            self.write_file(&place, batch).await;
        }
    }

    async fn write_file(&self, place: &Location, batch: Batch) {
        let body = Bytes::from(batch.body);
        let records = batch.records.len();
        for attempt in 1..=ATTEMPTS {
            let Err(error) = self
                .objects
                .put(&place.bucket, &place.key, "application/jsonlines", body.clone())
                .await
            else {
                tracing::debug!(%place, records, "captured inferences written");
                return;
            };
            if attempt == ATTEMPTS || !error.is_server_fault() {
                tracing::error!(%place, records, %error, "captured inferences are lost: S3 does not take them");
                return;
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }
}
