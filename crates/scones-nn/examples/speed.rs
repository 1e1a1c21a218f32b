//! The speed of the kernels, for `cargo xtask bench nn` and by hand:
//!
//! - `speed train|infer DEPTH BATCH THREADS [LEVEL]` answers each line `run
//!   SECONDS` on standard input by the median seconds of a call, and the end of
//!   input by `memory BYTES`, the process's peak. So `echo run 3 | speed train
//!   20 64 2`.
//! - `speed peak THREADS` answers likewise by the multiply-adds a second that a
//!   loop of nothing else reaches, and `memory 0`.
//! - `speed gradients DEPTH BATCH DIRECTORY` leaves a network, a batch and the
//!   gradients of its loss there, each as raw floats.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::error::Error;
use std::io::BufRead as _;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, hint, thread};

use scones_nn::{Architecture, Network, Optimizer, Shape, SimdLevel, StepSettings, Trainer};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const CLASSES: usize = 10;
const INPUT: Shape = Shape {
    height: 32,
    width: 32,
    channels: 3,
};
const SETTINGS: StepSettings = StepSettings {
    learning_rate: 0.01,
    weight_decay: 1e-4,
};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["peak", threads] => peak(threads.parse()?),
        ["gradients", depth, batch, directory] => gradients(depth.parse()?, batch.parse()?, Path::new(directory)),
        [task, depth, batch, threads] => time(task, depth.parse()?, batch.parse()?, threads.parse()?, ""),
        [task, depth, batch, threads, level] => time(task, depth.parse()?, batch.parse()?, threads.parse()?, level),
        _ => Err("which task? see the head of the source".into()),
    }
}

fn network(depth: u32) -> Result<Network> {
    Ok(Network::new(Architecture::resnet(depth, INPUT, CLASSES)?, 1)?)
}

fn batch(count: usize) -> (Vec<f32>, Vec<f32>) {
    let images = (0..count * INPUT.length()).map(|i| (i as f32 * 12.9898).sin() * 43_758.547 % 1.5);
    let targets = (0..count * CLASSES).map(|i| if i % CLASSES == i / CLASSES % CLASSES { 1.0 } else { 0.0 });
    (images.collect(), targets.collect())
}

/// Times training steps or inference of a whole batch.
fn time(task: &str, depth: u32, count: usize, threads: usize, level: &str) -> Result<()> {
    let level = SimdLevel::available()
        .into_iter()
        .find(|found| level.is_empty() || found.name() == level)
        .ok_or("this processor lacks those instructions")?;
    let network = network(depth)?;
    let (images, targets) = batch(count);
    match task {
        "train" => {
            let mut trainer = Trainer::with_level(network, count, Optimizer::default(), threads, level)?;
            serve(|| Ok(trainer.step(&images, &targets, &SETTINGS).map(|_| ())?))
        }
        "infer" => {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
            let inference = network.compile_for(level);
            let mut logits = vec![0.0; count * CLASSES];
            pool.install(|| {
                let mut scratch = inference.scratch(count);
                serve(|| Ok(inference.logits(&images, count, &mut scratch, &mut logits)?))
                    .map_err(|error| error.to_string())
            })?;
            Ok(())
        }
        _ => Err(format!("{task} is no task").into()),
    }
}

/// Answers standard input as the head of this file says.
fn serve(mut call: impl FnMut() -> Result<()>) -> Result<()> {
    for _ in 0..3 {
        call()?;
    }
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let duration = seconds(&line?)?;
        let (begin, mut times) = (Instant::now(), Vec::new());
        while times.len() < 2 || begin.elapsed() < duration {
            let start = Instant::now();
            call()?;
            times.push(start.elapsed());
        }
        times.sort_unstable();
        println!("{}", times[times.len() / 2].as_secs_f64());
    }
    println!("memory {}", memory());
    Ok(())
}

fn seconds(line: &str) -> Result<Duration> {
    let number = line.strip_prefix("run ").ok_or("run SECONDS is the only command")?;
    Ok(Duration::try_from_secs_f64(number.parse()?)?)
}

/// The most memory that this process ever held, bytes; 0 where it is not known.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

/// Times a loop of multiply-adds on each thread.
fn peak(threads: usize) -> Result<()> {
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let duration = seconds(&line?)?;
        let rates = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(move || rate(duration))).collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or(0.0))
                .sum::<f64>()
        });
        println!("{rates}");
    }
    println!("memory 0");
    Ok(())
}

/// Multiply-adds a second of one thread, the best of many short loops.
fn rate(duration: Duration) -> f64 {
    const ROUNDS: usize = 100_000;
    let (begin, mut best) = (Instant::now(), 0.0_f64);
    while begin.elapsed() < duration {
        let start = Instant::now();
        let done = multiply_adds(ROUNDS);
        best = best.max(done as f64 / start.elapsed().as_secs_f64());
    }
    best
}

/// Does so many rounds of independent multiply-adds; returns how many in all.
#[cfg(target_arch = "x86_64")]
fn multiply_adds(rounds: usize) -> usize {
    use std::arch::x86_64::*;

    // More than the latency times the throughput of any processor.
    const CHAINS: usize = 12;

    #[target_feature(enable = "avx512f")]
    fn wide(rounds: usize) -> [__m512; CHAINS] {
        let mut sums = [_mm512_set1_ps(0.5); CHAINS];
        let factor = _mm512_set1_ps(hint::black_box(0.999));
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, factor, factor);
            }
        }
        sums
    }

    #[target_feature(enable = "avx2,fma")]
    fn narrow(rounds: usize) -> [__m256; CHAINS] {
        let mut sums = [_mm256_set1_ps(0.5); CHAINS];
        let factor = _mm256_set1_ps(hint::black_box(0.999));
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, factor, factor);
            }
        }
        sums
    }

    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512F.
        hint::black_box(unsafe { wide(rounds) });
        rounds * CHAINS * 16
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has AVX2 and FMA.
        hint::black_box(unsafe { narrow(rounds) });
        rounds * CHAINS * 8
    } else {
        0
    }
}

/// Not measured on this processor.
#[cfg(not(target_arch = "x86_64"))]
fn multiply_adds(rounds: usize) -> usize {
    hint::black_box(rounds) * 0
}

/// Writes what `peers.py accuracy` compares.
fn gradients(depth: u32, count: usize, directory: &Path) -> Result<()> {
    let fresh = network(depth)?;
    let (images, targets) = batch(count);
    // Fresh blocks are identities; a few steps make every path carry.
    let mut trainer = Trainer::new(fresh, count, Optimizer::default(), 2)?;
    for _ in 0..4 {
        trainer.step(&images, &targets, &SETTINGS)?;
    }
    let network = trainer.into_network();
    // The first velocity of plain momentum is the gradient itself.
    let optimizer = Optimizer::Sgd {
        momentum: 0.5,
        nesterov: false,
    };
    let mut trainer = Trainer::new(network.clone(), count, optimizer, 2)?;
    let still = StepSettings {
        learning_rate: 0.0,
        weight_decay: 0.0,
    };
    trainer.step(&images, &targets, &still)?;

    fs::create_dir_all(directory)?;
    let write = |name: &str, values: &[f32]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        fs::write(directory.join(name), bytes)
    };
    fs::write(directory.join("case"), format!("{depth} {count}"))?;
    write("images", &images)?;
    write("targets", &targets)?;
    let mut gradients = &trainer.memory().first[..];
    for (name, _, values) in network.tensors() {
        let (gradient, rest) = gradients.split_at(values.len());
        gradients = rest;
        write(&format!("{name}.value"), values)?;
        write(&format!("{name}.gradient"), gradient)?;
    }
    Ok(())
}
