//! Framings by declaration in TOML files.

use dtu_proto::checksum::{Algorithm, catalogue};
use dtu_proto::spec::{ByteSet, Check, Encoding, Escape, Field, FrameSpec, Length};

fn read(text: &str) -> FrameSpec {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_example_is_the_framing_of_electricity_meters() {
    let spec = read(include_str!("../../src/spec/example.toml"));
    let built = FrameSpec::new(212)
        .start(&[0x68])
        .preamble(0xFE)
        .fixed(7, &[0x68])
        .length(Length::byte(9).adjust(12))
        .check(Check::new(Algorithm::Sum8, 2))
        .end(&[0x16])
        .min_len(12);
    assert_eq!(spec, built);
    assert!(spec.compile().is_ok());
}

#[test]
fn every_key_is_read() {
    let spec = read(
        r#"
        start = ["23 23", "2424"]
        fixed = [{ at = 9, hex = "AA" }, { at = -3, hex = "2A" }]
        length = { at = 2, width = 3, endian = "le", mask = 0xFFF, adjust = -4, repeat = { at = 5, complement = true } }
        check = { algo = "crc", width = 16, poly = 0x1021, init = 0xFFFF, refin = true, refout = true, xorout = 0xFFFF, from = 2, trim = 5, place = 2, endian = "le" }
        payload = { from = 12, trim = 3 }
        min_len = 20
        max_len = 300
        "#,
    );
    let crc = catalogue::CRC_16_IBM_SDLC;
    let mut built = FrameSpec::new(300)
        .start(b"##")
        .start(b"$$")
        .fixed(9, &[0xAA])
        .fixed(-3, b"*")
        .length(Length::little(2, 3).mask(0xFFF).adjust(-4).repeat_complemented(5))
        .check(Check::new(Algorithm::Crc(crc), 2).from(2).trim(5).little())
        .payload_from(12)
        .min_len(20);
    built.payload.trim = Some(3);
    assert_eq!(spec, built);

    let hdlc = read(
        r#"
        start = ["7E"]
        end = "7E"
        shared = true
        escape = { lead = "7D", xor = 0x20, chars = "00-1F 7F" }
        check = { algo = "CRC-16/X-25", place = 3, from = 1, endian = "le" }
        max_len = 1500
        "#,
    );
    let also = ByteSet::EMPTY.with(0, 0x1F).with(0x7F, 0x7F);
    let built = FrameSpec::new(1500)
        .start(&[0x7E])
        .end(&[0x7E])
        .shared()
        .escape(Escape::xor_also(0x7D, 0x20, also))
        .check(Check::new(Algorithm::Crc(crc), 3).from(1).little());
    assert_eq!(hdlc, built);

    let slip = read("end = 'C0'\nmax_len = 99\n[escape]\nlead = 'DB'\nmap = { DBDC = 'C0', DBDD = 'DB' }");
    let built = FrameSpec::new(99).end(&[0xC0]).escape(Escape::map(0xDB, &[(0xDC, 0xC0), (0xDD, 0xDB)]));
    assert_eq!(slip, built);

    let fixed =
        read("start = ['10']\nfixed_len = 5\nend = '16'\ncheck = { algo = 'hj212', place = 5, encoding = 'hex' }");
    assert_eq!((fixed.fixed_len, fixed.max_len), (Some(5), None));
    let decimal = read("max_len = 9\nlength = { at = 2, width = 4, encoding = 'ascii-dec' }").length;
    assert_eq!(decimal.map(|length| length.encoding), Some(Encoding::Decimal));
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_key() {
    let wrong = [
        ("max_len = 9\nbegin = ['68']", 2, "begin"),
        ("max_len = 9\nstart = ['6G']", 2, "6G"),
        ("max_len = 9\nstart = ['112233445566778899']", 2, "1 to 8 bytes"),
        ("max_len = 9\nstart = ['01', '02', '03', '04', '05']", 2, "1 to 4 start markers"),
        ("max_len = 9\nstart = []", 2, "invalid length 0, expected a list of 1 to 4 start markers"),
        ("max_len = 9\nstart = ['']", 2, "invalid value: string \"\", expected 1 to 8 bytes"),
        ("max_len = 9\nstart = ['68', ' ']", 2, "1 to 8 bytes"),
        ("max_len = 9\nfixed = []", 2, "1 to 4 markers"),
        ("max_len = 9\nfixed = [{ at = 1, hex = '' }]", 2, "1 to 8 bytes"),
        ("max_len = 9\nend = ''", 2, "1 to 8 bytes"),
        ("max_len = 9\npreamble = 'FEFE'", 2, "one byte"),
        ("max_len = -1", 1, "-1"),
        ("max_len = 9\n\ncheck = { algo = 'crc16', place = 2 }", 3, "CRC-16/MODBUS"),
        ("max_len = 9\ncheck = { algo = 'crc', place = 2 }", 2, "check.width"),
        ("max_len = 9\ncheck = { algo = 'sum8', place = 2, poly = 7 }", 2, "check.poly"),
        ("max_len = 9\ncheck = { algo = 'sum8' }", 2, "place"),
        ("max_len = 9\nlength = { at = 1, width = 2, endian = 'middle' }", 2, "middle"),
        ("max_len = 9\nlength = { width = 2 }", 2, "at"),
        ("max_len = 9\nfixed = [{ at = 1, bytes = '00' }]", 2, "bytes"),
        ("max_len = 9\nescape = { lead = '7D' }", 2, "`map` or `xor`"),
        ("max_len = 9\nescape = { lead = '7D', xor = 0x20, map = {} }", 2, "escape.map"),
        ("max_len = 9\nescape = { lead = '7D', map = { '7C01' = '7D' } }", 2, "escape.lead"),
        ("max_len = 9\nescape = { lead = '7D', xor = 0x20, chars = '00..1F' }", 2, "7E 7D 00-1F"),
        ("max_len = 9\nescape = { lead = '7D', xor = 0x20, chars = '1F-00' }", 2, "7E 7D 00-1F"),
    ];
    for (text, line, said) in wrong {
        let error = toml::from_str::<FrameSpec>(text).expect_err(text);
        let at = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
        assert_eq!(at, Some(line), "{error}");
        assert!(error.to_string().contains(said), "{said} is not in: {error}");
    }
}

#[test]
fn a_contradiction_has_the_key_of_the_file() {
    let spec = read("start = ['68']\nlength = { at = 1, width = 1, adjust = 2 }\nmax_len = 300");
    let error = spec.compile().unwrap_err();
    assert_eq!(error.field, Field::LengthWidth);
    assert_eq!(error.to_string(), "length.width: the longest frame needs 298, and 255 is the most that fits");
}
