//! AVX-512: the vector is one register, of thirty-two.

use std::arch::x86_64::*;

use super::{Kernel, Lanes, Simd};

/// Proof that the processor has AVX-512F.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Self(()))
    }

    #[inline(always)]
    pub(super) fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f")]
        fn compiled<K: Kernel>(simd: Avx512, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: `self` proves that the processor has AVX-512F.
        unsafe { compiled(self, kernel) }
    }
}

impl Simd for Avx512 {
    type Vector = __m512;
    const TILE: usize = 8;
    const BLOCKS: usize = 2;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: `self` proves that the processor has AVX-512F.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, from: &Lanes) -> __m512 {
        // SAFETY: as in `splat`; the reference covers sixteen floats.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, vector: __m512, to: &mut Lanes) {
        // SAFETY: as in `splat`; the reference covers sixteen floats.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn add(self, left: __m512, right: __m512) -> __m512 {
        // SAFETY: as in `splat`.
        unsafe { _mm512_add_ps(left, right) }
    }

    #[inline(always)]
    fn sub(self, left: __m512, right: __m512) -> __m512 {
        // SAFETY: as in `splat`.
        unsafe { _mm512_sub_ps(left, right) }
    }

    #[inline(always)]
    fn mul(self, left: __m512, right: __m512) -> __m512 {
        // SAFETY: as in `splat`.
        unsafe { _mm512_mul_ps(left, right) }
    }

    #[inline(always)]
    fn max(self, left: __m512, right: __m512) -> __m512 {
        // SAFETY: as in `splat`.
        unsafe { _mm512_max_ps(left, right) }
    }

    #[inline(always)]
    fn mul_add(self, left: __m512, right: __m512, addend: __m512) -> __m512 {
        // SAFETY: as in `splat`.
        unsafe { _mm512_fmadd_ps(left, right, addend) }
    }

    #[inline(always)]
    fn where_positive(self, value: __m512, gate: __m512) -> __m512 {
        // SAFETY: as in `splat`.
        unsafe {
            let positive = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(gate, _mm512_setzero_ps());
            _mm512_maskz_mov_ps(positive, value)
        }
    }
}
