//! How good a classifier is, and how sure one can be of that.

mod calibration;
mod contact_sheet;
mod folds;

pub use calibration::{CALIBRATION_BINS, expected_calibration_error, fit_temperature};
pub use contact_sheet::contact_sheet;
pub use folds::stratified_folds;

/// The 97.5th percentile of the standard normal distribution, for intervals of 95%.
const Z_95: f64 = 1.959_963_984_540_054;

/// A share of successes with its 95% interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// Successes by trials; 0 without trials.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Share {
    /// The share and Wilson's score interval (Wilson, 1927), which holds for few trials and near
    /// 0 and 1 too. Without trials, the interval is everything.
    #[must_use]
    pub fn new(successes: usize, trials: usize) -> Self {
        if trials == 0 {
            return Self {
                value: 0.0,
                low: 0.0,
                high: 1.0,
            };
        }
        let (n, value) = (trials as f64, successes as f64 / trials as f64);
        let squared = Z_95 * Z_95;
        let middle = (value + squared / (2.0 * n)) / (1.0 + squared / n);
        let spread = (value * (1.0 - value) / n + squared / (4.0 * n * n)).sqrt();
        let half = Z_95 / (1.0 + squared / n) * spread;
        Self {
            value,
            low: (middle - half).max(0.0),
            high: (middle + half).min(1.0),
        }
    }
}

/// How one class fared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassScore {
    /// Right answers among the answers for this class; 0 without any.
    pub precision: f64,
    /// Right answers among the images of this class; 0 without any.
    pub recall: f64,
    /// Images of this class.
    pub images: usize,
}

/// A classifier's answers to labelled images, summed up.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Share of right answers.
    pub accuracy: Share,
    /// Mean negative log probability of the right class, in nats.
    pub loss: f64,
    /// `confusion[label][answer]`: images counted by label and by answer.
    pub confusion: Vec<Vec<usize>>,
    /// By class.
    pub classes: Vec<ClassScore>,
    /// Mean distance of confidence and accuracy; see [`expected_calibration_error`].
    pub calibration_error: f64,
}

impl Evaluation {
    /// Sums up the probabilities of `classes` classes for each of the labelled images.
    ///
    /// # Panics
    /// If there are not `classes` probabilities a label, or a label is not below `classes`.
    #[must_use]
    pub fn new(probabilities: &[f32], labels: &[usize], classes: usize) -> Self {
        assert_eq!(
            probabilities.len(),
            labels.len() * classes,
            "one row of probabilities a label"
        );
        let mut confusion = vec![vec![0; classes]; classes];
        let mut loss = 0.0;
        for (row, &label) in probabilities.chunks_exact(classes).zip(labels) {
            confusion[label][best(row)] += 1;
            loss -= f64::from(row[label].max(f32::MIN_POSITIVE)).ln();
        }
        let right = (0..classes).map(|class| confusion[class][class]).sum();
        Self {
            accuracy: Share::new(right, labels.len()),
            loss: loss / labels.len().max(1) as f64,
            classes: (0..classes).map(|class| class_score(&confusion, class)).collect(),
            calibration_error: expected_calibration_error(probabilities, labels, classes),
            confusion,
        }
    }
}

fn class_score(confusion: &[Vec<usize>], class: usize) -> ClassScore {
    let right = confusion[class][class];
    let images = confusion[class].iter().sum();
    let answers: usize = confusion.iter().map(|row| row[class]).sum();
    let share = |whole: usize| Share::new(right, whole).value;
    ClassScore {
        precision: share(answers),
        recall: share(images),
        images,
    }
}

/// Position of the largest value; the first of equals.
#[must_use]
pub fn best(row: &[f32]) -> usize {
    let mut best = 0;
    for (at, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = at;
        }
    }
    best
}

/// Images whose label is among the `k` most likely classes.
#[must_use]
pub fn top_k_correct(scores: &[f32], labels: &[usize], classes: usize, k: usize) -> usize {
    let better = |row: &[f32], label: usize| row.iter().filter(|score| **score > row[label]).count();
    let rows = scores.chunks_exact(classes).zip(labels);
    rows.filter(|(row, label)| better(row, **label) < k).count()
}

/// Softmax of each row of logits, divided by `temperature`.
#[must_use]
pub fn probabilities(logits: &[f32], classes: usize, temperature: f32) -> Vec<f32> {
    let mut out: Vec<f32> = logits.iter().map(|logit| logit / temperature).collect();
    for row in out.chunks_exact_mut(classes) {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for value in row.iter_mut() {
            *value = (*value - largest).exp();
            sum += *value;
        }
        for value in row.iter_mut() {
            *value /= sum;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_intervals_equal_published_ones() {
        let near = |share: Share, low: f64, high: f64| {
            assert!(
                (share.low - low).abs() < 5e-4 && (share.high - high).abs() < 5e-4,
                "{share:?}"
            );
        };
        // Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I.
        near(Share::new(81, 263), 0.2553, 0.3662);
        near(Share::new(15, 148), 0.0624, 0.1605);
        near(Share::new(0, 20), 0.0, 0.1611);
        near(Share::new(1, 29), 0.0061, 0.1718);
        near(Share::new(0, 0), 0.0, 1.0);
    }

    #[test]
    fn confusion_precision_and_recall() {
        let probabilities = [0.9, 0.1, 0.6, 0.4, 0.2, 0.8, 0.3, 0.7];
        let evaluation = Evaluation::new(&probabilities, &[0, 1, 1, 1], 2);
        assert_eq!(evaluation.confusion, [[1, 0], [1, 2]]);
        assert_eq!(evaluation.accuracy.value, 0.75);
        assert_eq!(
            evaluation.classes[0],
            ClassScore {
                precision: 0.5,
                recall: 1.0,
                images: 1
            }
        );
        assert_eq!(
            evaluation.classes[1],
            ClassScore {
                precision: 1.0,
                recall: 2.0 / 3.0,
                images: 3
            }
        );
        let loss = -(0.9_f64.ln() + 0.4_f64.ln() + 0.8_f64.ln() + 0.7_f64.ln()) / 4.0;
        assert!((evaluation.loss - loss).abs() < 1e-6);
    }

    #[test]
    fn softmax_survives_large_logits_and_top_k_counts_ties() {
        assert_eq!(probabilities(&[1000.0, 1000.0, -1000.0], 3, 1.0), [0.5, 0.5, 0.0]);
        let scores = [0.1, 0.2, 0.7, 0.5, 0.3, 0.2];
        assert_eq!(
            (1..=3)
                .map(|k| top_k_correct(&scores, &[1, 2], 3, k))
                .collect::<Vec<_>>(),
            [0, 1, 2]
        );
    }
}
