//! Which framing: real first bytes for each start marker that several framings have.

use crate::framings::{
    ALOTCER, CJT188, DDP, DLT645, GBT32960, HDLC, HJ212, IEC104, JTT808, Lines, MBUS, RTU, SL651, ddp, dlt645,
};
use dtu_proto::hex::Hex;
use dtu_proto::sniff::{Candidate, MAX_CANDIDATES, MAX_LOOK_LEN, SniffError, Sniffer, Verdict};
use dtu_proto::{Framing, Native};
use proptest::prelude::*;

fn candidates<'a>(native: &'a Native) -> [Candidate<'a>; 14] {
    [
        ("native", native as &(dyn Framing + Sync)),
        ("dlt645_2007", &DLT645),
        ("cjt188", &CJT188),
        ("mbus_long", &MBUS),
        ("iec104", &IEC104),
        ("jtt808", &JTT808),
        ("hdlc_ppp", &HDLC),
        ("sl651_hex", &SL651),
        ("hongdian_ddp_tcp", &DDP),
        ("alotcer_7b7d", &ALOTCER),
        ("hj212", &HJ212),
        ("gbt32960", &GBT32960),
        ("modbus_rtu", &RTU),
        ("line", &Lines),
    ]
    .map(|(name, framing)| Candidate { name, framing })
}

/// Bytes as `framings.toml` has them, with spaces anywhere.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).expect("ASCII"), 16).expect("hex"))
        .collect()
}

/// What each framing's devices say first, grouped by the marker that they share.
const FIRST: [(&str, &[&str]); 12] = [
    ("dlt645_2007", &["FEFEFEFE68AAAAAAAAAAAA681300DF16"]),
    ("dlt645_2007", &["6837030092813968910833333433373333338C16"]),
    ("cjt188", &["6820776655443322118109901F017856341200FFB116"]),
    ("cjt188", &["FEFEFE6810AAAAAAAAAAAAAA0303810A01B016"]),
    ("mbus_long", &["68040468080170088116"]),
    ("iec104", &["680407000000", "68040B000000", "681528009C003A010600030095110081080017130D086D"]),
    ("jtt808", &["7E00020000012345678900000A817E"]),
    ("hdlc_ppp", &["7EFF7D23C0217D297D217D207D287D32347D5E7D5DC02C7E"]),
    ("sl651_hex", &["7E7E01001234567812342F0008020003591011155111036BCA"]),
    (
        "hongdian_ddp_tcp",
        &["7B01001631333931323334353637380100000000007B", "7B0900193133393132333435363738010304000A000B9BF67B"],
    ),
    (
        "alotcer_7b7d",
        &["7B30150031333830303133383030304845415254424541547D", "7B30150031333830303133383030304845415254424541547D"],
    ),
    (
        "gbt32960",
        &[
            "232301FE4C5A59545547455735473130353935343501001E12061610150F001F38393836303631363032303034363337393632390100A8",
        ],
    ),
];

const HJ212_FIRST: &[u8] = b"##0101QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&1C80\r\n";

fn first_bytes() -> Vec<(&'static str, Vec<u8>)> {
    let mut first: Vec<_> = FIRST.iter().map(|(name, frames)| (*name, hex(&frames.concat()))).collect();
    first.push(("hj212", HJ212_FIRST.to_vec()));
    first.push(("modbus_rtu", hex("010304000A000B9BF6").repeat(2)));
    first
}

#[test]
fn the_real_frames_of_each_framing_decide_for_it_when_the_line_is_silent() {
    let native = Native::new();
    let list = candidates(&native);
    for (name, first) in first_bytes() {
        let mut sniffer = Sniffer::new(&list).expect("in bounds");
        let looked = sniffer.look(&first);
        let scores: Vec<_> = sniffer.scores().collect();
        let Verdict::Decided { index, score, lead } = sniffer.settle(&first) else {
            panic!("{name}: {looked:?}, {scores:?}")
        };
        assert_eq!(list[index].name, name, "{scores:?}");
        assert!(score > 0 && lead > Some(0), "{name}: {score} {lead:?} {scores:?}");
        if let Verdict::Decided { index: earlier, .. } = looked {
            assert_eq!(earlier, index, "{name}");
        }
    }
}

#[test]
fn no_part_of_real_frames_decides_for_another_framing() {
    let native = Native::new();
    let list = candidates(&native);
    for (name, first) in first_bytes() {
        let stream = first.repeat(6);
        let mut sniffer = Sniffer::new(&list).expect("in bounds");
        let mut decided = None;
        for len in 0..=stream.len() {
            match sniffer.look(&stream[..len]) {
                Verdict::Decided { index, .. } => {
                    assert_eq!(list[index].name, name, "after {len} bytes");
                    decided = decided.or(Some(len));
                }
                Verdict::Undecided { at_most } => assert_eq!(at_most, MAX_LOOK_LEN - len),
                Verdict::NoneFits => panic!("{name} fits"),
            }
        }
        let after = decided.unwrap_or_else(|| panic!("{name}: {:?}", sniffer.scores().collect::<Vec<_>>()));
        assert!(after <= stream.len());
    }
}

#[test]
fn two_that_are_close_are_looked_at_for_longer() {
    // A frame of IEC 104 says little: it could as well be the beginning of a frame of CJ/T 188.
    let list = [("iec104", &IEC104 as &(dyn Framing + Sync)), ("cjt188", &CJT188)]
        .map(|(name, framing)| Candidate { name, framing });
    let mut sniffer = Sniffer::new(&list).expect("in bounds");
    let stream = hex("680407000000").repeat(5);
    let decided = (0..=stream.len()).find(|&len| matches!(sniffer.look(&stream[..len]), Verdict::Decided { .. }));
    // Two frames have enough evidence, but a frame of CJ/T 188 may have begun with each of them.
    assert_eq!(decided, Some(18));
}

#[test]
fn of_the_same_score_the_first_in_the_list_wins_when_no_more_comes() {
    let list = [("mbus_long", &MBUS as &(dyn Framing + Sync)), ("iec101_variable", &MBUS)]
        .map(|(name, framing)| Candidate { name, framing });
    let mut sniffer = Sniffer::new(&list).expect("in bounds");
    let first = hex("68040468080170088116");
    assert_eq!(sniffer.look(&first), Verdict::Undecided { at_most: MAX_LOOK_LEN - 10 });
    assert_eq!(sniffer.settle(&first), Verdict::Decided { index: 0, score: 40, lead: Some(0) });
    let long = first.repeat(410);
    assert!(matches!(sniffer.look(&long), Verdict::Decided { index: 0, lead: Some(0), .. }));
    assert!(matches!(sniffer.look(&long[..MAX_LOOK_LEN]), Verdict::Decided { index: 0, lead: Some(0), .. }));
}

#[test]
fn candidates_of_one_name_do_not_hold_each_other_up() {
    let list = [("mbus_long", &MBUS as &(dyn Framing + Sync)), ("mbus_long", &MBUS)]
        .map(|(name, framing)| Candidate { name, framing });
    let mut sniffer = Sniffer::new(&list).expect("in bounds");
    assert_eq!(sniffer.look(&hex("68040468080170088116")), Verdict::Decided { index: 0, score: 40, lead: None });
}

#[test]
fn what_is_none_of_them_is_said_early_and_at_the_end() {
    let list = [Candidate { name: "dlt645_2007", framing: &DLT645 }, Candidate { name: "ddp", framing: &DDP }];
    let mut sniffer = Sniffer::new(&list).expect("in bounds");
    let text = b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n".repeat(4);
    // 8 for the run, and 120 bytes.
    assert_eq!(sniffer.look(&text[..119]), Verdict::Undecided { at_most: MAX_LOOK_LEN - 119 });
    assert_eq!(sniffer.settle(&text[..119]), Verdict::NoneFits);
    assert_eq!(sniffer.look(&text[..120]), Verdict::NoneFits);
    assert_eq!(sniffer.settle(b""), Verdict::NoneFits);
    // One of two that lost is not both.
    let mut sniffer = Sniffer::new(&list).expect("in bounds");
    let late = [&[0x7B, 0x01, 0x04, 0x00][..], &[0; 300]].concat();
    assert!(matches!(sniffer.look(&late), Verdict::Undecided { .. }));
}

#[test]
fn noise_in_front_costs_and_does_not_decide() {
    let list = [Candidate { name: "dlt645_2007", framing: &DLT645 }];
    let mut sniffer = Sniffer::new(&list).expect("in bounds");
    let first = [&[0; 20][..], &dlt645(&[]), &dlt645(&[])].concat();
    assert_eq!(sniffer.look(&first[..20]), Verdict::Undecided { at_most: MAX_LOOK_LEN - 20 });
    assert_eq!(sniffer.scores().collect::<Vec<_>>(), [("dlt645_2007", -28, -28)]);
    assert_eq!(sniffer.look(&first[..25]), Verdict::Undecided { at_most: MAX_LOOK_LEN - 25 });
    assert_eq!(sniffer.scores().collect::<Vec<_>>(), [("dlt645_2007", -28, 4)]);
    assert_eq!(sniffer.look(&first[..32]), Verdict::Undecided { at_most: MAX_LOOK_LEN - 32 });
    assert_eq!(sniffer.look(&first), Verdict::Decided { index: 0, score: 36, lead: None });
}

#[test]
fn fill_costs_nothing() {
    let list = [Candidate { name: "hdlc_ppp", framing: &HDLC }];
    let mut sniffer = Sniffer::new(&list).expect("in bounds");
    let first = [&[0x7E; 100][..], &hex("7EFF7D23C0217D297D217D207D287D32347D5E7D5DC02C7E")].concat();
    assert_eq!(sniffer.look(&first), Verdict::Decided { index: 0, score: 32, lead: None });
}

#[test]
fn a_list_has_bounds() {
    let one = Candidate { name: "rtu", framing: &RTU };
    assert_eq!(Sniffer::new(&[]).map(|_| ()), Err(SniffError::NoCandidate));
    assert!(Sniffer::new(&[one; MAX_CANDIDATES]).is_ok());
    let count = MAX_CANDIDATES + 1;
    assert_eq!(Sniffer::new(&[one; MAX_CANDIDATES + 1]).map(|_| ()), Err(SniffError::TooMany { count }));
}

#[test]
fn bytes_behind_the_look_do_not_count() {
    let list = [Candidate { name: "native", framing: &DLT645 }];
    let mut sniffer = Sniffer::new(&list).expect("in bounds");
    let late = [&[0x68][..], &[0x68; MAX_LOOK_LEN][..], &dlt645(&[])].concat();
    assert_eq!(sniffer.look(&late), Verdict::NoneFits);
    assert_eq!(sniffer.settle(&late), Verdict::NoneFits);
}

proptest! {
    #[test]
    fn the_verdict_does_not_depend_on_how_the_bytes_came(which in 0..14_usize, noise in proptest::collection::vec(any::<u8>(), 0..30), repeats in 1..4_usize, step in 1..20_usize) {
        let native = Native::new();
        let list = candidates(&native);
        let (_, first) = &first_bytes()[which];
        let stream = [&noise[..], &first.repeat(repeats), &ddp(1, &noise)].concat();
        let mut at_once = Sniffer::new(&list).expect("in bounds");
        let mut in_parts = at_once.clone();
        for len in (0..stream.len()).step_by(step) {
            let _ = in_parts.look(&stream[..len]);
        }
        prop_assert_eq!(in_parts.look(&stream), at_once.look(&stream));
        prop_assert_eq!(in_parts.scores().collect::<Vec<_>>(), at_once.scores().collect::<Vec<_>>());
        prop_assert_eq!(in_parts.settle(&stream), at_once.settle(&stream), "{}", Hex(&stream));
    }
}
