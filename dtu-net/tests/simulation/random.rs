//! Random numbers that are the same for the same seed on every machine.

/// SplitMix64 (Steele, Lea and Flood, 2014): one addition and a mix.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `most`, both included.
    pub(crate) const fn up_to(&mut self, most: u64) -> u64 {
        if most == u64::MAX { self.next() } else { self.next() % (most + 1) }
    }

    /// From `least` to `most`, both included.
    pub(crate) const fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.up_to(most - least)
    }

    pub(crate) fn size(&mut self, most: usize) -> usize {
        usize::try_from(self.up_to(most as u64)).expect("not above a usize")
    }

    /// True so many times in a thousand.
    pub(crate) const fn permille(&mut self, chance: u64) -> bool {
        self.up_to(999) < chance
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.size(from.len() - 1)]
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.next().to_be_bytes());
        }
        bytes.truncate(count);
        bytes
    }

    /// A random number that is not 0, as a stream has to be.
    pub(crate) fn stream(&mut self) -> u64 {
        self.next().max(1)
    }
}
