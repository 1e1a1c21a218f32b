//! The arithmetic, each kernel written once for every [`crate::simd::Simd`].
//!
//! Convolutions work on some images, the others on one; all check the extents of
//! their operands before they start.

pub(crate) mod convolve;
pub(crate) mod dense;
pub(crate) mod norm;
pub(crate) mod pool;
mod rows;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod weight_gradient;
pub(crate) mod winograd;
