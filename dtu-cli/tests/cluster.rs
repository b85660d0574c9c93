//! Gateways that share a fleet on a real nats-server: a device that moves, and requests to where it is.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

#[path = "support/nats_server.rs"]
mod nats_server;
mod support;

use dtu_proto::message::kind;
use nats_server::NatsServer;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::Receiver;
use std::time::Instant;
use support::peer::{Peer, data, register};
use support::{PATIENCE, Process, dtu, lines, write_private};

struct Gateway {
    process: Process,
    events: Receiver<String>,
    control: String,
    transparent: String,
    native: String,
}

impl Gateway {
    fn start(directory: &Path, id: &str, nats: &str) -> Self {
        let text = format!(
            "[gateway]\nid = '{id}'\ncontrol = '127.0.0.1:0'\n[cluster]\n[nats]\nservers = ['{nats}']\n\
             [[listener]]\nkind = 'native'\ntcp = '127.0.0.1:0'\n\
             [[listener]]\nkind = 'transparent'\ntcp = '127.0.0.1:0'\nprofile = 'plain'\n"
        );
        let path = write_private(directory, &format!("{id}.toml"), &text);
        let mut process = Process::spawn(dtu(&["serve", "--config", &path]).stdout(Stdio::piped()));
        let events = lines(process.stdout());
        let address = |said: &str| process.says(said).0.rsplit_once(' ').unwrap().1.to_owned();
        let (control, transparent) = (address("control on "), address("transparent DTUs on "));
        let native = address("listening on ");
        Self { process, events, control, transparent, native }
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

    /// Asks until the exit code is this one: who has a device is known a moment after it came.
    fn asks_until(&self, device: &str, code: i32) {
        let since = Instant::now();
        loop {
            let args = ["request", "--server", &self.control, device, "--crc", "01 03 002A 0001"];
            let output = dtu(&args).output().unwrap();
            if output.status.code() == Some(code) {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "{output:?}");
        }
    }

    fn end(self) {
        self.process.signal(Signal::SIGTERM);
        let (status, said) = self.process.end();
        assert!(status.success(), "{status} {said:?}");
    }
}

#[test]
fn a_request_to_any_gateway_reaches_the_device_and_a_device_that_moves_is_let_go() {
    let Some(nats) = NatsServer::start() else { return };
    let directory = tempfile::tempdir().unwrap();
    let [one, other] = ["gw-1", "gw-2"].map(|id| Gateway::start(directory.path(), id, &nats.addr()));

    let sim = ["sim", &one.transparent, "--profile", "plain", "--devices", "1", "--heartbeat", "3600", "--late", "0"];
    let sim = Process::spawn(dtu(&sim).stdout(Stdio::null()));
    one.event("identified", "13900000000");
    other.asks_until("13900000000", 0);
    let nobody = dtu(&["request", "--server", &other.control, "nobody", "--crc", "01 03 002A 0001"]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
    sim.kill();

    let mut before = Peer::dial(&one.native);
    before.send(&[register("m"), data(0, b"x")].concat());
    one.event("data", "m");
    let mut after = Peer::dial(&other.native);
    after.send(&register("m"));
    after.payload_of(kind::WELCOME);
    other.event("connected", "m");
    let rest = before.rest();
    assert!(matches!(rest.last(), Some(close) if close.starts_with(&[kind::CLOSE, 4])), "replaced: {rest:?}");
    one.event("closed", "m");
    after.send(&data(0, b"y"));
    other.event("data", "m");

    // One that is gone has given up what it had.
    other.end();
    drop(after);
    one.asks_until("m", 1);
    one.end();
}
