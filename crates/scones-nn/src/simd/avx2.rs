//! AVX2 with FMA: the vector is two registers, of sixteen.

use std::arch::x86_64::*;

use super::{Kernel, Lanes, Simd};

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }

    #[inline(always)]
    pub(super) fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma")]
        fn compiled<K: Kernel>(simd: Avx2, kernel: K) -> K::Output {
            kernel.run(simd)
        }
        // SAFETY: `self` proves that the processor has AVX2 and FMA.
        unsafe { compiled(self, kernel) }
    }
}

/// Applies a two-operand intrinsic to both halves.
macro_rules! halves {
    ($operation:expr, $left:expr, $right:expr) => {
        // SAFETY: the token in the caller's hands proves AVX2 and FMA.
        unsafe { [$operation($left[0], $right[0]), $operation($left[1], $right[1])] }
    };
}

impl Simd for Avx2 {
    type Vector = [__m256; 2];
    const TILE: usize = 6;
    const BLOCKS: usize = 1;

    #[inline(always)]
    fn splat(self, value: f32) -> [__m256; 2] {
        // SAFETY: `self` proves that the processor has AVX2 and FMA.
        unsafe { [_mm256_set1_ps(value); 2] }
    }

    #[inline(always)]
    fn load(self, from: &Lanes) -> [__m256; 2] {
        // SAFETY: as in `splat`; the reference covers sixteen floats.
        unsafe { [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))] }
    }

    #[inline(always)]
    fn store(self, vector: [__m256; 2], to: &mut Lanes) {
        // SAFETY: as in `splat`; the reference covers sixteen floats.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), vector[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), vector[1]);
        }
    }

    #[inline(always)]
    fn add(self, left: [__m256; 2], right: [__m256; 2]) -> [__m256; 2] {
        halves!(_mm256_add_ps, left, right)
    }

    #[inline(always)]
    fn sub(self, left: [__m256; 2], right: [__m256; 2]) -> [__m256; 2] {
        halves!(_mm256_sub_ps, left, right)
    }

    #[inline(always)]
    fn mul(self, left: [__m256; 2], right: [__m256; 2]) -> [__m256; 2] {
        halves!(_mm256_mul_ps, left, right)
    }

    #[inline(always)]
    fn max(self, left: [__m256; 2], right: [__m256; 2]) -> [__m256; 2] {
        halves!(_mm256_max_ps, left, right)
    }

    #[inline(always)]
    fn mul_add(self, left: [__m256; 2], right: [__m256; 2], addend: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: as in `splat`.
        unsafe {
            [
                _mm256_fmadd_ps(left[0], right[0], addend[0]),
                _mm256_fmadd_ps(left[1], right[1], addend[1]),
            ]
        }
    }

    #[inline(always)]
    fn where_positive(self, value: [__m256; 2], gate: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: as in `splat`.
        let zero = unsafe { [_mm256_setzero_ps(); 2] };
        let positive = halves!(_mm256_cmp_ps::<_CMP_GT_OQ>, gate, zero);
        halves!(_mm256_and_ps, value, positive)
    }
}
