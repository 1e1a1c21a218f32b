//! First filters that a network need not learn: those that whiten the patches of the training
//! images, each and its negative, so that the rectifier after them loses nothing. After Page, "How
//! to Train Your ResNet 8", 2019, and Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU",
//! 2024.

use rayon::prelude::*;
use scones_nn::Network;

use super::batches::Batches;
use crate::dataset::Label;

/// Images that are measured, at most: a few million patches are enough.
const IMAGES_MAX: usize = 5000;
/// Added to the second moment along each direction, in units of the normalised images, so that noise is
/// not blown up.
const MOMENT_MIN: f64 = 1e-3;
/// Sweeps of the rotations, at most; they converge quadratically, after some six.
const SWEEPS_MAX: usize = 32;

/// The network with whitening filters for its stem; channels beyond them stay as they are, and so
/// does the large stem of large images, whose patches differ mostly in what is smooth.
///
/// # Errors
/// None: the network has the tensors that it gives.
pub(super) fn whitened(network: &Network, batches: &Batches<'_, impl Label>) -> Result<Network, scones_nn::Error> {
    let mut tensors = network.tensors();
    Network::from_tensors(network.architecture().clone(), |name, shape| {
        let mut values = tensors.next()?.2.to_vec();
        if let ("stem.conv.weight", [channels, 3, 3, 3]) = (name, shape) {
            let filters = filters(
                batches.plain(IMAGES_MAX),
                network.architecture().input.width,
                3,
                *channels,
            );
            values[..filters.len()].copy_from_slice(&filters);
        }
        Some(values)
    })
}

/// Filters of `kernel` x `kernel` pixels and three channels for at most `count` channels, as
/// `[filter][channel][row][column]`, of images of `width` pixels a row: directions of falling
/// second moment, each followed by its negative. At most two for each number of a patch.
fn filters(
    images: impl IndexedParallelIterator<Item = Vec<f32>>,
    width: usize,
    kernel: usize,
    count: usize,
) -> Vec<f32> {
    let (values, vectors) = eigenvectors(second_moments(images, width, kernel));
    let length = vectors.len();
    let mut order: Vec<usize> = (0..length).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    let filters = order.into_iter().flat_map(|index| {
        let scale = 1.0 / (values[index].max(0.0) + MOMENT_MIN).sqrt();
        [scale, -scale].map(|scale| {
            vectors
                .iter()
                .map(move |row| (row[index] * scale) as f32)
                .collect::<Vec<_>>()
        })
    });
    filters.take(count.min(2 * length)).flatten().collect()
}

/// Second moments of all patches inside the images: covariances, but for their mean, which
/// normalised images have near zero.
fn second_moments(images: impl IndexedParallelIterator<Item = Vec<f32>>, width: usize, kernel: usize) -> Vec<Vec<f64>> {
    let length = 3 * kernel * kernel;
    let sums = images.chunks(64).map(|images| {
        let mut sums = vec![vec![0.0; length]; length];
        let mut patch = vec![0.0; length];
        let mut patches = 0_usize;
        for image in images {
            let height = image.len() / 3 / width;
            for (row, column) in (0..(height + 1).saturating_sub(kernel))
                .flat_map(|row| (0..(width + 1).saturating_sub(kernel)).map(move |column| (row, column)))
            {
                for (place, value) in patch.iter_mut().enumerate() {
                    let (channel, tap) = (place / (kernel * kernel), place % (kernel * kernel));
                    let pixel = (row + tap / kernel) * width + column + tap % kernel;
                    *value = f64::from(image[3 * pixel + channel]);
                }
                for (sums, value) in sums.iter_mut().zip(&patch) {
                    sums.iter_mut()
                        .zip(&patch)
                        .for_each(|(sum, other)| *sum += value * other);
                }
                patches += 1;
            }
        }
        (sums, patches)
    });
    // In their order, so that equal images give equal filters.
    let mut total = vec![vec![0.0; length]; length];
    let mut patches = 0;
    for (sums, count) in sums.collect::<Vec<_>>() {
        patches += count;
        for (total, sum) in total.iter_mut().flatten().zip(sums.iter().flatten()) {
            *total += sum;
        }
    }
    total.iter_mut().flatten().for_each(|sum| *sum /= patches.max(1) as f64);
    total
}

/// Eigenvalues of a symmetric matrix, and its eigenvectors as columns: Jacobi's rotations (Golub and
/// Van Loan, "Matrix Computations", 4th edition, section 8.5).
fn eigenvectors(mut matrix: Vec<Vec<f64>>) -> (Vec<f64>, Vec<Vec<f64>>) {
    let size = matrix.len();
    let mut vectors = vec![vec![0.0; size]; size];
    (0..size).for_each(|index| vectors[index][index] = 1.0);
    let norm: f64 = matrix.iter().flatten().map(|value| value * value).sum();
    for _ in 0..SWEEPS_MAX {
        let pairs = (0..size).flat_map(|p| (p + 1..size).map(move |q| (p, q)));
        let off: f64 = pairs.clone().map(|(p, q)| matrix[p][q] * matrix[p][q]).sum();
        if off <= norm * 1e-24 {
            break;
        }
        for (p, q) in pairs {
            if matrix[p][q] == 0.0 {
                continue;
            }
            let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * matrix[p][q]);
            let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
            let cosine = 1.0 / tangent.hypot(1.0);
            let sine = tangent * cosine;
            let rotate = |left: &mut f64, right: &mut f64| {
                (*left, *right) = (cosine * *left - sine * *right, sine * *left + cosine * *right);
            };
            for row in matrix.iter_mut().chain(&mut vectors) {
                let (before, after) = row.split_at_mut(q);
                rotate(&mut before[p], &mut after[0]);
            }
            let (before, after) = matrix.split_at_mut(q);
            before[p]
                .iter_mut()
                .zip(&mut after[0])
                .for_each(|(left, right)| rotate(left, right));
        }
    }
    ((0..size).map(|index| matrix[index][index]).collect(), vectors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// Noise with neighbours and channels that resemble each other.
    fn images() -> Vec<Vec<f32>> {
        let mut random = Random::new(1);
        let image = |_| {
            let mut last = 0.0;
            let values = (0..8 * 6 * 3).map(|_| {
                last = 0.8 * last + random.between(-1.0, 1.0);
                last
            });
            values.collect()
        };
        (0..50).map(image).collect()
    }

    #[test]
    fn filtered_patches_are_uncorrelated_with_unit_variance() {
        let (images, kernel) = (images(), 3);
        let filters = filters(images.clone().into_par_iter(), 6, kernel, 54);
        let length = 27;
        assert_eq!(filters.len(), 54 * length);
        let moments = second_moments(images.into_par_iter(), 6, kernel);
        let filters: Vec<&[f32]> = filters.chunks(length).collect();
        let moment = |a: &[f32], b: &[f32]| -> f64 {
            let rows = moments.iter().zip(a);
            rows.map(|(row, a)| f64::from(*a) * row.iter().zip(b).map(|(v, b)| v * f64::from(*b)).sum::<f64>())
                .sum()
        };
        for (index, filter) in filters.iter().enumerate().step_by(2) {
            assert!(filter.iter().zip(filters[index + 1]).all(|(one, other)| *one == -other));
            let variance = moment(filter, filter);
            assert!((0.9..=1.0).contains(&variance), "{index}: {variance}");
            for other in filters[..index].iter().step_by(2) {
                assert!(moment(filter, other).abs() < 1e-3);
            }
        }
    }

    #[test]
    fn images_without_patches_or_contrast_give_finite_filters() {
        for images in [vec![], vec![vec![0.0; 12]], vec![vec![0.0; 300]]] {
            let filters = filters(images.into_par_iter(), 2, 3, 8);
            assert!(filters.len() == 8 * 27 && filters.iter().all(|value| value.is_finite()));
        }
    }
}
