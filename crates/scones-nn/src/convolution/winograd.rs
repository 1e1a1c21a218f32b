//! The method of Winograd, for 3×3 kernels of stride 1: see
//! [`crate::kernels::winograd`].
//!
//! Tiles are done in bands, across images where they are small, short enough
//! for a band's transforms to stay in the second-level cache and long enough
//! for the kernels' to be worth fetching.

use std::ops::Range;

use super::packing::Packing;
use super::{Images, WeightGradientOf};
use crate::architecture::ConvolutionShape;
use crate::buffer::Frame;
use crate::kernels::convolve::{Convolve, Start, Walk};
use crate::kernels::weight_gradient::WeightGradient;
use crate::kernels::winograd::{
    POSITIONS, TransformGradient, TransformInput, TransformOutput, kernel_gradient, transform_kernel,
};
use crate::simd::{LANES, SimdLevel};

/// Tiles of 2×2 outputs in a band.
const BAND_TILES: usize = 64;

/// A convolution by transformed tiles, from one frame to another.
#[derive(Clone, Debug)]
pub(super) struct Winograd {
    from: Frame,
    to: Frame,
}

impl Winograd {
    /// Whether a layer that reads `input` can be computed so; it is faster then,
    /// from sixteen channels on.
    pub(super) fn suits(shape: &ConvolutionShape, input: Frame) -> bool {
        let is_even = shape.height.is_multiple_of(2) && shape.width.is_multiple_of(2);
        shape.kernel == 3 && shape.stride == 1 && is_even && input.depth.is_multiple_of(LANES)
    }

    pub(super) fn new(from: Frame, to: Frame) -> Self {
        Self { from, to }
    }

    /// `[position][channel read][lane]`.
    pub(super) fn block_weights(&self) -> usize {
        POSITIONS * self.from.depth * LANES
    }

    pub(super) fn workspace(&self) -> usize {
        POSITIONS * BAND_TILES * (self.from.depth + self.to.depth)
    }

    /// Packs the kernels of one block, transformed.
    pub(super) fn pack(packing: &Packing, block: usize, weights: &[f32], packed: &mut [f32]) {
        let step = packed.len() / POSITIONS;
        for from in 0..packing.from {
            let mut taps = [[0.0; LANES]; 9];
            for lane in 0..packing.lanes(block) {
                let kernel = &weights[packing.kernel_start(block, lane, from)..][..9];
                for (tap, &weight) in kernel.iter().enumerate() {
                    taps[if packing.turned { 8 - tap } else { tap }][lane] = weight;
                }
            }
            for (position, values) in transform_kernel(&taps).iter().enumerate() {
                packed[position * step + from * LANES..][..LANES].copy_from_slice(values);
            }
        }
    }

    /// The gradients of the first block's kernels from those of their
    /// transforms, added.
    pub(super) fn add_unpacked(packing: &Packing, packed: &[f32], weights: &mut [f32]) {
        let step = packed.len() / POSITIONS;
        for from in 0..packing.from {
            let mut transformed = [[0.0; LANES]; POSITIONS];
            for (position, values) in transformed.iter_mut().enumerate() {
                values.copy_from_slice(&packed[position * step + from * LANES..][..LANES]);
            }
            let taps = kernel_gradient(&transformed);
            for lane in 0..packing.lanes(0) {
                let kernel = &mut weights[packing.kernel_start(0, lane, from)..][..9];
                for (weight, tap) in kernel.iter_mut().zip(&taps) {
                    *weight += tap[lane];
                }
            }
        }
    }

    pub(super) fn convolve(&self, level: SimdLevel, weights: &[f32], images: Images<'_>, workspace: &mut [f32]) {
        let tiles = self.tiles(images.output.len());
        self.convolve_tiles(level, weights, tiles, 0, images, workspace);
    }

    /// Some rows, an even number after an even number, of one image.
    pub(super) fn convolve_rows(
        &self,
        level: SimdLevel,
        weights: &[f32],
        rows: &Range<usize>,
        images: Images<'_>,
        workspace: &mut [f32],
    ) {
        let tiles_of = |row: usize| row / 2 * (self.to.width / 2);
        let skip = self.to.rows(rows).start;
        let tiles = tiles_of(rows.start)..tiles_of(rows.end);
        self.convolve_tiles(level, weights, tiles, skip, images, workspace);
    }

    /// Tiles whose outputs are those after the first `skip` floats.
    fn convolve_tiles(
        &self,
        level: SimdLevel,
        weights: &[f32],
        tiles: Range<usize>,
        skip: usize,
        images: Images<'_>,
        workspace: &mut [f32],
    ) {
        let Images {
            input,
            output,
            start,
            rectify,
        } = images;
        for tiles in bands(tiles) {
            let walk = self.product(tiles.len());
            let (transformed, products) = self.transform_input(level, input, &tiles, workspace);
            let positions = transformed.chunks_exact(tiles.len() * self.from.depth);
            let products_of = products.chunks_exact_mut(tiles.len() * self.to.depth);
            for (position, (transformed, products)) in positions.zip(products_of).enumerate() {
                level.run(Convolve {
                    walk: &walk,
                    input: transformed,
                    weights: &weights[position * self.from.depth * LANES..],
                    output: products,
                    start: Start::Zero,
                    rectify: false,
                });
            }
            level.run(TransformOutput {
                frame: self.to,
                products,
                tiles,
                start,
                rectify,
                output: &mut *output,
                skip,
            });
        }
    }

    pub(super) fn add_weight_gradient(&self, level: SimdLevel, of: WeightGradientOf<'_>, workspace: &mut [f32]) {
        for tiles in bands(self.tiles(of.output_gradient.len())) {
            let walk = self.product(tiles.len()).only(&of.blocks);
            let (transformed, output_gradients) = self.transform_input(level, of.input, &tiles, workspace);
            level.run(TransformGradient {
                frame: self.to,
                gradient: of.output_gradient,
                tiles: tiles.clone(),
                output: &mut *output_gradients,
            });
            let positions = transformed.chunks_exact(tiles.len() * self.from.depth);
            let output_gradients = output_gradients.chunks_exact(tiles.len() * self.to.depth);
            for (position, (transformed, output_gradients)) in positions.zip(output_gradients).enumerate() {
                level.run(WeightGradient {
                    walk: &walk,
                    input: transformed,
                    output_gradient: output_gradients,
                    gradient: &mut of.gradient[position * self.from.depth * LANES..],
                });
            }
        }
    }

    /// The transformed inputs of some tiles, and room for as many transforms of
    /// what is written.
    fn transform_input<'w>(
        &self,
        level: SimdLevel,
        input: &[f32],
        tiles: &Range<usize>,
        workspace: &'w mut [f32],
    ) -> (&'w [f32], &'w mut [f32]) {
        let (transformed, rest) = workspace.split_at_mut(POSITIONS * tiles.len() * self.from.depth);
        level.run(TransformInput {
            frame: self.from,
            input,
            tiles: tiles.clone(),
            output: &mut *transformed,
        });
        (transformed, &mut rest[..POSITIONS * tiles.len() * self.to.depth])
    }

    /// The tiles of images of `output` floats.
    fn tiles(&self, output: usize) -> Range<usize> {
        0..output / self.to.length() * self.to.pixels() / 4
    }

    /// The matrix product of one position: tiles by channels.
    fn product(&self, tiles: usize) -> Walk {
        Walk {
            images: 1,
            rows: 1,
            columns: tiles,
            input_start: 0,
            input_image_step: 0,
            input_row_step: 0,
            input_column_step: self.from.depth,
            tap_rows: 1,
            tap_row_step: 0,
            taps: self.from.depth,
            output_start: 0,
            output_image_step: 0,
            output_row_step: 0,
            output_column_step: self.to.depth,
            blocks: self.to.depth / LANES,
            weights_block_step: self.block_weights(),
        }
    }
}

/// `tiles`, band by band.
fn bands(tiles: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let starts = tiles.clone().step_by(BAND_TILES);
    starts.map(move |start| start..tiles.end.min(start + BAND_TILES))
}
