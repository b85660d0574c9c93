//! Streams as a bad line delivers them.

use super::{Seeded, naive};
use alloc::vec;
use alloc::vec::Vec;
use arbitrary::{Result, Unstructured};
use core::ops::Range;

/// A stream ends once it is so many bytes long, and takes the last piece whole.
const ENOUGH: usize = 4096;

/// Frames on a bad line: glued, cut, flipped, inside each other, between noise and false headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirty {
    /// The stream.
    pub bytes: Vec<u8>,
    /// Where frames were laid that no damage was done to, those inside other frames included.
    pub intact: Vec<Range<usize>>,
}

impl Dirty {
    /// A stream that the choices in `u` describe; its frames carry at most `max_payload` bytes.
    ///
    /// # Errors
    ///
    /// Those of `u`; it goes on without choices when these run out.
    pub fn arbitrary(u: &mut Unstructured<'_>, max_payload: u16) -> Result<Self> {
        let mut stream = Self { bytes: Vec::new(), intact: Vec::new() };
        while !u.is_empty() && stream.bytes.len() < ENOUGH {
            let piece = piece(u, max_payload)?;
            let at = stream.bytes.len();
            stream.bytes.extend(piece.bytes);
            stream.intact.extend(piece.intact.iter().map(|range| at + range.start..at + range.end));
        }
        Ok(stream)
    }

    /// A stream that `seed` describes, of up to some 30 pieces.
    ///
    /// # Panics
    ///
    /// Never: random bytes are valid choices.
    #[must_use]
    pub fn seeded(seed: u64, max_payload: u16) -> Self {
        let mut seeded = Seeded(seed);
        let mut choices = vec![0; 16 + seeded.below(600)];
        seeded.fill(&mut choices);
        Self::arbitrary(&mut Unstructured::new(&choices), max_payload).expect("any bytes are valid choices")
    }

    fn frame(payload: &[u8]) -> Self {
        let bytes = frame_around(payload);
        Self { intact: core::iter::once(0..bytes.len()).collect(), bytes }
    }

    fn noise(bytes: Vec<u8>) -> Self {
        Self { bytes, intact: Vec::new() }
    }

    /// The same bytes, none of which is an undamaged frame of its own.
    fn damaged(self) -> Self {
        Self::noise(self.bytes)
    }
}

/// Writes a frame the plain way: part behind part, with the oracle's checksum.
///
/// # Panics
///
/// When the payload is longer than the length field can say.
#[must_use]
pub fn frame_around(payload: &[u8]) -> Vec<u8> {
    let mut frame = header(u16::try_from(payload.len()).expect("the payload's length fits its field")).to_vec();
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&naive::checksum(&frame).to_be_bytes());
    frame
}

/// A header that claims a payload of `length` bytes, with the guard that belongs to it.
fn header(length: u16) -> [u8; 6] {
    let [high, low] = length.to_be_bytes();
    [0xD7, 0x55, high, low, 255 - high, 255 - low]
}

fn piece(u: &mut Unstructured<'_>, max_payload: u16) -> Result<Dirty> {
    let payload = |u: &mut Unstructured<'_>| payload(u, max_payload);
    Ok(match u.int_in_range(0..=13)? {
        0..=2 => Dirty::frame(&payload(u)?),
        3 => with_embedded(u, max_payload)?,
        4 => with_embedded(u, max_payload).and_then(|outer| break_around(u, outer))?,
        5 => {
            let mut cut = Dirty::frame(&payload(u)?).damaged();
            cut.bytes.truncate(u.choose_index(cut.bytes.len())?);
            cut
        }
        6 => {
            let mut cut = Dirty::frame(&payload(u)?).damaged();
            cut.bytes.drain(..=u.choose_index(cut.bytes.len())?);
            cut
        }
        7 => {
            let mut flipped = Dirty::frame(&payload(u)?).damaged();
            let at = u.choose_index(flipped.bytes.len())?;
            flipped.bytes[at] ^= 1 << u.int_in_range(0..=7)?;
            flipped
        }
        8 => {
            let mut gap = Dirty::frame(&payload(u)?).damaged();
            let from = u.choose_index(gap.bytes.len())?;
            let to = from + u.choose_index(gap.bytes.len() - from)?;
            gap.bytes.drain(from..=to);
            gap
        }
        9 => {
            let mut doubled = Dirty::frame(&payload(u)?).damaged();
            let at = u.choose_index(doubled.bytes.len())?;
            doubled.bytes.insert(at, doubled.bytes[at]);
            doubled
        }
        10 => Dirty::noise(header(u.int_in_range(0..=max_payload.saturating_add(16))?).to_vec()),
        11 => {
            let few = u.int_in_range(0..=32)?;
            Dirty::noise(u.bytes(few.min(u.len()))?.to_vec())
        }
        12 => {
            let mut starts = vec![0; u.int_in_range(0..=32)?];
            for byte in &mut starts {
                *byte = *u.choose(&[0xD7, 0x55, 0xD7, 0x55, 0x00, 0xFF])?;
            }
            Dirty::noise(starts)
        }
        // The longest frame, where that is not out of all proportion.
        _ => Dirty::frame(&filled(u, usize::from(max_payload.min(2048)))?),
    })
}

/// A whole frame in the payload of a whole frame.
fn with_embedded(u: &mut Unstructured<'_>, max_payload: u16) -> Result<Dirty> {
    let room = max_payload.saturating_sub(10);
    if max_payload < 10 {
        return Ok(Dirty::frame(&[]));
    }
    let inner = frame_around(&payload(u, room)?);
    let before = u.int_in_range(0..=(usize::from(max_payload) - inner.len()).min(12))?;
    let before = filled(u, before)?;
    let start = 6 + before.len();
    let mut whole = Dirty::frame(&[&before[..], &inner].concat());
    whole.intact.push(start..start + inner.len());
    Ok(whole)
}

/// Flips a bit of the outer frame and leaves the inner one as it is.
fn break_around(u: &mut Unstructured<'_>, mut outer: Dirty) -> Result<Dirty> {
    let whole = outer.intact.remove(0);
    let inner = outer.intact.first().cloned().unwrap_or(whole.end..whole.end);
    let outside: Vec<usize> = whole.filter(|at| !inner.contains(at)).collect();
    outer.bytes[*u.choose(&outside)?] ^= 1 << u.int_in_range(0..=7)?;
    Ok(outer)
}

fn payload(u: &mut Unstructured<'_>, max_payload: u16) -> Result<Vec<u8>> {
    let limit = usize::from(max_payload);
    let len = match u.int_in_range(0..=15)? {
        0 => u.int_in_range(0..=limit.min(ENOUGH))?,
        _ => u.int_in_range(0..=limit.min(24))?,
    };
    filled(u, len)
}

/// So many bytes: a few from `u` over and over, which makes periodic and so nasty payloads; magics when there are none.
fn filled(u: &mut Unstructured<'_>, len: usize) -> Result<Vec<u8>> {
    let few = u.int_in_range(0..=8)?;
    let taken = u.bytes(few.min(u.len()))?;
    let pattern = if taken.is_empty() { &[0xD7, 0x55][..] } else { taken };
    Ok(pattern.iter().copied().cycle().take(len).collect())
}
