//! One thread's share of a batch: its images, everything computed of them, and
//! its part of every sum.

use std::ops::Range;
use std::sync::Arc;

use super::memory::{Layout, Memory};
use crate::buffer::{Batch, Buffer, padded, place_image};
use crate::convolution::{Images, WeightGradientOf};
use crate::kernels::convolve::Start;
use crate::kernels::dense::{Dense, DenseGradient};
use crate::kernels::norm::{Activate, Addend, GradientSums, Moments, NormGradient, Normalised};
use crate::kernels::pool::{AveragePool, ChosenGradient, MaxPool, SpreadGradient};
use crate::loss::Loss;
use crate::norm::{GradientTotals, Norm, Statistics};
use crate::plan::{Head, IndexedFrame, Node, Plan, Shortcut, group_of, runs};
use crate::simd::SimdLevel;

pub(super) struct Shard {
    level: SimdLevel,
    /// Images of this step.
    count: usize,
    images: Batch,
    targets: Vec<f32>,
    /// By node; of those that are not kept only the images that are convolved
    /// together.
    activations: Vec<Batch>,
    memory: Memory,
    /// By node: which pixels were the largest, where it pools; for all images.
    choices: Vec<Vec<u8>>,
    /// By frame of the plan: the gradients of a convolution's outputs, of the
    /// images that are convolved together.
    output_gradients: Vec<Batch>,
    /// By unit of a node: the gradient of some of its weights, packed.
    weight_gradients: [Buffer; 2],
    /// Working memory of the convolutions.
    workspace: Buffer,
    sums: Vec<UnitSums>,
    head: HeadBuffers,
    /// Two rows of channels of one image, before they are added up.
    row: [Buffer; 2],
}

/// What one normalisation needs of all images.
struct UnitSums {
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
    pub(super) fn new(plan: &Plan, layout: &Arc<Layout>, level: SimdLevel, images: usize) -> Self {
        let deepest = plan.frames.iter().map(|frame| frame.depth).max().unwrap_or(0);
        let depths = plan.units.iter().map(|unit| padded(unit.gamma.len()));
        let features = padded(plan.head.features);
        Self {
            level,
            count: 0,
            images: Batch::zeros(plan.image, images),
            targets: Vec::with_capacity(images * plan.head.classes),
            activations: activations(plan, images),
            memory: Memory::new(layout, images),
            choices: plan
                .nodes
                .iter()
                .map(|node| vec![0; node.unpooled.map_or(0, |_| images * node.frame.plain().length())])
                .collect(),
            output_gradients: plan
                .frames
                .iter()
                .map(|&frame| Batch::zeros(frame, group_of(frame).min(images)))
                .collect(),
            weight_gradients: plan.gradient_part_lengths().map(Buffer::zeros),
            workspace: Buffer::zeros(plan.workspace()),
            sums: depths
                .map(|depth| UnitSums {
                    statistics: Statistics::new(depth),
                    totals: GradientTotals::new(depth),
                })
                .collect(),
            head: HeadBuffers {
                features: Buffer::zeros(features),
                feature_gradient: Buffer::zeros(features),
                logits: vec![0.0; plan.head.classes],
                weight_gradient: Buffer::zeros(plan.head.packed_weights()),
                bias_gradient: vec![0.0; plan.head.classes],
                loss: 0.0,
                correct: 0,
            },
            row: std::array::from_fn(|_| Buffer::zeros(deepest)),
        }
    }

    pub(super) fn statistics(&self, unit: usize) -> &Statistics {
        &self.sums[unit].statistics
    }

    pub(super) fn totals(&self, unit: usize) -> &GradientTotals {
        &self.sums[unit].totals
    }

    /// Of the main unit or the projection of the node last gone back through, the
    /// last part.
    pub(super) fn weight_gradient(&self, slot: usize) -> &[f32] {
        &self.weight_gradients[slot]
    }

    pub(super) fn loss(&self) -> f64 {
        self.head.loss
    }

    pub(super) fn correct(&self) -> usize {
        self.head.correct
    }

    /// Adds this shard's part of the gradient of the dense layer.
    pub(super) fn add_head_gradient(&self, head: &Head, weights: &mut [f32], bias: &mut [f32]) {
        let rows = self.head.weight_gradient.chunks_exact(padded(head.features));
        for (sums, row) in weights.chunks_exact_mut(head.features).zip(rows) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
        for (sum, value) in bias.iter_mut().zip(&self.head.bias_gradient) {
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
        for sums in &mut self.sums {
            sums.statistics.clear();
            sums.totals.clear();
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
        for group in runs(self.count, node.group()) {
            if let Some(before) = index.checked_sub(1) {
                self.activate(plan, before, norms, &group);
            }
            for (unit, packed) in node.units().zip(packed) {
                let is_main = unit == node.main;
                let source = index.checked_sub(plan.distance(is_main));
                if !is_main {
                    self.require(plan, source, norms, &group);
                }
                let input = source_images(plan, &self.images, &self.activations, source, &group);
                let convolution = &plan.units[unit].convolution;
                // What is pooled lies where its gradient will.
                let (pass, output) = match node.unpooled {
                    Some(IndexedFrame { frame_index, .. }) => (
                        &convolution.forward,
                        self.output_gradients[frame_index].images_mut(&(0..group.len())),
                    ),
                    None => (&convolution.forward_plain, self.memory.results_mut(unit, &group)),
                };
                let images = Images {
                    input,
                    output,
                    start: Start::Zero,
                    rectify: false,
                };
                pass.run(self.level, packed, images, &mut self.workspace);
                if let Some(unpooled) = node.unpooled {
                    self.pool(plan, index, unpooled, &group);
                }
                let frame = node.frame.plain();
                let [mean, deviation] = self.row.each_mut().map(|row| &mut row[..frame.depth]);
                for image in group.clone() {
                    self.level.run(Moments {
                        frame,
                        input: self.memory.result(unit, image),
                        mean: &mut *mean,
                        deviation: &mut *deviation,
                    });
                    self.sums[unit].statistics.add_image(frame.pixels(), mean, deviation);
                }
            }
        }
    }

    /// Pools what the convolution of node `index` gave.
    fn pool(&mut self, plan: &Plan, index: usize, unpooled: IndexedFrame, group: &Range<usize>) {
        let unit = plan.nodes[index].main;
        let length = plan.nodes[index].frame.plain().length();
        for (place, image) in group.clone().enumerate() {
            self.level.run(MaxPool {
                frame: unpooled.frame,
                input: self.output_gradients[unpooled.frame_index].image(place),
                output: self.memory.results_mut(unit, &(image..image + 1)),
                choices: &mut self.choices[index][image * length..][..length],
            });
        }
    }

    /// Gives the gradient of the pooled images of node `index` to the pixels
    /// that were the largest.
    fn unpool(&mut self, plan: &Plan, index: usize, unpooled: IndexedFrame, group: &Range<usize>) {
        let node = &plan.nodes[index];
        let length = node.frame.plain().length();
        #[expect(clippy::expect_used, reason = "a pooled image is smaller")]
        let [gradients, outputs] = (self.output_gradients)
            .get_disjoint_mut([node.frame_index, unpooled.frame_index])
            .expect("two frames");
        for (place, image) in group.clone().enumerate() {
            self.level.run(ChosenGradient {
                frame: unpooled.frame,
                pooled: node.frame,
                gradient: gradients.image(place),
                choices: &self.choices[index][image * length..][..length],
                output: outputs.image_mut(place),
            });
        }
    }

    /// Computes activations again that were not kept.
    fn require(&mut self, plan: &Plan, node: Option<usize>, norms: &[Norm], group: &Range<usize>) {
        if let Some(index) = node.filter(|&index| !plan.nodes[index].is_kept) {
            self.activate(plan, index, norms, group);
        }
    }

    /// Normalises, adds and rectifies: the activations of node `index`.
    fn activate(&mut self, plan: &Plan, index: usize, norms: &[Norm], group: &Range<usize>) {
        let node = &plan.nodes[index];
        let source = index.checked_sub(plan.block_length);
        if node.shortcut == Shortcut::Identity {
            self.require(plan, source, norms, group);
        }
        let (before, rest) = self.activations.split_at_mut(index);
        for (image, place) in group.clone().zip(places(plan, index, group)) {
            let normalised = |unit: usize| Normalised {
                input: self.memory.result(unit, image),
                mean: &norms[unit].mean,
                scale: &norms[unit].scale,
                shift: &norms[unit].shift,
            };
            let addend = match (node.shortcut, source) {
                (Shortcut::Identity, Some(source)) => {
                    let place = places(plan, source, group).start + image - group.start;
                    Addend::Image(before[source].image(place))
                }
                (Shortcut::Projection(unit), _) => Addend::Normalised(normalised(unit)),
                _ => Addend::Nothing,
            };
            self.level.run(Activate {
                frame: node.frame,
                main: normalised(node.main),
                addend,
                output: rest[0].image_mut(place),
            });
        }
    }

    /// Finishes the last activation, classifies, and turns back: leaves the
    /// gradient of the last activation. `share` is one over the batch size.
    pub(super) fn head(
        &mut self,
        plan: &Plan,
        norms: &[Norm],
        (weights, bias): (&[f32], &[f32]),
        loss: &Loss,
        share: f32,
    ) {
        let last = plan.nodes.len() - 1;
        let frame = plan.last_frame();
        for image in 0..self.count {
            let alone = image..image + 1;
            self.activate(plan, last, norms, &alone);
            let head = &mut self.head;
            let input = self.activations[last].images(&places(plan, last, &alone));
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
            let answer = loss.compare(&mut head.logits, targets, share);
            head.correct += answer.correct;
            head.loss += answer.loss;
            self.level.run(DenseGradient {
                features: &head.features,
                weights,
                logit_gradient: &head.logits,
                weight_gradient: &mut head.weight_gradient,
                bias_gradient: &mut head.bias_gradient,
                feature_gradient: &mut head.feature_gradient,
            });
            self.level.run(SpreadGradient {
                frame: frame.plain(),
                mean_gradient: &head.feature_gradient,
                output: self.memory.gradients_mut(last, &alone),
            });
            self.finish_gradients(plan, last, norms, &alone);
        }
    }

    /// From the gradient of node `index`, some part of the gradient of its
    /// weights, and with the first part that of the activations that it read.
    pub(super) fn backward(&mut self, plan: &Plan, index: usize, part: usize, norms: &[Norm], packed: &[Buffer; 2]) {
        let node = &plan.nodes[index];
        let blocks_of = |unit: usize| plan.units[unit].convolution.gradient_parts().nth(part);
        for (unit, gradient) in node.units().zip(&mut self.weight_gradients) {
            let length = |blocks| plan.units[unit].convolution.gradient_length(&blocks);
            gradient[..blocks_of(unit).map_or(0, length)].fill(0.0);
        }
        for group in runs(self.count, node.group()) {
            for (slot, unit) in node.units().enumerate() {
                let source = index.checked_sub(plan.distance(unit == node.main));
                let Some(blocks) = blocks_of(unit) else { continue };
                self.require(plan, source, norms, &group);
                self.output_gradients(plan, index, unit, &norms[unit], &group);
                self.weight_gradient_part(plan, (index, slot, unit), source, &group, blocks);
                if let Some(source) = source.filter(|_| part == 0) {
                    self.propagate(plan, (index, unit), source, &group, &packed[slot]);
                }
            }
            if let Some(before) = index.checked_sub(1).filter(|_| part == 0) {
                self.finish_gradients(plan, before, norms, &group);
            }
        }
    }

    /// The gradients of what the convolution of `unit` of node `index` gave.
    fn output_gradients(&mut self, plan: &Plan, index: usize, unit: usize, norm: &Norm, group: &Range<usize>) {
        let node = &plan.nodes[index];
        for (place, image) in group.clone().enumerate() {
            self.level.run(NormGradient {
                frame: node.frame,
                gradient: self.memory.gradient(index, image),
                input: self.memory.result(unit, image),
                mean: &norm.mean,
                slope: &norm.scale,
                tilt: &norm.tilt,
                offset: &norm.offset,
                output: self.output_gradients[node.frame_index].image_mut(place),
            });
        }
        if let Some(unpooled) = node.unpooled {
            self.unpool(plan, index, unpooled, group);
        }
    }

    /// Adds to the weight gradient of some blocks of a unit, of some slot of a
    /// node, which reads the activation of node `source` or the input images.
    fn weight_gradient_part(
        &mut self,
        plan: &Plan,
        (index, slot, unit): (usize, usize, usize),
        source: Option<usize>,
        group: &Range<usize>,
        blocks: Range<usize>,
    ) {
        let convolution = &plan.units[unit].convolution;
        let of = WeightGradientOf {
            input: source_images(plan, &self.images, &self.activations, source, group),
            output_gradient: self.output_gradients[plan.nodes[index].convolved_index()].images(&(0..group.len())),
            blocks,
            gradient: &mut self.weight_gradients[slot],
        };
        convolution.add_weight_gradient(self.level, of, &mut self.workspace);
    }

    /// Adds to the gradient of the activation of node `source`.
    fn propagate(
        &mut self,
        plan: &Plan,
        (index, unit): (usize, usize),
        source: usize,
        group: &Range<usize>,
        packed: &Buffer,
    ) {
        let node = &plan.nodes[index];
        let Some(pass) = &plan.units[unit].convolution.backward else {
            return;
        };
        // A shortcut has left its part before.
        let is_first = unit != node.main || plan.shortcut_from(source) == Shortcut::Nothing;
        let images = Images {
            input: self.output_gradients[node.convolved_index()].images(&(0..group.len())),
            output: self.memory.gradients_mut(source, group),
            start: if is_first { Start::Zero } else { Start::Output },
            rectify: false,
        };
        pass.run(self.level, packed, images, &mut self.workspace);
    }

    /// Cuts the gradients of node `index` where its rectifier did, and adds up
    /// what its normalisations need of them.
    fn finish_gradients(&mut self, plan: &Plan, index: usize, norms: &[Norm], group: &Range<usize>) {
        let node = &plan.nodes[index];
        for (image, place) in group.clone().zip(places(plan, index, group)) {
            // The first to look closes the gate.
            let mut gate = Some(self.activations[index].image(place));
            for unit in node.units() {
                let (gradient, input) = self.memory.gradient_and_result(index, unit, image);
                let [sum, product] = self.row.each_mut().map(|row| &mut row[..node.frame.depth]);
                self.level.run(GradientSums {
                    frame: node.frame,
                    gradient,
                    gate: gate.take(),
                    input,
                    mean: &norms[unit].mean,
                    sum: &mut *sum,
                    product: &mut *product,
                });
                self.sums[unit].totals.add_image(sum, product);
            }
        }
    }
}

/// Room for the activations of each node of so many images: of those that are
/// not kept, for as many as are convolved together where they are read.
fn activations(plan: &Plan, images: usize) -> Vec<Batch> {
    let mut together = vec![1; plan.nodes.len()];
    for index in (0..plan.nodes.len()).rev() {
        let group = |distance: usize| plan.nodes.get(index + distance).map_or(1, Node::group);
        let by_shortcut = match plan.shortcut_from(index) {
            Shortcut::Nothing => 1,
            Shortcut::Projection(_) => group(plan.block_length),
            // The block's end is computed of these wherever that is read.
            Shortcut::Identity => together[index + plan.block_length],
        };
        together[index] = group(1).max(by_shortcut);
    }
    let nodes = plan.nodes.iter().zip(together);
    let rooms = nodes.map(|(node, together)| (node.frame, if node.is_kept { images } else { together.min(images) }));
    rooms.map(|(frame, images)| Batch::zeros(frame, images)).collect()
}

/// Where the activations of node `index` lie, of the images of `group`.
fn places(plan: &Plan, index: usize, group: &Range<usize>) -> Range<usize> {
    if plan.nodes[index].is_kept {
        group.clone()
    } else {
        0..group.len()
    }
}

/// The activations of node `source`, or the input images.
fn source_images<'a>(
    plan: &Plan,
    images: &'a Batch,
    activations: &'a [Batch],
    source: Option<usize>,
    group: &Range<usize>,
) -> &'a [f32] {
    match source {
        Some(index) => activations[index].images(&places(plan, index, group)),
        None => images.images(group),
    }
}
