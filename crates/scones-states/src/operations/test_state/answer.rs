//! What really becomes of what a state waits for.

use std::time::Duration;

use scones_asl::{Answer, Pending, TaskCall, Timestamp};
use tokio::time::timeout;

use super::exchange::{Exchange, Recorder};
use crate::{
    States,
    limits::TEST_STATE_SECONDS_MAX,
    runner::{TaskFailure, TaskIdentity},
};

/// How long a state may take that is tried.
const LONGEST: Duration = Duration::from_secs(TEST_STATE_SECONDS_MAX);

impl States {
    /// Waits, or makes a task's call. An HTTP task's exchange is given, too.
    pub(super) async fn real_answer(&self, pending: &Pending, identity: TaskIdentity) -> (Answer, Option<Exchange>) {
        match pending {
            Pending::Wait(until) => (self.sit_out(*until).await, None),
            Pending::Call(call) => self.really_call(call, identity).await,
            // Neither is tried without a mock.
            Pending::Branches | Pending::Iterations(_) => (Answer::TimedOut, None),
        }
    }

    async fn sit_out(&self, until: Timestamp) -> Answer {
        let milliseconds = until.0.saturating_sub(self.engine.shared.now().0);
        let wait = Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default());
        tokio::time::sleep(wait.min(LONGEST)).await;
        match wait <= LONGEST {
            true => Answer::Result("null".to_owned()),
            false => Answer::TimedOut,
        }
    }

    async fn really_call(&self, call: &TaskCall, mut identity: TaskIdentity) -> (Answer, Option<Exchange>) {
        if let Some(role) = &call.role_arn {
            identity.role_arn = role.as_str().into();
        }
        let recorder = Recorder::of(&self.engine.shared.runner);
        let own = call.timeout_seconds.map_or(LONGEST, Duration::from_secs);
        let result = timeout(own.min(LONGEST), self.engine.call(&recorder, &identity, call)).await;
        let answer = match result {
            Err(_) => Answer::TimedOut,
            Ok(Ok(output)) => Answer::Result(output),
            Ok(Err(TaskFailure { error, cause })) => Answer::Failure {
                error: Some(error),
                cause: Some(cause),
            },
        };
        (answer, recorder.exchange())
    }
}
