//! One thread's share of a batch: its images, everything computed of them, and
//! its part of every sum.

use super::PackedUnit;
use crate::buffer::{Batch, Buffer, Frame, padded, place_image};
use crate::kernels::convolve::Start;
use crate::kernels::dense::{Dense, DenseGradient};
use crate::kernels::norm::{Activate, Addend, GradientSums, Moments, NormGradient, Normalised};
use crate::kernels::pool::{AveragePool, SpreadGradient};
use crate::loss::{argmax, cross_entropy};
use crate::norm::{GradientTotals, Norm, Statistics};
use crate::plan::{Head, Plan, Shortcut};
use crate::simd::SimdLevel;

/// A gradient is needed until two nodes further back are done.
const GRADIENTS_ALIVE: usize = 3;

pub(super) struct Shard {
    level: SimdLevel,
    /// Images of this step.
    count: usize,
    images: Batch,
    targets: Vec<f32>,
    /// By node.
    activations: Vec<Batch>,
    /// Gradients of the activations, node `i` in buffer `i % 3`.
    gradients: [Buffer; GRADIENTS_ALIVE],
    /// By node: of one image, the gradient of a convolution's output.
    slopes: Vec<Buffer>,
    units: Vec<UnitBuffers>,
    head: HeadBuffers,
    /// Two rows of channels of one image, before they are added up.
    row: [Buffer; 2],
}

struct UnitBuffers {
    /// The convolution's output, not yet normalised.
    output: Batch,
    statistics: Statistics,
    totals: GradientTotals,
    weight_gradient: Buffer,
}

struct HeadBuffers {
    features: Buffer,
    feature_gradient: Buffer,
    logits: Vec<f32>,
    weight_gradient: Buffer,
    bias_gradient: Vec<f32>,
    loss: f64,
    correct: usize,
}

impl Shard {
    /// Buffers for at most `images` images.
    pub(super) fn new(plan: &Plan, level: SimdLevel, images: usize) -> Self {
        let frames = || plan.nodes.iter().map(|node| node.frame);
        let longest = frames().map(Frame::length).max().unwrap_or(0);
        let deepest = frames().map(|frame| frame.depth).max().unwrap_or(0);
        let mut units: Vec<Option<UnitBuffers>> = plan.units.iter().map(|_| None).collect();
        for node in &plan.nodes {
            for unit in node.units() {
                let weights = plan.units[unit].convolution.forward_weights();
                units[unit] = Some(UnitBuffers {
                    output: Batch::zeros(node.frame, images),
                    statistics: Statistics::new(node.frame.depth),
                    totals: GradientTotals::new(node.frame.depth),
                    weight_gradient: Buffer::zeros(weights),
                });
            }
        }
        let features = padded(plan.head.features);
        Self {
            level,
            count: 0,
            images: Batch::zeros(plan.image, images),
            targets: Vec::with_capacity(images * plan.head.classes),
            activations: frames().map(|frame| Batch::zeros(frame, images)).collect(),
            gradients: std::array::from_fn(|_| Buffer::zeros(images * longest)),
            slopes: frames().map(|frame| Buffer::zeros(frame.length())).collect(),
            units: units.into_iter().flatten().collect(),
            head: HeadBuffers {
                features: Buffer::zeros(features),
                feature_gradient: Buffer::zeros(features),
                logits: vec![0.0; plan.head.classes],
                weight_gradient: Buffer::zeros(plan.head.classes * features),
                bias_gradient: vec![0.0; plan.head.classes],
                loss: 0.0,
                correct: 0,
            },
            row: std::array::from_fn(|_| Buffer::zeros(deepest)),
        }
    }

    pub(super) fn statistics(&self, unit: usize) -> &Statistics {
        &self.units[unit].statistics
    }

    pub(super) fn totals(&self, unit: usize) -> &GradientTotals {
        &self.units[unit].totals
    }

    pub(super) fn weight_gradient(&self, unit: usize) -> &[f32] {
        &self.units[unit].weight_gradient
    }

    pub(super) fn loss(&self) -> f64 {
        self.head.loss
    }

    pub(super) fn correct(&self) -> usize {
        self.head.correct
    }

    /// Adds to the network's gradient this shard's part of the dense layer.
    pub(super) fn add_head_gradient(&self, head: &Head, gradient: &mut [f32]) {
        let rows = self.head.weight_gradient.chunks_exact(padded(head.features));
        let sums = gradient[head.weights.clone()].chunks_exact_mut(head.features);
        for (sums, row) in sums.zip(rows) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
        for (sum, value) in gradient[head.bias.clone()].iter_mut().zip(&self.head.bias_gradient) {
            *sum += value;
        }
    }

    /// Takes the images of a step and forgets the sums of the last.
    pub(super) fn begin(&mut self, plan: &Plan, images: &[f32], targets: &[f32]) {
        let length = plan.image.pixels() * plan.image.depth;
        self.count = images.len() / length;
        for (index, image) in images.chunks_exact(length).enumerate() {
            place_image(plan.image, image, self.images.image_mut(index));
        }
        self.targets.clear();
        self.targets.extend_from_slice(targets);
        for unit in &mut self.units {
            unit.statistics.clear();
            unit.totals.clear();
            unit.weight_gradient.fill(0.0);
        }
        self.head.weight_gradient.fill(0.0);
        self.head.bias_gradient.fill(0.0);
        self.head.loss = 0.0;
        self.head.correct = 0;
    }

    /// Finishes the activation before node `index`, whose normalisations are
    /// known by now, and convolves it.
    pub(super) fn forward(&mut self, plan: &Plan, index: usize, norms: &[Norm], packed: &[PackedUnit]) {
        let node = &plan.nodes[index];
        for image in 0..self.count {
            if index > 0 {
                self.activate(plan, index - 1, norms, image);
            }
            for unit in node.units() {
                let source = source(&self.images, &self.activations, index, unit == node.main);
                let UnitBuffers { output, statistics, .. } = &mut self.units[unit];
                let output = output.image_mut(image);
                plan.units[unit].convolution.forward(
                    self.level,
                    &packed[unit].forward,
                    source.image(image),
                    output,
                    Start::Zero,
                    false,
                );
                let [mean, deviation] = self.row.each_mut().map(|row| &mut row[..node.frame.depth]);
                self.level.run(Moments {
                    frame: node.frame,
                    input: output,
                    mean: &mut *mean,
                    deviation: &mut *deviation,
                });
                statistics.add_image(node.frame.pixels(), mean, deviation);
            }
        }
    }

    /// Normalises, adds and rectifies: the activation of node `index`.
    fn activate(&mut self, plan: &Plan, index: usize, norms: &[Norm], image: usize) {
        let node = &plan.nodes[index];
        let (before, rest) = self.activations.split_at_mut(index);
        let normalised = |unit: usize| Normalised {
            input: self.units[unit].output.image(image),
            mean: &norms[unit].mean,
            scale: &norms[unit].scale,
            shift: &norms[unit].shift,
        };
        self.level.run(Activate {
            frame: node.frame,
            main: normalised(node.main),
            addend: match node.shortcut {
                Shortcut::Nothing => Addend::Nothing,
                Shortcut::Identity => Addend::Image(before[index - 2].image(image)),
                Shortcut::Projection(unit) => Addend::Normalised(normalised(unit)),
            },
            output: rest[0].image_mut(image),
        });
    }

    /// Finishes the last activation, classifies, and turns back: leaves the
    /// gradient of the last activation. `share` is one over the batch size.
    pub(super) fn head(&mut self, plan: &Plan, norms: &[Norm], weights: &[f32], bias: &[f32], share: f32) {
        let last = plan.nodes.len() - 1;
        let frame = plan.last_frame();
        for image in 0..self.count {
            self.activate(plan, last, norms, image);
            let head = &mut self.head;
            let input = self.activations[last].image(image);
            self.level.run(AveragePool {
                frame,
                input,
                mean: &mut head.features,
            });
            self.level.run(Dense {
                features: &head.features,
                weights,
                bias,
                logits: &mut head.logits,
            });
            let targets = &self.targets[image * plan.head.classes..][..plan.head.classes];
            head.correct += usize::from(argmax(&head.logits) == argmax(targets));
            head.loss += cross_entropy(&mut head.logits, targets, share);
            self.level.run(DenseGradient {
                features: &head.features,
                weights,
                logit_gradient: &head.logits,
                weight_gradient: &mut head.weight_gradient,
                bias_gradient: &mut head.bias_gradient,
                feature_gradient: &mut head.feature_gradient,
            });
            self.level.run(SpreadGradient {
                frame,
                mean_gradient: &head.feature_gradient,
                output: image_of(&mut self.gradients[last % GRADIENTS_ALIVE], frame, image),
            });
            self.finish_gradient(plan, last, norms, image);
        }
    }

    /// From the gradient of node `index`, the gradients of its weights and of
    /// the activations that it read.
    pub(super) fn backward(&mut self, plan: &Plan, index: usize, norms: &[Norm], packed: &[PackedUnit]) {
        let node = &plan.nodes[index];
        // The next node's shortcut has already left its part.
        let follows_shortcut = plan
            .nodes
            .get(index + 1)
            .is_some_and(|next| next.shortcut != Shortcut::Nothing);
        let start = if follows_shortcut { Start::Output } else { Start::Zero };
        for image in 0..self.count {
            self.unit_backward(plan, (index, node.main, image), norms, packed, start);
            match node.shortcut {
                Shortcut::Nothing => {}
                Shortcut::Identity => {
                    let [from, to] = pair(&mut self.gradients, index, index - 2);
                    image_of(to, node.frame, image).copy_from_slice(image_of(from, node.frame, image));
                }
                Shortcut::Projection(unit) => {
                    self.unit_backward(plan, (index, unit, image), norms, packed, Start::Zero);
                }
            }
            if index > 0 {
                self.finish_gradient(plan, index - 1, norms, image);
            }
        }
    }

    /// One unit of [`backward`](Self::backward), for (node, unit, image).
    fn unit_backward(
        &mut self,
        plan: &Plan,
        (index, unit, image): (usize, usize, usize),
        norms: &[Norm],
        packed: &[PackedUnit],
        start: Start<'_>,
    ) {
        let node = &plan.nodes[index];
        let is_main = unit == node.main;
        let slope = &mut self.slopes[index];
        let (norm, buffers) = (&norms[unit], &mut self.units[unit]);
        self.level.run(NormGradient {
            frame: node.frame,
            gradient: image_of(&mut self.gradients[index % GRADIENTS_ALIVE], node.frame, image),
            input: buffers.output.image(image),
            mean: &norm.mean,
            slope: &norm.scale,
            tilt: &norm.tilt,
            offset: &norm.offset,
            output: &mut *slope,
        });
        let convolution = &plan.units[unit].convolution;
        let source = source(&self.images, &self.activations, index, is_main);
        let gradient = &mut buffers.weight_gradient;
        convolution.add_weight_gradient(self.level, source.image(image), slope, gradient);
        let Some(source) = index.checked_sub(if is_main { 1 } else { 2 }) else {
            return;
        };
        let to = &mut self.gradients[source % GRADIENTS_ALIVE];
        let to = image_of(to, plan.nodes[source].frame, image);
        convolution.backward(self.level, &packed[unit].backward, slope, to, start);
    }

    /// Cuts the gradient of node `index` where its rectifier did, and adds up
    /// what its normalisations need of it.
    fn finish_gradient(&mut self, plan: &Plan, index: usize, norms: &[Norm], image: usize) {
        let node = &plan.nodes[index];
        let frame = node.frame;
        let gradient = image_of(&mut self.gradients[index % GRADIENTS_ALIVE], frame, image);
        // The first to look closes the gate.
        let mut gate = Some(self.activations[index].image(image));
        for unit in node.units() {
            let UnitBuffers { output, totals, .. } = &mut self.units[unit];
            let [sum, product] = self.row.each_mut().map(|row| &mut row[..frame.depth]);
            self.level.run(GradientSums {
                frame,
                gradient: &mut *gradient,
                gate: gate.take(),
                input: output.image(image),
                mean: &norms[unit].mean,
                sum: &mut *sum,
                product: &mut *product,
            });
            totals.add_image(sum, product);
        }
    }
}

/// What a unit of node `index` reads: the main one the activation before, a
/// projection that before the block.
fn source<'a>(images: &'a Batch, activations: &'a [Batch], index: usize, is_main: bool) -> &'a Batch {
    index
        .checked_sub(if is_main { 1 } else { 2 })
        .map_or(images, |before| &activations[before])
}

/// Image `image` of a buffer that holds images of `frame`.
fn image_of(buffer: &mut Buffer, frame: Frame, image: usize) -> &mut [f32] {
    &mut buffer[image * frame.length()..][..frame.length()]
}

/// The gradient buffers of two nodes at most two apart.
fn pair(gradients: &mut [Buffer; GRADIENTS_ALIVE], one: usize, other: usize) -> [&mut Buffer; 2] {
    let [a, b, c] = gradients;
    let mut slots = [Some(a), Some(b), Some(c)];
    [one, other].map(|index| {
        #[expect(clippy::expect_used, reason = "two nodes less than three apart")]
        slots[index % GRADIENTS_ALIVE].take().expect("distinct buffers")
    })
}
