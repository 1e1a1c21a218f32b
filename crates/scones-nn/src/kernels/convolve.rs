//! Direct convolution of some images.
//!
//! In memory ordered by row, pixel and channel, the inputs that one output
//! pixel needs from one row of the image are contiguous, and so are the taps of
//! a kernel row: a convolution is a few dot products per pixel. The kernel
//! keeps a tile of output pixels × output channels in registers, broadcasts
//! each input and multiplies it by a vector of weights.
//!
//! The gradient with respect to the input is the same walk over the output
//! gradient with turned weights, one walk for each phase of the stride; see
//! [`crate::convolution`].

use std::ops::Range;

use crate::simd::{Kernel, LANES, Lanes, Simd};

/// Where a convolution reads and writes; all steps in floats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Walk {
    /// Images, and the output rows and columns of each.
    pub(crate) images: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// First input of the first output, and from there to the next output.
    pub(crate) input_start: usize,
    pub(crate) input_image_step: usize,
    pub(crate) input_row_step: usize,
    pub(crate) input_column_step: usize,
    /// Rows of the kernel, their distance in the input, their contiguous taps.
    pub(crate) tap_rows: usize,
    pub(crate) tap_row_step: usize,
    pub(crate) taps: usize,
    /// First output, and from there to the next.
    pub(crate) output_start: usize,
    pub(crate) output_image_step: usize,
    pub(crate) output_row_step: usize,
    pub(crate) output_column_step: usize,
    /// Blocks of sixteen output channels.
    pub(crate) blocks: usize,
    /// From the weights of one block, `[tap row][tap][lane]`, to the next.
    pub(crate) weights_block_step: usize,
}

impl Walk {
    /// The same over so many images.
    pub(crate) fn over(&self, images: usize) -> Self {
        Self { images, ..self.clone() }
    }

    /// The same of some of the blocks of output channels, by weights that begin
    /// with theirs.
    pub(crate) fn only(&self, blocks: &Range<usize>) -> Self {
        Self {
            blocks: blocks.len(),
            output_start: self.output_start + blocks.start * LANES,
            ..self.clone()
        }
    }

    /// Floats of weights of one block of output channels.
    pub(crate) fn block_weights(&self) -> usize {
        self.tap_rows * self.taps * LANES
    }

    /// Whether there is nothing to write.
    fn is_empty(&self) -> bool {
        self.images * self.rows * self.columns * self.blocks == 0
    }

    /// One past the last weight read.
    fn weights_end(&self) -> usize {
        if self.blocks == 0 {
            return 0;
        }
        (self.blocks - 1) * self.weights_block_step + self.block_weights()
    }

    /// One past the last input read.
    fn input_end(&self) -> usize {
        if self.is_empty() || self.tap_rows * self.taps == 0 {
            return 0;
        }
        self.input_start
            + (self.images - 1) * self.input_image_step
            + (self.rows - 1) * self.input_row_step
            + (self.columns - 1) * self.input_column_step
            + (self.tap_rows - 1) * self.tap_row_step
            + self.taps
    }

    /// One past the last output written.
    fn output_end(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        self.output_start
            + (self.images - 1) * self.output_image_step
            + (self.rows - 1) * self.output_row_step
            + (self.columns - 1) * self.output_column_step
            + self.blocks * LANES
    }

    /// The assertions that make the unchecked accesses of the kernels sound.
    pub(crate) fn check(&self, input: usize, weights: usize, output: usize) {
        assert!(self.input_end() <= input, "{self:?} reads past {input} inputs");
        assert!(self.output_end() <= output, "{self:?} writes past {output} outputs");
        assert!(self.weights_end() <= weights, "{self:?} reads past {weights} weights");
    }
}

/// What the sums start from.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    Zero,
    /// What the output holds.
    Output,
    /// A bias for each output channel.
    Bias(&'a [f32]),
    /// A bias, and what the output holds.
    BiasAndOutput(&'a [f32]),
    /// A bias, and another image laid out as the output.
    BiasAndImage(&'a [f32], &'a [f32]),
}

impl Start<'_> {
    /// The bias, of `depth` channels, and what is added, laid out as the
    /// `length` floats at `output`.
    #[inline(always)]
    pub(super) fn operands(self, output: *mut f32, length: usize, depth: usize) -> Operands {
        let (bias, addend) = match self {
            Start::Zero => (None, None),
            Start::Output => (None, Some(output.cast_const())),
            Start::Bias(bias) => (Some(bias), None),
            Start::BiasAndOutput(bias) => (Some(bias), Some(output.cast_const())),
            Start::BiasAndImage(bias, images) => {
                assert_eq!(images.len(), length, "the images added");
                (Some(bias), Some(images.as_ptr()))
            }
        };
        if let Some(bias) = bias {
            assert_eq!(bias.len(), depth, "the bias");
        }
        (bias.map(<[f32]>::as_ptr), addend)
    }
}

/// A bias and what is added.
type Operands = (Option<*const f32>, Option<*const f32>);

/// `output = start + input * weights`, cut off at zero if `rectify`.
pub(crate) struct Convolve<'a> {
    pub(crate) walk: &'a Walk,
    pub(crate) input: &'a [f32],
    pub(crate) weights: &'a [f32],
    pub(crate) output: &'a mut [f32],
    pub(crate) start: Start<'a>,
    pub(crate) rectify: bool,
}

impl Kernel for Convolve<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.walk.check(self.input.len(), self.weights.len(), self.output.len());
        let (length, depth) = (self.output.len(), self.walk.blocks * LANES);
        let output = self.output.as_mut_ptr();
        let (bias, addend) = self.start.operands(output, length, depth);
        let tiles = Tiles {
            simd,
            walk: self.walk,
            input: self.input.as_ptr(),
            weights: self.weights.as_ptr(),
            output,
            bias,
            addend,
            rectify: self.rectify,
        };
        // SAFETY: the pointers are those of the slices that `check` and
        // `operands` found long enough for the walk.
        unsafe { tiles.run() }
    }
}

/// Operands of a walk, as pointers that hold for all of it.
struct Tiles<'a, S> {
    simd: S,
    walk: &'a Walk,
    input: *const f32,
    weights: *const f32,
    output: *mut f32,
    bias: Option<*const f32>,
    addend: Option<*const f32>,
    rectify: bool,
}

impl<S: Simd> Tiles<'_, S> {
    /// # Safety
    /// Every pointer covers the walk.
    #[inline(always)]
    unsafe fn run(&self) {
        let mut block = 0;
        while block < self.walk.blocks {
            // SAFETY: the caller's promise; the blocks are in the walk.
            unsafe {
                if S::BLOCKS >= 2 && block + 2 <= self.walk.blocks {
                    self.block_group::<2>(block);
                    block += 2;
                } else {
                    self.block_group::<1>(block);
                    block += 1;
                }
            }
        }
    }

    /// All output pixels of the blocks `block..block + B`.
    ///
    /// # Safety
    /// As for `run`, and the blocks are in the walk.
    #[inline(always)]
    unsafe fn block_group<const B: usize>(&self, block: usize) {
        let walk = self.walk;
        for image in 0..walk.images {
            for row in 0..walk.rows {
                let input = walk.input_start + image * walk.input_image_step + row * walk.input_row_step;
                let output = walk.output_start + image * walk.output_image_step + row * walk.output_row_step;
                for (column, width) in even_parts(walk.columns, S::TILE) {
                    let at = Place {
                        block,
                        input: input + column * walk.input_column_step,
                        output: output + column * walk.output_column_step + block * LANES,
                    };
                    // SAFETY: the caller's promise; the parts are in the row.
                    unsafe {
                        match width {
                            1 => self.tile::<1, B>(at),
                            2 => self.tile::<2, B>(at),
                            3 if S::TILE >= 3 => self.tile::<3, B>(at),
                            4 if S::TILE >= 4 => self.tile::<4, B>(at),
                            5 if S::TILE >= 5 => self.tile::<5, B>(at),
                            6 if S::TILE >= 6 => self.tile::<6, B>(at),
                            7 if S::TILE >= 7 => self.tile::<7, B>(at),
                            _ => self.tile::<8, B>(at),
                        }
                    }
                }
            }
        }
    }

    /// `P` pixels of a row by `B` blocks of channels.
    ///
    /// # Safety
    /// As for `run`, and the pixels and blocks are in the walk.
    #[inline(always)]
    unsafe fn tile<const P: usize, const B: usize>(&self, at: Place) {
        let (simd, walk) = (self.simd, self.walk);
        // SAFETY: the tile is in the walk, which every pointer covers; each
        // offset below is one that `Walk::check` bounds.
        unsafe {
            let mut sums = [[simd.splat(0.0); B]; P];
            if let Some(bias) = self.bias {
                for pixel in &mut sums {
                    for (b, sum) in pixel.iter_mut().enumerate() {
                        *sum = simd.load(lanes(bias.add((at.block + b) * LANES)));
                    }
                }
            }
            if let Some(addend) = self.addend {
                for (p, pixel) in sums.iter_mut().enumerate() {
                    let from = addend.add(at.output + p * walk.output_column_step);
                    for (b, sum) in pixel.iter_mut().enumerate() {
                        *sum = simd.add(*sum, simd.load(lanes(from.add(b * LANES))));
                    }
                }
            }
            let mut input = self.input.add(at.input);
            let block_step = walk.weights_block_step;
            let mut weights = self.weights.add(at.block * block_step);
            let pixel_step = walk.input_column_step;
            for tap_row in 0..walk.tap_rows {
                for tap in 0..walk.taps {
                    let mut weight = [simd.splat(0.0); B];
                    for (b, weight) in weight.iter_mut().enumerate() {
                        *weight = simd.load(lanes(weights.add(tap * LANES + b * block_step)));
                    }
                    for (p, pixel) in sums.iter_mut().enumerate() {
                        let value = simd.splat(*input.add(p * pixel_step + tap));
                        for (b, sum) in pixel.iter_mut().enumerate() {
                            *sum = simd.mul_add(value, weight[b], *sum);
                        }
                    }
                }
                weights = weights.add(walk.taps * LANES);
                // The step past the last row could leave the image.
                if tap_row + 1 < walk.tap_rows {
                    input = input.add(walk.tap_row_step);
                }
            }
            for (p, pixel) in sums.iter().enumerate() {
                let to = self.output.add(at.output + p * walk.output_column_step);
                for (b, &sum) in pixel.iter().enumerate() {
                    let sum = if self.rectify {
                        simd.max(sum, simd.splat(0.0))
                    } else {
                        sum
                    };
                    simd.store(sum, lanes_mut(to.add(b * LANES)));
                }
            }
        }
    }
}

/// Where a tile starts: its first block, input and output.
#[derive(Clone, Copy)]
struct Place {
    block: usize,
    input: usize,
    output: usize,
}

/// # Safety
/// Sixteen floats can be read at `pointer`.
#[inline(always)]
pub(super) unsafe fn lanes<'a>(pointer: *const f32) -> &'a Lanes {
    // SAFETY: the caller's promise; arrays of floats are aligned as floats.
    unsafe { &*pointer.cast() }
}

/// # Safety
/// Sixteen floats can be written at `pointer`, and nobody else looks.
#[inline(always)]
pub(super) unsafe fn lanes_mut<'a>(pointer: *mut f32) -> &'a mut Lanes {
    // SAFETY: the caller's promise; arrays of floats are aligned as floats.
    unsafe { &mut *pointer.cast() }
}

/// `total` cut into the fewest parts of at most `most`, as even as can be:
/// (start, length) of each.
#[inline(always)]
pub(super) fn even_parts(total: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let parts = total.div_ceil(most);
    let length = total.checked_div(parts).unwrap_or(0);
    let longer = total - parts * length;
    (0..parts).map(move |part| (part * length + part.min(longer), length + usize::from(part < longer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_even_and_cover() {
        let check = |total, most, expect: &[(usize, usize)]| {
            assert_eq!(even_parts(total, most).collect::<Vec<_>>(), expect);
        };
        check(0, 8, &[]);
        check(5, 8, &[(0, 5)]);
        check(10, 8, &[(0, 5), (5, 5)]);
        check(14, 6, &[(0, 5), (5, 5), (10, 4)]);
        check(16, 8, &[(0, 8), (8, 8)]);
    }

    #[test]
    #[should_panic(expected = "reads past")]
    fn a_walk_out_of_its_image_is_refused() {
        let walk = Walk {
            images: 1,
            rows: 2,
            columns: 2,
            input_start: 0,
            input_image_step: 0,
            input_row_step: 4,
            input_column_step: 1,
            tap_rows: 1,
            tap_row_step: 4,
            taps: 3,
            output_start: 0,
            output_image_step: 0,
            output_row_step: 32,
            output_column_step: 16,
            blocks: 1,
            weights_block_step: 48,
        };
        walk.check(7, 48, 64);
    }
}
