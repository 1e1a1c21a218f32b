//! Classification with fixed weights.
//!
//! Each normalisation is folded into the convolution before it, and the
//! shortcut and the rectifier are done as the sums leave the registers. An
//! image goes through the whole network before the next one starts, so its
//! activations stay in the cache.

use std::sync::Arc;

use rayon::prelude::*;

use crate::architecture::Architecture;
use crate::buffer::{Buffer, Frame, padded, place_image};
use crate::error::{Error, check_length, check_values};
use crate::kernels::convolve::Start;
use crate::kernels::dense::Dense;
use crate::kernels::pool::AveragePool;
use crate::network::Network;
use crate::norm::EPSILON;
use crate::plan::{Plan, Shortcut, Unit};
use crate::simd::SimdLevel;

/// An activation is read until two nodes later.
const ACTIVATIONS_ALIVE: usize = 3;

/// A network made ready to classify; see [`Network::compile`].
///
/// Shared freely among threads; whoever calls brings a [`Scratch`].
pub struct Inference {
    architecture: Architecture,
    plan: Arc<Plan>,
    level: SimdLevel,
    units: Vec<Folded>,
    head_weights: Buffer,
    head_bias: Vec<f32>,
    /// By node: which of the scratch's buffers holds its activation.
    slots: Vec<usize>,
    /// By buffer of the scratch: its length.
    slot_lengths: Vec<usize>,
}

/// A convolution that does its normalisation's work.
struct Folded {
    weights: Buffer,
    bias: Buffer,
}

impl Folded {
    fn new(unit: &Unit, values: &[f32]) -> Self {
        let channels = unit.gamma.len();
        let mut weights = values[unit.weights.clone()].to_vec();
        let mut bias = Buffer::zeros(padded(channels));
        let rows = weights.chunks_exact_mut(unit.fan_in);
        for (channel, row) in rows.enumerate() {
            let value = |range: &std::ops::Range<usize>| f64::from(values[range.start + channel]);
            let scale = value(&unit.gamma) / (value(&unit.running_variance) + EPSILON).sqrt();
            bias[channel] = (value(&unit.beta) - value(&unit.running_mean) * scale) as f32;
            for weight in row {
                *weight = (f64::from(*weight) * scale) as f32;
            }
        }
        let mut packed = Buffer::zeros(unit.convolution.forward_weights());
        unit.convolution.pack_forward(&weights, &mut packed);
        Self { weights: packed, bias }
    }
}

/// Buffers of one call at a time; see [`Inference::scratch`].
pub struct Scratch {
    architecture: Architecture,
    workers: Vec<Worker>,
}

/// Buffers of one image at a time.
struct Worker {
    image: Buffer,
    activations: Vec<Buffer>,
    features: Buffer,
}

impl Inference {
    pub(crate) fn new(network: &Network, level: SimdLevel) -> Self {
        let plan = &network.plan;
        let values = &network.values;
        let features = plan.head.features;
        let mut head_weights = Buffer::zeros(plan.head.classes * padded(features));
        let rows = head_weights.chunks_exact_mut(padded(features));
        for (row, weights) in rows.zip(values[plan.head.weights.clone()].chunks_exact(features)) {
            row[..features].copy_from_slice(weights);
        }
        let (slots, slot_lengths) = assign_slots(plan);
        Self {
            architecture: network.architecture().clone(),
            plan: Arc::clone(plan),
            level,
            units: plan.units.iter().map(|unit| Folded::new(unit, values)).collect(),
            head_weights,
            head_bias: values[plan.head.bias.clone()].to_vec(),
            slots,
            slot_lengths,
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
        let workers = batch.clamp(1, rayon::current_num_threads().max(1));
        Scratch {
            architecture: self.architecture.clone(),
            workers: (0..workers).map(|_| self.worker()).collect(),
        }
    }

    fn worker(&self) -> Worker {
        Worker {
            image: Buffer::zeros(self.plan.image.length()),
            activations: self.slot_lengths.iter().map(|&length| Buffer::zeros(length)).collect(),
            features: Buffer::zeros(padded(self.plan.head.features)),
        }
    }

    /// Classifies `count` images, each by row, pixel and channel; writes the
    /// logits of each, one a class, to `out`. One image runs on the calling
    /// thread, several on the current rayon pool; the result is the same.
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
        let share = count.div_ceil(scratch.workers.len()).max(1);
        let parts = images
            .par_chunks(share * image_length)
            .zip(out.par_chunks_mut(share * classes));
        let parts = parts.zip(&mut scratch.workers).with_max_len(1);
        parts.for_each(|((images, out), worker)| {
            let images = images.chunks_exact(image_length);
            for (image, logits) in images.zip(out.chunks_exact_mut(classes)) {
                self.classify(image, worker, logits);
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

    /// One image through the whole network.
    fn classify(&self, image: &[f32], worker: &mut Worker, logits: &mut [f32]) {
        let plan = &*self.plan;
        place_image(plan.image, image, &mut worker.image);
        for index in 0..plan.nodes.len() {
            self.node(index, worker);
        }
        let features = &mut worker.features;
        let last = &worker.activations[self.slots[plan.nodes.len() - 1]];
        let frame = plan.last_frame();
        let input = &last[..frame.length()];
        self.level.run(AveragePool {
            frame,
            input,
            mean: &mut *features,
        });
        let (weights, bias) = (&self.head_weights, &self.head_bias);
        self.level.run(Dense {
            features,
            weights,
            bias,
            logits,
        });
    }

    /// The activation of one node.
    fn node(&self, index: usize, worker: &mut Worker) {
        let node = &self.plan.nodes[index];
        let slot = self.slots[index];
        // Taken out while the others are read; put back below.
        let mut output = std::mem::replace(&mut worker.activations[slot], Buffer::zeros(0));
        let before = |distance: usize| {
            index
                .checked_sub(distance)
                .map_or(&worker.image, |node| &worker.activations[self.slots[node]])
        };
        let main = &self.units[node.main];
        let start = match node.shortcut {
            Shortcut::Nothing => Start::Bias(&main.bias),
            Shortcut::Identity => Start::BiasAndImage(&main.bias, before(2)),
            Shortcut::Projection(unit) => {
                let folded = &self.units[unit];
                let bias = Start::Bias(&folded.bias);
                let convolution = &self.plan.units[unit].convolution;
                convolution.forward(self.level, &folded.weights, before(2), &mut output, bias, false);
                Start::BiasAndOutput(&main.bias)
            }
        };
        let convolution = &self.plan.units[node.main].convolution;
        convolution.forward(self.level, &main.weights, before(1), &mut output, start, true);
        worker.activations[slot] = output;
    }
}

/// For each node a buffer that no activation still to be read shares, and the
/// length of each buffer. Buffers are shared only between equal frames, whose
/// borders stay zero.
fn assign_slots(plan: &Plan) -> (Vec<usize>, Vec<usize>) {
    let mut frames: Vec<Frame> = Vec::new();
    let slots = plan.nodes.iter().enumerate().map(|(index, node)| {
        let frame = frames.iter().position(|frame| *frame == node.frame).unwrap_or_else(|| {
            frames.push(node.frame);
            frames.len() - 1
        });
        frame * ACTIVATIONS_ALIVE + index % ACTIVATIONS_ALIVE
    });
    let slots = slots.collect();
    let repeated = frames.iter().flat_map(|frame| [frame.length(); ACTIVATIONS_ALIVE]);
    (slots, repeated.collect())
}
