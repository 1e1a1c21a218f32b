//! Batch normalisation across a batch: the statistics and sums of its images
//! merged in a fixed order, in double precision, and the coefficients that the
//! kernels of [`crate::kernels::norm`] apply.

use crate::buffer::Buffer;

/// Added to the variance before its root is taken; PyTorch's default.
pub(crate) const EPSILON: f64 = 1e-5;
/// Share of a new batch in the running statistics; PyTorch's default.
const RUNNING_SHARE: f64 = 0.1;

/// Mean and summed squared deviation of each channel over some images.
#[derive(Clone)]
pub(crate) struct Statistics {
    count: f64,
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

impl Statistics {
    pub(crate) fn new(depth: usize) -> Self {
        Self {
            count: 0.0,
            mean: vec![0.0; depth],
            deviation: vec![0.0; depth],
        }
    }

    pub(crate) fn clear(&mut self) {
        self.count = 0.0;
        self.mean.fill(0.0);
        self.deviation.fill(0.0);
    }

    /// Adds an image of `pixels` pixels.
    pub(crate) fn add_image(&mut self, pixels: usize, mean: &[f32], deviation: &[f32]) {
        let deviation = deviation.iter().map(|&value| f64::from(value));
        self.add(pixels as f64, mean.iter().map(|&value| f64::from(value)), deviation);
    }

    /// Adds the images of `other`.
    pub(crate) fn merge(&mut self, other: &Self) {
        if other.count > 0.0 {
            self.add(other.count, other.mean.iter().copied(), other.deviation.iter().copied());
        }
    }

    /// Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm
    /// for Computing Sample Variances", 1979.
    fn add(&mut self, count: f64, means: impl Iterator<Item = f64>, deviations: impl Iterator<Item = f64>) {
        let total = self.count + count;
        let ours = self.mean.iter_mut().zip(&mut self.deviation);
        for ((mean, deviation), (other_mean, other_deviation)) in ours.zip(means.zip(deviations)) {
            let difference = other_mean - *mean;
            *mean += difference * count / total;
            *deviation += other_deviation + difference * difference * self.count * count / total;
        }
        self.count = total;
    }
}

/// For each channel, the sum of the output's gradient and of its product with
/// the input's deviation from the mean.
#[derive(Clone)]
pub(crate) struct GradientTotals {
    sum: Vec<f64>,
    product: Vec<f64>,
}

impl GradientTotals {
    pub(crate) fn new(depth: usize) -> Self {
        Self {
            sum: vec![0.0; depth],
            product: vec![0.0; depth],
        }
    }

    pub(crate) fn clear(&mut self) {
        self.sum.fill(0.0);
        self.product.fill(0.0);
    }

    pub(crate) fn add_image(&mut self, sum: &[f32], product: &[f32]) {
        for (total, &value) in self.sum.iter_mut().zip(sum) {
            *total += f64::from(value);
        }
        for (total, &value) in self.product.iter_mut().zip(product) {
            *total += f64::from(value);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (total, value) in self.sum.iter_mut().zip(&other.sum) {
            *total += value;
        }
        for (total, value) in self.product.iter_mut().zip(&other.product) {
            *total += value;
        }
    }
}

/// One batch normalisation during a training step. Padding channels have
/// coefficients of zero.
pub(crate) struct Norm {
    statistics: Statistics,
    totals: GradientTotals,
    inverse_deviation: Vec<f64>,
    /// Forward: `(input - mean) * scale + shift`.
    pub(crate) mean: Buffer,
    pub(crate) scale: Buffer,
    pub(crate) shift: Buffer,
    /// Backward: `gradient * scale + (input - mean) * tilt + offset`.
    pub(crate) tilt: Buffer,
    pub(crate) offset: Buffer,
}

impl Norm {
    pub(crate) fn new(depth: usize) -> Self {
        let zeros = || Buffer::zeros(depth);
        Self {
            statistics: Statistics::new(depth),
            totals: GradientTotals::new(depth),
            inverse_deviation: vec![0.0; depth],
            mean: zeros(),
            scale: zeros(),
            shift: zeros(),
            tilt: zeros(),
            offset: zeros(),
        }
    }

    /// Normalises by the statistics of `parts`, in that order.
    pub(crate) fn set_forward<'a>(&mut self, parts: impl Iterator<Item = &'a Statistics>, gamma: &[f32], beta: &[f32]) {
        self.statistics.clear();
        parts.for_each(|part| self.statistics.merge(part));
        for (channel, (&gamma, &beta)) in gamma.iter().zip(beta).enumerate() {
            let variance = self.statistics.deviation[channel] / self.statistics.count;
            let inverse = 1.0 / (variance + EPSILON).sqrt();
            self.inverse_deviation[channel] = inverse;
            self.mean[channel] = self.statistics.mean[channel] as f32;
            self.scale[channel] = (f64::from(gamma) * inverse) as f32;
            self.shift[channel] = beta;
        }
    }

    /// Takes the totals of `parts`, in that order.
    ///
    /// With x the input, g the output's gradient, i the inverse deviation and
    /// N the values a channel, the input's gradient is
    /// γi (g − Σg/N − (x − mean) i² Σg(x − mean)/N).
    pub(crate) fn set_backward<'a>(&mut self, parts: impl Iterator<Item = &'a GradientTotals>, gamma: &[f32]) {
        self.totals.clear();
        parts.for_each(|part| self.totals.merge(part));
        let count = self.statistics.count;
        for (channel, &gamma) in gamma.iter().enumerate() {
            let inverse = self.inverse_deviation[channel];
            let (sum, product) = (self.totals.sum[channel], self.totals.product[channel]);
            let scale = f64::from(gamma) * inverse;
            self.tilt[channel] = (-scale * inverse * inverse * product / count) as f32;
            self.offset[channel] = (-scale * sum / count) as f32;
        }
    }

    /// Writes the gradients of gamma and beta.
    pub(crate) fn gradients(&self, gamma: &mut [f32], beta: &mut [f32]) {
        for (channel, (gamma, beta)) in gamma.iter_mut().zip(beta).enumerate() {
            *gamma = (self.inverse_deviation[channel] * self.totals.product[channel]) as f32;
            *beta = self.totals.sum[channel] as f32;
        }
    }

    /// Whether the statistics of this step are finite numbers in `f32`.
    pub(crate) fn is_finite(&self) -> bool {
        let Statistics { mean, deviation, .. } = &self.statistics;
        mean.iter().chain(deviation).all(|&value| (value as f32).is_finite())
    }

    /// Moves the running statistics towards those of this step; the variance
    /// by its unbiased estimate.
    pub(crate) fn update_running(&self, mean: &mut [f32], variance: &mut [f32]) {
        let Statistics {
            count,
            mean: means,
            deviation,
        } = &self.statistics;
        let toward = |running: &mut f32, value: f64| {
            let running_f64 = f64::from(*running);
            *running = (running_f64 + RUNNING_SHARE * (value - running_f64)) as f32;
        };
        for (channel, (mean, variance)) in mean.iter_mut().zip(variance).enumerate() {
            toward(mean, means[channel]);
            toward(variance, deviation[channel] / (count - 1.0).max(1.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_statistics_are_those_of_all_values() {
        // A mean far above the deviation, where one-pass formulas fail.
        let values: Vec<f64> = (0..12).map(|i| 1e6 + f64::from(i * i % 7)).collect();
        let moments = |values: &[f64]| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>())
        };
        let mut merged = Statistics::new(1);
        for part in [&values[..5], &values[..0], &values[5..]] {
            let mut statistics = Statistics::new(1);
            for pair in part.chunks(2) {
                let (mean, deviation) = moments(pair);
                statistics.add_image(pair.len(), &[mean as f32], &[deviation as f32]);
            }
            merged.merge(&statistics);
        }
        let (mean, deviation) = moments(&values);
        assert!((merged.mean[0] - mean).abs() < 0.1, "{}", merged.mean[0]);
        assert!((merged.deviation[0] - deviation).abs() < 1.0, "{}", merged.deviation[0]);
    }

    #[test]
    fn running_statistics_move_a_tenth_of_the_way() {
        let mut statistics = Statistics::new(1);
        statistics.add_image(4, &[3.0], &[6.0]);
        let mut norm = Norm::new(1);
        norm.set_forward([&statistics].into_iter(), &[1.0], &[0.0]);
        let (mut mean, mut variance) = ([1.0], [1.0]);
        norm.update_running(&mut mean, &mut variance);
        // The unbiased variance is 6 / 3.
        assert_eq!((mean, variance), ([1.2], [1.1]));
    }
}
