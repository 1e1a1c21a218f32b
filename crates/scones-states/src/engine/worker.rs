//! Runs one task on a task of its own; dropping it cancels the call.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt as _;
use scones_asl::{Input, TaskCall};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{
    Shared, actor,
    message::{Command, Message},
};
use crate::{
    integration,
    limits::{CAUSE_CHARS_MAX, ERROR_CHARS_MAX},
    runner::TaskFailure,
};

/// Waits for its turn unless it has it already, makes the call, and reports.
pub(crate) async fn work(
    shared: Arc<Shared>,
    call: Arc<TaskCall>,
    permit: Option<OwnedSemaphorePermit>,
    reports: mpsc::Sender<Message>,
) {
    let report = async |input| {
        let message = Message {
            command: Command::Report(input),
            reply: None,
        };
        // If the actor is gone nobody wants to know.
        drop(reports.send(message).await);
    };
    let _permit = match permit {
        Some(permit) => permit,
        None => {
            let Ok(permit) = Arc::clone(&shared.permits).acquire_owned().await else {
                return;
            };
            report(Input::TaskStarted {
                task: call.task,
                worker_name: None,
            })
            .await;
            permit
        }
    };
    let performed = AssertUnwindSafe(integration::perform(&*shared.runner, &call))
        .catch_unwind()
        .await;
    let result = performed.unwrap_or_else(|_| {
        tracing::error!(state = call.state_name, "the runner of a task panicked");
        Err(TaskFailure {
            error: "States.Runtime".to_owned(),
            cause: "the task's runner panicked".to_owned(),
        })
    });
    let input = match result {
        Ok(output) => actor::accepted(&call, output),
        Err(TaskFailure { error, cause }) => Input::TaskFailed {
            task: call.task,
            error: Some(truncated(error, ERROR_CHARS_MAX)),
            cause: Some(truncated(cause, CAUSE_CHARS_MAX)),
        },
    };
    report(input).await;
}

fn truncated(mut text: String, characters: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(characters) {
        text.truncate(end);
    }
    text
}
