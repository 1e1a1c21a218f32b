//! Batches of varied images with soft labels, prepared in parallel.

use std::borrow::Cow;

use image::RgbImage;
use rayon::prelude::*;

use super::Settings;
use crate::{
    dataset::{Dataset, Label, LabelKind},
    preprocessing::Preprocessing,
    random::Random,
};

/// Streams of the seed.
const ORDER_STREAM: u64 = 1;
const VARIATION_STREAM: u64 = 2;
const MIXING_STREAM: u64 = 3;

/// The training images, fitted once, and buffers for one batch.
pub(super) struct Batches<'a, L = usize> {
    fitted: Vec<Cow<'a, RgbImage>>,
    labels: Vec<&'a L>,
    /// The targets of an image without any class.
    smoothing: Vec<f32>,
    classes: usize,
    preprocessing: Preprocessing,
    settings: Settings,
    per_epoch: usize,
    random: Random,
    /// The order of the epoch at hand.
    order: Vec<usize>,
    ordered_epoch: Option<u32>,
    images: Vec<f32>,
    targets: Vec<f32>,
    mixed: Vec<f32>,
}

impl<'a, L: Label> Batches<'a, L> {
    pub(super) fn new(training: &'a Dataset<L>, preprocessing: &Preprocessing, settings: &Settings) -> Self {
        let samples = &training.samples;
        let fit = |image: &'a RgbImage| {
            preprocessing
                .fit()
                .apply(image)
                .map_or(Cow::Borrowed(image), Cow::Owned)
        };
        Self {
            fitted: samples.par_iter().map(|sample| fit(&sample.image)).collect(),
            labels: samples.iter().map(|sample| &sample.label).collect(),
            smoothing: smoothing(training, settings.label_smoothing),
            classes: training.classes.len(),
            preprocessing: preprocessing.clone(),
            settings: settings.clone(),
            per_epoch: samples.len().div_ceil(settings.batch_size).max(1),
            random: Random::new(settings.seed),
            order: (0..samples.len()).collect(),
            ordered_epoch: None,
            images: Vec::new(),
            targets: Vec::new(),
            mixed: Vec::new(),
        }
    }

    /// Steps an epoch.
    pub(super) fn per_epoch(&self) -> usize {
        self.per_epoch
    }

    /// Images in the largest batch. Batches of an epoch differ by one image at most, so that the
    /// last one is not a small one with noisy statistics.
    pub(super) fn largest(&self) -> usize {
        self.fitted.len().div_ceil(self.per_epoch)
    }

    /// At most so many images, evenly spread, as they are when nothing is varied.
    pub(super) fn plain(&self, most: usize) -> impl IndexedParallelIterator<Item = Vec<f32>> {
        let step = self.fitted.len().div_ceil(most).max(1);
        self.fitted.par_iter().step_by(step).map(|image| {
            let mut out = vec![0.0; self.preprocessing.length()];
            self.preprocessing.write(image, false, &mut out);
            out
        })
    }

    /// The images and the targets of a batch. Every image comes once an epoch, in an order and in
    /// variations that the seed, the epoch and the position decide.
    pub(super) fn prepare(&mut self, epoch: u32, batch: usize) -> (&[f32], &[f32]) {
        if self.ordered_epoch != Some(epoch) {
            self.order.sort_unstable();
            self.random
                .part(ORDER_STREAM)
                .part(epoch.into())
                .shuffle(&mut self.order);
            self.ordered_epoch = Some(epoch);
        }
        let total = self.order.len();
        let positions = batch * total / self.per_epoch..(batch + 1) * total / self.per_epoch;
        self.vary(epoch, positions.clone());
        self.label(positions.clone());
        self.mix(epoch, positions);
        (&self.images, &self.targets)
    }

    fn vary(&mut self, epoch: u32, positions: std::ops::Range<usize>) {
        let Self {
            fitted,
            preprocessing,
            settings,
            order,
            images,
            ..
        } = self;
        let length = preprocessing.length();
        images.resize(positions.len() * length, 0.0);
        let source = self.random.part(VARIATION_STREAM).part(epoch.into());
        let samples = order[positions.clone()].par_iter().zip(positions.into_par_iter());
        images
            .par_chunks_exact_mut(length)
            .zip(samples)
            .for_each(|(out, (&sample, position))| {
                let mut random = source.part(position as u64);
                settings
                    .augmentation
                    .write(&fitted[sample], preprocessing, &mut random, out);
            });
    }

    fn label(&mut self, positions: std::ops::Range<usize>) {
        self.targets.clear();
        for &sample in &self.order[positions] {
            let from = self.targets.len();
            self.targets.extend_from_slice(&self.smoothing);
            for &class in self.labels[sample].classes() {
                self.targets[from + class] += 1.0 - self.settings.label_smoothing;
            }
        }
    }

    /// Mixes some images, and their targets, with their neighbours in the batch.
    fn mix(&mut self, epoch: u32, positions: std::ops::Range<usize>) {
        if self.settings.augmentation.mixup <= 0.0 || positions.len() < 2 {
            return;
        }
        let source = self.random.part(MIXING_STREAM).part(epoch.into());
        let (images, targets) = (self.preprocessing.length(), self.classes);
        let shares: Vec<f32> = positions
            .map(|position| {
                let mut random = source.part(position as u64);
                // Never more of the other than of itself.
                if random.chance(self.settings.augmentation.mixup) {
                    random.between(0.0, 0.5)
                } else {
                    0.0
                }
            })
            .collect();
        mix_rows(&mut self.images, &mut self.mixed, images, &shares);
        mix_rows(&mut self.targets, &mut self.mixed, targets, &shares);
    }
}

/// What label smoothing gives to every class of every image. With one class an image that is the
/// same for all; with several it is in proportion to how many images have the class, so that the
/// targets of a rare class stay as rare as it is.
fn smoothing<L: Label>(training: &Dataset<L>, share: f32) -> Vec<f32> {
    let classes = training.classes.len();
    match L::KIND {
        LabelKind::Single => vec![share / classes as f32; classes],
        LabelKind::Multi => {
            let images = training.samples.len().max(1) as f32;
            let counts = training.class_counts().into_iter();
            counts.map(|count| share * (count as f32 / images)).collect()
        }
    }
}

/// Adds to each row its share of the next row, as that was before; the last is next to the first.
fn mix_rows(rows: &mut Vec<f32>, mixed: &mut Vec<f32>, length: usize, shares: &[f32]) {
    mixed.clear();
    let neighbours = rows.chunks_exact(length).cycle().skip(1);
    for ((own, other), share) in rows.chunks_exact(length).zip(neighbours).zip(shares) {
        mixed.extend(own.iter().zip(other).map(|(own, other)| own + share * (other - own)));
    }
    std::mem::swap(rows, mixed);
}
