//! Data capture: a sample of requests and answers as JSON Lines in S3.
//!
//! Files: `DESTINATION/ENDPOINT/VARIANT/yyyy/mm/dd/hh/MM-SS-mmm-UUID.jsonl`.
//! <https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html>
//!
//! Requests hand their bytes to a bounded queue and never wait; one task encodes and writes.

mod record;
mod writer;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use scones_api::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::{
    draws::Draws,
    external::ObjectStore,
    hosting::endpoint_config::{CaptureContentTypeHeader, DataCaptureConfig},
    location::Location,
    options::CaptureOptions,
};

/// Records that may wait, whatever their size.
const QUEUE_RECORDS_MAX: usize = 10_000;
/// What the bytes that wait are counted in.
const BUDGET_UNIT_BYTES: usize = 1024;
/// How many dropped records between two warnings.
const WARN_EVERY: u64 = 1000;

/// How one endpoint's inferences are captured.
#[derive(Debug)]
pub(crate) struct CapturePlan {
    destination: Location,
    percentage: f64,
    input: bool,
    output: bool,
    types: Arc<CaptureContentTypeHeader>,
    draws: Draws,
}

impl CapturePlan {
    /// The plan of a configuration; none when capture is switched off.
    pub fn new(config: &DataCaptureConfig, endpoint: &str, seed: u64) -> Option<Self> {
        if !config.is_enabled() {
            return None;
        }
        let asks = |mode: &str| {
            let mut options = config.capture_options.iter();
            options.any(|option| option.capture_mode == mode || option.capture_mode == "InputAndOutput")
        };
        Some(Self {
            destination: Location::parse(&config.destination_s3_uri).ok()?,
            #[expect(clippy::cast_precision_loss, reason = "0 to 100")]
            percentage: config.initial_sampling_percentage as f64,
            input: asks("Input"),
            output: asks("Output"),
            types: Arc::new(config.capture_content_type_header.clone().unwrap_or_default()),
            draws: Draws::new(seed, &format!("capture/{endpoint}")),
        })
    }

    /// Whether the next request is in the sample.
    fn is_drawn(&self) -> bool {
        self.draws.next() * 100.0 < self.percentage
    }
}

/// A request and its answer.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    pub endpoint: &'a str,
    pub variant: &'a str,
    pub input: (&'a str, Bytes),
    pub output: (&'a str, Bytes),
    pub inference_id: Option<String>,
    pub custom_attributes: Option<String>,
    pub time: Timestamp,
}

/// A record on its way to a file.
#[derive(Debug)]
struct Captured {
    /// Where the files of its variant are.
    folder: Location,
    input: Option<(String, Bytes)>,
    output: Option<(String, Bytes)>,
    types: Arc<CaptureContentTypeHeader>,
    inference_id: Option<String>,
    custom_attributes: Option<String>,
    time: Timestamp,
    /// Its share of the memory that records may take, given back when the file is written.
    _budget: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Message {
    Record(Box<Captured>),
    /// Write everything now and say so.
    Flush(oneshot::Sender<()>),
}

/// The way to the files.
#[derive(Debug)]
pub(crate) struct CaptureQueue {
    sender: mpsc::Sender<Message>,
    budget: Arc<Semaphore>,
    budget_max: usize,
    dropped: AtomicU64,
}

impl CaptureQueue {
    /// Starts the writer, which ends when the queue is dropped.
    pub fn start(options: &CaptureOptions, objects: Arc<dyn ObjectStore>) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE_RECORDS_MAX);
        tokio::spawn(writer::Writer::new(options.clone(), objects).run(receiver));
        let budget_max = (options.queue_bytes_max / BUDGET_UNIT_BYTES).clamp(1, u32::MAX as usize);
        Self {
            sender,
            budget: Arc::new(Semaphore::new(budget_max)),
            budget_max,
            dropped: AtomicU64::new(0),
        }
    }

    /// Captures an exchange if it is in the sample. Never waits: when the queue is full the
    /// record is dropped and counted.
    pub fn offer(&self, plan: &CapturePlan, exchange: Exchange<'_>) {
        if !plan.is_drawn() || !(plan.input || plan.output) {
            return;
        }
        let kept = |wanted: bool, (content_type, body): (&str, Bytes)| wanted.then(|| (content_type.to_owned(), body));
        let (input, output) = (kept(plan.input, exchange.input), kept(plan.output, exchange.output));
        let bytes: usize = [&input, &output]
            .into_iter()
            .flatten()
            .map(|(_, body)| body.len())
            .sum();
        // A body counts twice: as it came, and encoded in the file that is being filled.
        let units = (2 * bytes / BUDGET_UNIT_BYTES + 1).min(self.budget_max);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let Ok(budget) = Arc::clone(&self.budget).try_acquire_many_owned(units) else {
            return self.count_dropped(exchange.endpoint);
        };
        let record = Captured {
            folder: plan
                .destination
                .below(&format!("{}/{}", exchange.endpoint, exchange.variant)),
            input,
            output,
            types: Arc::clone(&plan.types),
            inference_id: exchange.inference_id,
            custom_attributes: exchange.custom_attributes,
            time: exchange.time,
            _budget: budget,
        };
        if self.sender.try_send(Message::Record(Box::new(record))).is_err() {
            self.count_dropped(exchange.endpoint);
        }
    }

    /// Waits until everything captured so far is in S3, or given up with an error in the log.
    pub async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        if self.sender.send(Message::Flush(done)).await.is_ok() {
            let _ = wait.await;
        }
    }

    /// How many records were dropped because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn count_dropped(&self, endpoint: &str) {
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed);
        if dropped.is_multiple_of(WARN_EVERY) {
            tracing::warn!(
                endpoint,
                dropped = dropped + 1,
                "captured inferences are dropped: the capture queue is full"
            );
        }
    }
}
