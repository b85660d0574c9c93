use super::{LeftOut, MAX_AHEAD, MAX_AHEAD_PIECES, Piece, Reassembly, Segment};
use std::io;

/// What came out: runs of bytes, and gaps between them.
#[derive(Debug, PartialEq, Eq, Clone)]
enum Out {
    Bytes(Vec<u8>),
    Gap(u64),
}

struct Bench {
    reassembly: Reassembly,
    out: Vec<Out>,
}

impl Bench {
    fn new(first: u32) -> Self {
        Self { reassembly: Reassembly::new(first), out: Vec::new() }
    }

    fn segment(&mut self, sequence: u32, payload: &[u8]) -> &mut Self {
        self.take(Segment { sequence, payload, cut: 0, fin: false })
    }

    fn take(&mut self, segment: Segment<'_>) -> &mut Self {
        let out = &mut self.out;
        self.reassembly.segment(segment, &mut |piece| record(out, &piece)).expect("the sink takes all");
        self
    }

    fn give_up(&mut self) -> &mut Self {
        let out = &mut self.out;
        self.reassembly.give_up(&mut |piece| record(out, &piece)).expect("the sink takes all");
        self
    }

    fn finish(&mut self) -> &[Out] {
        let out = &mut self.out;
        self.reassembly.finish(&mut |piece| record(out, &piece)).expect("the sink takes all");
        &self.out
    }
}

fn record(out: &mut Vec<Out>, piece: &Piece<'_>) -> io::Result<()> {
    match (out.last_mut(), piece) {
        (Some(Out::Bytes(run)), Piece::Bytes(bytes)) => run.extend_from_slice(bytes),
        (_, Piece::Bytes(bytes)) => out.push(Out::Bytes(bytes.to_vec())),
        (_, Piece::Gap(len)) => out.push(Out::Gap(*len)),
    }
    Ok(())
}

fn bytes(text: &str) -> Out {
    Out::Bytes(text.as_bytes().to_vec())
}

#[test]
fn segments_out_of_order_come_out_in_order() {
    let mut bench = Bench::new(100);
    bench.segment(106, b"ghi").segment(103, b"def");
    assert_eq!(bench.out, [], "nothing is given out across a hole");
    assert_eq!(bench.segment(100, b"abc").finish(), [bytes("abcdefghi")]);
    assert_eq!(bench.reassembly.held(), 0);
}

#[test]
fn retransmissions_and_overlaps_are_left_out_and_counted() {
    let mut bench = Bench::new(0);
    bench.segment(0, b"abc").segment(0, b"abc").segment(2, b"Cd").segment(6, b"gh").segment(4, b"efGHi");
    assert_eq!(bench.finish(), [bytes("abcdefghi")], "the bytes that came first win");
    assert_eq!(bench.reassembly.left_out(), LeftOut { repeated: 6, before: 0, behind: 0 });
}

#[test]
fn sequence_numbers_wrap_around() {
    let mut bench = Bench::new(u32::MAX - 1);
    bench.segment(1, b"def").segment(u32::MAX - 1, b"abc").segment(u32::MAX, b"bc").segment(4, b"g");
    assert_eq!(bench.finish(), [bytes("abcdefg")]);
}

#[test]
fn a_gap_is_said_and_never_glued() {
    let mut bench = Bench::new(0);
    bench.segment(0, b"ab").segment(5, b"fg").segment(9, b"j");
    assert_eq!(bench.finish(), [bytes("ab"), Out::Gap(3), bytes("fg"), Out::Gap(2), bytes("j")]);
}

#[test]
fn what_comes_for_a_hole_that_was_given_up_is_a_repetition() {
    let mut bench = Bench::new(0);
    bench.segment(2, b"c").give_up().segment(0, b"abc").segment(3, b"d");
    assert_eq!(bench.finish(), [Out::Gap(2), bytes("cd")]);
    assert_eq!(bench.reassembly.left_out().repeated, 3);
}

#[test]
fn bytes_before_the_beginning_and_behind_the_end_are_counted() {
    let mut bench = Bench::new(100);
    bench.segment(97, b"xyzab").take(Segment { sequence: 102, payload: b"c", cut: 0, fin: true });
    assert!(bench.reassembly.is_closed());
    bench.segment(103, b"late").segment(90, b"early");
    assert_eq!(bench.finish(), [bytes("abc")]);
    assert_eq!(bench.reassembly.left_out(), LeftOut { repeated: 0, before: 8, behind: 4 });
}

#[test]
fn what_the_capture_cut_off_is_a_gap_unless_it_comes_again() {
    let cut = Segment { sequence: 0, payload: b"ab", cut: 2, fin: false };
    assert_eq!(Bench::new(0).take(cut).finish(), [bytes("ab"), Out::Gap(2)]);
    assert_eq!(Bench::new(0).take(cut).segment(4, b"e").finish(), [bytes("ab"), Out::Gap(2), bytes("e")]);
    assert_eq!(Bench::new(0).take(cut).segment(0, b"abcde").finish(), [bytes("abcde")]);
    let last = Segment { fin: true, ..cut };
    let mut bench = Bench::new(0);
    assert!(!bench.take(last).reassembly.is_closed());
    assert_eq!(bench.finish(), [bytes("ab"), Out::Gap(2)]);
}

#[test]
fn what_is_held_is_bounded() {
    let mut bench = Bench::new(0);
    for index in 0..u32::try_from(MAX_AHEAD_PIECES).expect("it is small") + 10 {
        bench.segment(1 + 2 * index, b"x");
        assert!(bench.reassembly.ahead.len() <= MAX_AHEAD_PIECES);
    }
    assert_eq!(bench.out[..2], [Out::Gap(1), bytes("x")]);
    let mut bench = Bench::new(0);
    let big = vec![7; MAX_AHEAD / 2];
    for index in 0..3 {
        bench.segment(1 + index * u32::try_from(big.len()).expect("it is small"), &big);
        assert!(bench.reassembly.ahead_bytes <= MAX_AHEAD);
    }
    assert_eq!(bench.finish(), [Out::Gap(1), Out::Bytes(vec![7; MAX_AHEAD / 2 * 3])]);
}

/// Against a map from position to byte: any order, any overlap, any repetition.
#[test]
fn agrees_with_a_naive_reassembly() {
    for seed in 0..500_u64 {
        let mut state = seed;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let stream: Vec<u8> = (0..200).map(|_| u8::try_from(random(256)).expect("below 256")).collect();
        let first = u32::MAX - u32::try_from(random(200)).expect("below 200");
        let mut bench = Bench::new(first);
        let mut seen = vec![false; stream.len()];
        for _ in 0..random(60) {
            let from = usize::try_from(random(200)).expect("below 200");
            let to = (from + usize::try_from(random(20)).expect("below 20")).min(stream.len());
            bench.segment(first.wrapping_add(u32::try_from(from).expect("below 200")), &stream[from..to]);
            seen[from..to].fill(true);
        }
        let mut expected: Vec<Out> = Vec::new();
        let covered = seen.iter().rposition(|&seen| seen).map_or(0, |last| last + 1);
        for (position, &seen) in seen[..covered].iter().enumerate() {
            match (expected.last_mut(), seen) {
                (Some(Out::Gap(len)), false) => *len += 1,
                (_, true) => {
                    record(&mut expected, &Piece::Bytes(&stream[position..=position])).expect("the sink takes all");
                }
                (_, false) => expected.push(Out::Gap(1)),
            }
        }
        assert_eq!(bench.finish(), expected, "seed {seed}");
        assert_eq!(bench.reassembly.held(), 0, "seed {seed}");
    }
}
