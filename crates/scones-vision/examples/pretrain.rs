//! Trains the network that ships inside the program for `use_pretrained_model=1`.
//!
//! `cargo xtask pretrain --data ARCHIVE`, with a zip archive of `train/CLASS/*.jpg` and
//! `test/CLASS/*.jpg` (CIFAR-10), or a folder of the same layout. It keeps a checkpoint after each
//! epoch in `--work`, goes on from it when it is started again, and writes the model and its
//! provenance to `--out`. The test images measure the network and decide nothing.

#![expect(clippy::print_stdout, reason = "it is a command-line program")]

use std::{
    collections::HashMap,
    error::Error,
    fs,
    io::Read as _,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Instant,
};

use scones_vision::{
    dataset::{Dataset, Sample, folder},
    decode,
    evaluation::{Evaluation, probabilities},
    model::Model,
    predict::Classifier,
    training::{Progress, Start, TrainedModel, Training},
};

const USAGE: &str = "usage: pretrain --data ARCHIVE|FOLDER --work FOLDER --out FOLDER [--epochs N] [--threads N]";

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let path = |name: &str| options.get(name).map(PathBuf::from).ok_or(USAGE);
    let number = |name: &str, default: u32| options.get(name).map_or(Ok(default), |text| text.parse());
    let (data, work, out) = (path("data")?, path("work")?, path("out")?);
    let (training, test) = (read(&data, "train")?, read(&data, "test")?);
    println!(
        "{} training and {} test images of {}",
        training.samples.len(),
        test.samples.len(),
        training.classes.join(", ")
    );

    let mut settings = scones_vision::backbone::settings(number("threads", 2)? as usize);
    settings.epochs = number("epochs", settings.epochs)?;
    let mut run = Training::new(&training, None, &settings, Start::Scratch)?;
    fs::create_dir_all(&work)?;
    let checkpoint = work.join("checkpoint.safetensors");
    if checkpoint.exists() {
        run.resume(&fs::read(&checkpoint)?)?;
        println!("goes on after epoch {} of {}", run.epochs(), settings.epochs);
    }
    let started = Instant::now();
    while run.epoch(&mut |progress| say(progress, started))?.is_continue() {
        let unfinished = checkpoint.with_extension("new");
        fs::write(&unfinished, run.checkpoint().to_bytes()?)?;
        fs::rename(&unfinished, &checkpoint)?;
    }
    deliver(run.finish()?, &test, &out)?;
    fs::remove_file(&checkpoint)?;
    Ok(())
}

fn options() -> Result<HashMap<String, String>, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let pairs = arguments.chunks(2).map(|pair| match pair {
        [name, value] if name.starts_with("--") => Ok((name[2..].to_owned(), value.clone())),
        _ => Err(USAGE.into()),
    });
    pairs.collect()
}

fn say(progress: Progress, started: Instant) -> ControlFlow<()> {
    match progress {
        Progress::Epoch {
            epoch, loss, accuracy, ..
        } => {
            println!(
                "epoch {epoch}: loss {loss:.4} accuracy {accuracy:.4} {:.0} s",
                started.elapsed().as_secs_f64()
            );
        }
        Progress::Batch {
            epoch,
            images,
            loss,
            batch,
            ..
        } if batch % 100 == 99 => {
            println!(
                "epoch {epoch}: {images} images, loss {loss:.4}, {:.0} s",
                started.elapsed().as_secs_f64()
            );
        }
        Progress::Batch { .. } | Progress::Started { .. } => {}
    }
    ControlFlow::Continue(())
}

/// Writes the model in half precision and measures what was written.
fn deliver(trained: TrainedModel, test: &Dataset, out: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(out)?;
    let path = out.join("model.tar.gz");
    trained.model.write_half(fs::File::create(&path)?)?;
    let model = Model::read(fs::File::open(&path)?)?;
    let accuracy = accuracy(&model, test)?;
    println!(
        "{}: {} bytes, accuracy {accuracy} on the test images",
        path.display(),
        fs::metadata(&path)?.len()
    );
    Ok(())
}

fn accuracy(model: &Model, test: &Dataset) -> Result<String, Box<dyn Error>> {
    let classifier = Classifier::new(model);
    let logits = classifier.all_logits(test)?;
    let labels: Vec<usize> = test.samples.iter().map(|sample| sample.label).collect();
    let classes = model.classes.len();
    let accuracy = Evaluation::new(&probabilities(&logits, classes, 1.0), &labels, classes).accuracy;
    Ok(format!(
        "{:.4} [{:.4}, {:.4}]",
        accuracy.value, accuracy.low, accuracy.high
    ))
}

fn read(data: &Path, part: &str) -> Result<Dataset, Box<dyn Error>> {
    if data.is_dir() {
        return Ok(folder::read(&data.join(part))?);
    }
    let mut archive = zip::ZipArchive::new(fs::File::open(data)?)?;
    let mut names: Vec<String> = archive
        .file_names()
        .map(|name| Ok(name?.into_owned()))
        .collect::<Result<_, zip::result::ZipError>>()?;
    names.sort();
    let mut dataset = Dataset::default();
    for name in names {
        let parts: Vec<&str> = name.split('/').collect();
        let [of, class, file] = parts[..] else { continue };
        if of != part || file.is_empty() {
            continue;
        }
        if dataset.classes.last().is_none_or(|last| last != class) {
            dataset.classes.push(class.to_owned());
        }
        let mut bytes = Vec::new();
        archive.by_name(&name)?.read_to_end(&mut bytes)?;
        dataset.samples.push(Sample {
            image: decode::decode(&bytes)?,
            label: dataset.classes.len() - 1,
            name: name.clone(),
        });
    }
    Ok(dataset)
}
