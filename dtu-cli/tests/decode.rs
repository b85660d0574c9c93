//! `dtu decode` as a program: what goes in, what comes out, how it ends.

#[path = "decode/captures.rs"]
mod captures;
#[path = "decode/declared.rs"]
mod declared;
#[path = "decode/framings.rs"]
mod framings;
#[path = "decode/line.rs"]
mod line;
#[path = "decode/sniffed.rs"]
mod sniffed;
#[path = "decode/wire.rs"]
mod wire;

use line::{Random, data, dirty, expected, frame_around, hex};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Output, Stdio};

fn dtu(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dtu"));
    command.arg("decode").args(arguments).env_remove("CLICOLOR_FORCE").env_remove("NO_COLOR");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program with `input` on its standard input.
fn decode(arguments: &[&str], input: &[u8]) -> Output {
    decode_pieces(dtu(arguments), input, input.len().max(1))
}

fn decode_pieces(mut command: Command, input: &[u8], piece: usize) -> Output {
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for piece in input.chunks(piece) {
                // A program that has failed reads no more.
                if stdin.write_all(piece).and_then(|()| stdin.flush()).is_err() {
                    return;
                }
            }
        });
        child.wait_with_output().expect("the program ends")
    })
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{output:?}");
    json_lines(&output.stdout)
}

fn json_lines(stdout: &[u8]) -> Vec<Value> {
    let text = core::str::from_utf8(stdout).expect("the output is text");
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// The one line of an error.
fn failure(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = stderr.lines().last().expect("an error is said").to_owned();
    assert!(last.starts_with("dtu: "), "{stderr}");
    last
}

fn length(line: &Value) -> u64 {
    ["frame", "skipped", "gap"].iter().find_map(|key| line[key].as_u64()).expect("every line has a length")
}

/// Says that the lines of one stream cover it without a hole.
fn assert_adds_up(lines: &[Value], len: usize, what: &str) {
    let mut offset = 0;
    for line in lines {
        assert_eq!(line["offset"].as_u64(), Some(offset), "{what}: {line}");
        offset += length(line);
    }
    assert_eq!(offset, u64::try_from(len).expect("fits"), "{what}");
}

#[test]
fn every_byte_of_a_dirty_line_is_in_exactly_one_line_of_output() {
    for seed in 0..20 {
        let line = dirty(seed, 60);
        let lines = lines(&decode(&["--json"], &line));
        assert_adds_up(&lines, line.len(), &format!("seed {seed}"));
        assert_eq!(lines, expected(&line, u16::MAX), "seed {seed}");
    }
}

#[test]
fn random_bytes_and_every_length_at_the_end_add_up() {
    let mut random = Random(1);
    let noise = random.bytes(200_000);
    let noise_lines = lines(&decode(&["--json"], &noise));
    assert_adds_up(&noise_lines, noise.len(), "noise");
    let whole = data(1, b"0123456789");
    for len in 0..=whole.len() {
        let lines = lines(&decode(&["--json"], &whole[..len]));
        assert_adds_up(&lines, len, "cut frame");
        assert_eq!(lines, expected(&whole[..len], u16::MAX), "{len} bytes");
    }
}

#[test]
fn the_way_the_input_is_cut_does_not_show() {
    let line = dirty(99, 40);
    let expected = expected(&line, u16::MAX);
    for piece in [1, 2, 7, 64, 1000, 4096, 65_536] {
        assert_eq!(lines(&decode_pieces(dtu(&["--json", "-"]), &line, piece)), expected, "pieces of {piece}");
    }
}

#[test]
fn a_file_and_hex_text_give_the_same_as_standard_input() {
    let line = dirty(5, 40);
    let expected = expected(&line, u16::MAX);
    let folder = Folder::new("a_file_and_hex_text");
    let (raw, text) = (folder.file("line.bin", &line), folder.file("line.hex", hex(&line).as_bytes()));
    assert_eq!(lines(&decode(&["--json", &raw], b"")), expected);
    assert_eq!(lines(&decode(&["--json", "--hex", &text], b"")), expected);
    let spaced: String = line.iter().map(|byte| format!("0x{byte:02X},\r\n")).collect();
    assert_eq!(lines(&decode_pieces(dtu(&["--json", "--hex"]), spaced.as_bytes(), 3)), expected);
}

#[test]
fn a_limit_rejects_longer_payloads() {
    let line = [data(1, &[0; 100]), data(2, b"short")].concat();
    let lines = lines(&decode(&["--json", "--max-payload", "50"], &line));
    assert_eq!(lines, expected(&line, 50));
    assert_eq!(lines[0]["cause"], "over_limit");
    assert_eq!(lines.last().expect("there are lines")["message"]["seq"], 2);
}

#[test]
fn an_empty_input_is_no_error() {
    for arguments in [&["--json"][..], &["--json", "--hex"], &["--json", "--raw"]] {
        let output = decode(arguments, b"");
        assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    }
    let output = decode(&[], b"");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "dtu: 0 frames in 0 bytes\n");
}

#[test]
fn what_cannot_be_read_is_one_line_and_a_failure() {
    let missing = failure(&decode(&["no/such/file"], b""));
    assert!(missing.contains("no/such/file") && missing.contains("No such file"), "{missing}");
    let directory = failure(&decode(&[env!("CARGO_MANIFEST_DIR")], b""));
    assert!(directory.contains("directory"), "{directory}");
    assert!(failure(&decode(&["--hex"], b"D7 5")).contains("line 1, column 5: odd number of digits"));
    assert!(failure(&decode(&["--hex"], b"D7 55\nxyz")).contains("line 2, column 1: 'x' is no hex digit"));
    let flag = decode(&["--no-such-flag"], b"");
    assert_eq!(flag.status.code(), Some(2), "{flag:?}");
}

#[test]
fn what_came_before_an_error_is_shown() {
    let text = format!("{} zz", hex(&data(3, b"ok")));
    let output = decode(&["--json", "--hex"], text.as_bytes());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json_lines(&output.stdout)[0]["message"]["seq"], 3);
}

#[test]
fn a_payload_that_is_no_message_says_why() {
    let lines = lines(&decode(&["--json"], &frame_around(&[0x06, 0, 0])));
    assert_eq!(lines[0]["message"], Value::Null);
    assert_eq!(lines[0]["error"]["name"], "truncated");
    assert!(lines[0]["error"]["text"].as_str().expect("it is text").contains("seq"), "{}", lines[0]);
}

#[test]
fn the_dump_tells_the_parts_of_a_frame_apart() {
    let line = [&data(7, b"\x01\x03\x04\x00\x0a\x00\x0b\x9b\xf6"), &b"noise"[..]].concat();
    let output = decode(&[], &line);
    let text = "\
frame at 0, 25 bytes: DATA seq 7 channel 0, 9 bytes
    0 header   d7 55 00 0f ff f0                               .U....
    6 payload  06 00 00 00 07 00 01 03 04 00 0a 00 0b 9b f6    ...............
   15 checksum 62 14 bd d4                                     b...
skipped at 25, 5 bytes (magic): no frame starts here
    0 skipped  6e 6f 69 73 65                                  noise
";
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(stdout, text);
    assert!(stdout.lines().all(|line| line.len() <= 80), "{stdout}");
    let summary = "dtu: 1 frame in 30 bytes (1 DATA); 5 bytes skipped (5 magic)\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), summary);
}

#[test]
fn a_long_payload_is_shown_in_part_or_in_full() {
    let line = data(1, &[b'x'; 1000]);
    let dump = |arguments: &[&str]| String::from_utf8_lossy(&decode(arguments, &line).stdout).into_owned();
    assert!(dump(&[]).contains("... 750 bytes more"));
    assert!(!dump(&["--full"]).contains("more"));
    assert_eq!(dump(&["--full"]).lines().count(), 1 + 1 + 1006_usize.div_ceil(16) + 1);
}

#[test]
fn colour_is_for_terminals_and_for_who_asks_for_it() {
    let line = data(1, b"x");
    let escapes = |name: &str, value: &str| {
        let mut command = dtu(&[]);
        command.env(name, value);
        decode_pieces(command, &line, line.len()).stdout.contains(&0x1b)
    };
    assert!(!escapes("TERM", "xterm"), "a pipe gets no colour");
    assert!(escapes("CLICOLOR_FORCE", "1"));
    assert!(!escapes("NO_COLOR", "1"));
}

#[test]
fn steps_come_while_the_input_is_still_open() {
    let mut child = dtu(&["--json"]).spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    for seq in 0..3 {
        stdin.write_all(&data(seq, b"live")).expect("the program reads");
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line comes");
        let line: Value = serde_json::from_str(&line).expect("it is JSON");
        assert_eq!(line["message"]["seq"], seq);
    }
    drop(stdin);
    assert!(child.wait().expect("the program ends").success());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let line: Vec<u8> = (0..20_000).flat_map(|seq| data(seq, b"more than a pipe holds")).collect();
    for arguments in [&["--json"][..], &[]] {
        let mut child = dtu(arguments).spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        let line = &line;
        std::thread::scope(|scope| {
            // The program ends before it has read all; then this fails, as it should.
            let writer = scope.spawn(move || stdin.write_all(line));
            let mut first = [0; 100];
            child.stdout.take().expect("it is piped").read_exact(&mut first).expect("output comes");
            assert!(writer.join().expect("the writer does not panic").is_err(), "the program read on");
        });
        let output = child.wait_with_output().expect("the program ends");
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
}

/// False headers with the longest length, each a candidate of 64 KiB, and noise without end.
#[cfg(target_os = "linux")]
#[test]
fn a_hostile_line_is_read_in_bounded_memory() {
    const LIMIT_KIB: u32 = 48 << 10;
    const NOISE_LEN: usize = 96 << 20;
    let hostile = [0xd7, 0x55, 0xff, 0xff, 0x00, 0x00].repeat(12_000);
    let mut child = Command::new("sh")
        .args(["-c", &format!("ulimit -v {LIMIT_KIB} && exec \"$0\" decode --json"), env!("CARGO_BIN_EXE_dtu")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    let fed = &hostile;
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            stdin.write_all(fed).expect("the program reads");
            let noise = vec![0x55; 1 << 20];
            for _ in 0..NOISE_LEN / noise.len() {
                stdin.write_all(&noise).expect("the program reads");
            }
        });
        child.wait_with_output().expect("the program ends")
    });
    let lines = lines(&output);
    assert_adds_up(&lines, hostile.len() + NOISE_LEN, "hostile line");
    assert_eq!(lines[0]["cause"], "checksum");
}

/// A folder for one test's files.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        Self(folder)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).expect("the file can be written");
        path.to_str().expect("the path is text").to_owned()
    }
}
