//! `dtu sim --profile`, `dtu serve --transparent` and `dtu request`, end to end.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

mod support;

use dtu_proto::Message;
use dtu_proto::checksum::{Algorithm, catalogue};
use dtu_proto::message::Data;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Output, Stdio};
use support::peer::{self, Peer};
use support::{PATIENCE, Process, dtu, fails_with_one_line, lines};

/// A server with a control socket, and devices that play a profile.
struct World {
    serve: Process,
    events: std::sync::mpsc::Receiver<String>,
    sim: Process,
    control: String,
}

impl World {
    fn new(profile: &str, sim: &[&str]) -> Self {
        let args = ["--transparent", "127.0.0.1:0", "--control", "127.0.0.1:0"];
        let mut serve = Process::spawn(dtu(&["serve"]).args(args).args(["--profile", profile]).stdout(Stdio::piped()));
        let events = lines(serve.stdout());
        let address = |line: &str| line.rsplit_once(' ').unwrap().1.to_owned();
        let control = address(&serve.says("control on ").0);
        let transparent = address(&serve.says("transparent DTUs on ").0);
        let sim = Process::spawn(
            dtu(&["sim", &transparent, "--profile", profile, "--seed", "7", "--json"]).args(sim).stdout(Stdio::piped()),
        );
        Self { serve, events, sim, control }
    }

    /// Waits for an event that fits; what comes before is passed over.
    fn event(&self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.events.recv_timeout(PATIENCE).expect("an event comes");
            let event = serde_json::from_str(&line).unwrap();
            if fits(&event) {
                return event;
            }
        }
    }

    fn wait_for(&self, devices: usize) {
        for _ in 0..devices {
            self.event(|event| event["event"] == "identified");
        }
    }

    fn request(&self, args: &[&str]) -> Output {
        dtu(&["request", "--server", &self.control]).args(args).output().unwrap()
    }

    /// Ends devices and server, which both have to end well.
    fn end(mut self) -> Value {
        let said = lines(self.sim.stdout());
        self.sim.signal(Signal::SIGINT);
        let (status, errors) = self.sim.end();
        assert!(status.success(), "{errors:?}");
        self.serve.signal(Signal::SIGINT);
        let (status, errors) = self.serve.end();
        assert!(status.success(), "{errors:?}");
        serde_json::from_str(&said.iter().last().unwrap()).unwrap()
    }
}

fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    dtu_proto::hex::Hex(bytes).to_string()
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    let crc = Algorithm::Crc(catalogue::CRC_16_MODBUS).checksum(bytes) as u16;
    [bytes, &crc.to_le_bytes()].concat()
}

#[test]
fn the_register_of_the_right_device_comes_back() {
    for profile in ["plain", "prefix", "ddp"] {
        let world = World::new(profile, &["--devices", "3", "--heartbeat", "3600", "--late", "0"]);
        world.wait_for(3);
        for number in 0..3_u8 {
            let device = format!("1390000000{number}");
            let output = world.request(&[&device, "--crc", &format!("{:02X} 03 002A 0001", number + 1)]);
            let value = u16::from(number) * 1000 + 42;
            let reply = hex(&frame(&[&[number + 1, 3, 2], &value.to_be_bytes()[..]].concat()));
            let words = format!("address {}, holding registers from 42 on: {value}", number + 1);
            assert_eq!(text(&output.stdout), format!("{reply}\n{words}\n"), "{profile}");
            assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""), "{profile}");
        }
        let summary = world.end();
        assert_eq!((&summary["answered"], &summary["strange_bytes"]), (&3.into(), &0.into()), "{profile}: {summary}");
    }
}

#[test]
fn exceptions_and_silence_have_their_exit_codes_and_one_line() {
    let world = World::new("plain", &["--devices", "1", "--heartbeat", "3600", "--late", "0"]);
    world.wait_for(1);
    let output = world.request(&["13900000000", "--crc", "01 03 FFFF 0001"]);
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(4), "dtu: 13900000000: exception 02, illegal data address\n")
    );
    assert_eq!(text(&output.stdout), "018302c0f1\naddress 1, exception 02: illegal data address\n");

    // Nobody has this address.
    let output = world.request(&["13900000000", "--crc", "63 03 0000 0001", "--timeout", "0.2"]);
    let said = "dtu: 13900000000: no reply in time; times sent: 1\n";
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(3), said));
    assert_eq!(output.stdout, b"");

    let output = world.request(&["13900000000", "--crc", "63 03 0000 0001", "--timeout", "0.2", "--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(3), ""));
    assert_eq!((&answer["outcome"], &answer["device"]), (&"timed_out".into(), &"13900000000".into()));

    let output = world.request(&["13900000009", "--crc", "01 03 0000 0001"]);
    let said = "dtu: 13900000009: no such device has come\n";
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), said));
    let output = world.request(&["13900000000", "010300000001"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("dtu: 13900000000: hex: the checksum of the request is "), "{output:?}");

    // All devices of the line do it, and none answers.
    let output = world.request(&["13900000000", "--crc", "00 06 0001 0009", "--timeout", "0.2", "--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &answer["outcome"]), (Some(0), &"sent".into()), "{answer}");
    let output = world.request(&["13900000000", "--crc", "01 03 0001 0001"]);
    assert!(text(&output.stdout).ends_with("holding registers from 1 on: 9\n"), "{output:?}");
    world.end();
}

#[test]
fn many_requests_at_once_over_dirty_lines_have_each_its_own_reply() {
    let args = ["--devices", "4", "--heartbeat", "2", "--late", "0", "--noise", "0.05"];
    let world = World::new("plain", &args);
    world.wait_for(4);
    let askers: Vec<_> = (0..8_u8)
        .map(|asker| {
            let stream = TcpStream::connect(&world.control).unwrap();
            std::thread::spawn(move || {
                let number = asker % 4;
                let (mut out, mut answers) = (stream.try_clone().unwrap(), BufReader::new(stream).lines());
                let mut replied = 0;
                for turn in 0..10_u8 {
                    // Each asks for other registers, and for another count.
                    let (first, count) = (u16::from(asker) * 100 + u16::from(turn), u16::from(asker) + 1);
                    let ask = frame(&[&[number + 1, 3][..], &first.to_be_bytes(), &count.to_be_bytes()].concat());
                    let line = json!({ "device": format!("1390000000{number}"), "hex": hex(&ask), "timeout_ms": 5000 });
                    writeln!(out, "{line}").unwrap();
                    let answer: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
                    if answer["outcome"] == "replied" {
                        let values = (first..first + count)
                            .flat_map(|register| (u16::from(number) * 1000 + register).to_be_bytes());
                        let body: Vec<u8> = [number + 1, 3, (count * 2) as u8].into_iter().chain(values).collect();
                        assert_eq!(answer["hex"], hex(&frame(&body)), "{line}");
                        replied += 1;
                    }
                }
                replied
            })
        })
        .collect();
    let replied: u32 = askers.into_iter().map(|asker| asker.join().unwrap()).sum();
    // Noise that looks like the beginning of a frame may cost one.
    assert!(replied >= 60, "{replied} of 80");
    world.end();
}

#[test]
fn what_devices_do_is_told_as_events() {
    let world = World::new("ddp", &["--devices", "1", "--heartbeat", "0.3", "--late", "0"]);
    let identified = world.event(|event| event["event"] == "identified");
    let registration = "7b01001631333930303030303030300a00000013897b";
    assert_eq!(
        (&identified["device"], &identified["epoch"], &identified["registration"]),
        (&"13900000000".into(), &1.into(), &registration.into())
    );
    let heartbeat = world.event(|event| event["event"] == "heartbeat");
    assert_eq!((&heartbeat["device"], &heartbeat["epoch"]), (&"13900000000".into(), &1.into()));
    // A reply that nobody waits for any more is a frame.
    let output = world.request(&["13900000000", "--crc", "01 03 0000 007D", "--timeout", "0.01"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let frame = world.event(|event| event["event"] == "frame");
    assert_eq!((&frame["kind"], &frame["device"]), (&"late".into(), &"13900000000".into()), "{frame}");
    assert!(frame["bytes"].as_str().unwrap().starts_with("0103fa"), "{frame}");
    world.sim.signal(Signal::SIGINT);
    world.event(|event| event["event"] == "disconnected" && event["device"] == "13900000000");
    world.serve.signal(Signal::SIGINT);
    world.event(|event| event["event"] == "closed" && event["device"] == "13900000000");
    assert!(world.serve.end().0.success());
}

#[test]
fn the_control_answers_each_line_also_a_bad_one() {
    let world = World::new("plain", &["--devices", "1", "--heartbeat", "3600", "--late", "0"]);
    world.wait_for(1);
    let stream = TcpStream::connect(&world.control).unwrap();
    let (mut out, mut answers) = (stream.try_clone().unwrap(), BufReader::new(stream).lines());
    let mut ask = |line: &str| -> Value {
        writeln!(out, "{line}").unwrap();
        serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap()
    };
    for line in ["{}", "7", r#"{"device":"13900000000","hex":"01","colour":1}"#] {
        let answer = ask(line);
        assert_eq!(answer["outcome"], "bad_request", "{line}: {answer}");
    }
    let answer = ask(r#"{"device":"13900000000","hex":"010300000002c40b"}"#);
    assert_eq!(
        (&answer["outcome"], &answer["hex"]),
        (&"replied".into(), &hex(&frame(&[1, 3, 4, 0, 0, 0, 1])).into()),
        "{answer}"
    );
    // A line without an end is answered, and then it is over.
    let answer = ask(&"a".repeat(5000));
    assert!(answer["text"].as_str().unwrap().contains("a line has at most 4096 bytes"), "{answer}");
    assert!(answers.next().is_none_or(|line| line.is_err()));
    world.end();
}

#[test]
fn the_line_behind_a_native_device_is_asked_without_any_transparent_listener() {
    let args = ["serve", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"];
    let mut serve = Process::spawn(dtu(&args).stdout(Stdio::piped()));
    let events = lines(serve.stdout());
    let [control, native] =
        ["control on ", "listening on "].map(|said| serve.says(said).0.rsplit_once(' ').unwrap().1.to_owned());
    let mut peer = Peer::dial(&native);
    peer.send(&[peer::register("meter-7"), peer::data(0, b"x")].concat());
    while !events.recv_timeout(PATIENCE).unwrap().contains(r#""event":"data""#) {}
    let mut ask = dtu(&["request", "--server", &control, "meter-7", "--crc", "01 03 0000 0001"]);
    let asking = std::thread::spawn(move || ask.output().unwrap());
    assert_eq!(peer.data(), (0, frame(&[1, 3, 0, 0, 0, 1])));
    let reply = Message::Data(Data { seq: 1, channel: 0, body: &frame(&[1, 3, 2, 0, 10]) });
    peer.send(&[peer::frame(&Message::Ack { receive_next: 1 }), peer::frame(&reply)].concat());
    let output = asking.join().unwrap();
    assert!(output.status.success() && text(&output.stdout).starts_with("010302000a"), "{output:?}");
    // It answers to the end, and is no reason to stay.
    let idle = TcpStream::connect(&control).unwrap();
    serve.signal(Signal::SIGTERM);
    let (status, said) = serve.end();
    assert!(status.success() && said.is_empty(), "{status} {said:?}");
    drop(idle);
}

#[test]
fn a_page_in_a_browser_cannot_ask_by_the_control() {
    let world = World::new("plain", &["--devices", "1", "--heartbeat", "3600", "--late", "0"]);
    world.wait_for(1);
    let mut stream = TcpStream::connect(&world.control).unwrap();
    let ask = r#"{"device":"13900000000","hex":"010300000002c40b"}"#;
    let post = format!("POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\n\r\n{ask}\n", world.control);
    stream.write_all(post.as_bytes()).unwrap();
    let answers: Vec<_> = BufReader::new(stream).lines().map_while(Result::ok).collect();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers[0].contains("bad_request"), "{answers:?}");
    world.end();
}

#[test]
fn a_command_that_listens_itself_asks_the_device_when_it_comes() {
    let mut request = Process::spawn(
        dtu(&["request", "--listen", "127.0.0.1:0", "--profile", "plain", "13900000001", "--crc", "02 04 0001 0001"])
            .stdout(Stdio::piped()),
    );
    let stdout = lines(request.stdout());
    let addr = support::listening(&request);
    let _sim = Process::spawn(
        dtu(&["sim", &addr, "--profile", "plain", "--devices", "3", "--late", "0", "--seed", "1"])
            .stdout(Stdio::null()),
    );
    let (status, said) = request.end();
    assert!(status.success(), "{said:?}");
    let said: Vec<String> = stdout.iter().collect();
    assert_eq!(said[1], "address 2, input registers from 1 on: 64534");
}

#[test]
fn who_may_have_been_told_is_no_failure_to_ask() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let answering = |answer: &'static [u8], args: &[&str]| -> Output {
        let ask = dtu(&["request", "--server", &server, "1", "--crc", "01 03 0000 0001"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut String::new()).unwrap();
        stream.write_all(answer).unwrap();
        drop(stream);
        ask.wait_with_output().unwrap()
    };
    let said = format!("dtu: 1: {server} hung up without an answer\n");
    for cut in [&b""[..], br#"{"device":"1","outcome":"replied"}"#, b"\xD7"] {
        let output = answering(cut, &[]);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(3), &*said), "{cut:?}");
    }
    let output = answering(b"", &["--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &answer["outcome"]), (Some(3), &"line_gone".into()), "{answer}");
    // Whoever answers otherwise is no server that could have told it.
    for other in [&b"\xD7\x55\n"[..], b"HTTP/1.1 400 Bad Request\r\n"] {
        let output = answering(other, &[]);
        assert_eq!(output.status.code(), Some(1), "{other:?}");
        assert!(text(&output.stderr).contains("does not answer as the control of a server"), "{output:?}");
    }
}

#[test]
fn bad_arguments_are_told() {
    for args in [
        &["request"][..],
        &["request", "1", "01"],
        &["request", "--server", "127.0.0.1:1", "1", "0"],
        &["request", "--server", "127.0.0.1:1", "1", "0x"],
        &["request", "--server", "127.0.0.1:1", "1", "01", "--timeout", "0"],
        &["request", "--server", "127.0.0.1:1", "--listen", "127.0.0.1:1", "1", "01"],
        &["request", "--server", "127.0.0.1:1", "--profile", "plain", "1", "01"],
        &["request", "--listen", "127.0.0.1:1", "1", "01"],
        &["serve", "--listen", "127.0.0.1:0", "--transparent", "127.0.0.1:0"],
        &["serve", "--listen", "127.0.0.1:0", "--profile", "plain"],
        &["serve", "--transparent", "127.0.0.1:0", "--profile", "plain", "--keys", "keys"],
        &["serve", "--udp", "127.0.0.1:0", "--keys", "k", "--tls-cert", "cert.pem", "--tls-key", "key.pem"],
    ] {
        let status = dtu(args).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(2), "{args:?}");
    }
    let nowhere = dtu(&["serve"]).output().unwrap();
    for flag in ["--config", "--listen", "--udp", "--transparent"] {
        assert!(text(&nowhere.stderr).contains(&format!("{flag} <")), "{flag}: {nowhere:?}");
    }
    let ask = ["request", "--server", "127.0.0.1:1", "1", "01"];
    fails_with_one_line(&mut dtu(&ask), "cannot connect to 127.0.0.1:1");
    let units = |profile: &str, control: &str| {
        let mut command = dtu(&["serve", "--listen", "127.0.0.1:0", "--transparent", "127.0.0.1:0"]);
        command.args(["--profile", profile, "--control", control]);
        command
    };
    fails_with_one_line(&mut units("nonsense", "127.0.0.1:0"), "it is none of plain, prefix, ddp");
    fails_with_one_line(&mut units("plain", "0.0.0.0:0"), "control 0.0.0.0:0: it has to be a loopback address");
    let directory = tempfile::tempdir().unwrap();
    let path =
        support::write_private(directory.path(), "p.toml", "framing = 'x'\nregistration = { pattern = '{id:digit}' }");
    fails_with_one_line(&mut units(&path, "127.0.0.1:0"), "p.toml: framing: ");
}

#[test]
fn a_file_with_native_devices_alone_may_have_a_control_socket() {
    let directory = tempfile::tempdir().unwrap();
    let listener = "[[listener]]\nkind = 'native'\ntcp = '127.0.0.1:0'\n";
    let file =
        support::write_private(directory.path(), "g.toml", &format!("{listener}[gateway]\ncontrol = '127.0.0.1:0'"));
    let serve = Process::spawn(dtu(&["serve", "--config", &file]).stdout(Stdio::null()));
    let (line, _) = serve.says("control on ");
    let control = line.rsplit_once(' ').unwrap().1;
    let asked = dtu(&["request", "--server", control, "meter-7", "0103000000020000"]).output().unwrap();
    assert!(text(&asked.stderr).contains("no such device has come"), "{asked:?}");
    serve.signal(Signal::SIGTERM);
    assert!(serve.end().0.success());
}
