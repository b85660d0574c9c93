//! The Wireshark dissector `spec/dtu.lua`, run by tshark over a generated capture, shows what the codec says.
//!
//! Skipped, with the reason on stderr, where tshark 4 is missing; with `DTU_REQUIRE_TSHARK` in the environment that is
//! a failure.
#![cfg(feature = "alloc")]

use capture::{Capture, Flow};
use dtu_proto::frame::field;
use dtu_proto::framing::next_step;
use dtu_proto::message::{Message, MessageError, Resume};
use dtu_proto::{Deframer, Frame, Native, Step};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

mod capture;
mod json;
#[path = "../common/tshark.rs"]
mod tshark;

const DEFAULT_PORT: u16 = 55_125;
const DECODE_AS_PORT: u16 = 9_000;
const RECOGNISED_PORT: u16 = 9_100;

#[test]
fn every_field_is_what_the_codec_says() {
    let Some(capture) = scene("one pass") else { return };
    assert_eq!(capture.differences(&script(), &[]), None);
}

#[test]
fn going_back_over_the_capture_changes_nothing() {
    let Some(capture) = scene("two passes") else { return };
    assert_eq!(capture.differences(&script(), &["-2"]), None);
}

#[test]
fn a_broken_script_is_noticed() {
    let Some(capture) = scene("broken") else { return };
    let good = std::fs::read_to_string(script()).expect("the script is readable");
    for (name, from, to) in [
        ("does not parse", "local function walk(data)", "local function walk(data"),
        ("fails when it is loaded", "local ports\n", "local ports = nil + 1\n"),
        ("fails when it runs", "local steps, at = {}, 1", "local steps, at = {}, nil + 1"),
        ("wrong checksum", "0x82F63B78", "0xEDB88320"),
        ("no guard", "if length + guard ~= 0xFFFF then", "if false then"),
        ("skips too far", "if start and start < last then return start - at end", ""),
        ("shows deferred steps", "if pinfo.desegment_offset == 0 then return tvb:len() end", ""),
        ("shows steps twice", "(earlier > 0 and waiting - 1 <= earlier) and 0 or waiting - 1", "waiting - 1"),
        ("fields swapped", r#"{ "seq", 4 }, { "channel", 1 }"#, r#"{ "channel", 1 }, { "seq", 4 }"#),
        ("field left out", r#"{ "window", 2 }"#, ""),
        ("lenient about UTF-8", "if valid < count then", "if false then"),
        ("no stream in datagrams", "if over_udp then\n", "if false then\n"),
    ] {
        assert_eq!(good.matches(from).count(), 1, "{name}: {from}");
        let broken = capture.path.with_file_name("broken.lua");
        std::fs::write(&broken, good.replace(from, to)).expect("the folder is writable");
        assert!(capture.differences(&broken, &[]).is_some(), "{name}: not noticed");
    }
}

/// A capture on disk and what the codec finds in it, flow by flow.
struct Scene {
    path: PathBuf,
    expected: BTreeMap<Flow, Vec<Item>>,
}

/// One thing in a stream. Neighbouring skips of one cause are added up.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Frame(Vec<(String, String)>),
    Skipped(usize, String),
}

impl Item {
    fn push(self, items: &mut Vec<Self>) {
        match (items.last_mut(), self) {
            (Some(Self::Skipped(sum, last)), Self::Skipped(bytes, cause)) if *last == cause => *sum += bytes,
            (_, item) => items.push(item),
        }
    }
}

impl Scene {
    /// Runs tshark with `script` and says where it and the codec differ; `None` where they do not.
    fn differences(&self, script: &Path, options: &[&str]) -> Option<String> {
        let output = tshark::over(&self.path, self.path.parent().expect("it is in a folder"))
            .arg("-X")
            .arg(format!("lua_script:{}", script.display()))
            .args(["-T", "json", "-J", "tcp udp dtu", "-d", &format!("tcp.port=={DECODE_AS_PORT},dtu")])
            .args(options)
            .output()
            .expect("it ran a moment ago");
        let errors = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() || errors.contains("Lua") {
            return Some(format!("tshark: {}, {errors}", output.status));
        }
        let found = match json::packets(&output.stdout) {
            Ok(packets) => packets,
            Err(error) => return Some(format!("no JSON: {error}")),
        };
        let mut flows: BTreeMap<Flow, Vec<Item>> = BTreeMap::new();
        for (flow, layers) in found {
            let items = flows.entry(flow).or_default();
            layers.into_iter().for_each(|fields| item_of(fields).push(items));
        }
        self.expected.iter().find_map(|(flow, expected)| {
            let found = flows.remove(flow).unwrap_or_default();
            let at = (0..expected.len().max(found.len())).find(|&at| expected.get(at) != found.get(at))?;
            let (codec, tshark) = (expected.get(at), found.get(at));
            Some(format!("{flow:?}, item {at}:\n  codec  {codec:?}\n  tshark {tshark:?}"))
        })
    }
}

/// What tshark shows, in the terms of [`Item`]. Of a malformed message only the fault counts, not the fields before it.
fn item_of(fields: Vec<(String, String)>) -> Item {
    let find = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    if let (Some(length), Some(cause)) = (find("dtu.skipped.length"), find("dtu.skipped.cause")) {
        return Item::Skipped(length.parse().expect("a number"), cause);
    }
    if find("dtu.error").is_none() {
        return Item::Frame(fields);
    }
    const KEPT: [&str; 8] = ["magic", "length", "guard", "payload", "checksum", "udp_stream", "error", "error.field"];
    let kept = |key: &str| key.strip_prefix("dtu.").is_some_and(|key| KEPT.contains(&key));
    Item::Frame(fields.into_iter().filter(|(key, _)| kept(key)).collect())
}

/// Writes a capture of two directions in three TCP connections, and of datagrams, into a folder of its own.
fn scene(name: &str) -> Option<Scene> {
    if !tshark::is_there("dissector test") {
        return None;
    }
    let payloads = payloads();
    let (up, down) = (dirty_stream(&payloads, 1), dirty_stream(&payloads, 2));
    let begins_clean = [encode(b"\x07\x00\x00\x00\x01"), up.clone()].concat();
    let mut capture = Capture::new();
    capture.connection(40_001, DEFAULT_PORT, &up, &down);
    capture.connection(40_002, DECODE_AS_PORT, &up, &down);
    capture.connection(40_003, RECOGNISED_PORT, &begins_clean, &begins_clean);
    let mut expected = BTreeMap::new();
    for (client, server, up, down) in [
        (40_001, DEFAULT_PORT, &up, &down),
        (40_002, DECODE_AS_PORT, &up, &down),
        (40_003, RECOGNISED_PORT, &begins_clean, &begins_clean),
    ] {
        expected.insert(Flow::Tcp(client, server), stream_items(up));
        expected.insert(Flow::Tcp(server, client), stream_items(down));
    }
    for (client, server) in [(40_001, DEFAULT_PORT), (40_003, RECOGNISED_PORT)] {
        let items = expected.entry(Flow::Udp(client, server)).or_default();
        for datagram in datagrams(&payloads, server == DEFAULT_PORT) {
            capture.datagram(client, server, &datagram);
            datagram_item(&datagram).push(items);
        }
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dissector").join(name);
    std::fs::create_dir_all(&folder).expect("the target folder is writable");
    let path = folder.join("dtu.pcap");
    std::fs::write(&path, capture.into_pcap()).expect("the target folder is writable");
    Some(Scene { path, expected })
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/dtu.lua")
}

/// The payloads of all message vectors, good and bad, and a DATA that takes several segments.
fn payloads() -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors/messages.toml");
    let file: toml::Table = std::fs::read_to_string(path).expect("readable").parse().expect("TOML");
    let vectors = file["vector"].as_array().expect("a list");
    let hex = |text: &str| {
        let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
        (0..text.len()).step_by(2).map(digits).collect()
    };
    let mut payloads: Vec<Vec<u8>> = vectors.iter().map(|v| hex(v["payload"].as_str().expect("a text"))).collect();
    payloads.push([&b"\x06\x00\x00\x10\x00\x01"[..], &[0xA5; 5000]].concat());
    payloads
}

fn encode(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; payload.len() + 10];
    let len = Native::new().encode(payload, &mut frame).expect("there is room");
    frame.truncate(len);
    frame
}

/// All payloads as frames, with a different kind of dirt before each `every`-th of them. Ends with a whole frame.
fn dirty_stream(payloads: &[Vec<u8>], every: usize) -> Vec<u8> {
    let inner = encode(b"\x04inside!!");
    let mut damaged = encode(&[b"<", &inner[..], b">"].concat());
    damaged[field::GUARD.end] ^= 1;
    let mut bad_checksum = encode(b"\x07\x00\x00\x00\x02");
    *bad_checksum.last_mut().expect("not empty") ^= 0x10;
    let dirt: [&[u8]; 7] = [
        b"\r\n+CSQ: 21\r\n",
        &damaged,
        &bad_checksum,
        b"\xD7\x55\x00\x05\x00\x00",
        b"\xD7\xD7\xD7",
        b"\xD7\x55\x00\x50\xFF\xAF", // claims the 80 bytes behind it
        &inner[..7],
    ];
    let mut stream = Vec::new();
    for (number, payload) in payloads.iter().enumerate() {
        if number.is_multiple_of(every) {
            stream.extend_from_slice(dirt[number / every % dirt.len()]);
        }
        stream.extend_from_slice(&encode(payload));
    }
    // What a last false header could claim.
    stream.extend_from_slice(&[0; 100]);
    stream.extend_from_slice(&encode(b"\x08\x00\x00"));
    stream
}

fn datagrams(payloads: &[Vec<u8>], with_dirt: bool) -> Vec<Vec<u8>> {
    let stream = [0x81, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF];
    let whole = payloads.iter().filter(|payload| payload.len() < 1000);
    let mut datagrams: Vec<_> = whole.map(|payload| encode(&[&stream, &payload[..]].concat())).collect();
    if with_dirt {
        let one = encode(&[&stream[..], b"\x07\x00\x00\x00\x03"].concat());
        datagrams.push([&one[..], &[0]].concat());
        datagrams.push(one[..one.len() - 1].to_vec());
        datagrams.push([&one[..20], &[!one[20]], &one[21..]].concat());
        datagrams.push(b"\xD7\x55\x00\x00\x00\x00".to_vec());
        datagrams.push(b"hello".to_vec());
        datagrams.push(encode(&stream[1..]));
    }
    datagrams
}

fn stream_items(stream: &[u8]) -> Vec<Item> {
    let mut items = Vec::new();
    let mut deframer = Deframer::new(Native::new());
    let mut rest = stream;
    while !rest.is_empty() {
        let taken = deframer.push(rest);
        rest = &rest[taken..];
        loop {
            match deframer.next_step() {
                Step::Frame(frame) => Item::Frame(frame_fields(frame, None)).push(&mut items),
                Step::Skipped { bytes, cause } => Item::Skipped(bytes, cause.name().to_owned()).push(&mut items),
                Step::NeedMore { .. } => break,
            }
        }
    }
    assert_eq!(deframer.buffered(), 0, "the stream ends with a frame");
    items
}

fn datagram_item(datagram: &[u8]) -> Item {
    match next_step(&Native::new(), datagram) {
        Step::Frame(frame) if frame.encoded_len() == datagram.len() => {
            Item::Frame(frame_fields(frame, frame.payload().first_chunk().copied().or(Some([0; 8]))))
        }
        Step::Skipped { cause, .. } => Item::Skipped(datagram.len(), cause.name().to_owned()),
        Step::Frame(_) | Step::NeedMore { .. } => Item::Skipped(datagram.len(), "abandoned".to_owned()),
    }
}

/// The fields that the dissector shows for a frame, in order; over UDP a stream stands before the message.
fn frame_fields(frame: Frame<'_>, udp_stream: Option<[u8; 8]>) -> Vec<(String, String)> {
    let (bytes, payload) = (frame.as_bytes(), frame.payload());
    let mut fields = vec![
        ("magic", prefixed(&bytes[field::MAGIC])),
        ("length", payload.len().to_string()),
        ("guard", prefixed(&bytes[field::GUARD])),
        ("payload", colons(payload)),
    ];
    match udp_stream {
        Some(_) if payload.len() < 8 => {
            fields.extend([("error", "truncated".to_owned()), ("error.field", "udp_stream".to_owned())]);
        }
        Some(stream) => {
            fields.push(("udp_stream", prefixed(&stream)));
            fields.extend(message_fields(&payload[8..]));
        }
        None => fields.extend(message_fields(payload)),
    }
    fields.push(("checksum", prefixed(&bytes[bytes.len() - 4..])));
    fields.into_iter().map(|(name, value)| (format!("dtu.{name}"), value)).collect()
}

fn message_fields(payload: &[u8]) -> Vec<(&'static str, String)> {
    let message = match Message::decode(payload) {
        Ok(message) => message,
        Err(error) => {
            let field = match error {
                MessageError::Truncated { field, .. }
                | MessageError::NotUtf8 { field, .. }
                | MessageError::Length { field, .. } => Some(("error.field", field.name().to_owned())),
                MessageError::Trailing { .. } => None,
                error => panic!("an error this test does not know: {error:?}"),
            };
            return [("error", error.name().to_owned())].into_iter().chain(field).collect();
        }
    };
    let mut fields = vec![("kind", prefixed(&[message.kind()]))];
    fields.extend(match message {
        Message::Register(register) => {
            let (id, token) =
                (register.device_id.as_str().replace('\0', "\u{2400}"), colons(register.token.as_bytes()));
            let first = [("version", register.version.to_string()), ("flags", prefixed(&[register.flags]))];
            [&first[..], &[("device_id", id), ("token", token)], &resume_fields(register.resume)].concat()
        }
        Message::Welcome(welcome) => {
            let (heartbeat, window) = (welcome.heartbeat_ms.to_string(), welcome.window.to_string());
            [&[("heartbeat_ms", heartbeat), ("window", window)], &resume_fields(welcome.resume)[..]].concat()
        }
        Message::Refuse(refuse) => vec![
            ("refuse_code", refuse.code.0.to_string()),
            ("retry_after_ms", refuse.retry_after_ms.to_string()),
            ("reason", refuse.reason.to_string()),
        ],
        Message::Ping { nonce } | Message::Pong { nonce } => vec![("nonce", prefixed(&nonce.to_be_bytes()))],
        Message::Data(data) => {
            vec![("seq", data.seq.to_string()), ("channel", data.channel.to_string()), ("body", colons(data.body))]
        }
        Message::Ack { receive_next } => vec![("receive_next", receive_next.to_string())],
        Message::Close(close) => {
            vec![("close_code", close.code.0.to_string()), ("reason", close.reason.to_string())]
        }
        Message::Challenge { nonce } => vec![("challenge", colons(&nonce))],
        Message::Proof { mac } => vec![("mac", colons(&mac))],
        Message::Skip { next } => vec![("next", next.to_string())],
        Message::Unknown(unknown) => vec![("body", colons(unknown.body()))],
        message => panic!("a kind this test does not know: {message:?}"),
    });
    fields
}

fn resume_fields(resume: Resume) -> [(&'static str, String); 4] {
    [
        ("stream", prefixed(&resume.stream.to_be_bytes())),
        ("send_base", resume.send_base.to_string()),
        ("peer_stream", prefixed(&resume.peer_stream.to_be_bytes())),
        ("receive_next", resume.receive_next.to_string()),
    ]
}

/// A number as tshark writes it with base.HEX.
fn prefixed(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// Bytes as tshark writes them.
fn colons(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}
