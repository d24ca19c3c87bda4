//! Random numbers that are the same on every machine and in every version.
//!
//! SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): one add and three
//! multiply-xor steps per number, seeded from any 64 bits. Each unit of the sample data (an hour of events, a profile)
//! has its own generator, seeded by its identity, so that files can be written in parallel and split anywhere.
//!
//! Not for: anything that must not be guessed.

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A prime above every count that [`scatter`] takes, and not close to a multiple of a round one.
const SCATTER_PRIME: u64 = (1 << 31) - 1;

/// The largest count that [`scatter`] takes.
pub(super) const SCATTER_MAX: u64 = 1_000_000_000;

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream of the object that these numbers identify.
    pub(crate) fn of(seed: u64, names: &[u64]) -> Self {
        let scramble = |number: u64| mix(number.wrapping_add(GOLDEN));
        Self(names.iter().fold(scramble(seed), |state, name| mix(state ^ scramble(*name))))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A whole number in `0..n`, all equally likely; 0 when `n` is 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A whole number in `0..n` where small ones are likelier: the density of `r` falls as `r^(1/power - 1)`, and 0
    /// alone has a share of `n^(-1/power)`.
    pub(super) fn skewed(&mut self, n: u64, power: i32) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        ((n as f64 * unit.powi(power)) as u64).min(n.saturating_sub(1))
    }
}

/// Spreads the ranks `0..n` over `0..n`, one to one, so that popular ones are not adjacent.
/// Rank 0 stays at 0. `n` is 1 to [`SCATTER_MAX`].
pub(super) fn scatter(rank: u64, n: u64) -> u64 {
    (rank * SCATTER_PRIME) % n
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        // The first numbers of the published generator from seed 1234567.
        let mut random = Random(1_234_567);
        let numbers: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(numbers, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn scattering_is_a_permutation_of_the_ranks() {
        for n in [1, 2, 10, 1_000, 20_000, 99_991] {
            let places: HashSet<u64> = (0..n).map(|rank| scatter(rank, n)).collect();
            assert_eq!(places.len() as u64, n);
            assert!(places.iter().all(|place| *place < n));
        }
        assert!(scatter(SCATTER_MAX - 1, SCATTER_MAX) < SCATTER_MAX);
    }

    #[test]
    fn numbers_stay_in_range_and_skew_favours_the_first() {
        let mut random = Random::of(7, &[1, 2]);
        let mut first = 0;
        for _ in 0..100_000 {
            assert!(random.below(10) < 10);
            let rank = random.skewed(10_000, 2);
            assert!(rank < 10_000);
            first += u64::from(rank < 100);
        }
        // A hundredth of the ranks gets a tenth of the draws: its square root.
        assert!((9_000..11_000).contains(&first), "{first}");
    }
}
