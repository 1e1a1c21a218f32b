//! The direct method: the sum as it is defined, for any kernel and stride.

use std::ops::Range;

use super::packing::Packing;
use super::{Images, WeightGradientOf};
use crate::architecture::ConvolutionShape;
use crate::buffer::Frame;
use crate::kernels::convolve::{Convolve, Walk};
use crate::kernels::weight_gradient::WeightGradient;
use crate::simd::{LANES, SimdLevel};

/// A convolution as walks over its images.
///
/// The forward pass is one walk. The gradient of the input is one for each
/// remainder of a pixel's row and column by the stride: those pixels all meet
/// the same rows and columns of the kernel, so their gradient is a convolution
/// of stride 1 over the output's gradient.
#[derive(Clone, Debug)]
pub(super) struct Direct {
    from: Frame,
    to: Frame,
    phases: Vec<Phase>,
}

#[derive(Clone, Debug)]
struct Phase {
    walk: Walk,
    /// Kernel rows and columns, in the order in which the walk meets them.
    kernel_rows: Vec<usize>,
    kernel_columns: Vec<usize>,
    /// Where its weights start among those of a block.
    weights_start: usize,
}

impl Direct {
    pub(super) fn forward(shape: &ConvolutionShape, from: Frame, to: Frame) -> Self {
        let padding = (shape.kernel / 2) as isize;
        let walk = Walk {
            images: 0,
            rows: to.height,
            columns: to.width,
            input_start: from.offset(-padding, -padding),
            input_image_step: from.length(),
            input_row_step: shape.stride * from.row_length(),
            input_column_step: shape.stride * from.depth,
            tap_rows: shape.kernel,
            tap_row_step: from.row_length(),
            taps: shape.kernel * from.depth,
            output_start: to.offset(0, 0),
            output_image_step: to.length(),
            output_row_step: to.row_length(),
            output_column_step: to.depth,
            blocks: to.depth / LANES,
            weights_block_step: 0,
        };
        let taps: Vec<usize> = (0..shape.kernel).collect();
        let phase = Phase {
            walk,
            kernel_rows: taps.clone(),
            kernel_columns: taps,
            weights_start: 0,
        };
        Self::new(from, to, vec![phase])
    }

    /// From the gradient of the layer's `output` to that of its `input`.
    pub(super) fn backward(shape: &ConvolutionShape, input: Frame, output: Frame) -> Self {
        let mut phases = Vec::new();
        for row in 0..shape.stride.min(input.height) {
            for column in 0..shape.stride.min(input.width) {
                phases.push(backward_phase(shape, input, output, (row, column)));
            }
        }
        Self::new(output, input, phases)
    }

    fn new(from: Frame, to: Frame, mut phases: Vec<Phase>) -> Self {
        let mut block_weights = 0;
        for phase in &mut phases {
            phase.weights_start = block_weights;
            block_weights += phase.walk.block_weights();
        }
        for phase in &mut phases {
            phase.walk.weights_block_step = block_weights;
        }
        Self { from, to, phases }
    }

    pub(super) fn block_weights(&self) -> usize {
        self.phases.iter().map(|phase| phase.walk.block_weights()).sum()
    }

    /// Packs the weights of one block.
    pub(super) fn pack(&self, packing: &Packing, block: usize, weights: &[f32], packed: &mut [f32]) {
        let lanes = packing.lanes(block);
        self.each_tap(packing, |tap, from, place| {
            for (lane, to) in packed[place..place + lanes].iter_mut().enumerate() {
                *to = weights[packing.kernel_start(block, lane, from) + tap];
            }
        });
    }

    /// The reverse of [`pack`](Self::pack) for the first block, added.
    pub(super) fn add_unpacked(&self, packing: &Packing, packed: &[f32], weights: &mut [f32]) {
        let lanes = packing.lanes(0);
        self.each_tap(packing, |tap, from, place| {
            for (lane, value) in packed[place..place + lanes].iter().enumerate() {
                weights[packing.kernel_start(0, lane, from) + tap] += value;
            }
        });
    }

    /// Calls `visit(tap of the kernel, channel read, place in a block)`.
    fn each_tap(&self, packing: &Packing, mut visit: impl FnMut(usize, usize, usize)) {
        for phase in &self.phases {
            for from in 0..packing.from {
                for (tap_row, row) in phase.kernel_rows.iter().enumerate() {
                    for (tap_column, column) in phase.kernel_columns.iter().enumerate() {
                        let tap = tap_row * phase.walk.taps + tap_column * self.from.depth + from;
                        visit(row * packing.kernel + column, from, phase.weights_start + tap * LANES);
                    }
                }
            }
        }
    }

    pub(super) fn convolve(&self, level: SimdLevel, weights: &[f32], images: Images<'_>) {
        for phase in &self.phases {
            level.run(Convolve {
                walk: &phase.walk.over(images.output.len() / self.to.length()),
                input: images.input,
                weights: &weights[phase.weights_start..],
                output: &mut *images.output,
                start: images.start,
                rectify: images.rectify,
            });
        }
    }

    /// Some rows of one image; only for a forward pass.
    pub(super) fn convolve_rows(&self, level: SimdLevel, weights: &[f32], rows: &Range<usize>, images: Images<'_>) {
        for Phase { walk, .. } in &self.phases {
            let skip = self.to.rows(rows).start;
            level.run(Convolve {
                walk: &Walk {
                    images: 1,
                    rows: rows.len(),
                    input_start: walk.input_start + rows.start * walk.input_row_step,
                    output_start: walk.output_start + rows.start * walk.output_row_step - skip,
                    ..walk.clone()
                },
                input: images.input,
                weights,
                output: &mut *images.output,
                start: images.start,
                rectify: images.rectify,
            });
        }
    }

    pub(super) fn add_weight_gradient(&self, level: SimdLevel, of: WeightGradientOf<'_>) {
        for phase in &self.phases {
            level.run(WeightGradient {
                walk: &phase
                    .walk
                    .over(of.output_gradient.len() / self.to.length())
                    .only(&of.blocks),
                input: of.input,
                output_gradient: of.output_gradient,
                gradient: &mut of.gradient[phase.weights_start..],
            });
        }
    }
}

/// The phase of the pixels whose row and column leave these remainders.
fn backward_phase(shape: &ConvolutionShape, input: Frame, output: Frame, (row, column): (usize, usize)) -> Phase {
    let stride = shape.stride;
    let (kernel_rows, output_row) = phase_taps(shape, row);
    let (kernel_columns, output_column) = phase_taps(shape, column);
    let has_taps = kernel_rows.len() * kernel_columns.len() > 0;
    let read = |step: usize| if has_taps { step } else { 0 };
    let walk = Walk {
        images: 0,
        rows: (input.height - row).div_ceil(stride),
        columns: (input.width - column).div_ceil(stride),
        input_start: if has_taps {
            output.offset(output_row, output_column)
        } else {
            0
        },
        input_image_step: read(output.length()),
        input_row_step: read(output.row_length()),
        input_column_step: read(output.depth),
        tap_rows: read(kernel_rows.len()),
        tap_row_step: output.row_length(),
        taps: read(kernel_columns.len() * output.depth),
        output_start: input.offset(row as isize, column as isize),
        output_image_step: input.length(),
        output_row_step: stride * input.row_length(),
        output_column_step: stride * input.depth,
        blocks: input.depth / LANES,
        weights_block_step: 0,
    };
    Phase {
        walk,
        kernel_rows,
        kernel_columns,
        weights_start: 0,
    }
}

/// Kernel positions that meet the input at `remainder`, and the output
/// position of the first of them for the first such input.
///
/// Input i meets output o at kernel position k where i + padding = o · stride +
/// k; the output rises as k falls, hence the reversal.
fn phase_taps(shape: &ConvolutionShape, remainder: usize) -> (Vec<usize>, isize) {
    let start = remainder + shape.kernel / 2;
    let taps: Vec<usize> = (0..shape.kernel)
        .filter(|k| k % shape.stride == start % shape.stride)
        .rev()
        .collect();
    let first = taps
        .first()
        .map_or(0, |&k| (start as isize - k as isize) / shape.stride as isize);
    (taps, first)
}
