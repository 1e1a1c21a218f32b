//! Batch normalisation, its rectifier, and their gradients, on one image.
//!
//! Results of convolutions and gradients are plain images, activations and what
//! convolutions read have a border; where a kernel has both, its frame is that
//! of the latter.
//!
//! What couples the images of a batch (the statistics, and the two sums of the
//! backward pass) is gathered image by image here and merged by
//! [`crate::norm`]. Deviations from the mean are formed before they are
//! squared or multiplied, so a large mean costs no precision.

use super::rows::{accumulate, channel_means, for_rows_and_blocks, sum_pixels, vectors, vectors_mut};
use crate::buffer::Frame;
use crate::simd::{Kernel, LANES, Lanes, Simd};

/// Mean and sum of squared deviations of each channel of one image, in two
/// passes.
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
        channel_means(simd, frame, input, mean);
        deviation.fill([0.0; LANES]);
        for_rows_and_blocks!(frame, |row, block| {
            let input = vectors(&input[frame.row(row)]);
            let mean = simd.load(&mean[block]);
            let [sum] = sum_pixels!(simd, blocks, block, input.len(), |i| {
                let difference = simd.sub(simd.load(&input[i]), mean);
                [simd.mul(difference, difference)]
            });
            accumulate(simd, &mut deviation[block], sum);
        });
    }
}

/// A plain image normalised: `(input - mean) * scale + shift`.
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
            let output = vectors_mut(&mut output[frame.row(row)]);
            let plain_row = frame.plain().row(row);
            let main = Coefficients::load(simd, main, plain_row.clone(), block);
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
                    let image = vectors(&image[frame.row(row)]);
                    while index < output.len() {
                        let value = simd.add(main.at(simd, index), simd.load(&image[index]));
                        simd.store(simd.max(value, zero), &mut output[index]);
                        index += blocks;
                    }
                }
                Addend::Normalised(other) => {
                    let other = Coefficients::load(simd, other, plain_row, block);
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
            let plain_row = frame.plain().row(row);
            let gradient = vectors_mut(&mut gradient[plain_row.clone()]);
            let length = gradient.len();
            let input = &vectors(&input[plain_row])[..length];
            let mean = simd.load(&vectors(mean)[block]);
            let [row_sum, row_product] = if let Some(gate) = gate {
                let gate = &vectors(&gate[frame.row(row)])[..length];
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
            let output = vectors_mut(&mut self.output[frame.row(row)]);
            let plain_row = frame.plain().row(row);
            let gradient = &vectors(&self.gradient[plain_row.clone()])[..output.len()];
            let input = &vectors(&self.input[plain_row])[..output.len()];
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::buffer::Buffer;
    use crate::kernels::testing::{any_frame, assert_close, coefficients, each, each_of_both, image};
    use crate::simd::SimdLevel;

    fn check_moments(level: SimdLevel, frame: Frame) {
        let input = image(frame, 1, 9.0);
        let (mut mean, mut deviation) = (Buffer::zeros(frame.depth), Buffer::zeros(frame.depth));
        level.run(Moments {
            frame,
            input: &input,
            mean: &mut mean,
            deviation: &mut deviation,
        });
        let (mut expect_mean, mut expect) = (vec![0.0; frame.depth], vec![0.0; frame.depth]);
        each(frame, |i, c| {
            expect_mean[c] += f64::from(input[i]) / frame.pixels() as f64;
        });
        each(frame, |i, c| {
            expect[c] += (f64::from(input[i]) - expect_mean[c]).powi(2);
        });
        assert_close(&mean, &expect_mean, "mean");
        assert_close(&deviation, &expect, "deviation");
    }

    fn check_activate(level: SimdLevel, frame: Frame) {
        let plain = frame.plain();
        let (input, other, added) = (image(plain, 1, 2.0), image(plain, 2, 0.0), image(frame, 6, 0.0));
        let [mean, scale, shift] = [3, 4, 5].map(|seed| coefficients(frame.depth, seed));
        let main = Normalised {
            input: &input,
            mean: &mean,
            scale: &scale,
            shift: &shift,
        };
        // Other coefficients in each place.
        let second = Normalised {
            input: &other,
            mean: &shift,
            scale: &mean,
            shift: &scale,
        };
        let normalise = |of: Normalised<'_>, i: usize, c: usize| {
            (f64::from(of.input[i]) - f64::from(of.mean[c])) * f64::from(of.scale[c]) + f64::from(of.shift[c])
        };
        for addend in [Addend::Nothing, Addend::Image(&added), Addend::Normalised(second)] {
            let mut output = Buffer::zeros(frame.length());
            level.run(Activate {
                frame,
                main,
                addend,
                output: &mut output,
            });
            let mut expect = vec![0.0; frame.length()];
            each_of_both(frame, |i, plain, c| {
                let added = match addend {
                    Addend::Nothing => 0.0,
                    Addend::Image(image) => f64::from(image[i]),
                    Addend::Normalised(second) => normalise(second, plain, c),
                };
                expect[i] = (normalise(main, plain, c) + added).max(0.0);
            });
            assert_close(&output, &expect, "output");
        }
    }

    fn check_gradient_sums(level: SimdLevel, frame: Frame) {
        let plain = frame.plain();
        let (input, slope, output) = (image(plain, 1, 9.0), image(plain, 2, 0.0), image(frame, 3, 0.0));
        let mean = coefficients(frame.depth, 4);
        for gate in [None, Some(&output[..])] {
            let mut gradient = slope.clone();
            let (mut sum, mut product) = (Buffer::zeros(frame.depth), Buffer::zeros(frame.depth));
            level.run(GradientSums {
                frame,
                gradient: &mut gradient,
                gate,
                input: &input,
                mean: &mean,
                sum: &mut sum,
                product: &mut product,
            });
            let mut expect = vec![0.0; plain.length()];
            let (mut expect_sum, mut expect_product) = (vec![0.0; frame.depth], vec![0.0; frame.depth]);
            each_of_both(frame, |bordered, i, c| {
                let passes = gate.is_none_or(|gate| gate[bordered] > 0.0);
                expect[i] = if passes { f64::from(slope[i]) } else { 0.0 };
                expect_sum[c] += expect[i];
                expect_product[c] += expect[i] * (f64::from(input[i]) - f64::from(mean[c]));
            });
            assert_close(&gradient, &expect, "gradient");
            assert_close(&sum, &expect_sum, "sum");
            assert_close(&product, &expect_product, "product");
        }
    }

    fn check_norm_gradient(level: SimdLevel, frame: Frame) {
        let plain = frame.plain();
        let (input, gradient) = (image(plain, 1, 9.0), image(plain, 2, 0.0));
        let [mean, slope, tilt, offset] = [3, 4, 5, 6].map(|seed| coefficients(frame.depth, seed));
        let mut output = Buffer::zeros(frame.length());
        level.run(NormGradient {
            frame,
            gradient: &gradient,
            input: &input,
            mean: &mean,
            slope: &slope,
            tilt: &tilt,
            offset: &offset,
            output: &mut output,
        });
        let mut expect = vec![0.0; frame.length()];
        each_of_both(frame, |i, plain, c| {
            let deviation = f64::from(input[plain]) - f64::from(mean[c]);
            let tilted = deviation * f64::from(tilt[c]) + f64::from(offset[c]);
            expect[i] = f64::from(gradient[plain]) * f64::from(slope[c]) + tilted;
        });
        assert_close(&output, &expect, "output");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 32 }, failure_persistence: None, ..Default::default() })]

        #[test]
        fn every_kernel_equals_its_definition(frame in any_frame()) {
            for level in SimdLevel::available() {
                check_moments(level, frame);
                check_activate(level, frame);
                check_gradient_sums(level, frame);
                check_norm_gradient(level, frame);
            }
        }
    }
}
