//! The weights of a network and its running statistics.

use std::sync::Arc;

use crate::architecture::Architecture;
use crate::error::{Error, check_length, check_values};
use crate::inference::Inference;
use crate::plan::{Plan, Role};
use crate::random::Normal;
use crate::simd::SimdLevel;

/// Standard deviation of a new dense layer.
const HEAD_DEVIATION: f64 = 0.01;

/// A classifier: an [`Architecture`] and the numbers that fill it.
#[derive(Clone, Debug)]
pub struct Network {
    pub(crate) architecture: Architecture,
    pub(crate) plan: Arc<Plan>,
    pub(crate) values: Vec<f32>,
}

impl Network {
    /// A network to be trained. Equal seeds give equal weights.
    ///
    /// Convolutions are drawn after He et al., "Delving Deep into Rectifiers",
    /// 2015; the dense layer with deviation 0.01. The last normalisation of
    /// each block starts at zero, so that every block starts as the identity
    /// (Goyal et al., "Accurate, Large Minibatch SGD", 2017). The first filters
    /// of a pooled transition start as the identity too, one for each channel
    /// that it reads (Jordan, "94% on CIFAR-10 in 3.29 Seconds", 2024).
    ///
    /// # Errors
    /// What [`Architecture::validate`] finds.
    pub fn new(architecture: Architecture, seed: u64) -> Result<Self, Error> {
        architecture.validate()?;
        let plan = Plan::new(&architecture);
        let mut values = vec![0.0; plan.length];
        let mut normal = Normal::new(seed);
        for unit in &plan.units {
            let deviation = (2.0 / unit.fan_in as f64).sqrt();
            values[unit.weights.clone()].fill_with(|| normal.draw(deviation));
            if unit.is_transition {
                keep_channels(&mut values[unit.weights.clone()], unit.fan_in);
            }
            values[unit.gamma.clone()].fill(if unit.ends_branch { 0.0 } else { 1.0 });
            values[unit.running_variance.clone()].fill(1.0);
        }
        values[plan.head.weights.clone()].fill_with(|| normal.draw(HEAD_DEVIATION));
        Ok(Self {
            architecture,
            plan: Arc::new(plan),
            values,
        })
    }

    /// A network of stored tensors. `tensor` is asked for each by its name and
    /// shape, in the order of [`tensors`](Self::tensors).
    ///
    /// # Errors
    /// [`Error::TensorMissing`] where `tensor` answers nothing,
    /// [`Error::Length`] where it answers another number of elements,
    /// [`Error::Value`] where one is not finite or a variance is negative, and
    /// what [`Architecture::validate`] finds.
    pub fn from_tensors(
        architecture: Architecture,
        mut tensor: impl FnMut(&str, &[usize]) -> Option<Vec<f32>>,
    ) -> Result<Self, Error> {
        architecture.validate()?;
        let plan = Plan::new(&architecture);
        let mut values = Vec::with_capacity(plan.length);
        for part in &plan.tensors {
            let given = tensor(&part.name, &part.shape).ok_or_else(|| Error::TensorMissing {
                name: part.name.clone(),
            })?;
            let what = || format!("tensor {}", part.name);
            check_length(&what(), given.len(), part.range.len())?;
            if part.role == Role::Variance {
                let accepts = |value: f32| value.is_finite() && value >= 0.0;
                check_values(&what(), &given, "finite numbers of at least 0", accepts)?;
            } else {
                check_values(&what(), &given, "finite numbers", f32::is_finite)?;
            }
            values.extend_from_slice(&given);
        }
        Ok(Self {
            architecture,
            plan: Arc::new(plan),
            values,
        })
    }

    /// The same network with a new dense layer for `classes` classes, drawn from
    /// `seed`; every other tensor is kept.
    ///
    /// # Errors
    /// What [`Architecture::validate`] finds.
    pub fn with_classes(&self, classes: usize, seed: u64) -> Result<Self, Error> {
        let architecture = Architecture {
            classes,
            ..self.architecture.clone()
        };
        architecture.validate()?;
        let plan = Plan::new(&architecture);
        let mut values = vec![0.0; plan.length];
        // The dense layer's tensors are the last.
        let kept = plan.head.weights.start;
        values[..kept].copy_from_slice(&self.values[..kept]);
        let mut normal = Normal::new(seed);
        values[plan.head.weights.clone()].fill_with(|| normal.draw(HEAD_DEVIATION));
        Ok(Self {
            architecture,
            plan: Arc::new(plan),
            values,
        })
    }

    /// What the network looks like.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Name, shape and elements of each tensor, running statistics included.
    ///
    /// Names are such as `stem.conv.weight`, `stage1.block0.norm2.running_var`
    /// and `stage2.block0.shortcut.conv.weight`; stages count from 1, blocks
    /// from 0. Convolutions have the shape outputs × inputs × rows × columns,
    /// the dense layer classes × features, as in PyTorch.
    pub fn tensors(&self) -> impl Iterator<Item = (String, Vec<usize>, &[f32])> {
        self.plan.tensors.iter().map(|tensor| {
            (
                tensor.name.clone(),
                tensor.shape.clone(),
                &self.values[tensor.range.clone()],
            )
        })
    }

    /// Replaces every number by `(1 - weight) * own + weight * other`, running
    /// statistics included: the step of an exponential moving average.
    ///
    /// # Errors
    /// [`Error::ArchitectureMismatch`], and [`Error::Value`] for a weight
    /// outside 0 to 1.
    pub fn average_with(&mut self, other: &Self, weight: f32) -> Result<(), Error> {
        if self.architecture != other.architecture {
            return Err(Error::ArchitectureMismatch);
        }
        let accepts = |weight: f32| (0.0..=1.0).contains(&weight);
        check_values("weight", &[weight], "a number from 0 to 1", accepts)?;
        for (own, other) in self.values.iter_mut().zip(&other.values) {
            *own += weight * (other - *own);
        }
        Ok(())
    }

    /// The network made ready to classify, for the best instructions of this
    /// processor. Costs a copy of the weights.
    pub fn compile(&self) -> Inference {
        self.compile_for(SimdLevel::detect())
    }

    /// The same for chosen instructions.
    pub fn compile_for(&self, level: SimdLevel) -> Inference {
        Inference::new(self, level)
    }
}

/// Turns the first filters of 3×3 weights into those that leave a channel each
/// as it is.
fn keep_channels(weights: &mut [f32], fan_in: usize) {
    const TAPS: usize = 9;
    let filters = weights.chunks_exact_mut(fan_in).take(fan_in / TAPS);
    for (channel, filter) in filters.enumerate() {
        filter.fill(0.0);
        filter[channel * TAPS + TAPS / 2] = 1.0;
    }
}
