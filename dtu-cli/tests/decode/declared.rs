//! Framings that a file declares, and what is said of a file that declares none.

use super::framings::METER;
use super::{Folder, decode, lines};
use dtu_proto::checksum::Algorithm;
use dtu_proto::checksum::catalogue::CRC_16_MODBUS;
use serde_json::json;

/// DL/T 645 as a file.
const METER_FILE: &str = "\
start = ['68']
preamble = 'FE'
fixed = [{ at = 7, hex = '68' }]
length = { at = 9, width = 1, adjust = 12 }
check = { algo = 'sum8', place = 2 }
end = '16'
max_len = 212
";

#[test]
fn a_file_decodes_as_the_preset_does() {
    let file = Folder::new("a_file_decodes").file("meter.toml", METER_FILE.as_bytes());
    let line = [b"\xFE\xFE", METER, b"\x68\x68noise", METER].concat();
    let declared = lines(&decode(&["--json", "-f", &file], &line));
    let mut preset = lines(&decode(&["--json", "-f", "dlt645_2007"], &line));
    assert!(preset.iter().any(|line| line["framing"] == "dlt645_2007"));
    for line in &mut preset {
        if line["frame"].is_u64() {
            line["framing"] = "meter.toml".into();
        }
    }
    assert_eq!(declared, preset);
}

/// What the help shows as an example is one.
#[test]
fn the_example_of_the_help_is_a_framing() {
    let help = String::from_utf8_lossy(&decode(&["--help"], b"").stdout).into_owned();
    let (_, example) = help.split_once("docs/tool.md lists:\n").expect("the help has an example");
    let example: Vec<&str> = example.lines().take_while(|line| line.starts_with("    ")).collect();
    assert_eq!(example.len(), 4, "{help}");
    let file = Folder::new("the_example_of_the_help").file("help.toml", example.join("\n").as_bytes());
    let mut line = vec![0x68, 2, 7, 8];
    let [low, high, ..] = Algorithm::Crc(CRC_16_MODBUS).checksum(&line).to_le_bytes();
    line.extend([low, high]);
    let decoded = lines(&decode(&["--json", "-f", &file], &line));
    assert_eq!((&decoded[0]["frame"], &decoded[0]["payload"]), (&json!(6), &json!("0708")), "{decoded:?}");
}

#[test]
fn a_wrong_file_is_one_line_with_file_line_key_and_reason() {
    let folder = Folder::new("a_wrong_file");
    let catalogue = "the name of a checksum: sum8, xor8, lrc8, fletcher8, hj212, one of the catalogue of CRCs as \
                     CRC-16/MODBUS, or crc with width, poly, init, refin, refout and xorout";
    let checksum = format!("line 3: check.algo: invalid value: string \"crc-17\", expected {catalogue}");
    let keys = "`at`, `width`, `endian`, `encoding`, `mask`, `adjust`, `repeat`";
    for (number, (text, expected)) in (0..).zip([
        ("", "max_len: is missing"),
        ("start = [", "line 1: unclosed array, expected `]`"),
        (
            "max_len = 20\nstart = '68'",
            "line 2: start: invalid type: string \"68\", expected a list of 1 to 4 start markers as hex digits",
        ),
        (
            "max_len = 20\nstart = ['6']",
            "line 2: start[0]: invalid value: string \"6\", expected 1 to 8 bytes as hex digits",
        ),
        (
            "max_len = 20\n[length]\nat = 1\nwidth = 1\nwide = 2",
            &format!("line 5: length.wide: unknown field `wide`, expected one of {keys}"),
        ),
        (
            "max_len = 20\nlength = { at = 1, wide = 2 }",
            &format!("line 2: length.wide: unknown field `wide`, expected one of {keys}"),
        ),
        ("max_len = 20\n\n[length]\nat = 1", "line 3: length: missing field `width`"),
        (
            "max_len = 20\n[length]\nat = 1\nwidth = 'x'",
            "line 4: length.width: invalid type: string \"x\", expected a whole number from 0 on",
        ),
        (
            "max_len = 20\nend = '0A'\nescape = { lead = 'DB', xor = 300 }",
            "line 3: escape.xor: invalid value: integer `300`, expected a whole number from 0 to 255",
        ),
        (
            "max_len = 20\nend = '0A'\nstart = ['68', '6868']",
            "line 3: start: markers of 1 and of 2 bytes, and all starts have to be of one length",
        ),
        (
            "max_len = 20\nstart = []",
            "line 2: start: invalid length 0, expected a list of 1 to 4 start markers as hex digits",
        ),
        (
            "max_len = 20\nfixed = [{ at = 1, hex = '' }]",
            "line 2: fixed[0].hex: invalid value: string \"\", expected 1 to 8 bytes as hex digits",
        ),
        ("max_len = 20\nend = '0A'\ncheck = { algo = 'crc-17', place = 2 }", &checksum),
        (
            "max_len = 20\nend = '0A'\ncheck = { algo = 'sum8', poly = 7, place = 2 }",
            "line 3: check.poly: stands beside a checksum that has a name",
        ),
        (
            "max_len = 300\n[length]\nat = 1\nwidth = 1",
            "line 4: length.width: the longest frame needs 300, and 255 is the most that fits",
        ),
        (
            "max_len = 20\nend = 'DB'\nescape = { lead = 'DB', map = { DBDC = 'C0' } }",
            "line 3: escape.lead: contradicts end",
        ),
        ("max_len = 20\nstart = ['68']", "end: none of length, fixed_len and end says where a frame ends"),
        ("max_len = 9999999\nend = '0A'", "line 1: max_len: 9999999 is not from 1 to 1048576"),
        (
            "max_len = 20\nfixed = [{ at = 1, hex = '68' }, { at = 2, hx = '16' }]",
            "line 2: fixed[1].hx: unknown field `hx`, expected `at` or `hex`",
        ),
    ]) {
        let file = folder.file(&format!("{number}.toml"), text.as_bytes());
        for flag in ["--framing", "--nested"] {
            let output = decode(&[flag, &file], METER);
            assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{text}");
            assert_eq!(String::from_utf8_lossy(&output.stderr), format!("dtu: {file}: {expected}\n"), "{text}");
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let folder = Folder::new("no_file");
    let binary = folder.file("binary.toml", b"\xff\xfe");
    let long = folder.file("long.toml", &[b'#'; 70_000]);
    for (file, expected) in [
        ("no/such.toml", "No such file or directory (os error 2)"),
        (&*binary, "stream did not contain valid UTF-8"),
        (&*long, "longer than 65536 bytes, which no framing is"),
        (env!("CARGO_MANIFEST_DIR"), "Is a directory (os error 21)"),
    ] {
        let output = decode(&["-f", file], b"");
        assert_eq!(output.status.code(), Some(1), "{file}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), format!("dtu: {file}: {expected}\n"));
    }
}
