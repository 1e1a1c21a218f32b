//! `scones-nn` against PyTorch and ONNX Runtime, in one interleaved run.
//!
//! Every contender is a process of its own that is started once and then asked
//! in turn, round after round, so that what else the machine does falls on all
//! of them. A ratio is the median over the rounds of the ratio within a round.

mod contender;
mod report;

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, bail};
use clap::Args;

use self::{
    contender::Contender,
    report::{Accuracy, Comparison, Measured, Report, Spread},
};
use crate::{
    command::{cargo, command, output, run as execute, say, target_directory},
    python::Environment,
};

const PYTHON: Environment = Environment {
    folder: ".venv-bench",
    requirements: "benches/nn/requirements.txt",
    what: "PyTorch and ONNX Runtime (about 5 GB on disk)",
    options: &["--no-cache-dir"],
};
const PEERS: &str = "benches/nn/peers.py";
/// Multiply-adds of an image, forward; training is counted as three of them.
const MULTIPLY_ADDS: [(u32, f64); 2] = [(20, 40_813_184.0), (18, 555_422_720.0)];
/// Seconds a round that the processor's peak is measured for.
const PEAK_SECONDS: f64 = 0.2;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Rounds of every contender
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds a contender and round
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Only rows whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// One line of the table: what is done, by whom, and what is asked of us.
struct Row {
    name: &'static str,
    task: &'static str,
    depth: u32,
    batch: u32,
    threads: u32,
    peers: Peers,
    /// Least ratio to the best peer.
    target: f64,
}

/// Who does the same.
#[derive(Clone, Copy, PartialEq)]
enum Peers {
    /// Libraries, as `peers.py` names them.
    Libraries(&'static [&'static str]),
    /// scones-nn by AVX-512, where scones-nn itself is held to AVX2.
    Avx512,
}

const TORCH: Peers = Peers::Libraries(&["torch"]);
const ONNX_AND_SCRIPT: Peers = Peers::Libraries(&["onnx", "torchscript"]);

const ROWS: [Row; 10] = [
    row("train ResNet-20", "train", 20, 64, 2, TORCH, 1.25),
    row("train ResNet-18", "train", 18, 64, 2, TORCH, 1.0),
    row("infer ResNet-20, one image", "infer", 20, 1, 1, ONNX_AND_SCRIPT, 1.0),
    row("infer ResNet-20, one image", "infer", 20, 1, 2, ONNX_AND_SCRIPT, 1.0),
    row("infer ResNet-20", "infer", 20, 64, 1, ONNX_AND_SCRIPT, 1.0),
    row("infer ResNet-20", "infer", 20, 64, 2, ONNX_AND_SCRIPT, 1.0),
    row("infer ResNet-18", "infer", 18, 64, 1, ONNX_AND_SCRIPT, 1.0),
    row("infer ResNet-18", "infer", 18, 64, 2, ONNX_AND_SCRIPT, 1.0),
    row("AVX2, train ResNet-20", "train", 20, 64, 2, Peers::Avx512, 0.5),
    row("AVX2, infer ResNet-18", "infer", 18, 64, 2, Peers::Avx512, 0.5),
];

const fn row(
    name: &'static str,
    task: &'static str,
    depth: u32,
    batch: u32,
    threads: u32,
    peers: Peers,
    target: f64,
) -> Row {
    Row {
        name,
        task,
        depth,
        batch,
        threads,
        peers,
        target,
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    execute(&mut cargo(
        "build --release --locked --package scones-nn --example speed",
    ))?;
    let python = PYTHON.install();
    if let Err(error) = &python {
        say(format_args!("SKIPPED: PyTorch and ONNX Runtime: {error:#}"));
    }
    let target = target_directory()?;
    let bench = Bench {
        ours: target.join("release/examples/speed"),
        gradients: target.join("bench-nn-gradients"),
        python: python.ok(),
        arguments,
    };
    let mut rows = Vec::new();
    for row in ROWS.iter().filter(|row| row.name.contains(&arguments.only)) {
        say(format_args!("{}, {} thread(s) …", row.name, row.threads));
        rows.push(bench.compare(row)?);
    }
    let accuracy = if "accuracy".contains(&arguments.only) {
        bench.accuracies()?
    } else {
        Vec::new()
    };
    let report = Report { rows, accuracy };
    if arguments.json {
        print(&serde_json::to_string_pretty(&report)?);
    } else {
        print(&report.to_string());
    }
    Ok(())
}

struct Bench<'a> {
    /// The example `speed`.
    ours: PathBuf,
    /// A folder for what it writes.
    gradients: PathBuf,
    /// Where there are peers.
    python: Option<PathBuf>,
    arguments: &'a Arguments,
}

impl Bench<'_> {
    fn compare(&self, row: &Row) -> anyhow::Result<Comparison> {
        let mut contenders = self.contenders(row)?;
        let mut peak = Contender::start(Command::new(&self.ours).args(["peak", &row.threads.to_string()]))?;
        let (mut seconds, mut peaks) = (vec![Vec::new(); contenders.len()], Vec::new());
        for _ in 0..self.arguments.rounds {
            peaks.push(peak.ask(PEAK_SECONDS)?);
            for ((_, contender), seconds) in contenders.iter_mut().zip(&mut seconds) {
                seconds.push(contender.ask(self.arguments.seconds)?);
            }
        }
        peak.memory()?;
        let best_peer = |round: usize| seconds[1..].iter().map(|of| of[round]).reduce(f64::min);
        let ratios = seconds[0].iter().enumerate();
        let ratios = ratios.filter_map(|(round, ours)| Some(best_peer(round)? / ours));
        let peak = Spread::of(peaks).context("no rounds")?.median();
        let measured = contenders.into_iter().zip(&seconds);
        Ok(Comparison {
            row: format!("{}, {} thread(s), batch {}", row.name, row.threads, row.batch),
            peak_gflops: 2.0 * peak / 1e9,
            ratio: Spread::of(ratios),
            target: row.target,
            measured: measured
                .map(|((name, contender), seconds)| measured_of(row, name, contender, seconds, peak))
                .collect::<anyhow::Result<_>>()?,
        })
    }

    /// Ours and, where they are there, its peers, by name.
    fn contenders(&self, row: &Row) -> anyhow::Result<Vec<(&'static str, Contender)>> {
        let numbers = [row.depth, row.batch, row.threads].map(|number| number.to_string());
        let ours = |level: &[&str]| {
            let mut command = Command::new(&self.ours);
            Contender::start(command.arg(row.task).args(&numbers).args(level))
        };
        let libraries = match row.peers {
            Peers::Avx512 => return Ok(vec![("scones-nn", ours(&["AVX2"])?), ("AVX-512", ours(&["AVX-512"])?)]),
            Peers::Libraries(libraries) => libraries,
        };
        let mut contenders = vec![("scones-nn", ours(&[])?)];
        for (python, &library) in self.python.iter().cycle().zip(libraries) {
            let mut command = command(python, &[PEERS, library, row.task]);
            contenders.push((library, Contender::start(command.args(&numbers))?));
        }
        Ok(contenders)
    }

    /// Errors of the gradients against double precision, ours and PyTorch's.
    fn accuracies(&self) -> anyhow::Result<Vec<Accuracy>> {
        let Some(python) = &self.python else {
            return Ok(Vec::new());
        };
        let path = self.gradients.to_string_lossy();
        let mut accuracies = Vec::new();
        for (depth, _) in MULTIPLY_ADDS {
            execute(Command::new(&self.ours).args(["gradients", &depth.to_string(), "32", &path]))?;
            let answer = String::from_utf8(output(&mut command(python, &[PEERS, "accuracy", &path]))?)?;
            let numbers: Vec<f64> = answer.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
            let [ours, torch, worst_tensor] = numbers[..] else {
                bail!("{PEERS} answered {answer:?}");
            };
            accuracies.push(Accuracy {
                depth,
                ours,
                torch,
                worst_tensor,
            });
            fs::remove_dir_all(&self.gradients).with_context(|| format!("cannot remove {path}"))?;
        }
        Ok(accuracies)
    }
}

/// What became of a contender, which ends it; `peak` is in multiply-adds a second.
fn measured_of(
    row: &Row,
    name: &'static str,
    contender: Contender,
    seconds: &[f64],
    peak: f64,
) -> anyhow::Result<Measured> {
    let seconds = Spread::of(seconds.iter().copied()).context("no rounds")?;
    let of_image = MULTIPLY_ADDS.iter().find(|(depth, _)| *depth == row.depth);
    let passes = if row.task == "train" { 3.0 } else { 1.0 };
    let work = of_image.map_or(0.0, |(_, work)| work * passes * f64::from(row.batch));
    Ok(Measured {
        name,
        milliseconds: seconds.times(1e3),
        images_per_second: f64::from(row.batch) / seconds.median(),
        gflops: 2.0 * work / seconds.median() / 1e9,
        share_of_peak: work / seconds.median() / peak,
        megabytes: contender.memory()? / 1e6,
    })
}

#[expect(clippy::print_stdout, reason = "the result of this command")]
fn print(text: &str) {
    println!("{text}");
}
