//! Cross-validation.

use crate::{dataset::Label, random::Random};

/// A number for each label, the same for equal ones, to split by: labels that are single classes
/// without a gap are their own.
#[must_use]
pub fn strata<'a, L: Label + 'a>(labels: impl Iterator<Item = &'a L> + Clone) -> Vec<usize> {
    let mut distinct: Vec<&L> = labels.clone().collect();
    distinct.sort_unstable();
    distinct.dedup();
    labels
        .map(|label| distinct.partition_point(|other| *other < label))
        .collect()
}

/// Splits samples into `count` validation sets with nearly equal shares of every label; of
/// [`strata`] of sets, that is of every set, not of every class. Each position is in exactly one set; sets are in ascending order. A set is empty if there are fewer
/// samples than sets.
#[must_use]
pub fn stratified_folds(labels: &[usize], count: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by_key(|&at| labels[at]);
    for members in order.chunk_by_mut(|&one, &other| labels[one] == labels[other]) {
        let label = labels[members[0]] as u64;
        Random::new(seed).part(label).shuffle(members);
    }
    // Where one label ends the next goes on, so that the sets' sizes differ by one at most.
    let mut folds = vec![Vec::new(); count];
    for (next, member) in order.into_iter().enumerate() {
        if let Some(fold) = folds.get_mut(next % count) {
            fold.push(member);
        }
    }
    for fold in &mut folds {
        fold.sort_unstable();
    }
    folds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::ClassSet;
    use proptest::prelude::*;

    #[test]
    fn equal_sets_are_one_stratum() {
        let sets = [vec![1], vec![], vec![0, 1], vec![1]].map(ClassSet::new);
        assert_eq!(strata(sets.iter()), [2, 0, 1, 2]);
        assert_eq!(strata([1, 0, 2, 1].iter()), [1, 0, 2, 1]);
    }

    proptest! {
        #[test]
        fn folds_part_the_samples_evenly(labels in prop::collection::vec(0_usize..4, 0..80), count in 1_usize..7, seed: u64) {
            let folds = stratified_folds(&labels, count, seed);
            let mut all: Vec<usize> = folds.iter().flatten().copied().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..labels.len()).collect::<Vec<_>>());
            let spread = |sizes: Vec<usize>| sizes.iter().max().unwrap() - sizes.iter().min().unwrap();
            prop_assert!(spread(folds.iter().map(Vec::len).collect()) <= 1);
            for class in 0..4 {
                let share = |fold: &Vec<usize>| fold.iter().filter(|&&at| labels[at] == class).count();
                prop_assert!(spread(folds.iter().map(share).collect()) <= 1);
            }
        }
    }
}
