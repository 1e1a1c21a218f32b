//! Random numbers that a seed decides.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::atomic::{AtomicU64, Ordering},
};

/// A stream of numbers, each drawn by one request. The same seed and name give the same stream.
#[derive(Debug)]
pub(crate) struct Draws {
    start: u64,
    drawn: AtomicU64,
}

impl Draws {
    pub fn new(seed: u64, name: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (seed, name).hash(&mut hasher);
        Self {
            start: hasher.finish(),
            drawn: AtomicU64::new(0),
        }
    }

    /// The next number, from 0 to below 1: `SplitMix64` (Steele, Lea and Flood 2014, "Fast
    /// splittable pseudorandom number generators").
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub fn next(&self) -> f64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let number = self.drawn.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let mut bits = self.start.wrapping_add(number.wrapping_mul(STEP));
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_repeats_and_covers_the_interval() {
        let (one, same, other) = (Draws::new(1, "e"), Draws::new(1, "e"), Draws::new(2, "e"));
        let drawn: Vec<f64> = (0..1000).map(|_| one.next()).collect();
        assert!(drawn.iter().all(|number| (0.0..1.0).contains(number)));
        let mean = drawn.iter().sum::<f64>() / 1000.0;
        assert!((mean - 0.5).abs() < 0.05, "{mean}");
        assert!(drawn.iter().all(|&number| number == same.next()));
        assert!(drawn.iter().any(|&number| number != other.next()));
    }
}
