//! Step 1: the images, staged in a bucket as SageMaker's channels want them.

use std::{
    io::Cursor,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use anyhow::Context as _;
use image::ImageFormat;
use indicatif::ProgressBar;
use scones_vision::dataset::Dataset;
use serde::Serialize;

use super::{NAME, Stage, section::Section};
use crate::{
    client::Client,
    picture,
    source::{self, Source, file_name},
    terminal,
};

/// Uploads at the same time.
const UPLOADERS: usize = 8;

/// Images shown of each class.
const PREVIEWS: usize = 6;

/// What was staged.
#[derive(Debug, Serialize)]
pub(super) struct ImagesSection {
    pub(super) source: String,
    pub(super) bucket: String,
    pub(super) classes: Vec<String>,
    pub(super) train_counts: Vec<usize>,
    pub(super) test_counts: Vec<usize>,
    /// The height and width that the network takes.
    pub(super) image_size: (u32, u32),
    /// Whether the images are of other sizes, and have to be resized.
    pub(super) resized: bool,
    warnings: Vec<String>,
    commands: Vec<String>,
    /// The object of a test image.
    #[serde(skip)]
    pub(super) example: String,
    #[serde(skip)]
    previews: Vec<String>,
}

impl Section for ImagesSection {
    fn title(&self) -> &'static str {
        "Images"
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{}, staged in s3://{}", self.source, self.bucket)];
        for (label, class) in self.classes.iter().enumerate() {
            lines.push(format!(
                "{class}: {} to train on, {} to test with",
                self.train_counts[label], self.test_counts[label]
            ));
        }
        lines.extend(self.warnings.iter().map(|warning| format!("warning: {warning}")));
        lines.extend(self.previews.iter().cloned());
        lines
    }

    fn commands(&self) -> &[String] {
        &self.commands
    }
}

/// Uploads both parts with their image lists.
pub(super) fn stage(stage: &Stage<'_>, source: &Source) -> anyhow::Result<ImagesSection> {
    stage.client.create_bucket(NAME)?;
    let total = source.train.samples.len() + source.test.samples.len();
    let bar = terminal::bar(total as u64, "images", "Uploading the images");
    upload(stage.client, "train", &source.train, &bar)?;
    upload(stage.client, "test", &source.test, &bar)?;
    bar.finish_and_clear();
    let size = source.common_size();
    let fresh = &stage.fresh;
    let example = source.test.samples.first().context("there are no test images")?;
    Ok(ImagesSection {
        source: source.description.clone(),
        bucket: NAME.to_owned(),
        classes: source.train.classes.clone(),
        train_counts: source.train.class_counts(),
        test_counts: source.test.class_counts(),
        image_size: size.unwrap_or((source::RESIZED_SIDE, source::RESIZED_SIDE)),
        resized: size.is_none(),
        warnings: source.warnings.clone(),
        commands: vec![
            format!("{} --output {fresh}", stage.import),
            format!("aws s3 mb s3://{fresh}"),
            format!("aws s3 sync {fresh} s3://{fresh} --only-show-errors"),
        ],
        example: test_key(&example.name),
        previews: if stage.aloud {
            previews(&source.train)
        } else {
            Vec::new()
        },
    })
}

/// The object of a test image.
pub(super) fn test_key(name: &str) -> String {
    format!("test/{}", file_name(name))
}

fn upload(client: &Client, channel: &str, dataset: &Dataset, bar: &ProgressBar) -> anyhow::Result<()> {
    let mut list = String::new();
    for (index, sample) in dataset.samples.iter().enumerate() {
        list += &format!("{index}\t{}\t{}\n", sample.label, file_name(&sample.name));
    }
    let next = AtomicUsize::new(0);
    let work = || -> anyhow::Result<()> {
        while let Some(sample) = dataset.samples.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut png = Cursor::new(Vec::new());
            sample
                .image
                .write_to(&mut png, ImageFormat::Png)
                .with_context(|| format!("cannot encode {}", sample.name))?;
            client.put_object(
                NAME,
                &format!("{channel}/{}", file_name(&sample.name)),
                "image/png",
                png.get_ref(),
            )?;
            bar.inc(1);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..UPLOADERS).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| anyhow::anyhow!("an upload panicked"))?)
    })?;
    // The list comes last: it names only what is there.
    client.put_object(NAME, &format!("{channel}.lst"), "text/plain", list.as_bytes())?;
    Ok(())
}

fn previews(dataset: &Dataset) -> Vec<String> {
    if !picture::is_possible() {
        return Vec::new();
    }
    let of_class = |label: usize| {
        dataset
            .samples
            .iter()
            .filter(move |sample| sample.label == label)
            .take(PREVIEWS / dataset.classes.len().clamp(1, PREVIEWS))
    };
    let chosen: Vec<_> = (0..dataset.classes.len().min(PREVIEWS))
        .flat_map(of_class)
        .map(|sample| &sample.image)
        .collect();
    picture::row(&chosen)
}
