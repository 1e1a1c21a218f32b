//! The geometry of one convolutional layer: how its weights are packed for
//! the kernels, and the walks of its three passes.
//!
//! Padding is half the kernel on every side, so an output has the input's size
//! divided by the stride, rounded up. Weights are kept as
//! `[output][input][row][column]` everywhere else.

use crate::architecture::ConvolutionShape;
use crate::buffer::Frame;
use crate::kernels::convolve::{Convolve, Start, Walk};
use crate::kernels::weight_gradient::WeightGradient;
use crate::simd::{LANES, SimdLevel};

/// One convolutional layer between two frames.
#[derive(Clone, Debug)]
pub(crate) struct Convolution {
    inputs: usize,
    outputs: usize,
    kernel: usize,
    input: Frame,
    output: Frame,
    forward: Walk,
    phases: Vec<Phase>,
}

/// The gradient of the input at the pixels of one remainder by the stride.
///
/// Those pixels all meet the same rows and columns of the kernel, so their
/// gradient is a convolution of stride 1 over the output's gradient.
#[derive(Clone, Debug)]
struct Phase {
    walk: Walk,
    /// Kernel rows and columns, in the order in which the walk meets them.
    kernel_rows: Vec<usize>,
    kernel_columns: Vec<usize>,
    /// Where its weights start among those of all phases.
    weights_start: usize,
}

impl Convolution {
    /// The layer of `shape` from images of `input` to images of `output`.
    pub(crate) fn new(shape: &ConvolutionShape, input: Frame, output: Frame) -> Self {
        let padding = (shape.kernel / 2) as isize;
        let forward = Walk {
            rows: output.height,
            columns: output.width,
            input_start: input.offset(-padding, -padding),
            input_row_step: shape.stride * input.row_length(),
            input_column_step: shape.stride * input.depth,
            tap_rows: shape.kernel,
            tap_row_step: input.row_length(),
            taps: shape.kernel * input.depth,
            output_start: output.offset(0, 0),
            output_row_step: output.row_length(),
            output_column_step: output.depth,
            blocks: output.depth / LANES,
        };
        Self {
            inputs: shape.inputs,
            outputs: shape.outputs,
            kernel: shape.kernel,
            input,
            output,
            forward,
            phases: Vec::new(),
        }
    }

    /// The same layer, able to compute the gradient of its input.
    pub(crate) fn with_input_gradient(mut self, stride: usize) -> Self {
        let mut weights_start = 0;
        for row in 0..stride.min(self.input.height) {
            for column in 0..stride.min(self.input.width) {
                let phase = self.phase(stride, row, column, weights_start);
                weights_start += phase.walk.weights();
                self.phases.push(phase);
            }
        }
        self
    }

    fn phase(&self, stride: usize, row: usize, column: usize, weights_start: usize) -> Phase {
        let (input, output) = (self.input, self.output);
        let (kernel_rows, output_row) = self.phase_taps(stride, row);
        let (kernel_columns, output_column) = self.phase_taps(stride, column);
        let tap_count = kernel_rows.len() * kernel_columns.len();
        let read = |step: usize| if tap_count == 0 { 0 } else { step };
        let walk = Walk {
            rows: (input.height - row).div_ceil(stride),
            columns: (input.width - column).div_ceil(stride),
            input_start: if tap_count == 0 {
                0
            } else {
                output.offset(output_row, output_column)
            },
            input_row_step: read(output.row_length()),
            input_column_step: read(output.depth),
            tap_rows: read(kernel_rows.len()),
            tap_row_step: output.row_length(),
            taps: read(kernel_columns.len() * output.depth),
            output_start: input.offset(row as isize, column as isize),
            output_row_step: stride * input.row_length(),
            output_column_step: stride * input.depth,
            blocks: input.depth / LANES,
        };
        Phase {
            walk,
            kernel_rows,
            kernel_columns,
            weights_start,
        }
    }

    /// Kernel positions that meet the input at `remainder`, and the output
    /// position of the first of them for the first such input.
    ///
    /// Input i meets output o at kernel position k where i + padding = o ·
    /// stride + k; the output rises as k falls, hence the reversal.
    fn phase_taps(&self, stride: usize, remainder: usize) -> (Vec<usize>, isize) {
        let start = remainder + self.kernel / 2;
        let taps: Vec<usize> = (0..self.kernel)
            .filter(|k| k % stride == start % stride)
            .rev()
            .collect();
        let first = taps
            .first()
            .map_or(0, |&k| (start as isize - k as isize) / stride as isize);
        (taps, first)
    }

    /// Floats of the weights packed for [`forward`](Self::forward).
    pub(crate) fn forward_weights(&self) -> usize {
        self.forward.weights()
    }

    /// Floats of the weights packed for [`backward`](Self::backward).
    pub(crate) fn backward_weights(&self) -> usize {
        self.phases.iter().map(|phase| phase.walk.weights()).sum()
    }

    /// Calls `visit(index, packed)` for each weight with its two places.
    fn each_weight(&self, mut visit: impl FnMut(usize, usize)) {
        let mut index = 0;
        let block_weights = self.forward.block_weights();
        for output in 0..self.outputs {
            let lane = output / LANES * block_weights + output % LANES;
            for input in 0..self.inputs {
                for row in 0..self.kernel {
                    for column in 0..self.kernel {
                        let tap = row * self.forward.taps + column * self.input.depth + input;
                        visit(index, lane + tap * LANES);
                        index += 1;
                    }
                }
            }
        }
    }

    /// Packs `weights` for the forward pass; padding is left as it is, zero.
    pub(crate) fn pack_forward(&self, weights: &[f32], packed: &mut [f32]) {
        self.each_weight(|index, place| packed[place] = weights[index]);
    }

    /// The reverse of [`pack_forward`](Self::pack_forward), added to `weights`.
    pub(crate) fn add_unpacked(&self, packed: &[f32], weights: &mut [f32]) {
        self.each_weight(|index, place| weights[index] += packed[place]);
    }

    /// Packs `weights` for the backward pass; padding is left as it is, zero.
    pub(crate) fn pack_backward(&self, weights: &[f32], packed: &mut [f32]) {
        let kernel = self.kernel;
        for phase in &self.phases {
            let packed = &mut packed[phase.weights_start..][..phase.walk.weights()];
            for (tap_row, row) in phase.kernel_rows.iter().enumerate() {
                for (tap_column, column) in phase.kernel_columns.iter().enumerate() {
                    for output in 0..self.outputs {
                        let tap = tap_row * phase.walk.taps + tap_column * self.output.depth + output;
                        for input in 0..self.inputs {
                            let block = input / LANES * phase.walk.block_weights();
                            let from = ((output * self.inputs + input) * kernel + row) * kernel;
                            packed[block + tap * LANES + input % LANES] = weights[from + column];
                        }
                    }
                }
            }
        }
    }

    /// `output = start + input * weights`, then the rectifier if asked.
    pub(crate) fn forward(
        &self,
        level: SimdLevel,
        weights: &[f32],
        input: &[f32],
        output: &mut [f32],
        start: Start<'_>,
        rectify: bool,
    ) {
        level.run(Convolve {
            walk: &self.forward,
            input,
            weights,
            output,
            start,
            rectify,
        });
    }

    /// The gradient of the input, written or added to `input_gradient`.
    pub(crate) fn backward(
        &self,
        level: SimdLevel,
        weights: &[f32],
        output_gradient: &[f32],
        input_gradient: &mut [f32],
        start: Start<'_>,
    ) {
        for phase in &self.phases {
            level.run(Convolve {
                walk: &phase.walk,
                input: output_gradient,
                weights: &weights[phase.weights_start..][..phase.walk.weights()],
                output: input_gradient,
                start,
                rectify: false,
            });
        }
    }

    /// Adds to `gradient`, packed as for the forward pass.
    pub(crate) fn add_weight_gradient(
        &self,
        level: SimdLevel,
        input: &[f32],
        output_gradient: &[f32],
        gradient: &mut [f32],
    ) {
        level.run(WeightGradient {
            walk: &self.forward,
            input,
            output_gradient,
            gradient,
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::architecture::{Part, Place};
    use crate::buffer::{Buffer, padded};
    use crate::kernels::testing::{self, assert_close};

    /// A layer and the images it connects.
    #[derive(Clone, Debug)]
    struct Case {
        shape: ConvolutionShape,
        input: Frame,
        output: Frame,
    }

    impl Case {
        fn new(
            (height, width): (usize, usize),
            (inputs, outputs): (usize, usize),
            kernel: usize,
            stride: usize,
            pads_channels: bool,
        ) -> Self {
            let (out_height, out_width) = (height.div_ceil(stride), width.div_ceil(stride));
            let place = Place::Block {
                stage: 1,
                block: 0,
                part: Part::First,
            };
            let shape = ConvolutionShape {
                place,
                inputs,
                outputs,
                kernel,
                stride,
                height: out_height,
                width: out_width,
            };
            let depth = if pads_channels { padded(inputs) } else { inputs };
            let border = (kernel / 2).max(1);
            let input = Frame {
                height,
                width,
                depth,
                border,
            };
            let output = Frame {
                height: out_height,
                width: out_width,
                depth: padded(outputs),
                border: 1,
            };
            Self { shape, input, output }
        }

        fn layer(&self) -> Convolution {
            Convolution::new(&self.shape, self.input, self.output)
        }

        /// Calls `visit(input, weight, output)` with the places of each product
        /// in their buffers, by the definition.
        fn each_product(&self, mut visit: impl FnMut(usize, usize, usize)) {
            let ConvolutionShape {
                inputs,
                outputs,
                kernel,
                stride,
                ..
            } = self.shape;
            let padding = (kernel / 2) as isize;
            for row in 0..self.output.height {
                for column in 0..self.output.width {
                    for tap_row in 0..kernel {
                        for tap_column in 0..kernel {
                            let from_row = (row * stride + tap_row) as isize - padding;
                            let from_column = (column * stride + tap_column) as isize - padding;
                            let from = self.input.offset(from_row, from_column);
                            let to = self.output.offset(row as isize, column as isize);
                            for output in 0..outputs {
                                for input in 0..inputs {
                                    let weight = (output * inputs + input) * kernel * kernel;
                                    let weight = weight + tap_row * kernel + tap_column;
                                    visit(from + input, weight, to + output);
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// An image with noise inside, zeros in its border and padding channels.
    fn image(frame: Frame, channels: usize, seed: usize) -> Buffer {
        let mut image = testing::image(frame, seed, 0.0);
        testing::each(frame, |index, channel| {
            if channel >= channels {
                image[index] = 0.0;
            }
        });
        image
    }

    /// All three passes at every level against the definition.
    fn check(case: &Case) {
        let ConvolutionShape {
            inputs,
            outputs,
            kernel,
            stride,
            ..
        } = case.shape;
        let weights: Vec<f32> = (0..outputs * inputs * kernel * kernel).map(testing::noise).collect();
        let input = image(case.input, inputs, 2);
        let slope = image(case.output, outputs, 3);
        let addend = image(case.output, outputs, 4);
        let bias = Buffer::zeros(case.output.depth);
        let mut output = addend.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let mut input_slope = vec![0.0; input.len()];
        let mut weight_slope = vec![0.0; weights.len()];
        case.each_product(|from, weight, to| {
            let (x, w) = (f64::from(input[from]), f64::from(weights[weight]));
            let slope = f64::from(slope[to]);
            output[to] += x * w;
            input_slope[from] += slope * w;
            weight_slope[weight] += slope * x;
        });
        // What falls on the border is padding's own affair.
        let inside: Vec<_> = (0..case.input.height).flat_map(|row| case.input.row(row)).collect();
        let input_slope: Vec<f64> = inside.iter().map(|&index| input_slope[index]).collect();

        let layer = case.layer();
        let mut forward = Buffer::zeros(layer.forward_weights());
        layer.pack_forward(&weights, &mut forward);
        for level in SimdLevel::available() {
            let mut got = Buffer::zeros(case.output.length());
            let start = Start::BiasAndImage(&bias, &addend);
            layer.forward(level, &forward, &input, &mut got, start, false);
            assert_close(&got, &output, "output");
            layer.forward(level, &forward, &input, &mut got, start, true);
            let rectified: Vec<f64> = output.iter().map(|value| value.max(0.0)).collect();
            assert_close(&got, &rectified, "rectified");

            let mut packed = Buffer::zeros(layer.forward_weights());
            layer.add_weight_gradient(level, &input, &slope, &mut packed);
            let mut got = vec![0.0; weights.len()];
            layer.add_unpacked(&packed, &mut got);
            assert_close(&got, &weight_slope, "weight gradient");

            if case.input.depth.is_multiple_of(LANES) {
                let layer = layer.clone().with_input_gradient(stride);
                let mut backward = Buffer::zeros(layer.backward_weights());
                layer.pack_backward(&weights, &mut backward);
                let mut got = image(case.input, inputs, 5);
                layer.backward(level, &backward, &slope, &mut got, Start::Zero);
                let gather = |from: &[f32]| inside.iter().map(|&i| from[i]).collect::<Vec<_>>();
                assert_close(&gather(&got), &input_slope, "input gradient");
                layer.backward(level, &backward, &slope, &mut got, Start::Output);
                let twice: Vec<f64> = input_slope.iter().map(|value| 2.0 * value).collect();
                assert_close(&gather(&got), &twice, "input gradient added");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

        #[test]
        fn layers_of_blocks_equal_the_definition(
            size in (1..12_usize, 1..12_usize),
            channels in (1..40_usize, 1..40_usize),
            kernel in prop::sample::select(vec![1_usize, 3]),
            stride in 1..3_usize,
        ) {
            check(&Case::new(size, channels, kernel, stride, true));
        }

        #[test]
        fn stems_equal_the_definition(
            size in (1..20_usize, 1..20_usize),
            channels in (1..6_usize, 1..40_usize),
            (kernel, stride) in prop::sample::select(vec![(3_usize, 1_usize), (7, 4)]),
        ) {
            check(&Case::new(size, channels, kernel, stride, false));
        }
    }

    #[test]
    fn wide_layers_equal_the_definition() {
        // Bands, tiles and pairs of blocks all repeat.
        check(&Case::new((19, 33), (33, 49), 3, 1, true));
        check(&Case::new((40, 5), (64, 16), 3, 2, true));
    }
}
