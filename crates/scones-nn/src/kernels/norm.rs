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

/// Sum over the pixels of a row, of one block: four sums in turn, so that no
/// addition waits for the one before it.
macro_rules! sum_pixels {
    ($simd:expr, $blocks:expr, $block:expr, $length:expr, |$index:ident| $term:expr) => {{
        let mut sums = [$simd.splat(0.0); 4];
        let mut $index = $block;
        while $index + 3 * $blocks < $length {
            for sum in &mut sums {
                *sum = $simd.add(*sum, $term);
                $index += $blocks;
            }
        }
        while $index < $length {
            sums[0] = $simd.add(sums[0], $term);
            $index += $blocks;
        }
        $simd.add($simd.add(sums[0], sums[1]), $simd.add(sums[2], sums[3]))
    }};
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
            let sum = sum_pixels!(simd, blocks, block, input.len(), |i| simd.load(&input[i]));
            simd.store(simd.add(simd.load(&mean[block]), sum), &mut mean[block]);
        });
        let share = simd.splat(1.0 / frame.pixels() as f32);
        for mean in mean.iter_mut() {
            simd.store(simd.mul(simd.load(mean), share), mean);
        }
        for_rows_and_blocks!(frame, |row, block| {
            let input = vectors(&input[row]);
            let mean = simd.load(&mean[block]);
            let sum = sum_pixels!(simd, blocks, block, input.len(), |i| {
                let difference = simd.sub(simd.load(&input[i]), mean);
                simd.mul(difference, difference)
            });
            simd.store(simd.add(simd.load(&deviation[block]), sum), &mut deviation[block]);
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

/// Passes the gradient only where the rectifier did: zero where `output` is.
pub(crate) struct Gate<'a> {
    pub(crate) frame: Frame,
    pub(crate) output: &'a [f32],
    pub(crate) gradient: &'a mut [f32],
}

impl Kernel for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for row in 0..self.frame.height {
            let row = self.frame.row(row);
            let output = vectors(&self.output[row.clone()]);
            for (gradient, output) in vectors_mut(&mut self.gradient[row]).iter_mut().zip(output) {
                let kept = simd.where_positive(simd.load(gradient), simd.load(output));
                simd.store(kept, gradient);
            }
        }
    }
}

/// For each channel, the sum of the gradient and of its product with the
/// input's deviation from `mean`.
pub(crate) struct GradientSums<'a> {
    pub(crate) frame: Frame,
    pub(crate) gradient: &'a [f32],
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
            let gradient = vectors(&gradient[row.clone()]);
            let input = &vectors(&input[row])[..gradient.len()];
            let mean = simd.load(&vectors(mean)[block]);
            let row_sum = sum_pixels!(simd, blocks, block, gradient.len(), |i| simd.load(&gradient[i]));
            let row_product = sum_pixels!(simd, blocks, block, gradient.len(), |i| {
                simd.mul(simd.load(&gradient[i]), simd.sub(simd.load(&input[i]), mean))
            });
            simd.store(simd.add(simd.load(&sum[block]), row_sum), &mut sum[block]);
            simd.store(simd.add(simd.load(&product[block]), row_product), &mut product[block]);
        });
    }
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
            let sum = sum_pixels!(simd, blocks, block, input.len(), |i| simd.load(&input[i]));
            simd.store(simd.add(simd.load(&mean[block]), sum), &mut mean[block]);
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
