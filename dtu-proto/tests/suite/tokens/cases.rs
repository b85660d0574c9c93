//! One case each: what a token may not do, what waits, what has a bound.

use super::{PATTERNS, Piece, closed, native, open, tokens_of};
use crate::framings::{Counted, DLT645, Lines, RTU, dlt645, rtu};
use crate::watched::Watched;
use core::num::NonZeroUsize;
use dtu_proto::encode::{EncodeError, Sink};
use dtu_proto::testing::Cuts;
use dtu_proto::tokens::{MAX_TOKEN_LEN, MAX_TOKENS, MAX_TRIALS, TokenDeframer, TokenError, TokenSet, TokenStep};
use dtu_proto::{Examined, Framing, Malformed, Native};

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

/// How often the first candidate of a damaged native frame with `inside` in it was tried.
fn trials(tokens: &[&[u8]], inside: &[u8]) -> u64 {
    let tokens = tokens_of(tokens);
    let mut damaged = native(&[b"12", inside, b"34"].concat());
    damaged[6] ^= 1;
    damaged.extend([0; 20]);
    let mut deframer = TokenDeframer::new(Native::new(), &tokens);
    deframer.push(&damaged);
    assert!(matches!(deframer.next_step(), TokenStep::Skipped { cause: Malformed::Checksum { .. }, .. }));
    deframer.token_counters().trials
}

#[test]
fn what_gives_the_same_bytes_is_tried_once() {
    // Without one, without two, without three of them.
    assert_eq!(trials(&[&[0xFE]], &[0xFE; 3]), 3);
    // Without the first two or the last two: the same.
    assert_eq!(trials(&[&[0xFE; 2]], &[0xFE; 3]), 1);
    // Tokens that lie over each other are not taken out together.
    assert_eq!(trials(&[b"AB", b"BC"], b"ABC"), 2);
    assert_eq!(trials(&[b"AB", b"BC"], b"AB-BC"), 3);
}

#[test]
fn of_two_tokens_at_one_place_inside_a_frame_the_longer_is_tried_first() {
    // The frame ends in the byte by which the tokens differ, so it is whole without either.
    let tokens = tokens_of(&[&[0x55, 0xAA], &[0x55, 0xAA, 0x06]]);
    let whole = native(b"hi");
    assert_eq!(whole.last(), Some(&0x06));
    let (front, last) = whole.split_at(whole.len() - 1);
    for (token, index) in [(&[0x55, 0xAA][..], 0), (&[0x55, 0xAA, 0x06], 1)] {
        let pieces = closed(Native::new(), &tokens, &[front, token, last].concat(), Cuts::Of(1));
        let [Piece::Frame { bytes, removed, .. }] = &pieces.all[..] else { panic!("{:?}", pieces.all) };
        assert_eq!((bytes, &removed[..]), (&whole, &[index][..]));
    }
}

#[test]
fn a_token_that_lies_over_itself_is_taken_out_twice() {
    let tokens = tokens_of(&[&[0xFE; 2]]);
    let whole = native(b"0123456789");
    let pieces = closed(Native::new(), &tokens, &[&whole[..9], &[0xFE; 4], &whole[9..]].concat(), Cuts::Of(3));
    let [Piece::Frame { bytes, removed, .. }] = &pieces.all[..] else { panic!("{:?}", pieces.all) };
    assert_eq!((bytes, &removed[..]), (&whole, &[0, 0][..]));
}

#[test]
fn a_token_inside_a_start_marker_is_taken_out_wherever_the_stream_is_cut() {
    let tokens = tokens_of(&[b"PING"]);
    let whole = native(b"hi");
    let stream = [b"noise", &whole[..1], b"PING", &whole[1..]].concat();
    for size in 1..=stream.len() {
        let (pieces, _) = open(Native::new(), &tokens, &stream, Cuts::Of(size));
        assert_eq!(pieces.all.len(), 2, "{:?}", pieces.all);
        assert_eq!(pieces.payloads(), [b"hi"]);
    }
}

#[test]
fn a_framing_that_is_not_protected_is_not_repaired() {
    let tokens = tokens_of(&[b"PING"]);
    let framing = Counted { evidence: 15, ..DLT645 };
    let whole = dlt645(b"0123456789");
    let stream = [&whole[..12], b"PING", &whole[12..]].concat();
    assert!(closed(framing, &tokens, &stream, Cuts::Of(4)).payloads().is_empty());
    let protected = Counted { evidence: 16, ..DLT645 };
    assert_eq!(closed(protected, &tokens, &stream, Cuts::Of(4)).payloads(), [b"0123456789"]);
}

#[test]
fn what_is_asked_for_is_the_least_that_can_help() {
    let tokens = tokens_of(&[&[0x01, 0x03, 0x50, 0x60, 0x70], &[0x01, 0x04]]);
    let mut deframer = TokenDeframer::new(RTU, &tokens);
    deframer.push(&[0x01]);
    // The framing asks for two, the shorter token for one.
    assert_eq!(deframer.next_step(), TokenStep::NeedMore { at_least: NonZeroUsize::MIN });
    deframer.push(&[0x03, 0x50]);
    assert_eq!(deframer.next_step(), TokenStep::NeedMore { at_least: NonZeroUsize::new(2).expect("not 0") });
}

#[test]
fn silence_ends_the_wait_for_all_that_is_cut_off() {
    let tokens = tokens_of(&[b"PIPING"]);
    let mut deframer = TokenDeframer::new(Native::new(), &tokens);
    deframer.push(b"PIPI");
    assert_eq!(deframer.next_step(), TokenStep::NeedMore { at_least: NonZeroUsize::MIN });
    assert_eq!(deframer.abandon_candidate(), Some(TokenStep::Skipped { bytes: 4, cause: Malformed::Magic }));
    assert_eq!(deframer.abandon_candidate(), None);
}

/// A framing with a preamble of `FE` that it does not look into.
struct Preamble(Counted);

impl Framing for Preamble {
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        match candidate.iter().take_while(|&&byte| byte == 0xFE).count() {
            0 => self.0.examine(candidate),
            judged => Examined::Rejected { cause: Malformed::Fill, judged },
        }
    }

    fn find_start(&self, bytes: &[u8]) -> usize {
        self.0.find_start(bytes)
    }

    fn max_frame_len(&self) -> usize {
        self.0.max_frame_len()
    }

    fn evidence(&self) -> u32 {
        self.0.evidence()
    }

    fn encode_into(&self, header: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError> {
        self.0.encode_into(header, payload, sink)
    }
}

#[test]
fn a_token_that_begins_like_a_preamble_is_found_behind_one() {
    let tokens = tokens_of(&[b"\xFEPING"]);
    let stream = [b"\xFE\xFE\xFEPING\xFE\xFE", &dlt645(&[1])[..]].concat();
    for size in 1..=stream.len() {
        let pieces = closed(Preamble(DLT645), &tokens, &stream, Cuts::Of(size));
        let fill = Piece::Skipped { bytes: 2, cause: Malformed::Fill };
        assert_eq!(pieces.all[..3], [fill.clone(), Piece::Token(0), fill]);
        assert_eq!(pieces.payloads(), [[1]]);
    }
}

#[test]
fn no_buffer_is_kept_when_nothing_waits() {
    let tokens = tokens_of(&[b"PING"]);
    let (buffer, scratch) = (Watched::default(), Watched::default());
    let (held, tried) = (buffer.now.clone(), scratch.now.clone());
    let mut deframer = TokenDeframer::with_storage(Native::new(), &tokens, buffer, scratch).expect("they grow");
    let whole = native(b"hi");
    deframer.push(&[&whole[..7], b"PING", &whole[7..]].concat());
    assert!(matches!(deframer.next_step(), TokenStep::Frame { .. }));
    assert!(held.get() > 0 && tried.get() > 0);
    assert!(matches!(deframer.next_step(), TokenStep::NeedMore { .. }));
    assert_eq!((held.get(), tried.get()), (0, 0));
}

#[test]
fn tokens_and_frames_are_found_behind_long_noise_however_it_is_cut() {
    let tokens = tokens_of(&[b"PING"]);
    for noise in [200, 254, 255, 256, 257, 600] {
        let noise = vec![b'x'; noise];
        let frame = native(b"hi");
        let stream = [&noise[..], b"PING", &noise, &frame, &noise].concat();
        let whole = closed(Native::new(), &tokens, &stream, Cuts::Of(stream.len()));
        assert_eq!((whole.tokens(), whole.payloads()), (vec![0], vec![b"hi".to_vec()]));
        for size in [1, 7, 100, 256] {
            assert_eq!(closed(Native::new(), &tokens, &stream, Cuts::Of(size)).all, whole.all, "reads of {size}");
        }
    }
}
