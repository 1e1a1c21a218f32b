//! Batch normalisation, its rectifier, and their gradients, on one image.
//!
//! What couples the images of a batch (the statistics, and the two sums of the
//! backward pass) is gathered image by image here and merged by
//! [`crate::norm`]. Deviations from the mean are formed before they are
//! squared or multiplied, so a large mean costs no precision.

use crate::buffer::Frame;
use crate::simd::{Kernel, LANES, Lanes, Simd};

/// Calls `$body` for each row and block of channels of `$frame`, with the
/// range of the row's floats and the block's index.
macro_rules! for_rows_and_blocks {
    ($frame:expr, |$row:ident, $block:ident| $body:block) => {
        for row in 0..$frame.height {
            for $block in 0..$frame.depth / LANES {
                let $row = $frame.row(row);
                $body
            }
        }
    };
}

/// The vectors of `values`, whose length is a multiple of sixteen.
#[inline(always)]
fn vectors(values: &[f32]) -> &[Lanes] {
    values.as_chunks().0
}

#[inline(always)]
fn vectors_mut(values: &mut [f32]) -> &mut [Lanes] {
    values.as_chunks_mut().0
}

/// Sums over the pixels of a row, of one block, of each vector of the array
/// `$terms`: four sums in turn, so that no addition waits for the one before it.
macro_rules! sum_pixels {
    ($simd:expr, $blocks:expr, $block:expr, $length:expr, |$index:ident| $terms:expr) => {{
        let zero = $simd.splat(0.0);
        let mut sums = [[zero; _]; 4];
        let mut $index = $block;
        while $index + 3 * $blocks < $length {
            for sums in &mut sums {
                add_each($simd, sums, $terms);
                $index += $blocks;
            }
        }
        while $index < $length {
            add_each($simd, &mut sums[0], $terms);
            $index += $blocks;
        }
        let [mut total, second, third, fourth] = sums;
        add_each($simd, &mut total, second);
        add_each($simd, &mut total, third);
        add_each($simd, &mut total, fourth);
        total
    }};
}

#[inline(always)]
fn add_each<S: Simd, const N: usize>(simd: S, sums: &mut [S::Vector; N], terms: [S::Vector; N]) {
    for (sum, term) in sums.iter_mut().zip(terms) {
        *sum = simd.add(*sum, term);
    }
}

/// `to += vector`.
#[inline(always)]
fn accumulate<S: Simd>(simd: S, to: &mut Lanes, vector: S::Vector) {
    simd.store(simd.add(simd.load(to), vector), to);
}

/// Mean and sum of squared deviations of each channel, in two passes.
pub(crate) struct Moments<'a> {
    pub(crate) frame: Frame,
    pub(crate) input: &'a [f32],
    pub(crate) mean: &'a mut [f32],
    pub(crate) deviation: &'a mut [f32],
}

impl Kernel for Moments<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self {
            frame,
            input,
            mean,
            deviation,
        } = self;
        let blocks = frame.depth / LANES;
        let (mean, deviation) = (vectors_mut(mean), vectors_mut(deviation));
        mean.fill([0.0; LANES]);
        deviation.fill([0.0; LANES]);
        for_rows_and_blocks!(frame, |row, block| {
            let input = vectors(&input[row]);
            let [sum] = sum_pixels!(simd, blocks, block, input.len(), |i| [simd.load(&input[i])]);
            accumulate(simd, &mut mean[block], sum);
        });
        let share = simd.splat(1.0 / frame.pixels() as f32);
        for mean in mean.iter_mut() {
            simd.store(simd.mul(simd.load(mean), share), mean);
        }
        for_rows_and_blocks!(frame, |row, block| {
            let input = vectors(&input[row]);
            let mean = simd.load(&mean[block]);
            let [sum] = sum_pixels!(simd, blocks, block, input.len(), |i| {
                let difference = simd.sub(simd.load(&input[i]), mean);
                [simd.mul(difference, difference)]
            });
            accumulate(simd, &mut deviation[block], sum);
        });
    }
}

/// A normalised image: `(input - mean) * scale + shift`.
#[derive(Clone, Copy)]
pub(crate) struct Normalised<'a> {
    pub(crate) input: &'a [f32],
    pub(crate) mean: &'a [f32],
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
}

/// What a block adds to its result before the rectifier.
#[derive(Clone, Copy)]
pub(crate) enum Addend<'a> {
    Nothing,
    Image(&'a [f32]),
    Normalised(Normalised<'a>),
}

/// `output = max(0, main + addend)`.
pub(crate) struct Activate<'a> {
    pub(crate) frame: Frame,
    pub(crate) main: Normalised<'a>,
    pub(crate) addend: Addend<'a>,
    pub(crate) output: &'a mut [f32],
}

impl Kernel for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self {
            frame,
            main,
            addend,
            output,
        } = self;
        let blocks = frame.depth / LANES;
        let zero = simd.splat(0.0);
        for_rows_and_blocks!(frame, |row, block| {
            let output = vectors_mut(&mut output[row.clone()]);
            let main = Coefficients::load(simd, main, row.clone(), block);
            let mut index = block;
            match addend {
                Addend::Nothing => {
                    while index < output.len() {
                        let value = main.at(simd, index);
                        simd.store(simd.max(value, zero), &mut output[index]);
                        index += blocks;
                    }
                }
                Addend::Image(image) => {
                    let image = vectors(&image[row]);
                    while index < output.len() {
                        let value = simd.add(main.at(simd, index), simd.load(&image[index]));
                        simd.store(simd.max(value, zero), &mut output[index]);
                        index += blocks;
                    }
                }
                Addend::Normalised(other) => {
                    let other = Coefficients::load(simd, other, row, block);
                    while index < output.len() {
                        let value = simd.add(main.at(simd, index), other.at(simd, index));
                        simd.store(simd.max(value, zero), &mut output[index]);
                        index += blocks;
                    }
                }
            }
        });
    }
}

/// A row of a normalised image, with one block's coefficients in registers.
struct Coefficients<'a, S: Simd> {
    input: &'a [Lanes],
    mean: S::Vector,
    scale: S::Vector,
    shift: S::Vector,
}

impl<'a, S: Simd> Coefficients<'a, S> {
    #[inline(always)]
    fn load(simd: S, of: Normalised<'a>, row: std::ops::Range<usize>, block: usize) -> Self {
        Self {
            input: vectors(&of.input[row]),
            mean: simd.load(&vectors(of.mean)[block]),
            scale: simd.load(&vectors(of.scale)[block]),
            shift: simd.load(&vectors(of.shift)[block]),
        }
    }

    #[inline(always)]
    fn at(&self, simd: S, index: usize) -> S::Vector {
        let difference = simd.sub(simd.load(&self.input[index]), self.mean);
        simd.mul_add(difference, self.scale, self.shift)
    }
}

/// For each channel, the sum of the gradient and of its product with the
/// input's deviation from `mean`.
///
/// With a gate, the rectifier's output, the gradient first becomes zero
/// wherever the gate is.
pub(crate) struct GradientSums<'a> {
    pub(crate) frame: Frame,
    pub(crate) gradient: &'a mut [f32],
    pub(crate) gate: Option<&'a [f32]>,
    pub(crate) input: &'a [f32],
    pub(crate) mean: &'a [f32],
    pub(crate) sum: &'a mut [f32],
    pub(crate) product: &'a mut [f32],
}

impl Kernel for GradientSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self {
            frame,
            gradient,
            gate,
            input,
            mean,
            sum,
            product,
        } = self;
        let blocks = frame.depth / LANES;
        let (sum, product) = (vectors_mut(sum), vectors_mut(product));
        sum.fill([0.0; LANES]);
        product.fill([0.0; LANES]);
        for_rows_and_blocks!(frame, |row, block| {
            let gradient = vectors_mut(&mut gradient[row.clone()]);
            let length = gradient.len();
            let input = &vectors(&input[row.clone()])[..length];
            let mean = simd.load(&vectors(mean)[block]);
            let [row_sum, row_product] = if let Some(gate) = gate {
                let gate = &vectors(&gate[row])[..length];
                sum_pixels!(simd, blocks, block, length, |i| {
                    let kept = simd.where_positive(simd.load(&gradient[i]), simd.load(&gate[i]));
                    simd.store(kept, &mut gradient[i]);
                    gradient_terms(simd, kept, &input[i], mean)
                })
            } else {
                sum_pixels!(simd, blocks, block, length, |i| gradient_terms(
                    simd,
                    simd.load(&gradient[i]),
                    &input[i],
                    mean
                ))
            };
            accumulate(simd, &mut sum[block], row_sum);
            accumulate(simd, &mut product[block], row_product);
        });
    }
}

/// What one pixel adds to both sums.
#[inline(always)]
fn gradient_terms<S: Simd>(simd: S, gradient: S::Vector, input: &Lanes, mean: S::Vector) -> [S::Vector; 2] {
    [gradient, simd.mul(gradient, simd.sub(simd.load(input), mean))]
}

/// The gradient with respect to the normalisation's input:
/// `gradient * slope + (input - mean) * tilt + offset`.
pub(crate) struct NormGradient<'a> {
    pub(crate) frame: Frame,
    pub(crate) gradient: &'a [f32],
    pub(crate) input: &'a [f32],
    pub(crate) mean: &'a [f32],
    pub(crate) slope: &'a [f32],
    pub(crate) tilt: &'a [f32],
    pub(crate) offset: &'a [f32],
    pub(crate) output: &'a mut [f32],
}

impl Kernel for NormGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let frame = self.frame;
        let blocks = frame.depth / LANES;
        for_rows_and_blocks!(frame, |row, block| {
            let output = vectors_mut(&mut self.output[row.clone()]);
            let gradient = &vectors(&self.gradient[row.clone()])[..output.len()];
            let input = &vectors(&self.input[row])[..output.len()];
            let mean = simd.load(&vectors(self.mean)[block]);
            let slope = simd.load(&vectors(self.slope)[block]);
            let tilt = simd.load(&vectors(self.tilt)[block]);
            let offset = simd.load(&vectors(self.offset)[block]);
            let mut index = block;
            while index < output.len() {
                let difference = simd.sub(simd.load(&input[index]), mean);
                let tilted = simd.mul_add(difference, tilt, offset);
                let value = simd.mul_add(simd.load(&gradient[index]), slope, tilted);
                simd.store(value, &mut output[index]);
                index += blocks;
            }
        });
    }
}

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
        let Self { frame, input, mean } = self;
        let blocks = frame.depth / LANES;
        let mean = vectors_mut(mean);
        mean.fill([0.0; LANES]);
        for_rows_and_blocks!(frame, |row, block| {
            let input = vectors(&input[row]);
            let [sum] = sum_pixels!(simd, blocks, block, input.len(), |i| [simd.load(&input[i])]);
            accumulate(simd, &mut mean[block], sum);
        });
        let share = simd.splat(1.0 / frame.pixels() as f32);
        for mean in mean {
            simd.store(simd.mul(simd.load(mean), share), mean);
        }
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
    use crate::simd::SimdLevel;

    /// Noise inside `frame`, in all channels.
    fn image(frame: Frame, seed: usize, mean: f32) -> Buffer {
        let mut buffer = Buffer::zeros(frame.length());
        for row in 0..frame.height {
            for index in frame.row(row) {
                let noise = ((index + seed * 1000) as f32 * 12.9898).sin() * 43.7585 % 1.0;
                buffer[index] = mean + noise;
            }
        }
        buffer
    }

    /// Coefficients of each channel.
    fn coefficients(depth: usize, seed: usize) -> Buffer {
        let mut buffer = Buffer::zeros(depth);
        for (index, value) in buffer.iter_mut().enumerate() {
            *value = ((index + seed * 100) as f32).cos();
        }
        buffer
    }

    /// Calls `visit(index, channel)` for each float inside the border.
    fn each(frame: Frame, mut visit: impl FnMut(usize, usize)) {
        for row in 0..frame.height {
            for (position, index) in frame.row(row).enumerate() {
                visit(index, position % frame.depth);
            }
        }
    }

    fn assert_close(got: &[f32], expect: &[f64], what: &str) {
        for (index, (got, expect)) in got.iter().zip(expect).enumerate() {
            let close = (f64::from(*got) - expect).abs() < 1e-4 * (1.0 + expect.abs());
            assert!(close, "{what}[{index}] is {got}, not {expect}");
        }
    }

    fn check(level: SimdLevel, frame: Frame) {
        let depth = frame.depth;
        let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let (input, other, slope) = (image(frame, 1, 9.0), image(frame, 2, 0.0), image(frame, 3, 0.0));
        let pixels = frame.pixels() as f64;

        let (mut mean, mut deviation) = (vec![0.0; depth], vec![0.0; depth]);
        each(frame, |i, c| mean[c] += f64::from(input[i]) / pixels);
        each(frame, |i, c| deviation[c] += (f64::from(input[i]) - mean[c]).powi(2));
        let (mut got_mean, mut got_deviation) = (Buffer::zeros(depth), Buffer::zeros(depth));
        level.run(Moments {
            frame,
            input: &input,
            mean: &mut got_mean,
            deviation: &mut got_deviation,
        });
        assert_close(&got_mean, &mean, "mean");
        assert_close(&got_deviation, &deviation, "deviation");
        level.run(AveragePool {
            frame,
            input: &input,
            mean: &mut got_deviation,
        });
        assert_close(&got_deviation, &mean, "average");

        let [scale, shift, tilt] = [4, 5, 6].map(|seed| coefficients(depth, seed));
        let main = Normalised {
            input: &input,
            mean: &got_mean,
            scale: &scale,
            shift: &shift,
        };
        let norm = |i: usize, c: usize| {
            (f64::from(input[i]) - f64::from(got_mean[c])) * f64::from(scale[c]) + f64::from(shift[c])
        };
        let second = Normalised {
            input: &other,
            mean: &tilt,
            scale: &shift,
            shift: &scale,
        };
        let second_norm =
            |i: usize, c: usize| (f64::from(other[i]) - f64::from(tilt[c])) * f64::from(shift[c]) + f64::from(scale[c]);
        let mut got = Buffer::zeros(frame.length());
        let mut expect = wide(&got);
        for (addend, name) in [
            (Addend::Nothing, "alone"),
            (Addend::Image(&other), "image"),
            (Addend::Normalised(second), "normalised"),
        ] {
            level.run(Activate {
                frame,
                main,
                addend,
                output: &mut got,
            });
            each(frame, |i, c| {
                let added = match addend {
                    Addend::Nothing => 0.0,
                    Addend::Image(image) => f64::from(image[i]),
                    Addend::Normalised(_) => second_norm(i, c),
                };
                expect[i] = (norm(i, c) + added).max(0.0);
            });
            assert_close(&got, &expect, name);
        }

        let mut gated = slope.clone();
        let (mut sum, mut product) = (Buffer::zeros(depth), Buffer::zeros(depth));
        for gate in [None, Some(&got[..])] {
            level.run(GradientSums {
                frame,
                gradient: &mut gated,
                gate,
                input: &input,
                mean: &got_mean,
                sum: &mut sum,
                product: &mut product,
            });
            let (mut expect_sum, mut expect_product) = (vec![0.0; depth], vec![0.0; depth]);
            each(frame, |i, c| {
                expect[i] = if gate.is_none_or(|gate| gate[i] > 0.0) {
                    f64::from(slope[i])
                } else {
                    0.0
                };
                expect_sum[c] += expect[i];
                expect_product[c] += expect[i] * (f64::from(input[i]) - f64::from(got_mean[c]));
            });
            assert_close(&gated, &expect, "gated");
            assert_close(&sum, &expect_sum, "sum");
            assert_close(&product, &expect_product, "product");
        }

        level.run(NormGradient {
            frame,
            gradient: &slope,
            input: &input,
            mean: &got_mean,
            slope: &scale,
            tilt: &tilt,
            offset: &shift,
            output: &mut got,
        });
        each(frame, |i, c| {
            let deviation = f64::from(input[i]) - f64::from(got_mean[c]);
            expect[i] =
                f64::from(slope[i]) * f64::from(scale[c]) + deviation * f64::from(tilt[c]) + f64::from(shift[c]);
        });
        assert_close(&got, &expect, "norm gradient");

        level.run(SpreadGradient {
            frame,
            mean_gradient: &scale,
            output: &mut got,
        });
        each(frame, |i, c| expect[i] = f64::from(scale[c]) / pixels);
        assert_close(&got, &expect, "spread");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..Default::default() })]

        #[test]
        fn every_kernel_equals_its_definition(
            height in 1..9_usize,
            width in 1..12_usize,
            blocks in 1..4_usize,
            border in 0..3_usize,
        ) {
            let frame = Frame { height, width, depth: blocks * LANES, border };
            for level in SimdLevel::available() {
                check(level, frame);
            }
        }
    }
}
