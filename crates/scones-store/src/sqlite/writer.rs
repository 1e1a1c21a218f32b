//! The one thread that writes: it commits all operations that wait as one
//! transaction and answers them afterwards.

use std::{
    sync::{Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use rusqlite::{Connection, ErrorCode, ffi};
use tokio::sync::{mpsc, oneshot};

use super::lock::DirectoryLock;
use crate::Error;

/// Operations that may wait for the next commit; further ones wait to be queued.
const QUEUE_OPERATIONS_MAX: usize = 1024;
/// Operations in one commit. It bounds how long the first of them waits.
const BATCH_OPERATIONS_MAX: usize = 512;

/// Performs an operation inside the open transaction; the answer is sent when
/// the transaction's fate is known.
type Operation = Box<dyn FnOnce(&mut Transaction<'_>) -> Answer + Send>;
type Answer = Box<dyn FnOnce(Result<(), Failure>) + Send>;

/// The queue to the thread and the thread.
pub(super) struct Writer {
    operations: Mutex<Option<mpsc::Sender<Operation>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread. It keeps `lock` for as long as it may write.
    pub(super) fn start(connection: Connection, lock: DirectoryLock) -> Result<Self, Error> {
        let mut revision = load_revision(&connection)?;
        let (operations, mut queue) = mpsc::channel(QUEUE_OPERATIONS_MAX);
        let thread = thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
            write_all(&connection, &mut revision, &mut queue);
            if let Err((_, error)) = connection.close() {
                tracing::error!(error = &error as &dyn std::error::Error, "the database did not close");
            }
            drop(lock);
        })?;
        Ok(Self {
            operations: Mutex::new(Some(operations)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Performs `operation` and answers when its effect is on disk. An
    /// operation that fails has no effect. If the caller stops waiting, the
    /// operation happens as a whole or not at all.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Transaction<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let operation: Operation = Box::new(move |transaction| {
            let result = transaction.isolate(operation);
            Box::new(move |committed| {
                // What the operation saw counts only if what it saw was committed.
                let result = committed.map_err(Error::from).and(result);
                let _ = reply.send(result);
            })
        });
        let queue = lock(&self.operations).clone().ok_or(Error::Closed)?;
        queue.send(operation).await.map_err(|_| Error::Closed)?;
        drop(queue);
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Waits for what is queued and ends the thread.
    pub(super) async fn close(&self) {
        lock(&self.operations).take();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        lock(&self.operations).take();
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

/// The transaction that is open while a batch is performed.
pub(super) struct Transaction<'a> {
    connection: &'a Connection,
    revision: &'a mut u64,
    failure: Option<Failure>,
}

impl Transaction<'_> {
    /// The connection inside the transaction.
    pub(super) fn connection(&self) -> &Connection {
        self.connection
    }

    /// A revision that no record of this store ever had.
    pub(super) fn next_revision(&mut self) -> u64 {
        *self.revision += 1;
        *self.revision
    }

    /// Performs one operation so that its failure leaves the others alone.
    fn isolate<T>(&mut self, operation: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if let Some(failure) = self.failure.clone() {
            return Err(failure.into());
        }
        execute(self.connection, "SAVEPOINT operation")?;
        let result = operation(self);
        if result.is_err() && self.connection.is_autocommit() {
            // A full or failing disk makes SQLite roll everything back, so
            // the operations before this one are lost as well.
            self.failure = Some(Failure::lost(&result));
            return result;
        }
        let end = match &result {
            Ok(_) => execute(self.connection, "RELEASE operation"),
            Err(_) => execute(self.connection, "ROLLBACK TO operation")
                .and_then(|()| execute(self.connection, "RELEASE operation")),
        };
        if let Err(error) = end {
            let failure = Failure::from(error);
            self.failure = Some(failure.clone());
            return Err(failure.into());
        }
        result
    }
}

fn write_all(connection: &Connection, revision: &mut u64, queue: &mut mpsc::Receiver<Operation>) {
    let mut batch = Vec::new();
    while queue.blocking_recv_many(&mut batch, BATCH_OPERATIONS_MAX) > 0 {
        write_batch(connection, revision, batch.drain(..));
    }
}

fn write_batch(connection: &Connection, revision: &mut u64, batch: impl Iterator<Item = Operation>) {
    let before = *revision;
    let mut transaction = Transaction {
        connection,
        failure: execute(connection, "BEGIN IMMEDIATE").err().map(Failure::from),
        revision,
    };
    let answers: Vec<Answer> = batch.map(|operation| operation(&mut transaction)).collect();
    let committed = match transaction.failure.take() {
        Some(failure) => Err(failure),
        None => commit(connection, before, *transaction.revision).map_err(Failure::from),
    };
    if let Err(failure) = &committed {
        tracing::error!(%failure, operations = answers.len(), "a commit failed");
        if !connection.is_autocommit()
            && let Err(error) = execute(connection, "ROLLBACK")
        {
            tracing::error!(%error, "a rollback failed");
        }
    }
    for answer in answers {
        answer(committed.clone());
    }
}

fn commit(connection: &Connection, before: u64, revision: u64) -> Result<(), rusqlite::Error> {
    if revision != before {
        connection
            .prepare_cached("UPDATE counters SET value = ?1 WHERE name = 'revision'")?
            .execute([super::to_sql(revision)])?;
    }
    execute(connection, "COMMIT")
}

fn load_revision(connection: &Connection) -> Result<u64, Error> {
    let sql = "SELECT value FROM counters WHERE name = 'revision'";
    let value: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    Ok(value.unsigned_abs())
}

fn execute(connection: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// Nothing is left half-done by a panic while one of these locks is held.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a transaction was not committed; told to each of its operations.
#[derive(Debug, Clone)]
struct Failure {
    code: ffi::Error,
    message: Option<String>,
}

impl Failure {
    /// The operation that made SQLite give up on the transaction failed so.
    fn lost<T>(result: &Result<T, Error>) -> Self {
        match result {
            Err(Error::Database(rusqlite::Error::SqliteFailure(code, message))) => Self {
                code: *code,
                message: message.clone(),
            },
            _ => Self {
                code: ffi::Error {
                    code: ErrorCode::OperationAborted,
                    extended_code: ffi::SQLITE_ABORT_ROLLBACK,
                },
                message: None,
            },
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::SqliteFailure(code, message) => Self { code, message },
            other => Self {
                code: ffi::Error::new(ffi::SQLITE_ERROR),
                message: Some(other.to_string()),
            },
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Database(rusqlite::Error::SqliteFailure(failure.code, failure.message))
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.message {
            Some(message) => write!(formatter, "{message} ({})", self.code),
            None => self.code.fmt(formatter),
        }
    }
}
