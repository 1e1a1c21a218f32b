//! `scones-nn` against PyTorch and ONNX Runtime, in one interleaved run.
//!
//! Every contender is a process of its own that is started once and then asked
//! in turn, round after round, so that what else the machine does falls on all
//! of them. A ratio is the median over the rounds of the ratio within a round.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::command::{cargo, command, output, root, run as execute, say, works};

const REQUIREMENTS: &str = "benches/nn/requirements.txt";
const PEERS: &str = "benches/nn/peers.py";
/// Multiply-adds of an image, forward; training is counted as three of them.
const MULTIPLY_ADDS: [(u32, f64); 2] = [(20, 40_813_184.0), (18, 555_422_720.0)];

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

/// What training may hold of the memory that PyTorch holds for it.
const MEMORY_SHARE_MAX: f64 = 0.25;

/// One line of the table: what is done, by whom, and what is asked of us.
struct Row {
    name: &'static str,
    task: &'static str,
    depth: u32,
    batch: u32,
    threads: u32,
    peers: &'static [&'static str],
    /// Least ratio to the best peer.
    target: f64,
}

const ROWS: [Row; 10] = [
    row("train ResNet-20", "train", 20, 64, 2, &["torch"], 1.25),
    row("train ResNet-18", "train", 18, 64, 2, &["torch"], 1.0),
    row(
        "infer ResNet-20, one image",
        "infer",
        20,
        1,
        1,
        &["onnx", "torchscript"],
        1.0,
    ),
    row(
        "infer ResNet-20, one image",
        "infer",
        20,
        1,
        2,
        &["onnx", "torchscript"],
        1.0,
    ),
    row("infer ResNet-20", "infer", 20, 64, 1, &["onnx", "torchscript"], 1.0),
    row("infer ResNet-20", "infer", 20, 64, 2, &["onnx", "torchscript"], 1.0),
    row("infer ResNet-18", "infer", 18, 64, 1, &["onnx", "torchscript"], 1.0),
    row("infer ResNet-18", "infer", 18, 64, 2, &["onnx", "torchscript"], 1.0),
    row("AVX2, train ResNet-20", "train", 20, 64, 2, &["AVX-512"], 0.5),
    row("AVX2, infer ResNet-18", "infer", 18, 64, 2, &["AVX-512"], 0.5),
];

const fn row(
    name: &'static str,
    task: &'static str,
    depth: u32,
    batch: u32,
    threads: u32,
    peers: &'static [&'static str],
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
    let build = [
        "build",
        "--release",
        "--locked",
        "--package",
        "scones-nn",
        "--example",
        "speed",
    ];
    execute(&mut cargo(&build))?;
    let bench = Bench {
        ours: target_directory()?.join("release/examples/speed"),
        python: match environment() {
            Ok(python) => Some(python),
            Err(error) => {
                say(format_args!("SKIPPED: PyTorch and ONNX Runtime: {error:#}"));
                None
            }
        },
        arguments,
    };
    let rows = ROWS.iter().filter(|row| row.name.contains(&arguments.only));
    let mut results = Vec::new();
    for row in rows {
        say(format_args!("{}, {} thread(s) …", row.name, row.threads));
        results.push(bench.measure(row)?);
    }
    let accuracies = if "accuracy".contains(&arguments.only) {
        bench.accuracies()?
    } else {
        Vec::new()
    };
    if arguments.json {
        print(&serde_json::to_string_pretty(
            &json!({ "rows": results, "accuracy": accuracies }),
        )?);
    } else {
        results.iter().for_each(show);
        accuracies.iter().for_each(show_accuracy);
    }
    Ok(())
}

struct Bench<'a> {
    ours: PathBuf,
    python: Option<PathBuf>,
    arguments: &'a Arguments,
}

impl Bench<'_> {
    fn measure(&self, row: &Row) -> anyhow::Result<Value> {
        let numbers = [row.depth, row.batch, row.threads].map(|number| number.to_string());
        let mut contenders = Vec::new();
        let own_level = if row.peers == ["AVX-512"] { "AVX2" } else { "" };
        contenders.push(("scones-nn", self.start_ours(row.task, &numbers, own_level)?));
        for &peer in row.peers {
            if peer == "AVX-512" {
                contenders.push((peer, self.start_ours(row.task, &numbers, peer)?));
            } else if let Some(python) = &self.python {
                let mut command = command(python, &[PEERS, peer, row.task]);
                contenders.push((peer, Contender::start(command.args(&numbers))?));
            }
        }
        let mut peak = Contender::start(Command::new(&self.ours).args(["peak", &numbers[2]]))?;
        let (mut rounds, mut peaks) = (vec![Vec::new(); contenders.len()], Vec::new());
        for _ in 0..self.arguments.rounds {
            peaks.push(peak.ask(0.2)?);
            for ((_, contender), seconds) in contenders.iter_mut().zip(&mut rounds) {
                seconds.push(contender.ask(self.arguments.seconds)?);
            }
        }
        let best_peer = |round: usize| rounds[1..].iter().map(|of| of[round]).fold(f64::INFINITY, f64::min);
        let ratios = (0..peaks.len()).map(|round| best_peer(round) / rounds[0][round]);
        let ratios: Vec<f64> = ratios.filter(|ratio| ratio.is_finite()).collect();
        let of_image = MULTIPLY_ADDS.iter().find(|(depth, _)| *depth == row.depth);
        let passes = if row.task == "train" { 3.0 } else { 1.0 };
        let work = of_image.map_or(0.0, |(_, work)| work * passes * f64::from(row.batch));
        let mut measured = Vec::new();
        for ((name, contender), seconds) in contenders.into_iter().zip(&rounds) {
            let [low, middle, high] = spread(seconds);
            measured.push(json!({
                "name": name,
                "milliseconds": [low * 1e3, middle * 1e3, high * 1e3],
                "images_per_second": f64::from(row.batch) / middle,
                "gflops": 2.0 * work / middle / 1e9,
                "share_of_peak": work / middle / spread(&peaks)[1],
                "megabytes": contender.memory()? / 1e6,
            }));
        }
        peak.memory()?;
        Ok(json!({
            "row": format!("{}, {} thread(s), batch {}", row.name, row.threads, row.batch),
            "peak_gflops": 2.0 * spread(&peaks)[1] / 1e9,
            "ratio": (!ratios.is_empty()).then(|| spread(&ratios)),
            "target": row.target,
            "measured": measured,
        }))
    }

    fn start_ours(&self, task: &str, numbers: &[String], level: &str) -> anyhow::Result<Contender> {
        let mut command = Command::new(&self.ours);
        command.arg(task).args(numbers);
        if !level.is_empty() {
            command.arg(level);
        }
        Contender::start(&mut command)
    }

    /// Errors of the gradients against double precision, ours and PyTorch's.
    fn accuracies(&self) -> anyhow::Result<Vec<Value>> {
        let Some(python) = &self.python else {
            return Ok(Vec::new());
        };
        let mut accuracies = Vec::new();
        for (depth, _) in MULTIPLY_ADDS {
            let directory = target_directory()?.join("bench-nn-gradients");
            let (depth_word, path) = (depth.to_string(), directory.to_string_lossy().into_owned());
            execute(Command::new(&self.ours).args(["gradients", &depth_word, "32", &path]))?;
            let answer = output(&mut command(python, &[PEERS, "accuracy", &path]))?;
            let answer = String::from_utf8(answer)?;
            let numbers = answer
                .split_whitespace()
                .map(str::parse)
                .collect::<Result<Vec<f64>, _>>()?;
            let [ours, theirs, worst] = numbers[..] else {
                bail!("{PEERS} answered {answer:?}");
            };
            accuracies.push(json!({
                "depth": depth, "ours": ours, "torch": theirs, "worst_tensor": worst,
            }));
            fs::remove_dir_all(&directory).with_context(|| format!("cannot remove {path}"))?;
        }
        Ok(accuracies)
    }
}

/// A process that times its calls when asked.
struct Contender {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Contender {
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().context("cannot start a contender")?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            bail!("a contender without pipes");
        };
        let mut contender = Self {
            process,
            input,
            output: BufReader::new(output),
        };
        let line = contender.line()?;
        ensure!(line == "ready", "a contender said {line:?} instead of being ready");
        Ok(contender)
    }

    fn ask(&mut self, seconds: f64) -> anyhow::Result<f64> {
        writeln!(self.input, "run {seconds}")?;
        let line = self.line()?;
        line.parse().with_context(|| format!("a contender said {line:?}"))
    }

    /// Ends the process; the most memory it held, bytes.
    fn memory(self) -> anyhow::Result<f64> {
        let Self {
            mut process,
            input,
            mut output,
        } = self;
        drop(input);
        let mut line = String::new();
        output.read_line(&mut line)?;
        ensure!(process.wait()?.success(), "a contender failed");
        let bytes = line
            .trim()
            .strip_prefix("memory ")
            .context("a contender hid its memory")?;
        Ok(bytes.parse()?)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure!(!line.is_empty(), "a contender ended early");
        Ok(line.trim().to_owned())
    }
}

/// The least, the median and the greatest.
fn spread(values: &[f64]) -> [f64; 3] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    [at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1))]
}

/// The interpreter of a virtual environment with the peers.
fn environment() -> anyhow::Result<PathBuf> {
    ensure!(
        works(&mut command("python3", &["-c", "import venv, ensurepip"])),
        "python3 with venv is needed"
    );
    let directory = root().join(".venv-bench");
    let python = directory.join("bin/python");
    let wanted =
        fs::read_to_string(root().join(REQUIREMENTS)).with_context(|| format!("cannot read {REQUIREMENTS}"))?;
    let stamp = directory.join("installed-requirements.txt");
    if !fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        say("installing PyTorch and ONNX Runtime from PyPI (about 5 GB on disk)");
        execute(command("python3", &["-m", "venv", "--clear"]).arg(&directory))?;
        let pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-cache-dir",
            "--requirement",
            REQUIREMENTS,
        ];
        execute(&mut command(&python, &pip)).context("PyPI cannot be reached or lacks a version")?;
        fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    }
    Ok(python)
}

/// Where cargo puts what it builds.
fn target_directory() -> anyhow::Result<PathBuf> {
    let metadata = output(&mut cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--locked",
    ]))?;
    let metadata: Value = serde_json::from_slice(&metadata)?;
    let directory = metadata["target_directory"].as_str();
    Ok(Path::new(directory.context("cargo names no target directory")?).to_owned())
}

fn show(row: &Value) {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let ratio = match row["ratio"]
        .as_array()
        .map(|ratio| ratio.iter().map(number).collect::<Vec<_>>())
    {
        Some(ratio) if ratio.len() == 3 => {
            let verdict = if ratio[1] >= number(&row["target"]) {
                "met"
            } else {
                "MISSED"
            };
            format!(
                "{:.2}x ({:.2}–{:.2}), target {}: {verdict}",
                ratio[1],
                ratio[0],
                ratio[2],
                number(&row["target"])
            )
        }
        _ => "no peer".to_owned(),
    };
    print(&format!(
        "\n{}: {ratio}; peak {:.0} GFLOP/s",
        row["row"].as_str().unwrap_or_default(),
        number(&row["peak_gflops"])
    ));
    for of in row["measured"].as_array().into_iter().flatten() {
        let milliseconds: Vec<f64> = of["milliseconds"]
            .as_array()
            .into_iter()
            .flatten()
            .map(number)
            .collect();
        let [low, middle, high] = milliseconds[..] else {
            continue;
        };
        print(&format!(
            "  {:12} {middle:9.3} ms ({low:.3}–{high:.3}) {:8.1} images/s {:6.1} GFLOP/s {:4.0}% of peak {:6.0} MB",
            of["name"].as_str().unwrap_or_default(),
            number(&of["images_per_second"]),
            number(&of["gflops"]),
            100.0 * number(&of["share_of_peak"]),
            number(&of["megabytes"])
        ));
    }
    show_memory(row);
}

/// The memory of training against PyTorch's.
fn show_memory(row: &Value) {
    let bytes = |name: &str| {
        let of = row["measured"].as_array()?.iter().find(|of| of["name"] == name)?;
        of["megabytes"].as_f64()
    };
    if let (Some(ours), Some(theirs)) = (bytes("scones-nn"), bytes("torch")) {
        let share = ours / theirs;
        let verdict = if share <= MEMORY_SHARE_MAX { "met" } else { "MISSED" };
        print(&format!(
            "  memory: {share:.2} of torch's, target {MEMORY_SHARE_MAX}: {verdict}"
        ));
    }
}

fn show_accuracy(of: &Value) {
    let number = |name: &str| of[name].as_f64().unwrap_or(f64::NAN);
    print(&format!(
        "\ngradient of ResNet-{}, relative error against double precision: scones-nn {:.2e}, PyTorch {:.2e} ({:.2}x); worst tensor {:.2}x",
        of["depth"],
        number("ours"),
        number("torch"),
        number("ours") / number("torch"),
        number("worst_tensor")
    ));
}

#[expect(clippy::print_stdout, reason = "the result of this command")]
fn print(line: &str) {
    println!("{line}");
}
