//! The arithmetic, each kernel written once for every [`crate::simd::Simd`].
//!
//! All work on one image at a time and check the extents of their operands
//! before they start.

pub(crate) mod convolve;
pub(crate) mod dense;
pub(crate) mod norm;
pub(crate) mod pool;
mod rows;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod weight_gradient;
