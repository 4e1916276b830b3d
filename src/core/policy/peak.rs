//! The fading peak: half of it is forgotten in each half-life.

use super::demand::Demand;

/// `2^(-1/2), 2^(-1/4), 2^(-1/8), …` in units of 2^-64.
const ROOTS: [u64; 64] = {
    let mut roots = [0; 64];
    let mut root = 1_u128 << 63;
    let mut i = 0;
    while i < 64 {
        root = (root << 64).isqrt();
        roots[i] = root as u64;
        i += 1;
    }
    roots
};

/// How much of a peak is left after one period, in units of 2^-64.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fade(u64);

impl Fade {
    /// `2^(-period/half_life)`, rounded down.
    pub(super) fn new(period_seconds: u64, half_life_seconds: u64) -> Self {
        let half_life = half_life_seconds.max(1);
        let halvings = (u128::from(period_seconds % half_life) << 64) / u128::from(half_life);
        let left = (0..64)
            .filter(|i| halvings >> (63 - i) & 1 == 1)
            .fold(1_u128 << 64, |left, i| {
                ((left >> 1) * u128::from(ROOTS[i])) >> 63
            });
        let whole = u32::try_from(period_seconds / half_life).unwrap_or(u32::MAX);
        let left = left.checked_shr(whole).unwrap_or(0);
        Self(u64::try_from(left).unwrap_or(u64::MAX))
    }
}

/// A peak in units of 2^-64 of [`Demand`]'s.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peak {
    value: u128,
    /// The demand that it faded from, and the index of its period.
    pub(super) source: Demand,
    pub(super) index: usize,
}

impl Peak {
    pub(super) fn faded(self, Fade(left): Fade) -> Self {
        let (high, low) = (self.value >> 64, self.value & u128::from(u64::MAX));
        let value = high * u128::from(left) + ((low * u128::from(left)) >> 64);
        Self { value, ..self }
    }

    pub(super) fn max(self, source: Demand, index: usize) -> Self {
        let value = u128::from(source.0) << 64;
        if value >= self.value {
            return Self {
                value,
                source,
                index,
            };
        }
        self
    }

    /// Rounded up.
    pub(super) fn demand(self) -> Demand {
        let units = (self.value >> 64) + u128::from(self.value & u128::from(u64::MAX) != 0);
        Demand(u64::try_from(units).unwrap_or(u64::MAX))
    }
}
