//! The gradient of a convolution's loss with respect to its weights.
//!
//! Each weight's gradient sums, over the output pixels, the input it met times
//! the output's gradient: an outer product per pixel. A tile of taps × output
//! channels stays in registers while the pixels of a band of rows go by; the
//! band is short enough for its two images to stay in the first-level cache
//! while every tile of the kernel passes over it. It may span small images.

use std::ops::Range;

use super::convolve::{Walk, even_parts, lanes, lanes_mut};
use super::rows::accumulate;
use crate::simd::{Kernel, LANES, Simd};

/// Output pixels in a band.
const BAND_PIXELS: usize = 128;

/// `gradient += input ⊗ output_gradient` along `walk`, the convolution's own.
pub(crate) struct WeightGradient<'a> {
    pub(crate) walk: &'a Walk,
    pub(crate) input: &'a [f32],
    /// Laid out as the convolution's output.
    pub(crate) output_gradient: &'a [f32],
    /// Laid out as the convolution's weights.
    pub(crate) gradient: &'a mut [f32],
}

impl Kernel for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.walk
            .check(self.input.len(), self.gradient.len(), self.output_gradient.len());
        let tiles = Tiles {
            simd,
            walk: self.walk,
            input: self.input.as_ptr(),
            output_gradient: self.output_gradient.as_ptr(),
            gradient: self.gradient.as_mut_ptr(),
        };
        let band = BAND_PIXELS.div_ceil(self.walk.columns.max(1));
        let (mut start, lines) = (0, self.walk.images * self.walk.rows);
        while start < lines {
            let band = start..lines.min(start + band);
            start = band.end;
            // SAFETY: the pointers are those of the slices that `check` found
            // long enough for the walk, and the lines are in it.
            unsafe { tiles.band(&band) };
        }
    }
}

struct Tiles<'a, S> {
    simd: S,
    walk: &'a Walk,
    input: *const f32,
    output_gradient: *const f32,
    gradient: *mut f32,
}

impl<S: Simd> Tiles<'_, S> {
    /// All weights, over some output rows, counted through all images.
    ///
    /// # Safety
    /// Every pointer covers the walk, and the lines are in it.
    #[inline(always)]
    unsafe fn band(&self, lines: &Range<usize>) {
        let mut block = 0;
        while block < self.walk.blocks {
            // SAFETY: the caller's promise; the blocks are in the walk.
            unsafe {
                if S::BLOCKS >= 2 && block + 2 <= self.walk.blocks {
                    self.block_group::<2>(lines, block);
                    block += 2;
                } else {
                    self.block_group::<1>(lines, block);
                    block += 1;
                }
            }
        }
    }

    /// # Safety
    /// As for `band`, and the blocks `block..block + B` are in the walk.
    #[inline(always)]
    unsafe fn block_group<const B: usize>(&self, lines: &Range<usize>, block: usize) {
        for tap_row in 0..self.walk.tap_rows {
            for (tap, width) in even_parts(self.walk.taps, S::TILE) {
                let at = Tile { block, tap_row, tap };
                // SAFETY: the caller's promise; the taps are in the walk.
                unsafe {
                    match width {
                        1 => self.tile::<1, B>(lines, at),
                        2 => self.tile::<2, B>(lines, at),
                        3 if S::TILE >= 3 => self.tile::<3, B>(lines, at),
                        4 if S::TILE >= 4 => self.tile::<4, B>(lines, at),
                        5 if S::TILE >= 5 => self.tile::<5, B>(lines, at),
                        6 if S::TILE >= 6 => self.tile::<6, B>(lines, at),
                        7 if S::TILE >= 7 => self.tile::<7, B>(lines, at),
                        _ => self.tile::<8, B>(lines, at),
                    }
                }
            }
        }
    }

    /// `T` taps by `B` blocks of channels.
    ///
    /// # Safety
    /// As for `band`, and the tile is in the walk.
    #[inline(always)]
    unsafe fn tile<const T: usize, const B: usize>(&self, lines: &Range<usize>, at: Tile) {
        let (simd, walk) = (self.simd, self.walk);
        let block_step = walk.weights_block_step;
        // SAFETY: the tile is in the walk, which every pointer covers; each
        // offset below is one that `Walk::check` bounds.
        unsafe {
            let gradient = self
                .gradient
                .add(at.block * block_step + (at.tap_row * walk.taps + at.tap) * LANES);
            let mut sums = [[simd.splat(0.0); B]; T];
            let input = self
                .input
                .add(walk.input_start + at.tap_row * walk.tap_row_step + at.tap);
            let output = self.output_gradient.add(walk.output_start + at.block * LANES);
            for line in lines.clone() {
                let (image, row) = (line / walk.rows, line % walk.rows);
                let input = input.add(image * walk.input_image_step + row * walk.input_row_step);
                let output = output.add(image * walk.output_image_step + row * walk.output_row_step);
                for column in 0..walk.columns {
                    let input = input.add(column * walk.input_column_step);
                    let output = output.add(column * walk.output_column_step);
                    let mut slope = [simd.splat(0.0); B];
                    for (b, slope) in slope.iter_mut().enumerate() {
                        *slope = simd.load(lanes(output.add(b * LANES)));
                    }
                    for (t, tap) in sums.iter_mut().enumerate() {
                        let value = simd.splat(*input.add(t));
                        for (b, sum) in tap.iter_mut().enumerate() {
                            *sum = simd.mul_add(value, slope[b], *sum);
                        }
                    }
                }
            }
            for (t, tap) in sums.iter().enumerate() {
                for (b, &sum) in tap.iter().enumerate() {
                    // A band is summed on its own first: long sums round worse.
                    let total = lanes_mut(gradient.add(b * block_step + t * LANES));
                    accumulate(simd, total, sum);
                }
            }
        }
    }
}

/// Where a tile starts: its first block, row of taps and tap.
#[derive(Clone, Copy)]
struct Tile {
    block: usize,
    tap_row: usize,
    tap: usize,
}
