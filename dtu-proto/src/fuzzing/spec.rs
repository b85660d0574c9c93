//! Framings by declaration: any specification, any bytes.

use crate::checksum::catalogue::NAMES;
use crate::checksum::{Algorithm, Crc};
use crate::deframer::Deframer;
use crate::framing::{Examined, Framing, Malformed, Step, abandon_candidate, next_step};
use crate::spec::{ByteSet, Check, Declared, Encoding, Endian, Escape, Field, FrameSpec, Length, Problem, Text};
use crate::testing::Cuts;
use alloc::vec;
use alloc::vec::Vec;
use arbitrary::{Arbitrary, Result, Unstructured};

/// A framing by any specification keeps the contract over any bytes, and gives back what it encodes.
///
/// Input: a specification, a seed for the reads (u32), a payload, then the stream, in which parts of frames are put.
pub fn framing_spec(input: &[u8]) {
    let mut u = Unstructured::new(input);
    let Ok(spec) = any_spec(&mut u) else { return };
    let Some((spec, declared)) = mended(spec) else { return };
    assert_eq!(FrameSpec { ..spec }.compile().map(|again| again.evidence()), Ok(declared.evidence()));
    let (Ok(seed), Ok(payload)) = (u.arbitrary::<u32>(), short(&mut u, 80)) else { return };
    let encoded = roundtrip(&declared, &payload);
    let Ok(stream) = any_stream(&mut u, &declared, encoded.as_deref().unwrap_or_default()) else { return };
    any_split_agrees(&declared, &stream, Cuts::Seeded(u64::from(seed)));
}

fn short(u: &mut Unstructured<'_>, most: usize) -> Result<Vec<u8>> {
    let len = u.int_in_range(0..=most)?.min(u.len());
    Ok(u.bytes(len)?.to_vec())
}

/// Few values, so that markers meet each other and the stream meets markers.
fn any_byte(u: &mut Unstructured<'_>) -> Result<u8> {
    Ok(match u.arbitrary::<u8>()? {
        byte @ 0..=127 => byte % 4,
        byte => byte,
    })
}

fn any_marker(u: &mut Unstructured<'_>, most: usize) -> Result<Vec<u8>> {
    let len = u.int_in_range(0..=most)?;
    (0..len).map(|_| any_byte(u)).collect()
}

fn any_spec(u: &mut Unstructured<'_>) -> Result<FrameSpec> {
    let mut spec = FrameSpec::new(u.int_in_range(1..=300)?);
    let start_len = u.int_in_range(0..=3)?;
    for _ in 0..u.int_in_range(0..=2)? {
        let start: Vec<u8> = (0..start_len).map(|_| any_byte(u)).collect::<Result<_>>()?;
        spec = spec.start(&start);
    }
    let flags = u.arbitrary::<[bool; 7]>()?;
    if flags[0] {
        spec = spec.preamble(any_byte(u)?);
    }
    for _ in 0..u.int_in_range(0..=2)? {
        spec = spec.fixed(u.int_in_range(-8..=10)?, &any_marker(u, 2)?);
    }
    spec = spec.end(&any_marker(u, 2)?);
    if flags[1] {
        spec = spec.length(any_length(u)?);
    }
    if flags[2] && !flags[1] {
        spec.fixed_len = spec.max_len;
    }
    if flags[3] {
        spec = spec.escape(any_escape(u)?);
    }
    if flags[4] {
        spec = spec.check(any_check(u)?);
    }
    if flags[5] && flags[6] {
        let flag = any_byte(u)?;
        spec = FrameSpec { start: FrameSpec::new(1).start(&[flag]).start, ..spec }.end(&[flag]);
        spec = FrameSpec { shared: u.arbitrary()?, preamble: None, length: None, fixed_len: None, ..spec };
    }
    if flags[6] && !flags[5] {
        spec = spec.payload_from(u.int_in_range(0..=12)?);
    }
    spec.min_len = u.arbitrary::<Option<u8>>()?.map(|len| usize::from(len) % 40);
    Ok(spec)
}

/// The specification without what contradicts the rest: most that are drawn do.
fn mended(mut spec: FrameSpec) -> Option<(FrameSpec, Declared)> {
    for _ in 0..20 {
        let error = match spec.compile() {
            Ok(declared) => return Some((spec, declared)),
            Err(error) => error,
        };
        assert!(!error.field.key().is_empty());
        match error.field {
            Field::Start => spec.start = FrameSpec::new(1).start(&spec.start[0].as_bytes()[..1]).start,
            Field::Shared => spec.shared = false,
            Field::Preamble => spec.preamble = None,
            Field::Fixed => spec.fixed = FrameSpec::new(1).fixed,
            Field::LengthAt | Field::LengthEncoding => spec.length = None,
            Field::LengthMask => spec.length = spec.length.map(|length| length.mask(u32::MAX)),
            Field::LengthAdjust | Field::MinLen => spec.min_len = None,
            Field::LengthRepeat => spec.length = spec.length.map(|length| Length { repeat: None, ..length }),
            Field::FixedLen | Field::MaxLen => spec = FrameSpec { fixed_len: None, max_len: Some(300), ..spec },
            Field::Escape | Field::EscapeLead => spec.escape = None,
            Field::EscapeMap | Field::EscapeXor => {
                spec.escape = spec
                    .escape
                    .map(|Escape { lead, .. }| Escape::xor(lead, 0x20 | lead))
                    .filter(|escape| *escape != spec.escape.expect("it is mapped"));
            }
            Field::CheckWidth | Field::CheckPoly | Field::CheckInit | Field::CheckXorOut => spec.check = None,
            Field::CheckFrom => spec.check = spec.check.map(|check| check.from(0)),
            Field::CheckTrim => spec.check = spec.check.map(|check| Check { trim: None, ..check }),
            Field::CheckPlace | Field::PayloadTrim => {
                spec.fixed = FrameSpec::new(1).fixed;
                spec.check = spec.check.map(|check| Check { place: check.width() + spec.end.len(), ..check });
            }
            Field::End if spec.end.is_empty() || spec.end.len() > 1 => spec = spec.end(&[0xC0]),
            Field::End => spec.start = FrameSpec::new(1).start,
            Field::PayloadFrom => spec.payload.from = None,
            Field::LengthWidth => match (spec.length, error.problem) {
                (Some(length), Problem::CannotHold { max, .. }) => {
                    spec.max_len = usize::try_from(max + i64::from(length.adjust)).ok();
                }
                (length, _) => spec.length = length.map(|length| Length { width: 2, ..length }),
            },
        }
    }
    None
}

fn any_length(u: &mut Unstructured<'_>) -> Result<Length> {
    let encoding = *u.choose(&[Encoding::Binary, Encoding::Binary, Encoding::Decimal, Encoding::Hexadecimal])?;
    let length = Length { encoding, ..Length::big(u.int_in_range(0..=6)?, u.int_in_range(1..=4)?) };
    let length = length.adjust(u.int_in_range(-4..=20)?);
    let length = if u.arbitrary()? { Length { endian: Endian::Little, ..length } } else { length };
    let length = if u.ratio(1, 4)? { length.mask(u.arbitrary()?) } else { length };
    let at = u.int_in_range(0..=10)?;
    Ok(match u.int_in_range(0..=3)? {
        0 => length.repeat(at),
        1 => length.repeat_complemented(at),
        _ => length,
    })
}

fn any_escape(u: &mut Unstructured<'_>) -> Result<Escape> {
    let lead = any_byte(u)?;
    if u.arbitrary()? {
        return Ok(Escape::xor_also(lead, u.arbitrary()?, ByteSet::EMPTY.with(any_byte(u)?, any_byte(u)?)));
    }
    let count = u.int_in_range(0..=4)?;
    let pairs: Vec<(u8, u8)> = (0..count).map(|_| Ok((u.arbitrary()?, any_byte(u)?))).collect::<Result<_>>()?;
    Ok(Escape::map(lead, &pairs))
}

fn any_check(u: &mut Unstructured<'_>) -> Result<Check> {
    let width = u.int_in_range(7..=33)?;
    let all = u32::MAX >> 32_u8.saturating_sub(width);
    let crc = Crc {
        width,
        poly: u.arbitrary::<u32>()? & all,
        init: u.arbitrary::<u32>()? & all,
        reflect_in: u.arbitrary()?,
        reflect_out: u.arbitrary()?,
        xor_out: u.arbitrary::<u32>()? & all,
    };
    let algorithm = match u.int_in_range(0..=7)? {
        0 => Algorithm::Sum8,
        1 => Algorithm::Xor8,
        2 => Algorithm::Lrc8,
        3 => Algorithm::Fletcher8,
        4 => Algorithm::Hj212,
        5 => Algorithm::Crc(crc),
        _ => Algorithm::Crc(u.choose(&NAMES)?.1),
    };
    let encoding = *u.choose(&[Text::Binary, Text::Binary, Text::Upper, Text::Lower])?;
    let check = Check { encoding, ..Check::new(algorithm, 0) };
    // Most often right in front of the end marker.
    let check = Check { place: check.width() + u.int_in_range(0..=2)?, ..check }.from(u.int_in_range(0..=3)?);
    let check = if u.ratio(1, 4)? { check.trim(u.int_in_range(0..=12)?) } else { check };
    Ok(if u.arbitrary()? { check.little() } else { check })
}

/// Encodes, decodes, and encodes what was decoded; returns the frame.
fn roundtrip(declared: &Declared, payload: &[u8]) -> Option<Vec<u8>> {
    let mut frame = Vec::new();
    declared.encode_into(&[], payload, &mut frame).ok()?;
    assert!(frame.len() <= declared.max_frame_len(), "{declared:?} encodes {} bytes", frame.len());
    let mut dirty = vec![0xA5; frame.len() + 3];
    assert_eq!(declared.encode_frame(&[], payload, &mut dirty), Ok(frame.len()), "{declared:?}");
    assert_eq!((&dirty[..frame.len()], &dirty[frame.len()..]), (&frame[..], &[0xA5; 3][..]), "{declared:?}");
    let Examined::Frame(decoded) = declared.examine(&frame) else {
        panic!("{:?} of {frame:02x?} around {payload:02x?} by {declared:?}", declared.examine(&frame));
    };
    assert_eq!(decoded.as_bytes(), frame, "{declared:?}");
    let mut meant = Vec::new();
    declared.payload_into(&decoded, &mut meant);
    assert_eq!(meant, payload, "{frame:02x?} by {declared:?}");
    reencodes(declared, &frame);
    for len in 0..frame.len() {
        if let Examined::NeedMore { at_least } = declared.examine(&frame[..len]) {
            assert!(len + at_least.get() <= frame.len(), "{declared:?} asks for too much at {len} of {frame:02x?}");
        } else {
            panic!("{:?} at {len} of {frame:02x?} by {declared:?}", declared.examine(&frame[..len]));
        }
    }
    Some(frame)
}

/// A frame that came makes a frame with the same meaning, and the same bytes unless a byte can be written in several ways.
fn reencodes(declared: &Declared, frame: &[u8]) {
    let Examined::Frame(decoded) = declared.examine(frame) else { panic!("it was a frame before") };
    let mut meant = Vec::new();
    declared.payload_into(&decoded, &mut meant);
    let header = &decoded.as_bytes()[..decoded.payload_range().start];
    let mut again = Vec::new();
    match declared.encode_into(header, &meant, &mut again) {
        Ok(()) => {}
        // A frame with fewer escapes than its sender's rule asks for may become longer than the longest.
        Err(error) => {
            assert!(declared.is_escaped(), "{error} of {frame:02x?} by {declared:?}");
            return;
        }
    }
    let Examined::Frame(same) = declared.examine(&again) else {
        panic!("{again:02x?} of {frame:02x?} by {declared:?}")
    };
    let mut meant_again = Vec::new();
    declared.payload_into(&same, &mut meant_again);
    assert_eq!(meant_again, meant, "{frame:02x?} by {declared:?}");
}

/// Noise, frames, parts of frames and damaged ones.
fn any_stream(u: &mut Unstructured<'_>, declared: &Declared, frame: &[u8]) -> Result<Vec<u8>> {
    let mut stream = Vec::new();
    while !u.is_empty() && stream.len() < 2000 {
        match u8::arbitrary(u)? {
            0..=90 => stream.extend(frame),
            91..=120 => stream.extend(&frame[..u.int_in_range(0..=frame.len())?]),
            121..=150 => stream.extend(&frame[u.int_in_range(0..=frame.len())?..]),
            151..=180 if !frame.is_empty() => {
                let (at, bit) = (u.int_in_range(0..=frame.len() - 1)?, u.int_in_range(0..=7)?);
                let from = stream.len();
                stream.extend(frame);
                stream[from + at] ^= 1 << bit;
            }
            181..=200 => {
                let run = u.int_in_range(0..=declared.max_frame_len() + 2)?;
                let byte = any_byte(u)?;
                stream.extend(core::iter::repeat_n(byte, run));
            }
            _ => stream.extend(any_marker(u, 8)?),
        }
    }
    Ok(stream)
}

/// What a stream consists of: frames, and runs of skipped bytes with one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Frame(Vec<u8>, core::ops::Range<usize>),
    Skipped(usize, Malformed),
}

#[derive(Default)]
struct Parts(Vec<Part>);

impl Parts {
    fn push(&mut self, step: &Step<'_>) {
        match step {
            Step::Frame(frame) => self.0.push(Part::Frame(frame.as_bytes().to_vec(), frame.payload_range())),
            Step::Skipped { bytes, cause } => match self.0.last_mut() {
                Some(Part::Skipped(sum, last)) if last == cause => *sum += bytes,
                _ => self.0.push(Part::Skipped(*bytes, *cause)),
            },
            Step::NeedMore { .. } => {}
        }
    }
}

/// Holds each step to the contract and each way over the stream to the others.
///
/// # Panics
///
/// When one of them breaks it.
pub fn any_split_agrees(declared: &Declared, stream: &[u8], cuts: Cuts) {
    let (mut whole, mut open, mut rest) = (Parts::default(), None, stream);
    loop {
        let step = next_step(declared, rest);
        whole.push(&step);
        match step {
            Step::NeedMore { at_least } => {
                let needed = rest.len() + at_least.get();
                assert!(needed <= declared.max_frame_len(), "{declared:?} asks for {needed} bytes at {rest:02x?}");
                open.get_or_insert_with(|| (whole.0.clone(), rest.len()));
                let Some(step) = abandon_candidate(declared, rest) else { break };
                whole.push(&step);
                rest = &rest[step.covered()..];
            }
            Step::Frame(frame) => {
                assert!(frame.encoded_len() <= declared.max_frame_len(), "{declared:?} gives a long frame");
                reencodes(declared, frame.as_bytes());
                rest = &rest[frame.encoded_len()..];
            }
            Step::Skipped { bytes, .. } => {
                assert!((1..=rest.len()).contains(&bytes), "{declared:?} skips {bytes} of {rest:02x?}");
                rest = &rest[bytes..];
            }
        }
    }
    let (open, waiting) = open.expect("the steps end with NeedMore");

    let mut walked = Parts::default();
    let covered = declared.walk(stream, |step| walked.push(&step));
    assert_eq!((&walked.0, stream.len() - covered), (&open, waiting), "walk over {stream:02x?} by {declared:?}");

    let mut cut = Parts::default();
    let mut deframer = Deframer::new(*declared);
    for mut read in cuts.of(stream) {
        while !read.is_empty() {
            let count = deframer.push(read);
            assert!(count > 0, "no room after NeedMore");
            read = &read[count..];
            loop {
                let step = deframer.next_step();
                cut.push(&step);
                if matches!(step, Step::NeedMore { .. }) {
                    break;
                }
            }
        }
    }
    assert_eq!((&cut.0, deframer.buffered()), (&open, waiting), "{cuts:?} of {stream:02x?} by {declared:?}");
    while let Some(step) = deframer.abandon_candidate() {
        cut.push(&step);
        loop {
            let step = deframer.next_step();
            cut.push(&step);
            if matches!(step, Step::NeedMore { .. }) {
                break;
            }
        }
    }
    assert_eq!(cut.0, whole.0, "{cuts:?} of {stream:02x?} and its end by {declared:?}");
}
