//! Where a weight of a layer is, seen from either pass.

use crate::architecture::ConvolutionShape;
use crate::simd::LANES;

/// How one pass sees the layer's `[output][input][row][column]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packing {
    /// Channels that the pass reads.
    pub(super) from: usize,
    /// Channels that it writes.
    pub(super) to: usize,
    /// Side of the kernel.
    pub(super) kernel: usize,
    from_step: usize,
    to_step: usize,
    /// Whether the kernel is met back to front.
    pub(super) turned: bool,
}

impl Packing {
    pub(super) fn forward(shape: &ConvolutionShape) -> Self {
        let area = shape.kernel * shape.kernel;
        Self {
            from: shape.inputs,
            to: shape.outputs,
            kernel: shape.kernel,
            from_step: area,
            to_step: shape.inputs * area,
            turned: false,
        }
    }

    /// From the outputs' channels to the inputs'.
    pub(super) fn backward(shape: &ConvolutionShape) -> Self {
        let Self { from_step, to_step, .. } = Self::forward(shape);
        Self {
            from: shape.outputs,
            to: shape.inputs,
            kernel: shape.kernel,
            from_step: to_step,
            to_step: from_step,
            turned: true,
        }
    }

    /// The same layer but for the channels written before `block`.
    pub(super) fn after(self, block: usize) -> Self {
        Self {
            to: self.to - block * LANES,
            ..self
        }
    }

    /// The channels of `block`, which has fewer than sixteen if it is the last.
    pub(super) fn lanes(&self, block: usize) -> usize {
        (self.to - block * LANES).min(LANES)
    }

    /// First tap of the kernel from channel `from` to `lane` of `block`.
    pub(super) fn kernel_start(&self, block: usize, lane: usize, from: usize) -> usize {
        (block * LANES + lane) * self.to_step + from * self.from_step
    }
}
