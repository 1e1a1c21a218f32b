//! How good a classifier is, and how sure one can be of that.

mod calibration;
mod contact_sheet;
mod folds;

pub(crate) use calibration::fit_weighted;
pub use calibration::{CALIBRATION_BINS, expected_calibration_error, fit_temperature};
pub use contact_sheet::contact_sheet;
pub use folds::{strata, stratified_folds};

use crate::dataset::{Label, LabelKind};

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
        Self::of(successes as f64 / trials.max(1) as f64, trials)
    }

    /// The same of a share that is known, of so many trials.
    fn of(value: f64, trials: usize) -> Self {
        if trials == 0 {
            return Self {
                value: 0.0,
                low: 0.0,
                high: 1.0,
            };
        }
        let n = trials as f64;
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
///
/// With several classes an image there is an answer for each class of each image: it has it where
/// the probability is at least a half.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Share of right answers. With several classes an image it is AWS's "average accuracy across
    /// all classes", and its interval is that of as many answers as there are images, since those
    /// to one image depend on each other.
    pub accuracy: Share,
    /// Share of the images all of whose answers are right.
    pub exact: Share,
    /// Mean negative log probability of the right answers, in nats.
    pub loss: f64,
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
    pub fn new<L: Label>(probabilities: &[f32], labels: &[L], classes: usize) -> Self {
        assert_eq!(
            probabilities.len(),
            labels.len() * classes,
            "one row of probabilities a label"
        );
        let mut counts = vec![Counts::default(); classes];
        let (mut loss, mut exact) = (0.0, 0);
        for (row, label) in probabilities.chunks_exact(classes).zip(labels) {
            let answer = L::answer(row);
            exact += usize::from(answer == *label);
            for &class in answer.classes() {
                counts[class].answers += 1;
                counts[class].right += usize::from(label.classes().binary_search(&class).is_ok());
            }
            for &class in label.classes() {
                counts[class].images += 1;
            }
            loss += negative_log_likelihood(row, label);
        }
        let (exact, images) = (Share::new(exact, labels.len()), labels.len());
        let wrong: usize = counts.iter().map(Counts::wrong).sum();
        Self {
            accuracy: match L::KIND {
                LabelKind::Single => exact,
                LabelKind::Multi => Share::of(1.0 - wrong as f64 / (images * classes).max(1) as f64, images),
            },
            exact,
            loss: loss / images.max(1) as f64,
            classes: counts.iter().map(Counts::score).collect(),
            calibration_error: expected_calibration_error(probabilities, labels, classes),
        }
    }
}

/// Images of a class, answers for it, and those that are both.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    images: usize,
    answers: usize,
    right: usize,
}

impl Counts {
    fn wrong(&self) -> usize {
        self.images + self.answers - 2 * self.right
    }

    fn score(&self) -> ClassScore {
        ClassScore {
            precision: Share::new(self.right, self.answers).value,
            recall: Share::new(self.right, self.images).value,
            images: self.images,
        }
    }
}

/// Least probability of a class's absence: half of what single precision tells from none next to
/// a presence of 1.
const ABSENCE_MIN: f32 = f32::EPSILON / 4.0;

/// The negative log probability of a label, in nats: of its class, or the mean of the answers for
/// all classes.
fn negative_log_likelihood<L: Label>(row: &[f32], label: &L) -> f64 {
    let of = |probability: f32| -f64::from(probability.max(f32::MIN_POSITIVE)).ln();
    match L::KIND {
        LabelKind::Single => label.classes().iter().map(|class| of(row[*class])).sum(),
        LabelKind::Multi => {
            claims(row, label)
                .map(|(share, has)| of(if has { share } else { (1.0 - share).max(ABSENCE_MIN) }))
                .sum::<f64>()
                / row.len().max(1) as f64
        }
    }
}

/// The probability, or the logit, of each class, and whether the label has it.
fn claims<L: Label>(row: &[f32], label: &L) -> impl Iterator<Item = (f32, bool)> {
    let mut classes = label.classes().iter().peekable();
    let has = move |class: usize| classes.next_if(|next| **next == class).is_some();
    row.iter()
        .copied()
        .enumerate()
        .scan(has, |has, (class, share)| Some((share, has(class))))
}

/// Images counted by label and by answer: `confusion[label][answer]`. Nothing where images have
/// several classes.
///
/// # Panics
/// If there are not `classes` probabilities a label, or a label is not below `classes`.
#[must_use]
pub fn confusion<L: Label>(probabilities: &[f32], labels: &[L], classes: usize) -> Option<Vec<Vec<usize>>> {
    if L::KIND == LabelKind::Multi {
        return None;
    }
    let mut counts = vec![vec![0; classes]; classes];
    for (row, label) in probabilities.chunks_exact(classes).zip(labels) {
        for &class in label.classes() {
            counts[class][best(row)] += 1;
        }
    }
    Some(counts)
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

/// Images whose every class is among the `k` most likely.
#[must_use]
pub fn top_k_correct<L: Label>(scores: &[f32], labels: &[L], classes: usize, k: usize) -> usize {
    let better = |row: &[f32], class: usize| row.iter().filter(|score| **score > row[class]).count();
    let rows = scores.chunks_exact(classes).zip(labels);
    rows.filter(|(row, label)| label.classes().iter().all(|class| better(row, *class) < k))
        .count()
}

/// The probabilities that each row of logits, divided by `temperature`, stands for: by softmax, or
/// by a sigmoid for each class, which need not sum to 1.
#[must_use]
pub fn probabilities_of(kind: LabelKind, logits: &[f32], classes: usize, temperature: f32) -> Vec<f32> {
    match kind {
        LabelKind::Single => probabilities(logits, classes, temperature),
        LabelKind::Multi => logits
            .iter()
            .map(|logit| scones_nn::sigmoid(logit / temperature))
            .collect(),
    }
}

/// Softmax of each row of logits, divided by `temperature`.
#[must_use]
pub fn probabilities(logits: &[f32], classes: usize, temperature: f32) -> Vec<f32> {
    let mut out: Vec<f32> = logits.iter().map(|logit| logit / temperature).collect();
    for row in out.chunks_exact_mut(classes) {
        scones_nn::softmax(row);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::ClassSet;

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
        assert_eq!(confusion(&probabilities, &[0, 1, 1, 1], 2).unwrap(), [[1, 0], [1, 2]]);
        assert_eq!(evaluation.exact, evaluation.accuracy);
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
    fn several_classes_are_as_many_answers() {
        // Both right; one of two; one of two; none.
        let rows = [0.9, 0.1, 0.6, 0.5, 0.2, 0.4, 0.3, 0.7];
        let labels = [vec![0], vec![1], vec![1], vec![0]].map(ClassSet::new);
        let evaluation = Evaluation::new(&rows, &labels, 2);
        assert_eq!((evaluation.accuracy.value, evaluation.exact.value), (0.5, 0.25));
        // As sure as four images make it, not eight answers.
        assert_eq!(evaluation.accuracy, Share::new(2, 4));
        let scores = evaluation
            .classes
            .iter()
            .map(|score| (score.precision, score.recall, score.images));
        assert_eq!(scores.collect::<Vec<_>>(), [(0.5, 0.5, 2), (0.5, 0.5, 2)]);
        let right = [0.9, 0.9, 0.4, 0.5, 0.8, 0.4, 0.3, 0.3_f64];
        let loss = -right.iter().map(|share| share.ln()).sum::<f64>() / 8.0;
        assert!((evaluation.loss - loss).abs() < 1e-6, "{} {loss}", evaluation.loss);
        let nothing = Evaluation::new::<ClassSet>(&[], &[], 3);
        assert_eq!(
            (nothing.accuracy.low, nothing.accuracy.high, nothing.loss),
            (0.0, 1.0, 0.0)
        );
    }

    #[test]
    fn sigmoids_are_independent() {
        let rows = probabilities_of(LabelKind::Multi, &[0.0, 2.0, -1000.0, 1000.0], 2, 2.0);
        assert_eq!((rows[0], rows[2], rows[3]), (0.5, 0.0, 1.0));
        assert!((rows[1] - 0.731_058_6).abs() < 1e-6);
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
