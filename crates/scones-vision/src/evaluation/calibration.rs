//! Whether probabilities mean what they say.

use super::{best, probabilities};

/// Bins of equal width in the expected calibration error.
pub const CALIBRATION_BINS: usize = 15;
/// Temperatures tried, and steps of the search, which leave an error below 0.1%.
const TEMPERATURE_RANGE: (f32, f32) = (0.05, 20.0);
const SEARCH_STEPS: usize = 40;

/// Mean distance between the confidence of the answers and their accuracy, over
/// [`CALIBRATION_BINS`] bins of confidence, weighted by size (Naeini et al., 2015; Guo et al.,
/// 2017). With few images it is above zero even for a perfectly calibrated classifier.
///
/// # Panics
/// If there are not `classes` probabilities a label.
#[must_use]
pub fn expected_calibration_error(probabilities: &[f32], labels: &[usize], classes: usize) -> f64 {
    assert_eq!(
        probabilities.len(),
        labels.len() * classes,
        "one row of probabilities a label"
    );
    let mut gaps = [0.0_f64; CALIBRATION_BINS];
    for (row, &label) in probabilities.chunks_exact(classes).zip(labels) {
        let answer = best(row);
        let confidence = f64::from(row[answer]);
        let bin = ((confidence * CALIBRATION_BINS as f64) as usize).min(CALIBRATION_BINS - 1);
        gaps[bin] += confidence - f64::from(u8::from(answer == label));
    }
    gaps.iter().map(|gap| gap.abs()).sum::<f64>() / labels.len().max(1) as f64
}

/// The temperature by which logits are best divided before the softmax: the one with the least
/// loss on these images (Guo et al., "On Calibration of Modern Neural Networks", 2017). It changes
/// no answer, only how sure they are. 1 without images.
#[must_use]
pub fn fit_temperature(logits: &[f32], labels: &[usize], classes: usize) -> f32 {
    if labels.is_empty() {
        return 1.0;
    }
    let loss = |temperature: f32| -> f64 {
        let rows = probabilities(logits, classes, temperature);
        let rows = rows.chunks_exact(classes).zip(labels);
        rows.map(|(row, &label)| -f64::from(row[label].max(f32::MIN_POSITIVE)).ln())
            .sum()
    };
    // The loss is convex in the inverse temperature, so it has one valley in its logarithm too.
    let golden = (5.0_f32.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (TEMPERATURE_RANGE.0.ln(), TEMPERATURE_RANGE.1.ln());
    for _ in 0..SEARCH_STEPS {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if loss(left.exp()) < loss(right.exp()) {
            high = right;
        } else {
            low = left;
        }
    }
    f32::midpoint(low, high).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn calibration_error_equals_a_hand_count() {
        // Two answers of 0.9, one right; two of 0.6, both right.
        let rows = [0.9, 0.1, 0.1, 0.9, 0.6, 0.4, 0.4, 0.6];
        let error = expected_calibration_error(&rows, &[0, 0, 0, 1], 2);
        assert!((error - (0.8 + 0.8) / 4.0).abs() < 1e-6, "{error}");
        assert_eq!(expected_calibration_error(&[1.0, 0.0], &[0], 2), 0.0);
    }

    #[test]
    fn temperature_is_recovered() {
        // Labels drawn from the softmax of the logits divided by a known temperature.
        for truth in [0.5_f32, 1.0, 3.0] {
            let mut random = Random::new(6);
            let logits: Vec<f32> = (0..40_000).map(|_| 2.0 * random.normal()).collect();
            let rows = probabilities(&logits, 2, truth);
            let labels: Vec<usize> = rows
                .chunks_exact(2)
                .map(|row| usize::from(random.unit() >= row[0]))
                .collect();
            let found = fit_temperature(&logits, &labels, 2);
            assert!((found / truth - 1.0).abs() < 0.05, "{truth} {found}");
        }
        assert_eq!(fit_temperature(&[], &[], 2), 1.0);
    }
}
