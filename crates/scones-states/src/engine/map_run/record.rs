//! What is kept about map runs.

use std::sync::Arc;

use scones_api::Timestamp;
use scones_asl::{
    TaskId,
    map_run::{MapRun, exceeds},
};
use scones_store::{Collection, Error, ListQuery, Store};
use serde::{Deserialize, Serialize};

use crate::engine::Status;

/// How a map run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum MapRunStatus {
    Running,
    Succeeded,
    Failed,
    Aborted,
}

/// What UpdateMapRun may change while the run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// 0 for no limit of its own.
    pub(crate) max_concurrency: u64,
    pub(crate) tolerated_failure_count: Option<u64>,
    pub(crate) tolerated_failure_percentage: Option<f64>,
}

impl Settings {
    pub(crate) fn of(run: &MapRun) -> Self {
        Self {
            max_concurrency: run.max_concurrency,
            tolerated_failure_count: run.tolerated_failure_count,
            tolerated_failure_percentage: run.tolerated_failure_percentage,
        }
    }

    /// Whether more items have failed than may.
    pub(crate) fn are_exceeded(&self, tally: &Tally) -> bool {
        let items = &tally.items;
        let failed = items.failed + items.timed_out + items.aborted;
        let percentage = self.tolerated_failure_percentage.filter(|_| tally.total_is_known);
        let undecided = self.tolerated_failure_percentage.is_some() && percentage.is_none();
        let count = self.tolerated_failure_count.or(undecided.then_some(u64::MAX));
        exceeds(failed, items.total, count, percentage)
    }
}

/// Counts of children or of items, as DescribeMapRun shows them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counts {
    pub(crate) pending: u64,
    pub(crate) running: u64,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) timed_out: u64,
    pub(crate) aborted: u64,
    pub(crate) total: u64,
    pub(crate) results_written: u64,
}

impl Counts {
    fn expect(&mut self, number: u64) {
        self.pending += number;
        self.total += number;
    }

    fn begin(&mut self, number: u64) {
        self.pending -= number;
        self.running += number;
    }

    fn end(&mut self, number: u64, status: Status) {
        self.running -= number;
        match status {
            Status::Succeeded => {
                self.succeeded += number;
                self.results_written += number;
            }
            Status::TimedOut => self.timed_out += number,
            Status::Aborted => self.aborted += number,
            Status::Failed | Status::Running => self.failed += number,
        }
    }

    /// Counts what did not end as given up. What was not begun stays pending.
    fn give_up(&mut self) {
        self.aborted += self.running;
        self.running = 0;
    }
}

/// How far a map run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) executions: Counts,
    pub(crate) items: Counts,
    /// No more items come: shares of them can be told.
    #[serde(skip)]
    pub(crate) total_is_known: bool,
}

impl Tally {
    /// So many children with so many items in all are to be run.
    pub(crate) fn expect(&mut self, children: u64, items: u64) {
        self.executions.expect(children);
        self.items.expect(items);
    }

    /// A child with so many items has begun.
    pub(crate) fn begin(&mut self, items: u64) {
        self.executions.begin(1);
        self.items.begin(items);
    }

    /// It has ended.
    pub(crate) fn end(&mut self, items: u64, status: Status) {
        self.executions.end(1, status);
        self.items.end(items, status);
    }

    /// As many are to be run as in `expected`, at least.
    pub(crate) fn cover(&mut self, expected: &Self) {
        let more = |own: &Counts, expected: &Counts| expected.total.saturating_sub(own.total);
        let executions = more(&self.executions, &expected.executions);
        let items = more(&self.items, &expected.items);
        self.expect(executions, items);
    }

    /// The run ends with what has ended.
    pub(crate) fn give_up(&mut self) {
        self.executions.give_up();
        self.items.give_up();
    }
}

/// A map run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MapRunRecord {
    pub(crate) arn: String,
    /// The execution whose state it is.
    pub(crate) execution_arn: String,
    /// What that execution knows it by.
    pub(crate) task: TaskId,
    pub(crate) status: MapRunStatus,
    pub(crate) started: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stopped: Option<Timestamp>,
    pub(crate) settings: Settings,
    /// As of the end; while the run goes on, the conductor knows better.
    pub(crate) tally: Tally,
    /// Its key among the runs of its execution.
    listing: String,
    pub(crate) redrive_count: u64,
    /// The last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) redriven: Option<Timestamp>,
}

impl MapRunRecord {
    /// A run that begins, or goes on after a redrive.
    pub(crate) fn of(run: &MapRun, execution_arn: &str, now: Timestamp) -> Self {
        Self {
            arn: run.arn.clone(),
            execution_arn: execution_arn.to_owned(),
            task: run.task,
            status: MapRunStatus::Running,
            started: now,
            stopped: None,
            settings: Settings::of(run),
            tally: Tally::default(),
            listing: format!("{execution_arn}/{:020}/{}", run.task.0, id(&run.arn)),
            redrive_count: run.redrive_count,
            redriven: (run.redrive_count > 0).then_some(now),
        }
    }
}

/// The tables.
#[derive(Clone)]
pub(crate) struct MapRuns {
    /// By `MACHINE/LABEL:ID`.
    pub(crate) all: Collection<MapRunRecord>,
    /// ARNs by `EXECUTION/TASK/ID`, in the order of their beginnings.
    by_execution: Collection<String>,
    /// ARNs of those that have not ended.
    open: Collection<String>,
}

/// What names a map run in the store: its ARN after `mapRun:`.
pub(crate) fn key(arn: &str) -> &str {
    arn.split_once(":mapRun:").map_or(arn, |(_, key)| key)
}

/// The last part of a map run's ARN.
pub(crate) fn id(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or(arn)
}

impl MapRuns {
    pub(crate) fn new(store: &Arc<dyn Store>) -> Self {
        Self {
            all: Collection::new(Arc::clone(store), "states.map_runs"),
            by_execution: Collection::new(Arc::clone(store), "states.execution_map_runs"),
            open: Collection::new(Arc::clone(store), "states.open_map_runs"),
        }
    }

    /// Writes a new run, or that it was redriven; gives what is there. The
    /// mark goes first, and the listing last and again: whatever a crash
    /// leaves is found by the mark, or mended by the next conductor.
    pub(crate) async fn begin(&self, record: MapRunRecord) -> Result<MapRunRecord, Error> {
        let record = match self.all.get(key(&record.arn)).await? {
            None => record,
            Some(there) if record.redrive_count <= there.value.redrive_count => there.value,
            Some(there) => MapRunRecord {
                started: there.value.started,
                settings: there.value.settings,
                listing: there.value.listing,
                ..record
            },
        };
        self.open.put(key(&record.arn), &record.arn).await?;
        self.all.put(key(&record.arn), &record).await?;
        self.by_execution.put(&record.listing, &record.arn).await?;
        Ok(record)
    }

    /// Writes how a run ended; settings stay as they were updated last.
    pub(crate) async fn end(&self, arn: &str, status: MapRunStatus, now: Timestamp, tally: Tally) -> Result<(), Error> {
        let ended = self
            .all
            .update(key(arn), |record| -> Result<(), Error> {
                if record.status == MapRunStatus::Running {
                    record.status = status;
                    record.stopped = Some(now);
                }
                record.tally = tally;
                Ok(())
            })
            .await?;
        if let Some(record) = ended {
            self.by_execution.put(&record.listing, &record.arn).await?;
        }
        self.open.delete(key(arn)).await?;
        Ok(())
    }

    /// Takes the mark of a run away that never began.
    pub(crate) async fn forget(&self, arn: &str) -> Result<(), Error> {
        self.open.delete(key(arn)).await?;
        Ok(())
    }

    /// A page of the runs of an execution, with their keys.
    pub(crate) async fn of_execution(
        &self,
        execution_arn: &str,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<(String, String)>, Error> {
        let query = ListQuery {
            prefix: format!("{execution_arn}/"),
            after,
            limit,
            ..ListQuery::default()
        };
        self.by_execution.list(query).await
    }

    /// The ARNs of all runs that have not ended.
    pub(crate) async fn open(&self) -> Result<Vec<String>, Error> {
        Ok(self.open.all("").await?.into_iter().map(|(_, arn)| arn).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up() {
        let mut tally = Tally::default();
        for _ in 0..4 {
            tally.expect(1, 2);
        }
        for _ in 0..3 {
            tally.begin(2);
        }
        tally.end(2, Status::Succeeded);
        tally.end(2, Status::TimedOut);
        tally.give_up();
        let expect = Counts {
            succeeded: 2,
            results_written: 2,
            timed_out: 2,
            aborted: 2,
            pending: 2,
            total: 8,
            ..Counts::default()
        };
        assert_eq!(tally.items, expect);
        assert_eq!(tally.executions.total, 4);
    }

    #[test]
    fn a_share_is_judged_when_all_items_are_read() {
        let settings = |count, percentage| Settings {
            max_concurrency: 0,
            tolerated_failure_count: count,
            tolerated_failure_percentage: percentage,
        };
        let mut tally = Tally::default();
        tally.expect(1, 1);
        tally.begin(1);
        tally.end(1, Status::Failed);
        assert!(settings(None, None).are_exceeded(&tally));
        assert!(settings(Some(0), Some(50.0)).are_exceeded(&tally));
        assert!(!settings(None, Some(50.0)).are_exceeded(&tally));
        tally.total_is_known = true;
        assert!(settings(None, Some(50.0)).are_exceeded(&tally));
        tally.expect(1, 1);
        assert!(!settings(None, Some(50.0)).are_exceeded(&tally));
    }
}
