//! One convolutional layer: the geometry of its three passes, and the order of
//! its weights for the kernels.
//!
//! Padding is half the kernel on every side, so an output has the input's size
//! divided by the stride, rounded up. Weights are kept as
//! `[output][input][row][column]` everywhere else.

mod direct;
mod packing;
mod winograd;

use std::ops::Range;

use rayon::prelude::*;

use self::direct::Direct;
use self::packing::Packing;
use self::winograd::Winograd;
use crate::architecture::ConvolutionShape;
use crate::buffer::{Buffer, Frame};
use crate::kernels::convolve::Start;
use crate::plan::runs;
use crate::simd::{LANES, SimdLevel};

/// One convolutional layer between two frames.
///
/// Slices of images hold any number of whole ones, borders included.
#[derive(Clone, Debug)]
pub(crate) struct Convolution {
    pub(crate) forward: Pass,
    /// The same to images without a border, by weights packed for either.
    pub(crate) forward_plain: Pass,
    /// From the output's gradient to the input's, without a border; the stem
    /// has none.
    pub(crate) backward: Option<Pass>,
    /// Weights of one output channel.
    fan_in: usize,
}

/// A convolution from one frame to another.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    packing: Packing,
    /// What is written.
    to: Frame,
    method: Method,
}

#[derive(Clone, Debug)]
enum Method {
    Direct(Direct),
    Winograd(Winograd),
}

/// What a pass reads and writes: `output = start + input * weights`, cut off at
/// zero if `rectify`.
pub(crate) struct Images<'a> {
    pub(crate) input: &'a [f32],
    pub(crate) output: &'a mut [f32],
    pub(crate) start: Start<'a>,
    pub(crate) rectify: bool,
}

/// What the gradient of a layer's weights is made of, and added to.
pub(crate) struct WeightGradientOf<'a> {
    pub(crate) input: &'a [f32],
    pub(crate) output_gradient: &'a [f32],
    /// The output channels whose weights are meant, in blocks of sixteen.
    pub(crate) blocks: Range<usize>,
    /// Of those, packed as the weights of the forward pass.
    pub(crate) gradient: &'a mut [f32],
}

/// Floats of a packed weight gradient that are held at once, or those of one
/// block where that has more: 4 MiB.
const GRADIENT_PART_LENGTH: usize = 1 << 20;

impl Convolution {
    /// The layer of `shape` from images of `input` to images of `output`.
    pub(crate) fn new(shape: &ConvolutionShape, input: Frame, output: Frame) -> Self {
        let uses_winograd = Winograd::suits(shape, input);
        let forward = |output| Pass {
            packing: Packing::forward(shape),
            to: output,
            method: if uses_winograd {
                Method::Winograd(Winograd::new(input, output))
            } else {
                Method::Direct(Direct::forward(shape, input, output))
            },
        };
        // Gradients are of whole vectors; the channels of an input image are not.
        let backward = input.depth.is_multiple_of(LANES).then(|| Pass {
            packing: Packing::backward(shape),
            to: input.plain(),
            method: if uses_winograd {
                Method::Winograd(Winograd::new(output, input.plain()))
            } else {
                Method::Direct(Direct::backward(shape, input.plain(), output))
            },
        });
        Self {
            forward: forward(output),
            forward_plain: forward(output.plain()),
            backward,
            fan_in: shape.inputs * shape.kernel * shape.kernel,
        }
    }

    /// Floats of working memory that any pass needs.
    pub(crate) fn workspace(&self) -> usize {
        match &self.forward.method {
            Method::Direct(_) => 0,
            Method::Winograd(winograd) => winograd.workspace(),
        }
    }

    /// The blocks of output channels, in parts whose packed gradients are short.
    pub(crate) fn gradient_parts(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let Pass { to, .. } = self.forward;
        let length = (GRADIENT_PART_LENGTH / self.forward.block_weights()).max(1);
        runs(to.depth / LANES, length)
    }

    /// Floats of the packed gradient of some blocks.
    pub(crate) fn gradient_length(&self, blocks: &Range<usize>) -> usize {
        blocks.len() * self.forward.block_weights()
    }

    /// The weights of some blocks among all of the layer's.
    pub(crate) fn weights_of(&self, blocks: &Range<usize>) -> Range<usize> {
        let outputs = self.forward.packing.to;
        let start_of = |block: usize| outputs.min(block * LANES) * self.fan_in;
        start_of(blocks.start)..start_of(blocks.end)
    }

    /// Adds some images' part to the gradient of the weights.
    pub(crate) fn add_weight_gradient(&self, level: SimdLevel, of: WeightGradientOf<'_>, workspace: &mut [f32]) {
        match &self.forward.method {
            Method::Direct(direct) => direct.add_weight_gradient(level, of),
            Method::Winograd(winograd) => winograd.add_weight_gradient(level, of, workspace),
        }
    }

    /// Sums packed gradients of some blocks, in their order, into `weights`,
    /// which are [those of the blocks](Self::weights_of).
    pub(crate) fn unpack_sum<'a, P>(&self, blocks: &Range<usize>, packed: P, weights: &mut [f32])
    where
        P: Iterator<Item = &'a [f32]> + Clone + Send + Sync,
    {
        let Pass { packing, method, .. } = &self.forward;
        let length = self.forward.block_weights();
        let chunks = weights.par_chunks_mut(LANES * self.fan_in).enumerate();
        chunks.for_each(|(chunk, weights)| {
            weights.fill(0.0);
            for packed in packed.clone() {
                let packed = &packed[chunk * length..][..length];
                // Counted from the block's own first weight.
                let packing = packing.after(blocks.start + chunk);
                match method {
                    Method::Direct(direct) => direct.add_unpacked(&packing, packed, weights),
                    Method::Winograd(_) => Winograd::add_unpacked(&packing, packed, weights),
                }
            }
        });
    }
}

impl Pass {
    /// Floats of its packed weights.
    pub(crate) fn weights(&self) -> usize {
        self.to.depth / LANES * self.block_weights()
    }

    /// Floats of packed weights for sixteen channels of the result.
    fn block_weights(&self) -> usize {
        match &self.method {
            Method::Direct(direct) => direct.block_weights(),
            Method::Winograd(winograd) => winograd.block_weights(),
        }
    }

    /// Puts `weights` into the order in which the kernels read them, with
    /// zeros for padding channels.
    pub(crate) fn pack(&self, weights: &[f32], packed: &mut [f32]) {
        // A phase of the stride may meet no weight at all.
        let blocks = packed[..self.weights()].par_chunks_mut(self.block_weights().max(1));
        blocks.enumerate().for_each(|(block, packed)| {
            packed.fill(0.0);
            match &self.method {
                Method::Direct(direct) => direct.pack(&self.packing, block, weights, packed),
                Method::Winograd(_) => Winograd::pack(&self.packing, block, weights, packed),
            }
        });
    }

    /// Runs a forward pass over one image, its rows split among the threads of
    /// the current pool, at most one a workspace. The result is that of
    /// [`run`](Self::run).
    pub(crate) fn run_split(&self, level: SimdLevel, weights: &[f32], image: Images<'_>, workspaces: &mut [Buffer]) {
        let to = self.to;
        // Winograd's tiles are two rows high.
        let rows = to.height.div_ceil(workspaces.len()).next_multiple_of(2);
        let length = rows * to.row_length();
        let inside = to.rows(&(0..to.height));
        let parts = image.output[inside].par_chunks_mut(length).zip(workspaces);
        parts
            .with_max_len(1)
            .enumerate()
            .for_each(|(part, (output, workspace))| {
                let rows = part * rows..to.height.min((part + 1) * rows);
                let start = match image.start {
                    Start::BiasAndImage(bias, image) => Start::BiasAndImage(bias, &image[to.rows(&rows)]),
                    other => other,
                };
                let images = Images {
                    input: image.input,
                    output,
                    start,
                    rectify: image.rectify,
                };
                match &self.method {
                    Method::Direct(direct) => direct.convolve_rows(level, weights, &rows, images),
                    Method::Winograd(winograd) => winograd.convolve_rows(level, weights, &rows, images, workspace),
                }
            });
    }

    /// Runs on the packed `weights`.
    pub(crate) fn run(&self, level: SimdLevel, weights: &[f32], images: Images<'_>, workspace: &mut [f32]) {
        match &self.method {
            Method::Direct(direct) => direct.convolve(level, weights, images),
            Method::Winograd(winograd) => winograd.convolve(level, weights, images, workspace),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::architecture::{Part, Place};
    use crate::buffer::padded;
    use crate::kernels::testing::{self, assert_close};

    /// Images a case.
    const IMAGES: usize = 3;
    /// An interpreter gets smaller cases: above every side, and every width.
    const SIDE_END: usize = if cfg!(miri) { 6 } else { 20 };
    const CHANNELS_END: usize = if cfg!(miri) { 4 } else { 40 };

    /// Images without their borders.
    fn plain<T: Copy>(frame: Frame, images: &[T]) -> Vec<T> {
        let images = images.chunks_exact(frame.length());
        let rows = images.flat_map(|image| (0..frame.height).map(|row| &image[frame.row(row)]));
        rows.flatten().copied().collect()
    }

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
                pool: 1,
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
            for (image, row) in (0..IMAGES).flat_map(|image| (0..self.output.height).map(move |row| (image, row))) {
                for column in 0..self.output.width {
                    for tap_row in 0..kernel {
                        for tap_column in 0..kernel {
                            let from_row = (row * stride + tap_row) as isize - padding;
                            let from_column = (column * stride + tap_column) as isize - padding;
                            let from = image * self.input.length() + self.input.offset(from_row, from_column);
                            let to = image * self.output.length() + self.output.offset(row as isize, column as isize);
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

    /// Images with noise inside, zeros in their borders and padding channels.
    fn images(frame: Frame, channels: usize, seed: usize) -> Buffer {
        let mut images = Buffer::zeros(IMAGES * frame.length());
        for (index, image) in images.chunks_exact_mut(frame.length()).enumerate() {
            let noise = testing::image(frame, seed + 10 * index, 0.0);
            testing::each(frame, |index, channel| {
                if channel < channels {
                    image[index] = noise[index];
                }
            });
        }
        images
    }

    /// All three passes at every level against the definition.
    fn check(case: &Case) {
        let ConvolutionShape {
            inputs,
            outputs,
            kernel,
            ..
        } = case.shape;
        let weights: Vec<f32> = (0..outputs * inputs * kernel * kernel).map(testing::noise).collect();
        let input = images(case.input, inputs, 2);
        let slope = images(case.output, outputs, 3);
        let addend = images(case.output, outputs, 4);
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
        let input_slope = plain(case.input, &input_slope);

        let layer = Convolution::new(&case.shape, case.input, case.output);
        let mut workspace = Buffer::zeros(layer.workspace());
        // What an earlier layer left must not matter.
        let mut packed = vec![9.0; layer.forward.weights()];
        layer.forward.pack(&weights, &mut packed);
        for level in SimdLevel::available() {
            let mut got = Buffer::zeros(slope.len());
            for rectify in [false, true] {
                let images = Images {
                    input: &input,
                    output: &mut got,
                    start: Start::BiasAndImage(&bias, &addend),
                    rectify,
                };
                layer.forward.run(level, &packed, images, &mut workspace);
                let expect = output.iter().map(|&value| if rectify { value.max(0.0) } else { value });
                let expect: Vec<f64> = expect.collect();
                assert_close(&got, &expect, "output");

                let mut got = vec![9.0; IMAGES * case.output.plain().length()];
                let images = Images {
                    input: &input,
                    output: &mut got,
                    start: Start::BiasAndImage(&bias, &plain(case.output, &addend)),
                    rectify,
                };
                layer.forward_plain.run(level, &packed, images, &mut workspace);
                assert_close(&got, &plain(case.output, &expect), "plain output");
            }

            let all = case.output.depth / LANES;
            let mut got = vec![9.0; weights.len()];
            for blocks in [0..1, 1..all].into_iter().filter(|blocks| !blocks.is_empty()) {
                let mut gradient = Buffer::zeros(layer.gradient_length(&blocks));
                let of = WeightGradientOf {
                    input: &input,
                    output_gradient: &slope,
                    blocks: blocks.clone(),
                    gradient: &mut gradient,
                };
                layer.add_weight_gradient(level, of, &mut workspace);
                let weights = &mut got[layer.weights_of(&blocks)];
                layer.unpack_sum(&blocks, [&gradient[..]].into_iter(), weights);
            }
            assert_close(&got, &weight_slope, "weight gradient");

            if let Some(backward) = &layer.backward {
                let mut packed = vec![9.0; backward.weights()];
                backward.pack(&weights, &mut packed);
                let mut got = vec![9.0; input_slope.len()];
                for (start, factor) in [(Start::Zero, 1.0), (Start::Output, 2.0)] {
                    let images = Images {
                        input: &slope,
                        output: &mut got,
                        start,
                        rectify: false,
                    };
                    backward.run(level, &packed, images, &mut workspace);
                    let expect: Vec<f64> = input_slope.iter().map(|value| factor * value).collect();
                    assert_close(&got, &expect, "input gradient");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 48 }, failure_persistence: None, ..Default::default() })]

        #[test]
        fn layers_of_blocks_equal_the_definition(
            size in (1..SIDE_END.min(12), 1..SIDE_END.min(12)),
            channels in (1..CHANNELS_END, 1..CHANNELS_END),
            kernel in prop::sample::select(vec![1_usize, 3]),
            stride in 1..3_usize,
        ) {
            check(&Case::new(size, channels, kernel, stride, true));
        }

        #[test]
        fn stems_equal_the_definition(
            size in (1..SIDE_END, 1..SIDE_END),
            channels in (1..6_usize, 1..CHANNELS_END),
            (kernel, stride) in prop::sample::select(vec![(3_usize, 1_usize), (7, 4)]),
        ) {
            check(&Case::new(size, channels, kernel, stride, false));
        }
    }

    #[test]
    fn the_smallest_layer_of_even_sides_equals_the_definition() {
        check(&Case::new((2, 2), (1, 3), 3, 1, true));
    }

    #[test]
    #[cfg_attr(miri, ignore = "too large for an interpreter")]
    fn wide_layers_equal_the_definition() {
        // By transformed tiles, in more than one band and with a rest.
        check(&Case::new((4, 2), (3, 17), 3, 1, true));
        check(&Case::new((2, 2), (33, 34), 3, 1, true));
        check(&Case::new((14, 10), (40, 32), 3, 1, true));
        // Bands, tiles and pairs of blocks all repeat.
        check(&Case::new((19, 33), (33, 49), 3, 1, true));
        check(&Case::new((40, 5), (64, 16), 3, 2, true));
    }
}
