//! `dtu config`, `dtu serve --config`, and what SIGHUP changes, with real processes.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

mod support;

use dtu_proto::message::kind;
use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::mpsc::Receiver;
use support::peer::{Peer, data, register};
use support::{PATIENCE, Process, connect, dtu, lines, write_private};

const KEY: &str = "000102030405060708090a0b0c0d0e0f";
const OTHER: &str = "101112131415161718191a1b1c1d1e1f";

fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap()
}

fn check(path: &str) -> Output {
    dtu(&["config", "check", path]).output().unwrap()
}

/// A gateway with a file.
struct Gateway {
    process: Process,
    events: Receiver<String>,
}

impl Gateway {
    fn start(path: &str) -> Self {
        let mut process = Process::spawn(dtu(&["serve", "--config", path]).stdout(Stdio::piped()));
        let events = lines(process.stdout());
        Self { process, events }
    }

    /// The address of the next listener of this kind.
    fn address(&self, said: &str) -> String {
        self.process.says(said).0.rsplit_once(' ').unwrap().1.to_owned()
    }

    fn event(&self, name: &str, device: &str) -> Value {
        loop {
            let line = self.events.recv_timeout(PATIENCE).expect("an event comes");
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == name && event["device"] == device {
                return event;
            }
        }
    }

    /// Has the file read again; what is said of it, up to the last word.
    fn reload(&self, last: &str) -> Vec<String> {
        self.process.signal(Signal::SIGHUP);
        let (line, mut said) = self.process.says(last);
        said.push(line);
        said
    }

    fn end(self) -> Vec<String> {
        self.process.signal(Signal::SIGTERM);
        let (status, said) = self.process.end();
        assert!(status.success(), "{status} {said:?}");
        said
    }
}

/// Sends one piece as `device` with this key.
fn gets_in(gateway: &Gateway, addr: &str, device: &str, args: &[&str]) {
    let mut process = connect(addr, &[&["--id", device, "--once"], args].concat());
    process.stdin().write_all(b"x").unwrap();
    assert!(process.succeeds().starts_with("sent 1: acked 1,"));
    gateway.event("data", device);
}

fn stays_out(gateway: &Gateway, addr: &str, device: &str, args: &[&str], cause: &str) {
    let mut process = connect(addr, &[&["--id", device, "--once"], args].concat());
    // It may be gone before it reads.
    let _gone = process.stdin().write_all(b"x");
    process.fails();
    let refused = gateway.event("refused", device);
    assert_eq!(refused["cause"], cause, "{refused}");
}

#[test]
fn the_example_is_checked_and_said_in_words() {
    let example = dtu(&["config", "example"]).output().unwrap();
    assert!(example.status.success());
    let directory = tempfile::tempdir().unwrap();
    let path = write_private(directory.path(), "gateway.toml", text(&example.stdout));
    let output = check(&path);
    assert_eq!(
        text(&output.stdout),
        "listens for native devices on [::]:55125 (TCP): whoever comes\n\
         listens for transparent DTUs on [::]:55127, profile plain\n\
         keeps what they send in: stdout\n\
         closes its sessions at the end over 0s\n"
    );
    assert_eq!(output.status.code(), Some(0));
    let warnings = text(&output.stderr);
    assert!(warnings.lines().all(|line| line.starts_with("dtu: warning: ")) && warnings.lines().count() == 2);
}

#[test]
fn what_would_run_is_said_with_keys_and_certificates() {
    let directory = tempfile::tempdir().unwrap();
    let ca = Ca::new(directory.path());
    ca.issue("server");
    write_private(directory.path(), "keys", &format!("{KEY} a\n{OTHER} b\n"));
    let file = "gateway = { drain = '5s', control = '127.0.0.1:0' }\nhttp = { listen = '127.0.0.1:0' }\n\
                [[listener]]\nkind = 'native'\ntcp = '127.0.0.1:0'\nudp = '127.0.0.1:0'\nkeys = 'keys'\n\
                tls = { cert = 'server.pem', key = 'server.key' }\n";
    let output = check(&write_private(directory.path(), "gateway.toml", file));
    assert_eq!(
        text(&output.stdout),
        "listens for native devices on 127.0.0.1:0 (TLS) and 127.0.0.1:0 (UDP): 2 devices with keys\n\
         keeps what they send in: stdout\n\
         answers `dtu request` on 127.0.0.1:0\n\
         answers HTTP on http://127.0.0.1:0, for who is on this machine\n\
         closes its sessions at the end over 5s\n"
    );
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}

#[test]
fn every_mistake_is_one_line_with_file_line_and_key_and_nothing_runs() {
    let directory = tempfile::tempdir().unwrap();
    write_private(directory.path(), "keys", &format!("{KEY} a\nzz b\n"));
    write_private(directory.path(), "p.toml", "framing = 'x'\nregistration = { pattern = '{id:digit*2}' }");
    let wrong_both = "[[listener]]\nkind = 'native'\ntcp = '127.0.0.1:0'\nkeys = 'nowhere'\n[limits]\nwindow = 0\n";
    let wrong_form = "[limits]\nwindow = 0\nheartbeat = 30\n[[listener]]\nkind = 'native'\n";
    let wrong_files = "[[listener]]\nkind = 'native'\ntcp = '127.0.0.1:0'\nkeys = 'keys'\n\
                       tls = { cert = 'no.pem', key = 'no.key' }\n[[listener]]\nkind = 'transparent'\n\
                       tcp = '127.0.0.1:0'\nprofile = 'p.toml'\n[gateway]\ncontrol = '0.0.0.0:1'\n\
                       [nats]\nservers = ['a b']\n[[sink]]\nkind = 'file'\npath = 'no/data.jsonl'\n";
    let at = directory.path().display();
    let cases: [(&str, Vec<String>); 4] = [
        (
            wrong_both,
            vec![
                format!(
                    "line 4: listener[0].keys: cannot use the keys in {at}/nowhere: No such file or directory (os error 2)"
                ),
                "line 6: limits.window: 0 is out of range, expected 1 to 65535".into(),
            ],
        ),
        (
            wrong_form,
            vec![
                "line 2: limits.window: 0 is out of range, expected 1 to 65535".into(),
                "line 3: limits.heartbeat: invalid type: integer `30`, expected a time with its unit, as \"30s\", \"5m\" or \
                 \"250ms\""
                    .into(),
                "line 4: listener[0]: there is no address to listen on; write tcp or udp, as tcp = \"[::]:55125\"".into(),
            ],
        ),
        (
            wrong_files,
            vec![
                format!(
                    "line 4: listener[0].keys: cannot use the keys in {at}/keys: line 2: key is not hex at \
                     byte 0"
                ),
                format!("line 5: listener[0].tls.cert: cannot read {at}/no.pem: No such file or directory (os error 2)"),
                format!("line 5: listener[0].tls.key: cannot read {at}/no.key: No such file or directory (os error 2)"),
                format!("line 9: listener[1].profile: {at}/p.toml: framing: "),
                "line 11: gateway.control: control 0.0.0.0:1: it has to be a loopback address, as 127.0.0.1:55128".into(),
                "line 13: nats.servers: `a b` has to be HOST, HOST:PORT, ".into(),
                format!("line 16: sink[0].path: there is no directory {at}/no"),
            ],
        ),
        ("[gateway\n", vec!["line 1: ".into()]),
    ];
    for (file, expected) in cases {
        let path = write_private(directory.path(), "gateway.toml", file);
        for output in [check(&path), dtu(&["serve", "--config", &path]).output().unwrap()] {
            assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""), "{file}");
            let said: Vec<&str> = text(&output.stderr).lines().collect();
            assert_eq!(said.len(), expected.len(), "{said:#?}");
            for (said, expected) in said.iter().zip(&expected) {
                let start = format!("dtu: {path}: {expected}");
                assert!(said == &start || expected.ends_with(' ') && said.starts_with(&start), "{said}\n{start}");
            }
        }
    }
    let missing = check("/nowhere/gateway.toml");
    assert_eq!(
        (missing.status.code(), text(&missing.stderr)),
        (Some(1), "dtu: /nowhere/gateway.toml: cannot read it: No such file or directory (os error 2)\n")
    );
}

#[test]
fn flags_beside_a_file_are_refused() {
    for args in [&["--listen", "127.0.0.1:0"][..], &["--heartbeat", "5"], &["--keys", "k"], &["--log-level", "info"]] {
        let output = dtu(&["serve", "--config", "x"]).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output.stderr).contains("cannot be used with"), "{}", text(&output.stderr));
    }
}

#[test]
fn two_native_listeners_and_a_transparent_one_run_from_one_file() {
    let directory = tempfile::tempdir().unwrap();
    write_private(directory.path(), "keys", &format!("{KEY} keyed\n"));
    let file = "[gateway]\ncontrol = '127.0.0.1:0'\n[limits]\nheartbeat = '7s'\nwindow = 5\n\
                [[listener]]\nkind = 'native'\ntcp = '127.0.0.1:0'\n\
                [[listener]]\nkind = 'native'\ntcp = '127.0.0.1:0'\nudp = '127.0.0.1:0'\nkeys = 'keys'\n\
                [[listener]]\nkind = 'transparent'\ntcp = '127.0.0.1:0'\nprofile = 'plain'\n";
    let gateway = Gateway::start(&write_private(directory.path(), "gateway.toml", file));
    let control = gateway.address("control on ");
    let transparent = gateway.address("transparent DTUs on ");
    let open = gateway.address("listening on ");
    let datagrams = gateway.address("datagrams on ");
    let keyed = gateway.address("listening on ");

    let mut peer = Peer::dial(&open);
    peer.send(&register("open"));
    assert_eq!(peer.payload().unwrap()[..7], [kind::WELCOME, 0, 0, 0x1B, 0x58, 0, 5], "7000 ms and a window of 5");
    peer.send(&data(0, b"x"));
    gateway.event("data", "open");
    gets_in(&gateway, &keyed, "keyed", &["--key", KEY]);
    gets_in(&gateway, &datagrams, "keyed", &["--key", KEY, "--udp"]);
    stays_out(&gateway, &keyed, "open", &["--key", KEY], "unknown_device");

    let mut unit = TcpStream::connect(&transparent).unwrap();
    unit.write_all(b"REG:13800138000\r\n").unwrap();
    gateway.event("identified", "13800138000");
    let asked = dtu(&["request", "--server", &control, "nobody", "01"]).output().unwrap();
    assert_eq!(text(&asked.stderr), "dtu: nobody: no such device has come\n");
    gateway.end();
}

#[test]
fn a_device_with_a_new_key_gets_in_after_a_reload_and_a_wrong_file_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let keys = |text: &str| write_private(directory.path(), "keys", text);
    let file = |text: &str| write_private(directory.path(), "gateway.toml", text);
    let listener = "[[listener]]\nkind = 'native'\ntcp = '127.0.0.1:0'\nkeys = 'keys'\n";
    keys(&format!("{KEY} a\n"));
    let path = file(listener);
    let gateway = Gateway::start(&path);
    let addr = gateway.address("listening on ");
    gets_in(&gateway, &addr, "a", &["--key", KEY]);
    stays_out(&gateway, &addr, "b", &["--key", OTHER], "unknown_device");

    keys(&format!("{KEY} a\n{OTHER} b\n"));
    assert_eq!(gateway.reload("reloaded from"), [format!("reloaded from {path}: 2 keys")]);
    gets_in(&gateway, &addr, "b", &["--key", OTHER]);

    // Neither wrong keys nor a wrong file change anything, and the good half of it is not taken either.
    keys("nonsense\n");
    let said = gateway.reload("nothing is reloaded");
    assert!(said[0].starts_with(&format!("dtu: {path}: line 4: listener[0].keys: ")), "{said:?}");
    keys(&format!("{KEY} a\n"));
    file(&format!("{listener}[limits]\nwindow = 0\n"));
    let said = gateway.reload("nothing is reloaded");
    assert_eq!(
        said,
        [
            format!("dtu: {path}: line 6: limits.window: 0 is out of range, expected 1 to 65535"),
            format!("dtu: {path}: nothing is reloaded, and all goes on as it was"),
        ]
    );
    gets_in(&gateway, &addr, "b", &["--key", OTHER]);

    // Other keys in another file; what cannot change is told each time, what comes to the same is not.
    write_private(directory.path(), "others", &format!("{KEY} c\n"));
    let changed = listener.replace("'keys'", "'others'");
    file(&format!("{changed}[log]\nlevel = 'error'\nformat = 'json'\n[limits]\nwindow = 9\n[gateway]\ndrain = '0s'\n"));
    let restart = |line, key| format!("dtu: warning: {path}: line {line}: {key}: it needs a restart to change");
    let told = [restart(9, "limits.window"), restart(7, "log.format")];
    let said = gateway.reload("reloaded from");
    assert_eq!(said, [&told[0], &told[1], &format!("reloaded from {path}: 1 key, log level error")].map(String::clone));
    gets_in(&gateway, &addr, "c", &["--key", KEY]);
    stays_out(&gateway, &addr, "b", &["--key", OTHER], "unknown_device");
    assert_eq!(gateway.reload("reloaded from")[..2], told);

    // A listener that is another one now stays as it is.
    file(&format!("{listener}[[listener]]\nkind = 'native'\ntcp = '127.0.0.1:0'\n"));
    let said = gateway.reload("reloaded from");
    let keys: Vec<&str> = said.iter().filter_map(|line| line.split(": ").nth(4)).collect();
    assert!(keys.contains(&"listener[1].tcp") && keys.contains(&"listener[1].kind"), "{said:?}");
    assert!(!keys.contains(&"listener[0].keys"), "{said:?}");
    gateway.end();
}

#[test]
fn another_token_is_asked_for_after_a_reload_and_readiness_ends_with_a_drain() {
    let directory = tempfile::tempdir().unwrap();
    let token = |name: &str, text: &str| write_private(directory.path(), name, text);
    let file = |token: &str| {
        let text = format!(
            "[gateway]\ndrain = '60s'\n[http]\nlisten = '127.0.0.1:0'\ntoken_file = '{token}'\n[[listener]]\nkind = 'native'\n\
             tcp = '127.0.0.1:0'\n"
        );
        write_private(directory.path(), "gateway.toml", &text)
    };
    token("one", "0123456789abcdef\n");
    token("other", "fedcba9876543210\n");
    let path = file("one");
    let gateway = Gateway::start(&path);
    let native = gateway.address("listening on ");
    let http = gateway.address("HTTP on ");
    let http = http.strip_prefix("http://").unwrap();
    let ask = |path: &str, token: &str| {
        let mut stream = TcpStream::connect(http).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: {http}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status: u16 = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    };
    assert_eq!(ask("/counters", "0123456789abcdef").0, 200);
    assert_eq!(ask("/counters", "fedcba9876543210").0, 401);
    file("other");
    assert_eq!(gateway.reload("reloaded from").pop().unwrap(), format!("reloaded from {path}: the token"));
    assert_eq!(ask("/counters", "0123456789abcdef").0, 401);
    let (status, counters) = ask("/counters", "fedcba9876543210");
    assert!(status == 200 && counters.contains("\"sinks\":[{\"name\":\"stdout\",\"up\":true"), "{counters}");
    token("other", "short\n");
    let said = gateway.reload("nothing is reloaded");
    assert!(said.iter().any(|line| line.contains("line 5: http.token_file: ")), "{said:?}");
    assert_eq!(ask("/counters", "fedcba9876543210").0, 200);
    let (_, metrics) = ask("/metrics", "fedcba9876543210");
    for line in [
        "dtu_config_reloads_total{outcome=\"applied\"} 1",
        "dtu_config_reloads_total{outcome=\"failed\"} 1",
        "dtu_session_memory_limit_bytes 1073741824",
    ] {
        assert!(metrics.lines().any(|said| said == line), "{line} in {metrics}");
    }

    assert_eq!(ask("/health/ready", "").0, 200);
    let mut peers = ["a", "b"].map(|id| {
        let mut peer = Peer::dial(&native);
        peer.send(&register(id));
        peer.payload_of(kind::WELCOME);
        peer
    });
    gateway.process.signal(Signal::SIGTERM);
    gateway.process.says("closing the sessions over 60s");
    let (status, reasons) = ask("/health/ready", "");
    assert!(status == 503 && reasons.contains("draining"), "{reasons}");
    assert_eq!(ask("/health/live", "").0, 200);
    // The second signal ends the drain.
    gateway.process.signal(Signal::SIGTERM);
    peers.iter_mut().for_each(|peer| drop(peer.rest()));
    assert!(gateway.process.end().0.success());
}

#[test]
fn keys_of_a_flag_are_reloaded_too() {
    let directory = tempfile::tempdir().unwrap();
    let keys = write_private(directory.path(), "keys", &format!("{KEY} a\n"));
    let mut process =
        Process::spawn(dtu(&["serve", "--listen", "127.0.0.1:0", "--keys", &keys]).stdout(Stdio::piped()));
    let events = lines(process.stdout());
    let gateway = Gateway { process, events };
    let addr = gateway.address("listening on ");
    write_private(directory.path(), "keys", &format!("{OTHER} b\n"));
    assert_eq!(gateway.reload("reloaded from"), ["reloaded from the flags: 1 key"]);
    gets_in(&gateway, &addr, "b", &["--key", OTHER]);
    stays_out(&gateway, &addr, "a", &["--key", KEY], "unknown_device");
    gateway.end();
}

/// A certificate authority with its files in a directory.
struct Ca<'a> {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: &'a Path,
    pem: String,
}

impl<'a> Ca<'a> {
    fn new(directory: &'a Path) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let pem = write_private(directory, "ca.pem", &issuer.pem());
        Self { issuer, directory, pem }
    }

    /// Writes a certificate for 127.0.0.1 and its key.
    fn issue(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        write_private(self.directory, &format!("{name}.pem"), &certificate);
        write_private(self.directory, &format!("{name}.key"), &key.serialize_pem());
    }
}

#[test]
fn a_certificate_of_another_authority_is_shown_after_a_reload() {
    let [servers, old, new] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (old, new) = (Ca::new(old.path()), Ca::new(new.path()));
    let install = |ca: &Ca<'_>| {
        ca.issue("server");
        for name in ["server.pem", "server.key"] {
            std::fs::copy(ca.directory.join(name), servers.path().join(name)).unwrap();
        }
    };
    install(&old);
    let file =
        "[[listener]]\nkind = 'native'\ntcp = '127.0.0.1:0'\ntls = { cert = 'server.pem', key = 'server.key' }\n";
    let path = write_private(servers.path(), "gateway.toml", file);
    let gateway = Gateway::start(&path);
    let addr = gateway.address("listening on ");
    gets_in(&gateway, &addr, "a", &["--tls", "--tls-ca", &old.pem]);
    install(&new);
    let said = gateway.reload("reloaded from");
    assert_eq!(said.last().unwrap(), &format!("reloaded from {path}: the certificate"));
    gets_in(&gateway, &addr, "a", &["--tls", "--tls-ca", &new.pem]);
    // Whether devices show certificates stays as it was.
    let mutual = file.replace(" }", &format!(", client_ca = '{}' }}", new.pem));
    write_private(servers.path(), "gateway.toml", &mutual);
    let said = gateway.reload("reloaded from");
    let restart = format!("dtu: warning: {path}: line 4: listener[0].tls.client_ca: it needs a restart to change");
    assert!(said.contains(&restart) && said.last().unwrap().ends_with(": nothing"), "{said:?}");
    gets_in(&gateway, &addr, "a", &["--tls", "--tls-ca", &new.pem]);
    write_private(servers.path(), "gateway.toml", file);
    // Half of a pair is no pair.
    old.issue("server");
    std::fs::copy(old.directory.join("server.pem"), servers.path().join("server.pem")).unwrap();
    let said = gateway.reload("nothing is reloaded");
    assert!(said[0].contains("line 4: listener[0].tls: cannot use ") && said[0].contains("not the key of"), "{said:?}");
    gets_in(&gateway, &addr, "a", &["--tls", "--tls-ca", &new.pem]);
    gateway.end();
}

#[test]
fn a_log_in_json_is_one_object_a_line_and_its_level_can_be_changed() {
    let directory = tempfile::tempdir().unwrap();
    let file = |level: &str| {
        let text =
            format!("[log]\nformat = 'json'\nlevel = '{level}'\n[[listener]]\nkind = 'native'\ntcp = '127.0.0.1:0'\n");
        write_private(directory.path(), "gateway.toml", &text)
    };
    let path = file("warn");
    let gateway = Gateway::start(&path);
    let object = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let (line, before) = gateway.process.says("listening on ");
    let listening = object(&line);
    assert_eq!((&listening["level"], &listening["target"]), (&"INFO".into(), &"gateway".into()));
    assert!(listening["timestamp"].is_string(), "{listening}");
    let [warning] = &before[..] else { panic!("{before:?}") };
    let warning = object(warning);
    assert_eq!(warning["level"], "WARN");
    assert!(warning["message"].as_str().unwrap().contains("this server is open"), "{warning}");
    let addr = listening["message"].as_str().unwrap().rsplit_once(' ').unwrap().1.to_owned();

    let mut peer = Peer::dial(&addr);
    peer.send(&register("quiet"));
    gateway.event("connected", "quiet");
    file("info");
    let said = gateway.reload("reloaded from");
    assert!(said.iter().all(|line| !line.contains("quiet")), "{said:?}");
    assert!(said.last().unwrap().contains("log level info"), "{said:?}");
    let mut peer = Peer::dial(&addr);
    peer.send(&register("heard"));
    let heard = object(&gateway.process.says("state changed").0);
    assert_eq!((&heard["level"], &heard["span"]["device"]), (&"INFO".into(), &"heard".into()), "{heard}");
    // Every line of the rest is an object, too.
    gateway.end().iter().for_each(|line| drop(object(line)));
}

#[test]
fn a_drain_of_the_file_closes_the_sessions_of_all_listeners() {
    let directory = tempfile::tempdir().unwrap();
    let listeners = "[[listener]]\nkind = 'native'\ntcp = '127.0.0.1:0'\n".repeat(2);
    let file = format!("[gateway]\ndrain = '1s'\n{listeners}");
    let gateway = Gateway::start(&write_private(directory.path(), "gateway.toml", &file));
    let mut peers = ["a", "b"].map(|id| {
        let mut peer = Peer::dial(&gateway.address("listening on "));
        peer.send(&register(id));
        peer.payload_of(kind::WELCOME);
        peer
    });
    gateway.process.signal(Signal::SIGTERM);
    gateway.process.says("closing the sessions over 1s");
    for peer in &mut peers {
        peer.send(&data(0, b"late"));
    }
    for peer in &mut peers {
        let rest = peer.rest();
        assert!(matches!(rest.last(), Some(close) if close.starts_with(&[kind::CLOSE, 2])), "{rest:?}");
    }
    drop(peers);
    let (status, said) = gateway.process.end();
    assert!(status.success() && said.is_empty(), "{status} {said:?}");
}
