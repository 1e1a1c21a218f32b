//! The transforms of Winograd's minimal filtering, F(2×2, 3×3).
//!
//! A 3×3 convolution of stride 1 makes a tile of 2×2 outputs from 4×4 inputs
//! with 36 multiplications. Transformed by matrices of 0, ±1 and ±½, inputs and
//! kernel need only be multiplied at each of 16 positions; over channels that
//! is 16 matrix products, which [`super::convolve`] and
//! [`super::weight_gradient`] compute. (Winograd, "Arithmetic Complexity of
//! Computations", 1980; Lavin and Gray, "Fast Algorithms for Convolutional
//! Neural Networks", 2015, whose matrices Bᵀ and Aᵀ these are.) Larger tiles
//! would save more and round worse; with these, results are as close to the
//! exact ones as those of the direct sum.

use std::ops::Range;

use super::convolve::{Start, lanes, lanes_mut};
use crate::buffer::Frame;
use crate::simd::{Kernel, LANES, Simd};

/// Products a tile.
pub(crate) const POSITIONS: usize = 16;

/// Tiles of 2×2 pixels over images of one frame, counted by image, row and
/// column.
#[derive(Clone, Copy, Debug)]
struct Grid(Frame);

impl Grid {
    /// Where the first pixel of `tile` starts.
    #[inline(always)]
    fn offset(self, tile: usize) -> usize {
        let Frame {
            width, depth, border, ..
        } = self.0;
        let per_image = self.0.pixels() / 4;
        let (image, tile) = (tile / per_image, tile % per_image);
        let (row, column) = (2 * (tile / (width / 2)) + border, 2 * (tile % (width / 2)) + border);
        image * self.0.length() + row * self.0.row_length() + column * depth
    }

    /// The assertions that make the unchecked accesses of the transforms sound:
    /// that the pixels of `tiles`, and `margin` more on every side, are among
    /// the `images` floats after the first `skip`, and that there are as many
    /// `transformed` ones as the tiles need.
    fn check(self, tiles: &Range<usize>, margin: usize, (skip, images): (usize, usize), transformed: usize) {
        let frame = self.0;
        assert!(frame.height.is_multiple_of(2) && frame.width.is_multiple_of(2) && frame.pixels() > 0);
        assert!(frame.border >= margin && frame.depth.is_multiple_of(LANES), "{frame:?}");
        assert_eq!(transformed, POSITIONS * tiles.len() * frame.depth, "{tiles:?}");
        if !tiles.is_empty() {
            // Offsets rise with the tiles.
            let start = self.offset(tiles.start) - margin * (frame.row_length() + frame.depth);
            let end = self.offset(tiles.end - 1) + (1 + margin) * frame.row_length() + (2 + margin) * frame.depth;
            assert!(skip <= start && end <= skip + images, "{tiles:?} of {frame:?}");
        }
    }
}

/// `Bᵀ d B` of the 4×4 inputs around each tile: `[position][tile][channel]`.
pub(crate) struct TransformInput<'a> {
    pub(crate) frame: Frame,
    /// Whole images, with their borders.
    pub(crate) input: &'a [f32],
    pub(crate) tiles: Range<usize>,
    pub(crate) output: &'a mut [f32],
}

impl Kernel for TransformInput<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self {
            frame, input, tiles, ..
        } = self;
        let grid = Grid(frame);
        grid.check(&tiles, 1, (0, input.len()), self.output.len());
        let step = tiles.len() * frame.depth;
        let mut to = self.output.as_mut_ptr();
        for tile in tiles {
            // The tile's first input is one row and one pixel before it.
            let from = grid.offset(tile) - frame.row_length() - frame.depth;
            for block in 0..frame.depth / LANES {
                // SAFETY: `check` found the tile in the images and the border
                // wide enough for the pixels around it, and the output long
                // enough for all positions of all tiles.
                unsafe {
                    let from = input.as_ptr().add(from + block * LANES);
                    let mut pixels = [[simd.splat(0.0); 4]; 4];
                    for (row, pixels) in pixels.iter_mut().enumerate() {
                        for (column, pixel) in pixels.iter_mut().enumerate() {
                            *pixel = simd.load(lanes(from.add(row * frame.row_length() + column * frame.depth)));
                        }
                    }
                    let mut columns = pixels;
                    for column in 0..4 {
                        let [a, b, c, d] = pixels;
                        let line = input_line(simd, [a[column], b[column], c[column], d[column]]);
                        for (row, value) in line.into_iter().enumerate() {
                            columns[row][column] = value;
                        }
                    }
                    for (row, line) in columns.into_iter().enumerate() {
                        for (column, value) in input_line(simd, line).into_iter().enumerate() {
                            simd.store(value, lanes_mut(to.add((4 * row + column) * step)));
                        }
                    }
                    to = to.add(LANES);
                }
            }
        }
    }
}

/// Bᵀ on one line.
#[inline(always)]
fn input_line<S: Simd>(simd: S, [a, b, c, d]: [S::Vector; 4]) -> [S::Vector; 4] {
    [simd.sub(a, c), simd.add(b, c), simd.sub(c, b), simd.sub(b, d)]
}

/// `A g Aᵀ` of the 2×2 gradients of each tile, the transpose of
/// [`TransformOutput`]: `[position][tile][channel]`.
pub(crate) struct TransformGradient<'a> {
    pub(crate) frame: Frame,
    /// Whole images, with their borders.
    pub(crate) gradient: &'a [f32],
    pub(crate) tiles: Range<usize>,
    pub(crate) output: &'a mut [f32],
}

impl Kernel for TransformGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self {
            frame, gradient, tiles, ..
        } = self;
        let grid = Grid(frame);
        grid.check(&tiles, 0, (0, gradient.len()), self.output.len());
        let step = tiles.len() * frame.depth;
        let mut to = self.output.as_mut_ptr();
        for tile in tiles {
            let from = grid.offset(tile);
            for block in 0..frame.depth / LANES {
                // SAFETY: `check` found the tile in the images, and the output
                // long enough for all positions of all tiles.
                unsafe {
                    let from = gradient.as_ptr().add(from + block * LANES);
                    let below = from.add(frame.row_length());
                    let left = [simd.load(lanes(from)), simd.load(lanes(below))];
                    let (from, below) = (from.add(frame.depth), below.add(frame.depth));
                    let right = [simd.load(lanes(from)), simd.load(lanes(below))];
                    let (left, right) = (gradient_line(simd, left), gradient_line(simd, right));
                    for row in 0..4 {
                        let line = gradient_line(simd, [left[row], right[row]]);
                        for (column, value) in line.into_iter().enumerate() {
                            simd.store(value, lanes_mut(to.add((4 * row + column) * step)));
                        }
                    }
                    to = to.add(LANES);
                }
            }
        }
    }
}

/// A on one line.
#[inline(always)]
fn gradient_line<S: Simd>(simd: S, [a, b]: [S::Vector; 2]) -> [S::Vector; 4] {
    [a, simd.add(a, b), simd.sub(a, b), simd.sub(simd.splat(0.0), b)]
}

/// `output = start + Aᵀ m A` of the products of each tile, cut off at zero if
/// `rectify`.
pub(crate) struct TransformOutput<'a> {
    pub(crate) frame: Frame,
    /// `[position][tile][channel]`.
    pub(crate) products: &'a [f32],
    pub(crate) tiles: Range<usize>,
    pub(crate) start: Start<'a>,
    pub(crate) rectify: bool,
    /// Whole images with their borders, but for the first `skip` floats and
    /// what follows the tiles.
    pub(crate) output: &'a mut [f32],
    pub(crate) skip: usize,
}

impl Kernel for TransformOutput<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let frame = self.frame;
        let grid = Grid(frame);
        grid.check(&self.tiles, 0, (self.skip, self.output.len()), self.products.len());
        let length = self.output.len();
        let output = self.output.as_mut_ptr();
        let (bias, addend) = self.start.operands(output, length, frame.depth);
        let step = self.tiles.len() * frame.depth;
        let mut from = self.products.as_ptr();
        for tile in self.tiles {
            let tile = grid.offset(tile) - self.skip;
            for block in 0..frame.depth / LANES {
                // SAFETY: `check` found the tile in the images and the products
                // long enough for all positions of all tiles, and `operands`
                // the bias as deep and the addend as long as the output.
                unsafe {
                    let [mut top, mut bottom] = [[simd.splat(0.0); 4]; 2];
                    for (column, (top, bottom)) in top.iter_mut().zip(&mut bottom).enumerate() {
                        let mut line = [simd.splat(0.0); 4];
                        for (row, value) in line.iter_mut().enumerate() {
                            *value = simd.load(lanes(from.add((4 * row + column) * step)));
                        }
                        [*top, *bottom] = output_line(simd, line);
                    }
                    from = from.add(LANES);
                    let bias = match bias {
                        Some(bias) => simd.load(lanes(bias.add(block * LANES))),
                        None => simd.splat(0.0),
                    };
                    for (row, line) in [top, bottom].into_iter().enumerate() {
                        for (column, value) in output_line(simd, line).into_iter().enumerate() {
                            let place = tile + row * frame.row_length() + column * frame.depth + block * LANES;
                            let mut value = simd.add(value, bias);
                            if let Some(addend) = addend {
                                value = simd.add(value, simd.load(lanes(addend.add(place))));
                            }
                            if self.rectify {
                                value = simd.max(value, simd.splat(0.0));
                            }
                            simd.store(value, lanes_mut(output.add(place)));
                        }
                    }
                }
            }
        }
    }
}

/// Aᵀ on one line.
#[inline(always)]
fn output_line<S: Simd>(simd: S, [a, b, c, d]: [S::Vector; 4]) -> [S::Vector; 2] {
    let (sum, difference) = (simd.add(b, c), simd.sub(b, c));
    [simd.add(a, sum), simd.sub(difference, d)]
}

/// `G w Gᵀ` of a 3×3 kernel, of sixteen kernels at once.
pub(crate) fn transform_kernel(taps: &[[f32; LANES]; 9]) -> [[f32; LANES]; POSITIONS] {
    let mut columns = [[0.0; LANES]; 12];
    let mut transformed = [[0.0; LANES]; POSITIONS];
    for lane in 0..LANES {
        for column in 0..3 {
            let line = kernel_line([taps[column][lane], taps[3 + column][lane], taps[6 + column][lane]]);
            for row in 0..4 {
                columns[3 * row + column][lane] = line[row];
            }
        }
        for row in 0..4 {
            let line = [0, 1, 2].map(|column| columns[3 * row + column][lane]);
            let line = kernel_line(line);
            for column in 0..4 {
                transformed[4 * row + column][lane] = line[column];
            }
        }
    }
    transformed
}

/// G on one line.
fn kernel_line([a, b, c]: [f32; 3]) -> [f32; 4] {
    let (ends, middle) = (0.5 * (a + c), 0.5 * b);
    [a, ends + middle, ends - middle, c]
}

/// `Gᵀ u G`, the transpose of [`transform_kernel`]: from the gradients of the
/// products' kernels, that of the kernels.
pub(crate) fn kernel_gradient(transformed: &[[f32; LANES]; POSITIONS]) -> [[f32; LANES]; 9] {
    let mut rows = [[0.0; LANES]; 12];
    let mut taps = [[0.0; LANES]; 9];
    for lane in 0..LANES {
        for column in 0..4 {
            let line = kernel_gradient_line([0, 1, 2, 3].map(|row| transformed[4 * row + column][lane]));
            for row in 0..3 {
                rows[4 * row + column][lane] = line[row];
            }
        }
        for row in 0..3 {
            let line = kernel_gradient_line([0, 1, 2, 3].map(|column| rows[4 * row + column][lane]));
            for column in 0..3 {
                taps[3 * row + column][lane] = line[column];
            }
        }
    }
    taps
}

/// Gᵀ on one line.
fn kernel_gradient_line([a, b, c, d]: [f32; 4]) -> [f32; 3] {
    let (sum, difference) = (0.5 * (b + c), 0.5 * (b - c));
    [a + sum, difference, sum + d]
}
