//! `dtu sim` against `dtu serve`: devices come back after an outage and a restart, and the summary says so.
#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails")]

mod support;

use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::HashSet;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use support::{Process, Serve, dtu, fails_with_one_line, lines};

/// A simulator whose summary is read from stdout.
struct Sim {
    process: Process,
    stdout: std::sync::mpsc::Receiver<String>,
}

impl Sim {
    fn start(addr: &str, args: &[&str]) -> Self {
        Self::spawn(dtu(&["sim", addr, "--json", "--seed", "7"]).args(args))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut process = Process::spawn(command.stdout(Stdio::piped()));
        let stdout = lines(process.stdout());
        Self { process, stdout }
    }

    /// Waits for the end: the exit code and the summary, which is the last line.
    fn end(self) -> (Option<i32>, Value) {
        let (status, said) = self.process.end();
        let last = self.stdout.iter().last().unwrap_or_else(|| panic!("no summary: {said:?}"));
        (status.code(), serde_json::from_str(&last).unwrap())
    }
}

/// Asserts that every device is connected, and that all that was sent is acknowledged.
fn assert_all_back(summary: &Value, devices: u64) {
    assert_eq!((&summary["up"], &summary["away"]), (&devices.into(), &0.into()), "{summary}");
    let ledger = &summary["ledger"];
    assert_eq!(ledger["taken"], ledger["acked"], "{summary}");
    for none in ["expired", "refused", "abandoned", "pending", "off"] {
        assert_eq!(ledger[none], 0, "{none} in {summary}");
    }
    assert!(ledger["taken"].as_u64().unwrap() > 0, "{summary}");
    assert_eq!(summary["missed_events"], 0, "{summary}");
}

#[test]
fn a_fleet_comes_back_after_an_outage_and_nothing_is_lost_or_repeated() {
    let serve = Serve::start(&[]);
    // The simulator raises the lower limit by itself: 50 devices and what is open besides do not fit into 40.
    let limited = ["-c", "ulimit -Sn 40; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_dtu"), "sim", &serve.addr];
    let args = ["--devices", "50", "--seconds", "9", "--outage", "0.3", "--rate", "5", "--seed", "7", "--json"];
    let (code, summary) = Sim::spawn(Command::new("sh").args(limited).args(args)).end();
    assert_eq!(code, Some(0), "{summary}");
    assert_all_back(&summary, 50);
    for (name, value) in [("seed", 7.into()), ("devices", 50.into()), ("rate", 5.0.into()), ("outage", 0.3.into())] {
        assert_eq!(summary[name], Value::clone(&value), "{name} in {summary}");
    }
    // Every link was cut once, by the simulator itself.
    assert_eq!((&summary["lost"]["transport"], &summary["recoveries"]), (&50.into(), &50.into()), "{summary}");
    assert_eq!(summary["refused"].as_object().unwrap().len(), 0, "{summary}");
    let of = |times: &str, figure: &str| summary[times][figure].as_f64().unwrap();
    assert!(summary["round_trip_ms"].is_null(), "nobody was silent: {summary}");
    for times in ["first_up_ms", "recovery_ms", "acked_ms"] {
        let [p50, p99, max] = ["p50", "p99", "max"].map(|figure| of(times, figure));
        assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{times} in {summary}");
    }
    // Who was lost first came back behind the outage at the earliest, which is not much sooner than 0.3 s later.
    assert!(of("recovery_ms", "max") >= 250.0, "{summary}");
    assert!(of("dials", "mean") >= 2.0 && of("dials", "max") <= 10.0, "{summary}");
    assert!((of("dials", "total") - of("dials", "mean") * 50.0).abs() < 1e-6, "{summary}");
    assert!(summary["seconds"].as_f64().unwrap() >= 9.0, "{summary}");
    if cfg!(target_os = "linux") {
        assert!(summary["peak_resident_bytes"].as_u64().unwrap() > 1_000_000, "{summary}");
    }
    let events = serve.kill();
    let data: Vec<_> = events.iter().filter(|event| event["event"] == "data").collect();
    let bodies: HashSet<_> = data.iter().map(|event| (&event["device"], &event["body"])).map(to_text).collect();
    let taken = usize::try_from(summary["ledger"]["taken"].as_u64().unwrap()).unwrap();
    assert_eq!((data.len(), bodies.len()), (taken, taken), "each came once");
}

fn to_text((device, body): (&Value, &Value)) -> String {
    format!("{device} {body}")
}

#[test]
fn a_fleet_comes_back_when_its_server_is_killed_and_started_again() {
    let serve = Serve::start(&[]);
    let addr = serve.addr.clone();
    let sim = Sim::start(&addr, &["--devices", "20", "--seconds", "9", "--rate", "2"]);
    // A device sends only after its WELCOME has come; what the server says of a connection may be earlier.
    let mut up = HashSet::new();
    while up.len() < 20 {
        up.insert(serve.event_of("data")["device"].to_string());
    }
    serve.kill();
    let _serve = Serve::start_at(&addr, &[]);
    let (code, summary) = sim.end();
    assert_eq!(code, Some(0), "{summary}");
    assert_all_back(&summary, 20);
    assert_eq!(summary["recoveries"], 20, "{summary}");
    let lost: u64 = summary["lost"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(lost, 20, "{summary}");
}

#[test]
fn devices_that_the_server_refuses_are_told_by_cause_and_fail_the_run() {
    let serve = Serve::start(&["--max-connections", "1"]);
    let (code, summary) = Sim::start(&serve.addr, &["--devices", "3", "--seconds", "2", "--rate", "0"]).end();
    assert_eq!(code, Some(1), "{summary}");
    assert_eq!(
        (&summary["up"], &summary["away"], &summary["never_up"]),
        (&1.into(), &2.into(), &2.into()),
        "{summary}"
    );
    let busy = summary["refused"]["busy"].as_u64().unwrap();
    assert!(busy >= 2, "{summary}");
    // The server has counted them, too.
    serve.process.signal(Signal::SIGTERM);
    let (_, said) = serve.process.end();
    let told = format!("dtu: {busy} refused as busy: connections {busy}");
    assert!(said.contains(&told), "{told} in {said:?}");
    assert_eq!(summary["ledger"]["taken"], 0, "{summary}");
}

#[test]
fn a_server_that_cannot_be_reached_gives_a_summary_and_a_failure() {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (code, summary) = Sim::start(&addr, &["--devices", "4", "--seconds", "2", "--rate", "50"]).end();
    assert_eq!(code, Some(1), "{summary}");
    assert_eq!(
        (&summary["up"], &summary["away"], &summary["never_up"]),
        (&0.into(), &4.into(), &4.into()),
        "{summary}"
    );
    assert!(summary["failed"]["transport"].as_u64().unwrap() >= 4, "{summary}");
    // The outbox has 64, and 50 a second for 2 s are more; the rest is abandoned with the link.
    let of = |name: &str| summary["ledger"][name].as_u64().unwrap();
    assert!(of("refused") > 0 && of("abandoned") == 4 * 64, "{summary}");
    assert_eq!((of("taken"), of("off"), of("acked")), (of("refused") + of("abandoned"), 0, 0), "{summary}");
}

#[test]
fn an_interrupt_gives_the_summary() {
    let serve = Serve::start(&[]);
    let sim = Sim::start(&serve.addr, &["--devices", "2", "--seconds", "3600", "--outage", "60"]);
    for _ in 0..2 {
        serve.event_of("data");
    }
    sim.process.signal(Signal::SIGINT);
    let (code, summary) = sim.end();
    assert_eq!(code, Some(0), "{summary}");
    assert_all_back(&summary, 2);
    assert!(summary["seconds"].as_f64().unwrap() < 3600.0, "{summary}");
}

#[test]
fn the_text_says_whether_all_are_back() {
    let serve = Serve::start(&[]);
    let text = |output: Output| (output.status.code(), String::from_utf8(output.stdout).unwrap());
    let (code, said) = text(dtu(&["sim", &serve.addr, "--devices", "2", "--seconds", "2"]).output().unwrap());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("every device is connected, and the ledger balances\n"), "{said}");
    let addr = serve.addr.clone();
    serve.kill();
    let (code, said) = text(dtu(&["sim", &addr, "--devices", "2", "--seconds", "0.5"]).output().unwrap());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.ends_with("NOT EVERY DEVICE IS CONNECTED; the ledger balances\n"), "{said}");
}

#[test]
fn bad_arguments_are_told() {
    for args in [
        &[][..],
        &["127.0.0.1"],
        &["127.0.0.1:1", "--devices", "0"],
        &["127.0.0.1:1", "--devices", "1000001"],
        &["127.0.0.1:1", "--rate", "-1"],
        &["127.0.0.1:1", "--rate", "NaN"],
        &["127.0.0.1:1", "--seconds", "0"],
        &["127.0.0.1:1", "--outage", "0"],
        &["127.0.0.1:1", "--outage", "5s"],
    ] {
        let status = dtu(&["sim"]).args(args).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(2), "{args:?}");
    }
    let sim = |args: &[&str]| {
        let mut command = dtu(&["sim"]);
        command.args(args);
        command
    };
    let too_long = "--outage 7: it begins after a third of --seconds 9, and would not be over before they are";
    fails_with_one_line(&mut sim(&["127.0.0.1:1", "--seconds", "9", "--outage", "7"]), too_long);
    fails_with_one_line(&mut sim(&["nowhere.invalid:1"]), "cannot look up nowhere.invalid:1");
    let limited = ["-c", "ulimit -n 128; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_dtu"), "sim", "127.0.0.1:1"];
    let told =
        "65 devices need 129 open files, and a process may open 128 here: raise the hard limit, or take at most 64";
    fails_with_one_line(Command::new("sh").args(limited).args(["--devices", "65"]), told);
}
