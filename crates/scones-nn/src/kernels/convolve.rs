//! Direct convolution of one image.
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

use crate::simd::{Kernel, LANES, Lanes, Simd};

/// Where a convolution reads and writes; all steps in floats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Walk {
    /// Output rows and columns.
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// First input of the first output, and from there to the next output.
    pub(crate) input_start: usize,
    pub(crate) input_row_step: usize,
    pub(crate) input_column_step: usize,
    /// Rows of the kernel, their distance in the input, their contiguous taps.
    pub(crate) tap_rows: usize,
    pub(crate) tap_row_step: usize,
    pub(crate) taps: usize,
    /// First output, and from there to the next.
    pub(crate) output_start: usize,
    pub(crate) output_row_step: usize,
    pub(crate) output_column_step: usize,
    /// Blocks of sixteen output channels.
    pub(crate) blocks: usize,
}

impl Walk {
    /// Floats of weights: `[block][tap row][tap][lane]`.
    pub(crate) fn weights(&self) -> usize {
        self.blocks * self.block_weights()
    }

    /// Floats of weights of one block of output channels.
    pub(crate) fn block_weights(&self) -> usize {
        self.tap_rows * self.taps * LANES
    }

    /// Whether there is nothing to write.
    fn is_empty(&self) -> bool {
        self.rows * self.columns * self.blocks == 0
    }

    /// One past the last input read.
    fn input_end(&self) -> usize {
        if self.is_empty() || self.tap_rows * self.taps == 0 {
            return 0;
        }
        self.input_start
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
            + (self.rows - 1) * self.output_row_step
            + (self.columns - 1) * self.output_column_step
            + self.blocks * LANES
    }

    /// The assertions that make the unchecked accesses of the kernels sound.
    pub(crate) fn check(&self, input: usize, weights: usize, output: usize) {
        assert!(self.input_end() <= input, "{self:?} reads past {input} inputs");
        assert!(self.output_end() <= output, "{self:?} writes past {output} outputs");
        assert_eq!(self.weights(), weights, "weights of {self:?}");
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
        let output = self.output.as_mut_ptr();
        let (bias, addend) = match self.start {
            Start::Zero => (None, None),
            Start::Output => (None, Some(output.cast_const())),
            Start::Bias(bias) => (Some(bias), None),
            Start::BiasAndOutput(bias) => (Some(bias), Some(output.cast_const())),
            Start::BiasAndImage(bias, image) => {
                assert_eq!(image.len(), self.output.len(), "the image added");
                (Some(bias), Some(image.as_ptr()))
            }
        };
        if let Some(bias) = bias {
            assert_eq!(bias.len(), self.walk.blocks * LANES, "the bias");
        }
        let tiles = Tiles {
            simd,
            walk: self.walk,
            input: self.input.as_ptr(),
            weights: self.weights.as_ptr(),
            output,
            bias: bias.map(<[f32]>::as_ptr),
            addend,
            rectify: self.rectify,
        };
        // SAFETY: the pointers are those of the slices that `check` and the
        // assertions above found long enough for the walk; an addend that is
        // the output itself is the same pointer.
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
        for row in 0..self.walk.rows {
            for (column, width) in even_parts(self.walk.columns, S::TILE) {
                // SAFETY: the caller's promise; the parts are in the row.
                unsafe {
                    match width {
                        1 => self.tile::<1, B>(block, row, column),
                        2 => self.tile::<2, B>(block, row, column),
                        3 if S::TILE >= 3 => self.tile::<3, B>(block, row, column),
                        4 if S::TILE >= 4 => self.tile::<4, B>(block, row, column),
                        5 if S::TILE >= 5 => self.tile::<5, B>(block, row, column),
                        6 if S::TILE >= 6 => self.tile::<6, B>(block, row, column),
                        7 if S::TILE >= 7 => self.tile::<7, B>(block, row, column),
                        _ => self.tile::<8, B>(block, row, column),
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
    unsafe fn tile<const P: usize, const B: usize>(&self, block: usize, row: usize, column: usize) {
        let (simd, walk) = (self.simd, self.walk);
        let output = walk.output_start + row * walk.output_row_step + column * walk.output_column_step + block * LANES;
        // SAFETY: the tile is in the walk, which every pointer covers; each
        // offset below is one that `Walk::check` bounds.
        unsafe {
            let mut sums = [[simd.splat(0.0); B]; P];
            if let Some(bias) = self.bias {
                for pixel in &mut sums {
                    for (b, sum) in pixel.iter_mut().enumerate() {
                        *sum = simd.load(lanes(bias.add((block + b) * LANES)));
                    }
                }
            }
            if let Some(addend) = self.addend {
                for (p, pixel) in sums.iter_mut().enumerate() {
                    let from = addend.add(output + p * walk.output_column_step);
                    for (b, sum) in pixel.iter_mut().enumerate() {
                        *sum = simd.add(*sum, simd.load(lanes(from.add(b * LANES))));
                    }
                }
            }
            let mut input = self
                .input
                .add(walk.input_start + row * walk.input_row_step + column * walk.input_column_step);
            let mut weights = self.weights.add(block * walk.block_weights());
            let block_step = walk.block_weights();
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
                let to = self.output.add(output + p * walk.output_column_step);
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
            rows: 2,
            columns: 2,
            input_start: 0,
            input_row_step: 4,
            input_column_step: 1,
            tap_rows: 1,
            tap_row_step: 4,
            taps: 3,
            output_start: 0,
            output_row_step: 32,
            output_column_step: 16,
            blocks: 1,
        };
        walk.check(7, walk.weights(), 64);
    }
}
