//! The damager: does to the bytes of a frame what a bad line does, and knows exactly what it left whole.
//!
//! What happens to a frame is drawn from a generator of that frame alone, seeded by the run's seed, the device and the
//! frame's number. So it depends neither on timing nor on how many frames a run sends.

use dtu_proto::frame::{MAGIC, OVERHEAD};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

/// The longest body of a frame in the demo, in bytes.
const MAX_BODY: u32 = 512;

/// The longest run of garbage between two frames, in bytes.
const MAX_GARBAGE: u32 = 64;

/// The generator of one frame.
pub(super) struct Draw(Xoshiro256PlusPlus);

impl Draw {
    pub(super) fn new(seed: u64, device: u32, frame: u32) -> Self {
        let mut key = [0; 32];
        let parts = seed.to_le_bytes().into_iter().chain(device.to_le_bytes()).chain(frame.to_le_bytes());
        // The rest of the key is a constant, so that no seed makes it all zero.
        for (to, from) in key.iter_mut().zip(parts.chain(*b"dtu demo damage.")) {
            *to = from;
        }
        let mut generator = Xoshiro256PlusPlus::from_seed(key);
        // Keys that differ in few bits have similar first outputs.
        generator.jump();
        Self(generator)
    }

    /// A number below `bound`. The bias is under 2^-32 for any bound used here, and the same everywhere.
    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        usize::try_from(self.0.next_u64() % bound.max(1)).unwrap_or(0)
    }

    fn bytes(&mut self, count: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + count, 0);
        if let Some(fresh) = out.get_mut(start..) {
            self.0.fill_bytes(fresh);
        }
    }

    /// A body of 0 to [`MAX_BODY`] bytes: what the device of this draw sends in this frame.
    pub(super) fn body(&mut self, out: &mut Vec<u8>) {
        out.clear();
        let length = self.below(usize::try_from(MAX_BODY).unwrap_or(0) + 1);
        self.bytes(length, out);
    }
}

/// How often frames are damaged: so many of 2^32.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate(u64);

impl Rate {
    /// From a share between 0 and 1.
    pub(super) fn new(share: f64) -> Self {
        // 32 bits and one are exact in both types.
        Self((share.clamp(0.0, 1.0) * 4_294_967_296.0) as u64)
    }
}

/// What stands on the line in place of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged {
    /// Whether the frame stands there whole: all its bytes, in order and without a gap.
    pub(super) intact: bool,
    /// How many bytes stand there.
    pub(super) bytes: usize,
}

/// Appends `frame`, damaged or not, to `line`.
pub(super) fn damage(draw: &mut Draw, rate: Rate, frame: &[u8], line: &mut Vec<u8>) -> Damaged {
    let start = line.len();
    if (draw.0.next_u64() >> 32) >= rate.0 {
        line.extend_from_slice(frame);
        return Damaged { intact: true, bytes: frame.len() };
    }
    match draw.below(6) {
        0 => flip(draw, frame, line),
        1 => drop_bytes(draw, frame, line),
        2 => insert(draw, frame, line),
        3 => {
            line.extend_from_slice(frame);
            line.extend_from_slice(frame);
        }
        4 => {
            let count = 1 + draw.below(usize::try_from(MAX_GARBAGE).unwrap_or(0));
            draw.bytes(count, line);
            line.extend_from_slice(frame);
        }
        _ => {
            false_header(draw, line);
            line.extend_from_slice(frame);
        }
    }
    let stands = line.get(start..).unwrap_or_default();
    // A piece that the bytes after it could complete to the frame would make the answer depend on them.
    if stands.len() < frame.len() && frame.starts_with(stands) {
        line.truncate(start);
        flip(draw, frame, line);
    }
    let stands = line.get(start..).unwrap_or_default();
    Damaged { intact: stands.windows(frame.len()).any(|window| window == frame), bytes: stands.len() }
}

/// Flips one to three bits. A CRC-32C sees any three flips in a frame of this length, so none stays unnoticed.
fn flip(draw: &mut Draw, frame: &[u8], line: &mut Vec<u8>) {
    let start = line.len();
    line.extend_from_slice(frame);
    for _ in 0..=draw.below(3) {
        let (at, bit) = (draw.below(frame.len()), draw.below(8));
        if let Some(byte) = line.get_mut(start + at) {
            *byte ^= 1 << bit;
        }
    }
}

/// Drops one to eight bytes somewhere; the last byte stays.
fn drop_bytes(draw: &mut Draw, frame: &[u8], line: &mut Vec<u8>) {
    let count = 1 + draw.below(8.min(frame.len() - 1));
    let at = draw.below(frame.len() - count);
    line.extend(frame.iter().take(at).chain(frame.iter().skip(at + count)));
}

/// Puts one to eight bytes in somewhere behind the first.
fn insert(draw: &mut Draw, frame: &[u8], line: &mut Vec<u8>) {
    let (head, tail) = frame.split_at(1 + draw.below(frame.len() - 1));
    let count = 1 + draw.below(8);
    line.extend_from_slice(head);
    draw.bytes(count, line);
    line.extend_from_slice(tail);
}

/// Puts a header in front whose guard is right, and whose length lies: it claims the frames behind it.
fn false_header(draw: &mut Draw, line: &mut Vec<u8>) {
    let length = u16::try_from(draw.below(2 * usize::from(super::MAX_PAYLOAD))).unwrap_or(u16::MAX);
    line.extend_from_slice(&MAGIC);
    line.extend_from_slice(&length.to_be_bytes());
    line.extend_from_slice(&(!length).to_be_bytes());
}

const _: () = assert!(MAX_BODY as usize + OVERHEAD + 6 <= super::MAX_PAYLOAD as usize);

#[cfg(test)]
mod tests {
    use super::*;
    use dtu_proto::{Deframer, Native, Step};

    /// Builds a line of `frames` numbered frames and returns it with what the damager says is intact.
    fn line(seed: u64, rate: f64, frames: u32) -> (Vec<u8>, Vec<bool>) {
        let (mut line, mut intact, mut body) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..frames {
            let mut draw = Draw::new(seed, 0, number);
            draw.body(&mut body);
            body.extend_from_slice(&number.to_be_bytes());
            let mut frame = Vec::new();
            Native::new().encode_to(&body[..], &mut frame).unwrap();
            intact.push(damage(&mut draw, Rate::new(rate), &frame, &mut line).intact);
        }
        (line, intact)
    }

    #[test]
    fn the_deframer_finds_exactly_what_the_damager_left_whole() {
        for seed in 0..20 {
            let (line, intact) = line(seed, 0.5, 1000);
            let mut found = vec![0_u32; intact.len()];
            let mut deframer = Deframer::new(Native::with_max_payload(super::super::MAX_PAYLOAD));
            let mut rest = &line[..];
            loop {
                match deframer.next_step() {
                    Step::Frame(frame) => {
                        let number = frame.payload().last_chunk().map(|number| u32::from_be_bytes(*number)).unwrap();
                        found[usize::try_from(number).unwrap()] += 1;
                    }
                    Step::Skipped { .. } => {}
                    Step::NeedMore { .. } if !rest.is_empty() => rest = &rest[deframer.push(rest)..],
                    Step::NeedMore { .. } => {
                        if deframer.abandon_candidate().is_none() {
                            break;
                        }
                    }
                }
            }
            let delivered: Vec<bool> = found.iter().map(|&count| count > 0).collect();
            assert_eq!(delivered, intact, "seed {seed}");
            assert!(found.contains(&2), "seed {seed}: some frames stand there twice");
            assert!(intact.contains(&false), "seed {seed}: some are damaged");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_line_and_another_seed_another() {
        assert_eq!(line(7, 0.3, 200), line(7, 0.3, 200));
        assert_ne!(line(7, 0.3, 200), line(8, 0.3, 200));
    }

    #[test]
    fn the_rate_is_kept_from_none_to_all() {
        assert!(line(1, 0.0, 500).1.iter().all(|&intact| intact));
        let damaged = line(1, 1.0, 3000).1.iter().filter(|&&intact| !intact).count();
        // Half of the kinds of damage leave the frame whole.
        assert!((1300..=1700).contains(&damaged), "{damaged} of 3000");
    }
}
