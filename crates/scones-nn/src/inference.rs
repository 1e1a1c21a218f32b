//! Classification with fixed weights.
//!
//! Each normalisation is folded into the convolution before it, and the
//! shortcut and the rectifier are done as the sums leave the registers. A few
//! images go through the whole network before the next ones start: few enough
//! for their activations to stay in the cache, and as many as the wide layers
//! need for their weights to be worth fetching.

use std::sync::Arc;

use rayon::prelude::*;

use crate::architecture::Architecture;
use crate::buffer::{Batch, Buffer, Frame, padded, place_image};
use crate::convolution::Images;
use crate::error::{Error, check_length, check_values};
use crate::kernels::convolve::Start;
use crate::kernels::dense::Dense;
use crate::kernels::norm::{Activate, Addend, Normalised};
use crate::kernels::pool::{AveragePool, MaxPool};
use crate::network::Network;
use crate::norm::EPSILON;
use crate::plan::{IndexedFrame, Plan, Shortcut, Unit, runs};
use crate::simd::SimdLevel;

/// Images that go through the network together: few for their activations to
/// stay in the cache, or more where the weights of a layer would not.
const IMAGES_FEW: usize = 2;
const IMAGES_MANY: usize = 16;
/// Floats of a layer's weights that stay in the cache: half a mebibyte.
const WEIGHTS_CACHED: usize = 1 << 17;
/// Networks with fewer multiply-adds than this classify an image too fast for
/// several threads to be worth waking.
const SPLIT_MULTIPLY_ADDS_MIN: u64 = 16 << 20;

/// A network made ready to classify; see [`Network::compile`].
///
/// Shared freely among threads; whoever calls brings a [`Scratch`].
pub struct Inference {
    architecture: Architecture,
    plan: Arc<Plan>,
    level: SimdLevel,
    units: Vec<Prepared>,
    head_weights: Buffer,
    head_bias: Vec<f32>,
    /// By node: which of the scratch's buffers holds its activation.
    slots: Vec<usize>,
    /// By buffer of the scratch: the frame of its images.
    slot_frames: Vec<Frame>,
}

/// A convolution that does its normalisation's work, or one whose results are
/// pooled before that.
struct Prepared {
    weights: Buffer,
    bias: Buffer,
    /// What the convolution has not done: of one that is pooled.
    norm: Option<FixedNorm>,
}

/// `(input - mean) * scale + shift`, by channel.
struct FixedNorm {
    mean: Buffer,
    scale: Buffer,
    shift: Buffer,
}

impl Prepared {
    fn new(unit: &Unit, is_pooled: bool, values: &[f32]) -> Self {
        let channels = unit.gamma.len();
        let mut weights = values[unit.weights.clone()].to_vec();
        let zeros = || Buffer::zeros(padded(channels));
        let mut bias = zeros();
        let [mut mean, mut scale, mut shift] = [zeros(), zeros(), zeros()];
        let rows = weights.chunks_exact_mut(unit.fan_in);
        for (channel, row) in rows.enumerate() {
            let value = |range: &std::ops::Range<usize>| f64::from(values[range.start + channel]);
            let factor = value(&unit.gamma) / (value(&unit.running_variance) + EPSILON).sqrt();
            mean[channel] = values[unit.running_mean.start + channel];
            scale[channel] = factor as f32;
            shift[channel] = values[unit.beta.start + channel];
            // A negative factor would make the largest the smallest.
            if !is_pooled {
                bias[channel] = (value(&unit.beta) - value(&unit.running_mean) * factor) as f32;
                for weight in row {
                    *weight = (f64::from(*weight) * factor) as f32;
                }
            }
        }
        let pass = &unit.convolution.forward;
        let mut packed = Buffer::zeros(pass.weights());
        pass.pack(&weights, &mut packed);
        Self {
            weights: packed,
            bias,
            norm: is_pooled.then_some(FixedNorm { mean, scale, shift }),
        }
    }
}

/// Buffers of one call at a time; see [`Inference::scratch`].
pub struct Scratch {
    architecture: Architecture,
    /// How many go through the network together.
    images: usize,
    workers: Vec<Worker>,
}

/// Buffers of the images that go through the network together.
struct Worker {
    images: Batch,
    activations: Vec<Batch>,
    features: Buffer,
    /// Of the convolutions; more than one where one image is split.
    workspaces: Vec<Buffer>,
    pooling: Pooling,
}

/// What the largest pixels are taken of, and what they are.
struct Pooling {
    before: Buffer,
    after: Buffer,
    choices: Vec<u8>,
}

impl Pooling {
    /// For at most so many images.
    fn new(plan: &Plan, images: usize) -> Self {
        let lengths = plan.nodes.iter().filter_map(|node| {
            let unpooled = node.unpooled?;
            let before = node.group().min(images) * unpooled.frame.length();
            Some((before, node.frame.plain().length()))
        });
        let (before, after) = lengths.fold((0, 0), |most, of| (most.0.max(of.0), most.1.max(of.1)));
        Self {
            before: Buffer::zeros(before),
            after: Buffer::zeros(after),
            choices: vec![0; after],
        }
    }
}

impl Inference {
    pub(crate) fn new(network: &Network, level: SimdLevel) -> Self {
        let plan = &network.plan;
        let values = &network.values;
        let mut head_weights = Buffer::zeros(plan.head.packed_weights());
        plan.head.pack(values, &mut head_weights);
        let (slots, slot_frames) = assign_slots(plan);
        let is_pooled = |unit| (plan.nodes.iter()).any(|node| node.main == unit && node.unpooled.is_some());
        let units = plan.units.iter().enumerate();
        let units = units.map(|(index, unit)| Prepared::new(unit, is_pooled(index), values));
        let units = units.collect();
        Self {
            architecture: network.architecture().clone(),
            plan: Arc::clone(plan),
            level,
            units,
            head_weights,
            head_bias: values[plan.head.bias.clone()].to_vec(),
            slots,
            slot_frames,
        }
    }

    /// What the network looks like.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Buffers for calls with about `batch` images: for each thread of the
    /// current rayon pool, at most one an image. Any batch size may follow (a
    /// larger one only runs on fewer threads than it could), and any network
    /// of the same architecture.
    pub fn scratch(&self, batch: usize) -> Scratch {
        let threads = rayon::current_num_threads().max(1);
        let workers = batch.clamp(1, threads);
        let splits = batch <= 1 && self.architecture.multiply_adds() >= SPLIT_MULTIPLY_ADDS_MIN;
        let workspaces = if splits { threads } else { 1 };
        let [weights, _] = self.plan.packed_lengths();
        let together = if weights <= WEIGHTS_CACHED {
            IMAGES_FEW
        } else {
            IMAGES_MANY
        };
        let images = batch.div_ceil(workers).clamp(1, together);
        Scratch {
            architecture: self.architecture.clone(),
            images,
            workers: (0..workers).map(|_| self.worker(images, workspaces)).collect(),
        }
    }

    fn worker(&self, images: usize, workspaces: usize) -> Worker {
        let frames = self.slot_frames.iter();
        Worker {
            images: Batch::zeros(self.plan.image, images),
            activations: frames.map(|&frame| Batch::zeros(frame, images)).collect(),
            features: Buffer::zeros(padded(self.plan.head.features)),
            workspaces: vec![Buffer::zeros(self.plan.workspace()); workspaces],
            pooling: Pooling::new(&self.plan, images),
        }
    }

    /// Classifies `count` images, each by row, pixel and channel; writes the
    /// logits of each, one a class, to `out`. They run on the current rayon
    /// pool. One image is split among its threads if the scratch was made for
    /// one and the network is large, and runs on one thread otherwise; the
    /// result is the same.
    ///
    /// # Errors
    /// [`Error::Length`] for `images` or `out`, [`Error::Value`] for a number
    /// that is not finite, in the images or in the logits, and
    /// [`Error::ArchitectureMismatch`] for the scratch of another architecture.
    pub fn logits(&self, images: &[f32], count: usize, scratch: &mut Scratch, out: &mut [f32]) -> Result<(), Error> {
        let image_length = self.architecture.input.length();
        let classes = self.architecture.classes;
        check_length("images", images.len(), count.saturating_mul(image_length))?;
        check_length("logits", out.len(), count.saturating_mul(classes))?;
        check_values("images", images, "finite numbers", f32::is_finite)?;
        if scratch.architecture != self.architecture {
            return Err(Error::ArchitectureMismatch);
        }
        if let ([worker], 1) = (&mut scratch.workers[..], count) {
            if worker.workspaces.len() > 1 {
                // Enters the pool once, not at every layer.
                rayon::scope(|_| self.classify(images, worker, out));
            } else {
                self.classify(images, worker, out);
            }
            return check_values("logits", out, "finite numbers", f32::is_finite);
        }
        let share = count.div_ceil(scratch.workers.len()).max(1);
        let parts = images
            .par_chunks(share * image_length)
            .zip(out.par_chunks_mut(share * classes));
        let together = scratch.images;
        let parts = parts.zip(&mut scratch.workers).with_max_len(1);
        parts.for_each(|((images, out), worker)| {
            let images = images.chunks(together * image_length);
            for (images, logits) in images.zip(out.chunks_mut(together * classes)) {
                self.classify(images, worker, logits);
            }
        });
        check_values("logits", out, "finite numbers", f32::is_finite)
    }

    /// Logits of any number of whole images, with buffers of its own.
    ///
    /// # Errors
    /// As for [`logits`](Self::logits).
    pub fn infer(&self, images: &[f32]) -> Result<Vec<f32>, Error> {
        let count = images.len() / self.architecture.input.length();
        let mut out = vec![0.0; count * self.architecture.classes];
        self.logits(images, count, &mut self.scratch(count), &mut out)?;
        Ok(out)
    }

    /// Images through the whole network, as many as the worker holds at most.
    fn classify(&self, images: &[f32], worker: &mut Worker, logits: &mut [f32]) {
        let plan = &*self.plan;
        let images = images.chunks_exact(self.architecture.input.length());
        let count = images.len();
        for (index, image) in images.enumerate() {
            place_image(plan.image, image, worker.images.image_mut(index));
        }
        for index in 0..plan.nodes.len() {
            self.node(index, count, worker);
        }
        let Worker {
            activations, features, ..
        } = worker;
        let last = &activations[self.slots[plan.nodes.len() - 1]];
        let (weights, bias) = (&self.head_weights, &self.head_bias);
        for (image, logits) in logits.chunks_exact_mut(plan.head.classes).enumerate() {
            self.level.run(AveragePool {
                frame: plan.last_frame(),
                input: last.image(image),
                mean: &mut *features,
            });
            self.level.run(Dense {
                features,
                weights,
                bias,
                logits,
            });
        }
    }

    /// The activations of one node.
    fn node(&self, index: usize, count: usize, worker: &mut Worker) {
        let node = &self.plan.nodes[index];
        let slot = self.slots[index];
        let Worker {
            images,
            activations,
            workspaces,
            pooling,
            ..
        } = worker;
        // Taken out while the others are read; put back below.
        let mut output = std::mem::replace(&mut activations[slot], Batch::zeros(node.frame, 0));
        let before = |distance: usize| {
            index
                .checked_sub(distance)
                .map_or(&*images, |node| &activations[self.slots[node]])
        };
        let mut run = |unit: usize, images: Images<'_>| {
            let (pass, weights) = (&self.plan.units[unit].convolution.forward, &self.units[unit].weights);
            match &mut workspaces[..] {
                [workspace] => pass.run(self.level, weights, images, workspace),
                workspaces => pass.run_split(self.level, weights, images, workspaces),
            }
        };
        let main = &self.units[node.main];
        for group in runs(count, node.group()) {
            if let (Some(unpooled), Some(norm)) = (node.unpooled, &main.norm) {
                let length = group.len() * unpooled.frame.length();
                let images = Images {
                    input: before(1).images(&group),
                    output: &mut pooling.before[..length],
                    start: Start::Zero,
                    rectify: false,
                };
                run(node.main, images);
                self.pool(unpooled, node.frame, norm, pooling, output.images_mut(&group));
                continue;
            }
            let start = match node.shortcut {
                Shortcut::Nothing => Start::Bias(&main.bias),
                Shortcut::Identity => Start::BiasAndImage(&main.bias, before(self.plan.block_length).images(&group)),
                Shortcut::Projection(unit) => {
                    let folded = &self.units[unit];
                    let images = Images {
                        input: before(self.plan.block_length).images(&group),
                        output: output.images_mut(&group),
                        start: Start::Bias(&folded.bias),
                        rectify: false,
                    };
                    run(unit, images);
                    Start::BiasAndOutput(&main.bias)
                }
            };
            let images = Images {
                input: before(1).images(&group),
                output: output.images_mut(&group),
                start,
                rectify: true,
            };
            run(node.main, images);
        }
        activations[slot] = output;
    }

    /// Activations of what a convolution gave before it is pooled.
    fn pool(&self, from: IndexedFrame, frame: Frame, norm: &FixedNorm, pooling: &mut Pooling, outputs: &mut [f32]) {
        let Pooling { before, after, choices } = pooling;
        let length = frame.plain().length();
        let inputs = before.chunks_exact(from.frame.length());
        for (input, output) in inputs.zip(outputs.chunks_exact_mut(frame.length())) {
            self.level.run(MaxPool {
                frame: from.frame,
                input,
                output: &mut after[..length],
                choices: &mut choices[..length],
            });
            self.level.run(Activate {
                frame,
                main: Normalised {
                    input: &after[..length],
                    mean: &norm.mean,
                    scale: &norm.scale,
                    shift: &norm.shift,
                },
                addend: Addend::Nothing,
                output,
            });
        }
    }
}

/// For each node a buffer that no activation still to be read shares, and the
/// frame of each buffer. Buffers are shared only between equal frames, whose
/// borders stay zero.
fn assign_slots(plan: &Plan) -> (Vec<usize>, Vec<Frame>) {
    let mut taken: Vec<(usize, usize)> = Vec::new();
    let slots = plan.nodes.iter().enumerate().map(|(index, node)| {
        let slot = (node.frame_index, index % plan.alive());
        taken.iter().position(|&other| other == slot).unwrap_or_else(|| {
            taken.push(slot);
            taken.len() - 1
        })
    });
    let slots = slots.collect();
    (slots, taken.iter().map(|&(frame, _)| plan.frames[frame]).collect())
}
