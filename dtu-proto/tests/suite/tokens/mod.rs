//! Tokens: out of the stream wherever a modem puts them, and never out of a frame that is whole.

mod cases;

use crate::framings::{DLT645, Lines, RTU, dlt645, rtu};
use dtu_proto::testing::{Cuts, frame_around};
use dtu_proto::tokens::{TokenDeframer, TokenSet, TokenStep};
use dtu_proto::{Deframer, Examined, Framing, Malformed, Native, Step};
use proptest::prelude::*;

/// What a stream was cut into; noise merged.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Frame { bytes: Vec<u8>, payload: Vec<u8>, removed: Vec<usize> },
    Token(usize),
    Skipped { bytes: usize, cause: Malformed },
}

#[derive(Default)]
struct Pieces {
    all: Vec<Piece>,
    covered: usize,
}

impl Pieces {
    /// Whether it was anything but `NeedMore`.
    fn take(&mut self, step: TokenStep<'_>) -> bool {
        self.covered += step.covered();
        match step {
            TokenStep::Frame { frame, removed } => self.all.push(Piece::Frame {
                bytes: frame.as_bytes().to_vec(),
                payload: frame.payload().to_vec(),
                removed: removed.tokens().map(|token| token.index).collect(),
            }),
            TokenStep::Token { index, .. } => self.all.push(Piece::Token(index)),
            TokenStep::Skipped { bytes: count, cause } => match self.all.last_mut() {
                Some(Piece::Skipped { bytes, cause: last })
                    if *last == cause && matches!(cause, Malformed::Magic | Malformed::Fill) =>
                {
                    *bytes += count;
                }
                _ => self.all.push(Piece::Skipped { bytes: count, cause }),
            },
            TokenStep::NeedMore { .. } => return false,
        }
        true
    }

    fn payloads(&self) -> Vec<Vec<u8>> {
        let payload = |piece: &Piece| match piece {
            Piece::Frame { payload, .. } => Some(payload.clone()),
            Piece::Token(_) | Piece::Skipped { .. } => None,
        };
        self.all.iter().filter_map(payload).collect()
    }

    fn tokens(&self) -> Vec<usize> {
        let token = |piece: &Piece| match piece {
            Piece::Token(index) => Some(*index),
            Piece::Frame { .. } | Piece::Skipped { .. } => None,
        };
        self.all.iter().filter_map(token).collect()
    }
}

fn tokens_of(patterns: &[&[u8]]) -> TokenSet {
    TokenSet::of(patterns).expect("in bounds")
}

/// The pieces of a stream that is open at its end, and how many bytes wait there.
fn open<F: Framing>(framing: F, tokens: &TokenSet, stream: &[u8], cuts: Cuts) -> (Pieces, usize) {
    run(framing, tokens, stream, cuts, false)
}

/// The pieces of a stream that ends in silence.
fn closed<F: Framing>(framing: F, tokens: &TokenSet, stream: &[u8], cuts: Cuts) -> Pieces {
    let (pieces, rest) = run(framing, tokens, stream, cuts, true);
    assert_eq!(rest, 0, "all is judged in the end");
    assert_eq!(pieces.covered, stream.len(), "every byte is accounted for");
    pieces
}

fn run<F: Framing>(framing: F, tokens: &TokenSet, stream: &[u8], cuts: Cuts, is_closed: bool) -> (Pieces, usize) {
    let mut deframer = TokenDeframer::new(framing, tokens);
    let mut pieces = Pieces::default();
    for mut read in cuts.of(stream) {
        while !read.is_empty() {
            let count = deframer.push(read);
            assert!(count > 0, "there is room after NeedMore");
            read = &read[count..];
            while pieces.take(deframer.next_step()) {}
        }
    }
    while is_closed && deframer.abandon_candidate().is_some_and(|step| pieces.take(step)) {
        while pieces.take(deframer.next_step()) {}
    }
    let rest = deframer.buffered();
    let (counters, taken) = (deframer.counters(), deframer.token_counters());
    let counted = counters.frame_bytes + counters.skipped_bytes() + taken.bytes;
    assert_eq!(usize::try_from(counted).expect("short"), stream.len() - rest, "the counters have every byte");
    (pieces, rest)
}

/// Frames around payloads, as the framing that is being tested has them.
type Encode = fn(&[u8]) -> Vec<u8>;

/// The patterns of the property tests: of one byte, glued to itself, the beginning of another, text.
const PATTERNS: [&[u8]; 5] = [&[0xFE], b"PING", &[0x55, 0xAA], &[0x55, 0xAA, 0x01], b"REG:13912345678"];

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let chunk = prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 0..12),
        1 => (0..PATTERNS.len()).prop_map(|index| PATTERNS[index].to_vec()),
        1 => Just(vec![0x68, 0xD7, 0x55]),
    ];
    proptest::collection::vec(chunk, 0..5).prop_map(|chunks| {
        let mut bytes = chunks.concat();
        bytes.truncate(bytes.len() & !1);
        bytes
    })
}

/// A boundary: tokens, any number of them glued to each other.
fn boundary() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..PATTERNS.len(), 0..3)
}

fn cuts() -> impl Strategy<Value = Cuts> {
    prop_oneof![(1..9_usize).prop_map(Cuts::Of), any::<u64>().prop_map(Cuts::Seeded), Just(Cuts::Of(usize::MAX))]
}

/// A stream of frames with tokens between them.
fn with_tokens(units: &[(Vec<usize>, Vec<u8>)], encode: Encode) -> Vec<u8> {
    let unit = |(tokens, payload): &(Vec<usize>, Vec<u8>)| {
        let tokens: Vec<u8> = tokens.iter().flat_map(|&index| PATTERNS[index]).copied().collect();
        [tokens, encode(payload)].concat()
    };
    units.iter().flat_map(unit).collect()
}

fn at_boundaries<F: Framing + Copy>(framing: F, encode: Encode, units: &[(Vec<usize>, Vec<u8>)], cuts: Cuts) {
    let tokens = tokens_of(&PATTERNS);
    let stream = with_tokens(units, encode);
    let plain: Vec<u8> = units.iter().flat_map(|(_, payload)| encode(payload)).collect();
    let mut without = Deframer::new(framing);
    without.push(&plain);
    let mut frames = Vec::new();
    while let Step::Frame(frame) = without.next_step() {
        frames.push(frame.payload().to_vec());
    }
    let pieces = closed(framing, &tokens, &stream, cuts);
    assert_eq!(pieces.payloads(), frames);
    let put_in: usize = units.iter().map(|(tokens, _)| tokens.len()).sum();
    assert!(pieces.all.len() <= frames.len() + put_in, "{:?}", pieces.all);
    assert!(pieces.all.iter().all(|piece| !matches!(piece, Piece::Skipped { .. })), "{:?}", pieces.all);
}

fn native(payload: &[u8]) -> Vec<u8> {
    frame_around(payload)
}

fn line(payload: &[u8]) -> Vec<u8> {
    let text = payload.iter().map(|&byte| if byte == b'\n' { b' ' } else { byte });
    b"+".iter().copied().chain(text).chain([b'\n']).collect()
}

proptest! {
    #[test]
    fn a_token_at_a_boundary_shows_in_no_payload_of_native_frames(units in proptest::collection::vec((boundary(), payload()), 1..6), cuts in cuts()) {
        at_boundaries(Native::new(), native, &units, cuts);
    }

    #[test]
    fn a_token_at_a_boundary_shows_in_no_payload_of_meters(units in proptest::collection::vec((boundary(), payload()), 1..6), cuts in cuts()) {
        at_boundaries(DLT645, dlt645, &units, cuts);
    }

    #[test]
    fn a_token_at_a_boundary_shows_in_no_payload_of_modbus(units in proptest::collection::vec((boundary(), payload()), 1..6), cuts in cuts()) {
        at_boundaries(RTU, rtu, &units, cuts);
    }

    #[test]
    fn a_token_at_a_boundary_shows_in_no_line(units in proptest::collection::vec((boundary(), payload()), 1..6), cuts in cuts()) {
        at_boundaries(Lines, line, &units, cuts);
    }

    #[test]
    fn any_split_gives_the_same_steps(stream in dirty(), cuts in cuts()) {
        let tokens = tokens_of(&PATTERNS);
        for framing in [DLT645, RTU] {
            let (whole, rest) = open(framing, &tokens, &stream, Cuts::Of(usize::MAX));
            let (split, rest_of_split) = open(framing, &tokens, &stream, cuts);
            prop_assert_eq!((whole.all, rest), (split.all, rest_of_split));
        }
        let (whole, rest) = open(Native::new(), &tokens, &stream, Cuts::Of(usize::MAX));
        let (split, rest_of_split) = open(Native::new(), &tokens, &stream, cuts);
        prop_assert_eq!((whole.all, rest), (split.all, rest_of_split));
        let (whole, rest) = open(Lines, &tokens, &stream, Cuts::Of(usize::MAX));
        let (split, rest_of_split) = open(Lines, &tokens, &stream, cuts);
        prop_assert_eq!((whole.all, rest), (split.all, rest_of_split));
    }

    #[test]
    fn what_is_intact_comes_whatever_stands_around_it(stream in proptest::collection::vec((dirty(), payload()), 1..4), cuts in cuts()) {
        let tokens = tokens_of(&PATTERNS);
        let bytes: Vec<u8> = stream.iter().flat_map(|(dirt, payload)| [dirt.clone(), native(payload)].concat()).collect();
        let pieces = closed(Native::new(), &tokens, &bytes, cuts);
        let mut payloads = pieces.payloads().into_iter();
        for (_, payload) in &stream {
            prop_assert!(payloads.any(|came| came == *payload), "{:?} is missing in {:?}", payload, pieces.all);
        }
    }

    #[test]
    fn one_token_anywhere_inside_is_taken_out(payload in proptest::collection::vec(0..0x50_u8, 0..40), index in 0..PATTERNS.len(), at in any::<prop::sample::Index>(), cuts in cuts()) {
        let tokens = tokens_of(&PATTERNS);
        let check = |whole: Vec<u8>, stream: &[u8], pieces: &Pieces| {
            let Piece::Frame { bytes, removed, .. } = &pieces.all[0] else { panic!("{:?}", pieces.all) };
            assert_eq!(bytes, &whole);
            // The bytes may as well be the frame with the token's bytes, turned round, behind it.
            if !stream.starts_with(&whole) {
                assert_eq!((pieces.all.len(), removed.len()), (1, 1), "{:?}", pieces.all);
            }
        };
        let insert = |whole: &[u8]| {
            let at = 1 + at.index(whole.len() - 1);
            [&whole[..at], PATTERNS[index], &whole[at..]].concat()
        };
        let whole = native(&payload);
        let stream = insert(&whole);
        check(whole, &stream, &closed(Native::new(), &tokens, &stream, cuts));
        let whole = dlt645(&payload);
        let stream = insert(&whole);
        // A sum of 8 bits holds by chance now and then, even with the token.
        prop_assume!(!matches!(DLT645.examine(&stream), Examined::Frame(_)));
        check(whole, &stream, &closed(DLT645, &tokens, &stream, cuts));
    }
}

/// Frames whole, damaged, cut and with tokens in them, tokens and noise, in any order.
fn dirty() -> impl Strategy<Value = Vec<u8>> {
    let encode = prop_oneof![Just(native as Encode), Just(dlt645 as Encode), Just(rtu as Encode), Just(line as Encode)];
    let frame = (payload(), encode).prop_map(|(payload, encode)| encode(&payload));
    let part =
        (frame, 0..5_u8, any::<prop::sample::Index>(), 0..PATTERNS.len()).prop_map(|(mut frame, how, at, index)| {
            let at = at.index(frame.len());
            match how {
                0 => {}
                1 => frame[at] ^= 0x40,
                2 => frame.truncate(at),
                3 => frame = [&frame[..at], PATTERNS[index], &frame[at..]].concat(),
                _ => frame = PATTERNS[index][..1 + at % PATTERNS[index].len()].to_vec(),
            }
            frame
        });
    let noise = proptest::collection::vec(any::<u8>(), 0..6);
    proptest::collection::vec(prop_oneof![3 => part, 1 => noise], 0..6).prop_map(|parts| parts.concat())
}
