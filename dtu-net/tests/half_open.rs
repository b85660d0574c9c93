//! Links over a cable that is pulled: device and server in two network namespaces, a pair of virtual interfaces between them.
//! Nobody sends a FIN or a RST; only silence tells.
//!
//! It needs Linux, iproute2 and the right to make namespaces, and says so when it is skipped. The namespaces carry the id of
//! the process in their names, and are gone at the end, whatever the end is. Time is real here, because the kernel's is; so
//! the bounds of the link are short, and the slack for the scheduler is generous.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]
#![expect(clippy::disallowed_methods, reason = "the kernel's time is the subject here")]

use core::net::SocketAddr;
use core::time::Duration;
use dtu_net::backoff::Backoff;
use dtu_net::driver::{Client, ClientConfig, Server, ServerConfig, Target};
use dtu_net::link::Role;
use dtu_net::{Cause, DeviceConfig, Outgoing, Received, State};
use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio, id};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

const HEARTBEAT: Duration = Duration::from_millis(300);
const PROBE_TIMEOUT: Duration = Duration::from_millis(200);
const PROBES: u32 = 3;

/// What the scheduler may add on a machine that is busy.
const SLACK: Duration = Duration::from_secs(2);

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a line of a child begins with that is for the test.
const MARK: &str = "half-open:";

/// A child of the test, and nobody else, has this.
const CHILD: &str = "DTU_HALF_OPEN";

/// The tests that are children of the first one.
const SIDES: [&str; 2] = ["device_side", "server_side"];

const SERVER: &str = "10.213.0.1";
const DEVICE: &str = "10.213.0.2";
const PORT: u16 = 55_125;

#[test]
fn a_pulled_cable_is_noticed_within_the_bound_and_the_session_goes_on_without_a_loss() {
    let namespaces = match Namespaces::new() {
        Ok(namespaces) => namespaces,
        Err(reason) => {
            // Not by a macro, whose output a test that passes keeps to itself.
            writeln!(io::stderr(), "half_open: skipped, {reason}").unwrap();
            return;
        }
    };
    let (sender, lines) = channel();
    let mut server = Side::start(&namespaces.server, "server_side", &sender);
    expect(&lines, "server_side", "listening");
    let mut device = Side::start(&namespaces.device, "device_side", &sender);
    expect_both(&lines, "connected");
    for pulled in [&namespaces.device, &namespaces.server] {
        let before = Instant::now();
        pulled.set_link("down");
        let down = Instant::now();
        let silent = expect_both(&lines, "disconnected silent");
        let (to_device, to_server) = (HEARTBEAT + PROBE_TIMEOUT * PROBES, HEARTBEAT * 2);
        for ((side, at), bound) in SIDES.into_iter().zip(silent).zip([to_device, to_server]) {
            assert!(at <= down + bound + SLACK, "{side}: {:?} after the pull, bound {bound:?}", at - down);
            // The last byte came at most a heartbeat before the pull.
            assert!(at + SLACK / 20 >= before + bound - HEARTBEAT, "{side}: {:?} after the pull", at - before);
            println!("{side}: silent {:?} after the cable was pulled, bound {bound:?}", at - down);
        }
        pulled.set_link("up");
        expect_both(&lines, "connected");
    }
    drop(device.input.take());
    let ledger = expect(&lines, "device_side", "ledger");
    let [taken, acked] = numbers(&ledger)[..] else { panic!("{ledger}") };
    drop(server.input.take());
    let received = expect(&lines, "server_side", "received");
    let [sessions, connected, received] = numbers(&received)[..] else { panic!("{received}") };
    assert_eq!((acked, received), (taken, taken), "nothing is lost, and nothing comes twice");
    assert_eq!((sessions, connected), (1, 3), "one session over three connections");
    assert!(taken > 100, "DATA went all the time: {taken}");
}

/// The device of the test above: sends a number every few milliseconds.
#[test]
#[ignore = "a part of the test above, which starts it in a namespace"]
fn device_side() {
    let Ok(addr) = env::var(CHILD) else { return println!("not started by the test") };
    let mut device = DeviceConfig::new("m").unwrap();
    device.backoff = Backoff::fixed(Duration::from_millis(100));
    (device.limits.probe_timeout, device.limits.probes) = (PROBE_TIMEOUT, PROBES);
    device.limits.connect = Duration::from_secs(1);
    runtime().block_on(async {
        let client = Client::start(Target::Tcp(addr), ClientConfig::new(device), CancellationToken::new()).unwrap();
        let told = tokio::spawn(tell_states(client.session().clone()));
        let stop = end_of_input();
        let mut number = 0_u32;
        while !stop.is_cancelled() {
            let body = number.to_be_bytes().to_vec();
            drop(client.session().send(Outgoing::new(0, body)).await.unwrap());
            number += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let books = client.session().clone();
        client.shut_down(PATIENCE).await;
        let ledger = books.counters().ledger;
        say(&format!("ledger {} {}", ledger.taken, ledger.acked));
        told.abort();
    });
}

/// The server of the test above: commits every number, which have to come in order.
#[test]
#[ignore = "a part of the test above, which starts it in a namespace"]
fn server_side() {
    let Ok(addr) = env::var(CHILD) else { return println!("not started by the test") };
    let mut config = ServerConfig::default();
    config.limits.heartbeat = HEARTBEAT;
    runtime().block_on(async {
        let addr: SocketAddr = addr.parse().unwrap();
        let mut server = Server::bind(addr, config, CancellationToken::new()).unwrap();
        say("listening");
        let stop = end_of_input();
        let (mut sessions, mut connected, mut received) = (0, 0, 0);
        while let Some(Some(session)) = stop.run_until_cancelled(server.accept()).await {
            sessions += 1;
            let told = tokio::spawn(tell_states(session.clone()));
            while let Some(data) = session.recv().await {
                let Received::Data { body, .. } = &data else { panic!("{data:?}") };
                assert_eq!(body[..], u32::to_be_bytes(received), "in order, each once");
                received += 1;
                session.commit(data.mark()).unwrap();
            }
            connected = session.counters().connected;
            told.abort();
        }
        say(&format!("received {sessions} {connected} {received}"));
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Says the changes of a link's state; the first one may have been missed.
async fn tell_states<R: Role>(session: dtu_net::driver::Session<R>) {
    let mut watch = session.watch();
    if session.state().state == State::Connected {
        say("connected");
    }
    loop {
        let change = watch.changed().await;
        match change.state {
            State::Connected => say("connected"),
            State::Disconnected => say(&format!("disconnected {}", change.cause.as_ref().map_or("", Cause::name))),
            State::Closed => return,
            State::Connecting | State::Registering | State::Suspect => {}
        }
    }
}

fn say(text: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{MARK} {text}").unwrap();
    out.flush().unwrap();
}

/// Is cancelled when the test closes the input of this child, or has died.
fn end_of_input() -> CancellationToken {
    let token = CancellationToken::new();
    let ended = token.clone();
    thread::spawn(move || {
        let _end = io::stdin().read_to_end(&mut Vec::new());
        ended.cancel();
    });
    token
}

struct Line {
    from: &'static str,
    at: Instant,
    text: String,
}

fn next(lines: &Receiver<Line>) -> Line {
    lines.recv_timeout(PATIENCE).expect("the children say something within the patience of this test")
}

/// The next line of `from` that begins with `text`.
fn expect(lines: &Receiver<Line>, from: &str, text: &str) -> String {
    loop {
        let line = next(lines);
        if line.from == from && line.text.starts_with(text) {
            return line.text;
        }
    }
}

/// When each side has said a line that begins with `text`, in the order of `SIDES`.
fn expect_both(lines: &Receiver<Line>, text: &str) -> [Instant; 2] {
    let mut said = [None; 2];
    loop {
        let line = next(lines);
        for (side, at) in SIDES.into_iter().zip(&mut said) {
            if line.from == side && line.text.starts_with(text) {
                *at = Some(line.at);
            }
        }
        if let [Some(device), Some(server)] = said {
            return [device, server];
        }
    }
}

fn numbers(line: &str) -> Vec<u64> {
    line.split(' ').filter_map(|word| word.parse().ok()).collect()
}

/// A child in a namespace.
struct Side {
    child: Child,
    input: Option<ChildStdin>,
}

impl Side {
    fn start(namespace: &Namespace, test: &'static str, lines: &Sender<Line>) -> Self {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &namespace.name])
            .arg(env::current_exe().unwrap())
            .args(["--ignored", "--exact", test, "--nocapture"])
            .env(CHILD, SocketAddr::new(SERVER.parse().unwrap(), PORT).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output, lines) = (child.stdin.take(), child.stdout.take().unwrap(), lines.clone());
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // The test harness of the child writes into the same lines.
                if let Some((_, text)) = line.split_once(MARK) {
                    let line = Line { from: test, at: Instant::now(), text: text.trim().to_owned() };
                    let _nobody_listens = lines.send(line);
                }
            }
        });
        Self { child, input }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // Both fail only for a child that has ended.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}

struct Namespaces {
    server: Namespace,
    device: Namespace,
}

impl Namespaces {
    /// Two namespaces with a cable between them, or why there are none.
    fn new() -> Result<Self, String> {
        let server = Namespace::new("server")?;
        let device = Namespace::new("device")?;
        let cable = ["link", "add", "eth0", "netns", &server.name, "type", "veth"];
        ip(&[&cable[..], &["peer", "name", "eth0", "netns", &device.name]].concat())?;
        for (namespace, address) in [(&server, SERVER), (&device, DEVICE)] {
            ip(&["-n", &namespace.name, "addr", "add", &format!("{address}/30"), "dev", "eth0"])?;
            ip(&["-n", &namespace.name, "link", "set", "eth0", "up"])?;
        }
        Ok(Self { server, device })
    }
}

/// A network namespace, which is gone with this.
struct Namespace {
    name: String,
}

impl Namespace {
    fn new(side: &str) -> Result<Self, String> {
        let name = format!("dtu-{}-{side}", id());
        ip(&["netns", "add", &name])?;
        Ok(Self { name })
    }

    fn set_link(&self, state: &str) {
        ip(&["-n", &self.name, "link", "set", "eth0", state]).unwrap();
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = ip(&["netns", "del", &self.name]) {
            eprintln!("{} is left: {error}", self.name);
        }
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    let done = Command::new("ip").args(args).output().map_err(|error| format!("no iproute2: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&done.stderr).trim()))
}
