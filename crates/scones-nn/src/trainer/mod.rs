//! Training: one optimiser step per batch.
//!
//! The images of a batch are split among the threads, each with a [`Shard`] of
//! its own buffers. A step runs the network node by node; where batch
//! normalisation couples the images, the shards' sums are merged in order. The
//! same seed, data, thread count and processor therefore give the same weights,
//! however the threads are scheduled.

mod memory;
mod shard;

use std::sync::Arc;

use rayon::prelude::*;

use self::memory::Layout;
use self::shard::Shard;
use crate::architecture::Architecture;
use crate::buffer::{Buffer, padded};
use crate::error::{Error, check_length, check_values};
use crate::loss::Loss;
use crate::network::Network;
use crate::norm::Norm;
use crate::optimizer::{Optimizer, OptimizerMemory, OptimizerState};
use crate::plan::Plan;
use crate::simd::SimdLevel;

/// Most images in a batch.
pub const BATCH_SIZE_MAX: usize = 1 << 14;
/// Most threads of a trainer.
pub const THREADS_MAX: usize = 1024;

/// What may change from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepSettings {
    /// How far to move; at least 0.
    pub learning_rate: f32,
    /// Share of each weight added to its gradient; at least 0. Biases and
    /// normalisations do not decay.
    pub weight_decay: f32,
}

/// How the network did on a batch, before it learnt from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Mean loss of the images, nats.
    pub loss: f32,
    /// Images whose most likely class is that of the target; with
    /// [`Loss::Sigmoids`], classes of images that are on the target's side.
    pub correct: usize,
}

/// A network in training: its optimiser's memory and all buffers of a step.
pub struct Trainer {
    network: Network,
    loss: Loss,
    optimizer: OptimizerState,
    pool: rayon::ThreadPool,
    batch_size_max: usize,
    shards: Vec<Shard>,
    norms: Vec<Norm>,
    packed: Packed,
    /// Of what is updated at once: a part of a layer.
    gradient: Vec<f32>,
}

/// Weights as the kernels read them.
struct Packed {
    /// Of the main unit and the projection of the node that is run.
    units: [Buffer; 2],
    /// Dense layer, its rows padded to whole vectors.
    head: Buffer,
}

impl Trainer {
    /// A trainer for batches of at most `batch_size_max` images, on `threads`
    /// threads of its own. Allocates all it will need: the results of a batch's
    /// convolutions, few of its activations, and what the optimiser remembers.
    ///
    /// # Errors
    /// [`Error::Count`] for a batch size or thread count out of range,
    /// [`Error::Value`] for the optimiser's settings, [`Error::Threads`].
    pub fn new(network: Network, batch_size_max: usize, optimizer: Optimizer, threads: usize) -> Result<Self, Error> {
        Self::with_level(network, batch_size_max, optimizer, threads, SimdLevel::detect())
    }

    /// The same with chosen instructions.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn with_level(
        network: Network,
        batch_size_max: usize,
        optimizer: Optimizer,
        threads: usize,
        level: SimdLevel,
    ) -> Result<Self, Error> {
        check_count("batch size", batch_size_max, BATCH_SIZE_MAX)?;
        check_count("thread count", threads, THREADS_MAX)?;
        optimizer.validate()?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("train-{index}"))
            .build()
            .map_err(|source| Error::Threads { threads, source })?;
        let plan = &network.plan;
        let images = batch_size_max.div_ceil(threads);
        let layout = Arc::new(Layout::new(plan));
        Ok(Self {
            optimizer: OptimizerState::new(optimizer, plan.length),
            pool,
            batch_size_max,
            shards: (0..threads).map(|_| Shard::new(plan, &layout, level, images)).collect(),
            norms: plan
                .units
                .iter()
                .map(|unit| Norm::new(padded(unit.gamma.len())))
                .collect(),
            packed: Packed {
                units: plan.packed_lengths().map(Buffer::zeros),
                head: Buffer::zeros(plan.head.packed_weights()),
            },
            gradient: vec![0.0; plan.updated_length_max()],
            network,
            loss: Loss::default(),
        })
    }

    /// The same with another loss than [`Loss::Softmax`].
    ///
    /// # Errors
    /// [`Error::Length`] and [`Error::Value`] for weights that are not those of
    /// the network's classes.
    pub fn with_loss(mut self, loss: Loss) -> Result<Self, Error> {
        loss.validate(self.network.architecture().classes)?;
        self.loss = loss;
        Ok(self)
    }

    /// The network as trained so far.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Ends training.
    pub fn into_network(self) -> Network {
        self.network
    }

    /// What the optimiser remembers. A trainer of the same network, optimiser,
    /// thread count and processor that takes it by [`restore`](Self::restore)
    /// goes on bit for bit as this one would.
    pub fn memory(&self) -> &OptimizerMemory {
        self.optimizer.memory()
    }

    /// Goes on from the memory of another trainer.
    ///
    /// # Errors
    /// [`Error::Length`] where the memory is that of another network or rule,
    /// [`Error::Value`] where it holds what no training leaves behind; the
    /// trainer is then as it was.
    pub fn restore(&mut self, memory: OptimizerMemory) -> Result<(), Error> {
        self.optimizer.restore(memory)
    }

    /// Learns from one batch. `images` holds whole images, each by row, pixel
    /// and channel; `targets` a soft label for each: numbers of at least 0, one
    /// a class, of which [`Loss`] says what they mean.
    ///
    /// # Errors
    /// [`Error::Length`] and [`Error::Value`] for malformed input, and
    /// [`Error::Diverged`] for a loss that is not finite; the network is then as
    /// it was before the step. [`Error::Diverged`] for gradients that are not,
    /// which a finite loss hardly ever has, comes with some layers updated and
    /// others not. (A learning rate so high that the update itself overflows
    /// shows as [`Error::Diverged`] in the next step.)
    pub fn step(&mut self, images: &[f32], targets: &[f32], settings: &StepSettings) -> Result<StepReport, Error> {
        let count = self.check(images, targets, settings)?;
        let Self {
            network,
            loss,
            optimizer,
            pool,
            shards,
            norms,
            packed,
            gradient,
            ..
        } = self;
        let architecture = &network.architecture;
        let mut pass = Pass {
            plan: &network.plan,
            loss,
            update: Update {
                values: &mut network.values,
                optimizer,
                settings: *settings,
            },
            shards,
            norms,
            packed,
            gradient,
        };
        pool.install(|| pass.run(architecture, images, targets, count))
    }

    /// The number of images, if everything is as it must be.
    fn check(&self, images: &[f32], targets: &[f32], settings: &StepSettings) -> Result<usize, Error> {
        let architecture = self.network.architecture();
        let image_length = architecture.input.length();
        let count = images.len() / image_length;
        if !images.len().is_multiple_of(image_length) || count == 0 || count > self.batch_size_max {
            return Err(Error::Length {
                what: "images".to_owned(),
                expected: format!("1 to {} times {image_length}", self.batch_size_max),
                got: images.len(),
            });
        }
        check_length("targets", targets.len(), count * architecture.classes)?;
        let expected = "finite numbers of at least 0";
        let not_negative = |value: f32| value.is_finite() && value >= 0.0;
        check_values("images", images, "finite numbers", f32::is_finite)?;
        self.loss.check_targets(targets)?;
        check_values("learning rate", &[settings.learning_rate], expected, not_negative)?;
        check_values("weight decay", &[settings.weight_decay], expected, not_negative)?;
        Ok(count)
    }
}

/// One pass forward and back. A layer is updated as soon as its gradient is
/// known: nothing before it needs its weights any more, and no more than a part
/// of one layer's gradient is ever held.
struct Pass<'a> {
    plan: &'a Plan,
    loss: &'a Loss,
    update: Update<'a>,
    shards: &'a mut [Shard],
    norms: &'a mut [Norm],
    packed: &'a mut Packed,
    gradient: &'a mut [f32],
}

/// The network's numbers and what moves them.
struct Update<'a> {
    values: &'a mut [f32],
    optimizer: &'a mut OptimizerState,
    settings: StepSettings,
}

impl Update<'_> {
    /// Moves the numbers from `start` by their gradients, or none of them.
    fn run(&mut self, start: usize, gradient: &[f32], decay: f32) -> Result<(), NotFinite> {
        if !gradient.iter().all(|value| value.is_finite()) {
            return Err(NotFinite);
        }
        let weights = &mut self.values[start..start + gradient.len()];
        let rate = self.settings.learning_rate;
        self.optimizer.update(start, weights, gradient, rate, decay);
        Ok(())
    }
}

/// A gradient has an infinite number, or none.
struct NotFinite;

impl Pass<'_> {
    fn run(
        &mut self,
        architecture: &Architecture,
        images: &[f32],
        targets: &[f32],
        count: usize,
    ) -> Result<StepReport, Error> {
        self.plan.head.pack(self.update.values, &mut self.packed.head);
        let threads = self.shards.len();
        let (image_length, classes) = (architecture.input.length(), architecture.classes);
        self.shards
            .par_iter_mut()
            .with_max_len(1)
            .enumerate()
            .for_each(|(index, shard)| {
                let (start, end) = (count * index / threads, count * (index + 1) / threads);
                shard.begin(
                    self.plan,
                    &images[start * image_length..end * image_length],
                    &targets[start * classes..end * classes],
                );
            });
        self.forward();
        let report = self.head(count);
        let diverged = Error::Diverged { loss: report.loss };
        if !report.loss.is_finite() || !self.norms.iter().all(Norm::is_finite) {
            return Err(diverged);
        }
        self.update.optimizer.begin_step();
        self.update_head()
            .and_then(|()| self.backward())
            .map_err(|NotFinite| diverged)?;
        for (unit, norm) in self.plan.units.iter().zip(&*self.norms) {
            // The variance follows the mean in the order of tensors.
            let (before, after) = self.update.values.split_at_mut(unit.running_variance.start);
            let mean = &mut before[unit.running_mean.clone()];
            norm.update_running(mean, &mut after[..unit.running_variance.len()]);
        }
        Ok(report)
    }

    fn forward(&mut self) {
        for (index, node) in self.plan.nodes.iter().enumerate() {
            for (unit, packed) in node.units().zip(&mut self.packed.units) {
                let of = &self.plan.units[unit];
                of.convolution
                    .forward
                    .pack(&self.update.values[of.weights.clone()], packed);
            }
            let (plan, norms, packed) = (self.plan, &*self.norms, &self.packed.units);
            self.shards.par_iter_mut().with_max_len(1).for_each(|shard| {
                shard.forward(plan, index, norms, packed);
            });
            for unit in node.units() {
                let parts = self.shards.iter().map(|shard| shard.statistics(unit));
                let of = &plan.units[unit];
                let (gamma, beta) = (
                    &self.update.values[of.gamma.clone()],
                    &self.update.values[of.beta.clone()],
                );
                self.norms[unit].set_forward(parts, gamma, beta);
            }
        }
    }

    /// The dense layer and the loss, there and back.
    fn head(&mut self, count: usize) -> StepReport {
        let head = &self.plan.head;
        let (plan, loss, norms, packed) = (self.plan, self.loss, &*self.norms, &*self.packed);
        let bias = &self.update.values[head.bias.clone()];
        self.shards.par_iter_mut().with_max_len(1).for_each(|shard| {
            shard.head(plan, norms, (&packed.head, bias), loss, 1.0 / count as f32);
        });
        let (mut loss, mut correct) = (0.0, 0);
        for shard in &*self.shards {
            loss += shard.loss();
            correct += shard.correct();
        }
        StepReport {
            loss: (loss / count as f64) as f32,
            correct,
        }
    }

    fn update_head(&mut self) -> Result<(), NotFinite> {
        let head = &self.plan.head;
        let gradient = &mut self.gradient[..head.weights.len() + head.bias.len()];
        gradient.fill(0.0);
        let (weights, bias) = gradient.split_at_mut(head.weights.len());
        for shard in &*self.shards {
            shard.add_head_gradient(head, weights, bias);
        }
        let decay = self.update.settings.weight_decay;
        self.update.run(head.weights.start, weights, decay)?;
        self.update.run(head.bias.start, bias, 0.0)
    }

    fn backward(&mut self) -> Result<(), NotFinite> {
        for (index, node) in self.plan.nodes.iter().enumerate().rev() {
            for unit in node.units() {
                let parts = self.shards.iter().map(|shard| shard.totals(unit));
                let gamma = &self.update.values[self.plan.units[unit].gamma.clone()];
                self.norms[unit].set_backward(parts, gamma);
            }
            for (unit, packed) in node.units().zip(&mut self.packed.units) {
                let of = &self.plan.units[unit];
                if let Some(backward) = &of.convolution.backward {
                    backward.pack(&self.update.values[of.weights.clone()], packed);
                }
            }
            let parts = node
                .units()
                .map(|unit| self.plan.units[unit].convolution.gradient_parts().count());
            for part in 0..parts.max().unwrap_or(0) {
                let (plan, norms, packed) = (self.plan, &*self.norms, &self.packed.units);
                self.shards.par_iter_mut().with_max_len(1).for_each(|shard| {
                    shard.backward(plan, index, part, norms, packed);
                });
                for (slot, unit) in node.units().enumerate() {
                    self.update_weights(slot, unit, part)?;
                }
            }
            for unit in node.units() {
                self.update_norm(unit)?;
            }
        }
        Ok(())
    }

    /// Some part of the weights of a unit, of some slot of a node.
    fn update_weights(&mut self, slot: usize, unit: usize, part: usize) -> Result<(), NotFinite> {
        let of = &self.plan.units[unit];
        let Some(blocks) = of.convolution.gradient_parts().nth(part) else {
            return Ok(());
        };
        let weights = of.convolution.weights_of(&blocks);
        let gradient = &mut self.gradient[..weights.len()];
        let parts = self.shards.iter().map(|shard| shard.weight_gradient(slot));
        of.convolution.unpack_sum(&blocks, parts, gradient);
        let decay = self.update.settings.weight_decay;
        self.update.run(of.weights.start + weights.start, gradient, decay)
    }

    fn update_norm(&mut self, unit: usize) -> Result<(), NotFinite> {
        let of = &self.plan.units[unit];
        // Beta follows gamma in the order of tensors.
        let (gamma, beta) = self.gradient[..2 * of.gamma.len()].split_at_mut(of.gamma.len());
        self.norms[unit].gradients(gamma, beta);
        self.update.run(of.gamma.start, gamma, 0.0)?;
        self.update.run(of.beta.start, beta, 0.0)
    }
}

fn check_count(what: &'static str, value: usize, max: usize) -> Result<(), Error> {
    if (1..=max).contains(&value) {
        Ok(())
    } else {
        Err(Error::Count { what, value, max })
    }
}
