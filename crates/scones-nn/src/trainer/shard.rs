//! One thread's share of a batch: its images, everything computed of them, and
//! its part of every sum.

use std::ops::Range;

use crate::buffer::{Batch, Buffer, Frame, padded, place_image};
use crate::convolution::Images;
use crate::kernels::convolve::Start;
use crate::kernels::dense::{Dense, DenseGradient};
use crate::kernels::norm::{Activate, Addend, GradientSums, Moments, NormGradient, Normalised};
use crate::kernels::pool::{AveragePool, SpreadGradient};
use crate::loss::{argmax, cross_entropy};
use crate::norm::{GradientTotals, Norm, Statistics};
use crate::plan::{Head, Plan, Shortcut, group_of, runs};
use crate::simd::SimdLevel;

pub(super) struct Shard {
    level: SimdLevel,
    /// Images of this step.
    count: usize,
    images: Batch,
    targets: Vec<f32>,
    /// By node; of the inner ones only the images that are convolved together.
    activations: Vec<Batch>,
    /// Gradients of the activations: node `i` in buffer `i % plan.alive()`.
    gradients: Vec<Buffer>,
    /// By frame of the plan: the gradients of a convolution's outputs, of the
    /// images that are convolved together.
    slopes: Vec<Batch>,
    /// By unit of a node: the gradient of its weights, packed.
    weight_gradients: [Buffer; 2],
    /// Working memory of the convolutions.
    workspace: Buffer,
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
                units[unit] = Some(UnitBuffers {
                    output: Batch::zeros(node.frame, images),
                    statistics: Statistics::new(node.frame.depth),
                    totals: GradientTotals::new(node.frame.depth),
                });
            }
        }
        let features = padded(plan.head.features);
        Self {
            level,
            count: 0,
            images: Batch::zeros(plan.image, images),
            targets: Vec::with_capacity(images * plan.head.classes),
            activations: (0..plan.nodes.len())
                .map(|index| activations(plan, index, images))
                .collect(),
            gradients: (0..plan.alive()).map(|_| Buffer::zeros(images * longest)).collect(),
            slopes: plan
                .frames
                .iter()
                .map(|&frame| Batch::zeros(frame, group_of(frame).min(images)))
                .collect(),
            weight_gradients: plan.packed_lengths().map(Buffer::zeros),
            workspace: Buffer::zeros(plan.workspace()),
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

    /// Of the main unit or the projection of the node last gone back through.
    pub(super) fn weight_gradient(&self, slot: usize) -> &[f32] {
        &self.weight_gradients[slot]
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
        }
        self.head.weight_gradient.fill(0.0);
        self.head.bias_gradient.fill(0.0);
        self.head.loss = 0.0;
        self.head.correct = 0;
    }

    /// Finishes the activation before node `index`, whose normalisations are
    /// known by now, and convolves it with the packed weights of its units.
    pub(super) fn forward(&mut self, plan: &Plan, index: usize, norms: &[Norm], packed: &[Buffer; 2]) {
        let node = &plan.nodes[index];
        for group in runs(self.count, group_of(node.frame)) {
            if index > 0 {
                self.activate(plan, index - 1, norms, &group);
            }
            for (unit, packed) in node.units().zip(packed) {
                let distance = plan.distance(unit == node.main);
                let source = source(plan, &self.images, &self.activations, (index, distance), &group);
                let UnitBuffers { output, statistics, .. } = &mut self.units[unit];
                let images = Images {
                    input: source,
                    output: output.images_mut(&group),
                    start: Start::Zero,
                    rectify: false,
                };
                let pass = &plan.units[unit].convolution.forward;
                pass.run(self.level, packed, images, &mut self.workspace);
                let [mean, deviation] = self.row.each_mut().map(|row| &mut row[..node.frame.depth]);
                for image in group.clone() {
                    self.level.run(Moments {
                        frame: node.frame,
                        input: output.image(image),
                        mean: &mut *mean,
                        deviation: &mut *deviation,
                    });
                    statistics.add_image(node.frame.pixels(), mean, deviation);
                }
            }
        }
    }

    /// Normalises, adds and rectifies: the activations of node `index`.
    fn activate(&mut self, plan: &Plan, index: usize, norms: &[Norm], group: &Range<usize>) {
        let node = &plan.nodes[index];
        let (before, rest) = self.activations.split_at_mut(index);
        for (image, place) in group.clone().zip(kept(plan, index, group)) {
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
                    Shortcut::Identity => Addend::Image(before[index - plan.block_length].image(image)),
                    Shortcut::Projection(unit) => Addend::Normalised(normalised(unit)),
                },
                output: rest[0].image_mut(place),
            });
        }
    }

    /// Finishes the last activation, classifies, and turns back: leaves the
    /// gradient of the last activation. `share` is one over the batch size.
    pub(super) fn head(&mut self, plan: &Plan, norms: &[Norm], weights: &[f32], bias: &[f32], share: f32) {
        let last = plan.nodes.len() - 1;
        let frame = plan.last_frame();
        for image in 0..self.count {
            self.activate(plan, last, norms, &(image..image + 1));
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
                output: image_of(&mut self.gradients[last % plan.alive()], frame, image),
            });
            self.finish_gradients(plan, last, norms, &(image..image + 1));
        }
    }

    /// From the gradient of node `index`, the gradients of its weights and of
    /// the activations that it read.
    pub(super) fn backward(&mut self, plan: &Plan, index: usize, norms: &[Norm], packed: &[Buffer; 2]) {
        let node = &plan.nodes[index];
        // A later node's shortcut has already left its part.
        let start = if plan.is_shortcut_source(index) {
            Start::Output
        } else {
            Start::Zero
        };
        for (unit, gradient) in node.units().zip(&mut self.weight_gradients) {
            gradient[..plan.units[unit].convolution.forward.weights()].fill(0.0);
        }
        for group in runs(self.count, group_of(node.frame)) {
            if index > 0 && plan.is_inner(index - 1) {
                self.activate(plan, index - 1, norms, &group);
            }
            self.unit_backward(plan, (index, 0), &group, norms, packed, start);
            match node.shortcut {
                Shortcut::Nothing => {}
                Shortcut::Identity => {
                    let [from, to] = [index, index - plan.block_length].map(|node| node % plan.alive());
                    #[expect(clippy::expect_used, reason = "fewer than `alive` apart")]
                    let [from, to] = self.gradients.get_disjoint_mut([from, to]).expect("distinct buffers");
                    let from = images_of(from, node.frame, &group);
                    images_of(to, node.frame, &group).copy_from_slice(from);
                }
                Shortcut::Projection(_) => self.unit_backward(plan, (index, 1), &group, norms, packed, Start::Zero),
            }
            if index > 0 {
                self.finish_gradients(plan, index - 1, norms, &group);
            }
        }
    }

    /// One unit of [`backward`](Self::backward): of node `index`, the main one
    /// or the projection.
    fn unit_backward(
        &mut self,
        plan: &Plan,
        (index, slot): (usize, usize),
        group: &Range<usize>,
        norms: &[Norm],
        packed: &[Buffer; 2],
        start: Start<'_>,
    ) {
        let node = &plan.nodes[index];
        let Some(unit) = node.units().nth(slot) else { return };
        let slopes = &mut self.slopes[node.frame_index];
        let (norm, buffers) = (&norms[unit], &self.units[unit]);
        let gradients = &*images_of(&mut self.gradients[index % plan.alive()], node.frame, group);
        for (gradient, image) in gradients.chunks_exact(node.frame.length()).zip(group.clone()) {
            self.level.run(NormGradient {
                frame: node.frame,
                gradient,
                input: buffers.output.image(image),
                mean: &norm.mean,
                slope: &norm.scale,
                tilt: &norm.tilt,
                offset: &norm.offset,
                output: slopes.image_mut(image - group.start),
            });
        }
        let convolution = &plan.units[unit].convolution;
        let slopes = slopes.images(&(0..group.len()));
        let distance = plan.distance(unit == node.main);
        let source = source(plan, &self.images, &self.activations, (index, distance), group);
        let (gradient, workspace) = (&mut self.weight_gradients[slot], &mut self.workspace);
        convolution.add_weight_gradient(self.level, source, slopes, gradient, workspace);
        let Some(source) = index.checked_sub(distance) else {
            return;
        };
        if let Some(pass) = &convolution.backward {
            let to = &mut self.gradients[source % plan.alive()];
            let images = Images {
                input: slopes,
                output: images_of(to, plan.nodes[source].frame, group),
                start,
                rectify: false,
            };
            pass.run(self.level, &packed[slot], images, workspace);
        }
    }

    /// Cuts the gradients of node `index` where its rectifier did, and adds up
    /// what its normalisations need of them.
    fn finish_gradients(&mut self, plan: &Plan, index: usize, norms: &[Norm], group: &Range<usize>) {
        let node = &plan.nodes[index];
        let frame = node.frame;
        for (image, place) in group.clone().zip(kept(plan, index, group)) {
            let gradient = image_of(&mut self.gradients[index % plan.alive()], frame, image);
            // The first to look closes the gate.
            let mut gate = Some(self.activations[index].image(place));
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
}

/// Room for the activations of node `index` of so many images.
fn activations(plan: &Plan, index: usize, images: usize) -> Batch {
    let frame = plan.nodes[index].frame;
    let kept = match plan.nodes.get(index + 1) {
        Some(next) if plan.is_inner(index) => group_of(next.frame).min(images),
        _ => images,
    };
    Batch::zeros(frame, kept)
}

/// Where the activations of node `index` lie, of the images of `group`.
fn kept(plan: &Plan, index: usize, group: &Range<usize>) -> Range<usize> {
    if plan.is_inner(index) {
        0..group.len()
    } else {
        group.clone()
    }
}

/// What is read by a unit of node `index`, from so far before.
fn source<'a>(
    plan: &Plan,
    images: &'a Batch,
    activations: &'a [Batch],
    (index, distance): (usize, usize),
    group: &Range<usize>,
) -> &'a [f32] {
    match index.checked_sub(distance) {
        Some(before) => activations[before].images(&kept(plan, before, group)),
        None => images.images(group),
    }
}

/// Image `image` of a buffer that holds images of `frame`.
fn image_of(buffer: &mut Buffer, frame: Frame, image: usize) -> &mut [f32] {
    &mut buffer[image * frame.length()..][..frame.length()]
}

/// Images `group` of a buffer that holds images of `frame`.
fn images_of<'a>(buffer: &'a mut Buffer, frame: Frame, group: &Range<usize>) -> &'a mut [f32] {
    &mut buffer[group.start * frame.length()..group.end * frame.length()]
}
