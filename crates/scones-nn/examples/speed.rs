//! Images per second of ResNet-20 on 32×32 images, for every set of vector
//! instructions of this processor. Arguments: threads (2), seconds a row (3).

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::time::{Duration, Instant};

use scones_nn::{Architecture, Error, Network, Optimizer, Shape, SimdLevel, StepSettings, Trainer};

const BATCH: usize = 64;
const CLASSES: usize = 10;

fn main() -> Result<(), Error> {
    let argument = |position| std::env::args().nth(position).and_then(|text| text.parse().ok());
    let threads = argument(1).unwrap_or(2) as usize;
    let seconds = Duration::from_secs(argument(2).unwrap_or(3));
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|source| Error::Threads { threads, source })?;

    let input = Shape {
        height: 32,
        width: 32,
        channels: 3,
    };
    let architecture = Architecture::resnet(20, input, CLASSES)?;
    println!(
        "ResNet-20: {} parameters, {} multiply-adds; {threads} threads, batch {BATCH}",
        architecture.parameter_count(),
        architecture.multiply_adds()
    );
    println!("{:10} {:>10} {:>10} {:>12}", "", "training", "inference", "one image");
    let images: Vec<f32> = (0..BATCH * input.length()).map(|i| (i as f32 * 0.37).sin()).collect();
    let targets: Vec<f32> = (0..BATCH * CLASSES)
        .map(|i| if i % CLASSES == i / CLASSES % CLASSES { 1.0 } else { 0.0 })
        .collect();
    let settings = StepSettings {
        learning_rate: 0.01,
        weight_decay: 1e-4,
    };
    let network = Network::new(architecture, 1)?;
    for level in SimdLevel::available() {
        let optimizer = Optimizer::default();
        let mut trainer = Trainer::with_level(network.clone(), BATCH, optimizer, threads, level)?;
        let training = rate(seconds, BATCH, || {
            trainer.step(&images, &targets, &settings).map(|_| ())
        })?;

        let inference = network.compile_for(level);
        let mut logits = vec![0.0; BATCH * CLASSES];
        let batched = pool.install(|| {
            let mut scratch = inference.scratch(BATCH);
            rate(seconds, BATCH, || {
                inference.logits(&images, BATCH, &mut scratch, &mut logits)
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
