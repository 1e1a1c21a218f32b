//! The average pool over all pixels of one image, and its gradient.

use super::rows::{channel_means, vectors, vectors_mut};
use crate::buffer::Frame;
use crate::simd::{Kernel, LANES, Simd};

/// The mean of each channel.
pub(crate) struct AveragePool<'a> {
    pub(crate) frame: Frame,
    pub(crate) input: &'a [f32],
    pub(crate) mean: &'a mut [f32],
}

impl Kernel for AveragePool<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        channel_means(simd, self.frame, self.input, vectors_mut(self.mean));
    }
}

/// The gradient of [`AveragePool`]: an equal share for every pixel.
pub(crate) struct SpreadGradient<'a> {
    pub(crate) frame: Frame,
    pub(crate) mean_gradient: &'a [f32],
    pub(crate) output: &'a mut [f32],
}

impl Kernel for SpreadGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let share = simd.splat(1.0 / self.frame.pixels() as f32);
        for row in 0..self.frame.height {
            let row = vectors_mut(&mut self.output[self.frame.row(row)]);
            for pixel in row.chunks_exact_mut(self.frame.depth / LANES) {
                for (to, from) in pixel.iter_mut().zip(vectors(self.mean_gradient)) {
                    simd.store(simd.mul(simd.load(from), share), to);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::buffer::Buffer;
    use crate::kernels::testing::{any_frame, assert_close, coefficients, each, image};
    use crate::simd::SimdLevel;

    fn check(level: SimdLevel, frame: Frame) {
        let pixels = frame.pixels() as f64;
        let input = image(frame, 1, 0.5);
        let mut mean = Buffer::zeros(frame.depth);
        level.run(AveragePool {
            frame,
            input: &input,
            mean: &mut mean,
        });
        let mut expect = vec![0.0; frame.depth];
        each(frame, |i, c| expect[c] += f64::from(input[i]) / pixels);
        assert_close(&mean, &expect, "mean");

        let mean_gradient = coefficients(frame.depth, 2);
        let mut output = Buffer::zeros(frame.length());
        level.run(SpreadGradient {
            frame,
            mean_gradient: &mean_gradient,
            output: &mut output,
        });
        let mut expect = vec![0.0; frame.length()];
        each(frame, |i, c| expect[i] = f64::from(mean_gradient[c]) / pixels);
        assert_close(&output, &expect, "gradient");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 32 }, failure_persistence: None, ..Default::default() })]

        #[test]
        fn pool_and_gradient_equal_their_definition(frame in any_frame()) {
            for level in SimdLevel::available() {
                check(level, frame);
            }
        }
    }
}
