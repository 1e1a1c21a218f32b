//! Whether probabilities mean what they say.

use scones_nn::{ClassWeights, binary_cross_entropy};

use super::{best, claims};
use crate::dataset::{Label, LabelKind};

/// Bins of equal width in the expected calibration error.
pub const CALIBRATION_BINS: usize = 15;
/// How far temperatures are from 1 before any image is seen: the standard deviation of their
/// logarithm, so that one in twenty is outside of 0.37 to 2.7. Without it a few images, all answered
/// rightly, would ask for answers that are endlessly sure.
const LOG_TEMPERATURE_DEVIATION: f64 = 0.5;
/// Temperatures tried, and steps of the search, which leave an error below 0.1%.
const TEMPERATURE_RANGE: (f32, f32) = (0.05, 20.0);
const SEARCH_STEPS: usize = 40;

/// Mean distance between the confidence of the answers and their accuracy, over
/// [`CALIBRATION_BINS`] bins of confidence, weighted by size (Naeini et al., 2015; Guo et al.,
/// 2017). With few images it is above zero even for a perfectly calibrated classifier.
///
/// With several classes an image it is the mean distance between the probability of a class and
/// the share of images that have it, over all classes together.
///
/// # Panics
/// If there are not `classes` probabilities a label.
#[must_use]
pub fn expected_calibration_error<L: Label>(probabilities: &[f32], labels: &[L], classes: usize) -> f64 {
    assert_eq!(
        probabilities.len(),
        labels.len() * classes,
        "one row of probabilities a label"
    );
    let (mut gaps, mut count) = ([0.0_f64; CALIBRATION_BINS], 0);
    let mut add = |confidence: f32, is_right: bool| {
        let confidence = f64::from(confidence);
        let bin = ((confidence * CALIBRATION_BINS as f64) as usize).min(CALIBRATION_BINS - 1);
        gaps[bin] += confidence - f64::from(u8::from(is_right));
        count += 1;
    };
    for (row, label) in probabilities.chunks_exact(classes).zip(labels) {
        match L::KIND {
            LabelKind::Single => add(row[best(row)], label.classes() == [best(row)]),
            LabelKind::Multi => claims(row, label).for_each(|(share, has)| add(share, has)),
        }
    }
    gaps.iter().map(|gap| gap.abs()).sum::<f64>() / count.max(1) as f64
}

/// The temperature by which logits are best divided before the softmax or the sigmoids: the one
/// with the least loss on these images (Guo et al., "On Calibration of Modern Neural Networks",
/// 2017), drawn towards 1 as much as a few images weigh. It changes no answer, only how sure they
/// are. 1 without images.
#[must_use]
pub fn fit_temperature<L: Label>(logits: &[f32], labels: &[L], classes: usize) -> f32 {
    match L::KIND {
        LabelKind::Single => fit(logits, labels, classes, |row, label, inverse| {
            let scaled = row.iter().map(|&logit| f64::from(logit) * inverse);
            let largest = scaled.clone().fold(f64::NEG_INFINITY, f64::max);
            let log_sum = largest + scaled.clone().map(|logit| (logit - largest).exp()).sum::<f64>().ln();
            let right = label.classes().iter().map(|&class| f64::from(row[class]) * inverse);
            right.map(|logit| log_sum - logit).sum()
        }),
        LabelKind::Multi => fit_weighted(logits, labels, &vec![ClassWeights::default(); classes]),
    }
}

/// The same for sigmoids that were trained with these weights: the answers mean what the training
/// asked for.
pub(crate) fn fit_weighted<L: Label>(logits: &[f32], labels: &[L], weights: &[ClassWeights]) -> f32 {
    fit(logits, labels, weights.len(), |row, label, inverse| {
        let answers = claims(row, label).zip(weights);
        let losses = answers.map(|((logit, has), weights)| {
            binary_cross_entropy(f64::from(logit) * inverse, f64::from(u8::from(has)), *weights)
        });
        losses.sum()
    })
}

/// `loss` is that of an image's logits when they are multiplied by a number.
fn fit<L: Label>(logits: &[f32], labels: &[L], classes: usize, loss: impl Fn(&[f32], &L, f64) -> f64) -> f32 {
    if labels.is_empty() {
        return 1.0;
    }
    let loss = |temperature: f32| -> f64 {
        let rows = logits.chunks_exact(classes).zip(labels);
        let of_images: f64 = rows
            .map(|(row, label)| loss(row, label, 1.0 / f64::from(temperature)))
            .sum();
        let unusual = f64::from(temperature).ln() / LOG_TEMPERATURE_DEVIATION;
        of_images + unusual * unusual / 2.0
    };
    // The loss of the images is convex in the inverse temperature, so it has one valley in its
    // logarithm, as the other part has.
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
    use crate::{
        dataset::ClassSet,
        evaluation::{probabilities, probabilities_of},
        random::Random,
    };

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
        assert_eq!(fit_temperature::<usize>(&[], &[], 2), 1.0);
    }

    #[test]
    fn a_few_right_or_wrong_answers_do_not_make_a_temperature_extreme() {
        let logits = [4.0, -4.0].repeat(10);
        for (label, range) in [(0, 0.5..1.0), (1, 1.0..8.0)] {
            let found = fit_temperature(&logits, &[label; 10], 2);
            assert!(range.contains(&found), "{label}: {found}");
        }
    }

    #[test]
    fn temperature_of_sigmoids_is_recovered() {
        for truth in [0.5_f32, 1.0, 3.0] {
            let mut random = Random::new(7);
            let logits: Vec<f32> = (0..40_000).map(|_| 2.0 * random.normal()).collect();
            let rows = probabilities_of(LabelKind::Multi, &logits, 4, truth);
            let mut drawn = |row: &[f32]| ClassSet::new((0..4).filter(|class| random.unit() < row[*class]));
            let labels: Vec<ClassSet> = rows.chunks_exact(4).map(&mut drawn).collect();
            let found = fit_temperature(&logits, &labels, 4);
            assert!((found / truth - 1.0).abs() < 0.05, "{truth} {found}");
            assert_eq!(fit_weighted(&logits, &labels, &[ClassWeights::default(); 4]), found);
            assert!(expected_calibration_error(&rows, &labels, 4) < 0.01);
            let unsure = vec![0.5; rows.len()];
            assert!(expected_calibration_error(&unsure, &labels, 4) < 0.01);
            let sure: Vec<f32> = rows.iter().map(|share| share.round()).collect();
            assert!(expected_calibration_error(&sure, &labels, 4) > 0.05);
        }
    }
}
