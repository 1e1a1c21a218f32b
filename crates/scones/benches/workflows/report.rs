//! The figures, as a table or as JSON.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use crate::{
    load::{Load, Measured},
    scenarios::Restart,
};

pub(crate) struct Report {
    sync_time: Duration,
    rows: Vec<Row>,
}

struct Row {
    what: String,
    unit: &'static str,
    /// One a round.
    figures: Vec<f64>,
}

impl Row {
    /// Median, lowest and highest.
    fn summary(&self) -> [f64; 3] {
        let mut sorted = self.figures.clone();
        sorted.sort_by(f64::total_cmp);
        [sorted.len() / 2, 0, sorted.len().saturating_sub(1)].map(|at| sorted.get(at).copied().unwrap_or(f64::NAN))
    }
}

impl Report {
    /// A report on a disk that takes `sync_time` for a durable write.
    pub(crate) fn new(sync_time: Duration) -> Self {
        Self {
            sync_time,
            rows: Vec::new(),
        }
    }

    pub(crate) fn add_load(&mut self, load: &Load, measured: &Measured) {
        self.add(load.name, "executions/s", measured.per_second);
        self.add(load.name, "ms, median", milliseconds(measured.median));
        self.add(load.name, "ms, 99%", milliseconds(measured.percentile_99));
    }

    pub(crate) fn add_restart(&mut self, restart: &Restart) {
        let what = format!("restart with {} waiting executions", restart.waiting);
        self.add(&what, "ms to ready", milliseconds(restart.ready_after));
        self.add(&what, "ms to first answer", milliseconds(restart.served_after));
        let what = format!("memory with {} waiting executions", restart.waiting);
        self.add(&what, "MiB before the first", mebibytes(restart.bytes_empty));
        self.add(&what, "MiB with all", mebibytes(restart.bytes_waiting));
        self.add(&what, "MiB restarted", mebibytes(restart.bytes_restarted));
    }

    fn add(&mut self, what: &str, unit: &'static str, figure: f64) {
        match self.rows.iter_mut().find(|row| row.what == what && row.unit == unit) {
            Some(row) => row.figures.push(figure),
            None => self.rows.push(Row {
                what: what.to_owned(),
                unit,
                figures: vec![figure],
            }),
        }
    }

    pub(crate) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["", "unit", "median", "lowest", "highest"]);
        for row in &self.rows {
            let figures = row.summary().map(short);
            table.add_row(
                [row.what.as_str(), row.unit]
                    .into_iter()
                    .chain(figures.iter().map(String::as_str)),
            );
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        format!(
            "{table}\nA durable write of 4 KiB takes this disk {:.2} ms. {} processors, {}.",
            milliseconds(self.sync_time),
            std::thread::available_parallelism().map_or(0, usize::from),
            load_average(),
        )
    }

    pub(crate) fn json(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            let [median, lowest, highest] = row.summary();
            json!({"what": row.what, "unit": row.unit, "median": median, "lowest": lowest, "highest": highest})
        });
        let report = json!({"durableWriteMs": milliseconds(self.sync_time), "rows": rows.collect::<Vec<Value>>()});
        format!("{report:#}")
    }
}

/// The load on the machine when the report is made.
fn load_average() -> String {
    let loads = std::fs::read_to_string("/proc/loadavg").ok();
    let minute = loads.as_deref().and_then(|text| text.split(' ').next());
    minute.map_or_else(|| "load unknown".to_owned(), |load| format!("load {load} at the end"))
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Three digits are all that a figure deserves.
fn short(figure: f64) -> String {
    match figure {
        f if f >= 100.0 => format!("{f:.0}"),
        f if f >= 10.0 => format!("{f:.1}"),
        f => format!("{f:.2}"),
    }
}
