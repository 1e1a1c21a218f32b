//! What the tests of the kernels share.

use proptest::prelude::*;

use crate::buffer::{Buffer, Frame};
use crate::simd::LANES;

/// Small frames of whole vectors.
pub(crate) fn any_frame() -> impl Strategy<Value = Frame> {
    (1..9_usize, 1..12_usize, 1..4_usize, 0..3_usize).prop_map(|(height, width, blocks, border)| Frame {
        height,
        width,
        depth: blocks * LANES,
        border,
    })
}

/// `mean` and noise from −1 to 1 inside `frame`, in all channels.
pub(crate) fn image(frame: Frame, seed: usize, mean: f32) -> Buffer {
    let mut buffer = Buffer::zeros(frame.length());
    for row in 0..frame.height {
        for index in frame.row(row) {
            buffer[index] = mean + noise(seed * 1000 + index);
        }
    }
    buffer
}

/// A number from −1 to 1 for each index.
pub(crate) fn noise(index: usize) -> f32 {
    (index as f32 * 12.9898).sin() * 43.7585 % 1.0
}

/// A number for each channel.
pub(crate) fn coefficients(depth: usize, seed: usize) -> Buffer {
    let mut buffer = Buffer::zeros(depth);
    for (index, value) in buffer.iter_mut().enumerate() {
        *value = ((index + seed * 100) as f32).cos();
    }
    buffer
}

/// Calls `visit(index, channel)` for each float inside the border.
pub(crate) fn each(frame: Frame, mut visit: impl FnMut(usize, usize)) {
    for row in 0..frame.height {
        for (position, index) in frame.row(row).enumerate() {
            visit(index, position % frame.depth);
        }
    }
}

/// Calls `visit(index, index without the border, channel)` likewise.
pub(crate) fn each_of_both(frame: Frame, mut visit: impl FnMut(usize, usize, usize)) {
    let mut plain = 0;
    each(frame, |index, channel| {
        visit(index, plain, channel);
        plain += 1;
    });
}

/// Single precision against double, where the numbers are about 1 or larger.
pub(crate) fn assert_close(got: &[f32], expect: &[f64], what: &str) {
    assert_eq!(got.len(), expect.len(), "{what}");
    for (index, (got, expect)) in got.iter().zip(expect).enumerate() {
        let close = (f64::from(*got) - expect).abs() < 1e-4 * (1.0 + expect.abs());
        assert!(close, "{what}[{index}] is {got}, not {expect}");
    }
}
