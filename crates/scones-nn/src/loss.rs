//! What a network is trained for: softmax and its cross entropy, or a sigmoid
//! and a binary cross entropy for each class.

use crate::error::{Error, check_length, check_values};

/// What the logits of an image stand for, and how far they are from its targets.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Loss {
    /// An image has one class: the logits are those of a softmax, and the
    /// targets, which should sum to 1, its probabilities. The loss is the cross
    /// entropy.
    #[default]
    Softmax,
    /// An image has any number of classes: each logit is that of a sigmoid, and
    /// its target the probability of that class, from 0 to 1. The loss is the
    /// sum of the classes' binary cross entropies, so that a class is learnt as
    /// fast among many as among few.
    Sigmoids {
        /// One a class.
        weights: Vec<ClassWeights>,
    },
}

/// How much the two sides of a class count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassWeights {
    /// Of images that have the class; at least 0.
    pub present: f32,
    /// Of images that do not; at least 0.
    pub absent: f32,
}

impl ClassWeights {
    /// What the two sides of a target from 0 to 1 count.
    fn shared(self, target: f64) -> (f64, f64) {
        (
            f64::from(self.present) * target,
            f64::from(self.absent) * (1.0 - target),
        )
    }
}

impl Default for ClassWeights {
    /// Both count alike.
    fn default() -> Self {
        Self {
            present: 1.0,
            absent: 1.0,
        }
    }
}

/// How far the answer to an image was from its targets.
pub(crate) struct Answer {
    /// In nats.
    pub loss: f64,
    /// Right answers: of the image, or of each of its classes.
    pub correct: usize,
}

impl Loss {
    /// Fails unless the loss is one of a network of so many classes.
    pub(crate) fn validate(&self, classes: usize) -> Result<(), Error> {
        let Self::Sigmoids { weights } = self else {
            return Ok(());
        };
        check_length("class weights", weights.len(), classes)?;
        let sides: Vec<f32> = weights.iter().flat_map(|of| [of.present, of.absent]).collect();
        let not_negative = |weight: f32| weight.is_finite() && weight >= 0.0;
        check_values("class weights", &sides, "finite numbers of at least 0", not_negative)
    }

    /// Fails unless the numbers are soft labels.
    pub(crate) fn check_targets(&self, targets: &[f32]) -> Result<(), Error> {
        match self {
            Self::Softmax => {
                let not_negative = |value: f32| value.is_finite() && value >= 0.0;
                check_values("targets", targets, "finite numbers of at least 0", not_negative)
            }
            Self::Sigmoids { .. } => {
                let probability = |value: f32| (0.0..=1.0).contains(&value);
                check_values("targets", targets, "numbers from 0 to 1", probability)
            }
        }
    }

    /// Compares one image's logits with its soft labels, and replaces them by
    /// `share` times the loss's gradient.
    pub(crate) fn compare(&self, logits: &mut [f32], targets: &[f32], share: f32) -> Answer {
        match self {
            Self::Softmax => Answer {
                correct: usize::from(argmax(logits) == argmax(targets)),
                loss: cross_entropy(logits, targets, share),
            },
            Self::Sigmoids { weights } => {
                let answers = logits.iter().zip(targets);
                Answer {
                    correct: answers
                        .filter(|(logit, target)| (**logit >= 0.0) == (**target >= 0.5))
                        .count(),
                    loss: binary_cross_entropies(logits, targets, weights, share),
                }
            }
        }
    }
}

/// Turns a logit into a probability.
pub fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// Turns the logits of one image into probabilities that sum to 1.
pub fn softmax(logits: &mut [f32]) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        *logit = (*logit - max).exp();
        sum += *logit;
    }
    for logit in logits {
        *logit /= sum;
    }
}

/// Index of the largest value, the first of equals.
fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, &value) in values.iter().enumerate() {
        if value > values[best] {
            best = index;
        }
    }
    best
}

/// Cross entropy of one image's logits against its soft labels, in nats.
/// Replaces the logits by `share` times the loss's gradient.
fn cross_entropy(logits: &mut [f32], targets: &[f32], share: f32) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials = logits.iter().map(|&logit| f64::from(logit - max).exp());
    let log_sum = f64::from(max) + exponentials.sum::<f64>().ln();
    let mass: f64 = targets.iter().map(|&target| f64::from(target)).sum();
    let mut loss = 0.0;
    for (logit, &target) in logits.iter_mut().zip(targets) {
        let log_probability = f64::from(*logit) - log_sum;
        loss -= f64::from(target) * log_probability;
        *logit = ((log_probability.exp() * mass - f64::from(target)) * f64::from(share)) as f32;
    }
    loss
}

/// Binary cross entropy of the logit of a class against its target, from 0 to
/// 1, in nats. Finite for any finite logit.
pub fn binary_cross_entropy(logit: f64, target: f64, weights: ClassWeights) -> f64 {
    let (present, absent) = weights.shared(target);
    // The logarithm of one plus e to the logit, for any logit.
    let softplus = logit.max(0.0) + (-logit.abs()).exp().ln_1p();
    present * (softplus - logit) + absent * softplus
}

/// Sum over the classes of the binary cross entropy of one image. Replaces the
/// logits by `share` times the loss's gradient.
fn binary_cross_entropies(logits: &mut [f32], targets: &[f32], weights: &[ClassWeights], share: f32) -> f64 {
    let mut loss = 0.0;
    for ((logit, &target), weights) in logits.iter_mut().zip(targets).zip(weights) {
        let (value, target) = (f64::from(*logit), f64::from(target));
        loss += binary_cross_entropy(value, target, *weights);
        let (present, absent) = weights.shared(target);
        let probability = 1.0 / (1.0 + (-value).exp());
        *logit = (((present + absent) * probability - present) * f64::from(share)) as f32;
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradient_is_the_slope_of_the_loss() {
        let check = |loss: &Loss| {
            let logits = [2.0_f32, -1.0, 0.5, 30.0];
            let targets = [0.1, 0.2, 0.6, 0.1];
            let moved = |at: usize, by: f32| {
                let mut logits = logits;
                logits[at] += by;
                loss.compare(&mut logits, &targets, 1.0).loss
            };
            let mut gradient = logits;
            loss.compare(&mut gradient, &targets, 1.0);
            for (at, analytic) in gradient.into_iter().enumerate() {
                let numeric = (moved(at, 0.01) - moved(at, -0.01)) / 0.02;
                assert!(
                    (numeric - f64::from(analytic)).abs() < 1e-4,
                    "{loss:?} {at}: {numeric} {analytic}"
                );
            }
        };
        check(&Loss::Softmax);
        let weights = |present, absent| ClassWeights { present, absent };
        check(&Loss::Sigmoids {
            weights: vec![ClassWeights::default(); 4],
        });
        check(&Loss::Sigmoids {
            weights: vec![
                weights(3.0, 0.5),
                weights(0.0, 2.0),
                weights(2.0, 0.0),
                weights(0.1, 0.7),
            ],
        });
    }

    #[test]
    fn binary_cross_entropy_is_the_formula_and_finite() {
        let loss = Loss::Sigmoids {
            weights: vec![
                ClassWeights {
                    present: 2.0,
                    absent: 0.5,
                };
                2
            ],
        };
        let mut logits = [1.0, -2.0];
        let probabilities = logits.map(|logit| f64::from(sigmoid(logit)));
        let answer = loss.compare(&mut logits, &[1.0, 0.0], 1.0);
        let expect = -(2.0 * probabilities[0].ln() + 0.5 * (1.0 - probabilities[1]).ln());
        assert!((answer.loss - expect).abs() < 1e-6, "{} {expect}", answer.loss);
        assert_eq!(answer.correct, 2);
        let mut huge = [1e30, -1e30];
        let answer = loss.compare(&mut huge, &[0.0, 0.0], 1.0);
        assert!(answer.loss.is_finite() && huge.iter().all(|slope| slope.is_finite()));
        assert_eq!(answer.correct, 1);
    }

    #[test]
    fn softmax_of_huge_logits_is_finite() {
        let mut logits = [1e30, 1e30, -1e30];
        softmax(&mut logits);
        assert_eq!(logits, [0.5, 0.5, 0.0]);
    }
}
