//! `dtu serve` against good and bad peers, bad arguments and a bad stdout.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

mod support;

use dtu_proto::message::kind;
use dtu_proto::{Message, Native};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Stdio;
use support::peer::{Peer, data, frame, register};
use support::{PATIENCE, Process, Serve, dtu, fails_with_one_line, lines, listening};

#[test]
fn a_session_is_printed_and_answered() {
    let serve = Serve::start(&["--heartbeat", "7", "--window", "5"]);
    let mut peer = Peer::dial(&serve.addr);
    peer.send(&register("meter-7"));
    let welcome = peer.payload().unwrap();
    assert_eq!(welcome[..7], [kind::WELCOME, 0, 0, 0x1B, 0x58, 0, 5], "7000 ms and a window of 5");
    let connected = serve.event();
    assert_eq!((&connected["event"], &connected["device"]), (&"connected".into(), &"meter-7".into()));
    let time = connected["time"].as_str().unwrap();
    assert!(time.len() == "2026-11-25T19:05:32.042Z".len() && time.ends_with('Z'), "{time}");
    let resumed = &connected["resumed"];
    assert_eq!((&resumed["receiving"], &resumed["sending"]), (&false.into(), &false.into()));

    let stream =
        [&data(0, b"\x01\x03\xFF")[..], b"noise", &frame(&Message::Ping { nonce: 77 }), &data(1, b"")].concat();
    peer.send(&stream);
    // DATA and the rest come by two ways.
    let mut events = [serve.event(), serve.event(), serve.event()];
    events.sort_by_key(|event| event["event"].to_string());
    let [first, second, skipped] = &events;
    assert_eq!((&first["event"], &first["seq"], &first["channel"]), (&"data".into(), &0.into(), &1.into()));
    assert_eq!((&first["body"], &first["stream"]), (&"0103ff".into(), &"0000000000000abc".into()));
    assert_eq!((&second["seq"], &second["body"]), (&1.into(), &"".into()));
    assert_eq!(
        (&skipped["event"], &skipped["bytes"], &skipped["cause"], &skipped["epoch"]),
        (&"skipped".into(), &5.into(), &"magic".into(), &1.into())
    );
    let mut answers = Vec::new();
    while answers.last() != Some(&vec![kind::ACK, 0, 0, 0, 2]) {
        answers.push(peer.payload().expect("the session goes on"));
    }
    assert!(answers.contains(&vec![kind::PONG, 0, 0, 0, 0, 0, 0, 0, 77]), "{answers:?}");

    drop(peer);
    let away = serve.event();
    assert_eq!((&away["event"], &away["cause"]), (&"disconnected".into(), &"disconnected".into()));
}

#[test]
fn who_is_not_let_in_is_told_with_the_cause_and_holds_up_nobody() {
    let serve = Serve::start(&["--max-payload", "512"]);
    let _silent: Vec<_> = (0..20).map(|_| Peer::dial(&serve.addr)).collect();
    let cases: [(&str, Vec<u8>); 4] = [
        ("too_much_before_register", vec![0x55; 64 * 1024]),
        ("first_message", data(0, b"x")),
        ("first_message_malformed", {
            let mut bytes = Vec::new();
            Native::new().encode_to(&[1, 1][..], &mut bytes).unwrap();
            bytes
        }),
        ("disconnected", (0..=255).cycle().take(2000).collect()),
    ];
    for (cause, bytes) in cases {
        let mut peer = Peer::dial(&serve.addr);
        let from = peer.socket.local_addr().unwrap().to_string();
        // The server may close before it has read everything.
        let _reset = peer.socket.write_all(&bytes);
        if cause == "disconnected" {
            peer.socket.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let refused = serve.event_of("refused");
        assert_eq!((&refused["cause"], &refused["peer"]), (&cause.into(), &from.into()));
    }
}

#[test]
fn a_device_that_breaks_the_rules_is_disconnected_with_the_rule() {
    let serve = Serve::start(&["--max-payload", "512"]);
    let mut peer = Peer::dial(&serve.addr);
    peer.send(&register("a"));
    peer.payload_of(kind::WELCOME);
    peer.send(&register("a"));
    let gone = serve.event_of("disconnected");
    assert_eq!((&gone["cause"], &gone["device"]), (&"registered_twice".into(), &"a".into()));
    assert_eq!(peer.payload_of(kind::CLOSE)[1], 1);

    // DATA that is too long can never be taken, and the device is told so.
    let mut peer = Peer::dial(&serve.addr);
    peer.send(&register("b"));
    peer.payload_of(kind::WELCOME);
    peer.send(&[data(0, &[7; 600]), data(1, b"small")].concat());
    assert_eq!(serve.event_of("skipped")["cause"], "over_limit");
    assert_eq!(serve.event_of("disconnected")["cause"], "over_limit");
}

#[test]
fn a_session_closed_by_its_device_is_told_with_its_counters() {
    let serve = Serve::start(&[]);
    let mut peer = Peer::dial(&serve.addr);
    peer.send(&register("m"));
    peer.payload_of(kind::WELCOME);
    peer.send(&[data(0, b"x"), data(0, b"x"), frame(&Message::Skip { next: 4 })].concat());
    let skip = serve.event_of("skip");
    assert_eq!((&skip["from"], &skip["next"]), (&1.into(), &4.into()));
    let done = dtu_proto::message::Close {
        code: dtu_proto::message::CloseCode::DONE,
        reason: dtu_proto::message::Reason::new("bye").unwrap(),
    };
    peer.send(&frame(&Message::Close(done)));
    let closed = serve.event_of("closed");
    assert_eq!((&closed["cause"], &closed["reason"]), (&"peer_closed".into(), &"bye".into()));
    let counters = ["connections", "data", "missing", "repeated"].map(|name| closed[name].as_u64().unwrap());
    assert_eq!(counters, [1, 1, 3, 1]);
}

#[test]
fn the_newer_connection_of_a_device_replaces_the_older() {
    let serve = Serve::start(&[]);
    let mut old = Peer::dial(&serve.addr);
    old.send(&register("twin"));
    assert_eq!(old.payload().unwrap()[0], kind::WELCOME);
    let mut new = Peer::dial(&serve.addr);
    new.send(&register("twin"));
    assert_eq!(old.payload().unwrap()[..2], [kind::CLOSE, 4]);
    assert_eq!(new.payload().unwrap()[0], kind::WELCOME);
    assert_eq!(serve.event_of("disconnected")["cause"], "replaced");
    assert_eq!(serve.event_of("connected")["epoch"], 2);
}

#[test]
fn signals_end_it_in_order_and_what_was_printed_is_acknowledged() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let serve = Serve::start(&[]);
        let mut peer = Peer::dial(&serve.addr);
        peer.send(&[register("m"), data(0, b"x")].concat());
        serve.event_of("data");
        serve.process.signal(signal);
        let rest = peer.rest();
        let [.., ack, close] = &rest[..] else { panic!("{rest:?}") };
        assert_eq!((&ack[..], &close[..2]), (&[kind::ACK, 0, 0, 0, 1][..], &[kind::CLOSE, 2][..]));
        drop(peer);
        assert_eq!(serve.event_of("closed")["cause"], "closed");
        let (status, said) = serve.process.end();
        assert!(status.success() && said.is_empty(), "{status} {said:?}");
    }
}

#[test]
fn a_drain_closes_the_sessions_and_takes_what_comes_meanwhile() {
    let serve = Serve::start(&["--drain", "2"]);
    let mut peers: Vec<Peer> = ["a", "b"]
        .map(|id| {
            let mut peer = Peer::dial(&serve.addr);
            peer.send(&register(id));
            peer.payload_of(kind::WELCOME);
            peer
        })
        .into();
    let began = std::time::Instant::now();
    serve.process.signal(Signal::SIGTERM);
    // Whichever is closed first, the other one is still served.
    for peer in &mut peers {
        peer.send(&data(0, b"late"));
    }
    let rest: Vec<_> = peers.iter_mut().map(Peer::rest).collect();
    for said in &rest {
        assert!(matches!(said.last(), Some(close) if close.starts_with(&[kind::CLOSE, 2])), "{rest:?}");
    }
    assert!(rest.iter().any(|said| said.contains(&vec![kind::ACK, 0, 0, 0, 1])), "{rest:?}");
    assert!(began.elapsed() >= core::time::Duration::from_secs(1), "one after the other over 2 s");
    drop(peers);
    let (status, said) = serve.process.end();
    assert!(status.success(), "{status} {said:?}");
    assert!(matches!(&said[..], [line] if line.contains("closing the sessions over 2s")), "{said:?}");
}

#[test]
fn what_cannot_be_printed_is_not_acknowledged() {
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        eprintln!("skipped: this system has no /dev/full");
        return;
    };
    let process = Process::spawn(dtu(&["serve", "--listen", "127.0.0.1:0"]).stdout(full));
    let mut peer = Peer::dial(&listening(&process));
    peer.send(&[register("m"), data(0, b"x")].concat());
    let kinds: Vec<u8> = peer.rest().iter().map(|payload| payload[0]).collect();
    assert!(!kinds.contains(&kind::ACK), "{kinds:?}");
    let (status, said) = process.end();
    assert_eq!(status.code(), Some(1));
    assert!(matches!(&said[..], [line] if line.contains("cannot write events to stdout")), "{said:?}");
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let (reader, writer) = std::io::pipe().unwrap();
    let process = Process::spawn(dtu(&["serve", "--listen", "127.0.0.1:0"]).stdout(writer));
    let mut peer = Peer::dial(&listening(&process));
    drop(reader);
    peer.send(&register("m"));
    // A child that another test is just starting may hold the reader for a moment, so some lines may get through.
    peer.socket.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut seq = 0;
    loop {
        // As many as the window takes; then either they are acknowledged, or the server goes.
        let gone = (0..64).any(|_| {
            seq += 1;
            peer.socket.write_all(&data(seq - 1, b"x")).is_err()
        });
        let acknowledged = [&[kind::ACK][..], &u32::to_be_bytes(seq)].concat();
        if gone || core::iter::from_fn(|| peer.payload()).all(|payload| payload != acknowledged) {
            break;
        }
    }
    let (status, said) = process.end();
    assert_eq!(status.code(), Some(1));
    assert!(matches!(&said[..], [line] if line.contains("cannot write events to stdout")), "{said:?}");
}

#[test]
fn an_open_server_says_so() {
    let serve = Serve::start(&[]);
    assert!(matches!(&serve.warnings[..], [line] if line.contains("this server is open")), "{:?}", serve.warnings);
}

#[test]
fn an_open_listener_for_transparent_dtus_says_so_besides() {
    let args = ["serve", "--listen", "127.0.0.1:0", "--transparent", "127.0.0.1:0", "--profile", "plain"];
    let serve = Process::spawn(dtu(&args).stdin(Stdio::null()).stdout(Stdio::null()));
    let (_, before) = serve.says("transparent DTUs on ");
    let mut warnings: Vec<_> = before.iter().filter_map(|line| line.strip_prefix("dtu: warning: ")).collect();
    warnings.retain(|warning| warning.contains("the listener for transparent DTUs is open"));
    assert_eq!(warnings.len(), 1, "{before:?}");
    serve.signal(Signal::SIGINT);
    assert!(serve.end().0.success());
}

#[test]
fn a_transparent_dtu_that_leaves_broke_no_rule_of_ours() {
    let args = ["serve", "--listen", "127.0.0.1:0", "--transparent", "127.0.0.1:0", "--profile", "plain"];
    let mut serve = Process::spawn(dtu(&args).stdin(Stdio::null()).stdout(Stdio::piped()));
    let events = lines(serve.stdout());
    let wait_for = |name: &str| loop {
        let event: Value = serde_json::from_str(&events.recv_timeout(PATIENCE).unwrap()).unwrap();
        if event["event"] == name {
            return event;
        }
    };
    let (line, _) = serve.says("transparent DTUs on ");
    let mut unit = TcpStream::connect(line.rsplit_once(' ').unwrap().1).unwrap();
    unit.write_all(b"REG:13800138000\r\n").unwrap();
    wait_for("identified");
    drop(unit);
    let left = wait_for("disconnected");
    assert_eq!(
        (&left["cause"], &left["text"]),
        (&"disconnected".into(), &"the peer's stream ended without a word of why".into())
    );
    serve.signal(Signal::SIGINT);
    assert!(serve.end().0.success());
}

#[test]
fn who_reads_stderr_may_leave() {
    for format in ["text", "json"] {
        let args = ["serve", "--listen", "127.0.0.1:0", "--drain", "1", "--log-format", format];
        let mut serve = dtu(&args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(serve.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on ") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0);
        }
        drop(said);
        // It says so.
        kill(Pid::from_raw(serve.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        let status = serve.wait().unwrap();
        assert!(status.success(), "{format}: {status}");
    }
}

#[test]
fn bad_arguments_are_told() {
    let serve = Serve::start(&["--retention", "60", "--max-sessions", "10"]);
    let (status, said) =
        Process::spawn(dtu(&["serve", "--listen", &serve.addr]).stdin(Stdio::null()).stdout(Stdio::null())).end();
    assert_eq!(status.code(), Some(1));
    assert!(said.last().unwrap().contains("cannot listen on"), "{said:?}");
    let listen = ["serve", "--listen", "127.0.0.1:0"];
    fails_with_one_line(dtu(&listen).args(["--keys", "/nowhere/keys"]), "/nowhere/keys");
    let there = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    fails_with_one_line(dtu(&listen).args(["--tls-cert", "/nowhere/c", "--tls-key", there]), "/nowhere/c");
    for args in [
        &["serve"][..],
        &["serve", "--listen", "nonsense"],
        &["serve", "--listen", "127.0.0.1:0", "--max-payload", "70000"],
        &["serve", "--listen", "127.0.0.1:0", "--window", "0"],
        &["serve", "--listen", "127.0.0.1:0", "--tls-cert", "c"],
        &["serve", "--listen", "127.0.0.1:0", "--tls-client-ca", "c"],
        &["serve", "--listen", "127.0.0.1:0", "--unknown"],
    ] {
        let status = dtu(args).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(2), "{args:?}");
    }
}
