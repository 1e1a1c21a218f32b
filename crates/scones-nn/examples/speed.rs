//! Images per second of a residual network, for every set of vector
//! instructions of this processor. Arguments: threads (2), seconds a number
//! (3), depth (20), side of the images (32), batch size (64).

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::time::{Duration, Instant};

use scones_nn::{Architecture, Error, Network, Optimizer, Shape, SimdLevel, StepSettings, Trainer};

const CLASSES: usize = 10;

fn main() -> Result<(), Error> {
    let argument = |position| {
        std::env::args()
            .nth(position)
            .and_then(|text| text.parse::<usize>().ok())
    };
    let threads = argument(1).unwrap_or(2);
    let seconds = Duration::from_secs(argument(2).unwrap_or(3) as u64);
    let depth = argument(3).unwrap_or(20);
    let side = argument(4).unwrap_or(32);
    let batch = argument(5).unwrap_or(64);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|source| Error::Threads { threads, source })?;

    let input = Shape {
        height: side,
        width: side,
        channels: 3,
    };
    let architecture = Architecture::resnet(depth as u32, input, CLASSES)?;
    println!(
        "ResNet-{depth}, {side}×{side}: {} parameters, {} multiply-adds; {threads} threads, batch {batch}",
        architecture.parameter_count(),
        architecture.multiply_adds()
    );
    println!("{:10} {:>10} {:>10} {:>12}", "", "training", "inference", "one image");
    let images: Vec<f32> = (0..batch * input.length()).map(|i| (i as f32 * 0.37).sin()).collect();
    let targets: Vec<f32> = (0..batch * CLASSES)
        .map(|i| if i % CLASSES == i / CLASSES % CLASSES { 1.0 } else { 0.0 })
        .collect();
    let settings = StepSettings {
        learning_rate: 0.01,
        weight_decay: 1e-4,
    };
    let network = Network::new(architecture, 1)?;
    for level in SimdLevel::available() {
        let optimizer = Optimizer::default();
        let mut trainer = Trainer::with_level(network.clone(), batch, optimizer, threads, level)?;
        let training = rate(seconds, batch, || {
            trainer.step(&images, &targets, &settings).map(|_| ())
        })?;

        let inference = network.compile_for(level);
        let mut logits = vec![0.0; batch * CLASSES];
        let batched = pool.install(|| {
            let mut scratch = inference.scratch(batch);
            rate(seconds, batch, || {
                inference.logits(&images, batch, &mut scratch, &mut logits)
            })
        })?;
        let image = &images[..input.length()];
        let mut scratch = inference.scratch(1);
        let single = rate(seconds, 1, || {
            inference.logits(image, 1, &mut scratch, &mut logits[..CLASSES])
        })?;
        println!(
            "{:10} {training:>8.0}/s {batched:>8.0}/s {:>9.0} µs",
            level.name(),
            1e6 / single
        );
    }
    Ok(())
}

/// Images per second, at the median of repeated calls.
fn rate(duration: Duration, images: usize, mut call: impl FnMut() -> Result<(), Error>) -> Result<f64, Error> {
    call()?;
    let start = Instant::now();
    let mut times = Vec::new();
    while start.elapsed() < duration {
        let before = Instant::now();
        call()?;
        times.push(before.elapsed());
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or(duration);
    Ok(images as f64 / median.as_secs_f64())
}
