//! NEON: the vector is four registers, of thirty-two.

use std::arch::aarch64::*;

use super::{Kernel, Lanes, Simd};

/// Proof that the processor has NEON.
#[derive(Clone, Copy)]
pub(super) struct Neon(());

impl Neon {
    pub(super) fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }

    #[inline(always)]
    pub(super) fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "neon")]
        fn compiled<K: Kernel>(simd: Neon, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: `self` proves that the processor has NEON.
        unsafe { compiled(self, kernel) }
    }
}

type Quarters = [float32x4_t; 4];

/// Applies an intrinsic to each quarter of its operands.
macro_rules! quarters {
    ($operation:expr, $($operand:expr),+) => {{
        // SAFETY: the token in the caller's hands proves NEON.
        unsafe {
            [
                $operation($($operand[0]),+),
                $operation($($operand[1]),+),
                $operation($($operand[2]),+),
                $operation($($operand[3]),+),
            ]
        }
    }};
}

impl Simd for Neon {
    type Vector = Quarters;
    const TILE: usize = 5;
    const BLOCKS: usize = 1;

    #[inline(always)]
    fn splat(self, value: f32) -> Quarters {
        // SAFETY: `self` proves that the processor has NEON.
        unsafe { [vdupq_n_f32(value); 4] }
    }

    #[inline(always)]
    fn load(self, from: &Lanes) -> Quarters {
        let from = from.as_ptr();
        // SAFETY: as in `splat`; the reference covers sixteen floats.
        unsafe {
            [
                vld1q_f32(from),
                vld1q_f32(from.add(4)),
                vld1q_f32(from.add(8)),
                vld1q_f32(from.add(12)),
            ]
        }
    }

    #[inline(always)]
    fn store(self, vector: Quarters, to: &mut Lanes) {
        let to = to.as_mut_ptr();
        // SAFETY: as in `splat`; the reference covers sixteen floats.
        unsafe {
            vst1q_f32(to, vector[0]);
            vst1q_f32(to.add(4), vector[1]);
            vst1q_f32(to.add(8), vector[2]);
            vst1q_f32(to.add(12), vector[3]);
        }
    }

    #[inline(always)]
    fn add(self, left: Quarters, right: Quarters) -> Quarters {
        quarters!(vaddq_f32, left, right)
    }

    #[inline(always)]
    fn sub(self, left: Quarters, right: Quarters) -> Quarters {
        quarters!(vsubq_f32, left, right)
    }

    #[inline(always)]
    fn mul(self, left: Quarters, right: Quarters) -> Quarters {
        quarters!(vmulq_f32, left, right)
    }

    #[inline(always)]
    fn max(self, left: Quarters, right: Quarters) -> Quarters {
        quarters!(vmaxq_f32, left, right)
    }

    #[inline(always)]
    fn mul_add(self, left: Quarters, right: Quarters, addend: Quarters) -> Quarters {
        quarters!(vfmaq_f32, addend, left, right)
    }

    #[inline(always)]
    fn where_positive(self, value: Quarters, gate: Quarters) -> Quarters {
        let positive = quarters!(vcgtzq_f32, gate);
        let bits = quarters!(vreinterpretq_u32_f32, value);
        let kept = quarters!(vandq_u32, bits, positive);
        quarters!(vreinterpretq_f32_u32, kept)
    }
}
