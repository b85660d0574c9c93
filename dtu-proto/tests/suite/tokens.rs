//! Tokens: out of the stream wherever a modem puts them, and never out of a frame that is whole.

use crate::framings::{Counted, DLT645, Lines, RTU, dlt645, rtu};
use core::num::NonZeroUsize;
use dtu_proto::encode::EncodeError;
use dtu_proto::testing::{Cuts, frame_around};
use dtu_proto::tokens::{MAX_TOKEN_LEN, MAX_TOKENS, MAX_TRIALS, TokenDeframer, TokenError, TokenSet, TokenStep};
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

#[test]
fn the_longest_of_two_tokens_counts_and_waits_for_its_bytes() {
    let tokens = tokens_of(&[&[0xFE], &[0xFE, 0xFE, 0x01]]);
    let mut deframer = TokenDeframer::new(Native::new(), &tokens);
    deframer.push(&[0xFE]);
    assert_eq!(deframer.next_step(), TokenStep::NeedMore { at_least: NonZeroUsize::MIN });
    deframer.push(&[0xFE, 0xFE]);
    assert_eq!(deframer.next_step(), TokenStep::Token { index: 0, bytes: 1 });
    assert!(matches!(deframer.next_step(), TokenStep::NeedMore { .. }));
    deframer.push(&[0x01]);
    assert_eq!(deframer.next_step(), TokenStep::Token { index: 1, bytes: 3 });
    deframer.push(&[0xFE]);
    assert!(matches!(deframer.next_step(), TokenStep::NeedMore { .. }));
    assert_eq!(deframer.abandon_candidate(), Some(TokenStep::Token { index: 0, bytes: 1 }));
    assert_eq!(deframer.abandon_candidate(), None);
    assert_eq!(deframer.token_counters().tokens[..2], [2, 1]);
    assert_eq!(deframer.token_counters().bytes, 5);
}

#[test]
fn a_token_that_does_not_come_whole_is_noise_and_a_frame_behind_it_comes() {
    let tokens = tokens_of(&[b"PING"]);
    let frame = native(b"hi");
    let pieces = closed(Native::new(), &tokens, &[b"xPIN", &frame[..]].concat(), Cuts::Of(1));
    assert_eq!(pieces.all[0], Piece::Skipped { bytes: 4, cause: Malformed::Magic });
    assert_eq!(pieces.payloads(), [b"hi"]);
    let (pieces, rest) = open(Native::new(), &tokens, b"xPIN", Cuts::Of(4));
    assert_eq!((pieces.all, rest), (vec![Piece::Skipped { bytes: 1, cause: Malformed::Magic }], 3));
}

#[test]
fn a_line_that_waits_for_a_longer_token_comes_when_the_line_is_silent() {
    let tokens = tokens_of(&[b"+\nEND"]);
    let mut deframer = TokenDeframer::new(Lines, &tokens);
    deframer.push(b"+\n");
    assert_eq!(deframer.next_step(), TokenStep::NeedMore { at_least: NonZeroUsize::MIN });
    let Some(TokenStep::Frame { frame, .. }) = deframer.abandon_candidate() else { panic!("the line is whole") };
    assert_eq!(frame.payload(), b"+");
}

#[test]
fn tokens_in_noise_are_found() {
    let tokens = tokens_of(&[b"PING"]);
    let pieces = closed(Native::new(), &tokens, b"noisePINGnoise", Cuts::Of(3));
    assert_eq!(pieces.tokens(), [0]);
}

#[test]
fn a_frame_that_begins_with_a_token_or_inside_one_loses_no_byte() {
    let frame = native(b"hi");
    let tokens = tokens_of(&[&frame[..4], &[&b"AT"[..], &frame[..3]].concat()]);
    for cuts in [Cuts::Of(1), Cuts::Of(100)] {
        let pieces = closed(Native::new(), &tokens, &[&b"AT"[..], &frame].concat(), cuts);
        assert_eq!(pieces.all.len(), 2);
        assert_eq!(pieces.payloads(), [b"hi"]);
    }
    // The same tokens where no frame follows.
    let pieces = closed(Native::new(), &tokens, &[&frame[..4], b"AT", &frame[..3], b"\0\0"].concat(), Cuts::Of(1));
    assert_eq!(pieces.tokens(), [0, 1]);
}

#[test]
fn a_heartbeat_that_looks_like_an_address_waits_until_the_line_is_silent() {
    let tokens = tokens_of(&[&[0x01]]);
    let mut deframer = TokenDeframer::new(RTU, &tokens);
    deframer.push(&[0x01]);
    assert_eq!(deframer.next_step(), TokenStep::NeedMore { at_least: NonZeroUsize::new(2).expect("not 0") });
    assert_eq!(deframer.abandon_candidate(), Some(TokenStep::Token { index: 0, bytes: 1 }));
    deframer.push(&rtu(&[1, 1]));
    assert!(matches!(deframer.next_step(), TokenStep::Frame { .. }));
}

#[test]
fn two_and_three_tokens_come_out_of_one_frame_glued_or_apart() {
    let tokens = tokens_of(&PATTERNS);
    let whole = native(b"0123456789");
    for (first, second, third) in [(8, 8, 8), (3, 8, 14), (8, 8, 12), (7, 12, 12)] {
        let parts =
            [&whole[..first], b"PING", &whole[first..second], b"PING", &whole[second..third], &[0xFE], &whole[third..]];
        let pieces = closed(Native::new(), &tokens, &parts.concat(), Cuts::Of(5));
        let [Piece::Frame { bytes, removed, .. }] = &pieces.all[..] else { panic!("{:?}", pieces.all) };
        assert_eq!((bytes, &removed[..]), (&whole, &[1, 1, 0][..]));
    }
}

#[test]
fn a_stalled_frame_comes_without_its_token() {
    // The token stands before the length: 0x50 bytes are awaited that do not come.
    let tokens = tokens_of(&[b"\x03\x50"]);
    let whole = dlt645(&[9; 6]);
    let stream = [&whole[..8], b"\x03\x50", &whole[8..]].concat();
    let mut deframer = TokenDeframer::new(DLT645, &tokens);
    deframer.push(&stream);
    assert!(matches!(deframer.next_step(), TokenStep::NeedMore { .. }));
    let Some(TokenStep::Frame { frame, removed }) = deframer.abandon_candidate() else { panic!("it is whole") };
    assert_eq!(frame.as_bytes(), whole);
    assert_eq!(removed.bytes(), 2);
    assert_eq!(deframer.token_counters().inside, 1);
    assert_eq!(deframer.counters().frame_bytes, 18);
}

#[test]
fn a_candidate_that_waits_for_the_bytes_behind_its_token_is_given_up_with_its_own_cause() {
    let tokens = tokens_of(&[b"PING"]);
    let mut damaged = native(b"abPINGcd");
    damaged[7] ^= 1;
    let mut deframer = TokenDeframer::new(Native::new(), &tokens);
    deframer.push(&damaged);
    assert_eq!(deframer.next_step(), TokenStep::NeedMore { at_least: NonZeroUsize::new(4).expect("not 0") });
    let step = deframer.abandon_candidate();
    assert!(matches!(step, Some(TokenStep::Skipped { bytes: 18, cause: Malformed::Checksum { .. } })), "{step:?}");
}

#[test]
fn a_damaged_frame_full_of_tokens_costs_no_more_than_its_trials() {
    let tokens = tokens_of(&[&[0xFE], &[0xFF]]);
    let mut damaged = native(&[0xFE, 0xFF].repeat(500));
    damaged[8] ^= 1;
    damaged.extend([0xFE; 10]);
    let mut deframer = TokenDeframer::new(Native::new(), &tokens);
    deframer.push(&damaged);
    let _ = deframer.next_step();
    let trials = deframer.token_counters().trials;
    assert_eq!(trials, u64::try_from(MAX_TRIALS).expect("small"));
}

#[test]
fn an_array_of_the_length_that_can_be_held_is_enough() {
    let tokens = tokens_of(&[b"PING", b"REG:13912345678"]);
    let framing = Counted { max_frame_len: 32, ..DLT645 };
    assert_eq!(TokenDeframer::<Counted, [u8; 92], &TokenSet>::held_len(32, &tokens), 92);
    assert_eq!(
        TokenDeframer::with_storage(framing, &tokens, [0; 91], [0; 91]).map(|_| ()),
        Err(EncodeError::BufferTooSmall { needed: 92, available: 91 })
    );
    let mut deframer = TokenDeframer::with_storage(framing, &tokens, [0; 92], [0; 92]).expect("there is room");
    let whole = dlt645(&[0x68; 20]);
    let stream =
        [&whole[..12], PATTERNS[4], &whole[12..20], PATTERNS[4], &whole[20..25], PATTERNS[4], &whole[25..]].concat();
    let stream = stream.repeat(5);
    let (mut rest, mut frames) = (&stream[..], 0);
    while !rest.is_empty() {
        let count = deframer.push(rest);
        assert!(count > 0);
        rest = &rest[count..];
        loop {
            match deframer.next_step() {
                TokenStep::Frame { frame, .. } => {
                    assert_eq!(frame.as_bytes(), whole);
                    frames += 1;
                }
                TokenStep::NeedMore { .. } => break,
                TokenStep::Token { .. } | TokenStep::Skipped { .. } => {}
            }
        }
    }
    assert_eq!(frames, 5);
}

#[test]
fn a_set_has_bounds() {
    let mut tokens = TokenSet::new();
    assert!(tokens.is_empty());
    assert_eq!(tokens.add(b""), Err(TokenError::Empty));
    assert_eq!(tokens.add(&[0; MAX_TOKEN_LEN + 1]), Err(TokenError::TooLong { length: MAX_TOKEN_LEN + 1 }));
    for index in 0..MAX_TOKENS {
        assert_eq!(tokens.add(&[7, u8::try_from(index).expect("small")]), Ok(index));
    }
    assert_eq!(tokens.add(&[7, 1]), Err(TokenError::Repeated { index: 1 }));
    assert_eq!(tokens.add(&[8]), Err(TokenError::TooMany));
    assert_eq!((tokens.longest(), tokens.pattern(1), tokens.pattern(MAX_TOKENS)), (2, Some(&[7, 1][..]), None));
    assert_eq!(TokenSet::of(&[&[0; MAX_TOKEN_LEN]]).map(|tokens| tokens.longest()), Ok(MAX_TOKEN_LEN));
}
