//! A training process's log file: its lines become log events, its metrics become metrics.

use std::{
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use scones_api::Timestamp;

use serde_json::{Value, json};

use super::{directory::JobDirectory, record::MetricData};
use crate::limits::LOG_EVENT_BYTES_MAX;

/// Bytes of the log that are read at a time.
const CHUNK_BYTES: u64 = 1 << 20;

/// Reads a log file from where the last reader stopped, this server or the one before.
#[derive(Debug)]
pub(crate) struct LogFollower {
    path: PathBuf,
    position_path: PathBuf,
    position: u64,
    metrics: Vec<MetricData>,
}

/// Lines that were read and where reading stopped.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines {
    pub lines: Vec<String>,
    position: u64,
}

impl LogFollower {
    /// Follows a directory's log; what an earlier reader took only counts for the metrics.
    pub fn open(directory: &JobDirectory, now: Timestamp) -> Self {
        let position = std::fs::read_to_string(directory.log_position()).ok();
        let mut follower = Self {
            path: directory.log(),
            position_path: directory.log_position(),
            position: 0,
            metrics: Vec::new(),
        };
        let taken = position.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        while follower.position < taken {
            let Ok(read) = read_lines(&follower.path, follower.position, false) else {
                break;
            };
            if read.position == follower.position {
                break;
            }
            follower.take(&read, now);
        }
        follower.position = taken;
        follower
    }

    /// The whole lines that follow, at most [`CHUNK_BYTES`] of them; with `ended` also a last
    /// line without an end. An empty answer is the end of the file for now.
    pub async fn read(&self, ended: bool) -> io::Result<Lines> {
        let (path, position) = (self.path.clone(), self.position);
        tokio::task::spawn_blocking(move || read_lines(&path, position, ended))
            .await
            .map_err(io::Error::other)?
    }

    /// What [`read`](Self::read) gave is safe: the next read begins behind it.
    pub fn take(&mut self, read: &Lines, now: Timestamp) {
        for (metric_name, value) in read.lines.iter().filter_map(|line| metric(line)) {
            self.metrics.retain(|known| known.metric_name != metric_name);
            self.metrics.push(MetricData {
                metric_name,
                value,
                timestamp: now,
            });
        }
        self.position = read.position;
    }

    /// Remembers the position for the reader after this one.
    pub fn remember(&self) -> io::Result<()> {
        std::fs::write(&self.position_path, self.position.to_string())
    }

    /// The last value of each metric.
    pub fn metrics(&self) -> &[MetricData] {
        &self.metrics
    }
}

/// The whole lines of a file from `position` on.
fn read_lines(path: &Path, position: u64, ended: bool) -> io::Result<Lines> {
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Lines {
                lines: Vec::new(),
                position,
            });
        }
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(position))?;
    let mut bytes = Vec::new();
    file.take(CHUNK_BYTES).read_to_end(&mut bytes)?;
    let full = u64::try_from(bytes.len()).is_ok_and(|length| length == CHUNK_BYTES);
    let end = match bytes.iter().rposition(|&byte| byte == b'\n') {
        Some(at) => at + 1,
        None if full || ended => bytes.len(),
        None => 0,
    };
    let end = if ended && !full { bytes.len() } else { end };
    bytes.truncate(end);
    let text = String::from_utf8_lossy(&bytes);
    let lines = text
        .lines()
        .map(|line| line.rsplit('\r').find(|part| !part.is_empty()).unwrap_or_default());
    Ok(Lines {
        lines: lines.filter(|line| !line.trim().is_empty()).flat_map(pieces).collect(),
        position: position + end as u64,
    })
}

/// A line as log events: one, unless it is longer than an event may be.
fn pieces(line: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = line;
    while rest.len() > LOG_EVENT_BYTES_MAX {
        let (piece, behind) = rest.split_at(rest.floor_char_boundary(LOG_EVENT_BYTES_MAX));
        pieces.push(piece.to_owned());
        rest = behind;
    }
    pieces.push(rest.to_owned());
    pieces
}

/// The algorithm's metrics, and how its lines call them.
/// <https://docs.aws.amazon.com/sagemaker/latest/dg/IC-tuning.html>
const METRICS: [(&str, &str); 2] = [
    ("train:accuracy", "Train-accuracy"),
    ("validation:accuracy", "Validation-accuracy"),
];

/// `MetricDefinitions`: how the metrics are found in the lines.
pub(crate) fn metric_definitions() -> Vec<Value> {
    METRICS
        .map(|(name, printed)| json!({"Name": name, "Regex": format!(r"Epoch\[\d+\] {printed}=(\S+)")}))
        .into()
}

/// Scones's own metric, and what stands before it in the log. It is in no `MetricDefinitions`, which
/// are AWS's.
const FINAL_METRIC: (&str, &str) = ("validation:calibration_error", "Final validation calibration error: ");

/// The metric in a line, such as `validation:accuracy` in `... Epoch[3] Validation-accuracy=0.93`.
fn metric(line: &str) -> Option<(String, f64)> {
    let (name, value) = epoch_metric(line).or_else(|| {
        let (name, before) = FINAL_METRIC;
        Some((name, line.split_once(before)?.1))
    })?;
    let value: f64 = value.split_whitespace().next()?.parse().ok()?;
    value.is_finite().then(|| (name.to_owned(), value))
}

/// The name of a metric of AWS's and the text that begins with its value.
fn epoch_metric(line: &str) -> Option<(&'static str, &str)> {
    let (_, rest) = line.split_once("Epoch[")?;
    let (epoch, rest) = rest.split_once("] ")?;
    epoch.parse::<u64>().ok()?;
    let (printed, value) = rest.split_once('=')?;
    let (name, _) = METRICS.iter().find(|(_, known)| *known == printed)?;
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn check(line: &str, expect: Option<(&str, f64)>) {
        assert_eq!(
            metric(line),
            expect.map(|(name, value)| (name.to_owned(), value)),
            "{line}"
        );
    }

    #[test]
    fn metrics_are_found_in_lines() {
        check(
            "[11/23/2026 05:00:00 INFO 7] Epoch[3] Validation-accuracy=0.93",
            Some(("validation:accuracy", 0.93)),
        );
        check("Epoch[0] Train-accuracy=0.5 more", Some(("train:accuracy", 0.5)));
        check("Epoch[0] Train-accuracy=1.5e-1", Some(("train:accuracy", 0.15)));
        check(
            "[11/23/2026 05:00:00 INFO 7] Final validation calibration error: 0.02 (loss 0.3)",
            Some(("validation:calibration_error", 0.02)),
        );
        check("Final validation accuracy: 0.9", None);
        check("Epoch[0] Validation-top_k_accuracy_2=1.0", None);
        check("Epoch[x] Train-accuracy=0.5", None);
        check("Epoch[0] Time cost=14.8", None);
        check("Epoch[0] Train-accuracy=nan", None);
        check("Epoch[0] Train-accuracy=", None);
        check("accuracy=1", None);
    }

    struct Folder {
        _folder: tempfile::TempDir,
        directory: JobDirectory,
    }

    fn folder() -> Folder {
        let folder = tempfile::tempdir().unwrap();
        let directory = JobDirectory::new(folder.path());
        std::fs::create_dir_all(directory.output()).unwrap();
        Folder {
            _folder: folder,
            directory,
        }
    }

    fn write(directory: &JobDirectory, text: &[u8]) {
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(directory.log())
            .unwrap();
        file.write_all(text).unwrap();
    }

    fn next(follower: &mut LogFollower, ended: bool) -> Vec<String> {
        let read = read_lines(&follower.path, follower.position, ended).unwrap();
        follower.take(&read, Timestamp::default());
        follower.remember().unwrap();
        read.lines
    }

    #[test]
    fn lines_are_read_once_also_by_the_next_reader() {
        let folder = folder();
        let mut follower = LogFollower::open(&folder.directory, Timestamp::default());
        assert_eq!(next(&mut follower, false), [""; 0]);
        write(&folder.directory, b"one\nEpoch[0] Train-accuracy=0.5\n\nthr");
        assert_eq!(next(&mut follower, false), ["one", "Epoch[0] Train-accuracy=0.5"]);
        assert_eq!(next(&mut follower, false), [""; 0]);
        let mut follower = LogFollower::open(&folder.directory, Timestamp::default());
        assert_eq!(follower.metrics()[0].metric_name, "train:accuracy");
        write(&folder.directory, b"ee\n10%\r20%\r\nlast \xff");
        assert_eq!(next(&mut follower, false), ["three", "20%"]);
        assert_eq!(next(&mut follower, true), ["last \u{fffd}"]);
        assert_eq!(next(&mut follower, true), [""; 0]);
    }

    #[test]
    fn an_endless_line_becomes_several_events() {
        let folder = folder();
        write(&folder.directory, "é".repeat(600_000).as_bytes());
        let mut follower = LogFollower::open(&folder.directory, Timestamp::default());
        let mut events = next(&mut follower, false);
        events.extend(next(&mut follower, true));
        assert!(events.iter().all(|event| event.len() <= LOG_EVENT_BYTES_MAX));
        assert_eq!(events.concat().len(), 1_200_000);
    }

    proptest! {
        #[test]
        fn any_line_is_a_metric_or_none(line in "Epoch\\[[0-9]{0,3}\\] (Train|Validation)?-(accuracy)?=[0-9.e-]{0,5}") {
            if let Some((name, value)) = metric(&line) {
                prop_assert!(name.contains(':') && value.is_finite());
            }
        }
    }
}
