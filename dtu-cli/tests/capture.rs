//! `dtu serve --capture`: what devices say, read back by `dtu decode`, by tshark, and by `dtu replay`.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

mod support;
#[path = "../../dtu-proto/tests/common/tshark.rs"]
mod tshark;

use dtu_proto::message::kind;
use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::peer::{Peer, data, register};
use support::{PATIENCE, Process, Serve, connect, dtu, write_private};
use tempfile::TempDir;

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The only file of a capture.
fn only(dir: &Path) -> PathBuf {
    match &*files(dir) {
        [file] => file.clone(),
        files => panic!("{files:?}"),
    }
}

/// What `dtu decode` finds.
fn decoded(file: &Path) -> Vec<Value> {
    let output = dtu(&["decode", "--json", file.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The bodies of the DATA in it, by stream of the capture.
fn bodies(lines: &[Value]) -> Vec<String> {
    let bodies = lines.iter().filter(|line| line["message"]["kind"] == "DATA");
    bodies.map(|line| line["message"]["body"].as_str().unwrap().to_owned()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A field of each packet that a filter lets through.
fn by_tshark(file: &Path, filter: &str, fields: &[&str]) -> Vec<String> {
    let home = TempDir::new().unwrap();
    let mut command = tshark::over(file, home.path());
    command.args(["-Y", filter, "-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Nothing about the segments is out of the ordinary for tshark, which sees what they say of each other.
fn is_clean_for_tshark(file: &Path) {
    assert_eq!(by_tshark(file, "tcp.analysis.flags || _ws.malformed || _ws.short", &["frame.number"]), [""; 0]);
    let bad = "ip.checksum.status == \"Bad\" || tcp.checksum.status == \"Bad\" || udp.checksum.status == \"Bad\"";
    assert_eq!(by_tshark(file, bad, &["frame.number"]), [""; 0]);
}

/// Ends a gateway, which writes what is left of the capture.
fn end(serve: Serve) {
    serve.process.signal(Signal::SIGTERM);
    let (status, said) = serve.process.end();
    assert!(status.success(), "{said:?}");
}

fn data_lines(serve: &Serve, count: usize) -> Vec<Value> {
    let mut lines: Vec<_> = (0..count).map(|_| serve.event_of("data")).collect();
    for line in &mut lines {
        line.as_object_mut().unwrap().remove("time");
    }
    lines.sort_by_key(|line| (line["device"].to_string(), line["seq"].as_u64()));
    lines
}

/// A capture with a device by `dtu connect`, and one by hand, which sends in three pieces and gets its answers between.
fn captured(listen: &str) -> (TempDir, Vec<Value>, Vec<Vec<u8>>) {
    let dir = TempDir::new().unwrap();
    let serve = Serve::start_at(listen, &["--capture", dir.path().to_str().unwrap()]);
    let mut device = connect(&serve.addr, &["--id", "real", "--drain", "60"]);
    device.stdin().write_all(b"hello\n").unwrap();
    device.succeeds();

    let mut peer = Peer::dial(&serve.addr);
    let pieces = [register("m"), [data(0, b"\x01\x03\xff"), b"noise".to_vec(), data(1, b"")].concat(), data(2, b"end")];
    for (piece, answer) in pieces.iter().zip([kind::WELCOME, kind::ACK, kind::ACK]) {
        peer.send(piece);
        peer.payload_of(answer);
    }
    peer.socket.shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    peer.socket.read_to_end(&mut rest).unwrap();
    let lines = data_lines(&serve, 4);
    end(serve);
    (dir, lines, pieces.into())
}

#[test]
fn what_was_received_is_in_the_capture_and_decodes_to_the_same_frames() {
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let (dir, lines, _) = captured(listen);
        let decoded = decoded(&only(dir.path()));
        let expected: Vec<_> = lines.iter().map(|line| line["body"].as_str().unwrap().to_owned()).collect();
        let mut found = bodies(&decoded);
        found.sort();
        let mut sorted = expected.clone();
        sorted.sort();
        assert_eq!(found, sorted, "{listen}");
        let kinds = |kind: &str| decoded.iter().filter(|line| line["message"]["kind"] == kind).count();
        assert_eq!((kinds("REGISTER"), kinds("WELCOME")), (2, 2), "both directions, {listen}");
        assert!(decoded.iter().any(|line| line["skipped"] == 5 && line["cause"] == "magic"), "the noise, too");
    }
}

#[test]
fn for_tshark_it_is_an_ordinary_capture_with_the_bytes_and_cuts_of_the_line() {
    if !tshark::is_there("for_tshark_it_is_an_ordinary_capture_with_the_bytes_and_cuts_of_the_line") {
        return;
    }
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let (dir, _, pieces) = captured(listen);
        let file = only(dir.path());
        is_clean_for_tshark(&file);
        let up =
            by_tshark(&file, "tcp.len > 0 && tcp.stream == 1 && frame.packet_flags_direction == 1", &["tcp.payload"]);
        let pieces: Vec<_> = pieces.iter().map(|piece| hex(piece)).collect();
        assert_eq!(up, pieces, "each read is a segment");
        let handshakes = by_tshark(&file, "tcp.flags.syn == 1 && tcp.flags.ack == 0", &["tcp.stream"]);
        assert_eq!(handshakes, ["0", "1"]);
        let ends = by_tshark(&file, "tcp.flags.fin == 1 && tcp.stream == 1", &["frame.packet_flags_direction"]);
        assert_eq!(ends.len(), 2, "{ends:?}");
    }
}

#[test]
fn a_replay_to_another_gateway_gives_the_same_lines() {
    let (dir, lines, _) = captured("127.0.0.1:0");
    let file = only(dir.path());
    let serve = Serve::start(&[]);
    // Slower, as a server may let go who has hung up before he had his turn.
    let args = ["replay", file.to_str().unwrap(), &serve.addr, "--json", "--speed", "0.02", "--max-pause", "0.5"];
    let output = dtu(&args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(data_lines(&serve, 4), lines);
    let reports: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [first, second, summary] = &*reports else { panic!("{said}") };
    for report in [first, second] {
        assert_eq!((&report["outcome"], &report["writes"]), (&"played".into(), &report["of"]), "{said}");
    }
    assert!(summary["received"].as_u64() > Some(0), "{said}");
    assert_eq!((&summary["connections"], &summary["played"], &summary["missing"]), (&2.into(), &2.into(), &0.into()));
    // A gateway that remembers takes nothing twice.
    assert!(dtu(&args).output().unwrap().status.success());
    end(serve);
}

#[test]
fn datagrams_are_captured_and_played_as_they_are() {
    let dir = TempDir::new().unwrap();
    let serve = Serve::start(&["--udp", "127.0.0.1:0", "--capture", dir.path().to_str().unwrap()]);
    let udp = serve.warnings.iter().find_map(|line| line.strip_prefix("datagrams on ")).unwrap().to_owned();
    let mut device = connect(&udp, &["--id", "m", "--udp", "--drain", "60"]);
    device.stdin().write_all(b"hello\n").unwrap();
    device.succeeds();
    let line = &data_lines(&serve, 1)[0];
    end(serve);
    let file = only(dir.path());
    if tshark::is_there("datagrams_are_captured_and_played_as_they_are") {
        is_clean_for_tshark(&file);
        let counts = ["1", "2"].map(|way| {
            by_tshark(&file, &format!("udp && frame.packet_flags_direction == {way}"), &["udp.length"]).len()
        });
        assert!(counts.iter().all(|&count| count >= 2), "{counts:?}");
    }
    let text = line["body"].as_str().unwrap();
    assert!(decoded(&file).iter().any(|line| line.to_string().contains(text)), "{text}");
    let port = udp.rsplit(':').next().unwrap().to_owned();
    // The recording does not echo the PING of this server, so only its registration is answered.
    let serve = Serve::start(&["--udp", "127.0.0.1:0"]);
    let udp = serve.warnings.iter().find_map(|line| line.strip_prefix("datagrams on ")).unwrap().to_owned();
    let args = ["replay", file.to_str().unwrap(), &udp, "--port", &port, "--json", "--max-pause", "0.2", "--wait", "1"];
    let output = dtu(&args).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let report: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert_eq!((&report["transport"], &report["outcome"]), (&"udp".into(), &"played".into()), "{said}");
    assert_eq!(serve.event_of("data")["body"], text);
    assert!(report["received"].as_u64() > Some(0), "{said}");
}

#[test]
fn of_tls_it_is_what_is_inside() {
    let dir = TempDir::new().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["gateway.example".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let ca = write_private(dir.path(), "ca", &ca.pem());
    let (certificate, key) =
        (write_private(dir.path(), "cert", &certificate.pem()), write_private(dir.path(), "key", &key.serialize_pem()));
    let place = dir.path().join("captured");
    let serve = Serve::start(&["--tls-cert", &certificate, "--tls-key", &key, "--capture", place.to_str().unwrap()]);
    let tls = ["--id", "m", "--drain", "60", "--tls", "--tls-ca", &ca, "--tls-name", "gateway.example"];
    let mut device = connect(&serve.addr, &tls);
    device.stdin().write_all(b"secret").unwrap();
    device.succeeds();
    end(serve);
    assert_eq!(bodies(&decoded(&only(&place))), [hex(b"secret")]);
}

#[test]
fn of_transparent_units_it_is_all_that_the_line_carries() {
    let dir = TempDir::new().unwrap();
    let args = ["--transparent", "127.0.0.1:0", "--profile", "plain", "--capture", dir.path().to_str().unwrap()];
    let serve = Serve::start(&args);
    let found = serve.warnings.iter().find_map(|line| line.strip_prefix("transparent DTUs on "));
    let mut unit = std::net::TcpStream::connect(found.unwrap()).unwrap();
    unit.write_all(b"REG:00000000007\r\nPING\r\n").unwrap();
    assert_eq!(serve.event_of("heartbeat")["device"], "00000000007");
    unit.shutdown(std::net::Shutdown::Write).unwrap();
    unit.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut rest = Vec::new();
    unit.read_to_end(&mut rest).unwrap();
    end(serve);
    let skipped: u64 = decoded(&only(dir.path())).iter().filter_map(|line| line["skipped"].as_u64()).sum();
    assert_eq!(skipped, 23, "registration and heartbeat, which are no native frames");
}

/// The disk takes no more: a limit on the size of files is one that a test can have.
#[test]
fn a_full_disk_ends_the_capture_and_never_the_gateway() {
    let dir = TempDir::new().unwrap();
    let binary = dtu(&[]).get_program().to_owned();
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$0\" serve --listen 127.0.0.1:0 --capture \"$1\"";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(binary).arg(dir.path()).stdout(Stdio::null());
    let process = Process::spawn(&mut command);
    let mut peer = Peer::dial(&support::listening(&process));
    peer.send(&register("m"));
    peer.payload_of(kind::WELCOME);
    let mut acknowledged = 0;
    for seq in 0..64 {
        peer.send(&data(seq, &[7; 1000]));
        while acknowledged <= seq {
            acknowledged = u32::from_be_bytes(peer.payload_of(kind::ACK)[1..].try_into().unwrap());
        }
    }
    process.signal(Signal::SIGTERM);
    assert!(process.end().0.success());
    let file = only(dir.path());
    let size = file.metadata().unwrap().len();
    assert!(size <= 8 * 1024, "{size}");
    // What is in it is whole.
    decoded(&file);
}

#[test]
fn a_directory_that_cannot_be_is_told_before_anything_listens() {
    let dir = TempDir::new().unwrap();
    let file = write_private(dir.path(), "file", "");
    let mut command = dtu(&["serve", "--listen", "127.0.0.1:0", "--capture", &file]);
    let (status, said) = Process::spawn(command.stdout(Stdio::null())).end();
    assert_eq!(status.code(), Some(1));
    assert!(said.last().is_some_and(|line| line.contains("cannot capture in")), "{said:?}");
    assert!(said.iter().all(|line| !line.contains("listening")), "{said:?}");
}

#[test]
fn completions_know_the_commands_in_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = dtu(&["completions", shell]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("replay") && text.contains("max-pause"), "{shell}");
    }
    let checked = Command::new("bash").args(["-n"]).stdin(Stdio::piped()).spawn();
    if let Ok(mut bash) = checked {
        let script = dtu(&["completions", "bash"]).output().unwrap().stdout;
        bash.stdin.take().unwrap().write_all(&script).unwrap();
        assert!(bash.wait().unwrap().success(), "bash takes it");
    }
}
