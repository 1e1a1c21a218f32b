//! How long a classifier of the default size takes for one encoded image on one thread:
//! `cargo run --release -p scones-vision --example latency -- [IMAGES]`.

#![expect(clippy::print_stdout, reason = "it is a command-line program")]

use std::{
    error::Error,
    io::Cursor,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use scones_vision::{
    dataset::synthetic,
    predict::Classifier,
    training::{Settings, Start, train},
};

fn main() -> Result<(), Box<dyn Error>> {
    let count = std::env::args().nth(1).map_or(Ok(1000), |text| text.parse())?;
    let drawn = synthetic::draw(64, 1);
    // The weights do not matter for the time.
    let settings = Settings {
        epochs: 1,
        ..Settings::new(800, 1, 1)
    };
    let trained = train(&drawn, None, &settings, Start::Scratch, &mut |_| {
        ControlFlow::Continue(())
    })?;
    let classifier = Classifier::new(&trained.model);
    let mut images = Vec::new();
    for sample in &drawn.samples {
        let mut bytes = Cursor::new(Vec::new());
        sample.image.write_to(&mut bytes, image::ImageFormat::Png)?;
        images.push(bytes.into_inner());
    }
    let mut times: Vec<Duration> = Vec::new();
    for bytes in images.iter().cycle().take(count) {
        let began = Instant::now();
        classifier.classify(bytes)?;
        times.push(began.elapsed());
    }
    times.sort();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize);
    let (width, height) = drawn.samples.first().map_or((0, 0), |sample| sample.image.dimensions());
    println!(
        "{count} PNGs of {width}x{height}: median {:?}, 99th percentile {:?}",
        at(0.5).unwrap_or(&Duration::ZERO),
        at(0.99).unwrap_or(&Duration::ZERO)
    );
    Ok(())
}
