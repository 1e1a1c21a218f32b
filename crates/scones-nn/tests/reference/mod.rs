//! The network in double precision and plain loops, straight from its
//! definition: what the fast one is tested against.

use std::collections::BTreeMap;

use scones_nn::{Architecture, Block, Network, Transition};

/// One image: `[row][column][channel]`, flattened.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    pub(crate) data: Vec<f64>,
}

impl Image {
    fn at(&self, row: isize, column: isize, channel: usize) -> f64 {
        let inside = |at: isize, size: usize| (0..size as isize).contains(&at);
        if !inside(row, self.height) || !inside(column, self.width) {
            return 0.0;
        }
        self.data[(row as usize * self.width + column as usize) * self.channels + channel]
    }
}

/// Whether normalisations use the batch or their running statistics.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    Training,
    Inference,
}

/// Tensors by name.
#[derive(Clone)]
pub(crate) struct Reference {
    pub(crate) architecture: Architecture,
    pub(crate) tensors: BTreeMap<String, (Vec<usize>, Vec<f64>)>,
}

impl Reference {
    pub(crate) fn new(network: &Network) -> Self {
        let tensors = network
            .tensors()
            .map(|(name, shape, values)| (name, (shape, values.iter().map(|&value| f64::from(value)).collect())));
        Self {
            architecture: network.architecture().clone(),
            tensors: tensors.collect(),
        }
    }

    fn values(&self, name: &str) -> &[f64] {
        &self.tensors[name].1
    }

    pub(crate) fn logits(&self, images: &[f32], mode: Mode) -> Vec<Vec<f64>> {
        let input = self.architecture.input;
        let images = images.chunks_exact(input.length()).map(|image| Image {
            height: input.height,
            width: input.width,
            channels: input.channels,
            data: image.iter().map(|&value| f64::from(value)).collect(),
        });
        let stem_stride = if input.height.max(input.width) <= 64 { 1 } else { 4 };
        let stem = self.unit(&images.collect::<Vec<_>>(), "stem", "", stem_stride, mode);
        let mut activation = rectify(stem);
        for (stage, of) in self.architecture.stages.iter().enumerate() {
            let pools = self.architecture.transition == Transition::Pooled;
            if pools {
                let prefix = format!("stage{}.", stage + 1);
                let convolved = self.convolve(&activation, &format!("{prefix}conv.weight"), 1);
                let largest = convolved.iter().map(|image| largest(image, of.stride)).collect();
                activation = rectify(self.normalise(largest, &format!("{prefix}norm"), mode));
            }
            for block in 0..of.blocks {
                let name = format!("stage{}.block{block}.", stage + 1);
                let stride = if block == 0 && !pools { of.stride } else { 1 };
                let mut output = match self.architecture.block {
                    Block::Basic => {
                        let hidden = rectify(self.unit(&activation, &name, "1", stride, mode));
                        self.unit(&hidden, &name, "2", 1, mode)
                    }
                    Block::Bottleneck => {
                        let narrow = rectify(self.unit(&activation, &name, "1", 1, mode));
                        let hidden = rectify(self.unit(&narrow, &name, "2", stride, mode));
                        self.unit(&hidden, &name, "3", 1, mode)
                    }
                };
                let has_projection = self.tensors.contains_key(&format!("{name}shortcut.conv.weight"));
                let shortcut = if has_projection {
                    self.unit(&activation, &format!("{name}shortcut"), "", stride, mode)
                } else {
                    activation
                };
                for (output, shortcut) in output.iter_mut().zip(&shortcut) {
                    for (value, add) in output.data.iter_mut().zip(&shortcut.data) {
                        *value += add;
                    }
                }
                activation = rectify(output);
            }
        }
        activation.iter().map(|image| self.dense(image)).collect()
    }

    /// Mean cross entropy of a batch in training.
    pub(crate) fn loss(&self, images: &[f32], targets: &[f32]) -> f64 {
        let logits = self.logits(images, Mode::Training);
        let count = logits.len() as f64;
        let losses = logits
            .iter()
            .zip(targets.chunks_exact(self.architecture.classes))
            .map(|(logits, targets)| {
                let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
                let terms = logits.iter().zip(targets);
                terms
                    .map(|(logit, &target)| f64::from(target) * (sum.ln() - logit))
                    .sum::<f64>()
            });
        losses.sum::<f64>() / count
    }

    fn unit(&self, images: &[Image], prefix: &str, index: &str, stride: usize, mode: Mode) -> Vec<Image> {
        let dot = if prefix.ends_with('.') { "" } else { "." };
        let name = |part: &str| format!("{prefix}{dot}{part}");
        let convolved = self.convolve(images, &name(&format!("conv{index}.weight")), stride);
        self.normalise(convolved, &name(&format!("norm{index}")), mode)
    }

    fn convolve(&self, images: &[Image], name: &str, stride: usize) -> Vec<Image> {
        let (shape, weights) = &self.tensors[name];
        let [outputs, inputs, kernel, _] = shape[..] else {
            panic!("{name}: {shape:?}")
        };
        let padding = (kernel / 2) as isize;
        let convolve_one = |image: &Image| {
            let (height, width) = (image.height.div_ceil(stride), image.width.div_ceil(stride));
            let mut data = vec![0.0; height * width * outputs];
            for (index, value) in data.iter_mut().enumerate() {
                let (pixel, output) = (index / outputs, index % outputs);
                let (row, column) = ((pixel / width * stride) as isize, (pixel % width * stride) as isize);
                for input in 0..inputs {
                    for tap in 0..kernel * kernel {
                        let (r, c) = ((tap / kernel) as isize, (tap % kernel) as isize);
                        *value += weights[(output * inputs + input) * kernel * kernel + tap]
                            * image.at(row + r - padding, column + c - padding, input);
                    }
                }
            }
            Image {
                height,
                width,
                channels: outputs,
                data,
            }
        };
        images.iter().map(convolve_one).collect()
    }

    fn normalise(&self, mut images: Vec<Image>, name: &str, mode: Mode) -> Vec<Image> {
        for channel in 0..images[0].channels {
            let (mean, variance) = match mode {
                Mode::Training => moments(&images, channel),
                Mode::Inference => (
                    self.values(&format!("{name}.running_mean"))[channel],
                    self.values(&format!("{name}.running_var"))[channel],
                ),
            };
            let scale = self.values(&format!("{name}.weight"))[channel] / (variance + 1e-5).sqrt();
            let shift = self.values(&format!("{name}.bias"))[channel];
            for image in &mut images {
                for value in image.data.iter_mut().skip(channel).step_by(image.channels) {
                    *value = (*value - mean) * scale + shift;
                }
            }
        }
        images
    }

    fn dense(&self, image: &Image) -> Vec<f64> {
        let pixels = (image.height * image.width) as f64;
        let feature = |channel: usize| image.data.iter().skip(channel).step_by(image.channels).sum::<f64>() / pixels;
        let features: Vec<f64> = (0..image.channels).map(feature).collect();
        let rows = self.values("classifier.weight").chunks_exact(features.len());
        let logits = rows.zip(self.values("classifier.bias")).map(|(row, bias)| {
            bias + row
                .iter()
                .zip(&features)
                .map(|(weight, feature)| weight * feature)
                .sum::<f64>()
        });
        logits.collect()
    }
}

/// Mean and biased variance of a channel over a batch.
pub(crate) fn moments(images: &[Image], channel: usize) -> (f64, f64) {
    let values = || {
        images
            .iter()
            .flat_map(move |image| image.data.iter().skip(channel).step_by(image.channels))
    };
    let count = values().count() as f64;
    let mean = values().sum::<f64>() / count;
    (mean, values().map(|value| (value - mean).powi(2)).sum::<f64>() / count)
}

/// The largest of each square of `side` times `side` pixels.
fn largest(image: &Image, side: usize) -> Image {
    let (height, width) = (image.height.div_ceil(side), image.width.div_ceil(side));
    let mut data = vec![f64::NEG_INFINITY; height * width * image.channels];
    for (index, &value) in image.data.iter().enumerate() {
        let (pixel, channel) = (index / image.channels, index % image.channels);
        let (row, column) = (pixel / image.width / side, pixel % image.width / side);
        let most = &mut data[(row * width + column) * image.channels + channel];
        *most = most.max(value);
    }
    Image {
        height,
        width,
        channels: image.channels,
        data,
    }
}

fn rectify(mut images: Vec<Image>) -> Vec<Image> {
    for image in &mut images {
        for value in &mut image.data {
            *value = value.max(0.0);
        }
    }
    images
}
