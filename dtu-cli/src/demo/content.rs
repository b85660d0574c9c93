//! What the demo sends: the seed, the device, the direction and the number of a frame decide its body.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// The bytes of the number at the front of each body, big-endian.
const NUMBER_LEN: usize = size_of::<u32>();

/// The longest body, in bytes.
const MAX_BODY: usize = 256;

/// Which way DATA goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From the device to the server.
    Up,
    Down,
}

/// The DATA of one device in one direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Content {
    pub(super) seed: u64,
    pub(super) device: u32,
    pub(super) way: Way,
}

impl Content {
    /// The body of frame `number`, of 4 to 256 bytes.
    pub(super) fn body(&self, number: u32) -> Vec<u8> {
        let mut key = [0; 32];
        let way = match self.way {
            Way::Up => 0_u8,
            Way::Down => 1,
        };
        let parts = self.seed.to_le_bytes().into_iter().chain(self.device.to_le_bytes()).chain(number.to_le_bytes());
        // The rest of the key is a constant, so that no seed makes it all zero.
        for (to, from) in key.iter_mut().zip(parts.chain([way]).chain(*b"dtu demo bodies")) {
            *to = from;
        }
        let mut generator = Xoshiro256PlusPlus::from_seed(key);
        // Keys that differ in few bits have similar first outputs.
        generator.jump();
        let choices = u64::try_from(MAX_BODY - NUMBER_LEN + 1).unwrap_or(u64::MAX);
        let length = usize::try_from(generator.next_u64() % choices).unwrap_or(0);
        let mut body = number.to_be_bytes().to_vec();
        body.resize(NUMBER_LEN + length, 0);
        if let Some(rest) = body.get_mut(NUMBER_LEN..) {
            generator.fill_bytes(rest);
        }
        body
    }

    /// The number of a body that is of this content, bit by bit.
    pub(super) fn number_of(&self, body: &[u8]) -> Option<u32> {
        let number = u32::from_be_bytes(*body.first_chunk()?);
        (self.body(number) == body).then_some(number)
    }
}

/// The id under which a device registers.
pub(super) fn device_id(number: u32) -> String {
    format!("demo-{number}")
}

/// The number in such an id.
pub(super) fn device_number(id: &str) -> Option<u32> {
    id.strip_prefix("demo-")?.parse().ok()
}

/// FNV-1a, 64 bits: enough to see that two runs did the same, and the same on every machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Digest(pub(super) u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Digest {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: Content = Content { seed: 7, device: 3, way: Way::Up };

    #[test]
    fn a_body_is_known_by_its_number_and_by_every_bit() {
        for number in [0, 1, 200, u32::MAX] {
            let mut body = CONTENT.body(number);
            assert!((NUMBER_LEN..=MAX_BODY).contains(&body.len()));
            assert_eq!(CONTENT.number_of(&body), Some(number));
            for bit in 0..body.len() * 8 {
                body[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(CONTENT.number_of(&body), None, "number {number}, bit {bit}");
                body[bit / 8] ^= 1 << (bit % 8);
            }
        }
        assert_eq!(CONTENT.number_of(&[0; 3]), None);
    }

    #[test]
    fn another_seed_device_or_direction_has_other_bodies() {
        let body = (0..4).flat_map(|number| CONTENT.body(number)).collect::<Vec<_>>();
        for other in
            [Content { seed: 8, ..CONTENT }, Content { device: 4, ..CONTENT }, Content { way: Way::Down, ..CONTENT }]
        {
            assert_ne!((0..4).flat_map(|number| other.body(number)).collect::<Vec<_>>(), body, "{other:?}");
        }
    }
}
