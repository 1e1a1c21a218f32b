//! One vector type of sixteen floats, four ways to hold it.
//!
//! Every kernel is written once against [`Simd`]. A type that implements it is
//! a token: a value of it exists only where the processor has the
//! instructions, so its methods are safe to call. [`SimdLevel::run`] enters a
//! function compiled for those instructions, into which the whole kernel is
//! inlined; for that, everything between `run` and the innermost loop is
//! `#[inline(always)]`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

use std::fmt;

/// Floats in a vector, at every level. Activations are stored with their
/// channels padded to a multiple of this, so no kernel has a channel tail.
pub(crate) const LANES: usize = 16;

/// A vector's worth of memory.
pub(crate) type Lanes = [f32; LANES];

/// Arithmetic on sixteen floats at once.
pub(crate) trait Simd: Copy + Send + Sync {
    /// Sixteen floats in registers.
    type Vector: Copy;

    /// Accumulators along one side of a register tile: output pixels in a
    /// convolution, taps in its weight gradient.
    const TILE: usize;

    /// Accumulators along the other side: blocks of sixteen output channels.
    /// `TILE * BLOCKS` accumulators, `BLOCKS` operands and one broadcast must
    /// fit in the register file.
    const BLOCKS: usize;

    fn splat(self, value: f32) -> Self::Vector;
    fn load(self, from: &Lanes) -> Self::Vector;
    fn store(self, vector: Self::Vector, to: &mut Lanes);
    fn add(self, left: Self::Vector, right: Self::Vector) -> Self::Vector;
    fn sub(self, left: Self::Vector, right: Self::Vector) -> Self::Vector;
    fn mul(self, left: Self::Vector, right: Self::Vector) -> Self::Vector;
    fn max(self, left: Self::Vector, right: Self::Vector) -> Self::Vector;

    /// `left * right + addend`, with one rounding where the hardware fuses.
    fn mul_add(self, left: Self::Vector, right: Self::Vector, addend: Self::Vector) -> Self::Vector;

    /// `value` in the lanes where `gate` is above zero, zero elsewhere.
    fn where_positive(self, value: Self::Vector, gate: Self::Vector) -> Self::Vector;

    /// The sum of the lanes, added in pairs.
    #[inline(always)]
    fn sum(self, vector: Self::Vector) -> f32 {
        let mut lanes = [0.0; LANES];
        self.store(vector, &mut lanes);
        let mut width = LANES / 2;
        while width > 0 {
            for lane in 0..width {
                lanes[lane] += lanes[lane + width];
            }
            width /= 2;
        }
        lanes[0]
    }
}

/// Work that can be done at any level. `run` must be `#[inline(always)]`.
pub(crate) trait Kernel {
    type Output;
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// A set of vector instructions that this processor has.
///
/// Values come only from [`SimdLevel::detect`] and [`SimdLevel::available`].
#[derive(Clone, Copy)]
pub struct SimdLevel(Token);

#[derive(Clone, Copy)]
enum Token {
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon),
    Portable(portable::Portable),
}

impl SimdLevel {
    /// The widest level of this processor.
    pub fn detect() -> Self {
        Self::available()[0]
    }

    /// Every level of this processor, widest first; the last is portable code.
    pub fn available() -> Vec<Self> {
        let mut levels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            levels.extend(avx512::Avx512::detect().map(Token::Avx512));
            levels.extend(avx2::Avx2::detect().map(Token::Avx2));
        }
        #[cfg(target_arch = "aarch64")]
        levels.extend(neon::Neon::detect().map(Token::Neon));
        levels.push(Token::Portable(portable::Portable));
        levels.into_iter().map(Self).collect()
    }

    /// `"AVX-512"`, `"AVX2"`, `"NEON"` or `"portable"`.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(_) => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(_) => "AVX2",
            #[cfg(target_arch = "aarch64")]
            Token::Neon(_) => "NEON",
            Token::Portable(_) => "portable",
        }
    }

    /// Runs `kernel` compiled for this level.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(simd) => simd.enter(kernel),
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(simd) => simd.enter(kernel),
            #[cfg(target_arch = "aarch64")]
            Token::Neon(simd) => simd.enter(kernel),
            Token::Portable(simd) => kernel.run(simd),
        }
    }
}

impl fmt::Debug for SimdLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation of the trait on two vectors, one after the other.
    struct Operations(Lanes, Lanes);

    impl Kernel for Operations {
        type Output = (Vec<Lanes>, f32);

        #[inline(always)]
        fn run<S: Simd>(self, simd: S) -> Self::Output {
            let (left, right) = (simd.load(&self.0), simd.load(&self.1));
            let results = [
                simd.add(left, right),
                simd.sub(left, right),
                simd.mul(left, right),
                simd.max(left, right),
                simd.mul_add(left, right, left),
                simd.where_positive(left, right),
                simd.splat(self.0[3]),
            ];
            let mut stored = vec![[0.0; LANES]; results.len()];
            for (vector, to) in results.into_iter().zip(&mut stored) {
                simd.store(vector, to);
            }
            (stored, simd.sum(left))
        }
    }

    #[test]
    fn every_level_computes_what_scalars_do() {
        let left: Lanes = std::array::from_fn(|lane| lane as f32 - 7.5);
        let right: Lanes = std::array::from_fn(|lane| 2.0 - 0.25 * lane as f32);
        let lanes = |operation: fn(f32, f32) -> f32| -> Lanes {
            std::array::from_fn(|lane| operation(left[lane], right[lane]))
        };
        let expect = vec![
            lanes(|l, r| l + r),
            lanes(|l, r| l - r),
            lanes(|l, r| l * r),
            lanes(f32::max),
            lanes(|l, r| l * r + l),
            lanes(|l, r| if r > 0.0 { l } else { 0.0 }),
            [left[3]; LANES],
        ];
        for level in SimdLevel::available() {
            let got = level.run(Operations(left, right));
            assert_eq!(got, (expect.clone(), 0.0), "{level:?}");
        }
    }
}
