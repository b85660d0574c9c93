//! Framings by declaration: known answers, every cut, every damage, and any specification at all.

use dtu_proto::checksum::catalogue::{CRC_16_IBM_SDLC, CRC_16_MCRF4XX};
use dtu_proto::checksum::{Algorithm, Crc};
use dtu_proto::framing::{Examined, abandon_candidate, next_step};
use dtu_proto::fuzzing::{any_split_agrees, framing_spec};
use dtu_proto::spec::{ByteSet, Check, Declared, Escape, Field, FrameSpec, Length, Problem};
use dtu_proto::testing::{Cuts, Dirty, End, Piece, Pieces, Seeded, deframe};
use dtu_proto::{Framing, Malformed, Native, Step};

static DLT645: Declared = FrameSpec::new(212)
    .start(&[0x68])
    .preamble(0xFE)
    .fixed(7, &[0x68])
    .length(Length::byte(9).adjust(12))
    .check(Check::new(Algorithm::Sum8, 2))
    .end(&[0x16])
    .declared();
static MBUS_LONG: Declared = FrameSpec::new(261)
    .start(&[0x68])
    .fixed(3, &[0x68])
    .length(Length::byte(1).adjust(6).repeat(2))
    .check(Check::new(Algorithm::Sum8, 2).from(4))
    .end(&[0x16])
    .min_len(9)
    .declared();
static MBUS_SHORT: Declared =
    FrameSpec::of_fixed_len(5).start(&[0x10]).check(Check::new(Algorithm::Sum8, 2).from(1)).end(&[0x16]).declared();
static IEC104: Declared = FrameSpec::new(255).start(&[0x68]).length(Length::byte(1).adjust(2)).min_len(6).declared();
static MODBUS_TCP: Declared =
    FrameSpec::new(260).fixed(2, &[0, 0]).length(Length::big(4, 2).adjust(6)).min_len(8).declared();
static HJ212: Declared = FrameSpec::new(1036)
    .start(b"##")
    .length(Length::decimal(2, 4).adjust(12))
    .check(Check::new(Algorithm::Hj212, 6).from(6).hex())
    .end(b"\r\n")
    .declared();
static UBX: Declared = FrameSpec::new(65_543)
    .start(&[0xB5, 0x62])
    .length(Length::little(4, 2).adjust(8))
    .check(Check::new(Algorithm::Fletcher8, 2).from(2))
    .declared();
static SL651: Declared = FrameSpec::new(4112)
    .start(&[0x7E, 0x7E])
    .length(Length::big(11, 2).mask(0x0FFF).adjust(17))
    .check(Check::new(Algorithm::Crc(dtu_proto::checksum::catalogue::CRC_16_MODBUS), 2))
    .payload_from(14)
    .declared();
static JTT808: Declared = FrameSpec::new(2100)
    .start(&[0x7E])
    .shared()
    .escape(Escape::map(0x7D, &[(1, 0x7D), (2, 0x7E)]))
    .check(Check::new(Algorithm::Xor8, 2).from(1))
    .end(&[0x7E])
    .min_len(15)
    .declared();
static SLIP: Declared =
    FrameSpec::new(2048).escape(Escape::map(0xDB, &[(0xDC, 0xC0), (0xDD, 0xDB)])).end(&[0xC0]).declared();
static HDLC_PPP: Declared = FrameSpec::new(3016)
    .start(&[0x7E])
    .shared()
    .escape(Escape::xor_also(0x7D, 0x20, ByteSet::EMPTY.with(0, 0x1F)))
    .check(Check::new(Algorithm::Crc(CRC_16_IBM_SDLC), 3).from(1).little())
    .end(&[0x7E])
    .declared();
static HDLC_DLMS: Declared = FrameSpec::new(2049)
    .start(&[0x7E])
    .length(Length::big(1, 2).mask(0x07FF).adjust(2))
    .check(Check::new(Algorithm::Crc(CRC_16_IBM_SDLC), 3).from(1).little())
    .end(&[0x7E])
    .declared();
static NMEA: Declared = FrameSpec::new(120)
    .start(b"$")
    .start(b"!")
    .fixed(-5, b"*")
    .check(Check::new(Algorithm::Xor8, 4).from(1).trim(5).hex())
    .end(b"\r\n")
    .declared();
static IHDMP: Declared = FrameSpec::new(65_544)
    .start(&[0x55, 0xAA, 0x55, 0xAA])
    .start(&[0xAA, 0x55, 0xAA, 0x55])
    .length(Length::big(5, 2).adjust(9))
    .check(Check::new(Algorithm::Crc(CRC_16_IBM_SDLC), 2).little())
    .declared();
static LINES: Declared = FrameSpec::new(80).end(b"\r\n").declared();

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|char| char.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).expect("two digits")).collect()
}

/// Framings with a frame, and the payload that its sender meant.
fn known() -> Vec<(&'static str, &'static Declared, Vec<u8>, Vec<u8>)> {
    let of = |name, declared, frame: &str, payload: &str| (name, declared, unhex(frame), unhex(payload));
    let hj212 = "QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&";
    let nmea = "GPGGA,132820.60,4134.49821229,N,09345.03351845,W,2,09,1.0,278.020,M,-31.442,M,7.6,0133";
    vec![
        of("dlt645", &DLT645, "68370300928139689108333334333733 3333 8C16", "3333343337333333"),
        of("dlt645 empty", &DLT645, "68AAAAAAAAAAAA681300DF16", ""),
        of("mbus_long", &MBUS_LONG, "680404680801700881 16", "08017008"),
        of("mbus_short", &MBUS_SHORT, "1040014116", "4001"),
        of("iec104", &IEC104, "680407000000", "07000000"),
        of("modbus_tcp", &MODBUS_TCP, "000100000006010F00000003", "010F00000003"),
        ("hj212", &HJ212, format!("##0101{hj212}1C80\r\n").into_bytes(), hj212.into()),
        of("ubx", &UBX, "B56206080600E803010001000139", "E80301000100"),
        of("sl651", &SL651, "7E7E01001234567812342F0008020003591011155111036BCA", "000359101115511103"),
        of("jtt808", &JTT808, "7E00020000012345678900000A817E", "00020000012345678900000A"),
        of(
            "jtt808 escapes",
            &JTT808,
            "7E 02 00 00 26 12 34 56 78 90 12 00 7D 02 00 00 00 01 00 00 00 02 00BA7F0E07E4 F1 1C 00 28 00 3C 00 00 18 10 15 \
             10 10 10 01 04 00 00 00 64 02 02 00 7D 01 13 7E",
            "02 00 00 26 12 34 56 78 90 12 00 7E 00 00 00 01 00 00 00 02 00BA7F0E07E4 F1 1C 00 28 00 3C 00 00 18 10 15 10 10 \
             10 01 04 00 00 00 64 02 02 00 7D",
        ),
        of("slip", &SLIP, "DBDC DBDD 01 C0", "C0DB01"),
        of("hdlc_ppp", &HDLC_PPP, "7EFF7D23C0217D297D217D207D287D32347D5E7D5DC02C7E", "FF03C0210901000812347E7D"),
        of("hdlc_dlms", &HDLC_DLMS, "7EA0070321930F017E", "032193"),
        ("nmea", &NMEA, format!("${nmea}*7E\r\n").into_bytes(), nmea.into()),
        of("ihdmp", &IHDMP, "55AA55AA0300001165", ""),
        ("lines", &LINES, b"21.5 C\r\n".to_vec(), b"21.5 C".to_vec()),
    ]
}

fn header(frame: &dtu_proto::Frame<'_>) -> Vec<u8> {
    frame.as_bytes()[..frame.payload_range().start].to_vec()
}

#[test]
fn known_frames_decode_and_encode_to_the_same_bytes() {
    for (name, declared, bytes, payload) in known() {
        let Step::Frame(frame) = next_step(declared, &bytes) else {
            panic!("{name}: {:?}", next_step(declared, &bytes))
        };
        assert_eq!(frame.as_bytes(), bytes, "{name}");
        let mut meant = Vec::new();
        declared.payload_into(&frame, &mut meant);
        assert_eq!(meant, payload, "{name}");
        let mut again = Vec::new();
        assert_eq!(declared.encode_into(&header(&frame), &payload, &mut again), Ok(()), "{name}");
        assert_eq!(again, bytes, "{name}");
    }
}

#[test]
fn every_truncation_waits_for_no_more_than_the_frame() {
    for (name, declared, bytes, _) in known() {
        for len in 0..bytes.len() {
            let Examined::NeedMore { at_least } = declared.examine(&bytes[..len]) else {
                panic!("{name}: {:?} at {len}", declared.examine(&bytes[..len]));
            };
            assert!(len + at_least.get() <= bytes.len(), "{name}: {at_least} more at {len}");
        }
    }
}

#[test]
fn no_flipped_bit_passes_a_checksum() {
    for (name, declared, bytes, _) in known() {
        if declared.evidence() < 8 || ["iec104", "modbus_tcp"].contains(&name) {
            continue;
        }
        // Without its lead, an escape of JT/T 808 has the same exclusive or: 7C 02 and 7E.
        if name == "jtt808 escapes" {
            continue;
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // The other case of a digit is the same digit.
            let same = damaged.eq_ignore_ascii_case(&bytes) && ["hj212", "nmea"].contains(&name);
            // A start that is shared need not be there.
            let frame = match declared.examine(&damaged) {
                Examined::Frame(frame) => frame.encoded_len() == bytes.len(),
                Examined::NeedMore { .. } | Examined::Rejected { .. } => false,
            };
            assert!(!frame || same, "{name}, bit {bit}: {damaged:02x?}");
        }
    }
}

#[test]
fn frames_between_noise_are_found_however_the_stream_is_cut() {
    for (name, declared, bytes, _) in known() {
        let noise = if ["slip", "lines"].contains(&name) { &bytes[bytes.len() - 1..] } else { b"\x99\x98noise\x99" };
        // What begins behind a delimiter alone needs one in front.
        let noise = if name == "lines" { b"\r\n" } else { noise };
        let mut stream = noise.to_vec();
        for _ in 0..3 {
            stream.extend_from_slice(&bytes);
            stream.extend_from_slice(noise);
        }
        stream.extend_from_slice(&bytes[..bytes.len() / 2]);
        let mut frames = 0;
        declared.walk(&stream, |step| {
            frames += usize::from(matches!(step, Step::Frame(frame) if frame.as_bytes() == bytes))
        });
        if !declared.is_escaped() || name == "slip" {
            assert_eq!(frames, 3, "{name}");
        }
        for size in 1..=stream.len().min(40) {
            any_split_agrees(declared, &stream, Cuts::Of(size));
        }
        for seed in 0..20 {
            any_split_agrees(declared, &stream, Cuts::Seeded(seed));
        }
    }
}

#[test]
fn flags_between_frames_may_be_one_or_two() {
    let one = unhex("7E00020000012345678900000A817E");
    let inner = &one[1..];
    let stream = [b"\x24\x24", &one[..], inner, &one, b"\x7E\x7E", inner].concat();
    let mut steps = Vec::new();
    JTT808.walk(&stream, |step| steps.push(step));
    let frames = steps.iter().filter(|step| matches!(step, Step::Frame(_))).count();
    assert_eq!(frames, 4, "{steps:?}");
    assert!(steps.iter().any(|step| matches!(step, Step::Skipped { bytes: 1, cause: Malformed::Fill })), "{steps:?}");
    // A frame that begins behind the flag of another gets one of its own when it is encoded.
    let Examined::Frame(frame) = JTT808.examine(inner) else { panic!("its start was lent") };
    let mut again = Vec::new();
    JTT808.encode_into(&header(&frame), frame.payload(), &mut again).unwrap();
    assert_eq!(again, one);
}

#[test]
fn a_start_that_is_not_shared_is_asked_for() {
    let spec = FrameSpec { shared: false, check: None, min_len: None, ..*JTT808.spec() };
    let declared = spec.compile().unwrap();
    let stream = unhex("24247E307D02087D01557E");
    assert_eq!(next_step(&declared, &stream), Step::Skipped { bytes: 2, cause: Malformed::Magic });
    let Step::Frame(frame) = next_step(&declared, &stream[2..]) else { panic!("it is whole") };
    let mut meant = Vec::new();
    declared.payload_into(&frame, &mut meant);
    assert_eq!(meant, unhex("307E087D55"));
}

#[test]
fn a_frame_behind_a_false_start_is_found_by_going_back() {
    let stream = unhex("68FEFEFEFEFEFE6888888888888868110433333433E216");
    // The false header is sound, and what it asks for does not come.
    assert!(matches!(next_step(&DLT645, &stream), Step::NeedMore { .. }));
    let mut rest = &stream[..];
    let mut given_up = 0;
    let frame = loop {
        match next_step(&DLT645, rest) {
            Step::Frame(frame) => break frame,
            Step::Skipped { bytes, .. } => rest = &rest[bytes..],
            Step::NeedMore { .. } => {
                rest = &rest[abandon_candidate(&DLT645, rest).unwrap().covered()..];
                given_up += 1;
            }
        }
    };
    assert_eq!((frame.as_bytes(), given_up), (&stream[7..], 1));
}

fn steps<'a>(declared: &Declared, stream: &'a [u8]) -> Vec<Step<'a>> {
    let mut steps = Vec::new();
    declared.walk(stream, |step| steps.push(step));
    steps
}

#[test]
fn noise_with_starts_in_it_does_not_lose_the_frame_behind_it() {
    for (name, declared, bytes, _) in known() {
        if !["nmea", "hdlc_ppp", "jtt808", "mbus_short"].contains(&name) {
            continue;
        }
        for noise in [&bytes[..1], &bytes[..3], b"xx", &bytes[1..4], &[0x7D], b"$!$", &[0x7E, 0x7E, 0x78, 0x7E]] {
            let stream = [noise, &bytes].concat();
            let steps = steps(declared, &stream);
            assert!(
                steps.iter().any(|step| matches!(step, Step::Frame(frame) if frame.as_bytes().ends_with(&bytes[1..]))),
                "{name} behind {noise:02x?}: {steps:?}"
            );
        }
    }
}

#[test]
fn a_line_that_does_not_end_is_given_up_at_the_limit_with_its_delimiter_whole() {
    let stream = [&[b'x'; 79][..], b"\r\n", b"21.5 C\r\n"].concat();
    let expected = [(79, Malformed::OverLimit { length: 79, limit: 78 }), (2, Malformed::Fill)];
    let skipped = |step: &Step<'_>| match step {
        Step::Skipped { bytes, cause } => Some((*bytes, *cause)),
        Step::Frame(_) | Step::NeedMore { .. } => None,
    };
    let steps = steps(&LINES, &stream);
    assert_eq!(steps.iter().filter_map(skipped).collect::<Vec<_>>(), expected);
    assert!(matches!(steps[2], Step::Frame(frame) if frame.payload() == b"21.5 C"), "{steps:?}");
}

#[test]
fn a_frame_whose_start_was_lent_is_no_longer_than_one_with_its_own() {
    let flags = FrameSpec::new(6).start(&[0x7E]).end(&[0x7E]).shared().declared();
    assert!(matches!(flags.examine(b"abcd\x7E"), Examined::Frame(_)));
    assert!(matches!(flags.examine(b"\x7Eabcd\x7E"), Examined::Frame(_)));
    let over = Malformed::OverLimit { length: 5, limit: 4 };
    assert_eq!(flags.examine(b"abcde\x7E"), Examined::Rejected { cause: over, judged: 5 });
    assert_eq!(flags.examine(b"\x7Eabcde\x7E"), Examined::Rejected { cause: over, judged: 6 });
}

#[test]
fn causes_name_what_is_wrong() {
    let cause = |declared: &Declared, hex: &str| match declared.examine(&unhex(hex)) {
        Examined::Rejected { cause, .. } => cause,
        other @ (Examined::Frame(_) | Examined::NeedMore { .. }) => panic!("{other:?} of {hex}"),
    };
    assert_eq!(cause(&MBUS_LONG, "680405680801700881 16"), Malformed::LengthGuard { length: 4, guard: 5 });
    assert_eq!(cause(&MBUS_LONG, "680404690801700881 16"), Malformed::Marker { at: 3 });
    assert_eq!(cause(&MBUS_LONG, "680404680801700881 17"), Malformed::Marker { at: 9 });
    assert_eq!(cause(&MBUS_LONG, "680404680801700882 16"), Malformed::Checksum { computed: 0x81, found: 0x82 });
    assert_eq!(cause(&MBUS_LONG, "680202680801700882 16"), Malformed::Length { found: 2 });
    assert_eq!(cause(&DLT645, "68AAAAAAAAAAAA6813C9DF16"), Malformed::OverLimit { length: 201, limit: 200 });
    assert_eq!(cause(&HJ212, "2323303A3031"), Malformed::Length { found: 0x303A_3031 });
    assert_eq!(cause(&HJ212, "2323 30303030 46474646 0D0A"), Malformed::Marker { at: 6 });
    assert_eq!(cause(&JTT808, "7E00020000012345678900000A7D037E"), Malformed::Escape { at: 13 });
    assert_eq!(cause(&SLIP, "C0"), Malformed::Fill);
    assert_eq!(cause(&DLT645, "FEFE"), Malformed::Fill);
}

#[test]
fn the_native_frame_by_declaration_gives_the_native_steps() {
    for limit in [0, 1, 16, 300, u16::MAX] {
        let spec = FrameSpec { max_len: Some(usize::from(limit) + 10), ..FrameSpec::NATIVE };
        let declared = spec.compile().unwrap();
        // A length that is one of few is evidence too.
        assert_eq!(declared.evidence(), 64 + 65_536_u32.div_euclid(u32::from(limit) + 1).ilog2());
        for seed in 0..60 {
            let stream = Dirty::seeded(seed, limit).bytes;
            let expected = deframe(&stream, limit.into(), End::Open);
            let mut pieces = Pieces::default();
            let covered = declared.walk(&stream, |step| pieces.push(&step));
            let pieces: Vec<Piece> = pieces.into_vec();
            assert_eq!(
                (pieces, stream.len() - covered),
                (expected.pieces, expected.rest),
                "seed {seed}, limit {limit}"
            );
        }
    }
    for payload in [&b""[..], b"21.5 C", &[0xD7; 300]] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        FrameSpec::NATIVE.declared().encode_into(&[], payload, &mut ours).unwrap();
        Native::new().encode_into(&[], payload, &mut theirs).unwrap();
        assert_eq!(ours, theirs);
    }
}

#[test]
fn contradictions_are_refused_with_their_field() {
    let sum = Check::new(Algorithm::Sum8, 1);
    let crc = |width| Algorithm::Crc(Crc { width, ..CRC_16_MCRF4XX });
    let ended = FrameSpec::new(100).end(&[0xC0]);
    let sized = FrameSpec::new(100).start(&[0x68]);
    let flags = FrameSpec::new(100).start(&[0x7E]).end(&[0x7E]);
    let one = Length::byte(1).adjust(2);
    let refused = [
        (FrameSpec { max_len: None, ..ended }, Field::MaxLen),
        (FrameSpec::new(0).end(&[0xC0]), Field::MaxLen),
        (FrameSpec::new(1 << 21).end(&[0xC0]), Field::MaxLen),
        (FrameSpec::new(3).start(&[1, 2]).end(&[3, 4]), Field::MaxLen),
        (sized, Field::End),
        (sized.start(&[1, 2]).end(&[0xC0]), Field::Start),
        (FrameSpec { fixed_len: Some(99), ..sized }, Field::FixedLen),
        (FrameSpec { fixed_len: Some(100), ..sized }.length(one), Field::FixedLen),
        (FrameSpec { fixed_len: Some(100), ..ended }.escape(Escape::xor(0xDB, 0x20)), Field::FixedLen),
        (FrameSpec { fixed_len: Some(100), ..sized }.min_len(99), Field::MinLen),
        (sized.length(one).shared(), Field::Shared),
        (ended.shared(), Field::Shared),
        (ended.preamble(0xFE), Field::Preamble),
        (sized.length(one).preamble(0x68), Field::Preamble),
        (flags.preamble(0x55).shared(), Field::Preamble),
        (FrameSpec::new(100).start(b"%%").end(b"%%"), Field::End),
        (ended.end(b"\r\n").escape(Escape::xor(0xDB, 0x20)), Field::End),
        (sized.length(one).fixed(1, &[1]), Field::LengthAt),
        (sized.fixed(0, &[1]).length(one), Field::Fixed),
        (sized.fixed(64, &[1]).length(one), Field::Fixed),
        (sized.fixed(-1, &[1, 2]).length(one), Field::Fixed),
        (sized.fixed(-33, &[1]).length(one), Field::Fixed),
        (sized.length(Length::byte(64)), Field::LengthAt),
        (sized.length(Length::big(1, 5)), Field::LengthWidth),
        (sized.length(Length::decimal(1, 9)), Field::LengthWidth),
        (sized.length(Length::decimal(1, 1)), Field::LengthWidth),
        (FrameSpec::new(300).start(&[0x68]).length(one), Field::LengthWidth),
        (sized.length(Length::big(1, 2).mask(0x3F)), Field::LengthMask),
        (sized.length(Length::big(1, 2).mask(0x0F0F)), Field::LengthMask),
        (sized.length(Length::big(1, 2).mask(0)), Field::LengthMask),
        (sized.length(Length::byte(1).mask(0x1FF)), Field::LengthMask),
        (sized.length(one.adjust(101)), Field::LengthAdjust),
        (sized.length(one.adjust(-300)), Field::LengthAdjust),
        (sized.length(one.repeat(1)), Field::LengthRepeat),
        (sized.length(Length::decimal(1, 3).repeat_complemented(4)), Field::LengthRepeat),
        (ended.escape(Escape::xor(0xC0, 0x20)), Field::EscapeLead),
        (ended.escape(Escape::xor(0xDB, 0)), Field::EscapeXor),
        (ended.escape(Escape::xor(0xDB, 0x1B)), Field::EscapeXor),
        (ended.escape(Escape::map(0xDB, &[(0xDC, 0xC0)])), Field::EscapeMap),
        (ended.escape(Escape::map(0xDB, &[(0xC0, 0xC0), (0xDD, 0xDB)])), Field::EscapeMap),
        (ended.escape(Escape::map(0xDB, &[(1, 0xC0), (1, 0xDB)])), Field::EscapeMap),
        (ended.escape(Escape::map(0xDB, &[(1, 0xC0), (2, 0xDB), (0xC0, 0xDB)])), Field::EscapeMap),
        (ended.check(sum), Field::CheckPlace),
        (ended.check(Check { place: 33, ..sum }), Field::CheckPlace),
        (ended.check(Check { place: 0, ..sum }), Field::CheckPlace),
        (ended.check(Check::new(Algorithm::Sum8, 2).from(1)), Field::CheckFrom),
        (ended.check(Check::new(Algorithm::Sum8, 2).trim(1)), Field::CheckTrim),
        (ended.check(Check::new(Algorithm::Sum8, 2).trim(3)), Field::CheckTrim),
        (ended.check(Check::new(crc(7), 2)), Field::CheckWidth),
        (ended.check(Check::new(crc(33), 5)), Field::CheckWidth),
        (ended.check(Check::new(crc(12), 3)), Field::CheckPoly),
        (ended.check(Check::new(Algorithm::Crc(Crc { poly: 0, ..CRC_16_MCRF4XX }), 3)), Field::CheckPoly),
        (ended.check(Check::new(Algorithm::Crc(Crc { init: 0x1_0000, ..CRC_16_MCRF4XX }), 3)), Field::CheckInit),
        (ended.check(Check::new(Algorithm::Crc(Crc { xor_out: 0x1_0000, ..CRC_16_MCRF4XX }), 3)), Field::CheckXorOut),
        (ended.check(Check::new(Algorithm::Sum8, 3)), Field::PayloadTrim),
        (sized.length(one).payload_from(1), Field::PayloadFrom),
        (sized.length(one).payload_from(65), Field::PayloadFrom),
        (sized.length(one).min_len(1), Field::MinLen),
        (sized.length(one).min_len(101), Field::MinLen),
    ];
    for (spec, field) in refused {
        let error = spec.compile().map(|declared| declared.evidence()).expect_err(field.key());
        assert_eq!(error.field, field, "{error}, {spec:?}");
        assert!(error.to_string().starts_with(field.key()), "{error}");
    }
    let error = FrameSpec::new(300).start(&[0x68]).length(one).compile().unwrap_err();
    assert_eq!(error.problem, Problem::CannotHold { value: 298, max: 255 });
}

#[test]
fn what_a_specification_lacks_or_mixes_is_said_in_full() {
    let sized = FrameSpec::new(100).start(&[0x68]);
    for (spec, problem, text) in [
        (sized, Problem::Endless, "end: none of length, fixed_len and end says where a frame ends"),
        (sized.escape(Escape::xor(0xDB, 0x20)), Problem::Missing, "end: is missing"),
        (
            sized.start(&[0x23]).start(&[1, 2]).end(&[0xC0]),
            Problem::Unequal { first: 1, other: 2 },
            "start: markers of 1 and of 2 bytes, and all starts have to be of one length",
        ),
    ] {
        let error = spec.compile().expect_err(text);
        assert_eq!((error.problem, error.to_string()), (problem, text.to_owned()));
    }
}

#[test]
fn any_specification_keeps_the_contract_over_any_bytes() {
    for seed in 0..8_000 {
        let mut seeded = Seeded(seed);
        let mut input = vec![0; 40 + seeded.below(160)];
        seeded.fill(&mut input);
        let told = std::panic::catch_unwind(|| framing_spec(&input));
        assert!(told.is_ok(), "seed {seed}");
    }
}

#[test]
fn a_preamble_is_one_step_however_long_it_is() {
    let frame = unhex("68AAAAAAAAAAAA681300DF16");
    let stream = [&[0xFE; 5000][..], &frame].concat();
    let expected = [Step::Skipped { bytes: 5000, cause: Malformed::Fill }, next_step(&DLT645, &frame)];
    assert_eq!(steps(&DLT645, &stream)[..2], expected);
    let mut deframer = dtu_proto::Deframer::new(&DLT645);
    deframer.push(&stream[4990..]);
    while !matches!(deframer.next_step(), Step::NeedMore { .. }) {}
    assert_eq!((deframer.counters().fill.count, deframer.counters().fill.bytes), (1, 10));
}

#[test]
fn the_first_start_is_found_wherever_it_stands() {
    let declared = FrameSpec::new(64)
        .start(&[0x55, 0xAA, 0x55, 0xAA])
        .start(&[0xAA, 0x55, 0xAA, 0x55])
        .preamble(0xFE)
        .length(Length::byte(4).adjust(5))
        .declared();
    let starts: [&[u8]; 3] = [&[0x55, 0xAA, 0x55, 0xAA], &[0xAA, 0x55, 0xAA, 0x55], &[0xFE]];
    for start in starts {
        for at in (0..20).chain(240..270).chain(500..530).chain(1020..1030) {
            for behind in [0, 1, 3, 9, 300, 2000] {
                let mut bytes = vec![0x00; at];
                bytes.extend_from_slice(start);
                bytes.resize(bytes.len() + behind, 0x00);
                // A rarer one behind it makes no difference, and half of one in front is none.
                bytes.extend_from_slice(starts[0]);
                assert_eq!(declared.find_start(&bytes), at, "{start:02x?} at {at}");
                for len in 1..=start.len() {
                    assert_eq!(declared.find_start(&bytes[..at + len]), at, "{len} bytes of {start:02x?} at {at}");
                }
                assert_eq!(declared.find_start(&bytes[..at]), at, "none before {at}");
                if at >= 5 {
                    bytes[at - 5..at - 2].copy_from_slice(&starts[1][..3]);
                    assert_eq!(declared.find_start(&bytes), at, "half of one before {at}");
                }
            }
        }
    }
}
