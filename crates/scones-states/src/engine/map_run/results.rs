//! Exports: what the children of a run leave, as files in S3.
//!
//! Everything is read from the children's histories when the run has ended,
//! in the order of the items, so that a crash in between only writes the same
//! files again. `manifest.json` comes last and names the others
//! (Step Functions Developer Guide, "ResultWriter").

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use scones_api::ApiError;
use scones_asl::{
    error_names,
    event::Failure,
    map_run::{MapRun, OutputType},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{batches::Batches, broken, child, outputs, record};
use crate::{
    engine::{Engine, Origin, Status},
    items::{Location, account},
    limits::RESULT_FILE_BYTES_MAX,
    objects::ObjectStore,
};

/// Children whose histories are read at the same time.
const READ_AHEAD: usize = 16;
/// Pieces of a file that wait to be written.
const PIECES_MAX: usize = 16;

/// Where a run's files go.
pub(crate) struct Export {
    objects: Arc<dyn ObjectStore>,
    map_run_arn: String,
    bucket: String,
    /// What the files' keys begin with: the prefix and the run's id.
    folder: String,
    output_type: OutputType,
}

impl Export {
    /// The export that a run asks for, if it does.
    ///
    /// # Errors
    /// `States.ResultWriterFailed`: what it asks for makes no sense.
    pub(crate) fn of(run: &MapRun, objects: &Arc<dyn ObjectStore>) -> Result<Option<Self>, Failure> {
        let Some(destination) = &run.results.destination else {
            return Ok(None);
        };
        let location = Location::named(destination, "Prefix", account(&run.arn)).map_err(failed)?;
        let prefix = match location.key.trim_end_matches('/') {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        Ok(Some(Self {
            objects: Arc::clone(objects),
            map_run_arn: run.arn.clone(),
            bucket: location.bucket,
            folder: prefix + record::id(&run.arn),
            output_type: run.results.output_type,
        }))
    }

    /// Shows that S3 takes the results before the first child is run: writes a
    /// manifest that names no files yet.
    ///
    /// # Errors
    /// `States.ResultWriterFailed`: S3 refuses it.
    pub(crate) async fn begin(&self) -> Result<(), Failure> {
        self.write_manifest(&[], &[], &[]).await
    }

    async fn write_manifest(&self, succeeded: &[Value], failed: &[Value], pending: &[Value]) -> Result<(), Failure> {
        let manifest = json!({
            "DestinationBucket": self.bucket,
            "MapRunArn": self.map_run_arn,
            "ResultFiles": {"FAILED": failed, "PENDING": pending, "SUCCEEDED": succeeded},
        });
        let key = self.manifest_key();
        let body = stream::iter([Ok(Bytes::from(manifest.to_string()))]).boxed();
        let put = self.objects.put(&self.bucket, &key, "application/json", body).await;
        put.map_err(|error| self.refused(&key, &error))
    }

    fn manifest_key(&self) -> String {
        format!("{}/manifest.json", self.folder)
    }

    /// The state's result.
    fn result(&self) -> String {
        json!({
            "MapRunArn": self.map_run_arn,
            "ResultWriterDetails": {"Bucket": self.bucket, "Key": self.manifest_key()},
        })
        .to_string()
    }

    fn files(&self, name: &'static str) -> Files<'_> {
        Files {
            export: self,
            name,
            bytes_max: RESULT_FILE_BYTES_MAX,
            open: None,
            written: Vec::new(),
        }
    }

    fn refused(&self, key: &str, error: &ApiError) -> Failure {
        let location = Location {
            bucket: self.bucket.clone(),
            key: key.to_owned(),
        };
        failed(location.refused(error))
    }
}

fn failed(cause: String) -> Failure {
    Failure {
        error: Some(error_names::RESULT_WRITER_FAILED.to_owned()),
        cause: Some(cause),
    }
}

impl Engine {
    /// Writes the files of a run that has ended; gives the state's result.
    /// What `left` still holds was never begun.
    pub(super) async fn export(
        &self,
        export: &Export,
        run: &MapRun,
        parent: &Origin,
        left: Option<Batches>,
    ) -> Result<String, Failure> {
        let (mut succeeded, mut failed, mut pending) = (
            export.files("SUCCEEDED"),
            export.files("FAILED"),
            export.files("PENDING"),
        );
        let begun = left.as_ref().map_or(0, Batches::given);
        let mut children = stream::iter(0..begun)
            .map(async |number| {
                let execution_arn = child::arn(parent, run, number);
                let described = self
                    .shared
                    .patiently("a result is to be written", || self.describe(&execution_arn))
                    .await;
                described.map(|child| (execution_arn, child))
            })
            .buffered(READ_AHEAD);
        while let Some(child) = children.next().await {
            let (execution_arn, child) = child.map_err(broken)?;
            let Some(child) = child else {
                // The run failed when it was about to begin.
                pending.put(&outputs::pending(&execution_arn, None).to_string()).await?;
                continue;
            };
            let files = match Status::of(child.ending.as_ref().map(|(outcome, _)| outcome)) {
                Status::Succeeded => &mut succeeded,
                Status::Running => &mut pending,
                Status::Failed | Status::TimedOut | Status::Aborted => &mut failed,
            };
            for text in outputs::kept(&child, run.results.transformation) {
                files.put(&text).await?;
            }
        }
        if let Some(mut batches) = left {
            // Where items cannot be read there is nothing to tell about them.
            while let Ok(Some(child)) = batches.next(run).await {
                let execution_arn = child::arn(parent, run, child.number);
                let described = outputs::pending(&execution_arn, Some(&child.input));
                pending.put(&described.to_string()).await?;
            }
        }
        let (succeeded, failed, pending) = (succeeded.close().await?, failed.close().await?, pending.close().await?);
        export.write_manifest(&succeeded, &failed, &pending).await?;
        Ok(export.result())
    }
}

/// The files for one way to end: `SUCCEEDED_0.json` and so on.
struct Files<'a> {
    export: &'a Export,
    name: &'static str,
    bytes_max: u64,
    open: Option<File>,
    /// Keys and sizes, as the manifest shows them.
    written: Vec<Value>,
}

/// A file that is being written.
struct File {
    key: String,
    bytes: u64,
    /// Its bytes; nothing marks the end.
    pieces: mpsc::Sender<Option<Bytes>>,
    writing: AbortOnDropHandle<Result<(), ApiError>>,
}

impl Files<'_> {
    /// Writes a result, a JSON text.
    async fn put(&mut self, text: &str) -> Result<(), Failure> {
        // A separator before it, an end after it.
        let length = text.len() as u64 + 2;
        if self
            .open
            .as_ref()
            .is_some_and(|file| file.bytes + length > self.bytes_max)
        {
            self.finish().await?;
        }
        let json = self.export.output_type == OutputType::Json;
        let piece = match (&self.open, json) {
            (None, true) => format!("[{text}"),
            (Some(_), true) => format!(",{text}"),
            (_, false) => format!("{text}\n"),
        };
        self.write(piece).await
    }

    /// Ends the last file; gives what the manifest shows.
    async fn close(mut self) -> Result<Vec<Value>, Failure> {
        self.finish().await?;
        Ok(self.written)
    }

    async fn finish(&mut self) -> Result<(), Failure> {
        if self.open.is_some() && self.export.output_type == OutputType::Json {
            self.write("]".to_owned()).await?;
        }
        let Some(file) = self.open.take() else { return Ok(()) };
        // If nobody takes it, the writing has ended, and says why.
        drop(file.pieces.send(None).await);
        self.end_of(file.writing, &file.key).await?;
        self.written.push(json!({"Key": file.key, "Size": file.bytes}));
        Ok(())
    }

    async fn write(&mut self, piece: String) -> Result<(), Failure> {
        let file = match self.open.take() {
            Some(file) => file,
            None => self.begin(),
        };
        let file = self.open.insert(file);
        file.bytes += piece.len() as u64;
        if file.pieces.send(Some(piece.into())).await.is_ok() {
            return Ok(());
        }
        match self.open.take() {
            Some(file) => self.end_of(file.writing, &file.key).await,
            None => Ok(()),
        }
    }

    async fn end_of(&self, writing: AbortOnDropHandle<Result<(), ApiError>>, key: &str) -> Result<(), Failure> {
        writing
            .await
            .unwrap_or_else(|error| Err(ApiError::internal(error)))
            .map_err(|error| self.export.refused(key, &error))
    }

    fn begin(&self) -> File {
        let (extension, content_type) = match self.export.output_type {
            OutputType::Json => ("json", "application/json"),
            OutputType::JsonLines => ("jsonl", "application/jsonl"),
        };
        let Export {
            objects,
            bucket,
            folder,
            ..
        } = self.export;
        let key = format!("{folder}/{}_{}.{extension}", self.name, self.written.len());
        let (pieces, receiver) = mpsc::channel(PIECES_MAX);
        let body = stream::try_unfold(
            receiver,
            async |mut receiver: mpsc::Receiver<Option<Bytes>>| match receiver.recv().await {
                Some(piece) => Ok(piece.map(|piece| (piece, receiver))),
                None => Err(ApiError::internal("the results were given up")),
            },
        );
        let (objects, bucket, target) = (Arc::clone(objects), bucket.clone(), key.clone());
        let writing = tokio::spawn(async move { objects.put(&bucket, &target, content_type, body.boxed()).await });
        File {
            key,
            bytes: 0,
            pieces,
            writing: AbortOnDropHandle::new(writing),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use futures::TryStreamExt as _;

    use super::*;
    use crate::objects::{ObjectBody, ObjectSummary};

    /// Keeps what is written.
    #[derive(Default)]
    struct Written(Mutex<Vec<(String, String)>>);

    #[async_trait]
    impl ObjectStore for Written {
        async fn open(&self, _: &str, _: &str, _: u64) -> Result<(u64, ObjectBody), ApiError> {
            Err(ApiError::not_implemented("open"))
        }

        async fn list(&self, _: &str, _: &str, _: Option<&str>, _: usize) -> Result<Vec<ObjectSummary>, ApiError> {
            Err(ApiError::not_implemented("list"))
        }

        async fn put(&self, _: &str, key: &str, _: &str, body: ObjectBody) -> Result<(), ApiError> {
            let pieces: Vec<Bytes> = body.try_collect().await?;
            let text = String::from_utf8(pieces.concat()).unwrap();
            self.0.lock().unwrap().push((key.to_owned(), text));
            Ok(())
        }
    }

    fn export(objects: &Arc<Written>, output_type: OutputType) -> Export {
        Export {
            objects: Arc::clone(objects) as _,
            map_run_arn: "arn".to_owned(),
            bucket: "b".to_owned(),
            folder: "f".to_owned(),
            output_type,
        }
    }

    #[tokio::test]
    async fn a_full_file_is_followed_by_another() {
        let check = async |output_type, bytes_max, expect: &[(&str, &str)]| {
            let objects = Arc::new(Written::default());
            let export = export(&objects, output_type);
            let mut files = Files {
                bytes_max,
                ..export.files("SUCCEEDED")
            };
            for text in ["11", "22", "33"] {
                files.put(text).await.unwrap();
            }
            let manifest = files.close().await.unwrap();
            let written = objects.0.lock().unwrap();
            let shown = written.iter().map(|(key, text)| (key.as_str(), text.as_str()));
            assert_eq!(shown.collect::<Vec<_>>(), expect);
            let named = written
                .iter()
                .map(|(key, text)| json!({"Key": key, "Size": text.len()}));
            assert_eq!(named.collect::<Vec<_>>(), manifest);
            assert!(written.iter().all(|(_, text)| text.len() as u64 <= bytes_max));
        };
        check(OutputType::Json, 100, &[("f/SUCCEEDED_0.json", "[11,22,33]")]).await;
        check(
            OutputType::Json,
            8,
            &[("f/SUCCEEDED_0.json", "[11,22]"), ("f/SUCCEEDED_1.json", "[33]")],
        )
        .await;
        check(OutputType::JsonLines, 100, &[("f/SUCCEEDED_0.jsonl", "11\n22\n33\n")]).await;
    }

    #[tokio::test]
    async fn a_file_that_is_given_up_is_not_written() {
        let objects = Arc::new(Written::default());
        let export = export(&objects, OutputType::Json);
        let mut files = export.files("FAILED");
        files.put("1").await.unwrap();
        drop(files);
        while Arc::strong_count(&objects) > 2 {
            tokio::task::yield_now().await;
        }
        assert!(objects.0.lock().unwrap().is_empty());
    }
}
