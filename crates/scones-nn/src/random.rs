//! Numbers drawn from a seed, for the first weights.

/// Normally distributed numbers of mean 0.
pub(crate) struct Normal {
    state: u64,
    spare: Option<f64>,
}

impl Normal {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: seed,
            spare: None,
        }
    }

    /// One number of the given standard deviation, by Marsaglia's polar
    /// method, which makes two at a time.
    pub(crate) fn draw(&mut self, deviation: f64) -> f32 {
        if let Some(spare) = self.spare.take() {
            return (spare * deviation) as f32;
        }
        loop {
            let (x, y) = (self.uniform(), self.uniform());
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.spare = Some(y * factor);
                return (x * factor * deviation) as f32;
            }
        }
    }

    /// A number from −1 to 1, of 53 random bits.
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }

    /// SplitMix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
    /// Generators", 2014.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_moments_of_a_normal() {
        let mut normal = Normal::new(7);
        let draws: Vec<f64> = (0..100_000).map(|_| f64::from(normal.draw(2.0))).collect();
        let moment = |power: i32| draws.iter().map(|draw| (draw / 2.0).powi(power)).sum::<f64>() / draws.len() as f64;
        for (power, expect) in [(1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)] {
            assert!((moment(power) - expect).abs() < 0.1, "{power}: {}", moment(power));
        }
    }
}
