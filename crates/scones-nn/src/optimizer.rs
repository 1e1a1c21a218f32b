//! How a gradient moves the weights.

use serde::{Deserialize, Serialize};

use crate::error::{Error, check_length, check_values};

/// The update rule. Weight decay is added to the gradient of weights (not of
/// biases and normalisations) before the rule sees it, in all three.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Optimizer {
    /// Gradient descent: `v = momentum * v + g; w -= rate * v`. With
    /// `nesterov` the step looks ahead: `w -= rate * (g + momentum * v)`.
    Sgd {
        /// From 0 to below 1; 0.9 is usual.
        momentum: f32,
        /// Whether to look ahead.
        nesterov: bool,
    },
    /// Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2014, with
    /// the correction of its first steps.
    Adam {
        /// Decay of the mean of gradients; from 0 to below 1, usually 0.9.
        beta1: f32,
        /// Decay of the mean of squares; from 0 to below 1, usually 0.999.
        beta2: f32,
        /// Added to the root; above 0, usually 1e-8.
        epsilon: f32,
    },
    /// Tieleman and Hinton, lecture 6.5 of "Neural Networks for Machine
    /// Learning", 2012, as MXNet has it: `s = gamma1 * s + (1 - gamma1) * g²;
    /// w -= rate * g / sqrt(s + epsilon)`.
    RmsProp {
        /// Decay of the mean of squares; from 0 to below 1, usually 0.9.
        gamma1: f32,
        /// Added under the root; above 0, usually 1e-8.
        epsilon: f32,
    },
}

impl Default for Optimizer {
    /// Gradient descent with Nesterov momentum 0.9.
    fn default() -> Self {
        Self::Sgd {
            momentum: 0.9,
            nesterov: true,
        }
    }
}

impl Optimizer {
    /// Whether every setting is in its range.
    ///
    /// # Errors
    /// [`Error::Value`] naming the first that is not.
    pub fn validate(&self) -> Result<(), Error> {
        let decay = |name, value| {
            check_values(name, &[value], "a number from 0 to below 1", |value| {
                (0.0..1.0).contains(&value)
            })
        };
        let positive = |name, value| {
            check_values(name, &[value], "a finite number above 0", |value| {
                value.is_finite() && value > 0.0
            })
        };
        match *self {
            Self::Sgd { momentum, .. } => decay("momentum", momentum),
            Self::Adam { beta1, beta2, epsilon } => decay("beta1", beta1)
                .and_then(|()| decay("beta2", beta2))
                .and_then(|()| positive("epsilon", epsilon)),
            Self::RmsProp { gamma1, epsilon } => decay("gamma1", gamma1).and_then(|()| positive("epsilon", epsilon)),
        }
    }
}

/// What an update rule remembers between steps; with the network's tensors it
/// makes a [`crate::Trainer`] go on exactly where another one stopped.
///
/// Numbers are in the order of [`crate::Network::tensors`], running statistics
/// included; a vector that the rule does not use is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OptimizerMemory {
    /// Steps taken.
    pub steps: u32,
    /// Velocity, or the mean of gradients.
    pub first: Vec<f32>,
    /// The mean of squared gradients.
    pub second: Vec<f32>,
}

/// An update rule and its memory.
pub(crate) struct OptimizerState {
    optimizer: Optimizer,
    memory: OptimizerMemory,
}

impl OptimizerState {
    pub(crate) fn new(optimizer: Optimizer, weights: usize) -> Self {
        let (first, second) = match optimizer {
            Optimizer::Sgd { .. } => (weights, 0),
            Optimizer::Adam { .. } => (weights, weights),
            Optimizer::RmsProp { .. } => (0, weights),
        };
        Self {
            optimizer,
            memory: OptimizerMemory {
                steps: 0,
                first: vec![0.0; first],
                second: vec![0.0; second],
            },
        }
    }

    pub(crate) fn memory(&self) -> &OptimizerMemory {
        &self.memory
    }

    /// Takes the memory of another state of the same rule and network.
    pub(crate) fn restore(&mut self, memory: OptimizerMemory) -> Result<(), Error> {
        let OptimizerMemory { first, second, .. } = &memory;
        check_length("first memory of the optimiser", first.len(), self.memory.first.len())?;
        check_length("second memory of the optimiser", second.len(), self.memory.second.len())?;
        check_values("first memory of the optimiser", first, "finite numbers", f32::is_finite)?;
        let not_negative = |value: f32| value.is_finite() && value >= 0.0;
        let expected = "finite numbers of at least 0";
        check_values("second memory of the optimiser", second, expected, not_negative)?;
        self.memory = memory;
        Ok(())
    }

    /// Starts a step, which then updates each range once.
    pub(crate) fn begin_step(&mut self) {
        self.memory.steps = self.memory.steps.saturating_add(1);
    }

    /// Updates the weights at `start..` by their gradients.
    pub(crate) fn update(&mut self, start: usize, weights: &mut [f32], gradients: &[f32], rate: f32, decay: f32) {
        let end = start + weights.len();
        let pairs = weights.iter_mut().zip(gradients);
        let OptimizerMemory { steps, first, second } = &mut self.memory;
        match self.optimizer {
            Optimizer::Sgd { momentum, nesterov } => {
                for ((weight, gradient), velocity) in pairs.zip(&mut first[start..end]) {
                    let gradient = gradient + decay * *weight;
                    *velocity = momentum * *velocity + gradient;
                    let step = if nesterov {
                        gradient + momentum * *velocity
                    } else {
                        *velocity
                    };
                    *weight -= rate * step;
                }
            }
            Optimizer::Adam { beta1, beta2, epsilon } => {
                let correction = |beta: f32| 1.0 - f64::from(beta).powf(f64::from(*steps));
                let rate = (f64::from(rate) / correction(beta1)) as f32;
                let root_correction = correction(beta2).sqrt() as f32;
                let memory = first[start..end].iter_mut().zip(&mut second[start..end]);
                for ((weight, gradient), (mean, square)) in pairs.zip(memory) {
                    let gradient = gradient + decay * *weight;
                    *mean = beta1 * *mean + (1.0 - beta1) * gradient;
                    *square = beta2 * *square + (1.0 - beta2) * gradient * gradient;
                    *weight -= rate * *mean / (square.sqrt() / root_correction + epsilon);
                }
            }
            Optimizer::RmsProp { gamma1, epsilon } => {
                for ((weight, gradient), square) in pairs.zip(&mut second[start..end]) {
                    let gradient = gradient + decay * *weight;
                    *square = gamma1 * *square + (1.0 - gamma1) * gradient * gradient;
                    *weight -= rate * gradient / (*square + epsilon).sqrt();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two steps on one weight of 1, rate 0.1, decay 0.5, gradients 2 and −1.
    fn check(optimizer: Optimizer, expect: [f64; 2]) {
        let mut state = OptimizerState::new(optimizer, 1);
        let mut weight = [1.0];
        for (gradient, expect) in [2.0, -1.0].into_iter().zip(expect) {
            state.begin_step();
            state.update(0, &mut weight, &[gradient], 0.1, 0.5);
            assert!(
                (f64::from(weight[0]) - expect).abs() < 1e-6,
                "{optimizer:?}: {weight:?}"
            );
        }
    }

    #[test]
    fn steps_equal_their_closed_forms() {
        // g1 = 2.5, v1 = 2.5, w1 = 0.75; g2 = -0.625, v2 = 1.625, w2 = 0.5875.
        check(
            Optimizer::Sgd {
                momentum: 0.9,
                nesterov: false,
            },
            [0.75, 0.5875],
        );
        // w1 = 1 - 0.1 (2.5 + 2.25) = 0.525; g2 = -0.7375, v2 = 1.5125,
        // w2 = 0.525 - 0.1 (-0.7375 + 1.36125).
        check(
            Optimizer::Sgd {
                momentum: 0.9,
                nesterov: true,
            },
            [0.525, 0.462_625],
        );
        check(
            Optimizer::Sgd {
                momentum: 0.0,
                nesterov: false,
            },
            [0.75, 0.8125],
        );
        // The first step of Adam is the rate; then g2 = -0.55,
        // m = (0.9 0.25 + 0.1 g2) / 0.19, s = (0.999 0.00625 + 0.001 g2²) / 0.001999.
        let (m, s) = ((0.225 - 0.055) / 0.19, (0.006_243_75 + 0.000_302_5) / 0.001_999_f64);
        check(
            Optimizer::Adam {
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
            },
            [0.9, 0.9 - 0.1 * m / s.sqrt()],
        );
        // s1 = 0.625; w1 = 1 - 0.25 / sqrt(s1); g2 = -1 + w1 / 2.
        let w1 = 1.0 - 0.25 / 0.625_f64.sqrt();
        let g2 = -1.0 + 0.5 * w1;
        let s2 = 0.9 * 0.625 + 0.1 * g2 * g2;
        check(
            Optimizer::RmsProp {
                gamma1: 0.9,
                epsilon: 1e-8,
            },
            [w1, w1 - 0.1 * g2 / s2.sqrt()],
        );
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let refused = |optimizer: Optimizer| assert!(optimizer.validate().is_err());
        refused(Optimizer::Sgd {
            momentum: 1.0,
            nesterov: false,
        });
        refused(Optimizer::Sgd {
            momentum: f32::NAN,
            nesterov: false,
        });
        refused(Optimizer::Adam {
            beta1: 0.9,
            beta2: 2.0,
            epsilon: 1e-8,
        });
        refused(Optimizer::Adam {
            beta1: -0.1,
            beta2: 0.9,
            epsilon: 1e-8,
        });
        refused(Optimizer::RmsProp {
            gamma1: 0.9,
            epsilon: 0.0,
        });
        assert!(Optimizer::default().validate().is_ok());
    }
}
