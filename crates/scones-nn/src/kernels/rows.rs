//! Going over an image vector by vector: by row, then block of channels, then
//! pixel, so that a row stays in the first-level cache and what belongs to a
//! block stays in registers.

use crate::buffer::Frame;
use crate::simd::{LANES, Lanes, Simd};

/// Calls `$body` for each row and block of channels of `$frame`, with their
/// indices.
macro_rules! for_rows_and_blocks {
    ($frame:expr, |$row:ident, $block:ident| $body:block) => {
        for $row in 0..$frame.height {
            for $block in 0..$frame.depth / $crate::simd::LANES {
                $body
            }
        }
    };
}

/// The vectors of `values`, whose length is a multiple of sixteen.
#[inline(always)]
pub(super) fn vectors(values: &[f32]) -> &[Lanes] {
    values.as_chunks().0
}

#[inline(always)]
pub(super) fn vectors_mut(values: &mut [f32]) -> &mut [Lanes] {
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
                $crate::kernels::rows::add_each($simd, sums, $terms);
                $index += $blocks;
            }
        }
        while $index < $length {
            $crate::kernels::rows::add_each($simd, &mut sums[0], $terms);
            $index += $blocks;
        }
        let [mut total, second, third, fourth] = sums;
        $crate::kernels::rows::add_each($simd, &mut total, second);
        $crate::kernels::rows::add_each($simd, &mut total, third);
        $crate::kernels::rows::add_each($simd, &mut total, fourth);
        total
    }};
}

#[inline(always)]
pub(super) fn add_each<S: Simd, const N: usize>(simd: S, sums: &mut [S::Vector; N], terms: [S::Vector; N]) {
    for (sum, term) in sums.iter_mut().zip(terms) {
        *sum = simd.add(*sum, term);
    }
}

/// `to += vector`.
#[inline(always)]
pub(super) fn accumulate<S: Simd>(simd: S, to: &mut Lanes, vector: S::Vector) {
    simd.store(simd.add(simd.load(to), vector), to);
}

/// The mean of each channel.
#[inline(always)]
pub(super) fn channel_means<S: Simd>(simd: S, frame: Frame, input: &[f32], means: &mut [Lanes]) {
    let blocks = frame.depth / LANES;
    means.fill([0.0; LANES]);
    for_rows_and_blocks!(frame, |row, block| {
        let input = vectors(&input[frame.row(row)]);
        let [sum] = sum_pixels!(simd, blocks, block, input.len(), |i| [simd.load(&input[i])]);
        accumulate(simd, &mut means[block], sum);
    });
    let share = simd.splat(1.0 / frame.pixels() as f32);
    for mean in means {
        simd.store(simd.mul(simd.load(mean), share), mean);
    }
}

pub(super) use {for_rows_and_blocks, sum_pixels};
