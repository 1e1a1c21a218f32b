//! Memory of activations: aligned floats, the layout of one image, and a
//! batch of images.

use std::ops::{Deref, DerefMut, Range};

use crate::simd::{LANES, Lanes};

/// `channels` rounded up to whole vectors.
pub(crate) fn padded(channels: usize) -> usize {
    channels.next_multiple_of(LANES)
}

/// One cache line: a vector that never straddles two.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line(Lanes);

/// Floats that start on a cache line, zero at first.
#[derive(Clone)]
pub(crate) struct Buffer {
    lines: Vec<Line>,
    length: usize,
}

impl Buffer {
    pub(crate) fn zeros(length: usize) -> Self {
        Self {
            lines: vec![Line([0.0; LANES]); length.div_ceil(LANES)],
            length,
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `Line` is `repr(C)` over sixteen floats without padding (its
        // size equals its alignment), so the lines are contiguous floats, and
        // `length` is at most sixteen times their number.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.length) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`; the borrow of `self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.length) }
    }
}

/// How one image lies in memory: rows of pixels of channels, inside a border.
///
/// The border is zero and stays so (kernels write only inside), which makes it
/// the padding of the convolution that reads the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Floats a pixel.
    pub(crate) depth: usize,
    /// Pixels of zeros on each side.
    pub(crate) border: usize,
}

impl Frame {
    /// The same image without its border.
    pub(crate) fn plain(self) -> Self {
        Self { border: 0, ..self }
    }

    pub(crate) fn row_length(self) -> usize {
        (self.width + 2 * self.border) * self.depth
    }

    pub(crate) fn length(self) -> usize {
        (self.height + 2 * self.border) * self.row_length()
    }

    /// Where pixel (`row`, `column`) starts; −`border` is the first of each.
    pub(crate) fn offset(self, row: isize, column: isize) -> usize {
        let border = self.border as isize;
        assert!(row >= -border && column >= -border, "({row}, {column}) of {self:?}");
        (row + border) as usize * self.row_length() + (column + border) as usize * self.depth
    }

    /// Row `row` without its border.
    pub(crate) fn row(self, row: usize) -> Range<usize> {
        let start = (row + self.border) * self.row_length() + self.border * self.depth;
        start..start + self.width * self.depth
    }

    /// Some rows with the borders at their sides.
    pub(crate) fn rows(self, rows: &Range<usize>) -> Range<usize> {
        (rows.start + self.border) * self.row_length()..(rows.end + self.border) * self.row_length()
    }

    /// Pixels without the border.
    pub(crate) fn pixels(self) -> usize {
        self.height * self.width
    }
}

/// Images of one frame, one after the other.
#[derive(Clone)]
pub(crate) struct Batch {
    frame: Frame,
    data: Buffer,
}

impl Batch {
    pub(crate) fn zeros(frame: Frame, images: usize) -> Self {
        Self {
            frame,
            data: Buffer::zeros(images * frame.length()),
        }
    }

    pub(crate) fn image(&self, index: usize) -> &[f32] {
        let length = self.frame.length();
        &self.data[index * length..][..length]
    }

    /// Consecutive images.
    pub(crate) fn images(&self, indices: &Range<usize>) -> &[f32] {
        let length = self.frame.length();
        &self.data[indices.start * length..indices.end * length]
    }

    pub(crate) fn images_mut(&mut self, indices: &Range<usize>) -> &mut [f32] {
        let length = self.frame.length();
        &mut self.data[indices.start * length..indices.end * length]
    }

    pub(crate) fn image_mut(&mut self, index: usize) -> &mut [f32] {
        let length = self.frame.length();
        &mut self.data[index * length..][..length]
    }
}

/// Copies an image of `frame.height * frame.width * frame.depth` floats inside
/// the border of `to`.
pub(crate) fn place_image(frame: Frame, from: &[f32], to: &mut [f32]) {
    for (row, values) in from.chunks_exact(frame.width * frame.depth).enumerate() {
        to[frame.row(row)].copy_from_slice(values);
    }
}
