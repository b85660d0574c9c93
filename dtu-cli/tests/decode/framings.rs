//! Other framings than the native one: by name, by the way of the bytes, nested.

use super::line::{data, frame_around, hex};
use super::wire::{CLIENT, DOWN, Flag, LINKS, SERVER, UP, each_second, pcap, tcp, udp};
use super::{assert_adds_up, decode, decode_pieces, dtu, json_lines, length, lines};
use dtu_proto::Message;
use dtu_proto::message::Data;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
pub(crate) struct Vectors {
    pub(crate) valid: Vec<Valid>,
    invalid: Vec<Invalid>,
    dirty: Vec<Dirty>,
}

#[derive(Deserialize)]
pub(crate) struct Valid {
    pub(crate) framing: String,
    name: String,
    direction: Option<String>,
    pub(crate) hex: String,
    payload: String,
}

#[derive(Deserialize)]
pub(crate) struct Invalid {
    framing: String,
    name: String,
    direction: Option<String>,
    hex: String,
    cause: String,
}

#[derive(Deserialize)]
pub(crate) struct Dirty {
    framing: String,
    name: String,
    direction: Option<String>,
    hex: String,
}

/// Example bytes of every framing.
pub(crate) fn vectors() -> Vectors {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../spec/vectors/framings.toml");
    let text = std::fs::read_to_string(path).expect("the vectors are there");
    toml::from_str(&text).expect("the vectors are TOML")
}

/// The lines of hex text in a framing.
fn decoded(framing: &str, direction: Option<&str>, hex: &str) -> Vec<Value> {
    let mut arguments = vec!["--json", "--hex", "--framing", framing];
    arguments.extend(direction.into_iter().flat_map(|direction| ["--direction", direction]));
    lines(&decode(&arguments, hex.as_bytes()))
}

fn frames(lines: &[Value]) -> Vec<&Value> {
    lines.iter().filter(|line| line["frame"].is_u64()).collect()
}

/// Those that differ by the way of the bytes.
const DIRECTIONAL: [&str; 2] = ["modbus_rtu", "fourfaith_prot"];

#[test]
fn every_example_is_one_frame_with_its_payload() {
    for Valid { framing, name, direction, hex, payload } in vectors().valid {
        let lines = decoded(&framing, direction.as_deref(), &hex);
        assert_adds_up(&lines, hex.len() / 2, &name);
        let frames = frames(&lines);
        assert_eq!(frames.len(), 1, "{name}: {lines:?}");
        assert_eq!(frames[0]["payload"], payload.to_lowercase(), "{name}");
        assert_eq!(frames[0]["framing"], framing, "{name}");
        assert!(lines.iter().all(|line| line["frame"].is_u64() || line["cause"] == "fill"), "{name}: {lines:?}");
        let said = frames[0].get("direction").and_then(Value::as_str);
        assert_eq!(said, direction.as_deref().filter(|_| DIRECTIONAL.contains(&&*framing)), "{name}");
    }
}

#[test]
fn header_payload_and_trailer_are_the_frame_where_nothing_is_escaped() {
    let escaped = ["modbus_ascii", "jtt808", "slip", "hdlc_ppp", "cobs", "fourfaith_prot", "mavlink2"];
    for Valid { framing, name, direction, hex, .. } in vectors().valid {
        if escaped.contains(&&*framing) {
            continue;
        }
        let lines = decoded(&framing, direction.as_deref(), &hex);
        let parts =
            ["header", "payload", "trailer"].map(|part| frames(&lines)[0][part].as_str().expect("it is hex").len());
        let len = frames(&lines)[0]["frame"].as_u64().expect("it is a length");
        assert_eq!(u64::try_from(parts.iter().sum::<usize>()).expect("fits"), 2 * len, "{name}");
    }
}

#[test]
fn every_damaged_example_is_skipped_for_its_cause() {
    for Invalid { framing, name, direction, hex, cause } in vectors().invalid {
        let lines = decoded(&framing, direction.as_deref(), &hex);
        assert_adds_up(&lines, hex.len() / 2, &name);
        let first = lines.iter().find(|line| line["cause"] != "fill").expect("it is skipped");
        // At the end of the input, what needed more bytes to be judged is abandoned.
        assert!(first["cause"] == *cause || first["cause"] == "abandoned", "{name}: {first}");
    }
}

#[test]
fn dirty_streams_add_up_however_they_are_cut() {
    for Dirty { framing, name, direction, hex } in vectors().dirty {
        let direction = direction.as_deref().unwrap_or("up");
        let arguments = ["--json", "--hex", "--framing", &framing, "--direction", direction];
        let whole = lines(&decode(&arguments, hex.as_bytes()));
        assert_adds_up(&whole, hex.len() / 2, &name);
        assert_eq!(lines(&decode_pieces(dtu(&arguments), hex.as_bytes(), 1)), whole, "{name}");
    }
}

const REQUEST: &[u8] = b"\x01\x03\x00\x00\x00\x02\xC4\x0B";
const REPLY: &[u8] = b"\x01\x03\x04\x00\x0A\x00\x0B\x9B\xF6";

#[test]
fn a_bus_with_both_ways_on_it_is_read_without_a_direction() {
    let bus = [REQUEST, REPLY, REQUEST, REPLY].concat();
    let directions = |arguments: &[&str]| {
        let lines = lines(&decode(arguments, &bus));
        assert_adds_up(&lines, bus.len(), "bus");
        frames(&lines).iter().map(|line| line["direction"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(directions(&["--json", "-f", "modbus_rtu"]), ["down", "up", "down", "up"]);
    assert_eq!(directions(&["--json", "-f", "modbus_rtu", "--direction", "up"]), ["up", "up"]);
    assert_eq!(directions(&["--json", "-f", "modbus_rtu", "--direction", "down"]), ["down", "down"]);
    // The answer to "write one register" is the request again.
    let same = lines(&decode(&["--json", "--hex", "-f", "modbus_rtu"], b"11 06 00 01 00 03 9A 9B"));
    assert_eq!((&same[0]["frame"], same[0].get("direction")), (&json!(8), None));
}

#[test]
fn a_registration_that_only_a_device_sends_is_found_without_a_direction() {
    let registration = b"\x78\x56\x34\x1213066668888\x00\xC0\xA8\x01\x42\x00";
    let line = [&registration[..], b"\xFE\xFD\xEE"].concat();
    let lens = |arguments: &[&str]| {
        let lines = lines(&decode(arguments, &line));
        lines.iter().map(|line| line["frame"].as_u64().expect("all are frames")).collect::<Vec<_>>()
    };
    assert_eq!(lens(&["--json", "-f", "fourfaith_prot"]), [21, 1, 2]);
    // Its bytes are the application's, the heartbeat is none.
    let nested = lines(&decode(&["--json", "-f", "fourfaith_prot", "--nested", "line"], &line));
    assert_eq!(nested.last().map(|last| (&last["layer"], length(last))), Some((&json!("inner"), 1)), "{nested:?}");
}

/// Requests and replies on one connection: who opened it, and its server's port.
fn polled(opener: ([u8; 4], u16), other: ([u8; 4], u16), from_opener: &[u8], from_other: &[u8]) -> Vec<u8> {
    let packets = each_second([
        tcp(opener, other, 100, Flag::Syn, b""),
        tcp(other, opener, 900, Flag::None, from_other),
        tcp(opener, other, 101, Flag::None, from_opener),
    ]);
    pcap(LINKS[5], &packets, false, false)
}

#[test]
fn who_opened_the_connection_says_the_way_of_a_capture() {
    let meter = ([10, 0, 0, 3], 502);
    let all_decoded = |file: &[u8], arguments: &[&str]| {
        let arguments = [&["--json", "-f", "modbus_rtu"], arguments].concat();
        lines(&decode(&arguments, file)).iter().all(|line| line["frame"].is_u64())
    };
    // A DTU dials its server, which asks.
    let dtu = polled(CLIENT, SERVER, REPLY, REQUEST);
    assert!(all_decoded(&dtu, &[]));
    assert!(all_decoded(&dtu, &["--direction", "up"]));
    assert!(!all_decoded(&dtu, &["--direction", "down"]));
    // A master dials a gateway.
    let gateway = polled(CLIENT, SERVER, REQUEST, REPLY);
    assert!(!all_decoded(&gateway, &[]));
    assert!(all_decoded(&gateway, &["--direction", "down"]));
    // The port says that it is one.
    assert!(all_decoded(&polled(CLIENT, meter, REQUEST, REPLY), &[]));
    assert!(all_decoded(&polled(SERVER, CLIENT, REPLY, REQUEST), &[]), "the ports do not matter where there is a SYN");
    // The capture has only the answer to the SYN, from the end with the higher port.
    let answered = each_second([
        tcp(CLIENT, SERVER, 899, Flag::SynAck, b""),
        tcp(CLIENT, SERVER, 900, Flag::None, REQUEST),
        tcp(SERVER, CLIENT, 101, Flag::None, REPLY),
    ]);
    assert!(all_decoded(&pcap(LINKS[5], &answered, false, false), &[]));
}

#[test]
fn what_is_sniffed_shows_its_way_by_its_frames() {
    let gateway = polled(CLIENT, SERVER, REQUEST, REPLY);
    let directions = |arguments: &[&str]| {
        let arguments = [&["--json", "-f", "auto"], arguments].concat();
        let lines = lines(&decode(&arguments, &gateway));
        frames(&lines).iter().map(|line| line["direction"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(directions(&[]), ["down", "up"]);
    assert_eq!(directions(&["--direction", "down"]), ["down", "up"]);
    assert!(directions(&["--direction", "up"]).is_empty(), "the user is believed");
}

/// The frame of Hongdian's DDP around a payload.
fn ddp(kind: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(16 + payload.len()).expect("it is short");
    [&[0x7B, kind][..], &len.to_be_bytes(), b"13912345678", payload, &[0x7B]].concat()
}

#[test]
fn an_envelope_is_opened_and_what_it_carries_is_one_stream() {
    let (first, rest) = REPLY.split_at(4);
    let line = [ddp(0x01, &[10, 0, 0, 1, 0x12, 0x34]), ddp(0x09, first), ddp(0x09, rest), b"noise".to_vec()].concat();
    let arguments = ["--json", "-f", "hongdian_ddp_tcp", "--nested", "modbus_rtu", "--direction", "up"];
    let all = lines(&decode(&arguments, &line));
    let (inner, outer): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|line| line["layer"] == "inner");
    assert_adds_up(&outer, line.len(), "envelopes");
    assert_adds_up(&inner, REPLY.len(), "what they carry, without the registration");
    assert_eq!(frames(&outer).len(), 3);
    assert_eq!((inner.len(), &inner[0]["payload"]), (1, &json!(hex(&REPLY[1..7]))));
    assert_eq!(inner[0]["direction"], "up");
    for piece in [1, 7, 20] {
        assert_eq!(lines(&decode_pieces(dtu(&arguments), &line, piece)), all, "pieces of {piece}");
    }
    let dump = decode(&["-f", "hongdian_ddp_tcp", "--nested", "modbus_rtu"], &line);
    let dump_text = String::from_utf8_lossy(&dump.stdout).into_owned();
    assert!(dump_text.contains("\ninner frame at 0, 9 bytes: modbus_rtu up, payload 6 bytes\n"), "{dump_text}");
    assert_eq!(
        String::from_utf8_lossy(&dump.stderr),
        "dtu: 3 frames in 68 bytes (3 hongdian_ddp_tcp); 5 bytes skipped (5 magic)\ndtu: carried: 1 frame in 9 bytes (1 modbus_rtu)\n"
    );
}

pub(crate) const METER: &[u8] = b"\x68\x01\0\0\0\0\0\x68\x11\x04\x33\x33\x34\x33\xB3\x16";

#[test]
fn each_channel_of_native_data_is_a_stream() {
    let on = |channel, body: &[u8]| frame_around(&encoded(&Message::Data(Data { seq: 1, channel, body })));
    let (first, rest) = METER.split_at(9);
    let line = [on(0, first), on(2, METER), on(0, rest), data(9, b"")].concat();
    let all = lines(&decode(&["--json", "--nested", "dlt645_2007"], &line));
    let inner: Vec<_> = all.iter().filter(|line| line["layer"] == "inner").collect();
    let channels: Vec<_> = inner.iter().map(|line| (line["channel"].clone(), line["frame"].clone())).collect();
    assert_eq!(channels, [(json!(2), json!(16)), (json!(0), json!(16))]);
    let text = String::from_utf8_lossy(&decode(&["--nested", "dlt645_2007"], &line).stdout).into_owned();
    assert!(text.contains("\nchannel 2 frame at 0, 16 bytes: dlt645_2007, payload 4 bytes\n"), "{text}");
}

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let framed = super::line::frame(message);
    framed[6..framed.len() - 4].to_vec()
}

#[test]
fn native_datagrams_carry_streams_behind_their_stream_id() {
    let data = Message::Data(Data { seq: 1, channel: 0, body: METER });
    let payload = [&7_u64.to_be_bytes()[..], &encoded(&data)].concat();
    let file = pcap(LINKS[5], &each_second([udp(CLIENT, SERVER, &frame_around(&payload))]), false, false);
    let all = lines(&decode(&["--json", "--nested", "dlt645_2007"], &file));
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!((&all[0]["device_stream"], &all[0]["message"]["kind"]), (&json!("0000000000000007"), &json!("DATA")));
    assert_eq!(
        (&all[1]["layer"], &all[1]["frame"], &all[1]["transport"]),
        (&json!("inner"), &json!(16), &json!("udp"))
    );
}

#[test]
fn a_gap_in_the_outer_stream_is_none_within() {
    let (first, rest) = REPLY.split_at(4);
    let (one, two) = (ddp(0x09, first), ddp(0x09, rest));
    let at = |offset: usize| 1 + u32::try_from(offset).expect("fits");
    let packets = each_second([
        tcp(CLIENT, SERVER, at(0), Flag::None, &one),
        tcp(CLIENT, SERVER, at(one.len() + 30), Flag::None, &two),
    ]);
    let file = pcap(LINKS[5], &packets, false, false);
    let all = lines(&decode(&["--json", "-f", "hongdian_ddp_tcp", "--nested", "modbus_rtu"], &file));
    let outer: Vec<_> = all.iter().filter(|line| line["layer"] != "inner").cloned().collect();
    assert_adds_up(&outer, one.len() + 30 + two.len(), "with the gap");
    assert_eq!(outer[1]["gap"], 30);
    let inner: Vec<_> = all.iter().filter(|line| line["layer"] == "inner").collect();
    assert_eq!(inner.iter().map(|line| length(line)).sum::<u64>(), 9);
}

#[test]
fn a_datagram_framing_takes_a_whole_datagram() {
    let datagram = [&ddp(0x09, b"")[..], b"123"].concat();
    let file = pcap(LINKS[5], &each_second([udp(CLIENT, SERVER, &datagram), udp(CLIENT, SERVER, b"no")]), false, false);
    let in_capture = lines(&decode(&["--json", "-f", "hongdian_ddp_udp"], &file));
    assert_eq!((&in_capture[0]["frame"], &in_capture[0]["payload"]), (&json!(19), &json!("313233")));
    assert_eq!(in_capture[1]["cause"], "magic");
    // However it is cut on its way into the program.
    for piece in [1, 16, 19] {
        let lines = lines(&decode_pieces(dtu(&["--json", "-f", "hongdian_ddp_udp"]), &datagram, piece));
        assert_eq!((lines.len(), &lines[0]["payload"]), (1, &json!("313233")), "pieces of {piece}");
    }
    let long = [&ddp(0x09, b"")[..], &[7; 9000]].concat();
    assert_adds_up(&lines(&decode(&["--json", "-f", "hongdian_ddp_udp"], &long)), long.len(), "no datagram of DDP");
}

#[test]
fn the_dump_tells_the_parts_of_other_frames_apart() {
    let line = [b"\xFE\xFE", METER, b"x"].concat();
    let output = decode(&["-f", "dlt645_2007"], &line);
    let text = "\
skipped at 0, 2 bytes (fill): nothing between frames
    0 skipped  fe fe                                           ..
frame at 2, 16 bytes: dlt645_2007, payload 4 bytes
    0 header   68 01 00 00 00 00 00 68 11 04                   h......h..
    a payload  33 33 34 33                                     3343
    e trailer  b3 16                                           ..
skipped at 18, 1 byte (magic): no frame starts here
    0 skipped  78                                              x
";
    assert_eq!(String::from_utf8_lossy(&output.stdout), text);
    let summary = "dtu: 1 frame in 19 bytes (1 dlt645_2007); 3 bytes skipped (2 fill, 1 magic)\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), summary);
}

#[test]
fn what_is_escaped_is_shown_as_it_is_meant_too() {
    let slip = b"\xC0\xDB\xDC\xDB\xDD\x01\xC0";
    let text = String::from_utf8_lossy(&decode(&["-f", "slip"], slip).stdout).into_owned();
    assert!(text.contains("payload  db dc db dd 01 "), "{text}");
    assert!(text.contains("    0 meaning  c0 db 01 "), "{text}");
    let lines = lines(&decode(&["--json", "-f", "slip"], slip));
    assert_eq!(frames(&lines)[0]["payload"], "c0db01");
}

#[test]
fn an_unknown_name_is_one_line_and_a_failure() {
    let failure = |arguments: &[&str]| {
        let output = decode(arguments, b"");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let rest = "`dtu framings` lists all, and a file's name ends in .toml\n";
    assert_eq!(
        failure(&["-f", "modbus"]),
        format!("dtu: no framing is called \"modbus\"; there is modbus_rtu, modbus_ascii, modbus_tcp; {rest}")
    );
    assert_eq!(failure(&["--nested", "xyzzy"]), format!("dtu: no framing is called \"xyzzy\"; {rest}"));
    assert_eq!(
        failure(&["-f", "ubx", "--max-payload", "9"]),
        "dtu: --max-payload limits the native framing, not ubx\n"
    );
    let way = decode(&["-f", "modbus_rtu", "--direction", "sideways"], b"");
    assert_eq!(way.status.code(), Some(2), "{way:?}");
}

#[test]
fn the_list_has_every_framing_of_the_vectors() {
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dtu"));
        command.arg("framings").args(arguments).output().expect("the program starts")
    };
    let json = run(&["--json"]);
    let rows = json_lines(&json.stdout);
    let row =
        |name: &str| rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name} is listed")).clone();
    for Valid { framing, .. } in vectors().valid {
        assert!(row(&framing)["longest"].as_u64().is_some_and(|longest| longest > 0), "{framing}");
    }
    assert_eq!(
        row("modbus_rtu"),
        json!({
            "name": "modbus_rtu", "title": "Modbus RTU, also over TCP through a DTU", "checksum": "CRC-16/MODBUS",
            "evidence_bits": 16, "longest": 256, "directional": true, "datagram": false,
        })
    );
    assert_eq!((&row("native")["evidence_bits"], &row("hongdian_ddp_udp")["datagram"]), (&json!(64), &json!(true)));
    let text = String::from_utf8_lossy(&run(&[]).stdout).into_owned();
    assert_eq!(text.lines().count(), 2 * rows.len());
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

/// The streams of `UP` and `DOWN` of a capture are decoded apart.
#[test]
fn both_directions_of_a_connection_are_streams_of_their_own() {
    let lines = lines(&decode(&["--json", "-f", "modbus_rtu"], &polled(CLIENT, SERVER, REPLY, REQUEST)));
    let streams: Vec<_> = lines.iter().map(|line| (line["stream"].clone(), line["direction"].clone())).collect();
    assert_eq!(streams, [(json!(DOWN), json!("down")), (json!(UP), json!("up"))]);
}
