//! Softmax and its cross entropy.

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
pub(crate) fn argmax(values: &[f32]) -> usize {
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
pub(crate) fn cross_entropy(logits: &mut [f32], targets: &[f32], share: f32) -> f64 {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradient_is_the_slope_of_the_loss() {
        let logits = [2.0_f32, -1.0, 0.5, 30.0];
        let targets = [0.1, 0.2, 0.6, 0.1];
        let loss = |at: usize, by: f32| {
            let mut logits = logits;
            logits[at] += by;
            cross_entropy(&mut logits, &targets, 1.0)
        };
        let mut gradient = logits;
        cross_entropy(&mut gradient, &targets, 1.0);
        for (at, analytic) in gradient.into_iter().enumerate() {
            let numeric = (loss(at, 0.01) - loss(at, -0.01)) / 0.02;
            assert!(
                (numeric - f64::from(analytic)).abs() < 1e-4,
                "{at}: {numeric} {analytic}"
            );
        }
    }

    #[test]
    fn softmax_of_huge_logits_is_finite() {
        let mut logits = [1e30, 1e30, -1e30];
        softmax(&mut logits);
        assert_eq!(logits, [0.5, 0.5, 0.0]);
    }
}
