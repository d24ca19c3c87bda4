//! Reproducible random choices: everything follows from a seed.
//!
//! `CUTOVER_SEEDS=n` multiplies the number of seeds by n.
//!
//! Not for: property tests of one function, which use proptest.

/// The distance between the states of two consecutive seeds.
pub const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Random numbers from a seed (splitmix64).
pub struct Random(u64);

impl Random {
    /// The numbers of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 where there is none.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// The seeds to try: `in_test` of them, times what the environment asks for.
pub fn seeds(in_test: u64) -> std::ops::Range<u64> {
    let times =
        std::env::var("CUTOVER_SEEDS").ok().map_or(1, |times| times.parse().expect("CUTOVER_SEEDS is a number"));
    0..in_test * times
}
