//! `--framing auto`: which framing is found, and what is said of it.

use super::framings::{METER, vectors};
use super::line::{data, dirty, expected};
use super::wire::{CLIENT, Flag, LINKS, SERVER, UP, each_second, pcap, tcp, udp};
use super::{assert_adds_up, decode, decode_pieces, dtu, length, lines};
use dtu_proto::checksum::Algorithm;
use dtu_proto::checksum::catalogue::CRC_16_MODBUS;
use serde_json::{Value, json};

/// What has bytes.
fn with_length(lines: &[Value]) -> Vec<Value> {
    lines.iter().filter(|line| line.get("score").is_none() && line.get("best").is_none()).cloned().collect()
}

#[test]
fn each_framing_that_can_be_told_is_found_by_its_examples() {
    // What fixes nothing fits everything, a datagram is no stream, and these are the same bytes as another.
    let cannot = ["slip", "cobs", "line", "fourfaith_prot", "hongdian_ddp_udp"];
    let vectors = vectors().valid;
    let mut names: Vec<_> = vectors.iter().map(|vector| &*vector.framing).collect();
    names.dedup();
    for name in names {
        let examples: String =
            vectors.iter().filter(|vector| vector.framing == name).map(|vector| &*vector.hex).collect();
        let output = decode(&["--json", "--hex", "-f", "auto"], examples.as_bytes());
        let lines = lines(&output);
        assert_adds_up(&with_length(&lines), examples.len() / 2, name);
        let found = match name {
            "iec101_variable" => "mbus_long",
            "iec101_fixed" => "mbus_short",
            name => name,
        };
        if !cannot.contains(&name) {
            assert_eq!(lines[0]["framing"], found, "{lines:?}");
            assert!(
                String::from_utf8_lossy(&output.stderr).starts_with(&format!("dtu: framing: {found}, score ")),
                "{output:?}"
            );
        }
    }
}

/// With zeros where Modbus TCP has its protocol and a small length, both fit.
#[test]
fn polls_of_the_first_registers_are_rtu_and_not_tcp() {
    for count in 1..=20 {
        let mut poll = vec![1, 3, 0, 0, 0, count];
        let [low, high, ..] = Algorithm::Crc(CRC_16_MODBUS).checksum(&poll).to_le_bytes();
        poll.extend([low, high]);
        let polls = poll.repeat(4);
        for piece in [1, polls.len()] {
            let lines = lines(&decode_pieces(dtu(&["--json", "-f", "auto"]), &polls, piece));
            assert_eq!(lines[0]["framing"], "modbus_rtu", "{count} registers: {lines:?}");
            assert_eq!(lines.iter().filter(|line| line["frame"] == 8).count(), 4, "{count} registers");
        }
    }
}

#[test]
fn the_line_says_the_score_and_the_lead() {
    let line = [METER, METER].concat();
    let output = decode(&["--json", "-f", "auto"], &line);
    let lines = lines(&output);
    let (score, lead) = (&lines[0]["score"], &lines[0]["lead"]);
    assert_eq!(lines[0], json!({"offset": 0, "framing": "dlt645_2007", "score": score, "lead": lead}));
    assert!(score.as_i64() > Some(0) && lead.as_i64() > Some(0), "{lines:?}");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        format!("dtu: framing: dlt645_2007, score {score}, {lead} above the next\n")
    );
    let dump = decode(&["-f", "auto"], &line);
    let text = String::from_utf8_lossy(&dump.stdout).into_owned();
    assert!(
        text.starts_with(&format!(
            "framing at 0: dlt645_2007, score {score}, {lead} above the next\nframe at 0, 16 bytes: "
        )),
        "{text}"
    );
}

#[test]
fn what_fits_nothing_is_skipped_with_the_best_scores() {
    let text = b"lorem ipsum dolor sit amet".repeat(400);
    let output = decode(&["--json", "-f", "auto"], &text);
    let lines = lines(&output);
    assert_eq!((&lines[0]["framing"], lines[0]["best"].as_array().map(Vec::len)), (&Value::Null, Some(3)), "{lines:?}");
    assert!(
        lines[0]["best"].as_array().expect("a list").iter().all(|best| best["score"].as_i64() < Some(0)),
        "{lines:?}"
    );
    assert_eq!(lines[1..], [json!({"offset": 0, "skipped": text.len(), "cause": "no_framing"})]);
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("dtu: framing: none fits; the best: "), "{output:?}");
    let dump = decode(&["-f", "auto"], &text);
    let summary = format!("dtu: 0 frames in {0} bytes; {0} bytes skipped ({0} no_framing)\n", text.len());
    assert!(String::from_utf8_lossy(&dump.stderr).starts_with(&summary), "{dump:?}");
}

#[test]
fn the_way_the_input_is_cut_does_not_show() {
    let line = dirty(3, 30);
    let whole = lines(&decode(&["--json", "-f", "auto"], &line));
    assert_eq!(whole[0]["framing"], "native");
    assert_eq!(whole[1..], expected(&line, u16::MAX));
    for piece in [1, 7, 1000] {
        let cut = lines(&decode_pieces(dtu(&["--json", "-f", "auto"]), &line, piece));
        assert_eq!(cut[1..], whole[1..], "pieces of {piece}");
        assert_eq!(cut[0]["framing"], "native");
    }
}

#[test]
fn an_empty_input_is_in_no_framing() {
    let output = decode(&["--json", "-f", "auto"], b"");
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn each_stream_of_a_capture_is_in_a_framing_of_its_own() {
    let other = ([10, 0, 0, 9], 41_000);
    let ddp = b"\x7B\x09\x00\x1013912345678\x7B123";
    let packets = each_second([
        tcp(CLIENT, SERVER, 100, Flag::Syn, b""),
        tcp(other, SERVER, 100, Flag::Syn, b""),
        tcp(CLIENT, SERVER, 101, Flag::None, METER),
        tcp(other, SERVER, 101, Flag::None, &data(1, b"x")),
        tcp(CLIENT, SERVER, 101 + 16, Flag::None, METER),
        udp(other, SERVER, ddp),
    ]);
    let output = decode(&["--json", "-f", "auto"], &pcap(LINKS[5], &packets, false, false));
    let lines = lines(&output);
    let decided: Vec<_> =
        lines.iter().filter(|line| line.get("score").is_some()).map(|line| &line["framing"]).collect();
    assert_eq!(decided, ["native", "dlt645_2007", "hongdian_ddp_udp"].map(Value::from).iter().collect::<Vec<_>>());
    let of_stream: Vec<_> = lines.iter().filter(|line| line["stream"] == UP).collect();
    // The packets that brought the frames, not the one that decided.
    let packets: Vec<_> = of_stream.iter().map(|line| line["packet"].clone()).collect();
    assert_eq!(packets, [3, 3, 5], "{of_stream:?}");
    let summary = "dtu: framing: 1 stream native, 1 stream hongdian_ddp_udp, 1 stream dlt645_2007\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), summary);
}

#[test]
fn a_gap_before_it_is_decided_decides_by_what_is_there() {
    let at = |offset: usize| 1 + u32::try_from(offset).expect("fits");
    let packets = each_second([
        tcp(CLIENT, SERVER, at(0), Flag::None, &METER[..9]),
        tcp(CLIENT, SERVER, at(40), Flag::None, METER),
    ]);
    let lines = with_length(&lines(&decode(&["--json", "-f", "auto"], &pcap(LINKS[5], &packets, false, false))));
    assert_adds_up(&lines, 40 + METER.len(), "gap");
    assert_eq!(lines.iter().filter(|line| line.get("gap").is_some()).map(length).sum::<u64>(), 31);
}

#[test]
fn a_gap_in_front_of_everything_decides_nothing() {
    let packets =
        each_second([tcp(CLIENT, SERVER, 100, Flag::Syn, b""), tcp(CLIENT, SERVER, 101 + 30, Flag::None, METER)]);
    let lines = lines(&decode(&["--json", "-f", "auto"], &pcap(LINKS[5], &packets, false, false)));
    assert_eq!(
        (&lines[0]["gap"], &lines[1]["offset"], &lines[1]["framing"]),
        (&json!(30), &json!(30), &json!("dlt645_2007"))
    );
    assert_adds_up(&with_length(&lines), 30 + METER.len(), "gap");
}

#[test]
fn what_is_for_datagrams_is_found_in_none_but_them() {
    let line = b"\x7B\x09\x00\x1013912345678\x7B123";
    let stream = lines(&decode(&["--json", "-f", "auto"], line));
    assert_eq!(stream[0]["framing"], "hongdian_ddp_tcp", "{stream:?}");
}

#[test]
fn what_is_carried_can_be_found_out_too() {
    let line = data(1, &[METER, METER].concat());
    let lines = lines(&decode(&["--json", "--nested", "auto"], &line));
    assert_eq!((&lines[1]["layer"], &lines[1]["framing"]), (&json!("inner"), &json!("dlt645_2007")));
    assert_eq!(lines.iter().filter(|line| line["frame"] == 16).count(), 2);
}
