//! Arrays, for any processor; the compiler makes of them what it can.

use super::{LANES, Lanes, Simd};

#[derive(Clone, Copy)]
pub(super) struct Portable;

#[inline(always)]
fn lanewise(left: Lanes, right: Lanes, operation: impl Fn(f32, f32) -> f32) -> Lanes {
    let mut result = [0.0; LANES];
    for lane in 0..LANES {
        result[lane] = operation(left[lane], right[lane]);
    }
    result
}

impl Simd for Portable {
    type Vector = Lanes;
    const TILE: usize = 2;
    const BLOCKS: usize = 1;

    #[inline(always)]
    fn splat(self, value: f32) -> Lanes {
        [value; LANES]
    }

    #[inline(always)]
    fn load(self, from: &Lanes) -> Lanes {
        *from
    }

    #[inline(always)]
    fn store(self, vector: Lanes, to: &mut Lanes) {
        *to = vector;
    }

    #[inline(always)]
    fn add(self, left: Lanes, right: Lanes) -> Lanes {
        lanewise(left, right, |left, right| left + right)
    }

    #[inline(always)]
    fn sub(self, left: Lanes, right: Lanes) -> Lanes {
        lanewise(left, right, |left, right| left - right)
    }

    #[inline(always)]
    fn mul(self, left: Lanes, right: Lanes) -> Lanes {
        lanewise(left, right, |left, right| left * right)
    }

    #[inline(always)]
    fn max(self, left: Lanes, right: Lanes) -> Lanes {
        lanewise(left, right, |left, right| if left > right { left } else { right })
    }

    #[inline(always)]
    fn mul_add(self, left: Lanes, right: Lanes, addend: Lanes) -> Lanes {
        // Not `f32::mul_add`: without the instruction that is a library call.
        self.add(self.mul(left, right), addend)
    }

    #[inline(always)]
    fn where_positive(self, value: Lanes, gate: Lanes) -> Lanes {
        lanewise(value, gate, |value, gate| if gate > 0.0 { value } else { 0.0 })
    }
}
