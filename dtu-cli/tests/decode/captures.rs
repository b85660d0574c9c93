//! pcap and pcapng: what is put together from packets equals the line they carried.

use super::line::{Random, data, dirty, expected, frame, frame_around};
use super::wire::{CLIENT, Captured, DOWN, Flag, LINKS, SERVER, UP, each_second, pcap, pcapng, tcp, udp};
use super::{assert_adds_up, decode, failure, json_lines, lines};
use dtu_proto::Message;
use serde_json::{Value, json};

const RAW_IP: (u32, &[u8]) = LINKS[5];

/// The lines of one stream without what says where they come from.
fn of_stream(lines: &[Value], stream: &str) -> Vec<Value> {
    let of_stream = lines.iter().filter(|line| line["stream"] == stream);
    of_stream.map(without_origin).collect()
}

fn without_origin(line: &Value) -> Value {
    let mut line = line.clone();
    let fields = line.as_object_mut().expect("a line is an object");
    for name in ["stream", "transport", "packet", "time"] {
        fields.remove(name);
    }
    line
}

/// The line cut into segments: some glued, some twice, some overlapping, some late.
fn segments(random: &mut Random, line: &[u8], isn: u32) -> Vec<Vec<u8>> {
    let segment = |from: usize, to: usize| {
        let sequence = isn.wrapping_add(1).wrapping_add(u32::try_from(from).expect("fits"));
        tcp(CLIENT, SERVER, sequence, Flag::None, &line[from..to])
    };
    let mut packets = vec![tcp(CLIENT, SERVER, isn, Flag::Syn, b"")];
    let mut at = 0;
    while at < line.len() {
        let to = (at + 1 + random.below(400)).min(line.len());
        let from = at.saturating_sub(if random.below(4) == 0 { random.below(300) } else { 0 });
        packets.push(segment(from, to));
        if random.below(5) == 0 {
            packets.push(segment(at, to));
        }
        at = to;
    }
    // Late by up to three places; the SYN stays first.
    for index in 1..packets.len() {
        let other = (index + random.below(4)).min(packets.len() - 1);
        packets.swap(index, other);
    }
    packets
}

#[test]
fn segments_in_any_order_on_every_link_give_the_raw_line() {
    for (seed, link) in (0..).zip(LINKS.iter().cycle().take(2 * LINKS.len())) {
        let line = dirty(seed, 40);
        let isn = u32::MAX - u32::try_from(seed).expect("fits") * 700;
        let packets = each_second(segments(&mut Random(seed), &line, isn));
        let expected = expected(&line, u16::MAX);
        let files = [
            pcap(*link, &packets, false, false),
            pcap(*link, &packets, true, true),
            pcapng(*link, &packets, false),
            pcapng(*link, &packets, true),
        ];
        for (form, file) in files.iter().enumerate() {
            let lines = lines(&decode(&["--json"], file));
            assert_eq!(of_stream(&lines, UP), expected, "seed {seed}, link {}, form {form}", link.0);
            assert_eq!(lines.len(), expected.len(), "there is no other stream");
        }
    }
}

#[test]
fn lines_say_stream_packet_and_time() {
    let up = data(1, b"up");
    let (first, rest) = up.split_at(5);
    let packets = each_second([
        tcp(CLIENT, SERVER, 100, Flag::None, first),
        tcp(SERVER, CLIENT, 900, Flag::None, &data(2, b"down")),
        tcp(CLIENT, SERVER, 105, Flag::Fin, rest),
    ]);
    for file in [
        pcap(RAW_IP, &packets, false, false),
        pcap(RAW_IP, &packets, true, true),
        pcapng(RAW_IP, &packets, false),
        pcapng(RAW_IP, &packets, true),
    ] {
        let lines = lines(&decode(&["--json"], &file));
        let origins: Vec<_> = lines
            .iter()
            .map(|line| (line["stream"].clone(), line["packet"].clone(), line["time"].clone(), line["offset"].clone()))
            .collect();
        let expected = [(json!(DOWN), json!(2), json!(2.5), json!(0)), (json!(UP), json!(3), json!(3.5), json!(0))];
        assert_eq!(origins, expected);
    }
}

#[test]
fn a_gap_is_reported_and_no_frame_reaches_across_it() {
    // The lost segment is as long as the piece that a glued stream would complete the frame with.
    let whole = data(1, &[7; 40]);
    let (first, rest) = whole.split_at(20);
    let next = data(2, b"behind");
    let at = |offset: usize| 1 + u32::try_from(offset).expect("fits");
    let packets = each_second([
        tcp(CLIENT, SERVER, at(0), Flag::None, first),
        tcp(CLIENT, SERVER, at(20 + 30), Flag::None, &[rest, &next].concat()),
    ]);
    let output = decode(&["--json"], &pcap(RAW_IP, &packets, false, false));
    let lines = of_stream(&lines(&output), UP);
    assert_adds_up(&lines, 20 + 30 + rest.len() + next.len(), "gap");
    assert_eq!(lines[0], json!({"offset": 0, "skipped": 20, "cause": "abandoned"}));
    assert_eq!(lines[1], json!({"offset": 20, "gap": 30}));
    assert_eq!(lines[2]["cause"], "magic");
    assert_eq!(lines[3]["message"]["seq"], 2);
}

#[test]
fn a_hole_is_given_up_after_a_minute_of_the_capture() {
    let first = Captured::whole(tcp(CLIENT, SERVER, 1, Flag::None, b"x"), 1);
    let behind = Captured::whole(tcp(CLIENT, SERVER, 5, Flag::None, &data(1, b"")), 2);
    let late = Captured::whole(tcp(CLIENT, SERVER, 21, Flag::None, &data(2, b"")), 100);
    let end = Captured::whole(tcp(SERVER, CLIENT, 1, Flag::None, &data(3, b"")), 101);
    let lines = lines(&decode(&["--json"], &pcap(RAW_IP, &[first, behind, late, end], false, false)));
    let order: Vec<_> = lines.iter().filter_map(|line| line["message"]["seq"].as_u64()).collect();
    assert_eq!(order, [1, 2, 3], "the stream did not wait for the end of the capture");
}

#[test]
fn a_packet_that_the_capture_cut_short_is_a_gap() {
    let whole = tcp(CLIENT, SERVER, 1, Flag::None, &[data(1, b"in"), data(2, b"cut")].concat());
    let cut = Captured { bytes: whole[..whole.len() - 4].to_vec(), original: whole.len(), second: 1 };
    let output = decode(&["--json"], &pcap(RAW_IP, core::slice::from_ref(&cut), false, false));
    let lines = lines(&output);
    assert_eq!(lines[0]["message"]["seq"], 1);
    assert_eq!(lines.last().expect("there are lines")["gap"], 4);
    assert_adds_up(&lines, 18 + 19, "cut packet");
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 packets cut short"), "{output:?}");
    // The same bytes in a capture that says it has all of the packet: the IP header lies.
    let lying = Captured { original: cut.bytes.len(), ..cut };
    let output = decode(&["--json"], &pcap(RAW_IP, &[lying], false, false));
    assert!(output.stdout.is_empty(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 packets with damaged or cut headers"), "{output:?}");
}

#[test]
fn a_new_connection_between_the_same_ends_is_a_new_stream() {
    let half = &data(1, b"half")[..9];
    let packets = each_second([
        tcp(CLIENT, SERVER, 10, Flag::Syn, b""),
        tcp(CLIENT, SERVER, 11, Flag::None, half),
        tcp(CLIENT, SERVER, 10, Flag::Syn, b""),
        tcp(CLIENT, SERVER, 20, Flag::Rst, b"reset"),
        tcp(CLIENT, SERVER, 5000, Flag::Syn, b""),
        tcp(CLIENT, SERVER, 5001, Flag::Fin, &data(2, b"new")),
        tcp(CLIENT, SERVER, 5001, Flag::None, &data(2, b"new")),
    ]);
    let lines = lines(&decode(&["--json"], &pcap(RAW_IP, &packets, false, false)));
    assert_eq!(of_stream(&lines, UP), [json!({"offset": 0, "skipped": 9, "cause": "abandoned"})]);
    let second = of_stream(&lines, &format!("{UP} #2"));
    assert_eq!((second.len(), &second[0]["message"]["seq"], &second[0]["offset"]), (1, &json!(2), &json!(0)));
    assert_eq!(lines.len(), 2, "what is repeated behind the FIN opens no stream");
}

#[test]
fn a_fin_and_a_reset_end_their_stream_at_once() {
    for flag in [Flag::Fin, Flag::Rst] {
        let packets = each_second([
            tcp(CLIENT, SERVER, 11, Flag::None, &data(1, b"half")[..9]),
            tcp(CLIENT, SERVER, 20, flag, b""),
            tcp(SERVER, CLIENT, 1, Flag::None, &data(2, b"later")),
        ]);
        let lines = lines(&decode(&["--json"], &pcap(RAW_IP, &packets, false, false)));
        assert_eq!((&lines[0]["cause"], &lines[0]["skipped"]), (&json!("abandoned"), &json!(9)), "{flag:?}");
        assert_eq!(lines[1]["message"]["seq"], 2, "{flag:?}");
    }
}

#[test]
fn what_comes_behind_a_reset_is_told() {
    let packets = each_second([
        tcp(CLIENT, SERVER, 10, Flag::Syn, b""),
        tcp(CLIENT, SERVER, 11, Flag::Rst, b""),
        tcp(CLIENT, SERVER, 11, Flag::None, b"GET / HTTP/1.1"),
        tcp(CLIENT, SERVER, 25, Flag::Rst, b""),
        tcp(CLIENT, SERVER, 25, Flag::None, b"half"),
        tcp(CLIENT, SERVER, 32, Flag::None, b"behind"),
    ]);
    let pcap = pcap(RAW_IP, &packets, false, false);
    for (framing, cause) in [("native", "magic"), ("ubx", "magic"), ("auto", "no_framing")] {
        let lines = of_stream(&lines(&decode(&["--json", "-f", framing], &pcap)), UP);
        let told = |line: &&Value| line.get("best").is_none();
        let expected = [
            json!({"offset": 0, "skipped": 14, "cause": cause}),
            json!({"offset": 14, "skipped": 4, "cause": cause}),
            json!({"offset": 18, "gap": 3}),
            json!({"offset": 21, "skipped": 6, "cause": cause}),
        ];
        assert_eq!(lines.iter().filter(told).collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>(), "{framing}");
    }
}

/// More half-open streams than may be followed: the oldest are given up, and what they had is not lost.
#[test]
fn the_number_of_streams_is_bounded() {
    const STREAMS: u32 = 66_000;
    let half = &data(1, b"half")[..9];
    let packets = (0..STREAMS).map(|number| {
        let [_, _, a, b] = number.to_be_bytes();
        let client = ([10, 1, u8::from(number > 0xffff), a], 10_000 + u16::from(b));
        tcp(client, SERVER, 1, Flag::None, half)
    });
    let output = decode(&["--json"], &pcap(RAW_IP, &each_second(packets), false, false));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains(&format!("{} streams given up", STREAMS - 65_536)), "{stderr}");
    let skipped: u64 = lines(&output).iter().map(super::length).sum();
    assert_eq!(skipped, u64::from(STREAMS) * 9);
}

#[test]
fn a_datagram_is_a_stream_of_its_own() {
    let payload = [&0x0123_4567_89ab_cdef_u64.to_be_bytes()[..], b"\x07\x00\x00\x00\x2a"].concat();
    let good = frame_around(&payload);
    let (first, rest) = good.split_at(10);
    let packets = each_second([
        udp(CLIENT, SERVER, &good),
        // Two halves do not make a frame.
        udp(CLIENT, SERVER, first),
        udp(CLIENT, SERVER, rest),
        udp(CLIENT, SERVER, &frame_around(b"short")),
        // The message without the stream id that the binding puts in front.
        udp(CLIENT, SERVER, &frame(&Message::Ack { receive_next: 42 })),
    ]);
    let lines = lines(&decode(&["--json"], &pcap(RAW_IP, &packets, false, false)));
    let packets: Vec<_> = lines.iter().filter_map(|line| line["packet"].as_u64()).collect();
    assert_eq!(packets, [1, 2, 3, 4, 5]);
    assert!(lines.iter().all(|line| line["offset"] == 0 && line["transport"] == "udp"), "{lines:?}");
    assert_eq!(lines[0]["device_stream"], "0123456789abcdef");
    assert_eq!(lines[0]["message"], json!({"kind": "ACK", "receive_next": 42}));
    assert_eq!(lines[1]["cause"], "abandoned");
    assert_eq!(lines[2]["cause"], "magic");
    let text = "message ends in stream: bytes needed 8, there 5";
    assert_eq!(lines[3]["error"], json!({"name": "truncated", "text": text}));
    assert_eq!(lines[4]["error"]["name"], "truncated");
}

#[test]
fn fragments_and_other_traffic_are_counted() {
    let mut fragment = udp(CLIENT, SERVER, &data(1, b"x"));
    // More fragments follow.
    fragment[6] |= 0x20;
    let mut icmp = udp(CLIENT, SERVER, b"");
    icmp[9] = 1;
    let packets = each_second([fragment, icmp, b"\x45".to_vec(), tcp(CLIENT, SERVER, 1, Flag::None, &data(2, b"y"))]);
    let output = decode(&["--json"], &pcap(RAW_IP, &packets, false, false));
    assert_eq!(lines(&output).len(), 1);
    let notes = String::from_utf8_lossy(&output.stderr).into_owned();
    for note in ["1 IP fragments left out", "1 packets neither TCP nor UDP", "1 packets with damaged or cut headers"] {
        assert!(notes.contains(note), "{notes}");
    }
}

#[test]
fn ports_choose_among_the_streams() {
    let other = ([10, 0, 0, 9], 53);
    let packets = each_second([
        udp(CLIENT, other, b"name?"),
        tcp(CLIENT, SERVER, 1, Flag::None, &data(1, b"")),
        tcp(SERVER, CLIENT, 1, Flag::None, &data(2, b"")),
    ]);
    let file = pcap(RAW_IP, &packets, false, false);
    let count = |arguments: &[&str]| lines(&decode(arguments, &file)).len();
    assert_eq!(count(&["--json"]), 3);
    assert_eq!(count(&["--json", "--port", "9000"]), 2);
    assert_eq!(count(&["--json", "--port", "53", "--port", "9000"]), 3);
}

#[test]
fn a_broken_capture_is_a_failure_after_what_came_before() {
    let packets = each_second([
        tcp(CLIENT, SERVER, 1, Flag::None, &data(1, b"")),
        tcp(CLIENT, SERVER, 17, Flag::None, &data(2, b"")),
    ]);
    let (old, new) = (pcap(RAW_IP, &packets, false, false), pcapng(RAW_IP, &packets, false));
    let cut = decode(&["--json"], &old[..old.len() - 3]);
    assert!(failure(&cut).contains("broken capture behind packet 1"), "{cut:?}");
    assert_eq!(json_lines(&cut.stdout)[0]["message"]["seq"], 1);
    let cut = decode(&["--json"], &new[..new.len() - 3]);
    assert!(failure(&cut).contains("behind packet 2"), "{cut:?}");
    assert_eq!(json_lines(&cut.stdout).len(), 2);
    // A length that nobody may believe, before anything is read or allocated for it.
    let mut long = old.clone();
    long[24 + 8..24 + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(failure(&decode(&["--json"], &long)).contains("4294967295 bytes"));
    let mut lengths = new;
    *lengths.last_mut().expect("it is not empty") ^= 1;
    assert!(failure(&decode(&["--json"], &lengths)).contains("contradict"));
    let wifi = pcap((105, &[]), &packets, false, false);
    let output = decode(&["--json"], &wifi);
    assert!(failure(&output).contains("link type"), "{output:?}");
}

#[test]
fn raw_bytes_that_begin_like_a_capture_can_be_forced() {
    let line = [b"\xd4\xc3\xb2\xa1", &data(1, b"x")[..]].concat();
    assert_eq!(lines(&decode(&["--json", "--raw"], &line)), expected(&line, u16::MAX));
    assert_eq!(lines(&decode(&["--json"], b"\xd4\xc3")), expected(b"\xd4\xc3", u16::MAX));
}

/// Any damage to a capture ends in success or in one clear line, and what is shown of a stream has no hole.
#[test]
fn a_damaged_capture_never_panics() {
    for seed in 0..150 {
        let mut random = Random(seed);
        let line = dirty(seed, 12);
        let packets = each_second(segments(&mut random, &line, 77));
        let link = LINKS[random.below(LINKS.len())];
        let mut file = match random.below(3) {
            0 => pcap(link, &packets, seed % 2 == 0, false),
            _ => pcapng(link, &packets, seed % 2 == 0),
        };
        for _ in 0..1 + random.below(40) {
            let at = 4 + random.below(file.len() - 4);
            file[at] = random.bytes(1)[0];
        }
        let output = decode(&["--json"], &file);
        let code = output.status.code();
        assert!(code == Some(0) || code == Some(1), "seed {seed}: {output:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.lines().all(|line| line.starts_with("dtu: ")), "seed {seed}: {stderr}");
        let mut ends = std::collections::HashMap::new();
        for line in json_lines(&output.stdout) {
            let (stream, offset) = (line["stream"].to_string(), line["offset"].as_u64().expect("a number"));
            // Without a stream the damage has made the file raw bytes; a datagram begins anew.
            let end = ends.insert(stream, offset + super::length(&line)).unwrap_or(0);
            assert!(offset == end || line["transport"] == "udp", "seed {seed}: {line}");
        }
    }
}
