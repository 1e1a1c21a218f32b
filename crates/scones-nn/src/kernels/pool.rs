//! Pools of one image and their gradients: the average over all pixels, and the
//! largest of each square of 2×2.

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

/// The largest of each 2×2 pixels (of fewer where an odd side ends), by channel,
/// and which of them it is: the first of equals.
pub(crate) struct MaxPool<'a> {
    /// Of the input.
    pub(crate) frame: Frame,
    pub(crate) input: &'a [f32],
    /// A plain image of half the sides, rounded up.
    pub(crate) output: &'a mut [f32],
    /// For each number of the output, by row and then column.
    pub(crate) choices: &'a mut [u8],
}

impl Kernel for MaxPool<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { frame, input, .. } = self;
        let blocks = frame.depth / LANES;
        let row_length = frame.width.div_ceil(2) * frame.depth;
        let rows = self.output.chunks_exact_mut(row_length);
        for (row, (output, choices)) in rows.zip(self.choices.chunks_exact_mut(row_length)).enumerate() {
            let [top, low] = [0, 1].map(|part| vectors(&input[frame.row((2 * row + part).min(frame.height - 1))]));
            let output = vectors_mut(output);
            let choices = choices.as_chunks_mut::<LANES>().0;
            for column in 0..frame.width.div_ceil(2) {
                let left = 2 * column * blocks;
                let right = (2 * column + 1).min(frame.width - 1) * blocks;
                for block in 0..blocks {
                    let mut best = top[left + block];
                    let mut choice = [0_u8; LANES];
                    let others = [&top[right + block], &low[left + block], &low[right + block]];
                    for (number, other) in others.into_iter().enumerate() {
                        for lane in 0..LANES {
                            let is_larger = other[lane] > best[lane];
                            best[lane] = if is_larger { other[lane] } else { best[lane] };
                            choice[lane] = if is_larger { number as u8 + 1 } else { choice[lane] };
                        }
                    }
                    output[column * blocks + block] = best;
                    choices[column * blocks + block] = choice;
                }
            }
        }
    }
}

/// The gradient of [`MaxPool`]: all of it for the chosen pixel.
pub(crate) struct ChosenGradient<'a> {
    /// Of the output, the gradient of what was pooled.
    pub(crate) frame: Frame,
    /// Of the gradient of the pooled image; may have a border.
    pub(crate) pooled: Frame,
    pub(crate) gradient: &'a [f32],
    pub(crate) choices: &'a [u8],
    pub(crate) output: &'a mut [f32],
}

impl Kernel for ChosenGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { frame, pooled, .. } = self;
        let blocks = frame.depth / LANES;
        for row in 0..frame.height {
            let gradient = vectors(&self.gradient[pooled.row(row / 2)]);
            let choices = self.choices[pooled.plain().row(row / 2)].as_chunks::<LANES>().0;
            let output = vectors_mut(&mut self.output[frame.row(row)]);
            for column in 0..frame.width {
                let number = (row % 2 * 2 + column % 2) as u8;
                for block in 0..blocks {
                    let from = column / 2 * blocks + block;
                    let (gradient, choices) = (&gradient[from], &choices[from]);
                    let output = &mut output[column * blocks + block];
                    for lane in 0..LANES {
                        output[lane] = if choices[lane] == number { gradient[lane] } else { 0.0 };
                    }
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
    use crate::kernels::testing::{any_frame, assert_close, coefficients, each, each_of_both, image};
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

    fn check_largest(level: SimdLevel, frame: Frame) {
        let input = image(frame, 3, 0.0);
        let pooled = Frame {
            height: frame.height.div_ceil(2),
            width: frame.width.div_ceil(2),
            ..frame
        };
        let slopes = image(pooled, 4, 0.0);
        let mut expect = vec![0.0; pooled.plain().length()];
        let mut expect_gradient = vec![0.0; frame.length()];
        each_of_both(pooled, |bordered, plain, channel| {
            let (row, column) = (plain / pooled.depth / pooled.width, plain / pooled.depth % pooled.width);
            let square = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(down, across)| (2 * row + down, 2 * column + across));
            let square = square
                .iter()
                .filter(|(row, column)| *row < frame.height && *column < frame.width);
            let places = square.map(|&(row, column)| frame.offset(row as isize, column as isize) + channel);
            let largest = places.reduce(|best, place| if input[place] > input[best] { place } else { best });
            let largest = largest.expect("a square has a pixel");
            expect[plain] = f64::from(input[largest]);
            expect_gradient[largest] = f64::from(slopes[bordered]);
        });
        let mut output = Buffer::zeros(expect.len());
        let mut choices = vec![9; expect.len()];
        level.run(MaxPool {
            frame,
            input: &input,
            output: &mut output,
            choices: &mut choices,
        });
        assert_close(&output, &expect, "largest");
        let mut gradient = Buffer::zeros(frame.length());
        level.run(ChosenGradient {
            frame,
            pooled,
            gradient: &slopes,
            choices: &choices,
            output: &mut gradient,
        });
        assert_close(&gradient, &expect_gradient, "gradient of the largest");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 32 }, failure_persistence: None, ..Default::default() })]

        #[test]
        fn pool_and_gradient_equal_their_definition(frame in any_frame()) {
            for level in SimdLevel::available() {
                check(level, frame);
                check_largest(level, frame);
            }
        }
    }
}
